"""Layers for nodes on images, and pooling of images."""

from __future__ import annotations

import copy
import itertools

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
    GridMask,
    GridPool,
    GroupPool,
    NormNonlinearity,
    OnGrid,
    RegularNonlinearity,
)
from gaugenet.testing import grid_symmetry_error
from tests.helpers.images import turned
from tests.helpers.networks import randomise

FLIP, D4, D6 = groups.Reflection(), groups.Dihedral(4), groups.Dihedral(6)
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
    assert torch.allclose(out.permute(0, 2, 3, 1).reshape(nodes.shape), nodes, rtol=1e-12, atol=1e-12)
    volume = image(layer.in_type, 2, 3, 2)
    assert grid(volume).shape == (2, layer.out_type.dim, 2, 3, 2)


def test_field_norm_of_scalars_is_batch_norm():
    type, plain = FieldType(FLIP, "3x0"), torch.nn.BatchNorm2d(3).double()
    norm, x = OnGrid(FieldNorm(type)).double(), image(FieldType(FLIP, "3x0"), 4, 5)
    assert torch.allclose(norm(x), plain(x), rtol=1e-12, atol=1e-12)


def test_dropout_drops_copies_of_single_pixels():
    out = OnGrid(FieldDropout(FieldType(FLIP, "4xregular"), 0.5)).train()(torch.ones(2, 8, 5, 5))
    assert torch.equal(out[:, :4], out[:, 4:]) and 0.2 < float((out == 0).double().mean()) < 0.8


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pools_scalars_like_torch(size):
    x = image(FieldType(FLIP, "3x0"), 6, 12)
    assert torch.equal(GridPool(FieldType(FLIP, "3x0"), size)(x), F.max_pool2d(x, size))
    assert torch.allclose(GridPool(FieldType(FLIP, "3x0"), size, "mean")(x), F.avg_pool2d(x, size), rtol=1e-12, atol=1e-12)


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
        assert torch.allclose(
            pool(turned(x, SQUARE, g).to(dtype)).double(), turned(out.double(), SQUARE, g), rtol=tolerance, atol=tolerance
        )


WINDOWS = [(2, 1, 0), (2, 1, 1), (3, 1, 1), (3, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, (2, 2)), (3, 3, 1)]


