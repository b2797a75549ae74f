"""Band limits and resampling."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from gaugenet import FieldType
from gaugenet.groups import SO2, SO3
from gaugenet.spectral import FieldTransform, LatLonGrid, SpectralPool, rotate_field, scale_degrees, spectral_pool
from gaugenet.spectral.harmonics import polar_angles, polar_frames
from tests.helpers.samplings import band_limited, coefficients, icosphere_points, polynomial, random_frames, random_points

TYPE = FieldType(SO2(), "2x0 + 1x1 + 1x2")
FINE, COARSE = icosphere_points(3), LatLonGrid.gauss_legendre(5, 9)


def test_a_field_of_space_from_one_sampling_to_another():
    """In random frames on both sides, from the icosphere to points and grids."""
    field_type = FieldType(SO2(), "1x0 + 1x1")

    def features(points, frames):
        scalar, vector = polynomial(points, np.eye(3))
        return torch.from_numpy(np.concatenate([scalar[:, None], np.einsum("nia,ni->na", frames, vector)], 1))

    frames = random_frames(polar_frames(*polar_angles(FINE)))
    pooled = spectral_pool(features(FINE, frames), field_type, FINE, COARSE, 4, frames=frames)
    torch.testing.assert_close(pooled, features(COARSE.points, COARSE.frames), rtol=0, atol=1e-12)
    back = spectral_pool(pooled, field_type, COARSE, FINE, 4)
    torch.testing.assert_close(back, features(FINE, polar_frames(*polar_angles(FINE))), rtol=0, atol=1e-12)


def test_projection_commutes_with_rotations():
    """Of a field of degrees up to 8, pooled to 3, when these are told apart; otherwise what is above leaks in."""
    x, _ = band_limited(FINE, TYPE, 8)
    turn = SO3().sample(1, torch.Generator().manual_seed(0))[0]
    turned = rotate_field(x, TYPE, turn, FINE, 8)
    pool = SpectralPool(TYPE, FINE, COARSE, 3, source_lmax=8).double()
    torch.testing.assert_close(pool(turned), rotate_field(pool(x), TYPE, turn, COARSE, 3), rtol=0, atol=1e-11)
    leaking = SpectralPool(TYPE, FINE, COARSE, 3).double()
    assert (leaking(turned) - rotate_field(leaking(x), TYPE, turn, COARSE, 3)).abs().max() > 1e-4
    with pytest.raises(ValueError, match="source_lmax to be an integer of at least"):
        SpectralPool(TYPE, FINE, COARSE, 3, source_lmax=2)
    assert "lmax=3" in repr(pool)


def test_gain():
    x, t = band_limited(FINE, TYPE, 5)
    gain = torch.exp(-0.1 * torch.arange(6.0).double() ** 2)
    pooled = spectral_pool(x, TYPE, FINE, FINE, 5, gain=gain)
    expected = [scale_degrees(c, gain, spin) for c, spin in zip(t(x), t.spins)]
    torch.testing.assert_close(pooled, t.synthesis(expected), rtol=0, atol=1e-12)
    c = coefficients(2, 0)
    assert torch.equal(scale_degrees(c, torch.tensor([1.0, 2.0, 0.0])), c * torch.tensor([1.0, 2, 2, 2, 0, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="gain expected"):
        SpectralPool(TYPE, FINE, COARSE, 5, gain=torch.ones(5))
    with pytest.raises(ValueError, match="gain expected"):
        scale_degrees(c, torch.ones(2))


def test_the_target_need_not_determine_the_coefficients():
    few = random_points(7)
    x, t = band_limited(FINE, TYPE, 5)
    pooled = SpectralPool(TYPE, FINE, few, 5).double()(x)
    expected = FieldTransform(few, 5, TYPE, method="quadrature").double().synthesis(t(x))
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="do not determine"):
        SpectralPool(TYPE, few, FINE, 5)


def test_module():
    x, _ = band_limited(FINE, TYPE, 5)
    pool = SpectralPool(TYPE, FINE, COARSE, 4, gain=torch.linspace(1, 0.5, 5)).double()
    expected = pool(x)
    assert not pool.state_dict()
    assert torch.equal(pool.eval()(x), expected)
    for other in (copy.deepcopy(pool).float().double(), pickle.loads(pickle.dumps(pool))):
        torch.testing.assert_close(other(x), expected, rtol=0, atol=1e-13)
    torch._dynamo.reset()
    small = SpectralPool(TYPE, FINE, COARSE, 2).double()
    compiled = torch.compile(small, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), small(x), rtol=0, atol=1e-12)
    single = copy.deepcopy(pool).float()(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=2e-5)
    with pytest.raises(ValueError, match="last dimension"):
        pool(x[..., :3])
