"""Compile, export and data-parallel training of whole networks."""

from __future__ import annotations

import datetime
import os
import socket
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch._dynamo.testing import CompileCounterWithBackend

from gaugenet import FieldType, groups
from gaugenet.models import MeshClassifier
from gaugenet.nn import CoefficientTable, GaugeConv, KernelTables
from tests.helpers.graphs import sphere_graph, two_level_graph

IN = FieldType(groups.SO2(), "2x0 + 1x1")
OPTIONS = {"channels": 3, "order": 1, "blocks": (1, 1), "nonlinearity": "norm"}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_a_compiled_classifier_serves_every_mesh():
    """Forward and backward in one graph, and no compilation for each mesh."""
    torch.manual_seed(0)
    net = MeshClassifier(IN, 3, **OPTIONS).eval()
    tables, counter = KernelTables(net), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend=counter)
    counts = []
    for level, seed in [(2, 0), (3, 1), (2, 2)]:
        graph = tables(two_level_graph(level, seed).float())
        x = torch.randn(graph.num_nodes, IN.dim)
        grads = []
        for model in (compiled, net):
            net.zero_grad()
            model(x, graph).square().sum().backward()
            grads.append(net.stages[0][0].conv1.weight.grad.clone())
        assert torch.allclose(*grads, rtol=1e-4, atol=1e-6)
        counts.append(counter.frame_count)
    assert counts[-1] == counts[0]


class Bare(torch.nn.Module):
    """A convolution on plain tensors, as export wants it; the table is an input."""

    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x, table, **arrays):
        graph = SimpleNamespace(**arrays)
        return self.conv(x, graph, self.conv.plan(graph, CoefficientTable(*table)))


def test_export():
    conv = GaugeConv(IN, IN, radial=2).eval()
    graph = sphere_graph().float()
    names = ("edge_index", "log", "transport", "weight", "radius")
    arrays, x, table = {name: graph[name] for name in names}, torch.randn(162, IN.dim), tuple(conv.table(graph))
    program = torch.export.export(Bare(conv), (x, table), arrays)
    assert torch.allclose(program.module()(x, table, **arrays), conv(x, graph), atol=1e-5)


def _train(rank: int, port: int, folder: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    limit = datetime.timedelta(seconds=120)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2, timeout=limit)
    torch.manual_seed(0)
    net = MeshClassifier(IN, 3, norm=None, **OPTIONS)
    parallel = torch.nn.parallel.DistributedDataParallel(net)
    graph = two_level_graph(2, rank).float()
    x = torch.randn(graph.num_nodes, IN.dim, generator=torch.Generator().manual_seed(rank))
    parallel(x, graph).square().sum().backward()
    torch.save([p.grad for p in net.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # gloo's threads may wait for one another for ever when both processes tear down


def test_data_parallel_training(tmp_path):
    """Two processes with a mesh each have the mean of the two gradients."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_train, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    torch.manual_seed(0)
    net = MeshClassifier(IN, 3, norm=None, **OPTIONS)
    for rank in range(2):
        graph = two_level_graph(2, rank).float()
        x = torch.randn(graph.num_nodes, IN.dim, generator=torch.Generator().manual_seed(rank))
        (net(x, graph).square().sum() / 2).backward()
    for a, b, p in zip(first, second, net.parameters()):
        assert torch.equal(a, b)
        assert torch.allclose(a, p.grad, rtol=1e-4, atol=1e-6)
