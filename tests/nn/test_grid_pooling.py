"""Layers for nodes on images, and pooling of images."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, geometry, groups
from gaugenet.data import moebius_shift
from gaugenet.nn import (
    FieldDropout,
    FieldNorm,
    GatedNonlinearity,
    GaugeLinear,
    GaugePool,
    GridPool,
    GroupPool,
    NormNonlinearity,
    OnGrid,
    RegularNonlinearity,
)
from tests.nn.test_gauge_conv import randomise
from tests.nn.test_grid_conv import turned

FLIP, D4 = groups.Reflection(), groups.Dihedral(4)
MIXED = FieldType(FLIP, "2x0 + 3x0- + 2xregular")
SQUARE = FieldType(D4, "2x0 + 1x0- + 2x1 + 1xregular")


def image(type, *shape, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, type.dim, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    "layer",
    [
        NormNonlinearity(MIXED, "elu"),
        GatedNonlinearity(MIXED),
        FieldNorm(MIXED),
        FieldNorm(MIXED, "layer"),
        GaugeLinear(MIXED, FieldType(FLIP, "1x0 + 1xregular")),
        GroupPool(FieldType(FLIP, "2x0 + 3xregular")),
        RegularNonlinearity(FieldType(FLIP, "2x0 + 3xregular")),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_layers_at_every_pixel(layer, memory):
    layer = randomise(layer).double().train()
    x = image(layer.in_type, 3, 4).contiguous(memory_format=memory)
    grid = OnGrid(copy.deepcopy(layer))
    out = grid(x)
    assert out.shape == (2, layer.out_type.dim, 3, 4) and (grid.in_type, grid.out_type) == (layer.in_type, layer.out_type)
    nodes = layer(x.permute(0, 2, 3, 1).reshape(-1, layer.in_type.dim))
    assert torch.allclose(out.permute(0, 2, 3, 1).reshape(nodes.shape), nodes)
    volume = image(layer.in_type, 2, 3, 2)
    assert grid(volume).shape == (2, layer.out_type.dim, 2, 3, 2)


def test_field_norm_of_scalars_is_batch_norm():
    type, plain = FieldType(FLIP, "3x0"), torch.nn.BatchNorm2d(3).double()
    norm, x = OnGrid(FieldNorm(type)).double(), image(FieldType(FLIP, "3x0"), 4, 5)
    assert torch.allclose(norm(x), plain(x))


def test_dropout_drops_copies_of_single_pixels():
    out = OnGrid(FieldDropout(FieldType(FLIP, "4xregular"), 0.5)).train()(torch.ones(2, 8, 5, 5))
    assert torch.equal(out[:, :4], out[:, 4:]) and 0.2 < float((out == 0).double().mean()) < 0.8


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pools_scalars_like_torch(size):
    x = image(FieldType(FLIP, "3x0"), 6, 12)
    assert torch.equal(GridPool(FieldType(FLIP, "3x0"), size)(x), F.max_pool2d(x, size))
    assert torch.allclose(GridPool(FieldType(FLIP, "3x0"), size, "mean")(x), F.avg_pool2d(x, size))


def test_largest_member_and_ties():
    type = FieldType(D4, "1x1")
    x = torch.tensor([[3.0, 0], [0, -4]], dtype=torch.float64).T.reshape(1, 2, 1, 2).repeat(1, 1, 2, 1)
    x[0, :, 1] = 0.1
    assert GridPool(type)(x).flatten().tolist() == [0, -4]
    x[0, :, 0, 0] = torch.tensor([4.0, 0])
    assert GridPool(type)(x).flatten().tolist() == [2, -2]
    x[0, :, 0, 0] = torch.tensor([4.125, 0])
    assert GridPool(type)(x.bfloat16()).flatten().tolist() == [4.125, 0]
    x[0, :, 0, 0] = torch.tensor([4.0, 0])
    assert GridPool(type, reduce="mean")(x).flatten().tolist() == pytest.approx([(4 + 0.2) / 4, (-4 + 0.2) / 4])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize(("size", "side"), [(2, 6), (2, 7), (3, 7), (3, 8)])
def test_commutes_with_the_symmetries_of_the_square(size, side, reduce, dtype, tolerance):
    """Whether or not the side is a multiple of the size."""
    pool, x = GridPool(SQUARE, size, reduce), image(SQUARE, side, side)
    out = pool(x.to(dtype))
    assert out.shape[2:] == (-(-side // size),) * 2 and out.dtype == dtype
    for g in D4.elements:
        assert torch.allclose(pool(turned(x, SQUARE, g).to(dtype)).double(), turned(out.double(), SQUARE, g), atol=tolerance)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("height", [4, 5])
@pytest.mark.parametrize("mode", ["moebius", ("circular", "moebius")], ids=str)
def test_commutes_with_even_shifts_of_the_strip(mode, height, reduce):
    if mode[0] == "circular" and height == 5:
        pytest.skip("an odd closed axis has no blocks that a reflection keeps")
    pool, x = GridPool(MIXED, 2, reduce, padding_mode=mode), image(MIXED, height, 6)
    for shift in (2, 6, 8):
        moved = pool(moebius_shift(x, shift, MIXED))
        assert torch.allclose(moved, moebius_shift(pool(x), shift // 2, MIXED), atol=1e-12)


def test_odd_strip_goes_on_beyond_the_seam():
    pool, x = GridPool(MIXED, padding_mode="moebius"), image(MIXED, 4, 5)
    longer = torch.cat([x, moebius_shift(x, -5, MIXED)[..., :1]], 3)
    assert torch.equal(pool(x), GridPool(MIXED)(longer))
    assert not torch.equal(pool(x), GridPool(MIXED)(x))
    ring = GridPool(MIXED, padding_mode="circular")(x)
    assert torch.equal(ring, GridPool(MIXED)(torch.cat([x, x[..., :1]], 3)))


def test_mean_equals_gauge_pool_on_the_graph():
    """Pooling to the coarser level of a strip's graph, whose nodes are the blocks."""
    graph, x = geometry.moebius(4, 6, levels=1).to_graph(), image(MIXED, 4, 6, batch=1)
    nodes = GaugePool(MIXED)(x[0].flatten(1).T, graph)
    assert torch.allclose(GridPool(MIXED, reduce="mean")(x)[0].flatten(1).T, nodes)


def test_modules_are_values():
    pool = GridPool(MIXED, padding_mode="moebius")
    x = image(MIXED, 5, 7).float()
    for other in (pickle.loads(pickle.dumps(pool)), copy.deepcopy(pool), torch.compile(pool, fullgraph=True, backend="eager")):
        assert torch.equal(other(x), pool(x))
    act = OnGrid(FieldNorm(MIXED))
    assert act.eval().state_dict().keys() == act.train().state_dict().keys()
    assert "moebius" in repr(pool)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("size", lambda: GridPool(MIXED, 0)),
        ("reduce", lambda: GridPool(MIXED, reduce="median")),
        ("padding_mode", lambda: GridPool(MIXED, padding_mode="mirror")),
        ("plane", lambda: GridPool(FieldType(groups.SO3(), "1x0"))),
        ("B, 9, H, W", lambda: GridPool(MIXED)(torch.zeros(3, 9))),
        ("OnGrid", lambda: OnGrid(FieldNorm(MIXED))(torch.zeros(3, 9))),
        ("OnGrid", lambda: OnGrid(FieldNorm(MIXED))(torch.zeros(3, 8, 4, 4))),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
