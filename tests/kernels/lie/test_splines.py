"""B-splines on groups: Bekkers' numbers on arrays, the definition on graphs, arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.kernels import Spline
from gaugenet.kernels.radial import cardinal_spline
from gaugenet.nn import GaugeConv, GridConv
from gaugenet.testing import grid_symmetry_error
from tests.helpers.networks import randomise

C1, C4, C8, SCALES = groups.Cyclic(1), groups.Cyclic(4), groups.Cyclic(8), groups.Scaling((1.0, 2.0, 4.0))
ONE2, ONE3 = groups.Trivial(2), groups.Trivial(3)


@pytest.fixture
def bekkers(shared):
    arrays = np.load(shared / "oracles" / "seeds" / "gsplinets" / "gsplinets.npz")
    return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def relative(ours, theirs):
    return float((ours - theirs).detach().abs().max() / theirs.abs().max())


@pytest.mark.parametrize("degree", range(6))
def test_cardinal_splines(bekkers, degree):
    x = torch.linspace(-4, 4, 801, dtype=torch.float64) + 1e-4
    knots = np.arange(degree + 2) - (degree + 1) / 2
    expected = np.nan_to_num(BSpline.basis_element(knots, extrapolate=False)(x.numpy()))
    assert np.abs(cardinal_spline(x, degree).numpy() - expected).max() < 1e-14
    assert torch.equal(cardinal_spline(-x, degree), cardinal_spline(x, degree)) or degree
    shifts = sum(cardinal_spline(x[200:600] + k, degree) for k in range(-8, 9))
    assert (shifts - 1).abs().max() < 1e-13
    # Their truncated powers lose digits in single precision as the degree grows.
    assert (cardinal_spline(bekkers["B_x"].double(), degree) - bekkers[f"B{degree}"]).abs().max() < 2e-5


def layer(in_type, out_type, side, weights, **options):
    """With the oracle's weights (in, K, out)."""
    conv = GridConv(in_type, out_type, side, bias=False, kernel=Spline(**options))
    with torch.no_grad():
        conv.weight.copy_(weights.permute(1, 2, 0))
    return conv


def blocks(conv) -> torch.Tensor:
    """The kernel as (h, h', in, out) (rows, columns)."""
    kernel = conv.kernel()
    samples_out = conv.out_type.blocks[0][1].dim
    samples_in = conv.in_type.blocks[0][1].dim
    return kernel.unflatten(1, (samples_in, -1)).unflatten(0, (samples_out, -1)).permute(0, 4, 5, 2, 3, 1)


def on_image(conv, x):
    """(B, H, W, [samples,] channels) -> the same."""
    y = conv(x.flatten(3).movedim(-1, 1)).movedim(1, -1)
    return y.unflatten(-1, (conv.out_type.blocks[0][1].dim, -1))


SE2 = {1: {}, 2: {"fibre_size": 3}, 3: {"size": 3, "spacing": 2.0, "fibre_size": 4, "fibre_spacing": 2.0}}


@pytest.mark.parametrize("case", SE2, ids={1: "dense", 2: "localised", 3: "atrous"}.get)
def test_rotations(bekkers, case):
    lift = layer(FieldType(C8, "2x0"), FieldType(C8, "3xregular"), 5, bekkers["se2_w0"])
    for h, name in enumerate(("e", "h1")):
        assert relative(blocks(lift)[h][:, :, 0], bekkers[f"se2_kernel0_{name}"]) < 1e-5
    y0 = on_image(lift, bekkers["se2_x"])
    assert relative(y0, bekkers["se2_y0"]) < 1e-5
    conv = layer(FieldType(C8, "3xregular"), FieldType(C8, "2xregular"), 5, bekkers[f"se2_w{case}"], **SE2[case])
    for h, name in enumerate(("e", "h1")):
        assert relative(blocks(conv)[h], bekkers[f"se2_kernel{case}_{name}"]) < 1e-5
    constant = 2 * np.pi / 8  # the measure of the samples, which theirs has in it
    assert relative(on_image(conv, y0.relu()), bekkers[f"se2_y{case}"] / constant) < 1e-5


