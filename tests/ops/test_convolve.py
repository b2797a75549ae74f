from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch_geometric.data import Batch

import gaugenet.ops.cpu.driver as cpu
from gaugenet import FieldType, groups, kernels
from gaugenet.nn import GaugeConv
from gaugenet.ops import Kernel, gauge_convolve
from gaugenet.ops.mixing import OTHER, carried_blocks
from tests.helpers.graphs import CASES, random_graph, sphere_graph
from tests.helpers.networks import randomise


def both(conv: GaugeConv, graph, dtype):
    """Outputs and gradients (features, weights) of the reference and of the fused loop."""
    generator = torch.Generator().manual_seed(0)
    nodes = graph.radius.shape[0]
    x = torch.randn(nodes, conv.in_type.dim, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    upstream = torch.randn(nodes, conv.out_type.dim, generator=generator, dtype=torch.float64).to(dtype)
    results = []
    for backend in ("reference", "cpu"):
        conv.backend = backend
        out = conv(x, graph)
        results.append((out, *torch.autograd.grad((out * upstream).sum(), (x, conv.weight))))
    return results


PLANAR = [case for case in CASES if case[0].dim == 2]


@pytest.mark.parametrize("case", PLANAR, ids=lambda c: str(c[0]))
def test_fused_equals_reference(case, dtype):
    """Values and both gradients: the backward pass is the convolution over the transposed edges."""
    group, a, b = case
    conv = randomise(GaugeConv(FieldType(group, a), FieldType(group, b), radial=2)).to(dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for r, f in zip(*both(conv, random_graph(group), dtype)):
        assert (r - f).abs().max() <= tolerance * r.abs().max()


@pytest.mark.parametrize("group", [groups.SO2(), groups.O2(), groups.Cyclic(4), groups.Dihedral(3)], ids=str)
def test_fused_loops_know_kinds_and_not_names(group):
    """Products, sums and restrictions that happen to be scalars, signs, rotations or permutations take the fused loop."""
    larger = {"SO2": groups.O2(), "Cyclic": groups.Dihedral(4)}.get(type(group).__name__)
    reps = [group.irrep(1) * group.trivial, group.trivial * group.trivial]
    if larger is not None:
        reps += [groups.O2().irrep(5).restrict(group), larger.irrep("0-").restrict(group)]
    if group.order:
        reps += [group.regular * group.trivial, group.regular + group.trivial]
    a = FieldType(group, [(2, rep) for rep in reps])
    assert carried_blocks(a)[0][:, 0].max() < OTHER
    conv = randomise(GaugeConv(a, a, radial=2)).double()
    for r, f in zip(*both(conv, random_graph(group), torch.float64)):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunk", [1, 1 << 18])
def test_chunks_and_threads_do_not_matter(threads, chunk, monkeypatch):
    monkeypatch.setattr(cpu, "_CHUNK_BYTES", chunk)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    a, b = (FieldType(groups.O2(), s) for s in ("3x0 + 2x0- + 2x1", "2x0 + 3x2"))
    conv = randomise(GaugeConv(a, b)).double()
    for r, f in zip(*both(conv, sphere_graph(3), torch.float64)):
        assert torch.allclose(r, f, rtol=1e-11, atol=1e-11)


def test_one_parameter_at_a_time():
    """Gradients to the features alone and to the weights alone."""
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph = randomise(GaugeConv(a, a)).double(), sphere_graph()
    x = torch.randn(162, a.dim, dtype=torch.float64)
    conv(x, graph).sum().backward()
    assert conv.weight.grad.abs().max() > 0
    conv.requires_grad_(False)
    x.requires_grad_()
    conv(x, graph).sum().backward()
    assert x.grad.abs().max() > 0


def test_second_derivatives_take_the_reference():
    a = FieldType(groups.SO2(), "1x0 + 1x1")
    conv, graph = randomise(GaugeConv(a, a, radial=1, backend="cpu")).double(), random_graph(groups.SO2(), 6, 3)
    x = torch.randn(6, a.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: conv(x, graph).square(), x)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 3, 2), (16, 16, 16), (33, 20, 7), (48, 1, 32)])
