"""The Triton loops against the reference: under Triton's interpreter here, compiled on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

# Before the kernels are defined: Triton decides then. On a GPU they are compiled.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

pytest.importorskip("triton", reason="the GPU loop is written in Triton, which is released for Linux only")

import gaugenet.ops.cuda.driver as cuda
import gaugenet.ops.cuda.on_chip as on_chip
from gaugenet import FieldType, groups
from gaugenet.data import StaticGraph
from gaugenet.nn import GaugeConv
from tests.helpers.graphs import CASES, random_graph, sphere_graph
from tests.helpers.networks import randomise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PLANAR = [case for case in CASES if case[0].dim == 2]
BACKENDS = ["cuda", "cuda-on-chip"]


def both(conv: GaugeConv, graph, dtype, loop: str = "cuda") -> list[list[torch.Tensor]]:
    """Outputs and gradients (features, weights) of the reference and of a Triton loop."""
    generator = torch.Generator().manual_seed(0)
    nodes = graph.radius.shape[0]
    x = torch.randn(nodes, conv.in_type.dim, generator=generator, dtype=torch.float64).to(DEVICE, dtype).requires_grad_()
    upstream = torch.randn(nodes, conv.out_type.dim, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
    results = []
    for backend in ("reference", loop):
        conv.backend = backend
        out = conv(x, graph)
        wanted = (x, conv.weight, conv.self_interaction.weight)
        results.append([out, *torch.autograd.grad((out * upstream).sum(), wanted)])
    return results


@pytest.mark.parametrize("case", PLANAR, ids=lambda c: str(c[0]))
def test_equals_the_reference(case):
    """Values and gradients, all groups of the plane, empty neighbourhoods among them."""
    group, a, b = case
    conv = randomise(GaugeConv(FieldType(group, a), FieldType(group, b), radial=2)).to(DEVICE)
    for r, f in zip(*both(conv, random_graph(group, 20, 4).float().to(DEVICE), torch.float32)):
        assert (r - f).abs().max() <= 1e-5 * r.abs().max()


@pytest.mark.parametrize(
    "group, a, b",
    [
        (groups.SO2(), "2x0 + 3x1 + 1x2", "1x0 + 2x1 + 1x3"),
        (groups.O2(), "2x0 + 1x0- + 2x1", "1x0- + 1x0 + 2x2"),
        (groups.Trivial(), "3x0", "5x0"),
        (groups.Cyclic(6), "1x0 + 1x1 + 1x2", "2x2"),
        (groups.Dihedral(4), "1x0 + 1x1", "1x0- + 2x1"),
    ],
    ids=lambda c: str(c),
)
def test_on_chip_equals_the_reference(group, a, b):
    """Values and gradients to the features, with weights that get none (then nothing leaves the chip), and to the weights."""
    radial = 2 if group.order is None else 1  # the interpreter is slow
    conv = randomise(GaugeConv(FieldType(group, a), FieldType(group, b), radial)).to(DEVICE)
    graph = random_graph(group, 8, 3).float().to(DEVICE)
    for r, f in zip(*both(conv, graph, torch.float32, "cuda-on-chip")):
        assert (r - f).abs().max() <= 1e-5 * r.abs().max()
    conv.requires_grad_(False)
    x, grads = torch.randn(8, conv.in_type.dim, device=DEVICE, requires_grad=True), []
    for backend in ("reference", "cuda-on-chip"):
        conv.backend = backend
        grads += torch.autograd.grad(conv(x, graph).sin().sum(), x)
    assert (grads[0] - grads[1]).abs().max() <= 1e-5 * grads[0].abs().max()


@pytest.mark.parametrize("loop", BACKENDS)
def test_compiles_into_one_graph(loop):
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv = randomise(GaugeConv(a, a, radial=1, backend=loop)).to(DEVICE)
    graph, x = random_graph(groups.SO2(), 20, 4).float().to(DEVICE), torch.randn(20, a.dim, device=DEVICE, requires_grad=True)
    plan, results = conv.plan(graph), []
    for function in (conv, torch.compile(conv, backend="aot_eager", fullgraph=True)):
        out = function(x, graph, plan)
        results.append([out, *torch.autograd.grad(out.sin().sum(), [x, conv.weight])])
    for eager, compiled in zip(*results):
        assert (eager - compiled).abs().max() <= 1e-6 * eager.abs().max()


def test_on_chip_without_any_kernel():
    """No kernel of these frequencies joins the fields: the bias is all there is, and of order 5 there is none."""
    a, b = FieldType(groups.SO2(), "2x0"), FieldType(groups.SO2(), "1x5")
    conv = GaugeConv(a, b, max_frequency=1, backend="cuda-on-chip").to(DEVICE)
    out = conv(torch.randn(20, 2, device=DEVICE), random_graph(groups.SO2(), 20, 4).float().to(DEVICE))
    assert out.shape == (20, 2) and not out.any()


def test_on_chip_takes_irreps_in_32_bits_alone():
    group = groups.Cyclic(4)
    graph = random_graph(group, 20, 4).to(DEVICE)
    for text, dtype in (("1xregular", torch.float32), ("1x1", torch.float64)):
        a = FieldType(group, text)
        conv = GaugeConv(a, a, backend="cuda-on-chip").to(DEVICE, dtype)
        with pytest.raises(ValueError, match="'cuda-on-chip' takes irreps"):
            conv(torch.randn(20, a.dim, device=DEVICE, dtype=dtype), graph)


@pytest.mark.parametrize("loop", BACKENDS)
def test_fields_on_one_graph(loop):
    """The loop finds the edges of the graph for every field."""
    a, dtype = FieldType(groups.SO2(), "2x0 + 1x1"), torch.float64 if loop == "cuda" else torch.float32
    conv = randomise(GaugeConv(a, a, radial=1)).to(DEVICE, dtype)
    graph = StaticGraph(sphere_graph(0, 1).double() if loop == "cuda" else sphere_graph(0, 1).float()).to(DEVICE)
    x, outputs = torch.randn(3 * graph.num_nodes, a.dim, dtype=dtype, device=DEVICE, requires_grad=True), []
    for backend in ("reference", loop):
        conv.backend = backend
        out = conv(x, graph)
        outputs.append([out, *torch.autograd.grad(out.sin().sum(), [x, conv.weight])])
    for r, f in zip(*outputs):
        assert (r - f).abs().max() <= (1e-12 if loop == "cuda" else 1e-5) * r.abs().max()


def test_double_precision():
    a = FieldType(groups.O2(), "2x0 + 1x0- + 2x1 + 1x2")
    conv = randomise(GaugeConv(a, a)).double().to(DEVICE)
    for r, f in zip(*both(conv, random_graph(groups.O2(), 12, 3).to(DEVICE), torch.float64)):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()


@pytest.mark.parametrize("loop", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(dtype, loop):
    a = FieldType(groups.SO2(), "2x0 + 2x1")
    conv = randomise(GaugeConv(a, a, radial=1)).to(DEVICE)
    graph = random_graph(groups.SO2(), 12, 3).float().to(DEVICE)
    x = torch.randn(12, a.dim, device=DEVICE)
    expected = conv(x, graph)
    conv.backend = loop
    out = conv.to(dtype)(x.to(dtype), graph)
    assert out.dtype == dtype and (out.float() - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("loop", BACKENDS)
def test_more_channels_than_a_program_takes(monkeypatch, loop):
    monkeypatch.setattr(cuda, "_CHANNELS", 4)
    monkeypatch.setenv("GAUGENET_CHUNK_BYTES", "1")  # and more than one chunk
    for name, value in (("_COMBINATIONS", 2), ("_COLUMNS", 16), ("_PARTS", 2)):  # runs, parts, and programs for a node
        monkeypatch.setattr(on_chip, name, value)
    a = FieldType(groups.SO2(), "5x0 + 3x1 + 17x2")
    conv = randomise(GaugeConv(a, a, radial=1)).to(DEVICE)
    for r, f in zip(*both(conv, random_graph(groups.SO2(), 70, 1).float().to(DEVICE), torch.float32, loop)):
        assert (r - f).abs().max() <= 1e-5 * r.abs().max()


def test_compiles_for_a_gpu():
    """The kernels go through Triton's whole compiler for an H100 or H200 (sm_90), with no such GPU at hand."""
    code = """
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gaugenet.ops.cuda import kernels as cuda_kernels
for x, out, ids in (("*fp32", "*fp32", "*i64"), ("*bf16", "*fp32", "*i32"), ("*fp64", "*fp64", "*i64")):
    signature = dict(x=x, rowptr="*i64", source=ids, turn="*fp32", det="*fp32", element="*i64")
    signature |= dict(table="*fp32", node_table="*fp32", pieces="*i32", inverses="*i32", out=out)
    signature |= dict.fromkeys(("start", "nodes", "sources", "width", "columns"), "i32")
    working = tl.float64 if x == "*fp64" else tl.float32
    options = dict(FIRST=8, REST=int(x != "*fp64"), CHANNELS=64, REFLECTS=ids == "*i64", CENTRES=x != "*bf16", WORKING=working)
    source = ASTSource(cuda_kernels.aggregate, signature | dict.fromkeys(options, "constexpr"), options)
    print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]) > 0)
signature = dict(sums="*fp32", places="*i32", factors="*fp32", out="*bf16", nodes="i32", width="i32", results="i32")
options = dict(TERMS=2, NODES=8, RESULTS=128, WORKING=tl.float32)
source = ASTSource(cuda_kernels.combine, signature | dict.fromkeys(options, "constexpr"), options)
print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]) > 0)
fixed = dict(NODES=16, CHANNELS=32, COMBINATIONS=4, COLUMNS=128, PARTS=3, PRECISION="tf32x3")
for x, product, reflects in (("*fp32", tl.float32, True), ("*bf16", tl.bfloat16, False)):
    signature = dict(x=x, rowptr="*i64", source="*i64", turn="*fp32", det="*fp32", table="*fp32", node_table="*fp32")
    signature |= dict(runs="*i64", parts="*i64", terms="*i64", factors="*fp32", weight=x, bias="*fp32", out=x)
    signature |= dict.fromkeys(("total", "nodes", "width", "columns", "out_width", "num_runs"), "i32")
    options = fixed | dict(PRODUCT=product, REFLECTS=reflects)
    source = ASTSource(cuda_kernels.mix_on_chip, signature | dict.fromkeys(options, "constexpr"), options)
    print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=dict(num_warps=8)).asm["cubin"]) > 0)
"""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert run.stdout.split() == ["True"] * 6, run.stderr


def test_needs_a_gpu(monkeypatch):
    if DEVICE == "cuda":
        pytest.skip("this machine has a GPU: the refusal without one cannot be seen here")
    monkeypatch.delenv("TRITON_INTERPRET")
    a = FieldType(groups.SO2(), "1x0")
    with pytest.raises(ValueError, match="'cuda' takes"):
        GaugeConv(a, a, backend="cuda")(torch.randn(162, 1), sphere_graph().float())
