"""EdgeFrameConv: the numbers of GaugeConv by another way."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.data import StaticGraph
from gaugenet.nn import EdgeFrameConv, GaugeConv
from gaugenet.testing import equivariance_error
from tests.helpers.networks import randomise

SO3, O3 = groups.SO3(), groups.O3()
CASES = {
    "one order": (FieldType(SO3, "2x1"), FieldType(SO3, "3x1")),
    "scalars": (FieldType(SO3, "2x0"), FieldType(SO3, "1x0")),
    "up to 3": (FieldType(SO3, "2x0 + 1x1 + 2x3"), FieldType(SO3, "1x3 + 2x1 + 1x2 + 1x0")),
    "high": (FieldType(SO3, "1x0 + 2x5"), FieldType(SO3, "1x4 + 1x6")),
    "reflections": (FieldType(O3, "1x0e + 1x0o + 2x1o + 1x1e"), FieldType(O3, "2x0e + 1x0o + 1x1o + 1x1e + 1x2e + 1x2o")),
}


def graph_of(**options):
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    return geometry.points(x.numpy(), **(options or {"neighbours": 5})).to_graph()


def both(types, **options) -> tuple[EdgeFrameConv, GaugeConv]:
    """With the same weights."""
    conv = randomise(EdgeFrameConv(*types, **options)).double()
    if "radial" in options or "max_frequency" in options:
        options = {k: v for k, v in options.items() if k not in ("radial", "max_frequency")} | {
            "kernel": kernels.Polar(options.get("radial", 2), options.get("max_frequency"), quadrature=None)
        }
    else:
        options = options | {"quadrature": None}
    plain = GaugeConv(*types, **options).double()
    plain.load_state_dict(conv.state_dict())
    return conv, plain


@pytest.mark.parametrize("case", CASES)
def test_the_same_numbers_and_gradients(case):
    types, graph = CASES[case], graph_of()
    x = types[0].randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    conv, plain = both(types)
    out, wanted = conv(x, graph), plain(x, graph)
    assert (out - wanted).abs().max() < 1e-12 * wanted.abs().max()
    upstream = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = []
    for y, net in ((out, conv), (wanted, plain)):
        found.append(torch.autograd.grad(y, [x, *(p for p in net.parameters() if p.numel())], upstream))
    for a, b in zip(*found):
        assert (a - b).abs().max() < 1e-11 * b.abs().max()
    EdgeFrameConv(*types).load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"radial": 3},
        {"radial": kernels.RadialMLP(2, 4, 3)},
        {"max_frequency": 1},
        {"bias": False},
        {"self_interaction": False},
    ],
    ids=str,
)
def test_every_argument(options):
    types, graph = CASES["up to 3"], graph_of(radius=1.5, weight="sum")
    x = types[0].randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    conv, plain = both(types, **options)
    with torch.no_grad():
        out, wanted = conv(x, graph), plain(x, graph)
        assert (out - wanted).abs().max() < 1e-12 * wanted.abs().max()
        other = randomise(EdgeFrameConv(*types)).double()(x, graph)
    assert not torch.allclose(other, out)


def test_frames_that_were_turned():
    """Transporters are no identities then."""
    types, graph = CASES["up to 3"], graph_of()
    h = SO3.sample(20, generator=torch.Generator().manual_seed(3))
    turned = graph.gauge_transform(h)
    conv, plain = both(types)
    x = types[0].randn(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (conv(x, turned) - plain(x, turned)).abs().max() < 1e-12 * plain(x, turned).abs().max()
    assert equivariance_error(conv, graph, *types) < 1e-12


def test_motions():
    types = CASES["reflections"]
    conv = randomise(EdgeFrameConv(*types)).double()
    points = torch.randn(15, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = types[0].randn(15, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for g in O3.sample(5, generator=torch.Generator().manual_seed(2)):
        one, other = (geometry.points(p.numpy(), neighbours=5).to_graph() for p in (points, points @ g.T + 1.0))
        with torch.no_grad():
            before, after = types[1].transform(g, conv(x, one)), conv(types[0].transform(g, x), other)
        assert (before - after).abs().max() < 1e-12 * before.abs().max()


def test_several_fields_on_one_graph():
    types, graph = CASES["up to 3"], graph_of()
    conv = randomise(EdgeFrameConv(*types)).double()
    x = types[0].randn(2, 20, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(conv(x.flatten(0, 1), StaticGraph(graph)), torch.cat([conv(f, graph) for f in x]), atol=1e-12)


def test_the_graph_keeps_the_rotations(monkeypatch):
    types, graph = CASES["up to 3"], graph_of()
    conv, x = randomise(EdgeFrameConv(*types)).double(), types[0].randn(20, dtype=torch.float64)
    first = conv(x, graph)
    monkeypatch.setattr("gaugenet.nn.graph.edge_frames.raised_action", lambda *_: pytest.fail("made again"))
    assert torch.equal(conv(x, graph), first)


def test_what_does_not_fit():
    with pytest.raises(TypeError, match=r"irreps of SO\(3\) or O\(3\), got .*: take GaugeConv"):
        EdgeFrameConv(FieldType(groups.SO2(), "1x0"), FieldType(groups.SO2(), "1x0"))
    with pytest.raises(TypeError, match="take GaugeConv"):
        regular = FieldType(groups.Octahedral(), "1xregular")
        EdgeFrameConv(regular, regular)
    scalars = FieldType(SO3, "1x0")
    graph = geometry.points([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]], radius=2.0).to_graph(torch.float32)
    with pytest.raises(ValueError, match="edge 0 coincide"):
        EdgeFrameConv(scalars, scalars)(torch.ones(3, 1), graph)
