"""Whole networks on images: exact symmetries, and the defects that users of other libraries know, each shown to be absent."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from gaugenet import FieldType, groups
from gaugenet.nn import (
    FieldNorm,
    GatedNonlinearity,
    GridBlur,
    GridConv,
    GridConvTranspose,
    GridDropout,
    GridPool,
    GridUpsample,
    NormNonlinearity,
    OnGrid,
    PolynomialNonlinearity,
    RegularNonlinearity,
    Restrict,
    ToScalars,
)
from gaugenet.testing import grid_symmetries, grid_symmetry_error

LIMITED = {"basis": "band_limited"}
C4, D4, C6, D6 = groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(6), groups.Dihedral(6)
FINITE = [groups.Reflection(), groups.Cyclic(2), C4, groups.Cyclic(8), D4, groups.Dihedral(8)]
HIDDEN = {"regular": "2xregular", "mixed": "2x0 + 1xregular + 1x1"}


def network(
    group, hidden: str, nonlinearity=NormNonlinearity, classes: int | None = 5, down=GridPool, **options
) -> nn.Sequential:
    """Lifting, pooling, a group convolution and the invariant end; one more field without an end where classes is None."""
    # Norms that all lie below their thresholds answer everything alike, and two that differ by rounding pool differently.
    torch.manual_seed(0)
    scalars, hidden = FieldType(group, "2x0"), FieldType(group, hidden)
    act = nonlinearity(hidden)
    layers = [GridConv(scalars, act.in_type, 3, 1, **options), OnGrid(FieldNorm(act.in_type)), OnGrid(act)]
    layers += [down(hidden)] if down else []
    layers += [GridConv(hidden, hidden, 5, 2, **options), OnGrid(FieldNorm(hidden, "layer")), GridDropout(hidden, 0.1)]
    if classes is not None:
        end = OnGrid(ToScalars(hidden))
        layers += [end, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(end.out_type.dim, classes)]
    net = nn.Sequential(*layers)
    net.in_type, net.out_type = scalars, None if classes is not None else hidden
    return randomised(net)


def randomised(net: nn.Module) -> nn.Module:
    """Random weights and biases, and running averages that are not those of the start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    x = torch.randn(4, net.in_type.dim, 8, 8, generator=generator).to(next(net.parameters()))
    net.train()(x)
    return net.eval()


