"""Random vessels: centrelines with curvature and torsion, radii with stenoses and bulges, and bifurcations.

All lengths are in radii of the inlet. A branch is a map from (s, u, v), with s along its centreline and (u, v) in the unit
disc, into space; s = 0 is the inlet of a single tube and the junction of a bifurcation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]
STEP = 0.02  # of the integration of centrelines


@dataclass(frozen=True)
class Lesion:
    """A stenosis (amount < 0) or a bulge (> 0): the radius times 1 + amount (1 - ((s - centre) / width)^2)^3 on average.

    Args:
        width: on either side of the centre, beyond which the radius is unchanged.
        side: direction in the section towards which it lies; eccentricity: 0 all around, 1 on that side alone.
    """

    centre: float
    width: float
    amount: float
    eccentricity: float = 0.0
    side: float = 0.0


@dataclass(frozen=True)
class Junction:
    """The end of a branch at s = 0: two half discs, which it shares with the two other branches.

    Args:
        up: (3,) the line where the three branches meet, its half length as its norm.
        walls: (2, 3) from the centre to the wall between this branch and the one at v > 0, and at v < 0.
        normals: (2, 3) unit normals of the half discs, into this branch.
        length: of the passage to a round section.
    """

    up: Array
    walls: Array
    normals: Array
    length: float


class Branch:
    """A tube around a centreline.

    Args:
        start, direction, across: point and unit tangent of the centreline at s = 0, and the direction of u there.
        length: of the centreline. radius: at s = 0, ``end_radius`` at the end, linear between.
        bends: (K, 4) curvature and torsion: amplitude, angle, wave number and phase of the K waves whose sum is the curvature
            vector in the frame without torsion.
        straight: lengths at both ends where the curvature is zero.
    """

    def __init__(
        self,
        start: Array,
        direction: Array,
        across: Array,
        length: float,
        *,
        radius: float = 1.0,
        end_radius: float | None = None,
        bends: Array | None = None,
        straight: tuple[float, float] = (1.0, 2.0),
        lesions: tuple[Lesion, ...] = (),
        junction: Junction | None = None,
    ) -> None:
        self.length, self.lesions, self.junction = length, lesions, junction
        self.radii = (radius, radius if end_radius is None else end_radius)
        count = max(2, int(np.ceil(length / STEP)) + 1)
        s = np.linspace(0, length, count)
        curvature = np.zeros((count, 2))
        for amplitude, angle, waves, phase in np.zeros((0, 4)) if bends is None else bends:
            wave = amplitude * np.sin(2 * np.pi * (waves * s / length + phase))
            curvature += wave[:, None] * [np.cos(angle), np.sin(angle)]
        curvature *= (_rise((s - straight[0]) / 2) * _rise((length - straight[1] - s) / 2))[:, None]
        frames = np.empty((count, 3, 3))  # rows: tangent, u, v
        frame = np.stack([direction, across, np.cross(direction, across)])
        for i in range(count):
            frames[i] = frame
            k = 0.5 * (curvature[i] + curvature[min(i + 1, count - 1)]) * (s[1] - s[0])
            turned = frame + np.stack([k @ frame[1:], -k[0] * frame[0], -k[1] * frame[0]])
            t = turned[0] / np.linalg.norm(turned[0])
            a = turned[1] - (turned[1] @ t) * t
            a /= np.linalg.norm(a)
            frame = np.stack([t, a, np.cross(t, a)])
        steps = 0.5 * (frames[1:, 0] + frames[:-1, 0]) * (s[1] - s[0])
        self.points = start + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
        self.places = s
        self._centre, self._frame = CubicSpline(s, self.points), CubicSpline(s, frames[:, 1:])

    def radius(self, s: Array) -> Array:
        """Mean radius of the section at s."""
        a, b = self.radii
        value = a + (b - a) * s / self.length
        for lesion in self.lesions:
            value = value * (1 + lesion.amount * _bell(s, lesion))
        return value

    def tube(self, s: Array, u: Array, v: Array) -> Array:
        """Points (N, 3) of the tube; the section of s is round but for the eccentric lesions."""
        a, b = self.radii
        scale = a + (b - a) * s / self.length
        for lesion in self.lesions:
            towards = u * np.cos(lesion.side) + v * np.sin(lesion.side)
            scale = scale * (1 + lesion.amount * _bell(s, lesion) * (1 + lesion.eccentricity * towards))
        frame = self._frame(s)
        return self._centre(s) + (scale * u)[:, None] * frame[:, 0] + (scale * v)[:, None] * frame[:, 1]

    def __call__(self, s: Array, u: Array, v: Array) -> Array:
        """Points (N, 3); a cubic passage from the half discs of the junction to the tube."""
        if self.junction is None:
            return self.tube(s, u, v)
        joint, small = self.junction, 1e-4
        side = (v < 0).astype(int)
        first = self.points[0] + u[:, None] * joint.up + np.abs(v)[:, None] * joint.walls[side]
        at = np.full_like(s, joint.length)
        last, slope = self.tube(at, u, v), (self.tube(at + small, u, v) - self.tube(at - small, u, v)) / (2 * small)
        # Against the wall the fibres leave the half disc along its normal, so that the walls of two branches join smoothly;
        # in the middle, where the half discs meet at an angle, along the branch.
        share = np.sin(0.5 * np.pi * np.minimum(np.abs(v) / 0.7, 1))[:, None]
        leave = share * joint.normals[side] + (1 - share) * (self.points[1] - self.points[0]) / (self.places[1])
        leave *= (np.linalg.norm(last - first, axis=1) / np.linalg.norm(leave, axis=1))[:, None]
        t = np.clip(s / joint.length, 0, 1)[:, None]
        passage = (1 + 2 * t) * (1 - t) ** 2 * first + t * (1 - t) ** 2 * leave
        passage += t * t * (3 - 2 * t) * last + t * t * (t - 1) * slope * joint.length
        return np.where(s[:, None] < joint.length, passage, self.tube(s, u, v))


@dataclass(frozen=True)
class Vessel:
    """Branches; the first holds the inlet: at its s = 0 where it is alone, at its far end where branches meet at s = 0.

    Args:
        pose: (3, 3) rotation of the whole.
    """

    branches: tuple[Branch, ...]
    kind: str = "tube"
    facts: dict = field(default_factory=dict)
    pose: Array = field(default_factory=lambda: np.eye(3))

    def points(self, branch: int, s: Array, u: Array, v: Array) -> Array:
        """(N, 3) points of a branch."""
        return self.branches[branch](s, u, v) @ self.pose.T

    def turned(self, rotation: Array) -> Vessel:
        return replace(self, pose=rotation @ self.pose)

    @property
    def forked(self) -> bool:
        return len(self.branches) > 1

    @property
    def inlet(self) -> tuple[Array, Array]:
        """Centre of the inlet and the direction of the flow there; its radius is 1."""
        first = self.branches[0]
        step = first.points[-2] - first.points[-1] if self.forked else first.points[1] - first.points[0]
        return self.pose @ first.points[-1 if self.forked else 0], self.pose @ step / np.linalg.norm(step)


def straight_tube(length: float = 10.0, lesions: tuple[Lesion, ...] = ()) -> Vessel:
    """A straight tube of radius 1 along z."""
    z, x = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
    return Vessel((Branch(np.zeros(3), z, x, length, lesions=lesions),), "straight")


def random_vessel(rng: np.random.Generator) -> Vessel:
    """A vessel of a random kind (half of them bifurcations) in a random pose; drawn again until no two parts touch."""
    forked = bool(rng.random() < 0.5)
    for _ in range(200):
        vessel = _fork(rng) if forked else _tube(rng)
        if not _touches(vessel):
            return vessel
    raise RuntimeError("no vessel without self-contact in 200 draws; please report the seed")


def _tube(rng: np.random.Generator) -> Vessel:
    pose, length = _pose(rng), rng.uniform(14, 20)
    lesions = _lesions(rng, 3.0, length - 4.0, int(rng.integers(0, 4)))
    bends, end = _bends(rng, length), rng.uniform(0.75, 1.0)
    branch = Branch(np.zeros(3), pose[0], pose[1], length, end_radius=end, bends=bends, lesions=lesions)
    return Vessel((branch,), "tube", {"lesions": len(lesions)})


def _fork(rng: np.random.Generator) -> Vessel:
    """Three branches: the trunk and two daughters at angles of 33 to 55 degrees with its direction, one perhaps smaller."""
    pose = _pose(rng)
    up = pose[2]
    radii = np.array([1.0, rng.uniform(0.7, 0.9), rng.uniform(0.55, 0.9)])
    angles = np.radians([180.0, rng.uniform(33, 45), -rng.uniform(35, 55)])
    directions = np.cos(angles)[:, None] * pose[0] + np.sin(angles)[:, None] * pose[1]
    half = 0.5 * (radii.max() + radii.mean())
    walls = {}
    for i, j in ((0, 1), (1, 2), (2, 0)):
        between = (angles[j] - angles[i]) / 2
        between = abs((between + np.pi / 2) % np.pi - np.pi / 2)  # half the angle between the two branches, at most 90 degrees
        middle = directions[i] + directions[j]
        middle /= np.linalg.norm(middle)
        walls[i, j] = walls[j, i] = middle * max(radii[i], radii[j]) / np.sin(between)
    branches, count = [], 0
    for i in range(3):
        # Of the two neighbours, v > 0 is the one towards which the third direction of the frame points.
        aside = np.cross(directions[i], up)
        near, far = sorted((j for j in range(3) if j != i), key=lambda j: -float(walls[i, j] @ aside))
        own = np.stack([walls[i, near], walls[i, far]])
        normals = np.cross(up, own)
        normals *= np.sign(normals @ directions[i])[:, None]
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        passage = float((own @ directions[i]).max()) + 1.6 * radii[i]
        length = passage + (rng.uniform(4, 6) if i == 0 else rng.uniform(5, 7))
        lesions = _lesions(rng, passage + 1.0, length - 2.5, int(rng.integers(0, 2)))
        count += len(lesions)
        junction = Junction(up * half, own, normals, passage)
        bends = _bends(rng, length, strength=0.8)
        options = {"radius": radii[i], "bends": bends, "straight": (0.5 * passage, 2.0), "lesions": lesions}
        branches.append(Branch(np.zeros(3), directions[i], up, length, junction=junction, **options))
    degrees = [round(float(np.degrees(a)), 1) for a in np.abs(angles[1:])]
    return Vessel(tuple(branches), "bifurcation", {"lesions": count, "angles": degrees, "radii": radii.round(3).tolist()})


def _bends(rng: np.random.Generator, length: float, strength: float = 1.0) -> Array:
    """Waves of curvature whose sum stays under 0.3 per radius, about: the tube never folds."""
    waves = rng.uniform(0.2, length / 8, 3)
    return np.stack([rng.uniform(0.03, 0.13, 3) * strength, rng.uniform(0, 2 * np.pi, 3), waves, rng.random(3)], 1)


def _lesions(rng: np.random.Generator, first: float, last: float, count: int) -> tuple[Lesion, ...]:
    if last <= first:
        return ()
    places = first + (last - first) * (np.arange(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
    amounts = np.where(rng.random(count) < 0.6, -rng.uniform(0.15, 0.42, count), rng.uniform(0.15, 0.45, count))
    shapes = zip(rng.uniform(1.5, 2.6, count), rng.uniform(0, 0.6, count), rng.uniform(0, 2 * np.pi, count))
    return tuple(Lesion(float(p), float(w), float(a), float(e), float(d)) for p, a, (w, e, d) in zip(places, amounts, shapes))


def _pose(rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q[[1, 0, 2]]


def _bell(s: Array, lesion: Lesion) -> Array:
    return np.maximum(1 - ((s - lesion.centre) / lesion.width) ** 2, 0) ** 3


def _rise(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _touches(vessel: Vessel) -> bool:
    """Whether parts that lie apart along the vessel come nearer than their radii and a tenth."""
    ends = [b.junction.length if b.junction else 0.0 for b in vessel.branches]
    parts = [(b.points[::10], b.places[::10], b.radius(b.places[::10])) for b in vessel.branches]
    for i, (p, s, r) in enumerate(parts):
        for j, (q, t, w) in enumerate(parts[: i + 1]):
            gap = cdist(p, q) - 1.1 * (r[:, None] + w[None]) * 1.15
            if i == j:
                far = np.abs(s[:, None] - t[None]) > 6
            else:
                far = (s[:, None] > ends[i]) & (t[None] > ends[j])
            if (gap[far] < 0).any():
                return True
    return False
