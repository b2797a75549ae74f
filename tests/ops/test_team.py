"""The loop on torch's OpenMP threads, on threads of its own, and out of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit

from gaugenet import FieldType, groups
from gaugenet.nn import GaugeConv
from gaugenet.ops.cpu import kernels as cpu_kernels
from gaugenet.ops.cpu import team
from tests.helpers.graphs import sphere_graph
from tests.helpers.networks import randomise


@njit(nogil=True)
def work(arguments, item):
    values, out = arguments
    if values[item] < 0:
        raise MemoryError
    out[item] += values[item]


in_team = team.make_team(work)


@njit(nogil=True)
def run(fork, threads, first, last, arguments):
    return in_team(fork, threads, first, last, arguments)


@pytest.mark.skipif(
    not team.fork_address(), reason="this torch comes with an OpenMP without GOMP_parallel: ops.cpu starts threads of its own"
)
@pytest.mark.parametrize("threads", [1, 2])
def test_every_item_once_and_failures_counted(threads):
    values = np.arange(1000.0)
    values[[3, 500, 999]] = -1.0
    out = np.zeros(1000)
    assert run(team.fork_address(), threads, 2, 1000, (values, out)) == 3
    expected = np.where(values < 0, 0.0, values)
    expected[:2] = 0.0
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("fork", [True, False])
def test_results_do_not_depend_on_the_threads(fork, monkeypatch):
    type, graph = FieldType(groups.SO2(), "3x0 + 2x1"), sphere_graph(4)
    conv = randomise(GaugeConv(type, type, backend="cpu")).double()
    x = torch.randn(graph.radius.shape[0], type.dim, dtype=torch.float64, requires_grad=True)
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        monkeypatch.setattr(team, "fork_address", team.fork_address if fork else lambda: 0)
        out = conv(x, graph)
        results.append((out, *torch.autograd.grad(out.square().sum(), (x, conv.weight))))
    for one, two in zip(*results):
        assert (one - two).abs().max() <= 1e-12 * one.abs().max()


@pytest.mark.parametrize("fork", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_no_memory_is_said(threads, fork, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(team, "fork_address", team.fork_address if fork else lambda: 0)
    monkeypatch.setattr(cpu_kernels, "convolve", lambda fork, threads, first, last, arguments: last - first)
    type, graph = FieldType(groups.SO2(), "1x0"), sphere_graph(4).float()
    with pytest.raises(MemoryError, match=r"\((\d+) of \1 slices"):
        GaugeConv(type, type, backend="cpu")(torch.randn(graph.radius.shape[0], 1), graph)
