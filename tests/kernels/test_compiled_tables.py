"""Tables by compiled code against those by plain torch."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import torch

from gaugenet import geometry
from gaugenet.groups.harmonic_action import harmonic_action
from gaugenet.kernels import BSpline, GaussianRings, RadialMLP
from gaugenet.kernels.polar import PolarColumns
from gaugenet.kernels.quadrature import builder, eigenvalues, match_moments
from gaugenet.kernels.quadrature.moments import angular_gram


def both(monkeypatch, *arguments, **options):
    """The table by compiled code and by plain torch."""
    made, build = [], builder.build
    with monkeypatch.context() as patch:
        patch.setattr(builder, "build", lambda *a, **k: made.append(1) or build(*a, **k))
        compiled = match_moments(*arguments, **options)
        assert made
        patch.setattr(builder, "supported", lambda *_: False)
        plain = match_moments(*arguments, **options)
        assert len(made) == 1
    return compiled, plain


def assert_equal(compiled, plain, rtol=1e-11):
    torch.testing.assert_close(compiled.degree, plain.degree)
    single = plain.edge.dtype == torch.float32
    for name in ("edge", "node", "fraction", "amplification"):
        a, b = getattr(compiled, name), getattr(plain, name)
        assert a.dtype == b.dtype
        size = float(b.abs().amax()) if b.numel() else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=(1e-7 if single and a.ndim == 2 else rtol) * size)


def sheet():
    """A curved sheet with a boundary."""
    x, y = (t.ravel() for t in np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 12), indexing="ij"))
    corner = (np.arange(8)[:, None] * 12 + np.arange(11)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 12, corner + 13], 1), np.stack([corner, corner + 13, corner + 1], 1)])
    return geometry.mesh(np.stack([x, y, 0.4 * x**2 - 0.3 * x * y], 1), faces)


GRAPHS = {
    "sphere": lambda: geometry.icosphere(3),
    "one ring": lambda: geometry.icosphere(2, rings=1),
    "boundary": sheet,
    "plane": lambda: geometry.grid((7, 9), kernel_size=5),
    "space": lambda: geometry.grid((4, 5, 4), kernel_size=3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name, dtype, monkeypatch):
    graph = GRAPHS[name]().to_graph(dtype)
    arguments = graph.log, graph.weight, graph.radius, graph.edge_index
    options = {"area": graph.area, "curvature": graph.curvature}
    for degree, frequency, profile in (
        (3, 4, GaussianRings(4)),
        (2, 1, BSpline(3)),
        (None, 2, GaussianRings(2)),
        (0, 0, GaussianRings(1)),
    ):
        assert_equal(*both(monkeypatch, *arguments, profile, frequency, degree=degree, **options))
    assert_equal(*both(monkeypatch, *arguments, GaussianRings(1), 1, degree=6, max_amplification=20.0))
    shuffle = torch.randperm(graph.log.shape[0], generator=torch.Generator().manual_seed(0))
    mixed = graph.log[shuffle], graph.weight[shuffle], graph.radius, graph.edge_index[:, shuffle]
    assert_equal(*both(monkeypatch, *mixed, GaussianRings(2), 2, **options))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_neighbourhoods(dtype, monkeypatch):
    """Nobody, one, on a line, twice the same, at the centre itself, no weights, one weight below zero, near a line, a disc."""
    rng = np.random.default_rng(0)
    angle, r = rng.uniform(0, 2 * np.pi, 40), np.sqrt(rng.uniform(size=40))
    disc = np.stack([r * np.cos(angle), r * np.sin(angle)], 1)
    line = np.outer([-0.9, -0.4, 0.3, 0.8, 0.5], [0.6, 0.8])
    parts = [
        disc[:0],
        disc[:1],
        line,
        np.repeat(disc[:4], 2, 0),
        np.concatenate([disc[:9], np.zeros((2, 2))]),
        disc[:9],
        disc[:12],
        disc,
        line + 3e-3 * disc[:5],
        np.concatenate([disc[:12], 1e-160 * disc[:3]]),
    ]
    count = [len(part) for part in parts]
    weight = np.concatenate([np.full(n, 1 / (n + 1)) for n in count])
    first = np.cumsum([0, *count])
    weight[first[5] : first[6]] = 0
    weight[first[6]] = -0.01
    target = torch.arange(len(count)).repeat_interleave(torch.tensor(count))
    edge_index = torch.stack([torch.arange(len(target)) % len(count), target])
    log, weight = torch.tensor(np.concatenate(parts), dtype=dtype), torch.tensor(weight, dtype=dtype)
    radius = torch.ones(len(count), dtype=dtype)
    area = torch.full_like(radius, 0.1)
    area[5] = 0
    curvature = torch.linspace(-12, 12, len(count)).to(dtype)
    for degree in (0, 1, 3, 5):
        for bound in (1e-3, 1.5, 50.0, math.inf):
            for more in ({}, {"area": area, "curvature": curvature}):
                options = {"degree": degree, "max_amplification": bound, **more}
                compiled, plain = both(monkeypatch, log, weight, radius, edge_index, GaussianRings(3), 3, **options)
                assert compiled.edge.isfinite().all()
                assert_equal(compiled, plain, 1e-8)  # conditions up to 1e4
    assert set(compiled.degree.tolist()) >= {-1, 0, 1, 5}


def test_a_graph_without_edges_or_nodes(monkeypatch):
    empty = torch.zeros(0, 2)
    edge_index = torch.zeros(2, 0, dtype=torch.long)
    for size in (0, 3):
        assert_equal(*both(monkeypatch, empty, empty[:, 0], torch.ones(size), edge_index, GaussianRings(2), 1))


def test_threads_and_pieces_do_not_change_a_bit(monkeypatch):
    graph = geometry.icosphere(3).to_graph(torch.float64)
    arguments = graph.log, graph.weight, graph.radius, graph.edge_index, GaussianRings(3), 3
    whole = match_moments(*arguments, area=graph.area)
    threads = torch.get_num_threads()
    monkeypatch.setattr(builder, "_EDGES", 500)
    monkeypatch.setattr(builder, "_NODES", 7)
    try:
        torch.set_num_threads(2)
        pieces = match_moments(*arguments, area=graph.area)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(whole, pieces):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-15)


def test_who_asks_for_gradients_gets_plain_torch(monkeypatch):
    graph = geometry.icosphere(1).to_graph(torch.float64)

    def refuse(*_):
        raise AssertionError("compiled code has no gradients")

    def total(log, profile):
        return match_moments(log, graph.weight, graph.radius, graph.edge_index, profile, 2, area=graph.area).edge.square().sum()

    monkeypatch.setattr(builder, "build", refuse)
    log, learnt = graph.log.clone().requires_grad_(), RadialMLP(2).double()
    (slope,) = torch.autograd.grad(total(log, GaussianRings(2)), log)
    assert torch.autograd.grad(total(graph.log, learnt), next(learnt.parameters()))[0].abs().sum() > 0
    torch.testing.assert_close(torch.func.grad(total)(graph.log, GaussianRings(2)), slope)
    along = torch.ones_like(slope)
    torch.testing.assert_close(torch.func.jvp(lambda x: total(x, GaussianRings(2)), (graph.log,), (along,))[1], slope.sum())
    with torch.no_grad(), pytest.raises(AssertionError):
        total(log, learnt)


def test_the_exact_moments_are_a_series_of_what_is_not_zero():
    """The compiled code takes harmonics for orthogonal."""
    for dim, frequency in ((2, 6), (3, 4)):
        gram = angular_gram(dim, frequency)
        assert (gram - torch.diag(gram.diagonal())).abs().max() == 0


def test_extreme_eigenvalues():
    rng = np.random.default_rng(0)
    extreme = numba.njit(eigenvalues.extreme_eigenvalues.py_func)  # which only compiled functions call
    for size in (1, 2, 5, 10):
        for scale in (1.0, 1e-8):
            points = rng.normal(size=(2 * size, size)) * np.append(np.ones(size - 1), scale)
            a = np.zeros((size, 12))
            a[:, :size] = points.T @ points
            expected = np.linalg.eigvalsh(a[:, :size])
            found = extreme(a.ravel().copy(), size, 12)
            np.testing.assert_allclose(found, expected[[0, -1]], rtol=1e-12, atol=1e-14 * expected[-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_turned_columns(dtype, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    columns = PolarColumns(GaussianRings(3), 4, 3, 2)
    angle = torch.rand(50, generator=generator, dtype=torch.float64) * 7
    g = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(50, 2, 2)
    g[::2, :, 1] *= -1
    g, table = g.to(dtype), torch.randn(50, columns.size, generator=generator, dtype=torch.float64).to(dtype)
    nothing = torch.zeros(0, dtype=torch.int64)
    expected = torch.cat(
        [table.view(50, 3, 9)[..., max(0, 2 * f - 1) : 2 * f + 1] @ harmonic_action(2, f, g).mT for f in range(5)], -1
    )
    expected = expected.flatten(1)
    for matrices in (g, g.mT.contiguous().mT):
        torch.testing.assert_close(columns.turn(matrices, nothing, table), expected)
    learnt = table.clone().requires_grad_()
    assert columns.turn(g, nothing, learnt).requires_grad
