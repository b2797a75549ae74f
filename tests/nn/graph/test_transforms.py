"""torch.func and torch.compile on the default backend, on graphs as they come."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, hessian, jacrev, jvp, vmap

from gaugenet import FieldType, geometry, groups
from gaugenet.models import MeshClassifier, MeshUNet
from gaugenet.nn import ConePoints, GaugeConv, LatticeConv, LatticePool
from tests.helpers.graphs import random_graph, two_level_graph
from tests.helpers.networks import randomise

FT = FieldType(groups.SO2(), "2x0 + 1x1 + 1x2")


@pytest.fixture(scope="module")
def graph():
    return two_level_graph(1)


@pytest.fixture(params=["conv", "classifier", "unet"])
def net(request):
    torch.manual_seed(0)
    made = {
        "conv": lambda: GaugeConv(FT, FT),
        "classifier": lambda: MeshClassifier(FT, 3, channels=2, blocks=(1, 1)).eval(),
        "unet": lambda: MeshUNet(FT, FT, channels=2, blocks=(1, 1)).eval(),
    }
    return made[request.param]().double()


def features(graph, count: int = 1) -> torch.Tensor:
    x = torch.randn(count, graph.num_nodes, FT.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x if count > 1 else x[0]


def test_derivatives(net, graph):
    x, v = features(graph), features(graph).flip(0)

    def loss(x):
        return net(x, graph).sin().sum()

    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(leaf), leaf, create_graph=True)
    (second,) = torch.autograd.grad((first * v).sum(), leaf)
    value, slope = jvp(loss, (x,), (v,))
    assert torch.allclose(value, loss(x), rtol=1e-12, atol=1e-12)
    assert torch.allclose(grad(loss)(x), first, rtol=1e-9, atol=1e-11)
    assert torch.allclose(slope, (first * v).sum(), rtol=1e-9, atol=1e-11)
    assert torch.allclose(jvp(grad(loss), (x,), (v,))[1], second, rtol=1e-8, atol=1e-10)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, v)
        assert torch.allclose(torch.autograd.forward_ad.unpack_dual(loss(dual)).tangent, slope, rtol=1e-12, atol=1e-12)


def test_many_fields_at_a_time(net, graph):
    x = features(graph, 3)
    out = vmap(lambda x: net(x, graph))(x)
    assert torch.allclose(out, torch.stack([net(f, graph) for f in x]), rtol=1e-10, atol=1e-12)


def test_gradients_for_each_field(net, graph):
    """Per-sample gradients to the weights."""
    parameters, x = dict(net.named_parameters()), features(graph, 2)

    def loss(parameters, x):
        return functional_call(net, parameters, (x, graph)).sin().sum()

    each = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for k in range(2):
        expected = torch.autograd.grad(net(x[k], graph).sin().sum(), list(parameters.values()), allow_unused=True)
        for (name, ours), theirs in zip(each.items(), expected):
            theirs = torch.zeros_like(ours[k]) if theirs is None else theirs
            assert torch.allclose(ours[k], theirs, rtol=1e-8, atol=1e-10), name


def test_jacobian_and_hessian():
    small = geometry.icosphere(0).to_graph()
    conv, x = GaugeConv(FT, FT).double(), features(small)
    jacobian = jacrev(lambda x: conv(x, small))(x)
    expected = torch.autograd.functional.jacobian(lambda x: conv(x, small), x)
    assert torch.allclose(jacobian, expected, rtol=1e-10, atol=1e-12)
    second = hessian(lambda x: conv(x, small).sin().sum())(x)
    expected = torch.autograd.functional.hessian(lambda x: conv(x, small).sin().sum(), x)
    assert torch.allclose(second, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("warm", [True, False])
def test_compiles_in_one_graph(net, graph, warm):
    """Also where the graph has no plan yet."""
    torch._dynamo.reset()
    on, x = graph.clone(), features(graph)
    if warm:
        net(x, on)
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    results = []
    for model, where in ((compiled, on), (net, graph)):
        net.zero_grad()
        out = model(x, where)
        out.square().sum().backward()
        results.append([out.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)])
    for ours, expected in zip(*results):
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-10)
    assert bool(on.plans) == warm
    torch._dynamo.reset()


def test_lattices_compile_and_differentiate():
    a = FieldType(groups.Cyclic(6), "1xregular + 1x1")
    conv, ico = LatticeConv(a, a).double(), geometry.icosahedron(1).to_graph()
    x = torch.randn(ico.num_nodes, a.dim, dtype=torch.float64)
    expected = conv(x, ico)
    assert torch.allclose(torch.compile(conv, fullgraph=True, backend="aot_eager")(x, ico), expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(vmap(lambda x: conv(x, ico))(torch.stack([x, 2 * x]))[0], expected, rtol=1e-11, atol=1e-12)
    slope = jvp(lambda x: conv(x, ico), (x,), (x,))[1]
    assert torch.allclose(slope, expected - conv(0 * x, ico), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("group", [groups.Cyclic(4), groups.Dihedral(3), groups.SO2()], ids=str)
def test_networks_compile_whole_on_a_graph_without_a_plan(group):
    """Every layer asks for the elements of a finite group again: the compiler takes them as numbers."""
    type = FieldType(group, "2x0 + 1xregular" if group.order else "2x0 + 1x1")
    first, second = (randomise(GaugeConv(type, type)).double() for _ in range(2))
    x = torch.randn(40, type.dim, dtype=torch.float64)
    expected = second(first(x, random_graph(group)), random_graph(group))
    compiled = torch.compile(lambda x, graph: second(first(x, graph), graph), fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, random_graph(group)), expected, rtol=1e-12, atol=1e-12)


_C6 = groups.Cyclic(6)


@pytest.mark.parametrize("corners", ["cone", "zero", "average"])
@pytest.mark.parametrize(
    "make",
    [
        lambda corners: LatticeConv(FieldType(_C6, "1xregular + 1x1"), FieldType(_C6, "2x0"), corners=corners),
        lambda corners: GaugeConv(FieldType(_C6, "1xregular + 1x1"), FieldType(_C6, "1xregular"), corners=corners),
        lambda corners: LatticePool(FieldType(_C6, "1x0 + 1x1"), corners=corners),
        lambda corners: LatticePool(FieldType(_C6, "2xregular"), "max", corners=corners),
        lambda corners: LatticePool(FieldType(_C6, "1x1"), "stride", corners=corners),
        lambda corners: ConePoints(FieldType(_C6, "1xregular + 1x1"), corners),
    ],
    ids=["lattice conv", "gauge conv", "mean", "max", "stride", "points"],
)
def test_lattices_compile_whole_without_a_plan(make, corners):
    """Cone points and taps are found with shapes that do not depend on the numbers."""
    layer = randomise(make(corners)).double()
    graphs = [geometry.icosahedron(2, levels=1).to_graph() for _ in range(2)]
    x = torch.randn(graphs[0].num_nodes, layer.in_type.dim, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(x, graphs[0]), layer(x, graphs[1]), rtol=1e-12, atol=1e-13)
    assert not graphs[0].plans
    torch._dynamo.reset()


def test_compiled_taps_refuse_other_lattices():
    layer = LatticeConv(FieldType(_C6, "1xregular"), FieldType(_C6, "1x0"))
    graph = geometry.icosphere(1).to_graph()
    graph.log[0] *= 1.3
    graph.log[0] @= torch.tensor([[0.9, 0.4], [-0.4, 0.9]], dtype=graph.log.dtype)
    with pytest.raises(RuntimeError, match="on none of its taps"):
        torch.compile(layer, fullgraph=True, backend="aot_eager")(torch.randn(graph.num_nodes, 6), graph)
    torch._dynamo.reset()
