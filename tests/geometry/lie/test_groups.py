"""Exponential maps, logarithms, distances and Haar measures of Lie groups; Finzi's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from gaugenet.geometry import LieGroup
from tests.helpers.lie_oracle import FINZI, oracle

NAMES = ["T1", "T2", "T3", "T5", "SO2", "RxSO2", "SE2", "SO3", "SE3", "R2xR+"]
every = pytest.mark.parametrize("name", NAMES)


#: groups in the oracle
def coordinates(group: LieGroup, count: int, seed: int = 0, most: float = np.pi - 1e-7) -> np.ndarray:
    """Logarithms of all sizes, turns up to ``most``."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, group.dim)) * rng.choice([1e-12, 1e-6, 1e-2, 0.29, 0.31, 1, 2], size=(count, 1))
    turn = list(group.turn)
    angle = np.linalg.norm(a[:, turn], axis=1, keepdims=True)
    a[:, turn] *= np.where(angle > most, most / np.maximum(angle, 1e-300), 1.0)
    return a


def algebra(group: LieGroup, a: np.ndarray) -> np.ndarray:
    """The matrix of the algebra with coordinates a, by the derivative of exp at 0."""
    eye, step = np.eye(group.dim), 1e-6
    basis = [(group.exp(step * e) - group.exp(-step * e)) / (2 * step) for e in eye]
    return np.einsum("i,ijk->jk", a, np.round(basis, 6))


@every
def test_exponentials_are_those_of_matrices(name):
    group = LieGroup.of(name)
    for a in coordinates(group, 40):
        assert np.allclose(group.exp(a), expm(algebra(group, a)), rtol=1e-12, atol=1e-12)


@every
def test_logarithms_are_inverse_at_every_size(name):
    group = LieGroup.of(name)
    a = coordinates(group, 20_000)
    assert np.abs(group.log(group.exp(a)) - a).max() < 1e-13
    u = group.exp(a[:500])
    assert np.abs(group.compose(u, group.inverse(u)) - np.eye(group.size)).max() < 1e-12
    assert np.abs(group.exp(group.log(u)) - u).max() < 1e-13


@every
def test_relative_elements_are_left_invariant(name):
    group = LieGroup.of(name)
    u, v, h = (group.exp(coordinates(group, 1000, seed, most=2.0)) for seed in range(3))
    before, after = group.relative(u, v), group.relative(h @ u, h @ v)
    assert np.abs(after - before)[~group.on_cut(before)].max() < 1e-9
    assert np.abs(group.relative(v, u) + before)[~group.on_cut(before)].max() < 1e-10


@pytest.mark.parametrize("name", ["SO2", "RxSO2", "SE2", "SO3", "SE3"])
def test_half_a_turn_is_flagged_and_the_same_whatever_the_rounding(name):
    group = LieGroup.of(name)
    a = coordinates(group, 2000, most=1.0)
    turn = list(group.turn)
    direction = np.random.default_rng(1).normal(size=(len(a), len(turn)))
    direction[:3] = np.eye(len(turn))[[0, -1, 0]]
    a[:, turn] = np.pi * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    u = group.exp(a)
    log = group.log(u)
    assert np.isfinite(log).all() and group.on_cut(log).all()
    assert np.abs(group.exp(log) - u).max() < 1e-9
    for factor in (1 + 1e-15, 1 - 1e-15, 1 + 1e-12, 1 - 1e-12):
        b = a.copy()
        b[:, turn] *= factor
        assert np.abs(group.log(group.exp(b)) - log).max() < 1e-9
    assert not group.on_cut(coordinates(group, 500, most=3.14)).any()


def test_a_planar_half_turn_is_positive():
    assert np.allclose(LieGroup.of("SO2").log(np.diag([-1.0, -1.0])), np.pi)
    assert np.allclose(LieGroup.of("SO3").log(np.diag([-1.0, 1.0, -1.0])), [0, np.pi, 0])


@pytest.mark.parametrize("name", ["SE2", "SO3", "SE3", "R2xR+", "RxSO2", "T3"])
def test_haar_density_is_the_jacobian_of_left_translation(name):
    """d log(exp(a)^-1 exp(a + da)) / da, by finite differences."""
    group = LieGroup.of(name)
    for a in coordinates(group, 20, most=2.5):
        steps = 1e-6 * np.eye(group.dim)
        ahead, back = group.exp(a + steps), group.exp(a - steps)
        here = np.broadcast_to(group.exp(a), ahead.shape)
        jacobian = (group.relative(here, ahead) - group.relative(here, back)) / 2e-6
        assert abs(np.linalg.det(jacobian)) == pytest.approx(group.haar(a), rel=1e-6)


@every
@pytest.mark.parametrize("alpha", [None, 0.2, 0.7])
def test_volume_and_reach(name, alpha):
    group = LieGroup.of(name)
    reach = group.reach(alpha)
    a = np.random.default_rng(0).uniform(-reach, reach, size=(400_000, group.dim))
    inside = group.distance(a, alpha=alpha) <= 1
    share, whole = inside.mean(), (2 * reach) ** group.dim
    assert abs(share * whole - group.volume(1.0, alpha)) < 5 * whole * np.sqrt(share / len(a)) + 1e-9
    assert np.linalg.norm(a[inside], axis=1).max() <= reach * (1 + 1e-12)
    assert group.volume(2.0, alpha) == pytest.approx(2**group.dim * group.volume(1.0, alpha))


@pytest.mark.parametrize("name", FINZI)
def test_oracle(shared, name):
    group, arrays = LieGroup.of(name), oracle(shared, name)
    if "a" in arrays:
        assert np.abs(group.exp(arrays["a"]) - arrays["exp"]).max() < 1e-12
        assert np.abs(group.log(arrays["exp"]) - arrays["log"]).max() < 1e-12
    u = group.exp(arrays["elems"] if "elems" in arrays else arrays["p"])
    pairs = arrays["abq"][..., : group.dim]  # log(u_q^-1 u_p) at [p, q]
    log = group.relative(u[:, None], u[:, :, None])
    cut = group.on_cut(log)
    assert np.abs(log - pairs)[~cut].max() < 1e-9
    assert np.array_equal(cut, np.abs(np.linalg.norm(pairs[..., list(group.turn)], axis=-1) - np.pi) < 1e-8)
    orbit = (arrays["abq"][..., group.dim, None], arrays["abq"][..., group.dim + 1, None]) if group.orbits else None
    assert np.abs(group.distance(pairs, orbit, alpha=0.2) - arrays["dist"]).max() < 1e-9
    if "u" in arrays:
        moved = group.relative(arrays["u"] @ u[:, None], arrays["u"] @ u[:, :, None])
        assert np.abs(moved - log)[~cut].max() < 1e-9


def test_refuses():
    with pytest.raises(ValueError, match="unknown Lie group 'SE9': expected one of T1"):
        LieGroup.of("SE9")
    with pytest.raises(TypeError, match="name of a Lie group"):
        LieGroup.of(3)
    group = LieGroup.of("SE2")
    with pytest.raises(ValueError, match=r"3 coordinates.*\(4, 2\)"):
        group.exp(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"3, 3.*\(2, 2\)"):
        group.log(np.eye(2))
    with pytest.raises(ValueError, match="element 1"):
        group.check(np.stack([np.eye(3), 2 * np.eye(3)]), "me")
    with pytest.raises(ValueError, match="finite"):
        group.check(np.full((1, 3, 3), np.nan), "me")
    assert LieGroup.of(group) is group and str(group) == "SE2"
