"""Lifts of points and pixels: the elements take the origin to the points; orbits, stabilisers, measures."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.geometry import LieGroup, lift_image, lift_points
from tests.helpers.lie_oracle import FINZI, oracle

SAMPLES = {"T2": 1, "T3": 1, "SO2": 1, "RxSO2": 1, "SE2": 4, "SO3": 3, "SE3": 5, "R2xR+": 3}


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("name", SAMPLES)
def test_elements_take_the_origin_to_the_points(name, seed):
    group = LieGroup.of(name)
    x = np.random.default_rng(0).normal(size=(30, group.space))
    x[0] = -group.origin * 2 if group.orbits else x[0]  # the antipode
    if name == "R2xR+" and seed is not None:
        with pytest.raises(ValueError, match="no compact group"):
            lift_points(name, x, SAMPLES[name], seed=seed)
        return
    lift = lift_points(name, x, SAMPLES[name], seed=seed)
    group.check(lift.elements, name)
    assert np.array_equal(lift.point, np.repeat(np.arange(30), SAMPLES[name])) and lift.area is None
    there = group.act(lift.elements, group.origin)
    if group.orbits:
        assert np.allclose(lift.orbit[:, 0], np.linalg.norm(x, axis=1)[lift.point])
        there = lift.orbit * there
    else:
        assert lift.orbit is None
    assert np.allclose(there, x[lift.point], atol=1e-12)
    again = lift_points(name, x, SAMPLES[name], seed=seed)
    assert np.array_equal(lift.elements, again.elements)
    stabiliser = group.inverse(lift.elements[:: SAMPLES[name]])[:, None] @ lift.elements.reshape(
        30, -1, *lift.elements.shape[1:]
    )
    drawn = seed is not None and name in ("SE3",)
    assert drawn or np.allclose(stabiliser, stabiliser[:1], atol=1e-12)  # one set of them, if turned
    other = lift_points(name, x, SAMPLES[name], seed=4) if name != "R2xR+" else lift
    if name in ("SE2", "SE3", "SO3") and seed is not None:
        assert not np.allclose(lift.elements, other.elements)


@pytest.mark.parametrize("name", FINZI)
def test_oracle(shared, name):
    """Their lifts are ours, with the stabilisers that they drew."""
    group, arrays = LieGroup.of(name), oracle(shared, name)
    u = group.exp(arrays["elems"] if "elems" in arrays else arrays["p"])
    for elements, points, orbit in zip(u, arrays["p"], arrays.get("q", [None] * 2)):
        samples = len(elements) // len(points)
        base = lift_points(name, points, stabiliser=np.eye(group.size)[None])
        kept = group.inverse(np.repeat(base.elements, samples, 0)) @ elements
        assert np.abs(group.act(kept, group.origin) - group.origin).max() < 1e-9
        assert samples > 1 or np.abs(base.elements - elements).max() < 1e-9
        for one in range(len(points)):
            part = slice(one * samples, (one + 1) * samples)
            lift = lift_points(name, points[[one]], stabiliser=kept[part])
            assert np.abs(lift.elements - elements[part]).max() < 1e-9
            assert orbit is None or np.abs(lift.orbit - orbit[part]).max() < 1e-12


@pytest.mark.parametrize(
    ("name", "samples", "whole"),
    [("SE2", 8, 2 * np.pi), ("SE3", 6, 8 * np.pi**2), ("SO3", 4, 2 * np.pi), ("T2", 1, 1.0), ("SO2", 1, 1.0)],
)
def test_measures_are_those_of_the_points_times_the_stabiliser(name, samples, whole):
    group = LieGroup.of(name)
    x, area = np.random.default_rng(1).normal(size=(20, group.space)), np.random.default_rng(2).uniform(1, 2, 20)
    lift = lift_points(name, x, samples, area=area)
    assert np.allclose(np.bincount(lift.point, lift.area), area * whole)


def test_measures_of_scalings_are_left_invariant():
    """Haar measure: dx ds / s^3, and dlog r d angle."""
    lift = lift_points("R2xR+", np.zeros((1, 2)), 3, area=np.ones(1))
    scale = lift.elements[:, 0, 0]
    assert np.allclose(scale, [1, 2**0.5, 2]) and np.allclose(lift.area, np.log(2) / 2 / scale**2)
    x = np.array([[3.0, 4.0], [0.5, 0.0]])
    assert np.allclose(lift_points("RxSO2", x, area=np.ones(2)).area, [1 / 25, 4])


def test_the_spiral_of_rotations_is_even():
    """The mean of the matrices of degree 1 and their squares is that of the Haar measure, up to the number of them."""
    r = lift_points("SE3", np.zeros((1, 3)), 500).elements[:, :3, :3]
    assert np.abs(r.mean(0)).max() < 0.01
    assert np.abs((r**2).mean(0) - 1 / 3).max() < 0.01


def test_images():
    lift = lift_image("SE2", (6, 8), 4, spacing=0.5)
    group = LieGroup.of("SE2")
    x = group.act(lift.elements, group.origin)
    row, column = np.divmod(lift.point, 8)
    assert np.allclose(x, np.stack([column - 3.5, 2.5 - row], 1) * 0.5)  # x to the right, y up
    assert np.linalg.norm(x, axis=1).max() <= 1.5 and np.allclose(lift.area, 0.25 * 2 * np.pi / 4)
    whole = lift_image("SE2", (6, 8), 4, region="square")
    assert len(whole.point) == 6 * 8 * 4 > len(lift.point)
    assert len(lift_image("RxSO2", (5, 5), region="square").point) == 24  # without the middle
    assert len(lift_image("T2", (5, 5), region="square").point) == 25


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: lift_points("SE2", np.zeros((3, 3))), r"\(N, 2\)"),
        (lambda: lift_points("SE2", np.full((3, 2), np.nan)), "finite"),
        (lambda: lift_points("T2", np.zeros((3, 2)), 2), "samples must be 1"),
        (lambda: lift_points("RxSO2", np.zeros((3, 2))), "leave out point 0"),
        (lambda: lift_points("SE2", np.zeros((3, 2)), area=np.ones(2)), r"area \(3,\)"),
        (lambda: lift_points("SE2", np.zeros((3, 2)), stabiliser=LieGroup.of("SE2").exp(np.ones((1, 3)))), "keep the origin"),
        (lambda: lift_image("SE3", (3, 3)), "acts on the plane"),
        (lambda: lift_image("SE2", (3, 3, 3)), r"\(H, W\)"),
        (lambda: lift_image("SE2", (3, 3), region="ball"), "region"),
        (lambda: lift_image("SE2", (3, 3), spacing=0.0), "spacing"),
    ],
)
def test_refuses(call, text):
    with pytest.raises(ValueError, match=text):
        call()
