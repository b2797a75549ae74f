from __future__ import annotations

import copy

import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.nn import FieldBias, FieldDropout, FieldNorm, GaugeLinear
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import CASES
from tests.helpers.networks import randomise, relative_error


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("mode", ["batch", "layer"])
@pytest.mark.parametrize("training", [False, True])
def test_norm_is_equivariant(case, mode, training):
    norm = randomise(FieldNorm(FieldType(case[0], case[1]), mode)).train(training)
    if mode == "batch":  # running averages of a gauge-invariant kind
        norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        norm.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(2))
    if training and mode == "batch":
        norm.momentum = 0.0
    assert relative_error(norm) < 1e-12
    assert relative_error(copy.deepcopy(norm), torch.float32) < 1e-4


@pytest.mark.parametrize("mode", ["batch", "layer"])
def test_norm_normalises(mode):
    ft = FieldType(groups.SO2(), "16x0 + 16x1")
    x = 5 * torch.randn(400, ft.dim, dtype=torch.float64) + torch.cat([torch.ones(16) * 3, torch.zeros(32)])
    scalars, vectors = ft.split(FieldNorm(ft, mode).double()(x))
    axis = 0 if mode == "batch" else -1
    assert torch.allclose(scalars.mean(axis), torch.zeros(()).double(), rtol=1e-10, atol=1e-10)
    assert torch.allclose(scalars.square().mean(axis), torch.ones(()).double(), atol=1e-4)
    assert torch.allclose(vectors.square().mean(1).mean(axis), torch.ones(()).double(), atol=1e-4)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_batch_norm_and_its_gradients_are_those_of_the_formula(case):
    """The layer has its own backward pass; here torch differentiates the formula of the docstring, block by block."""
    ft = FieldType(case[0], case[1])
    norm = randomise(FieldNorm(ft)).double().train()
    x = (torch.randn(30, ft.dim, dtype=torch.float64) * 2 + 1).requires_grad_()
    parts, copy_ = [], 0
    for block, (mul, rep) in zip(ft.split(x), ft.blocks):
        vectors = rep.invariant_vectors()
        centred = block - (vectors.t() @ vectors) @ block.mean(0)
        parts.append(norm.gamma[copy_ : copy_ + mul] * centred / (centred.square().mean((0, 1)) + norm.eps).sqrt())
        copy_ += mul
    slow, fast = ft.join(parts) + norm.beta.row(), norm(x)
    assert (slow - fast).abs().max() < 1e-12
    inputs, cotangent = [x, norm.gamma, norm.beta.value], torch.randn_like(slow)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (slow, fast))):
        assert (a - b).abs().sum() < 1e-10 * max(1.0, float(a.abs().sum()))


def test_batch_norm_has_second_derivatives():
    ft = FieldType(groups.O2(), "2x0 + 1x0- + 2x1")
    x = torch.randn(5, ft.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(FieldNorm(ft).double().train(), (x,))


def test_norm_arguments_and_state():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    x = torch.randn(50, ft.dim) * 3
    assert FieldNorm(ft, affine=False).gamma is None and FieldNorm(ft, affine=False).beta is None
    assert FieldNorm(ft).beta.value.numel() == 4
    assert not torch.allclose(FieldNorm(ft, eps=1.0)(x), FieldNorm(ft)(x))
    slow, fast = FieldNorm(ft, momentum=0.01), FieldNorm(ft, momentum=0.9)
    for scale in (1, 10):
        slow(scale * x), fast(scale * x)
    assert (fast.running_var > 1.5 * slow.running_var).all()
    norm = FieldNorm(ft)
    assert set(norm.train().state_dict()) == set(norm.eval().state_dict())
    norm(x)
    norm.reset_parameters()
    assert torch.equal(norm.running_var, torch.ones(6)) and norm.num_batches_tracked == 0
    with pytest.raises(ValueError, match="batch"):
        FieldNorm(ft, "group")


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_layer_norm_and_its_gradients_are_those_of_the_formula(case, affine):
    """A compiled loop both ways; here torch differentiates the formula of the docstring, block by block."""
    ft = FieldType(case[0], case[1])
    norm = randomise(FieldNorm(ft, "layer", affine=affine, eps=0.1)).double()
    x = (torch.randn(30, ft.dim, dtype=torch.float64) * 2 + 1).requires_grad_()
    parts, copy_ = [], 0
    for block, (mul, rep) in zip(ft.split(x), ft.blocks):
        vectors = rep.invariant_vectors()
        centred = block - (vectors.t() @ vectors) @ block.mean(2, keepdim=True)
        part = centred / (centred.square().mean((1, 2), keepdim=True) + 0.1).sqrt()
        parts.append(norm.gamma[copy_ : copy_ + mul] * part if affine else part)
        copy_ += mul
    slow, fast = ft.join(parts), norm(x)
    slow = slow + norm.beta.row() if affine else slow
    assert (slow - fast).abs().max() < 1e-12
    with torch.no_grad():
        assert torch.equal(norm(x), fast)
    inputs, cotangent = [x, *norm.parameters()], torch.randn_like(slow)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (slow, fast))):
        assert (a - b).abs().sum() < 1e-10 * max(1.0, float(a.abs().sum()))