def test_scales(bekkers):
    lift = layer(FieldType(SCALES, "2x0"), FieldType(SCALES, "3xregular"), 9, bekkers["scale_w0"], spacing=1.0, disk=False)
    options = {"spacing": 1.0, "disk": False, "fibre_size": 2}
    conv = layer(FieldType(SCALES, "3xregular"), FieldType(SCALES, "2xregular"), 9, bekkers["scale_w1"], **options)
    largest = bekkers["scale_kernel0_h0"].abs().max(), bekkers["scale_kernel1_h0"].abs().max()
    for h in range(3):
        assert (blocks(lift)[h][:, :, 0] - bekkers[f"scale_kernel0_h{h}"]).abs().max() < 1e-5 * largest[0]
        assert (blocks(conv)[h] - bekkers[f"scale_kernel1_h{h}"]).abs().max() < 1e-5 * largest[1]
    y0 = on_image(lift, bekkers["se2_x"])
    assert relative(y0, bekkers["scale_y0"]) < 1e-5
    # Their output has a factor of rotations, 2 pi / 3, in it.
    exact = on_image(conv.double(), bekkers["scale_y0"].double().relu())
    assert relative(exact, bekkers["scale_y1"] / (2 * np.pi / 3)) < 1e-5


def image(type, *shape):
    return torch.randn(2, type.dim, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("group", [C4, C8, groups.Cyclic(12), groups.Cyclic(2), C1])
@pytest.mark.parametrize("options", [{}, {"learn_centres": True}, {"fibre_size": 3, "stretch": 1.7, "degree": 1}], ids=str)
def test_quarter_turns_are_exact(group, options):
    scalars, regular = FieldType(group, "2x0"), FieldType(group, "2xregular")
    for a in (scalars, regular):
        conv = randomise(GridConv(a, regular, 5, 2, kernel=Spline(**{**options, "learn_centres": False}))).double()
        error = grid_symmetry_error(conv, (7, 7), a, regular)
        assert error < 1e-10
    if options.get("learn_centres"):  # wherever the centres are
        conv = randomise(GridConv(regular, regular, 5, 2, kernel=Spline(**options))).double()
        assert grid_symmetry_error(conv, (7, 7), regular, regular) < 1e-10


def test_turning_the_image_turns_the_lift():
    """A smooth image, by 45 degrees: the lift of C_8 follows up to the sampling of the kernel; a kernel of pixels does not."""
    grid = np.stack(np.meshgrid(np.arange(25) - 12.0, 12.0 - np.arange(25)), -1)

    def picture(angle):
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = cos * grid[..., 0] + sin * grid[..., 1], cos * grid[..., 1] - sin * grid[..., 0]
        return torch.from_numpy(np.exp(-((x - 3) ** 2 / 16 + y**2 / 6)))[None, None]

    conv = randomise(
        GridConv(FieldType(C8, "1x0"), FieldType(C8, "1xregular"), 7, 3, bias=False, kernel=Spline(3, spacing=1.2))
    ).double()
    middle = slice(12, 13)
    before, after = (conv(picture(a))[0, :, middle, middle].flatten() for a in (0.0, np.pi / 4))
    assert (after - before.roll(1)).abs().max() < 0.02 * before.abs().max()
    assert (after - before).abs().max() > 0.2 * before.abs().max()


def test_learnt_centres_begin_on_the_grid_and_move():
    a, b = FieldType(C4, "1xregular"), FieldType(C4, "2xregular")
    fixed, moving = (GridConv(a, b, 5, 2, kernel=Spline(3, learn_centres=learn)).double() for learn in (False, True))
    assert set(moving.state_dict()) == {"weight", "centres", "bias.value"} and moving.centres.shape == (5 * 4, 3)
    with torch.no_grad():
        moving.weight.copy_(fixed.weight)
    assert torch.allclose(moving.kernel(), fixed.kernel(), atol=1e-6)  # initial centres are in single precision
    x = image(a, 6, 6)
    moving(x).square().sum().backward()
    assert moving.centres.grad.abs().max() > 1e-3
    small = GridConv(FieldType(C4, "1x0"), b, 5, kernel=Spline(3, learn_centres=True), bias=False).double()
    parameters = [torch.randn_like(p).requires_grad_() * 0.4 for p in small.kernel_parameters()]
    assert torch.autograd.gradcheck(small.expansion, parameters)
    with torch.no_grad():
        moving.centres += 0.1
        moved = moving.kernel().clone()
    assert not torch.allclose(moved, fixed.kernel(), atol=1e-2)
    moving.reset_parameters()
    assert torch.allclose(moving.centres, moving.expansion.first, atol=1e-6)


def test_on_the_plane_arrays_and_graphs_agree():
    """T(2): GridConv over {e}, and GaugeConv on the grid with its equal frames and on the group, whose radius is the unit."""
    type, out = FieldType(ONE2, "2x0"), FieldType(ONE2, "3x0")
    shape, radius = (6, 7), 3.0
    grid = GridConv(type, out, 5, 2, bias=False, kernel=Spline(3, spacing=1.0, stretch=0.9, disk=False)).double()
    lift = geometry.lift_image("T2", shape, region="square")
    graph = geometry.lie_group("T2", lift, radius).to_graph()
    conv = GaugeConv(
        type, out, bias=False, self_interaction=False, kernel=Spline(3, spacing=1 / radius, stretch=0.9, disk=False)
    ).double()
    with torch.no_grad():
        taps = conv.expansion(conv.weight)  # (K, in, out), centres in the order of the log's coordinates
        order = np.lexsort([conv.columns.centres[:, 0].numpy(), -conv.columns.centres[:, 1].numpy()])
        grid.weight.copy_(taps[order].transpose(1, 2))
    x = image(type, *shape)[:1]
    expected = grid(x)[0].flatten(1).T * float(graph.weight[0])
    # It reaches 2.35 pixels on every axis: the square of 5 pixels has all of that, and so has the ball of radius 3.
    inner = lift.point
    found = conv(x[0].flatten(1).T.contiguous(), graph)
    assert torch.allclose(found, expected[inner], rtol=1e-10, atol=1e-12)


def test_on_a_group_it_is_the_sum_over_the_neighbours():
    lift = geometry.lift_points("SE2", np.random.default_rng(0).normal(size=(15, 2)), 2)
    graph = geometry.lie_group("SE2", lift, 1.5).to_graph()
    type = FieldType(ONE3, "2x0")
    family = Spline((3, 4, 3), 3, (0.5, 0.4, 0.6), 1.2)
    conv = randomise(GaugeConv(type, type, bias=False, self_interaction=False, kernel=family)).double()
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    source, target = graph.edge_index
    points = (graph.log / graph.radius[target, None]).numpy()
    values = np.ones((len(points), conv.columns.size))
    for axis, (spacing, centres) in enumerate(zip((0.5, 0.4, 0.6), conv.columns.centres.T.numpy())):
        basis = BSpline.basis_element(np.arange(5) - 2.0, extrapolate=False)
        values *= np.nan_to_num(basis((points[:, axis, None] - centres) / (1.2 * spacing)))
    assert torch.allclose(conv.columns.functions(torch.from_numpy(points)), torch.from_numpy(values), atol=1e-13)
    kernel = torch.einsum("ek,kio->eoi", torch.from_numpy(values), conv.expansion(conv.weight))
    expected = torch.zeros_like(x).index_add(0, target, graph.weight[:, None] * torch.einsum("eoi,ei->eo", kernel, x[source]))
    mean = torch.zeros_like(graph.radius).index_add(0, target, graph.weight) / torch.bincount(target).clamp_min(1)
    centre = conv.kernel(torch.zeros(1, 3, dtype=torch.float64))[0]
    assert torch.allclose(conv(x, graph), expected + mean[:, None] * (x @ centre.T), rtol=1e-10, atol=1e-12)
    h = geometry.LieGroup.of("SE2").exp(np.array([2.0, 1.0, -3.0]))
    moved = geometry.lie_group("SE2", h @ lift.elements, 1.5).to_graph()
    assert (conv(x, moved) - conv(x, graph)).abs().max() < 1e-9


def test_centres():
    def centres(dim=2, **options):
        type = FieldType(groups.Trivial(dim), "1x0")
        return GaugeConv(type, type, kernel=Spline(**options)).columns.centres

    assert len(centres()) == 21 and centres().norm(dim=1).max() < 1  # 5 x 5 without the corners
    assert len(centres(disk=False)) == 25 and len(centres(3, size=3)) == 19 and len(centres(6, size=3)) == 1 + 12 + 60
    assert torch.allclose(centres(size=3, spacing=0.1).unique(), torch.tensor([-0.1, 0.0, 0.1]).double())
    assert centres(3, size=(1, 3, 5), disk=False).shape == (15, 3)
    learnt = GaugeConv(*[FieldType(ONE2, "1x0")] * 2, kernel=Spline(3, learn_centres=True))
    assert learnt.table_key is None and learnt.radial.centres.shape == (9, 2)
    fixed = GaugeConv(*[FieldType(ONE2, "1x0")] * 2, kernel=Spline(3))
    assert fixed.table_key == GaugeConv(*[FieldType(ONE2, "2x0")] * 2, kernel=Spline(3)).table_key
    keys = {GaugeConv(*[FieldType(ONE2, "1x0")] * 2, kernel=Spline(**o)).table_key for o in (
        {}, {"size": 3}, {"degree": 3}, {"spacing": 0.3}, {"stretch": 2.0}, {"disk": False})}  # fmt: skip
    assert len(keys) == 6


def test_every_field_matters_on_arrays():
    regular = FieldType(C8, "1xregular")

    def kernel(**options):
        torch.manual_seed(0)
        return GridConv(regular, regular, 5, kernel=Spline(**options)).kernel()

    seen = [kernel(**o) for o in (
        {}, {"size": 3}, {"degree": 1}, {"spacing": 0.9}, {"stretch": 1.5}, {"disk": False}, {"fibre_size": 3},
        {"fibre_size": 3, "fibre_spacing": 2.0})]  # fmt: skip
    for i, one in enumerate(seen):
        assert not any(torch.allclose(one, other) for other in seen[:i])
    # Few centres on the rotations: blocks far from the identity are zero.
    local = kernel(fibre_size=1).unflatten(1, (8, -1)).unflatten(0, (8, -1)).abs().amax((1, 3, 4, 5))
    near = local > 0
    assert near.sum() == 3 * 8 and near.diagonal().all()  # a quadratic spline reaches the next sample


def test_initial_scale():
    for a, b in [("2x0", "4xregular"), ("2xregular", "4xregular")]:
        for group, options in [(C8, {}), (C8, {"fibre_size": 3}), (SCALES, {}), (C8, {"size": 3, "learn_centres": True})]:
            torch.manual_seed(0)
            a_type = FieldType(group, a)
            conv = GridConv(a_type, FieldType(group, b), 9, bias=False, kernel=Spline(**options)).double()
            assert 0.2 < conv(image(a_type, 30, 30)).std() < 2.5


def test_volumes():
    type = FieldType(ONE3, "2x0")
    conv = GridConv(type, type, 3, 1, bias=False, kernel=Spline(3, disk=False)).double()
    plain = torch.nn.functional.conv3d(image(type, 4, 4, 4), conv.kernel(), padding=1)
    assert torch.allclose(conv(image(type, 4, 4, 4)), plain)
    assert conv.weight.shape == (27, 2, 2)


REGULAR, SCALAR = FieldType(C8, "1xregular"), FieldType(C8, "1x0")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Spline(0), ValueError, "size"),
        (lambda: Spline(degree=-1), ValueError, "degree"),
        (lambda: Spline(spacing=0.0), ValueError, "spacing"),
        (lambda: Spline(spacing=(0.1, -1)), ValueError, "spacing"),
        (lambda: Spline(stretch=-1.0), ValueError, "stretch"),
        (lambda: Spline(fibre_size=0), ValueError, "fibre_size"),
        (lambda: Spline(fibre_spacing=0.0), ValueError, "fibre_spacing"),
        (lambda: GridConv(SCALAR, SCALAR, 5, kernel=Spline()), TypeError, "one block of regular"),
        (lambda: GridConv(*[FieldType(groups.SO2(), "1x0")] * 2, 5, kernel=Spline()), TypeError, "Cyclic"),
        (lambda: GridConv(SCALAR, REGULAR, 5, kernel=Spline(2)), ValueError, "no centres"),
        (lambda: GridConv(SCALAR, REGULAR, 5, kernel=Spline((3, 3))), ValueError, "one size"),
        (lambda: GridConv(SCALAR, REGULAR, 5, kernel=Spline(spacing=(1.0, 1.0))), ValueError, "one size and one spacing"),
        (lambda: GaugeConv(*[FieldType(ONE3, "1x0")] * 2, kernel=Spline((3, 3))), ValueError, "each of the 3 coordinates"),
        (lambda: GaugeConv(*[FieldType(groups.Trivial(6), "1x0")] * 2, kernel=Spline(2)), ValueError, "no centres"),
        (lambda: GaugeConv(SCALAR, SCALAR, kernel=Spline()), TypeError, "over {e}"),
    ],
)
def test_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_values():
    assert Spline([3, 3]) == Spline((3, 3)) and hash(Spline([3, 3], spacing=[1, 2])) == hash(Spline((3, 3), spacing=(1.0, 2.0)))
    assert isinstance(Spline(), kernels.KernelFamily)
