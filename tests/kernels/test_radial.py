from __future__ import annotations

import pickle

import pytest
import torch

from gaugenet.kernels import BSpline, GaussianRings, LinearRings, RadialMLP, make_radial

PROFILES = [
    lambda cutoff: GaussianRings(5, cutoff=cutoff),
    lambda cutoff: BSpline(5, degree=1, cutoff=cutoff),
    lambda cutoff: BSpline(6, degree=2, cutoff=cutoff),
    lambda cutoff: BSpline(5, cutoff=cutoff),
    lambda cutoff: RadialMLP(3, hidden=(8, 8), cutoff=cutoff).double(),
    lambda cutoff: LinearRings(5, cutoff=cutoff),
    lambda cutoff: LinearRings(5, True, cutoff=cutoff),
]


@pytest.mark.parametrize("make", PROFILES)
def test_cutoff(make):
    torch.manual_seed(0)
    smooth, sharp = make(True), make(False)
    r = torch.tensor([0.0, 0.5, 0.97, 1.0, 1.01, 3.0], dtype=torch.float64)
    assert smooth(r).shape == (6, smooth.num) and smooth(r).dtype == torch.float64
    assert smooth(r[3:]).abs().max() < 1e-12 and smooth(r[:3]).abs().amax(-1).min() > 1e-4
    assert sharp(r[4:]).eq(0).all() and sharp(r[3:4]).abs().max() > 1e-2
    # a neighbour at one radius is not lost to rounding
    assert sharp(r[3:4] * (1 + 1e-12)).abs().max() > 1e-2
    assert smooth(r.reshape(2, 3)).shape == (2, 3, smooth.num)
    assert smooth(r[:0]).shape == (0, smooth.num)


@pytest.mark.parametrize("make", [PROFILES[0], PROFILES[2], PROFILES[3], PROFILES[4]])
def test_continuously_differentiable_through_the_cutoff(make):
    torch.manual_seed(0)
    profile = make(True)
    r = torch.linspace(0.9, 1.1, 2001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(profile(r).sum(), r)
    assert slope.diff().abs().max() < 0.05 and slope[1001:].abs().max() < 1e-9


def test_gaussian_rings():
    r = torch.linspace(0, 1, 400, dtype=torch.float64)
    rings = GaussianRings(4, cutoff=False)
    values = rings(r)
    torch.testing.assert_close(r[values.argmax(0)], torch.arange(4).double() / 4, rtol=0, atol=2e-3)
    torch.testing.assert_close(values[:, 1], torch.exp(-0.5 * ((r - 0.25) / (0.6 / 4)) ** 2))
    assert GaussianRings(4, width=2.0, cutoff=False)(r).sum() > values.sum()
    assert GaussianRings(1)(torch.zeros(1)).item() == 1
    assert GaussianRings(4).breakpoints == (0.25, 0.5, 0.75)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_bsplines(degree):
    from scipy.interpolate import BSpline as Reference

    r = torch.linspace(0, 0.999, 57, dtype=torch.float64)
    for cutoff in (True, False):
        profile = BSpline(5, degree=degree, cutoff=cutoff)
        intervals = 5 if cutoff else 5 - degree
        for b in range(5):
            knots = (b - degree + torch.arange(degree + 2).double()) / intervals
            expected = Reference.basis_element(knots.numpy(), extrapolate=False)(r.numpy())
            torch.testing.assert_close(profile(r)[:, b], torch.from_numpy(expected).nan_to_num(0.0), rtol=0, atol=1e-12)
        assert profile.breakpoints == tuple(b / intervals for b in range(1, intervals))
    torch.testing.assert_close(profile(r).sum(-1), torch.ones_like(r))


@pytest.mark.parametrize("equal_area", [False, True])
def test_linear_rings(equal_area):
    """One on their own ring, zero on the others, straight between; the sum is one."""
    for cutoff in (False, True):
        rings = LinearRings(4, equal_area, cutoff=cutoff)
        knots = torch.tensor(rings.knots, dtype=torch.float64)
        torch.testing.assert_close(rings(knots[:4]), torch.eye(4, dtype=torch.float64))
        middle = (knots[1:] + knots[:-1]) / 2
        torch.testing.assert_close(rings(middle).amax(-1), torch.full_like(middle, 0.5))
        r = torch.rand(50, dtype=torch.float64) * float(knots[3])
        torch.testing.assert_close(rings(r).sum(-1), torch.ones_like(r))
        areas = (knots.square() if equal_area else knots).diff()
        torch.testing.assert_close(areas, areas[:1].expand_as(areas))
        assert rings.breakpoints == tuple(float(k) for k in knots if 0 < k < 1)
    if not equal_area:
        torch.testing.assert_close(LinearRings(4, cutoff=False)(r), BSpline(4, 1, cutoff=False)(r), rtol=0, atol=1e-12)
    assert LinearRings(1, cutoff=False)(r).eq(1).all()


def test_learnt_profile():
    torch.manual_seed(0)
    profile = RadialMLP(3, hidden=16, embedding=5)
    r = torch.rand(9)
    before = profile(r)
    before.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in profile.parameters())
    assert profile.hidden == (16,) and profile.layers[0].in_features == 5
    profile.reset_parameters()
    assert not torch.allclose(profile(r), before)
    assert [m.out_features for m in RadialMLP(2, hidden=(4, 6)).layers if hasattr(m, "out_features")] == [4, 6, 2]


def test_keys():
    keys = [
        GaussianRings(4).key,
        GaussianRings(5).key,
        GaussianRings(4, width=1.0).key,
        GaussianRings(4, cutoff=False).key,
        BSpline(4).key,
        BSpline(4, degree=2).key,
    ]
    assert len(set(keys)) == len(keys) and GaussianRings(4).key == GaussianRings(4).key
    assert RadialMLP(4).key is None and RadialMLP(4).num == 4
    assert GaussianRings(3).state_dict() == {} and repr(BSpline(4, degree=2)) == BSpline(4, degree=2).key
    assert pickle.loads(pickle.dumps(BSpline(4))).key == BSpline(4).key


def test_make_radial():
    assert make_radial(3).key == GaussianRings(3).key
    profile = BSpline(2)
    assert make_radial(profile) is profile
    for wrong, error in ((0, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError), (torch.nn.ReLU(), TypeError)):
        with pytest.raises(error):
            make_radial(wrong)
    with pytest.raises(ValueError, match="num > degree"):
        BSpline(3, degree=3, cutoff=False)
    with pytest.raises(ValueError, match="degree to be an integer of at least 1"):
        BSpline(3, degree=0)
    with pytest.raises(ValueError, match="positive"):
        GaussianRings(3, width=0)
    with pytest.raises(ValueError, match="hidden to be a sequence of one or more integers of at least 1"):
        RadialMLP(3, hidden=(8, 0))


def test_single_precision_and_gradient():
    r = torch.rand(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for profile in (GaussianRings(3), BSpline(4)):
        assert profile(r.float()).dtype == torch.float32
        torch.testing.assert_close(profile(r.float()).double(), profile(r), rtol=0, atol=1e-5)
        assert torch.autograd.gradcheck(profile, (r,))