def batch_of_two() -> Batch:
    """Graphs of 12 and 42 nodes whose cells differ in area."""
    graphs = [geometry.icosphere(level, rings=1).to_graph() for level in (0, 1)]
    for seed, graph in enumerate(graphs):
        graph.area = torch.rand(graph.num_nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return Batch.from_data_list(graphs)


@pytest.mark.parametrize("affine", [True, False])
def test_graph_norm_and_its_gradients_are_those_of_the_formula(affine):
    """Compiled loops both ways; here torch differentiates the formula of the docstring, graph by graph and block by block."""
    ft = FieldType(groups.Cyclic(6), "2x0 + 2xregular + 3x1")
    norm = randomise(FieldNorm(ft, "graph", affine=affine, eps=0.1)).double()
    batch = batch_of_two()
    x = (torch.randn(54, ft.dim, dtype=torch.float64) * 2 + 1).requires_grad_()
    rows = []
    for g in range(2):
        inside = batch.batch == g
        share = (batch.area[inside] / batch.area[inside].sum())[:, None, None]
        parts, copy_ = [], 0
        for block, (mul, rep) in zip(ft.split(x[inside]), ft.blocks):
            vectors = rep.invariant_vectors()
            centred = block - (vectors.t() @ vectors) @ (block * share).sum(0)
            part = centred / ((centred.square().mean(1, keepdim=True) * share).sum(0) + 0.1).sqrt()
            parts.append(norm.gamma[copy_ : copy_ + mul] * part if affine else part)
            copy_ += mul
        rows.append(ft.join(parts) + norm.beta.row() if affine else ft.join(parts))
    slow, fast = torch.cat(rows), norm(x, batch)
    assert (slow - fast).abs().max() < 1e-12
    with torch.no_grad():
        assert torch.equal(norm(x, batch), fast)
    inputs, cotangent = [x, *norm.parameters()], torch.randn_like(slow)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (slow, fast))):
        assert (a - b).abs().sum() < 1e-10 * max(1.0, float(a.abs().sum()))


@pytest.mark.parametrize("mode", ["layer", "graph"])
def test_norms_are_differentiated_again_and_transformed(mode):
    ft, batch = FieldType(groups.O2(), "1x0 + 1x0- + 1x1"), batch_of_two()
    norm = randomise(FieldNorm(ft, mode)).double()
    x = torch.randn(54, ft.dim, dtype=torch.float64, requires_grad=True)
    inputs = x, norm.gamma, norm.beta.value
    assert torch.autograd.gradcheck(lambda x, *_: norm(x, batch), inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x, *_: norm(x, batch), inputs, fast_mode=True)
    cotangent = torch.randn(54, ft.dim, dtype=torch.float64)
    (wanted,) = torch.autograd.grad(norm(x, batch), x, cotangent)
    assert torch.allclose(torch.func.grad(lambda x: (norm(x, batch) * cotangent).sum())(x.detach()), wanted)
    both = torch.func.vmap(lambda x: norm(x, batch))(torch.stack([x, -x]))
    assert torch.allclose(both, torch.stack([norm(x, batch), norm(-x, batch)]))
    graph = StaticGraph(batch.get_example(1))
    (wanted,) = torch.autograd.grad(norm(x[12:], graph), x, cotangent[12:])
    (got,) = torch.autograd.grad(torch.compile(norm, fullgraph=True, backend="aot_eager")(x[12:], graph), x, cotangent[12:])
    assert torch.allclose(got, wanted)