@pytest.mark.parametrize("radial", [1, 4])
def test_all_widths_of_the_vector_code(sizes, radial):
    """Blocks of whole registers, of rests, and of both; up to high orders."""
    a = FieldType(groups.SO2(), "{}x0 + {}x1 + {}x3".format(*sizes))
    b = FieldType(groups.SO2(), "{}x2 + {}x0 + {}x1".format(*sizes))
    conv = randomise(GaugeConv(a, b, radial=radial)).double()
    for r, f in zip(*both(conv, random_graph(groups.SO2()), torch.float64)):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()


def test_groups_without_a_path_take_the_reference():
    group = groups.SO3()
    a = FieldType(group, "2x0 + 1x1")
    conv, graph = GaugeConv(a, a).double(), random_graph(group)
    x = torch.randn(graph.num_nodes, a.dim, dtype=torch.float64)
    assert conv(x, graph).shape == x.shape
    conv.backend = "cpu"
    with pytest.raises(ValueError, match="planar groups"):
        conv(x, graph)


@pytest.mark.parametrize(
    ("group", "types"),
    [
        (groups.SO3(), ("2x0 + 3x1", "1x0 + 2x1 + 17x2")),
        (groups.O3(), ("2x0e + 3x1o", "1x0e + 2x1e + 2x2o")),
        (groups.SO2(), ("3x0 + 2x1", "2x0 + 16x2")),
    ],
)
def test_where_every_transporter_is_the_identity_any_type_is_fused(group, types):
    a, b = (FieldType(group, t) for t in types)
    graph = random_graph(group)
    graph.transport = torch.eye(group.dim, dtype=torch.float64).expand_as(graph.transport).contiguous()
    conv = randomise(GaugeConv(a, b)).double()
    assert conv.plan(graph).identity
    for r, f in zip(*both(conv, graph, torch.float64)):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()
    batch = Batch.from_data_list([graph, random_graph(group, seed=1)])
    conv.plan(batch)  # handed on to the graphs
    assert conv.plan(graph).identity and not conv.plan(batch).identity


def test_the_environment_picks_the_backend(monkeypatch):
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph, x = GaugeConv(a, a), sphere_graph(), torch.randn(162, 4)
    monkeypatch.setenv("GAUGENET_BACKEND", "nothing")
    with pytest.raises(ValueError, match="'nothing'"):
        conv(x, graph)


def test_half_precision():
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph = GaugeConv(a, a).bfloat16(), sphere_graph()
    x = torch.randn(162, a.dim)
    expected = conv.float()(x, graph)
    out = conv.bfloat16()(x.bfloat16(), graph).float()
    assert (out - expected).abs().max() < 0.05 * expected.abs().max()


def test_backends_are_checked():
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph = GaugeConv(a, a), sphere_graph()
    with pytest.raises(ValueError, match="auto, reference, cpu, cuda, cuda-on-chip"):
        gauge_convolve(torch.randn(162, 4), Kernel(a, conv.layouts, lambda _: conv.weight, True), conv.plan(graph), "tpu")


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("case", [*PLANAR, (groups.SO2(), "17x0 + 2x1 + 16x2", "33x1 + 1x3")], ids=lambda c: str(c[0]))
def test_gradients_to_a_learnt_table(case, copies, dtype):
    """All gradients of the fused loop beside those of plain torch: to features, weights, table of edges and of nodes."""
    group, *types = case
    a, b = (FieldType(group, t) for t in types)
    conv, graph = randomise(GaugeConv(a, b, radial=2)).to(dtype), random_graph(group)
    edges, nodes = (t.detach().requires_grad_() for t in conv.table(graph))
    plan = conv.plan(graph, (edges, nodes))
    assert plan.forward.table.requires_grad
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(copies * 40, a.dim, generator=generator, dtype=dtype, requires_grad=True)
    upstream = torch.randn(copies * 40, b.dim, generator=generator, dtype=dtype)
    results = []
    for backend in ("reference", "cpu"):
        conv.backend = backend
        out = conv.message_and_aggregate(x, plan)  # of several fields, as on a StaticGraph
        assert (backend == "cpu") == (out.grad_fn.name() == "ConvolutionBackward")
        results.append((out, *torch.autograd.grad((out * upstream).sum(), (x, conv.weight, edges, nodes))))
    for one, two in zip(*results):
        assert (one - two).abs().max() <= (1e-12 if dtype == torch.float64 else 2e-5) * one.abs().max()


