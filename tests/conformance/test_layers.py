"""What every layer and network must do, one check after another over the registry."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import pytest
import torch

from gaugenet import FieldType, models, nn
from gaugenet.data import StaticGraph
from gaugenet.testing import equivariance_error, grid_symmetry_error
from tests.helpers.networks import randomise

from .recipes import Recipe, graph_of, in_training, takes_graph
from .registry import OTHERS, RECIPES


def every(check: str, recipes=RECIPES):
    """Parametrize a test with recipes; where the registry knows a defect it must fail, so that no mark outlives its reason."""

    def marks(recipe: Recipe) -> list:
        reason = recipe.known.get(check)
        return [pytest.mark.xfail(strict=True, reason=reason)] if reason else []

    return pytest.mark.parametrize("recipe", [pytest.param(r, id=str(r), marks=marks(r)) for r in recipes])


ONE_OF_EACH = list({r.cls: r for r in reversed(RECIPES)}.values())


def run(net: torch.nn.Module, *inputs) -> torch.Tensor:
    """The output, with the same random numbers at every call."""
    torch.manual_seed(7)
    return net(*inputs)


def test_registry_is_complete():
    public = {getattr(module, name) for module in (nn, models) for name in module.__all__}
    classes = {c for c in public if inspect.isclass(c)}
    known = {r.cls for r in RECIPES} | set(OTHERS)
    assert classes == known, f"no recipe: {classes - known}; not public: {known - classes}"
    assert len({str(r) for r in RECIPES}) == len(RECIPES)


@every("eval")
def test_does_not_depend_on_frames(recipe: Recipe):
    """Gauge equivariance on graphs, symmetries of the pixels on images."""
    check_symmetry(recipe, training=False)


@every("train")
def test_does_not_depend_on_frames_in_training(recipe: Recipe):
    """With statistics of the batch, and dropout with the same random numbers."""
    check_symmetry(recipe, training=True)


def check_symmetry(recipe: Recipe, training: bool) -> None:
    net = recipe.make().double()
    limit, reason = (recipe.train_symmetric if training else None) or recipe.symmetric
    assert limit == 1e-10 or reason
    if math.isinf(limit):
        pytest.skip(reason)
    in_type, out_type = recipe.types(net)
    net = in_training(net) if training else net
    if not recipe.on_graph and recipe.on != "nodes":
        x = recipe.x(recipe.make())
        error = grid_symmetry_error(net, x.shape[2:], in_type, out_type, lattice=recipe.lattice, x=x)
    else:
        graph = graph_of(recipe.on if recipe.on_graph else {2: "sphere", 3: "space"}[in_type.group.dim])
        error = equivariance_error(net, graph, in_type, out_type, out_level=recipe.out_level)
    assert error <= limit


@every("dtype")
def test_keeps_the_dtype(recipe: Recipe, dtype):
    net = recipe.make().to(dtype).eval()
    out = run(net, *recipe.inputs(net, dtype))
    assert out.dtype == dtype and torch.isfinite(out).all() and out.abs().max() > 0
    reference = recipe.make().double().eval()
    expected = run(reference, *recipe.inputs(reference))
    limit = 1e-12 if dtype == torch.float64 else 1e-3
    assert (out.double() - expected).abs().max() <= limit * expected.abs().max()


@every("device")
def test_is_wholly_on_its_device(recipe: Recipe):
    """Moved to the meta device nothing is left behind; where a graph's numbers are not needed, it runs there."""
    net = recipe.make().to("meta").eval()
    assert all(tensor.is_meta for tensor in net.state_dict(keep_vars=True).values())
    assert all(tensor.is_meta for _, tensor in net.named_buffers())
    if recipe.no_meta:
        pytest.skip(recipe.no_meta)
    (x,) = recipe.inputs(net, torch.float32)
    out = net(x.to("meta"))
    assert out.is_meta
    assert out.shape == recipe.make().eval()(x).shape


@every("state")
def test_state_is_the_same_in_train_and_eval(recipe: Recipe):
    net = recipe.make()
    keys = list(net.train().state_dict())
    assert list(net.eval().state_dict()) == keys
    inputs = recipe.inputs(net, torch.float32)
    expected = run(net, *inputs)
    fresh = recipe.layer() if recipe.wrap is None else recipe.wrap(recipe.layer())
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(run(fresh.eval(), *inputs), expected)
    # As exact as a network that was never in single precision.
    exact = (recipe.layer() if recipe.wrap is None else recipe.wrap(recipe.layer())).double().eval()
    exact.load_state_dict(net.double().state_dict())
    inputs = recipe.inputs(net)
    assert torch.equal(run(exact, *inputs), run(net, *inputs))


