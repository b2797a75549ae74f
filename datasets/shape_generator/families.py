"""The twelve shape families: each function builds one posed shape from a random generator.

A family fixes the parts; individuals differ in girth and in the lengths of limbs, and every shape has its own pose.
x is lateral, y forward, z up. Dog, giraffe, lizard and sauropod differ in the lengths of legs, neck and tail, ears and crest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .implicit import Ellipsoid, RevolvedShell, RoundCone
from .skeleton import chain, curl, rotation, tube, unit

SPREAD = 0.22


@dataclass(frozen=True)
class Shape:
    """Primitives to join, the width of the joints, the genus to expect and a warp of the finished surface."""

    parts: list
    blend: float = 0.03
    genus: int = 0
    warp: Callable[[np.ndarray], np.ndarray] = field(default=lambda x: x)


def vary(rng, value: float, spread: float = SPREAD) -> float:
    """A proportion of an individual: `value` up to a random factor between exp(-spread) and exp(spread)."""
    return value * float(np.exp(spread * rng.uniform(-1, 1)))


def quadruped(rng, neck: float, tail: float, leg: float, ears: float = 0.0, crest: float = 0.0) -> Shape:
    """Four legs, a trunk, a neck with a head and a tail (lengths in units of the trunk); ears, or a crest along the back."""
    neck, tail, leg, stout = vary(rng, neck), vary(rng, tail), vary(rng, leg), vary(rng, 1.0, 0.3)
    width, girth, trunk_length = vary(rng, 0.13, 0.1), vary(rng, 0.2, 0.25), vary(rng, 1.0, 0.3)
    up, forward = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    spine = [rng.normal(size=3) * [0.15, 0.1, 0.25] for _ in range(4)]
    girths = [girth, girth, girth * 1.05, girth * 1.1, girth]
    trunk, chest, ahead = chain([0, 0, 0], forward, [0.25 * trunk_length] * 4, girths, spine)
    parts = list(trunk)
    if crest:
        spines = [*(cone.a for cone in trunk), chest]
        parts += [RoundCone(p, p + (girth + vary(rng, crest)) * up, 0.09, 0.035) for p in spines]
    rise = unit(ahead + rng.uniform(0.3, 1.2) * up)
    cones, crown, gaze = curl(chest, rise, neck, stout * np.array([0.14, 0.095, 0.09]), rng, bend=0.5 + 0.7 * neck)
    parts += cones
    gaze = unit(gaze * [1, 1, 0.3] + 0.5 * forward - 0.2 * up)
    parts += chain(crown, gaze, [0.1, 0.2], [0.14, 0.13, 0.08])[0]
    side = unit(np.cross(gaze, up))
    for s in (-1, 1):
        if ears:
            parts.append(RoundCone(crown, crown + unit(0.7 * s * side + up - 0.3 * gaze) * vary(rng, ears), 0.075, 0.045))
    root = unit(-forward + rng.uniform(-0.5, 0.8) * up)
    parts += curl([0, 0, 0.03], root, tail, stout * np.array([0.11, 0.07, 0.05]), rng, 0.4 + 0.8 * tail)[0]
    for joint, turn in ((trunk[0].a, np.eye(3)), (chest, np.stack([np.cross(ahead, up), ahead, up], 1))):
        for s in (-1, 1):
            hip = joint + turn @ np.array([s * width, 0.0, -0.06])
            swing, knee = rng.uniform(-0.6, 0.6), rng.uniform(-0.8, 0.8)
            out = unit(turn @ rotation([swing, 0, 0]) @ np.array([s * rng.uniform(0.15, 0.5), 0, -1.0]))
            bends = [np.zeros(3), turn @ np.array([knee, 0, 0]), turn @ np.array([-0.5 * knee, 0, 0])]
            parts += chain(hip, out, [0.5 * leg, 0.4 * leg, 0.1], stout * np.array([0.12, 0.08, 0.07, 0.07]), bends)[0]
    return Shape(parts)


def dog(rng) -> Shape:
    return quadruped(rng, neck=0.4, tail=0.55, leg=0.75, ears=0.2)


def giraffe(rng) -> Shape:
    return quadruped(rng, neck=0.9, tail=0.5, leg=0.9, ears=0.2)


def lizard(rng) -> Shape:
    return quadruped(rng, neck=0.35, tail=1.05, leg=0.55, crest=0.17)


def sauropod(rng) -> Shape:
    return quadruped(rng, neck=0.85, tail=1.0, leg=0.62)


def human(rng) -> Shape:
    """Trunk, head, two arms and two legs with hands and feet."""
    up = np.array([0, 0, 1.0])
    arm, leg, girth, stout = vary(rng, 0.75), vary(rng, 0.95), vary(rng, 0.15), vary(rng, 1.0)
    spine = [rng.normal(size=3) * [0.2, 0.15, 0.15] for _ in range(3)]
    height = vary(rng, 0.25)
    trunk, chest, axis = chain([0, 0, 0], up, [height] * 3, [girth, girth * 0.95, girth * 1.1, girth * 0.9], spine)
    parts = list(trunk)
    neck, crown, axis = chain(chest, axis, [0.22, 0.14], [0.09, 0.08, 0.08], [rng.normal(size=3) * 0.2])
    parts += [*neck, RoundCone(crown, crown + 0.08 * axis, 0.15, 0.14)]
    for s in (-1, 1):
        shoulder = chest + np.array([s * 0.14, 0, 0.0])
        out = unit([s, rng.uniform(-0.8, 0.9), rng.uniform(-1.1, 0.9)])
        elbow = rng.normal(size=3) * 0.7
        radii = stout * np.array([0.09, 0.07, 0.055, 0.07])
        parts += chain(shoulder, out, [0.5 * arm, 0.45 * arm, 0.14], radii, [np.zeros(3), elbow, elbow * 0.2])[0]
        hip = np.array([s * 0.11, 0, -0.02])
        out = unit([s * rng.uniform(0.15, 0.6), rng.uniform(-0.6, 0.8), -1.0])
        knee = rng.uniform(0, 1.2)
        bends = [np.zeros(3), np.array([-knee, 0, 0]), np.array([1.4 + 0.3 * rng.normal(), 0, 0.0])]
        parts += chain(hip, out, [0.5 * leg, 0.45 * leg, 0.17], stout * np.array([0.125, 0.095, 0.07, 0.065]), bends)[0]
    return Shape(parts, blend=0.025)


def hand(rng) -> Shape:
    """Wrist, palm, four fingers of three bones and a thumb of two."""
    finger, width = vary(rng, 0.72), vary(rng, 0.085, 0.1)
    bend = [np.zeros(3), rng.normal(size=3) * 0.3]
    parts = chain([0, -0.55, 0], [0, 1, 0], [vary(rng, 0.35, 0.4), 0.25], [0.17, 0.17, 0.17], bend)[0]
    wrist = parts[-1].b
    curl_all, spread = rng.uniform(-0.1, 0.6), rng.uniform(0.05, 0.2)
    palm = vary(rng, 0.62)
    for i, relative in enumerate((0.88, 1.0, 0.95, 0.76)):
        x = (i - 1.5) * 0.21
        knuckle = wrist + np.array([x, palm + 0.05 * np.cos(2 * x), 0.02])
        parts.append(RoundCone(wrist + np.array([0.55 * x, 0.02, 0]), knuckle, 0.14, 0.105))
        bends = [np.array([-max(-0.2, curl_all + 0.35 * rng.normal()), 0, -spread * (i - 1.5)])]
        bends += [np.array([-abs(0.3 * rng.normal() + curl_all), 0, 0]) for _ in range(2)]
        lengths = finger * relative * np.array([0.45, 0.32, 0.23])
        parts += chain(knuckle, [0, 1, 0], lengths, [width * 1.1, width, width * 0.95, width * 0.85], bends)[0]
    base = wrist + np.array([-0.12, 0.1, 0.0])
    bends = [
        np.zeros(3),
        np.array([0, 0.4 * rng.normal(), -0.2 + 0.25 * rng.normal()]),
        np.array([0, 0, -0.3 + 0.3 * rng.normal()]),
    ]
    out = unit([-1, rng.uniform(0.5, 1.1), rng.uniform(-0.5, 0.3)])
    parts += chain(base, out, np.array([0.36, 0.26, 0.2]) * vary(rng, 1.0), [0.14, 0.11, 0.095, 0.08], bends)[0]
    return Shape(parts, blend=0.022)


def octopus(rng) -> Shape:
    """A head and eight smoothly bending arms."""
    head, arm, stout = vary(rng, 0.33), vary(rng, 1.1), vary(rng, 1.0)
    parts = [Ellipsoid(np.array([0, 0, 0.28]), head * np.array([1, 1, 1.25]), rotation(rng.normal(size=3) * 0.15))]
    phase = rng.uniform(0, 2 * np.pi)
    for i in range(8):
        a = phase + np.pi * i / 4 + rng.uniform(-0.12, 0.12)
        radial = np.array([np.cos(a), np.sin(a), 0])
        droop = rng.normal() * 0.9 * np.cross(radial, [0, 0, 1.0])
        radii = stout * np.array([0.12, 0.09, 0.06])
        parts += curl(0.2 * radial, radial - [0, 0, 0.25], arm, radii, rng, bend=0.8, mean=droop)[0]
    return Shape(parts)


def spider(rng) -> Shape:
    """A thorax with eight jointed legs, a small head and an abdomen."""
    leg, belly, stout = vary(rng, 1.05), vary(rng, 0.3), vary(rng, 1.0)
    tilt = rotation(rng.normal(size=3) * 0.2)
    parts = [Ellipsoid(np.zeros(3), np.array([0.25, 0.32, 0.19]), np.eye(3))]
    parts.append(
        Ellipsoid(np.array([0, -0.3, 0]) + tilt @ np.array([0, -0.33, 0.05]), belly * np.array([0.95, 1.2, 0.9]), tilt)
    )
    parts.append(RoundCone(np.array([0, 0.25, 0.02]), np.array([0, 0.4, 0.0]), 0.14, 0.11))
    for s in (-1, 1):
        for i in range(4):
            a = (0.95 - 0.55 * i) + rng.uniform(-0.1, 0.1)
            radial = np.array([s * np.cos(a), np.sin(a), 0])
            down = np.cross(radial, [0, 0, -1.0])
            lift, fold, ankle = rng.uniform(0.1, 0.9), rng.uniform(0.6, 1.5), rng.uniform(-0.2, 0.5)
            bends, radii = [-lift * down, fold * down, ankle * down], stout * np.array([0.1, 0.078, 0.068, 0.06])
            parts += chain(0.16 * radial, radial, leg * np.array([0.42, 0.36, 0.28]), radii, bends)[0]
    return Shape(parts, blend=0.025)


def knot(rng) -> Shape:
    """A closed tube tied to a trefoil."""
    t = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    curve = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -1.3 * np.sin(3 * t)], 1)
    for k in (1, 2, 3):
        wave = np.outer(np.cos(k * t), rng.normal(size=3)) + np.outer(np.sin(k * t), rng.normal(size=3))
        curve = curve + 0.14 / k * wave
    curve = curve * rng.uniform(0.9, 1.15, size=3) * [rng.choice([-1, 1]), 1, 1]
    length = np.linalg.norm(np.roll(curve, -1, 0) - curve, axis=1).sum()
    return Shape(tube(curve * (9 / length), vary(rng, 0.11), closed=True), blend=0.02, genus=1)


def bend_warp(rng, reach: float) -> Callable[[np.ndarray], np.ndarray]:
    """Bend the z axis to an arc that keeps its length, towards a random side, after a slight squash of the round section."""
    squash, turn = rng.uniform(0, 0.18), rng.uniform(0, 2 * np.pi)
    side = rotation([0, 0, rng.uniform(0, 2 * np.pi)])
    curvature = rng.uniform(0.25, 1.0) / reach

    def warp(x: np.ndarray) -> np.ndarray:
        spin = rotation([0, 0, turn])
        x = (x @ spin * [1 + squash, 1 / (1 + squash), 1]) @ spin.T @ side
        angle, r = curvature * x[:, 2], 1 / curvature - x[:, 0]
        return np.stack([1 / curvature - r * np.cos(angle), x[:, 1], r * np.sin(angle)], 1)

    return warp


def handle(start, stop, bulge: float, radius: float) -> list[RoundCone]:
    """A tube from one (rho, z) point to another in the plane y = 0, bulging outward."""
    t = np.linspace(0, 1, 9)[:, None]
    path = (1 - t) * np.asarray(start) + t * np.asarray(stop) + np.sin(np.pi * t) ** 0.8 * [bulge, 0]
    return tube(np.stack([path[:, 0], np.zeros(9), path[:, 1]], 1), radius, closed=False)


def cup(rng) -> Shape:
    """An open cup with one handle."""
    r, h, wall = vary(rng, 0.48), vary(rng, 1.0), 0.06
    flare = vary(rng, 1.12, 0.12)
    profile = np.array([[0, 0], [0.85 * r, 0], [r, 0.12], [r, 0.5 * h], [flare * r, h]])
    parts = [RevolvedShell(profile, wall), *handle([r, 0.2 * h], [1.06 * r, 0.82 * h], vary(rng, 0.36), 0.06)]
    return Shape(parts, blend=0.015, genus=1, warp=bend_warp(rng, 1.0))


def vase(rng) -> Shape:
    """An open amphora with a belly, a neck and two handles."""
    r, h = vary(rng, 0.42), vary(rng, 1.1)
    z = np.linspace(0, 1, 9)
    width = np.interp(z, [0, 0.15, 0.4, 0.6, 0.75, 0.9, 1], [0.55, 0.8, 1.0, 0.85, 0.5, 0.48, 0.7])
    profile = np.concatenate([[[0, 0]], np.stack([r * width, h * z], 1)])
    one = handle([0.95 * r, 0.5 * h], [0.5 * r, 0.88 * h], vary(rng, 0.33), 0.055)
    turn = np.array([-1, 1, 1])
    other = [RoundCone(c.a * turn, c.b * turn, c.radius_a, c.radius_b) for c in one]
    return Shape([RevolvedShell(profile, 0.055), *one, *other], blend=0.015, genus=2, warp=bend_warp(rng, 1.15))


def scissors(rng) -> Shape:
    """Two blades that cross at a pivot, each with a finger ring."""
    opening, blade, ring = rng.uniform(0.32, 1.1), vary(rng, 1.0), vary(rng, 0.24)
    shank = vary(rng, 1.0)
    parts = []
    for s in (-1, 1):
        tip = np.array([np.sin(s * opening / 2), np.cos(opening / 2), 0])
        lift = np.array([0, 0, 0.06 * s])
        parts += chain(lift, tip, [blade / 2] * 2, [0.1, 0.1, 0.05], [rng.normal(size=3) * 0.12, rng.normal(size=3) * 0.2])[0]
        grip = unit([-np.sin(s * opening / 2) - 0.15 * s, -np.cos(opening / 2), 0.25 * rng.normal()])
        lengths = shank * np.array([0.35, 0.25])
        cones, end, axis = chain(lift, grip, lengths, [0.1, 0.085, 0.075], [np.zeros(3), [0, 0, -0.15 * s]])
        t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        outward = unit(np.cross(axis, [0, 0, 1.0]) + 0.25 * rng.normal(size=3))
        across = unit(outward - (outward @ axis) * axis)
        circle = end + ring * axis + ring * (np.outer(np.cos(t), axis) * vary(rng, 1.15, 0.1) + np.outer(np.sin(t), across))
        parts += [*cones, *tube(circle, 0.07, closed=True)]
    return Shape(parts, blend=0.02, genus=2)


FAMILIES: dict[str, Callable[..., Shape]] = {
    f.__name__: f for f in (cup, dog, giraffe, hand, human, knot, lizard, octopus, sauropod, scissors, spider, vase)
}
