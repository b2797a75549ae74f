"""The plain torch path against messages that are formed edge by edge."""

from __future__ import annotations

import pytest
import torch

import gaugenet.ops.reference as reference
from gaugenet import FieldType, groups
from gaugenet.nn import GaugeConv
from tests.helpers.graphs import CASES, random_graph
from tests.helpers.networks import randomise


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("chunk", [1, 1 << 26])
def test_equals_the_messages(case, chunk, monkeypatch):
    """Values and gradients to features, weights and table; the messages take the dense kernel."""
    monkeypatch.setattr(reference, "_CHUNK_BYTES", chunk)
    group, a, b = case
    conv = randomise(GaugeConv(FieldType(group, a), FieldType(group, b), radial=2, backend="reference")).double()
    graph = random_graph(group)
    x = torch.randn(graph.num_nodes, conv.in_type.dim, dtype=torch.float64, requires_grad=True)
    table = conv.table(graph)
    leaves = [t.detach().requires_grad_() for t in table]
    upstream = torch.randn(graph.num_nodes, conv.out_type.dim, dtype=torch.float64)
    plan = conv.plan(graph, type(table)(*leaves))
    messages = conv.message(x[graph.edge_index[0]], graph.transport, leaves[0])
    total = torch.zeros(graph.num_nodes, messages.shape[1], dtype=torch.float64).index_add(0, graph.edge_index[1], messages)
    total = total + (leaves[1].unsqueeze(2) * x.unsqueeze(1)).flatten(1)
    plain = conv.bias(total @ conv.expansion(conv.weight).flatten(0, 1) + conv.self_interaction(x))
    wanted = (x, conv.weight, *leaves)
    results = [(out, *torch.autograd.grad((out * upstream).sum(), wanted)) for out in (plain, conv(x, graph, plan))]
    for expected, found in zip(*results):
        assert torch.allclose(expected, found, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_no_edges(backend):
    type = FieldType(groups.SO2(), "2x0 + 1x1")
    conv = GaugeConv(type, type, backend=backend).double()
    graph = random_graph(groups.SO2()).clone()
    for name in ("edge_index", "log", "transport", "weight"):
        value = graph[name]
        graph[name] = value[:, :0] if name == "edge_index" else value[:0]
    x = torch.randn(graph.num_nodes, type.dim, dtype=torch.float64, requires_grad=True)
    conv(x, graph).sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_no_nodes(backend):
    type = FieldType(groups.SO2(), "2x0 + 1x1")
    conv = GaugeConv(type, type, backend=backend, quadrature=None).double()
    graph = random_graph(groups.SO2()).clone()
    for name in ("edge_index", "log", "transport", "weight", "radius", "area"):
        value = graph[name]
        graph[name] = value[:, :0] if name == "edge_index" else value[:0]
    assert conv(torch.zeros(0, type.dim, dtype=torch.float64), graph).shape == (0, type.dim)
