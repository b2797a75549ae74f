"""Angular max pooling: the maximum over all angles, of functions on the circle and of regular fields."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import circular_harmonics
from gaugenet.nn import AngularMaxPool, GroupPool
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph

SO2, O2 = groups.SO2(), groups.O2()


def functions(order: int, copies: int = 3, nodes: int = 50) -> torch.Tensor:
    return torch.randn(nodes, 2 * order + 1, copies, dtype=torch.float64, generator=torch.Generator().manual_seed(order))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 6])
def test_maximum(order):
    """Against two hundred thousand samples, whose best is below by the square of their distance."""
    f = functions(order)
    a = torch.arange(200_000, dtype=torch.float64) * (2 * torch.pi / 200_000)
    waves = circular_harmonics(torch.stack([a.cos(), a.sin()], -1), order)
    waves[:, 1:] *= 2**0.5
    best = torch.stack([(waves @ one).amax(0) for one in f])
    top = AngularMaxPool(FieldType(SO2, "3x0"), order, None)(f.flatten(1))
    assert (top - best).min() > -1e-12 and (top - best).max() < 1e-7


def test_order_one_is_the_length():
    f = functions(1)
    top = AngularMaxPool(FieldType(SO2, "3x0"), 1, None)(f.flatten(1))
    assert torch.allclose(top, f[:, 0] + (2 * f[:, 1:].square().sum(1)).sqrt(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("group", [SO2, O2, groups.Cyclic(6), groups.Dihedral(3)], ids=str)
@pytest.mark.parametrize("order", [2, 5])
def test_invariant(group, order):
    pool, graph = AngularMaxPool(FieldType(group, "3x0"), order).double(), random_graph(group)

    class OnGraph(torch.nn.Module):
        def forward(self, x, graph):
            return pool(x)

    assert equivariance_error(OnGraph(), graph, pool.in_type, pool.out_type) < 1e-12


def test_finite_groups_compare_their_values():
    type = FieldType(groups.Cyclic(5), "3x0")
    pool = AngularMaxPool(type, activation=None)
    x = torch.randn(7, pool.in_type.dim)
    assert torch.equal(pool(x), GroupPool(pool.in_type)(x))


def test_derivatives():
    pool = AngularMaxPool(FieldType(SO2, "3x0"), 3, None).double()
    x = functions(3, nodes=6).flatten(1).requires_grad_()
    assert torch.autograd.gradcheck(pool, x) and torch.autograd.gradgradcheck(pool, x)


def test_functions_without_a_maximum():
    """Constants, zero among them: nothing to look for, and gradients are finite."""
    pool = AngularMaxPool(FieldType(SO2, "2x0"), 3, None).double()
    x = torch.zeros(2, 7, 2, dtype=torch.float64)
    x[1, 0] = 4.0
    x = x.flatten(1).requires_grad_()
    out = pool(x)
    assert torch.equal(out, torch.tensor([[0.0, 0.0], [4.0, 4.0]], dtype=torch.float64))
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert grad.isfinite().all()


def test_every_argument_matters():
    type, x = FieldType(SO2, "2x0"), functions(2, 2).flatten(1) - 1
    assert (AngularMaxPool(type)(x) - AngularMaxPool(type, activation=None)(x)).abs().max() > 0.1
    assert torch.equal(AngularMaxPool(type)(x), AngularMaxPool(type, activation=torch.relu)(x))
    assert AngularMaxPool(type, 4).in_type != AngularMaxPool(type).in_type


def test_refused():
    with pytest.raises(TypeError, match="expected scalars"):
        AngularMaxPool(FieldType(SO2, "2x0 + 1x1"))
    with pytest.raises(ValueError, match="groups of the plane"):
        AngularMaxPool(FieldType(groups.SO3(), "2x0"))