@every("reset")
def test_parameters_are_reset(recipe: Recipe):
    """With the same random numbers to those of a new layer."""
    net = recipe.layer()
    if not hasattr(net, "reset_parameters"):
        pytest.skip("a layer without a method reset_parameters: there is nothing to compare with a new one")
    randomise(net)
    before = [p.clone() for p in net.parameters()]
    net.reset_parameters()
    assert all(not p.numel() or not torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


@every("copies")
def test_copies_give_the_same(recipe: Recipe):
    net = recipe.make().eval()
    inputs = recipe.inputs(net, torch.float32)
    expected = run(net, *inputs)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(run(other, *inputs), expected)
        for (name, a), (_, b) in zip(net.named_parameters(), other.named_parameters()):
            assert a is not b and torch.equal(a, b), name


@every("gradients")
def test_trains(recipe: Recipe):
    """Every parameter has a finite gradient; the running averages move."""
    net = recipe.make().double().train()
    x, *graph = recipe.inputs(net)
    x.requires_grad_()
    run(net, x, *graph).sin().sum().backward()
    assert torch.isfinite(x.grad).all()
    for name, p in net.named_parameters():
        assert not p.numel() or p.grad is not None, name
        assert not p.numel() or torch.isfinite(p.grad).all(), name


@every("compile", ONE_OF_EACH)
def test_compiles_to_one_graph(recipe: Recipe):
    if recipe.no_compile:
        pytest.skip(recipe.no_compile)
    torch._dynamo.reset()
    net = recipe.make().eval()
    x, *graph = recipe.inputs(net, torch.float32)
    graph = [StaticGraph(g) for g in graph]
    with torch.no_grad():
        expected = run(net, x, *graph)  # plans are made here
        # Of networks, which are made of layers, it is enough that they are one graph.
        backend = "aot_eager" if recipe.cls.__name__ in nn.__all__ else "eager"
        out = run(torch.compile(net, fullgraph=True, backend=backend), x, *graph)
    torch._dynamo.reset()
    assert (out - expected).abs().max() <= 1e-5 * expected.abs().max()


@every("export", ONE_OF_EACH)
def test_exports(recipe: Recipe):
    if recipe.no_export:
        pytest.skip(recipe.no_export)
    net = recipe.make().double().eval()
    inputs = recipe.inputs(net)
    expected = net(*inputs)
    if takes_graph(net) and len(inputs) == 2:
        inputs = inputs[0], nn.graph_inputs(net, inputs[1])
        net = nn.export(net)
    program = torch.export.export(net, inputs)
    assert (program.module()(*inputs) - expected).abs().max() <= 1e-12 * expected.abs().max()


@every("repr")
def test_repr_names_the_class(recipe: Recipe):
    net = recipe.layer()
    text = repr(net)
    assert text.startswith(type(net).__name__ + "(") and "object at 0x" not in text


@every("features")
def test_refuses_wrong_features(recipe: Recipe):
    net = recipe.make().eval()
    x, *graph = recipe.inputs(net, torch.float32)
    wide = torch.cat([x, x[:, :1]], 1)
    with pytest.raises(ValueError, match=r"\d"):
        net(wide, *graph)
    if any(p.numel() for p in net.parameters()):
        with pytest.raises((TypeError, ValueError), match="float64"):
            net(x.double(), *graph)
    if graph and takes_graph(net):
        with pytest.raises(ValueError, match="nodes"):
            net(x[:-1], *graph)


@every("types", [r for r in RECIPES if any(isinstance(a, FieldType) for a in r.args)])
def test_refuses_an_integer_for_a_field_type(recipe: Recipe):
    """GaugeConv(16, 32) is a slip of the pen that deserves an answer."""
    for place, argument in enumerate(recipe.args):
        if isinstance(argument, FieldType):
            args = [*recipe.args[:place], 3, *recipe.args[place + 1 :]]
            with pytest.raises((TypeError, ValueError), match=r"(?i)field type"):
                recipe.cls(*args, **recipe.options)


def conv_and_graph():
    recipe = next(r for r in RECIPES if r.cls is nn.GaugeConv)
    net = recipe.make().double().eval()
    return net, *recipe.inputs(net)


def test_compiles_on_a_plain_graph():
    torch._dynamo.reset()
    net, x, graph = conv_and_graph()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(x, graph.clone()), net(x, graph), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transform", ["grad", "jvp", "vmap", "jacrev", "hessian"])
def test_torch_func_on_the_default_backend(transform):
    net, x, graph = conv_and_graph()

    def loss(x):
        return net(x, graph).sin().sum()

    wanted = torch.autograd.grad(loss(x.requires_grad_()), x)[0]
    x, v = x.detach(), torch.ones_like(x)
    if transform == "grad":
        assert torch.allclose(torch.func.grad(loss)(x), wanted)
    elif transform == "jvp":
        assert torch.allclose(torch.func.jvp(loss, (x,), (v,))[1], (wanted * v).sum())
    elif transform == "vmap":
        assert torch.allclose(torch.func.vmap(loss)(torch.stack([x, -x])), torch.stack([loss(x), loss(-x)]))
    elif transform == "jacrev":
        assert torch.allclose(torch.func.jacrev(lambda x: net(x, graph)[:2])(x).sum((0, 1)), _rows(net, x, graph))
    else:
        part = torch.func.hessian(lambda t: loss(x + t * v))(x.new_zeros(()))
        assert torch.isfinite(part) and part.abs() > 0


def _rows(net, x, graph):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x, graph)[:2].sum(), x)[0]
