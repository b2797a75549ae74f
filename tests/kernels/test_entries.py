"""Bases of permutations from the orbits of entries, without their coefficients."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups, kernels, nn
from gaugenet.kernels.expansion import KernelExpansion, expansion
from gaugenet.kernels.rings import RingBasis
from gaugenet.kernels.rings import _solve as ring_solver

C4, D4, C6, O = groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(6), groups.Octahedral()
SQUARE, HEXAGON, CUBE = kernels.square_taps(3), kernels.hexagonal_taps(1), kernels.square_taps(3, 3)
CASES = [
    (C4.trivial, C4.regular, SQUARE),
    (C4.regular, C4.regular, kernels.square_taps(4)),
    (D4.regular, D4.quotient(groups.Cyclic(2)), SQUARE),
    (C6.regular, C6.regular, HEXAGON),
    (groups.Klein().regular, groups.Klein().regular, CUBE),
    (O.regular, O.trivial, CUBE),
]


@pytest.mark.parametrize("rep_in, rep_out, taps", CASES, ids=lambda value: str(value)[:30])
def test_entries_are_those_of_the_coefficients(rep_in, rep_out, taps):
    basis = kernels.TapBasis(rep_in, rep_out, taps)
    dense, (count, place, factor) = basis.coefficients, basis.entries
    assert len(basis) == count == len(dense)
    spread = torch.zeros_like(dense).scatter(0, place[None], factor[None])
    assert torch.allclose(spread, dense, rtol=0, atol=1e-14)


def test_irreps_have_none():
    assert kernels.TapBasis(D4.regular, D4.irrep("0-"), SQUARE).entries is None


def test_layers_are_made_without_coefficients(monkeypatch):
    """A 3 x 3 x 3 layer of regular fields of the 48 symmetries of the cube would need 645 MB of them."""
    monkeypatch.setattr(kernels.TapBasis, "coefficients", property(lambda self: pytest.fail("coefficients were made")))
    G = groups.FullOctahedral()
    layer = nn.GridConv(FieldType(G, "1xregular"), FieldType(G, [(2, G.trivial), (1, G.regular)]), 3)
    assert layer.weight.shape == (27 * (2 + 48),)


@pytest.mark.parametrize("blocks", ["2xregular", "1x0 + 1xregular", "1xregular + 2x0"])
def test_layers_are_the_same_with_and_without(blocks, monkeypatch):
    type, taps = FieldType(D4, blocks), kernels.square_taps(3)

    def expansion() -> KernelExpansion:
        return kernels.Taps().on_taps(type, type, taps)

    fast = expansion()
    monkeypatch.setattr(kernels.TapBasis, "entries", None)
    slow = expansion()
    weight = torch.randn(fast.num_weights, dtype=torch.float64)
    assert fast.paths == slow.paths
    assert torch.allclose(fast.double()(weight), slow.double()(weight), rtol=0, atol=1e-14)


ORBITS = [
    (groups.Cyclic(8).regular, groups.Cyclic(8).regular),
    (groups.Dihedral(6).regular, groups.Dihedral(6).quotient(groups.Cyclic(2))),
    (D4.trivial, D4.regular),
    (O.regular, O.quotient(groups.Cyclic(4, dim=3))),
    (O.trivial, O.trivial),
    (groups.point_group("C3v").regular, groups.point_group("C3v").regular),
]


@pytest.mark.parametrize("rep_in, rep_out", ORBITS, ids=str)
@pytest.mark.parametrize("rings", [None, kernels.Rings((0.0, 1.0, 1.5), (0.1, 0.5, 0.5), (0, 3, 4))], ids=["default", "many"])
def test_kernels_orbit_by_orbit_are_those_of_the_solver(rep_in, rep_out, rings, monkeypatch):
    """Also where taps see less than all of them, so that some are left out."""
    taps = kernels.square_taps(3, rep_in.group.dim)
    bases = [kernels.SteerableBasis(rep_in, rep_out, 4), RingBasis(rep_in, rep_out, taps, rings or kernels.Rings.of(3))]
    assert all(basis.orbits.number == len(basis) for basis in bases)
    monkeypatch.setattr(kernels.SteerableBasis, "_orbits", None)
    steerable = kernels.SteerableBasis(rep_in, rep_out, 4)
    ringed = ring_solver.__wrapped__(rep_in, rep_out, taps.shape, taps.tobytes(), bases[1].rings)
    for basis, (coefficients, frequencies) in zip(bases, (steerable._solution, ringed)):
        assert torch.allclose(basis.coefficients, torch.from_numpy(coefficients.copy()), rtol=0, atol=1e-13)
        assert basis.frequencies.tolist() == frequencies.tolist()


@pytest.mark.parametrize("blocks", ["2xregular", "1xregular + 2x1", "mixed"])
def test_layers_are_the_same_orbit_by_orbit(blocks, monkeypatch):
    type = FieldType(O, [(2, O.regular), (3, O.quotient(groups.Cyclic(2, dim=3))), (1, "A1")] if blocks == "mixed" else blocks)
    layers = []
    for many in (0, 1e12):
        monkeypatch.setattr(expansion, "_MANY", many)
        layers.append(kernels.Rings.of(3).on_taps(type, type, CUBE).double())
    weight = torch.randn(layers[0].num_weights, dtype=torch.float64)
    assert layers[0].paths == layers[1].paths and hasattr(layers[0], "blocks_0_0") and not hasattr(layers[1], "blocks_0_0")
    assert torch.allclose(layers[0](weight), layers[1](weight), rtol=0, atol=1e-13)


def test_large_groups_are_made_without_coefficients(monkeypatch):
    monkeypatch.setattr(RingBasis, "coefficients", property(lambda self: pytest.fail("coefficients were made")))
    monkeypatch.setattr(kernels.SteerableBasis, "coefficients", property(lambda self: pytest.fail("coefficients were made")))
    type = FieldType(groups.Icosahedral(), "1xregular")
    assert nn.GridConv(type, type, 3, basis="band_limited").weight.shape == (60 * (1 + 9),)