@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_overlapping_windows_of_scalars_are_those_of_torch(size, stride, padding):
    type, pad = FieldType(FLIP, "3x0"), padding if isinstance(padding, int) else padding[0]
    side = 3 * stride + size - 2 * pad  # windows fit
    x, options = image(type, side, side), {"stride": stride, "padding": padding}
    assert torch.equal(GridPool(type, size, **options)(x), F.max_pool2d(x, size, stride, pad))
    mean = F.avg_pool2d(x, size, stride, pad, count_include_pad=False)
    assert torch.allclose(GridPool(type, size, "mean", **options)(x), mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_overlapping_windows_keep_the_symmetries_of_the_square(size, stride, padding, reduce):
    """Whether or not they fit, of norms too."""
    pool = GridPool(SQUARE, size, reduce, stride=stride, padding=padding)
    for side in (6, 7, 8):
        assert grid_symmetry_error(pool, (side, side), SQUARE, SQUARE) < 1e-12


@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_largest_norm_in_overlapping_windows(size, stride, padding):
    """Against a search, window by window."""
    type, pad = FieldType(D4, "2x1"), padding if isinstance(padding, int) else padding[0]
    side = 2 * stride + size - 2 * pad
    x = image(type, side, side)
    out = GridPool(type, size, stride=stride, padding=padding)(x)
    assert out.shape[2:] == (3, 3)
    for i, j in itertools.product(range(3), repeat=2):
        top, left = i * stride - pad, j * stride - pad
        seen = x[:, :, max(top, 0) : top + size, max(left, 0) : left + size].flatten(2).unflatten(1, (2, 2))
        best = seen.norm(dim=1, keepdim=True).argmax(-1, keepdim=True).expand(-1, 2, -1, -1)
        assert torch.equal(out[:, :, i, j], seen.gather(3, best).flatten(1))


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize(("size", "stride", "padding"), WINDOWS, ids=str)
def test_overlapping_windows_go_round_the_strip(size, stride, padding, reduce):
    pool = GridPool(MIXED, size, reduce, stride=stride, padding=padding, padding_mode="moebius")
    width = 6 * stride
    x = image(MIXED, 6, width)
    assert pool(x).shape[3] == 6
    for shift in (stride, width, width + stride):
        moved = pool(moebius_shift(x, shift, MIXED))
        assert torch.allclose(moved, moebius_shift(pool(x), shift // stride, MIXED), rtol=1e-12, atol=1e-12)


def test_windows_round_a_torus():
    """About a pixel, when a window has its middle there; and with more pixels before the seam than behind it."""
    torus = {"padding_mode": "circular"}
    pool = GridPool(SQUARE, 3, stride=2, padding=1, **torus)
    assert grid_symmetry_error(pool, (8, 8), SQUARE, SQUARE, periodic=True, centre="pixel") < 1e-12
    x = image(SQUARE, 6, 9)
    out = GridPool(SQUARE, 3, padding=1, **torus)(x)
    assert torch.equal(out, GridPool(SQUARE, 3)(x.roll((1, 1), (2, 3))))


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("options", [{"stride": 1, "padding": 1}, {"stride": 2, "padding": 1}, {"stride": 2}], ids=str)
def test_hexagonal_windows(options, reduce):
    """All twelve elements, on a masked array and on a torus; windows are hexagons."""
    type, hexagons = FieldType(D6, "1x0 + 1x1 + 1xregular"), {"lattice": "hexagonal"}
    pool = torch.nn.Sequential(GridMask(type, **hexagons), GridPool(type, 3, reduce, **options, **hexagons))
    side = 9 if options.get("padding") else 11
    assert grid_symmetry_error(pool, (side, side), type, type, **hexagons) < 1e-12
    torus = GridPool(type, 3, reduce, stride=options["stride"], padding=1, padding_mode="circular", **hexagons)
    assert grid_symmetry_error(torus, (8, 8), type, type, periodic=True, centre="pixel", **hexagons) < 1e-12
    x = torch.zeros(1, 1, 3, 3)
    x[..., 0, 0] = 7.0  # a corner of the array of a hexagon's taps
    assert GridPool(FieldType(D6, "1x0"), 3, reduce, **hexagons)(x) == 0 < GridPool(FieldType(D4, "1x0"), 3, reduce)(x)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("height", [4, 5])
@pytest.mark.parametrize("mode", ["moebius", ("circular", "moebius")], ids=str)
def test_commutes_with_even_shifts_of_the_strip(mode, height, reduce):
    if mode[0] == "circular" and height == 5:
        pytest.skip("an odd closed axis has no blocks that a reflection keeps")
    pool, x = GridPool(MIXED, 2, reduce, padding_mode=mode), image(MIXED, height, 6)
    for shift in (2, 6, 8):
        moved = pool(moebius_shift(x, shift, MIXED))
        assert torch.allclose(moved, moebius_shift(pool(x), shift // 2, MIXED), rtol=1e-12, atol=1e-12)


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
    assert torch.allclose(GridPool(MIXED, reduce="mean")(x)[0].flatten(1).T, nodes, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("size", lambda: GridPool(MIXED, 0)),
        ("reduce", lambda: GridPool(MIXED, reduce="median")),
        ("stride to be an integer from 1", lambda: GridPool(MIXED, 2, stride=3)),
        ("stride to be an integer from 1", lambda: GridPool(MIXED, 2, stride=0)),
        ("padding below", lambda: GridPool(MIXED, 2, padding=2)),
        ("more than once", lambda: GridPool(MIXED, 5, padding=(0, 4), padding_mode="moebius")(torch.zeros(1, 9, 9, 3))),
        ("odd size", lambda: GridPool(FieldType(D6, "1x0"), 2, lattice="hexagonal")),
        ("odd number", lambda: GridPool(FieldType(D6, "1x0"), 3, stride=2, lattice="hexagonal")(torch.zeros(1, 1, 9, 9))),
        ("odd number", lambda: GridPool(FieldType(D6, "1x0"), 3, stride=2, lattice="hexagonal")(torch.zeros(1, 1, 10, 10))),
        ("padding_mode", lambda: GridPool(MIXED, padding_mode="mirror")),
        ("plane", lambda: GridPool(FieldType(groups.Trivial(4), "1x0"))),
        ("B, 9, H, W", lambda: GridPool(MIXED)(torch.zeros(3, 9))),
        ("OnGrid", lambda: OnGrid(FieldNorm(MIXED))(torch.zeros(3, 9))),
        (r"on images: OnGrid\(FieldNorm", lambda: FieldNorm(MIXED)(torch.zeros(3, 9, 4, 4))),
        ("OnGrid", lambda: OnGrid(FieldNorm(MIXED))(torch.zeros(3, 8, 4, 4))),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def test_layers_one_behind_the_other():
    torch.manual_seed(0)
    parts = [FieldNorm(MIXED), NormNonlinearity(MIXED), GaugeLinear(MIXED, FieldType(FLIP, "3x0"))]
    x = image(MIXED, 4, 4).float()
    grid = OnGrid(torch.nn.Sequential(*parts))
    assert grid.out_type == FieldType(FLIP, "3x0")
    assert torch.equal(grid.eval()(x), torch.nn.Sequential(*map(OnGrid, parts)).eval()(x))
    for bad in (torch.nn.ReLU(), torch.nn.Sequential(), torch.nn.Sequential(*parts, FieldNorm(MIXED))):
        with pytest.raises(TypeError, match="OnGrid"):
            OnGrid(bad)
