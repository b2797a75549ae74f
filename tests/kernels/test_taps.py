"""Complete kernels on taps: their number, the kernel constraint, and what is refused."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import TapBasis, hexagonal_taps, square_taps
from gaugenet.kernels.expansion import KernelExpansion
from gaugenet.kernels.rings import RingBasis, Rings
from gaugenet.kernels.taps import tap_permutation

C4, C6, D4, D6, flip = groups.Cyclic(4), groups.Cyclic(6), groups.Dihedral(4), groups.Dihedral(6), groups.Reflection()
CASES = [
    (C6, hexagonal_taps(), "0", "0", 2),
    (C6, hexagonal_taps(), "0", "regular", 7),
    (C6, hexagonal_taps(), "regular", "regular", 42),
    (D6, hexagonal_taps(2), "regular", "1", 2 * 19),
    (C4, square_taps(3), "regular", "regular", 36),
    (C4, square_taps(4), "0", "0", 4),
    (D4, square_taps(5), "0", "regular", 25),
    (groups.Trivial(), square_taps(3), "0", "0", 9),
    (groups.Octahedral(), square_taps(3, dim=3), "0", "0", 4),
    *[(flip, square_taps(k), rep, rep, k * (k + 1) // 2) for k in (3, 5) for rep in ("0", "0-")],
    *[(flip, square_taps(k), "0", "0-", k * (k - 1) // 2) for k in (3, 5)],
    *[(flip, square_taps(k), "regular", "regular", 2 * k * k) for k in (3, 5)],
]


@pytest.mark.parametrize(("group", "taps", "a", "b", "count"), CASES, ids=str)
def test_kernels(group, taps, a, b, count):
    rep_in, rep_out = group.representation(a), group.representation(b)
    basis = TapBasis(rep_in, rep_out, taps)
    kernels = basis.coefficients
    assert len(basis) == count and kernels.shape == (count, rep_out.dim, rep_in.dim, len(taps))
    flat = kernels.flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(count, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    for g, place in zip(group.elements, tap_permutation(group, taps)):
        expected = torch.einsum("ij,kjlt,ml->kimt", rep_out(g), kernels, rep_in(g))
        assert torch.allclose(kernels[..., place], expected, rtol=1e-12, atol=1e-12)


def _all_representations(group):
    """Irreps, regular, quotient and induced ones by every cyclic subgroup of the plane that there is."""
    reps = [*group.irreps(), group.regular]
    for n in (2, 3, 4):
        smaller = groups.Cyclic(n)
        if bool(group.contains(smaller.elements).all()):
            reps += [group.quotient(smaller), *map(group.induced, smaller.irreps())]
    return [rep for rep in reps if rep.dim <= 8]


@pytest.mark.parametrize(("taps", "finite"), [
    *[(square_taps(k), (groups.Trivial(), flip, groups.Cyclic(2), C4, groups.Dihedral(2), D4)) for k in (2, 3, 4, 5)],
    *[(hexagonal_taps(k), (groups.Cyclic(2), groups.Cyclic(3), C6, flip, groups.Dihedral(3), D6)) for k in (1, 2)],
], ids=lambda value: str(len(value)))  # fmt: skip
def test_number_of_kernels_is_that_of_the_characters(taps, finite):
    """dim Hom_G(R^taps (x) rho_in, rho_out) = mean over g of (taps that g keeps) tr rho_in(g) tr rho_out(g)."""
    for group in finite:
        kept = torch.from_numpy((tap_permutation(group, taps) == np.arange(len(taps))).sum(1)).double()
        reps = _all_representations(group)
        traces = [rep(group.elements).diagonal(dim1=1, dim2=2).sum(1) for rep in reps]
        for a, trace_in in zip(reps, traces):
            for b, trace_out in zip(reps, traces):
                assert len(TapBasis(a, b, taps)) == pytest.approx(float((kept * trace_in * trace_out).mean()), abs=1e-9)


def test_taps_lie_as_the_weights_of_a_convolution():
    assert (
        square_taps(3)[0].tolist() == [-1, 1] and square_taps(3)[1].tolist() == [0, 1] and square_taps(3)[4].tolist() == [0, 0]
    )
    assert square_taps(2).tolist() == [[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]
    assert square_taps(3, dim=3)[0].tolist() == [-1, 1, -1] and square_taps(3, dim=3)[-1].tolist() == [1, -1, 1]
    angles = np.arange(6) * np.pi / 3
    assert np.allclose(hexagonal_taps()[1:], np.stack([np.cos(angles), np.sin(angles)], 1))
    assert len(hexagonal_taps(3)) == 37 and hexagonal_taps(0).tolist() == [[0, 0]]


def test_basis_is_a_value():
    basis = TapBasis(C6.regular, C6.trivial, hexagonal_taps())
    assert torch.equal(pickle.loads(pickle.dumps(basis)).coefficients, basis.coefficients)
    with pytest.raises(AttributeError):
        basis.taps = None


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "does not map these taps", lambda: TapBasis(C6.regular, C6.regular, square_taps(3))),
        (ValueError, "does not map these taps", lambda: TapBasis(C4.trivial, C4.trivial, square_taps(3)[1:])),
        (TypeError, "finite group", lambda: TapBasis(groups.SO2().trivial, groups.SO2().trivial, square_taps(3))),
        (ValueError, "shape", lambda: TapBasis(C4.trivial, C4.trivial, square_taps(3, dim=3))),
        (ValueError, "twice", lambda: TapBasis(C4.trivial, C4.trivial, np.zeros((2, 2)))),
        (ValueError, "one group", lambda: TapBasis(C4.trivial, C6.trivial, square_taps(3))),
        (ValueError, "size", lambda: square_taps(0)),
        (ValueError, "dim", lambda: square_taps(3, dim=4)),
        (ValueError, "rings", lambda: hexagonal_taps(-1)),
    ],
)
def test_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(
    ("group", "taps", "a", "b"),
    [
        (C6, hexagonal_taps(), "2xregular + 1x0", "3x0 + 2xregular"),
        (C6, hexagonal_taps(), "2x1 + 1x2", "1xregular + 2x3"),
        (flip, square_taps(3), "2x0 + 3x0-", "2xregular + 1x0"),
        (D4, square_taps(3), "2xregular + 1x1", "1x0- + 2x1"),
        (flip, square_taps(1), "2x0", "3x0-"),
    ],
    ids=str,
)
def test_expansion_meets_the_constraint(group, taps, a, b):
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    expansion = KernelExpansion(in_type, out_type, partial(TapBasis, taps=taps), dense=True).double()
    kernel = expansion(expansion.initial_weight().double())
    assert kernel.shape == (len(taps), in_type.dim, out_type.dim)
    for g, place in zip(group.elements, tap_permutation(group, taps)):
        expected = torch.einsum("ij,tkj,lk->tli", out_type(g), kernel, in_type(g))
        assert torch.allclose(kernel[place], expected, rtol=1e-12, atol=1e-12)
    if expansion.num_weights:  # every weight counts, and no two do the same
        jacobian = torch.autograd.functional.jacobian(expansion, torch.zeros(expansion.num_weights, dtype=torch.float64))
        assert torch.linalg.matrix_rank(jacobian.reshape(-1, expansion.num_weights)) == expansion.num_weights


@pytest.mark.parametrize(
    ("group", "a", "b", "rings"),
    [
        (C4, "2xregular + 3x0", "1x1 + 2xregular", None),
        (C4, "2xregular + 3x0", "1x1 + 2xregular", Rings.of(3)),
        (groups.SO2(), "2x0 + 3x1", "1x2 + 2x0", Rings.of(3)),
        # blocks of as many copies are expanded together, up to a dimension
        (groups.O2(), "2x0 + 2x0- + 2x1 + 3x2", "2x1 + 2x2 + 2x3 + 2x4 + 2x0 + 4x0", Rings.of(3)),
        (D4, "2xregular + 2x1", "2x0 + 2x1 + 3x1", None),
        (groups.O2(), "2x0-", "3x0 + 3x0-", Rings.of(1)),
    ],
    ids=str,
)
def test_expansion_is_the_sum_of_weights_times_kernels(group, a, b, rings):
    """The weights of every pair of blocks are an array (K, mul_in, mul_out), as saved networks have them."""
    in_type, out_type, taps = FieldType(group, a), FieldType(group, b), square_taps(3)
    basis = TapBasis if rings is None else partial(RingBasis, rings=rings)
    expansion = KernelExpansion(in_type, out_type, partial(basis, taps=taps), dense=True).double()
    weight, start, rows = expansion.initial_weight().double(), 0, []
    for mul_in, rep_in in in_type.blocks:
        row = []
        for mul_out, rep_out in out_type.blocks:
            kernels = basis(rep_in, rep_out, taps).coefficients  # (K, dim_out, dim_in, T)
            count = len(kernels) * mul_in * mul_out
            path = weight[start : start + count].view(len(kernels), mul_in, mul_out)
            row.append(torch.einsum("koit,kab->tiaob", kernels, path).flatten(3).flatten(1, 2))
            start += count
        rows.append(torch.cat(row, 2))
    assert start == expansion.num_weights
    kernel = expansion(weight)
    assert torch.allclose(kernel, torch.cat(rows, 1), rtol=1e-13, atol=1e-13)
    # In memory as conv2d wants it for images in channels_last.
    assert kernel.permute(2, 0, 1).is_contiguous()


def test_initial_weight_keeps_the_variance():
    torch.manual_seed(0)
    in_type = out_type = FieldType(C6, "40xregular")
    expansion = KernelExpansion(in_type, out_type, partial(TapBasis, taps=hexagonal_taps()), dense=True)
    kernel = expansion(expansion.initial_weight())
    out = torch.einsum("nti,tio->no", torch.randn(200, 7, in_type.dim), kernel)
    assert 0.9 < float(out.std()) < 1.1
