from __future__ import annotations

import pytest
import torch

import gaugenet.ops.aggregate as module
from gaugenet import FieldType, groups
from gaugenet.ops import gauge_aggregate, gauge_messages, scatter_messages
from tests.graphs import random_graph


@pytest.mark.parametrize("chunk", [1, 1 << 12, 1 << 26])
def test_equals_the_scattered_messages(chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_BYTES", chunk)
    group = groups.SO2()
    ft, graph = FieldType(group, "2x0 + 3x1"), random_graph(group)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(graph.num_nodes, ft.dim, generator=g, dtype=torch.float64, requires_grad=True)
    edge = torch.randn(graph.num_edges, 5, generator=g, dtype=torch.float64, requires_grad=True)
    node = torch.randn(graph.num_nodes, 5, generator=g, dtype=torch.float64, requires_grad=True)
    source, target = graph.edge_index
    fused = gauge_aggregate(x, ft, graph.edge_index, graph.transport, edge, node)
    messages = gauge_messages(x[source], graph.transport, edge, ft)
    plain = scatter_messages(messages, target, graph.num_nodes) + node.unsqueeze(2) * x.unsqueeze(1)
    assert torch.allclose(fused, plain, rtol=1e-13, atol=1e-13)
    upstream = torch.randn(plain.shape, generator=g, dtype=torch.float64)
    for a, b in zip(*(torch.autograd.grad((y * upstream).sum(), (x, edge, node)) for y in (fused, plain))):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_no_edges():
    group = groups.SO2()
    ft = FieldType(group, "1x1")
    x, node = torch.randn(3, 2), torch.randn(3, 4)
    out = gauge_aggregate(x, ft, torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 2, 2), torch.zeros(0, 4), node)
    assert torch.equal(out, node.unsqueeze(2) * x.unsqueeze(1))