def test_graph_norm_has_gradients_to_the_areas():
    ft, batch = FieldType(groups.SO2(), "2x0 + 1x1"), batch_of_two()
    norm, x = randomise(FieldNorm(ft, "graph")).double(), torch.randn(54, ft.dim, dtype=torch.float64, requires_grad=True)

    def function(area):
        batch.area = area
        return norm(x, batch)

    assert torch.autograd.gradcheck(function, (batch.area.clone().requires_grad_(),), fast_mode=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_graph_norm_on_strided_features_and_threads(threads):
    ft, sphere = FieldType(groups.SO2(), "5x0 + 3x1"), StaticGraph(geometry.icosphere(3, rings=1).to_graph())
    norm, wide = randomise(FieldNorm(ft, "graph")), torch.randn(11, 2 * 642, requires_grad=True)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        out = norm(wide.t(), sphere)
        out.backward(wide.detach().t())
    finally:
        torch.set_num_threads(before)
    twin = randomise(FieldNorm(ft, "graph")).double()
    x = wide.detach().t().double().requires_grad_()
    expected = twin(x, sphere)
    expected.backward(x.detach())
    assert torch.allclose(out.double(), expected, atol=1e-5) and torch.allclose(wide.grad.t().double(), x.grad, atol=1e-5)
    for a, b in zip(norm.parameters(), twin.parameters()):
        assert torch.allclose(a.grad.double(), b.grad, rtol=1e-4, atol=1e-3)


def test_graph_norm_of_short_numbers_takes_its_statistics_in_float32():
    ft, sphere = FieldType(groups.SO2(), "5x0 + 3x1"), geometry.icosphere(4, rings=1).to_graph()
    x = torch.randn(2562, ft.dim) * 100 + 300
    exact = randomise(FieldNorm(ft, "graph")).double()(x.double(), sphere)
    for dtype, limit in ((torch.bfloat16, 0.05), (torch.float16, 0.01)):
        out = randomise(FieldNorm(ft, "graph")).to(dtype)(x.to(dtype), sphere)
        assert out.dtype == dtype and (out.double() - exact).abs().mean() < limit


def test_graph_norm_is_equivariant_and_sees_one_graph_only():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    norm = randomise(FieldNorm(ft, "graph")).double()
    a, b = geometry.icosphere(1).to_graph(), geometry.icosphere(2).to_graph()
    assert equivariance_error(norm, b, ft, ft) < 1e-12
    x = torch.randn(42 + 162, ft.dim, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(norm(x, Batch.from_data_list([a, b])), torch.cat([norm(x[:42], a), norm(x[42:], b)]), atol=1e-12)
    two = norm(x[:84], StaticGraph(a))
    assert torch.allclose(two, torch.cat([norm(x[:42], a), norm(x[42:84], a)]), atol=1e-12)
    plain = FieldNorm(ft, "graph", affine=False, eps=0.0).double()
    share = a.area[:, None] / a.area.sum()
    scalars, vectors = ft.split(plain(x[:42], a))
    assert (scalars[:, 0] * share).sum(0).abs().max() < 1e-12  # the integrals over the surface
    assert torch.allclose((scalars[:, 0].square() * share).sum(0), torch.ones(4).double())
    assert torch.allclose((vectors.square().mean(1) * share).sum(0), torch.ones(2).double())
    with pytest.raises(ValueError, match=r"norm\(x, graph\)"):
        norm(x)
    with pytest.raises(ValueError, match="204 nodes for a graph of 42"):
        norm(x, a)


def test_averages_are_free_of_their_initial_values():
    """After few batches evaluation is training; with one batch exactly."""
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    x = 0.01 * torch.randn(3, 500, ft.dim) + 1
    norm = FieldNorm(ft)
    out = norm.train()(x[0])
    assert torch.allclose(norm.eval()(x[0]), out, atol=1e-6)
    for part in x[1:]:
        norm.train()(part)
    share = torch.tensor([0.81, 0.9, 1.0]) / 2.71  # of a momentum of 0.1
    assert torch.allclose(norm.running_mean, share @ x[..., :4].mean(1), atol=1e-6)
    assert int(norm.num_batches_tracked) == 3


def test_old_states_load_as_averages_of_many_batches():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    norm, x = FieldNorm(ft), torch.randn(50, ft.dim)
    state = {key: value.clone() for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
    norm(x)
    norm.load_state_dict(state)
    norm.train()(x)
    assert torch.allclose(norm.running_mean, 0.1 * x[:, :4].mean(0), atol=1e-6)
    assert "num_batches_tracked" not in state


def test_states_of_another_norm_say_what_to_build():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    nets = {mode: torch.nn.Sequential(FieldNorm(ft, mode), FieldNorm(ft, mode)) for mode in ("layer", "graph", "batch")}
    with pytest.raises(RuntimeError, match=r'norm="graph", but the state has running averages: .* norm="batch"') as error:
        nets["graph"].load_state_dict(nets["batch"].state_dict())
    assert str(error.value).count("running averages") == 1
    with pytest.raises(RuntimeError, match=r'norm="batch", but the state has no running averages: .* norm="layer" or'):
        nets["batch"].load_state_dict(nets["layer"].state_dict())


def test_layer_norm_sees_one_node_only():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    x = torch.randn(50, ft.dim)
    norm = FieldNorm(ft, "layer")
    assert torch.allclose(norm(x)[:10], norm(x[:10]), atol=1e-6)


def test_dropout_drops_whole_copies():
    ft = FieldType(groups.SO2(), "50x0 + 50x1")
    x = torch.ones(40, ft.dim)
    drop = FieldDropout(ft, 0.3)
    _, vectors = ft.split(drop(x))
    dropped = vectors == 0
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert 0.2 < dropped.float().mean() < 0.4
    assert torch.allclose(vectors[~dropped], torch.tensor(1 / 0.7))
    assert torch.equal(drop.eval()(x), x)
    with pytest.raises(ValueError, match="0 <= p < 1"):
        FieldDropout(ft, 1.0)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_linear_is_equivariant(case):
    group, a, b = case
    linear = randomise(GaugeLinear(FieldType(group, a), FieldType(group, b)))
    assert relative_error(linear) < 1e-12
    assert relative_error(copy.deepcopy(linear), torch.float32) < 1e-4
    assert GaugeLinear(FieldType(group, a), FieldType(group, b), bias=False).bias is None


def test_linear_of_so2_mixes_equal_orders_only():
    so2 = groups.SO2()
    linear = GaugeLinear(FieldType(so2, "2x0 + 3x1"), FieldType(so2, "5x1 + 1x2"), bias=False)
    assert linear.weight.numel() == 2 * 3 * 5  # two intertwiners (real and imaginary part) a pair of order-1 copies
    before = linear(torch.ones(1, 8))
    linear.reset_parameters()
    assert not torch.equal(linear(torch.ones(1, 8)), before)


def test_bias_lives_on_invariants():
    assert FieldBias(FieldType(groups.SO2(), "4x0 + 3x1")).value.numel() == 4
    assert FieldBias(FieldType(groups.Cyclic(4), "4xregular + 2x1")).value.numel() == 4
    assert FieldBias(FieldType(groups.Trivial(), "4x0")).value.numel() == 4
    assert FieldBias(FieldType(groups.O2(), "4x0-")).value.numel() == 0
    bias = randomise(FieldBias(FieldType(groups.SO2(), "2x0 + 1x1")))
    assert torch.allclose(bias(torch.zeros(3, 4))[:, 2:], torch.zeros(3, 2))
    assert (bias(torch.zeros(3, 4))[:, :2] != 0).all()