def test_second_derivatives_of_a_learnt_table():
    a = FieldType(groups.SO2(), "1x0 + 1x1")
    conv, graph = randomise(GaugeConv(a, a, radial=1, backend="cpu")).double(), random_graph(groups.SO2(), 6, 3)
    x = torch.randn(6, a.dim, dtype=torch.float64)
    edges, nodes = conv.table(graph)
    assert torch.autograd.gradgradcheck(
        lambda e, n: conv(x, graph, conv.plan(graph, (e, n))).square(), (edges.requires_grad_(), nodes.requires_grad_())
    )


def test_radial_functions_learn_in_the_fused_loop(monkeypatch):
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv, graph = GaugeConv(a, a, radial=kernels.RadialMLP(2)), sphere_graph()
    monkeypatch.setattr("gaugenet.ops.reference.convolve", None)
    conv(torch.randn(162, 4), graph).sum().backward()
    assert all(p.grad is not None for p in conv.radial.parameters())


def test_autocast():
    a = FieldType(groups.SO2(), "4x0 + 4x1 + 2x2")
    conv, graph = randomise(GaugeConv(a, a)), sphere_graph()
    x = torch.randn(162, a.dim, requires_grad=True)
    expected = conv(x, graph)
    wanted = torch.autograd.grad(expected.square().sum(), (x, conv.weight))
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x, graph)
    assert out.dtype == torch.bfloat16
    assert (out.float() - expected).abs().max() < 0.03 * expected.abs().max()
    found = torch.autograd.grad(out.float().square().sum(), (x, conv.weight))
    for f, w in zip(found, wanted):
        assert f.dtype == torch.float32 and (f - w).norm() < 0.05 * w.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operator_is_well_formed(dtype):
    """Schema, fake tensors and autograd registration, as torch checks them."""
    a, b = FieldType(groups.SO2(), "2x0 + 1x1"), FieldType(groups.SO2(), "1x0 + 2x2")
    conv, graph = randomise(GaugeConv(a, b, quadrature=None)), random_graph(groups.SO2())
    plan = conv.plan(graph.float())
    weights = [conv.weight.detach(), conv.self_interaction.weight.detach()]
    weights = [conv.mixing(weights, t).requires_grad_() for t in (False, True)]
    bias = torch.randn(b.dim).requires_grad_()
    x = torch.randn(graph.num_nodes, a.dim).to(dtype).requires_grad_()
    forth, back = conv.layouts
    torch.library.opcheck(
        torch.ops.gaugenet.convolve.default,
        (x, bias, *weights, list(plan.forward), forth.tensors, list(plan.backward), back.tensors, "cpu"),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


def test_without_numba(tmp_path):
    """Layers and operators import and run without numba, trimesh and potpourri3d: a machine that only trains."""
    code = """
import sys
for name in ("numba", "llvmlite", "trimesh", "potpourri3d", "robust_laplacian"):
    sys.modules[name] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "numba" else find(name, package)
import torch
from torch_geometric.data import Batch
from gaugenet import FieldType, groups, nn, ops, models
from gaugenet.data import GaugeGraph
type = FieldType(groups.SO2(), "2x0 + 1x1")
class Graph: pass
g = Graph()
g.edge_index = torch.tensor([[1, 0], [0, 1]])
g.log, g.transport = torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.eye(2).repeat(2, 1, 1)
g.weight, g.radius = torch.ones(2), torch.ones(2)
out = nn.GaugeConv(type, type)(torch.randn(2, 4, requires_grad=True), g)
out.sum().backward()
print(out.shape)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "torch.Size([2, 4])"
