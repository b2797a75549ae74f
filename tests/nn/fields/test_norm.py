from __future__ import annotations

import copy

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import FieldBias, FieldDropout, FieldNorm, GaugeLinear
from tests.helpers.graphs import CASES
from tests.helpers.networks import randomise, relative_error


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
@pytest.mark.parametrize("mode", ["batch", "layer"])
@pytest.mark.parametrize("training", [False, True])
def test_norm_is_equivariant(case, mode, training):
    norm = randomise(FieldNorm(FieldType(case[0], case[1]), mode)).train(training)
    if mode == "batch":  # running averages of a gauge-invariant kind
        norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        norm.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(2))
    if training and mode == "batch":
        norm.momentum = 0.0
    assert relative_error(norm) < 1e-12
    assert relative_error(copy.deepcopy(norm), torch.float32) < 1e-4


@pytest.mark.parametrize("mode", ["batch", "layer"])
def test_norm_normalises(mode):
    ft = FieldType(groups.SO2(), "16x0 + 16x1")
    x = 5 * torch.randn(400, ft.dim, dtype=torch.float64) + torch.cat([torch.ones(16) * 3, torch.zeros(32)])
    scalars, vectors = ft.split(FieldNorm(ft, mode).double()(x))
    axis = 0 if mode == "batch" else -1
    assert torch.allclose(scalars.mean(axis), torch.zeros(()).double(), rtol=1e-10, atol=1e-10)
    assert torch.allclose(scalars.square().mean(axis), torch.ones(()).double(), atol=1e-4)
    assert torch.allclose(vectors.square().mean(1).mean(axis), torch.ones(()).double(), atol=1e-4)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_batch_norm_and_its_gradients_are_those_of_the_formula(case):
    """The layer has its own backward pass; here torch differentiates the formula of the docstring, block by block."""
    ft = FieldType(case[0], case[1])
    norm = randomise(FieldNorm(ft)).double().train()
    x = (torch.randn(30, ft.dim, dtype=torch.float64) * 2 + 1).requires_grad_()
    parts, copy_ = [], 0
    for block, (mul, rep) in zip(ft.split(x), ft.blocks):
        vectors = rep.invariant_vectors()
        centred = block - (vectors.t() @ vectors) @ block.mean(0)
        parts.append(norm.gamma[copy_ : copy_ + mul] * centred / (centred.square().mean((0, 1)) + norm.eps).sqrt())
        copy_ += mul
    slow, fast = ft.join(parts) + norm.beta.row(), norm(x)
    assert (slow - fast).abs().max() < 1e-12
    inputs, cotangent = [x, norm.gamma, norm.beta.value], torch.randn_like(slow)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (slow, fast))):
        assert (a - b).abs().sum() < 1e-10 * max(1.0, float(a.abs().sum()))


def test_batch_norm_has_second_derivatives():
    ft = FieldType(groups.O2(), "2x0 + 1x0- + 2x1")
    x = torch.randn(5, ft.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(FieldNorm(ft).double().train(), (x,))


def test_norm_arguments_and_state():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    x = torch.randn(50, ft.dim) * 3
    assert FieldNorm(ft, affine=False).gamma is None and FieldNorm(ft, affine=False).beta is None
    assert FieldNorm(ft).beta.value.numel() == 4
    assert not torch.allclose(FieldNorm(ft, eps=1.0)(x), FieldNorm(ft)(x))
    slow, fast = FieldNorm(ft, momentum=0.01), FieldNorm(ft, momentum=0.9)
    slow(x), fast(x)
    assert (fast.running_var - 1).abs().min() > (slow.running_var - 1).abs().max()
    norm = FieldNorm(ft)
    assert set(norm.train().state_dict()) == set(norm.eval().state_dict())
    for _ in range(200):
        norm.train()(x)
    assert torch.allclose(norm.eval()(x), norm.train()(x), atol=1e-3)
    norm.reset_parameters()
    assert torch.equal(norm.running_var, torch.ones(6))
    with pytest.raises(ValueError, match="batch"):
        FieldNorm(ft, "group")


def test_layer_norm_sees_one_node_only():
    ft = FieldType(groups.SO2(), "4x0 + 2x1")
    x = torch.randn(50, ft.dim)
    norm = FieldNorm(ft, "layer")
    assert torch.allclose(norm(x)[:10], norm(x[:10]), atol=1e-6)


def test_dropout_drops_whole_copies():
    ft = FieldType(groups.SO2(), "50x0 + 50x1")
    x = torch.ones(40, ft.dim)
    drop = FieldDropout(ft, 0.3)
    _, vectors = ft.split(drop(x))
    dropped = vectors == 0
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert 0.2 < dropped.float().mean() < 0.4
    assert torch.allclose(vectors[~dropped], torch.tensor(1 / 0.7))
    assert torch.equal(drop.eval()(x), x)
    with pytest.raises(ValueError, match="0 <= p < 1"):
        FieldDropout(ft, 1.0)


@pytest.mark.parametrize("case", CASES, ids=lambda c: str(c[0]))
def test_linear_is_equivariant(case):
    group, a, b = case
    linear = randomise(GaugeLinear(FieldType(group, a), FieldType(group, b)))
    assert relative_error(linear) < 1e-12
    assert relative_error(copy.deepcopy(linear), torch.float32) < 1e-4
    assert GaugeLinear(FieldType(group, a), FieldType(group, b), bias=False).bias is None


def test_linear_of_so2_mixes_equal_orders_only():
    so2 = groups.SO2()
    linear = GaugeLinear(FieldType(so2, "2x0 + 3x1"), FieldType(so2, "5x1 + 1x2"), bias=False)
    assert linear.weight.numel() == 2 * 3 * 5  # two intertwiners (real and imaginary part) a pair of order-1 copies
    before = linear(torch.ones(1, 8))
    linear.reset_parameters()
    assert not torch.equal(linear(torch.ones(1, 8)), before)


def test_bias_lives_on_invariants():
    assert FieldBias(FieldType(groups.SO2(), "4x0 + 3x1")).value.numel() == 4
    assert FieldBias(FieldType(groups.Cyclic(4), "4xregular + 2x1")).value.numel() == 4
    assert FieldBias(FieldType(groups.Trivial(), "4x0")).value.numel() == 4
    assert FieldBias(FieldType(groups.O2(), "4x0-")).value.numel() == 0
    bias = randomise(FieldBias(FieldType(groups.SO2(), "2x0 + 1x1")))
    assert torch.allclose(bias(torch.zeros(3, 4))[:, 2:], torch.zeros(3, 2))
    assert (bias(torch.zeros(3, 4))[:, :2] != 0).all()