@pytest.mark.parametrize("down", [GridPool, GridBlur])
@pytest.mark.parametrize("basis", ["complete", "band_limited"])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("group", FINITE, ids=str)
def test_all_elements_that_the_grid_has(group, hidden, basis, down):
    if basis == "complete" and 8 in (group.order, group.order // 2) and group != D4:
        pytest.skip("turns by 45 degrees do not map square taps to taps: complete kernels do not exist")
    text = HIDDEN[hidden].replace("1x1", "1x0-") if group == groups.Reflection() else HIDDEN[hidden]
    for classes in (5, None):
        net = network(group, text, classes=classes, down=down, basis=basis).double()
        for shape in [(8, 8), (9, 9), (8, 5)]:
            assert grid_symmetry_error(net, shape, net.in_type, net.out_type) < 1e-10
        net = net.float()
        assert grid_symmetry_error(net, (8, 8), net.in_type, net.out_type) < 1e-4


@pytest.mark.parametrize("nonlinearity", [
    GatedNonlinearity, NormNonlinearity, PolynomialNonlinearity, RegularNonlinearity
])  # fmt: skip
@pytest.mark.parametrize("group", [groups.SO2(), groups.O2()], ids=str)
def test_infinite_groups(group, nonlinearity):
    for classes in (5, None):
        net = network(group, "2x0 + 2x1 + 2x2", nonlinearity, classes, **LIMITED).double()
        for shape in [(8, 8), (9, 9), (8, 5)]:
            assert grid_symmetry_error(net, shape, net.in_type, net.out_type) < 1e-10
    net = network(group, "2x0 + 2x1 + 2x2", nonlinearity, None, None, lattice="hexagonal", padding_mode="circular", **LIMITED)
    net, options = net.double(), {"lattice": "hexagonal", "periodic": True, "centre": "pixel"}
    assert grid_symmetry_error(net, (8, 8), net.in_type, net.out_type, **options) < 1e-10


@pytest.mark.parametrize("basis", ["complete", "band_limited"])
@pytest.mark.parametrize("group", [C6, D6, groups.Dihedral(3)], ids=str)
def test_hexagonal_networks(group, basis):
    """Exact for all elements on the torus of hexagons."""
    net = network(group, "2x0 + 1xregular", down=None, lattice="hexagonal", padding_mode="circular", basis=basis).double()
    options = {"lattice": "hexagonal", "periodic": True, "centre": "pixel"}
    assert grid_symmetry_error(net, (8, 8), net.in_type, net.out_type, **options) < 1e-10


def every_field(group) -> FieldType:
    """Trivial, irreps, regular, quotient and induced fields."""
    blocks = [(2, group.trivial), (1, group.regular), *((1, rep) for rep in group.irreps())]
    for n in (2, 3):
        smaller = groups.Cyclic(n)
        if bool(group.contains(smaller.elements).all()):
            blocks += [(1, group.quotient(smaller)), *((1, group.induced(rep)) for rep in smaller.irreps())]
    if isinstance(group, groups.Dihedral) and group.n > 2:
        blocks.append((1, groups.induced(groups.Cyclic(group.n).irrep("1"), group)))
    return FieldType(group, blocks)


SQUARE_GROUPS = [groups.Reflection(), groups.Cyclic(2), C4, groups.Dihedral(2), D4]
HEXAGON_GROUPS = [groups.Cyclic(2), groups.Cyclic(3), C6, groups.Dihedral(3), D6]


@pytest.mark.parametrize("basis", ["complete", "band_limited"])
@pytest.mark.parametrize(("lattice", "group", "size"), [
    *[("square", group, size) for group in SQUARE_GROUPS for size in (2, 3, 4, 5)],
    *[("hexagonal", group, size) for group in HEXAGON_GROUPS for size in (3, 5)],
], ids=str)  # fmt: skip
def test_every_element_for_every_field(lattice, group, size, basis):
    """Quotient and induced fields, too, with odd and even kernels: two layers with biases and what lies between them."""
    torch.manual_seed(0)
    scalars, fields = FieldType(group, "2x0"), every_field(group)
    closed = {"padding_mode": "circular"} if lattice == "hexagonal" else {}
    options = {"lattice": lattice, "basis": basis, "padding": size // 2, **closed}
    down = [GridPool(fields)] if lattice == "square" else [GridPool(fields, 3, stride=2, padding=1, lattice=lattice, **closed)]
    net = nn.Sequential(
        GridConv(scalars, fields, size, **options), OnGrid(FieldNorm(fields)), OnGrid(NormNonlinearity(fields)),
        *down, GridConv(fields, fields, size, **options),
    )  # fmt: skip
    net.in_type = scalars
    net = randomised(net).double()
    where = {"lattice": lattice, "periodic": True, "centre": "pixel"} if lattice == "hexagonal" else {}
    assert len(grid_symmetries(scalars, (8, 8), **where)) == group.order
    assert grid_symmetry_error(net, (8, 8), scalars, fields, **where) < 1e-10


def test_restricted_half_way():
    """D_4 strokes, then only what C_2 leaves: exact for C_2, not for D_4."""
    before, half = FieldType(D4, "2xregular"), Restrict(FieldType(D4, "2xregular"), groups.Cyclic(2))
    after = FieldType(groups.Cyclic(2), "2xregular")
    net = nn.Sequential(
        GridConv(FieldType(D4, "2x0"), before, 3, 1), OnGrid(NormNonlinearity(before)), half,
        GridConv(half.out_type, after, 3, 1),
        OnGrid(ToScalars(after)), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    assert grid_symmetry_error(net, (7, 7), FieldType(groups.Cyclic(2), "2x0")) < 1e-10
    assert grid_symmetry_error(net, (7, 7), FieldType(D4, "2x0")) > 1e-3
    assert grid_symmetry_error(net[:2], (7, 7), FieldType(D4, "2x0"), before) < 1e-10


def test_down_and_up_again():
    """An autoencoder: fields out, of the size of the input."""
    type, hidden = FieldType(D4, "2x0 + 1x1"), FieldType(D4, "2xregular")
    net = nn.Sequential(
        GridConv(type, hidden, 4, 1, stride=2), OnGrid(NormNonlinearity(hidden)),
        GridConvTranspose(hidden, hidden, 4, 1, stride=2),
        OnGrid(NormNonlinearity(hidden)), GridBlur(hidden), GridUpsample(hidden), GridConv(hidden, type, 3, 1),
    ).double()  # fmt: skip
    assert net(torch.randn(1, 4, 8, 8, dtype=torch.float64)).shape == (1, 4, 8, 8)
    assert grid_symmetry_error(net, (8, 8), type, type) < 1e-10


NETS = {
    "p4m": lambda: network(D4, "2xregular"),
    "C8": lambda: network(groups.Cyclic(8), "1xregular + 2x0 + 1x2", **LIMITED),
    "SO2": lambda: network(groups.SO2(), "2x0 + 2x1", GatedNonlinearity, **LIMITED),
    "O2": lambda: network(groups.O2(), "2x0 + 2x1", PolynomialNonlinearity, **LIMITED),
}


@pytest.fixture(params=NETS)
def net(request) -> nn.Sequential:
    return NETS[request.param]()


def images(net: nn.Sequential, count: int = 3) -> torch.Tensor:
    return torch.randn(count, net.in_type.dim, 8, 8, generator=torch.Generator().manual_seed(1))


def test_another_net_in_double_precision_changes_nothing(net):
    """No cache shares tensors between networks."""
    x, twin = images(net), copy.deepcopy(net)
    before = net(x)
    twin.double()(x.double())
    assert torch.equal(net(x), before)
    assert all(p.dtype == torch.float32 for p in net.state_dict().values() if p.is_floating_point())
    again = copy.deepcopy(net).double()
    assert torch.allclose(again(x.double()), twin(x.double()), rtol=1e-12, atol=1e-12)


def test_the_way_there_and_back_keeps_constants_exact(net):
    """float, then double: constants have the precision of double, so that the network is as symmetric as any."""
    assert grid_symmetry_error(copy.deepcopy(net).float().double(), (8, 8), net.in_type) < 1e-10


def test_one_state_dict_in_training_and_evaluation(net):
    keys = list(net.train().state_dict())
    assert list(net.eval().state_dict()) == keys
    assert all("spread" not in key and "place" not in key and "factor" not in key for key in keys)
    fresh = copy.deepcopy(net)
    randomised(fresh)
    fresh.train().load_state_dict(net.eval().state_dict())
    assert torch.equal(fresh.eval()(images(net)), net(images(net)))


def test_weights_edited_in_evaluation_count(net):
    x = images(net)
    before = net.eval()(x)
    with torch.no_grad():
        net[0].weight.mul_(2)
    changed = net(x)
    assert not torch.allclose(changed, before)
    with torch.no_grad():
        net[0].weight.div_(2)
    assert torch.allclose(net(x), before)
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(net.parameters()) * 0.5, net.parameters())
    assert not torch.allclose(net(x), before)


def test_pickle_deepcopy_and_save(net):
    x, expected = images(net), net(images(net))
    buffer = io.BytesIO()
    torch.save(net, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), expected)
        with torch.no_grad():
            twin[0].weight.zero_()
    assert torch.equal(net(x), expected)


@pytest.mark.parametrize("name", ["p4m", "O2"])  # tracing takes seconds
def test_compile_and_export(name):
    torch._dynamo.reset()
    net = NETS[name]()
    x, expected = images(net), net(images(net))
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x), expected, atol=1e-5)
    compiled(x).square().sum().backward()
    assert net[0].weight.grad.abs().max() > 0
    program = torch.export.export(net, (x,))
    assert torch.allclose(program.module()(x), expected, atol=1e-5)
    torch._dynamo.reset()


def test_an_image_does_not_see_its_batch(net):
    x = images(net)
    assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-5)


def test_gradients_reach_every_parameter(net):
    net.train()(images(net)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters() if p.numel())


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_memory_formats_agree(net, memory_format):
    x = images(net)
    assert torch.allclose(net(x.contiguous(memory_format=memory_format)), net(x), atol=1e-5)
