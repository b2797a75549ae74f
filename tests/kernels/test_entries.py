"""Bases of permutations from the orbits of entries, without their coefficients."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups, kernels, nn
from gaugenet.kernels.expansion import KernelExpansion

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
