"""The Triton loop against the reference: under Triton's interpreter here, compiled on a GPU where there is one."""

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

import gaugenet.ops.cuda as cuda
from gaugenet import FieldType, groups
from gaugenet.data import StaticGraph
from gaugenet.nn import GaugeConv
from tests.graphs import random_graph, sphere_graph
from tests.nn.test_gauge_conv import CASES, randomise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PLANAR = [case for case in CASES if case[0].dim == 2]


def both(conv: GaugeConv, graph, dtype) -> list[list[torch.Tensor]]:
    """Outputs and gradients (features, weights) of the reference and of the Triton loop."""
    generator = torch.Generator().manual_seed(0)
    nodes = graph.radius.shape[0]
    x = torch.randn(nodes, conv.in_type.dim, generator=generator, dtype=torch.float64).to(DEVICE, dtype).requires_grad_()
    upstream = torch.randn(nodes, conv.out_type.dim, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
    results = []
    for backend in ("reference", "cuda"):
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


def test_fields_on_one_graph():
    """The loop finds the edges of the graph for every field."""
    a = FieldType(groups.SO2(), "2x0 + 1x1")
    conv = randomise(GaugeConv(a, a, radial=1)).double().to(DEVICE)
    graph = StaticGraph(sphere_graph(0, 1)).to(DEVICE)
    x, outputs = torch.randn(3 * graph.num_nodes, a.dim, dtype=torch.float64, device=DEVICE, requires_grad=True), []
    for backend in ("reference", "cuda"):
        conv.backend = backend
        out = conv(x, graph)
        outputs.append([out, *torch.autograd.grad(out.sin().sum(), [x, conv.weight])])
    for r, f in zip(*outputs):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()


def test_double_precision():
    a = FieldType(groups.O2(), "2x0 + 1x0- + 2x1 + 1x2")
    conv = randomise(GaugeConv(a, a)).double().to(DEVICE)
    for r, f in zip(*both(conv, random_graph(groups.O2(), 12, 3).to(DEVICE), torch.float64)):
        assert (r - f).abs().max() <= 1e-12 * r.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(dtype):
    a = FieldType(groups.SO2(), "2x0 + 2x1")
    conv = randomise(GaugeConv(a, a, radial=1)).to(DEVICE)
    graph = random_graph(groups.SO2(), 12, 3).float().to(DEVICE)
    x = torch.randn(12, a.dim, device=DEVICE)
    expected = conv(x, graph)
    conv.backend = "cuda"
    out = conv.to(dtype)(x.to(dtype), graph)
    assert out.dtype == dtype and (out.float() - expected).norm() < 0.02 * expected.norm()


def test_more_channels_than_a_program_takes(monkeypatch):
    monkeypatch.setattr(cuda, "_CHANNELS", 4)
    monkeypatch.setattr(cuda, "_CHUNK_BYTES", 1)  # and more than one chunk
    a = FieldType(groups.SO2(), "5x0 + 3x1 + 9x2")
    conv = randomise(GaugeConv(a, a, radial=1)).to(DEVICE)
    for r, f in zip(*both(conv, random_graph(groups.SO2(), 70, 1).float().to(DEVICE), torch.float32)):
        assert (r - f).abs().max() <= 1e-5 * r.abs().max()


def test_compiles_for_a_gpu():
    """The kernel goes through Triton's whole compiler for an H100 or H200 (sm_90), with no such GPU at hand."""
    code = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gaugenet.ops import cuda_kernels
for x, out, ids in (("*fp32", "*fp32", "*i64"), ("*bf16", "*fp32", "*i32"), ("*fp64", "*fp64", "*i64")):
    signature = dict(x=x, rowptr="*i64", source=ids, turn="*fp32", det="*fp32", element="*i64")
    signature |= dict(table="*fp32", node_table="*fp32", pieces="*i64", inverses="*i64")
    signature |= dict(out=out, start="i32", nodes="i32", width="i32", columns="i32")
    signature |= dict(ROWS="constexpr", CHANNELS="constexpr", REFLECTS="constexpr")
    source = ASTSource(cuda_kernels.aggregate, signature, dict(ROWS=16, CHANNELS=64, REFLECTS=ids == "*i64"))
    print(len(triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]) > 0)
"""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert run.stdout.split() == ["True"] * 3, run.stderr


def test_needs_a_gpu(monkeypatch):
    if DEVICE == "cuda":
        pytest.skip("this machine has a GPU: the refusal without one cannot be seen here")
    monkeypatch.delenv("TRITON_INTERPRET")
    a = FieldType(groups.SO2(), "1x0")
    with pytest.raises(ValueError, match="'cuda' takes"):
        GaugeConv(a, a, backend="cuda")(torch.randn(162, 1), sphere_graph().float())
