"""Band-limited kernels on taps: their number, the kernel constraint, independence, defaults, what is refused."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import RingBasis, Rings, TapBasis, hexagonal_taps, square_taps
from gaugenet.kernels.expansion import KernelExpansion
from tests.helpers.zoo import PLANAR_KEYS, planar_group, planar_rep

C4, D4, C8, SO2, O2 = groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(8), groups.SO2(), groups.O2()
PAIRS = [(groups.Trivial(), "0", "0"), (groups.Reflection(), "regular", "0-"), (C4, "regular", "1"), (D4, "1", "regular")]
PAIRS += [(C8, "regular", "regular"), (groups.Dihedral(8), "0", "regular"), (SO2, "1", "2"), (O2, "1", "1"), (O2, "0-", "2")]


def circle_taps(count: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize("key", PLANAR_KEYS)
def test_dimensions_on_a_ring_against_escnn(shared, key):
    oracle = np.load(shared / "oracles" / "escnn" / "kernel_dims_2d.npz")
    group = planar_group(key)
    reps = [planar_rep(group, str(name)) for name in oracle[f"{key}/reps"]]
    small = [i for i, rep in enumerate(reps) if rep.dim <= 8]
    ring, centre = Rings((1.0,), (0.1,), (8,)), Rings((0.0,), (0.1,), (8,))
    for i in small:
        for j in small:
            basis = RingBasis(reps[i], reps[j], circle_taps(40), ring)
            assert np.bincount(basis.frequencies, minlength=9).tolist() == oracle[f"{key}/dims"][i, j].tolist()
            at_centre = RingBasis(reps[i], reps[j], np.zeros((1, 2)), centre)
            assert len(at_centre) == oracle[f"{key}/dims"][i, j, 0]


@pytest.mark.parametrize("taps", [square_taps(2), square_taps(3), square_taps(5), hexagonal_taps(2)], ids=len)
@pytest.mark.parametrize(("group", "a", "b"), PAIRS, ids=str)
def test_kernels(group, a, b, taps):
    """Independent, of unit norm, and at turned taps the turned kernels."""
    rep_in, rep_out = group.representation(a), group.representation(b)
    rings = Rings.of(5)
    basis = RingBasis(rep_in, rep_out, taps, rings)
    flat = basis.coefficients.flatten(1)
    assert len(basis) and torch.allclose(flat.norm(dim=1), torch.ones(len(basis), dtype=torch.float64))
    assert torch.linalg.svdvals(flat).min() > 1e-3
    assert torch.equal(flat, RingBasis(rep_in, rep_out, taps, rings).coefficients.flatten(1))
    generator = torch.Generator().manual_seed(0)
    for g in group.sample(3, generator=generator):
        turned = RingBasis(rep_in, rep_out, taps @ g.numpy().T, rings).coefficients
        expected = torch.einsum("ij,kjlt,ml->kimt", rep_out(g), basis.coefficients, rep_in(g))
        # The sampled kernels of turned taps are those of the taps, up to their choice within each frequency.
        joint = torch.cat([turned.flatten(1), expected.flatten(1)])
        assert torch.linalg.matrix_rank(joint, atol=1e-8) == len(basis)


def test_complete_kernels_contain_the_band_limited_ones():
    for group, a, b in [(C4, "regular", "1"), (D4, "1", "regular"), (groups.Reflection(), "regular", "0-")]:
        rep_in, rep_out = group.representation(a), group.representation(b)
        complete = TapBasis(rep_in, rep_out, square_taps(5)).coefficients.flatten(1)
        limited = RingBasis(rep_in, rep_out, square_taps(5), Rings.of(5)).coefficients.flatten(1)
        assert len(limited) < len(complete)
        assert torch.allclose(limited @ complete.T @ complete, limited, rtol=1e-12, atol=1e-12)


def test_aliased_kernels_are_left_out():
    """The sine of frequency 4 vanishes on a 3 x 3 grid; there are no more functions than taps."""
    trivial = groups.Trivial().trivial
    rings = Rings((0.0, 1.0), (0.005, 0.6), (0, 4))
    basis = RingBasis(trivial, trivial, square_taps(3), rings)
    assert len(basis) == 9 and basis.frequencies.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    many = RingBasis(trivial, trivial, square_taps(3), Rings((0.0, 1.0, 1.4), (0.3, 0.6, 0.6), (0, 9, 9)))
    assert len(many) == 9


def test_defaults():
    assert Rings.of(1) == Rings((0.0,), (0.005,), (0,))
    assert Rings.of(7) == Rings((0.0, 1.0, 2.0, 3.0), (0.005, 0.6, 0.6, 0.4), (0, 2, 3, 2))
    assert Rings.of(4) == Rings((0.5, 1.5), (0.6, 0.4), (1, 2))
    assert Rings.of(5, radii=[0, 2], sigma=0.3, max_frequency=1) == Rings((0.0, 2.0), (0.3, 0.3), (0, 1))
    assert Rings.of(5, max_frequency=lambda r: int(2 * r)).max_frequency == (0, 2, 4)
    assert Rings.of(5, sigma=[1, 2, 3], max_frequency=[3, 2, 1]) == Rings((0.0, 1.0, 2.0), (1.0, 2.0, 3.0), (3, 2, 1))


def test_in_space():
    """Spherical harmonics on shells: from a scalar to a vector one kernel of frequency 1 a shell."""
    so3 = groups.SO3()
    basis = RingBasis(so3.irrep("0"), so3.irrep("1"), square_taps(5, dim=3), Rings.of(5))
    assert basis.frequencies.tolist() == [1, 1]


def test_basis_is_a_value():
    basis = RingBasis(C8.regular, C8.trivial, square_taps(3), Rings.of(3))
    assert torch.equal(pickle.loads(pickle.dumps(basis)).coefficients, basis.coefficients)
    with pytest.raises(AttributeError):
        basis.taps = None


@pytest.mark.parametrize(
    ("group", "text"), [(C8, "30xregular"), (SO2, "20x0 + 20x1 + 20x2"), (O2, "20x0 + 20x0- + 20x1")], ids=str
)
def test_initial_weight_keeps_the_variance(group, text):
    torch.manual_seed(0)
    type, taps = FieldType(group, text), square_taps(5)
    expansion = KernelExpansion(type, type, partial(RingBasis, taps=taps, rings=Rings.of(5)), dense=True)
    kernel = expansion(expansion.initial_weight())
    out = torch.einsum("nti,tio->no", torch.randn(100, 25, type.dim), kernel)
    assert 0.9 < float(out.std()) < 1.1


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("radius, a width", lambda: Rings((0.0,), (), (0,))),
        ("radii", lambda: Rings((-1.0,), (1.0,), (0,))),
        ("sigma", lambda: Rings((1.0,), (0.0,), (0,))),
        ("max_frequency", lambda: Rings((1.0,), (1.0,), (-1,))),
        ("size", lambda: Rings.of(0)),
        ("max_frequency", lambda: Rings.of(3, max_frequency="high")),
        ("shape", lambda: RingBasis(C4.trivial, C4.trivial, square_taps(3, dim=3), Rings.of(3))),
        ("one group", lambda: RingBasis(C4.trivial, C8.trivial, square_taps(3), Rings.of(3))),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
