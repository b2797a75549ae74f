from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from gaugenet import groups
from gaugenet.groups.harmonic_action import harmonic_action
from gaugenet.kernels import SteerableBasis, harmonic_frequencies, self_basis
from tests.helpers.zoo import ALL, PLANAR_KEYS, planar_group, planar_rep, representations, seeded


@pytest.mark.parametrize("group", [g for g in ALL if g.order is None or g.order <= 24], ids=str)
def test_steerable_orthonormal_and_of_pure_frequency(group):
    g = group.sample(4, seeded())
    x = torch.randn(6, group.dim, dtype=torch.float64, generator=seeded(1))
    gx = torch.einsum("nij,xj->nxi", g, x)
    column_frequency = harmonic_frequencies(group.dim, 3)
    for rep_in in representations(group):
        for rep_out in representations(group):
            basis = SteerableBasis(rep_in, rep_out, 3)
            kernels = basis(x)
            assert kernels.shape == (6, len(basis), rep_out.dim, rep_in.dim)
            expected = torch.einsum("noa,xkab,nib->nxkoi", rep_out(g), kernels, rep_in(g))
            torch.testing.assert_close(basis(gx), expected, rtol=0, atol=1e-10)
            flat = basis.coefficients.flatten(1)
            torch.testing.assert_close(flat @ flat.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-12)
            wrong = basis.coefficients.abs().amax((1, 2)) * (column_frequency != basis.frequencies[:, None])
            assert wrong.sum() == 0 and basis.frequencies.diff().ge(0).all()


def _counts(reps_in, reps_out, max_frequency: int) -> np.ndarray:
    """[i, j, f]: how many kernels of frequency f."""
    counts = [[SteerableBasis(a, b, max_frequency).frequencies for b in reps_out] for a in reps_in]
    return np.array([[np.bincount(f, minlength=max_frequency + 1) for f in row] for row in counts])


@pytest.mark.parametrize("key", PLANAR_KEYS)
def test_dimensions_against_escnn_in_the_plane(shared, key):
    oracle = np.load(shared / "oracles" / "escnn" / "kernel_dims_2d.npz")
    group = planar_group(key)
    reps = [planar_rep(group, str(name)) for name in oracle[f"{key}/reps"]]
    assert [rep.dim for rep in reps] == oracle[f"{key}/rep_sizes"].tolist()
    np.testing.assert_array_equal(_counts(reps, reps, 8), oracle[f"{key}/dims"])


@pytest.mark.parametrize("key", ["SO3", "O3", "Octa", "SO2z", "C4z", "Ico"])
def test_dimensions_against_escnn_in_space(shared, key):
    oracle = np.load(shared / "oracles" / "escnn" / "kernel_dims_3d.npz")
    group = {
        "SO3": groups.SO3(),
        "O3": groups.O3(),
        "Octa": groups.Octahedral(),
        "SO2z": groups.SO2(dim=3),
        "C4z": groups.Cyclic(4, dim=3),
        "Ico": groups.Icosahedral(),
    }[key]
    names = {
        "Octa": {"irrep_0": "A1", "irrep_1": "T1", "irrep_-1": "T2", "irrep_2": "E", "irrep_3": "A2"},
        "Ico": {"irrep_0": "A", "irrep_1": "T1", "irrep_2": "H", "irrep_3": "T2", "irrep_4": "G"},
    }.get(key, {})
    # Theirs label order 1 of O(3) the other way round: a kernel of frequency 1 takes scalars to the vector, our "1o".
    names = names or ({"l1e": "1o", "l1o": "1e"} if key == "O3" else {})
    reps = [
        group.representation(names.get(str(name)) or str(name).removeprefix("irrep_").removeprefix("l"))
        for name in oracle[f"{key}/reps"]
    ]
    assert [rep.dim for rep in reps] == oracle[f"{key}/rep_sizes"].tolist()
    expected = oracle[f"{key}/dims"]
    np.testing.assert_array_equal(_counts(reps, reps, expected.shape[-1] - 1), expected)


@pytest.mark.parametrize("n", range(5))
@pytest.mark.parametrize("m", range(5))
def test_same_span_as_gem_cnn(shared, n, m):
    """The closed-form kernels of de Haan et al. 2021, table 1."""
    oracle = np.load(shared / "oracles" / "gem" / "kernel_basis.npz")
    theirs = oracle[f"bases_{n}_{m}"].astype(float)  # (K, out, harmonics used, in)
    columns = oracle[f"theta_dims_{n}_{m}"]
    group = groups.SO2()
    basis = SteerableBasis(group.irrep(n), group.irrep(m), 8)
    dense = np.zeros((len(theirs), theirs.shape[1], theirs.shape[3], 17))
    dense[..., columns] = theirs.transpose(0, 1, 3, 2)
    ours = basis.coefficients.flatten(1).numpy()
    theirs = dense.reshape(len(dense), -1)
    assert len(basis) == len(theirs) == np.linalg.matrix_rank(theirs)
    np.testing.assert_allclose(theirs @ ours.T @ ours, theirs, atol=1e-12)
    assert sorted(basis.frequencies.tolist()) == sorted(oracle[f"freq_{n}_{m}"].tolist())


