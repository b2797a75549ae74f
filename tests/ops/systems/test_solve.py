"""Systems on the nodes of a graph: the factor, conjugate gradients in groups of columns and all at once, derivatives."""

from __future__ import annotations

import pytest
import torch

from gaugenet import geometry, groups
from gaugenet.nn.surfaces.laplacian import connection_laplacians, system
from gaugenet.ops.systems import solve as module
from gaugenet.ops.systems.solve import solve

SO2 = groups.SO2()


@pytest.mark.parametrize("columns", [1, 4, 7])
def test_every_column_has_its_own_system(columns):
    """Columns are solved side by side, in the order of their times."""
    graph = geometry.icosphere(2, rings=1).to_graph()
    ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(2))
    own, generator = system(matrix, mass), torch.Generator().manual_seed(0)
    f = torch.randn(len(own.mass), columns, dtype=torch.float64, generator=generator)
    shift, time = (torch.rand(columns, dtype=torch.float64, generator=generator) + 0.1 for _ in range(2))
    u = solve(f, shift, time, own)
    dense = module._matrix(own).to_dense()
    for c in range(columns):
        expected = torch.linalg.solve(shift[c] * torch.diag(own.mass) + time[c] * dense, f[:, c])
        assert torch.allclose(u[:, c], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [0, 1])
def test_conjugate_gradients_and_the_factor_agree(order):
    """What other devices do."""
    graph = geometry.icosphere(2, rings=1).to_graph()
    ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(order))
    own = system(matrix, mass, 0.7)
    f = torch.randn(len(own.mass), 3, dtype=torch.float64)
    shift, time = torch.full((3,), 0.7, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert torch.allclose(solve(f, shift, time, own, True), solve(f, shift, time, own), rtol=0, atol=1e-12)
    single = solve(f.float(), shift.float(), time.float(), own)
    assert single.dtype == torch.float32 and torch.allclose(single.double(), solve(f, shift, time, own), rtol=1e-4, atol=1e-5)
    assert torch.equal(solve(torch.zeros_like(f), shift, time, own), torch.zeros_like(f))
    together, done = module._together(f, shift, time, own, 1e-14)
    assert done and torch.allclose(together, solve(f, shift, time, own), rtol=0, atol=1e-12)


def test_conjugate_gradients_that_do_not_converge_say_so(monkeypatch):
    graph = geometry.icosphere(2, rings=1).to_graph()
    ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(0))
    own, one = system(matrix, mass), torch.ones(1, dtype=torch.float64)
    monkeypatch.setattr(module, "_MOST_STEPS", 3)
    with pytest.raises(RuntimeError, match="have not converged in 3 steps"):
        solve(torch.randn(len(mass), 1, dtype=torch.float64), 1e-9 * one, one, own)


def test_gradients_to_shift_and_time():
    graph = geometry.icosphere(1, rings=1).to_graph()
    ((matrix, mass),) = connection_laplacians(graph, SO2.irrep(1))
    own = system(matrix, mass)
    f = torch.randn(len(own.mass), 2, dtype=torch.float64, requires_grad=True)
    shift, time = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.5, 1.0], [0.1, 2.0]))
    assert torch.autograd.gradcheck(lambda *a: solve(*a, own), (f, shift, time))
    assert torch.autograd.gradgradcheck(lambda *a: solve(*a, own), (f, shift, time))
