"""Masks: deep networks on hexagons are exact for all twelve elements; discs on squares and hexagons; arguments."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from gaugenet import FieldType, groups
from gaugenet.kernels import Lattice
from gaugenet.nn import FieldNorm, GridConv, GridMask, GroupPool, NormNonlinearity, OnGrid, RegularNonlinearity
from gaugenet.testing import grid_symmetry_error

C4, D4, C6, D6 = groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(6), groups.Dihedral(6)
HEXAGONS = {"lattice": "hexagonal"}


def deep_network(group, text="2xregular", *, masked=True, depth=5, act=NormNonlinearity, classes=True, **options):
    """Zero padding, biases, and before every convolution a mask."""
    torch.manual_seed(0)
    types = [FieldType(group, "2x0"), *[FieldType(group, text)] * depth]
    layers: list[nn.Module] = []
    for a, b in pairwise(types):
        layers += [GridMask(a, **HEXAGONS)] if masked else []
        layers += [GridConv(a, b, 3, 1, **HEXAGONS, **options), OnGrid(FieldNorm(b)), OnGrid(act(b))]
    if classes:
        layers += [GridMask(types[-1], **HEXAGONS)] if masked else []
        layers += [OnGrid(GroupPool(types[-1])), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)]
    net = nn.Sequential(*layers)
    net.in_type, net.out_type = types[0], None if classes else types[-1]
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    net.train()(torch.randn(4, 2, 9, 9))
    return net.double().eval()


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("group", [groups.Cyclic(3), C6, groups.Dihedral(3), D6], ids=str)
def test_deep_networks_on_hexagons(group, classes):
    """All elements exact with masks, and not without."""
    net = deep_network(group, classes=classes)
    for shape in [(9, 9), (7, 7)]:
        assert grid_symmetry_error(net, shape, net.in_type, net.out_type, **HEXAGONS) < 1e-10
    open_ended = deep_network(group, classes=classes, masked=False)
    assert grid_symmetry_error(open_ended, (9, 9), net.in_type, net.out_type, **HEXAGONS) > 1e-3
    assert grid_symmetry_error(net.float(), (9, 9), net.in_type, net.out_type, **HEXAGONS) < 1e-4


def test_irreps_on_hexagons():
    options = {"act": RegularNonlinearity, "classes": False, "basis": "band_limited"}
    net = deep_network(groups.O2(), "2x0 + 2x1 + 2x2", **options)
    assert grid_symmetry_error(net, (9, 9), net.in_type, net.out_type, **HEXAGONS) < 1e-10


@pytest.mark.parametrize("region", ["polygon", "disc"])
@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
@pytest.mark.parametrize("options", [{}, {"margin": 1.0}, {"sigma": 1.5}], ids=str)
def test_masks_keep_the_symmetries(lattice, region, options):
    if "sigma" in options and region == "polygon":
        pytest.skip("only a disc has an edge of some width")
    type = FieldType(D4 if lattice == "square" else D6, "1x0 + 2x1 + 1xregular")
    layer = GridMask(type, region, lattice=lattice, **options)
    for shape in [(9, 9), (5, 9)] if lattice == "square" else [(9, 9)]:
        assert grid_symmetry_error(layer, shape, type, type, lattice=lattice) < 1e-12


def test_regions():
    hexagon = GridMask(FieldType(C6, "1x0"), **HEXAGONS)
    assert np.array_equal(hexagon.mask((7, 7)).numpy(), Lattice.of("hexagonal").inside((7, 7)))
    smaller = GridMask(FieldType(C6, "1x0"), margin=1, **HEXAGONS)
    assert torch.equal(smaller.mask((7, 7))[1:-1, 1:-1], hexagon.mask((5, 5))) and smaller.mask((7, 7)).sum() == 19
    type = FieldType(C4, "1x0 + 1x1")
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(GridMask(type)(x), x)
    disc = GridMask(type, "disc").mask((5, 5))
    assert disc.sum() == 13 and disc[0, 2] == 1 and disc[0, 1] == 0  # pixels within 2 of the middle
    assert GridMask(type, "disc", margin=1).mask((5, 5)).sum() == 5
    soft = GridMask(type, "disc", margin=1, sigma=0.5).mask((5, 5))
    assert soft[2, 1] == 1 and float(soft[2, 0]) == pytest.approx(np.exp(-2))
    # Six hexagons at distance 1, six at sqrt(3) = 2 sin(60 degrees), the half height of the array.
    assert GridMask(FieldType(C6, "1x0"), "disc", **HEXAGONS).mask((5, 5)).sum() == 13
    volume = GridMask(FieldType(groups.SO3(), "1x0"), "disc")
    assert volume(torch.ones(1, 1, 3, 3, 3)).sum() == 7


def test_keeps_reduced_precision():
    type = FieldType(D6, "1x0 + 1xregular")
    for layer in (GridMask(type, **HEXAGONS), GridMask(type, "disc", sigma=1.0)):
        assert not layer.state_dict() and "region" in repr(layer)
        assert layer(torch.randn(2, type.dim, 7, 7).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("region", lambda: GridMask(FieldType(C4, "1x0"), "hexagon")),
        ("margin", lambda: GridMask(FieldType(C4, "1x0"), margin=-1)),
        ("sigma", lambda: GridMask(FieldType(C4, "1x0"), "disc", sigma=float("nan"))),
        ("only a disc", lambda: GridMask(FieldType(C4, "1x0"), sigma=1.0)),
        ("odd sizes", lambda: GridMask(FieldType(C6, "1x0"), **HEXAGONS)(torch.zeros(1, 1, 8, 8))),
        ("B, 1, H, W", lambda: GridMask(FieldType(C6, "1x0"))(torch.zeros(1, 2, 8, 8))),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