@pytest.mark.parametrize(("n", "m"), [(n, m) for n in range(4) for m in range(4)])
def test_same_span_as_gem_cnn_for_whole_fields(shared, n, m):
    """Kernels between sums of all orders up to n and up to m, and the self-interactions."""
    oracle = np.load(shared / "oracles" / "gem" / "kernel_basis.npz")
    group = groups.SO2()

    def orders(top):
        rep = group.irrep(0)
        for order in range(1, top + 1):
            rep = rep + group.irrep(order)
        return rep

    theirs = oracle[f"build_kernel_{n}_{m}"].transpose(0, 2, 3, 1)  # (K, out, in, harmonics)
    basis = SteerableBasis(orders(n), orders(m), theirs.shape[-1] // 2)
    ours, theirs = basis.coefficients.flatten(1).numpy(), theirs.reshape(len(theirs), -1)
    assert np.linalg.matrix_rank(theirs) == len(basis)
    np.testing.assert_allclose(theirs @ ours.T @ ours, theirs, atol=1e-12)
    theirs = oracle[f"self_kernel_{n}_{m}"].transpose(0, 2, 1).astype(float)
    ours = self_basis(orders(n), orders(m))
    assert len(ours) == len(theirs)
    flat, ours = theirs.reshape(len(theirs), -1), ours.flatten(1).numpy()
    np.testing.assert_allclose(flat @ ours.T @ ours, flat, atol=1e-6)


def _null_space_dimension(rep_in, rep_out, frequency: int) -> int:
    """The other way to the kernel space: one linear equation per generator, and the rank of them all."""
    group = rep_in.group
    factors = (rep_out, rep_in, lambda g: harmonic_action(group.dim, frequency, g))
    identity = torch.eye(group.dim, dtype=torch.float64)
    ones = [factor(identity) for factor in factors]
    equations = [torch.zeros(1, int(np.prod([len(one) for one in ones])), dtype=torch.float64)]
    for g in group.generators:
        product = torch.kron(torch.kron(*(factor(g) for factor in factors[:2])), factors[2](g))
        equations.append(product - torch.eye(len(product), dtype=torch.float64))
    for x in group.lie_generators:
        step = 1e-5  # central differences: independent of rep.lie
        plus, minus = torch.linalg.matrix_exp(step * x), torch.linalg.matrix_exp(-step * x)
        slopes = [(factor(plus) - factor(minus)) / (2 * step) for factor in factors]
        terms = [[slopes[i] if i == j else ones[i] for i in range(3)] for j in range(3)]
        equations.append(sum(torch.kron(torch.kron(a, b), c) for a, b, c in terms))
    system = torch.cat(equations)
    return system.shape[1] - int(torch.linalg.matrix_rank(system, atol=1e-6, rtol=0))


@pytest.mark.parametrize("group", [g for g in ALL if g.order is None or g.order <= 60], ids=str)
def test_dimensions_against_the_null_space_of_the_generators(group):
    reps = group.irreps(3 if group.dim == 2 else 2)
    for rep_in in reps:
        for rep_out in reps:
            frequencies = SteerableBasis(rep_in, rep_out, 3).frequencies
            for f in range(4):
                assert int((frequencies == f).sum()) == _null_space_dimension(rep_in, rep_out, f), (rep_in, rep_out, f)


def test_counts_of_the_design():
    group = groups.SO2()
    counts = {(a, b): len(SteerableBasis(group.irrep(a), group.irrep(b), 8)) for a in range(3) for b in range(3)}
    for (a, b), count in counts.items():
        assert count == (1 if a == b == 0 else 2 if 0 in (a, b) else 4)
        assert len(self_basis(group.irrep(a), group.irrep(b))) == (0 if a != b else 1 if a == 0 else 2)


def test_self_basis_is_what_survives_at_the_centre():
    group = groups.Dihedral(4)
    basis = SteerableBasis(group.regular, group.irrep(1), 3)
    centre = basis(torch.zeros(1, 2, dtype=torch.float64))[0]
    intertwiners = self_basis(group.regular, group.irrep(1))
    torch.testing.assert_close(centre[: len(intertwiners)], intertwiners)
    assert centre[len(intertwiners) :].abs().max() == 0
    g = group.sample(5, seeded())
    left = torch.einsum("noa,kai->nkoi", group.irrep(1)(g), intertwiners)
    right = torch.einsum("kob,nbi->nkoi", intertwiners, group.regular(g))
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_composite_representations():
    group = groups.O3()
    rep_in, rep_out = group.irrep(1) * group.irrep("1e"), group.irrep("0o") + group.irrep(2)
    basis = SteerableBasis(rep_in, rep_out, 2)
    g = group.sample(3, seeded())
    x = torch.randn(4, 3, dtype=torch.float64, generator=seeded(1))
    expected = torch.einsum("noa,xkab,nib->nxkoi", rep_out(g), basis(x), rep_in(g))
    torch.testing.assert_close(basis(torch.einsum("nij,xj->nxi", g, x)), expected, rtol=0, atol=1e-11)
    assert len(basis) > 0
    # a smaller group has more kernels
    small = groups.Octahedral()
    assert len(SteerableBasis(rep_in.restrict(small), rep_out.restrict(small), 2)) > len(basis)


def test_max_frequency_and_dtype():
    group = groups.Cyclic(4)
    sizes = [len(SteerableBasis(group.regular, group.regular, f)) for f in range(4)]
    assert sizes == [4, 12, 20, 28] and len(SteerableBasis(group.regular, group.regular)) == 36
    basis = SteerableBasis(group.regular, group.irrep(1), 2)
    x = torch.randn(5, 3, 2)
    assert basis(x).dtype == torch.float32 and basis(x).shape == (5, 3, len(basis), 2, 4)
    torch.testing.assert_close(basis(x.double()).float(), basis(x), rtol=0, atol=1e-5)
    x = x.double().requires_grad_()
    basis(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_under_compile():
    basis = SteerableBasis(groups.Octahedral().regular, groups.Octahedral().irrep("E"), 2)
    x = torch.randn(4, 3, generator=seeded())
    torch.testing.assert_close(torch.compile(basis, backend="eager", fullgraph=True)(x), basis(x))


def test_other_dimensions_have_frequency_zero():
    group = groups.Trivial(6)
    assert SteerableBasis(group.trivial, group.standard, 0)(torch.randn(2, 6)).shape == (2, 6, 6, 1)
    with pytest.raises(ValueError, match="dimension"):
        SteerableBasis(group.trivial, group.trivial, 1)


def test_errors():
    so2 = groups.SO2()
    with pytest.raises(ValueError, match="one group"):
        SteerableBasis(so2.irrep(1), groups.O2().irrep(1))
    with pytest.raises(ValueError, match="one group"):
        self_basis(so2.irrep(1), groups.O2().irrep(1))
    with pytest.raises(TypeError, match="to be a Representation"):
        SteerableBasis("1", so2.irrep(1))
    with pytest.raises(ValueError, match="at least 0"):
        SteerableBasis(so2.irrep(1), so2.irrep(1), -1)
    with pytest.raises(TypeError, match="integer"):
        SteerableBasis(so2.irrep(1), so2.irrep(1), 2.0)
    with pytest.raises(ValueError, match=r"\(\.\.\., 2\), got shape \(4, 3\)"):
        SteerableBasis(so2.irrep(1), so2.irrep(1))(torch.zeros(4, 3))


def test_value_semantics():
    group = groups.Dihedral(3)
    basis = SteerableBasis(group.regular, group.irrep(1), 2)
    for twin in (pickle.loads(pickle.dumps(basis)), copy.deepcopy(basis), SteerableBasis(group.regular, group.irrep(1), 2)):
        assert twin == basis and hash(twin) == hash(basis) and torch.equal(twin.coefficients, basis.coefficients)
    assert basis != SteerableBasis(group.regular, group.irrep(1), 3)
    assert basis != SteerableBasis(group.irrep(1), group.regular, 2)
    basis.coefficients.zero_()  # a copy: the cached solution cannot be spoiled
    assert SteerableBasis(group.regular, group.irrep(1), 2).coefficients.abs().sum() > 0
    with pytest.raises(AttributeError, match="cannot assign"):
        basis.max_frequency = 3
    assert "max_frequency=2" in repr(basis) and f"{len(basis)} kernels" in repr(basis)


_FINGERPRINT = """
import torch
from gaugenet import groups
from gaugenet.kernels import SteerableBasis
torch.set_num_threads({threads})
parts = []
cases = ((groups.SO2(), "1", "2"), (groups.Dihedral(6), "regular", "1"), (groups.Octahedral(), "regular", "T2"))
for group, a, b in (*cases, (groups.O3(), "2e", "3o")):
    basis = SteerableBasis(group.representation(a), group.representation(b), 3).coefficients
    parts.append((basis.flatten() * torch.arange(basis.numel())).flatten())
print(torch.cat([p.cumsum(0)[::97] for p in parts]).tolist())
"""


def test_the_same_in_every_process():
    """Saved weights keep their meaning: another process, hash seed and number of threads give the same basis."""
    outputs = []
    for seed, threads in (("1", 1), ("2", 2)):
        code = _FINGERPRINT.format(threads=threads)
        env = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True)
        assert run.stderr == ""
        outputs.append(np.array(eval(run.stdout)))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=0, atol=1e-8)
