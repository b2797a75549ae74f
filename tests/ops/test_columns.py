"""Moments and scaling of columns: the fast backward pass against torch's own."""

from __future__ import annotations

import pytest
import torch

from gaugenet.ops.nodes.columns import column_moments, scale_columns


def plain(x, gain, offset):
    mean, var = x.mean(0), x.var(0, correction=0)
    return x * (gain * var.rsqrt()) + (offset - mean)


def fast(x, gain, offset):
    mean, var = column_moments(x)
    return scale_columns(x, gain * var.rsqrt(), offset - mean)


def features(shape=(40, 5), dtype=torch.float64):
    return (torch.randn(shape, dtype=dtype) * 3 + 1).requires_grad_(), *torch.randn(2, shape[-1], dtype=dtype).requires_grad_()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_values_and_gradients(dtype, tolerance, layout):
    x, gain, offset = features(dtype=dtype)
    if layout == "columns":  # features of an image with channels first
        x = x.detach().t().contiguous().t().requires_grad_()
    cotangent = torch.randn_like(x)
    slow, quick = plain(x, gain, offset), fast(x, gain, offset)
    gradients = (torch.autograd.grad(out, [x, gain, offset], cotangent) for out in (quick, slow))
    for a, b in [(quick, slow), *zip(*gradients)]:
        assert (a - b).abs().max() < tolerance * b.abs().max()


def test_second_derivatives():
    assert torch.autograd.gradgradcheck(fast, features((6, 3)))


def test_few_rows_and_none():
    x = torch.zeros(1, 3, requires_grad=True)
    assert all(torch.equal(a, torch.zeros(3)) for a in column_moments(x))
    empty = torch.zeros(0, 3, requires_grad=True)
    assert scale_columns(empty, torch.ones(3), torch.ones(3)).shape == (0, 3)
    half = features(dtype=torch.float32)[0].bfloat16()
    assert scale_columns(half, torch.ones(5), torch.zeros(5)).dtype == torch.float32


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_function_transforms():
    """torch.func and forward-mode differentiation know these functions, too."""
    x, gain, offset = features()

    def loss(f):
        return lambda *inputs: f(*inputs).square().sum()

    for a, b in zip(*(torch.func.grad(loss(f), (0, 1, 2))(x, gain, offset) for f in (fast, plain))):
        assert torch.allclose(a, b)
    many = torch.randn(4, 7, 5, dtype=torch.float64)
    a, b = (
        torch.func.vmap(torch.func.grad(loss(f)), (0, None, None))(many, gain.detach(), offset.detach()) for f in (fast, plain)
    )
    assert torch.allclose(a, b)
    x, gain, offset = x.detach(), gain.detach(), offset.detach()
    a, b = (torch.func.jvp(lambda y, f=f: f(y, gain, offset), (x,), (torch.ones_like(x) + x,))[1] for f in (fast, plain))
    assert torch.allclose(a, b)
