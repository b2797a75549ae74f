"""PlanarCNN: the published configurations, their invariance as shipped, every argument."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups
from gaugenet.models import PlanarCNN
from gaugenet.nn import GridConv, GridPool, InterpolatedConv, NormNonlinearity, ScaleConv
from gaugenet.testing import grid_symmetry_error
from tests.helpers.images import SMALL, image
from tests.helpers.networks import stirred

D4 = groups.Dihedral(4)
CONFIGURATIONS = {
    "LeCun": (groups.Trivial(), None),
    "mirror": (groups.Reflection(), "1x0 + 1x0- + 1xregular"),
    "p4": (groups.Cyclic(4), None),
    "p4m": (D4, None),
    "p4m irreps": (D4, "1x0 + 1x0- + 1x1 + 1x2"),
    "p4m quotient": (D4, [(1, D4.quotient(groups.Cyclic(2))), (1, D4.quotient(groups.Cyclic(4)))]),
    "p4m induced": (D4, [(1, groups.induced(groups.Cyclic(4).irrep(1), D4))]),
}


def moved(x, g):
    """An image (B, C, n, n) of scalars moved by an integer matrix g (x right, y up)."""
    if torch.det(g) < 0:
        g, x = g @ torch.diag(torch.tensor([1.0, -1.0]).to(g)), x.flip(2)
    quarters = round(float(torch.atan2(g[1, 0], g[0, 0])) / (torch.pi / 2))
    return torch.rot90(x, quarters, (2, 3))


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_invariant_under_all_elements_as_shipped(name, dtype, size):
    group, fields = CONFIGURATIONS[name]
    torch.manual_seed(0)
    net = stirred(PlanarCNN(group, fields, **SMALL)).to(dtype).eval()
    x = image(size=size, dtype=dtype)
    out = net(x)
    scale = (out[0] - out[1]).abs().max()  # what tells two images apart

    def change(g):
        return float((net(moved(x, g)) - out).abs().max() / scale)

    assert torch.isfinite(out).all() and scale > 1e-4 * out.abs().max()
    assert max(map(change, group.elements)) < (1e-10 if dtype == torch.float64 else 1e-2)
    if group.order < 8:
        assert max(map(change, D4.elements[~group.contains(D4.elements)])) > 0.05


@pytest.mark.parametrize(("group", "fields", "options"), [
    (groups.Cyclic(3), None, {}), (groups.Cyclic(6), None, {"reduce": "mean"}), (groups.Dihedral(6), None, {"norm": "layer"}),
    (groups.Dihedral(6), "1x0 + 1x1 + 1x2", {"basis": "band_limited"}), (groups.O2(), "1x0 + 1x1", {"basis": "band_limited"}),
    (groups.Cyclic(6), None, {"pool": 3}), (groups.Cyclic(6), None, {"pool": 1}),
], ids=str)  # fmt: skip
def test_hexagons(group, fields, options, dtype):
    """p6 and p6m with zero padding, pooling and biases: all elements exact."""
    torch.manual_seed(0)
    net = stirred(PlanarCNN(group, fields, **{**SMALL, "widths": (2, 2, 2, 2, 2), "lattice": "hexagonal", **options})).to(dtype)
    side = {1: 9, 2: 17, 3: 19}[options.get("pool", 2)]
    error = grid_symmetry_error(net, (side, side), net.in_type, lattice="hexagonal")
    assert error < (1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("order", [4, 8])
def test_interpolated_kernels(order):
    """SE(2,N): invariant under quarter turns whatever N."""
    torch.manual_seed(0)
    net = stirred(PlanarCNN(groups.Cyclic(order), basis="interpolated", **SMALL)).double().eval()
    x = image()
    assert torch.allclose(net(torch.rot90(x, 1, (2, 3))), net(x), rtol=1e-10, atol=1e-10)
    assert isinstance(net.body[0], InterpolatedConv)


BAND_LIMITED = {
    "C_8": (groups.Cyclic(8), None),
    "D_8": (groups.Dihedral(8), None),
    "SO(2)": (groups.SO2(), None),
    "O(2)": (groups.O2(), "1x0 + 1x0- + 1x1 + 1x2"),
    "O(2) induced": (groups.O2(), [(1, groups.induced(groups.SO2().irrep(k), groups.O2())) for k in (0, 1)]),
    "D_8 quotient": (groups.Dihedral(8), [(1, groups.Dihedral(8).quotient(groups.Cyclic(4)))]),
}


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("name", BAND_LIMITED)
def test_band_limited_kernels(name, size):
    """Steerable filter CNNs and E(2)-CNNs: exact for the elements that the grid has."""
    group, fields = BAND_LIMITED[name]
    torch.manual_seed(0)
    net = stirred(PlanarCNN(group, fields, basis="band_limited", **SMALL)).double().eval()
    x = image(size=size)
    out = net(x)
    scale = (out[0] - out[1]).abs().max()
    inside = D4.elements[group.contains(D4.elements)]
    assert len(inside) == (8 if group.reflects else 4)
    assert max(float((net(moved(x, g)) - out).abs().max() / scale) for g in inside) < 1e-9


def test_band_limited_kernels_turn_by_any_angle():
    """A smooth picture turned by 45 degrees: C_8 and SO(2) hardly see it, p4 does."""
    c = torch.arange(29, dtype=torch.float64) - 14
    y, x = torch.meshgrid(-c, c, indexing="ij")
    s = 0.5**0.5

    def picture(x, y):
        return torch.exp(-((x - 2) ** 2 + 3 * (y - 1) ** 2) / 30) * (1 + 0.2 * x) - torch.exp(-((x + 4) ** 2 + y**2) / 8)

    pictures = torch.stack([picture(x, y), picture(s * (x + y), s * (y - x)), picture(2 * y, x)])[:, None]
    change = {}
    for name, group, basis in (("p4", groups.Cyclic(4), "complete"), ("C_8", groups.Cyclic(8), "band_limited")):
        torch.manual_seed(0)
        options = {**SMALL, "kernel_size": 7, "pool": 1, "basis": basis}
        out = stirred(PlanarCNN(group, **options)).double().eval()(pictures)
        change[name] = float((out[1] - out[0]).norm() / (out[2] - out[0]).norm())
    assert change["C_8"] < 0.05 < change["p4"]


def test_scale_equivariant_network():
    """SESN by configuration: fields on the sampled scales, pooled over them at the end."""
    group = groups.Scaling((1.0, 2**0.5, 2.0))
    basis = partial(ScaleConv, kernel_size=7, effective_size=3)
    net = stirred(PlanarCNN(group, "1xregular", basis=basis, **SMALL)).eval()
    x = image(dtype=torch.float32)
    assert net.hidden_type == FieldType(group, "3xregular") and net.features(x).shape[:2] == (2, 3) and net(x).shape == (2, 4)
    net.train()(x).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.numel())


def test_trivial_group_is_a_plain_network():
    """Conv2d, BatchNorm2d, ReLU, max pooling, written out."""
    torch.manual_seed(0)
    net = stirred(PlanarCNN(groups.Trivial(), in_channels=3, **SMALL)).double().eval()
    x = y = image(3)
    for layer in net.body:
        if isinstance(layer, GridConv):
            y = F.conv2d(y, layer.kernel(), layer.bias.row(), padding=1)
        elif isinstance(layer, GridPool):
            y = F.max_pool2d(y, 2)
        elif isinstance(layer.layer, NormNonlinearity):
            y = y.relu()
        else:
            n = layer.layer
            y = F.batch_norm(y, n.running_mean, n.running_var, n.gamma, n.beta.row())
    assert torch.allclose(net(x), net.head(y.mean((2, 3))), rtol=1e-12, atol=1e-12)


def test_steps_of_training_change_the_running_averages_only_in_training():
    net, x = PlanarCNN(**SMALL), image(dtype=torch.float32, batch=8)
    before = copy.deepcopy(net.eval().state_dict())
    net(x)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    net.train()(x)
    assert any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_arguments():
    x = image(2, dtype=torch.float32)
    net = PlanarCNN(groups.Cyclic(4), "1x0 + 1x1", in_channels=2, **SMALL)
    assert net(x).shape == (2, 4) and [c.kernel_size for c in net.body if isinstance(c, GridConv)] == [3, 3, 3]
    assert PlanarCNN().in_type == FieldType(groups.Cyclic(4), "1x0") and PlanarCNN().head.out_features == 10
    assert PlanarCNN(D4, FieldType(D4, "1xregular"), **SMALL).hidden_type == FieldType(D4, "3xregular")
    assert any(isinstance(layer, GridPool) for layer in PlanarCNN(**SMALL).body)
    assert not any(isinstance(layer, GridPool) for layer in PlanarCNN(pool=1, **SMALL).body)
    assert next(c for c in PlanarCNN(reduce="mean", pool=3, **SMALL).body if isinstance(c, GridPool)).reduce == "mean"
    torch.manual_seed(0)
    net = PlanarCNN(**SMALL).eval()
    other = PlanarCNN(readout="max", **SMALL).eval()
    other.load_state_dict(dict(net.state_dict()))  # the numbers without what the network was built with
    assert not torch.allclose(net(x[:, :1]), other(x[:, :1]))
    act = PlanarCNN(activation="elu", **SMALL).eval()
    act.load_state_dict(dict(net.state_dict()))
    assert not torch.allclose(net(x[:, :1]), act(x[:, :1]))
    assert len(PlanarCNN(norm=None, **SMALL).body) == len(net.body) - 3
    assert PlanarCNN(norm="layer", **SMALL).body[1].layer.mode == "layer"
    dropped = PlanarCNN(dropout=0.5, norm="layer", **SMALL).train()
    assert not torch.equal(dropped(x[:, :1]), dropped(x[:, :1]))
    partly = PlanarCNN(nonlinearity=partial(NormNonlinearity, activation="tanh"), **SMALL)
    assert partly.body[2].layer.activation == "tanh"
    wide = PlanarCNN(basis=partial(GridConv, kernel_size=5, padding=None), **SMALL)
    assert wide.body[0].kernel_size == 5


def test_refuses():
    with pytest.raises(TypeError, match="Cyclic"):
        PlanarCNN(groups.Cyclic(4), FieldType(D4, "1xregular"))
    for bad in ({"readout": "sum"}, {"widths": ()}, {"widths": (0,)}, {"basis": "fancy"}, {"nonlinearity": "fancy"}):
        with pytest.raises(ValueError):
            PlanarCNN(**bad)
    with pytest.raises(ValueError, match="square pixels"):
        PlanarCNN(groups.Cyclic(6), basis="interpolated", lattice="hexagonal")
    with pytest.raises(ValueError, match="odd"):
        PlanarCNN(groups.Cyclic(6), lattice="hexagonal")(image(size=16, dtype=torch.float32))
