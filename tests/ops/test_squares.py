"""The compiled polynomial of degree 2 against the plain one."""

from __future__ import annotations

import pytest
import torch

import gaugenet.ops.nodes.squares as squares
from gaugenet import FieldType, groups
from gaugenet.nn import PolynomialNonlinearity


def both(act: PolynomialNonlinearity, x: torch.Tensor, monkeypatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Output and gradient, compiled and plain."""
    upstream, results = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(x.dtype), []
    for fast in (True, False):
        if not fast:
            monkeypatch.setattr(squares, "_is_fast", lambda x: False)
        else:
            assert squares._is_fast(x)
        leaf = x.clone().requires_grad_()
        out = act(leaf)
        results.append((out.detach(), *torch.autograd.grad(out, leaf, upstream)))
    return results


# As many functions as fill a vector, fewer, and some over.
@pytest.mark.parametrize("channels", [1, 7, 8, 16, 25])
@pytest.mark.parametrize("group, orders", [(groups.SO2(), 1), (groups.SO2(), 4), (groups.O2(), 2), (groups.Cyclic(7), 3)])
def test_equals_the_plain_form(group, orders, channels, monkeypatch):
    type = FieldType(group, " + ".join(f"{channels}x{n}" for n in range(orders + 1)))
    act = PolynomialNonlinearity(type).double()
    assert act._orthogonal
    x = torch.randn(300, type.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[3] = 0
    for fast, plain in zip(*both(act, x, monkeypatch)):
        assert (fast - plain).abs().max() <= 1e-13 * plain.abs().max()


def test_fewer_copies_of_some_orders(monkeypatch):
    type = FieldType(groups.SO2(), "5x0 + 9x1 + 2x2")
    x = torch.randn(40, type.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for fast, plain in zip(*both(PolynomialNonlinearity(type).double(), x, monkeypatch)):
        assert (fast - plain).abs().max() <= 1e-13 * plain.abs().max()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 2e-6), (torch.bfloat16, 3e-2)])
def test_single_and_half_precision(dtype, tolerance, monkeypatch):
    type = FieldType(groups.SO2(), "24x0 + 24x1 + 24x2")
    x = torch.randn(200, type.dim, generator=torch.Generator().manual_seed(0)).to(dtype)
    for fast, plain in zip(*both(PolynomialNonlinearity(type), x, monkeypatch)):
        assert fast.dtype == dtype
        assert (fast.float() - plain.float()).abs().max() <= tolerance * plain.float().abs().max()


def test_no_nodes_and_no_functions():
    type = FieldType(groups.SO2(), "2x0 + 2x1")
    assert PolynomialNonlinearity(type)(torch.zeros(0, type.dim)).shape == (0, type.dim)
    x = torch.full((1, type.dim), torch.nan)
    assert PolynomialNonlinearity(type)(x).isnan().all()


def test_several_threads():
    type = FieldType(groups.SO2(), "24x0 + 24x1 + 24x2")
    act, x = PolynomialNonlinearity(type), torch.randn(5000, type.dim, requires_grad=True)
    threads, results = torch.get_num_threads(), []
    for number in (1, 3):
        torch.set_num_threads(number)
        out = act(x)
        results.append((out, *torch.autograd.grad(out.sin().sum(), x)))
    torch.set_num_threads(threads)
    for one, many in zip(*results):
        assert torch.equal(one, many)
