"""The Lie groups that are manifolds here: a table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import closed_forms as forms
from .closed_forms import CUT


@dataclass(frozen=True)
class LieGroup:
    r"""A Lie group of n x n matrices with coordinates of its algebra, in which it is a manifold with left-invariant frames.

    .. math:: u = \exp(a_1 A_1 + \dots + a_d A_d), \qquad a = \log u

    ========= ======================== ================================================= ===========================
    name      matrices                 coordinates a                                     acts on
    ========= ======================== ================================================= ===========================
    "T2" ...  translations of R^d      translation                                       R^d
    "SO2"     turns (2, 2)             angle                                             the plane, orbits: circles
    "RxSO2"   turns with scaling (2,2) logarithm of the factor, angle                    the plane without 0
    "SE2"     motions (3, 3)           angle, velocity                                   the plane
    "SO3"     rotations (3, 3)         axis times angle                                  space, orbits: spheres
    "SE3"     motions (4, 4)           axis times angle, velocity                        space
    "R2xR+"   scaling and shifts (3,3) velocity, logarithm of the factor                 the plane
    ========= ======================== ================================================= ===========================

    (The order of Finzi et al. 2020, arXiv 2002.12880, for the first six.) Arrays have any leading axes and are float64.

    Attributes:
        name: as in the table.
        dim: d. size: n. space: dimension of the space that it acts on.
        exp_map, log_map: in closed form.
        turn: the coordinates that are a turn.
        orbits: number Q of coordinates that tell the orbits of points apart; 0 where there is one orbit.
        turned_pairs: how often ad(a) has the pair of eigenvalues i times the angle and its conjugate.
        scaling: the coordinate that is the logarithm of a factor, an eigenvalue of ad(a) of multiplicity 2.
    """

    name: str
    dim: int
    size: int
    space: int
    exp_map: Callable[[np.ndarray], np.ndarray]
    log_map: Callable[[np.ndarray], np.ndarray]
    turn: tuple[int, ...] = ()
    orbits: int = 0
    turned_pairs: int = 0
    scaling: int | None = None

    @staticmethod
    def of(name: str | LieGroup) -> LieGroup:
        """By name: "T2", "T3", ..., "SO2", "RxSO2", "SE2", "SO3", "SE3", "R2xR+".

        Raises:
            TypeError: something that is no name. ValueError: an unknown one.
        """
        if isinstance(name, LieGroup):
            return name
        if not isinstance(name, str):
            raise TypeError(f'LieGroup.of expected the name of a Lie group, such as "SE2", got {name!r}')
        found = re.fullmatch(r"T([1-9]\d*)", name)
        if found:
            d = int(found[1])
            return LieGroup(name, d, d + 1, d, forms.exp_translation, forms.log_translation)
        if name not in _GROUPS:
            raise ValueError(f"unknown Lie group {name!r}: expected one of T1, T2, ..., {', '.join(_GROUPS)}")
        return _GROUPS[name]

    def exp(self, a: np.ndarray) -> np.ndarray:
        """(..., d) -> (..., n, n)."""
        return self.exp_map(self._coordinates(a))

    def log(self, u: np.ndarray) -> np.ndarray:
        """(..., n, n) -> (..., d): the logarithm of the smallest turn, never NaN for elements of the group.

        Half a turn has two, of opposite axes; one of them is chosen, the same whatever the rounding. :meth:`on_cut` flags them.
        """
        return self.log_map(self._matrices(u))

    def on_cut(self, a: np.ndarray) -> np.ndarray:
        """Whether logarithms (..., d) are half a turn (up to 1e-9), where they jump: (...)."""
        angle = np.linalg.norm(np.asarray(a)[..., list(self.turn)], axis=-1)
        return np.abs(angle - np.pi) <= 2 * CUT

    def inverse(self, u: np.ndarray) -> np.ndarray:
        """u^-1: (..., n, n)."""
        return np.linalg.inv(self._matrices(u))

    def compose(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """u v: (..., n, n)."""
        return self._matrices(u) @ self._matrices(v)

    def act(self, u: np.ndarray, points: np.ndarray) -> np.ndarray:
        """u x at points (..., space): (..., space)."""
        u, points = self._matrices(u), np.asarray(points, np.float64)
        n = self.space
        return (u[..., :n, :n] @ points[..., None])[..., 0] + (u[..., :n, n] if self.size > n else 0.0)

    @property
    def origin(self) -> np.ndarray:
        """The point (space,) that lifts are made from: 0, or e_1 for groups that keep 0 where it is."""
        return np.eye(self.space)[0] if self.size == self.space else np.zeros(self.space)

    def relative(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """log(u^-1 v), which no left translation of both changes: (..., n, n), (..., n, n) -> (..., d)."""
        return self.log_map(self.inverse(u) @ self._matrices(v))

    def distance(
        self, log: np.ndarray, orbit: tuple[np.ndarray, np.ndarray] | None = None, alpha: float | None = None
    ) -> np.ndarray:
        r"""The length of logarithms (..., d): left-invariant distances of the elements that they lead to.

        .. math:: |a| \quad (\alpha = \text{None}), \qquad \alpha\, |a_{turn}| + (1 - \alpha)\, |a_{rest}|

        The second is that of Finzi et al. 2020 (arXiv 2002.12880, section 4.3) as published in code: alpha \|a\| where there is
        nothing else but one kind of coordinates.

        Args:
            orbit: the orbits (..., Q) of both ends. Their difference joins the norm; with alpha it is what (1 - alpha)
                multiplies: on "SO2" \|r - s\| / (r + s + 1e-3), elsewhere \|q - q'\|.
        """
        log = np.asarray(log, np.float64)
        apart = None if orbit is None else np.asarray(orbit[0], np.float64) - np.asarray(orbit[1], np.float64)
        length = np.linalg.norm(log, axis=-1)
        if alpha is None:
            return length if apart is None else np.hypot(length, np.linalg.norm(apart, axis=-1))
        turn = np.linalg.norm(log[..., list(self.turn)], axis=-1)
        if self._two_kinds:
            rest = np.linalg.norm(np.delete(log, self.turn, axis=-1), axis=-1)
            return alpha * turn + (1 - alpha) * rest
        if apart is None:
            return alpha * length
        gap = np.linalg.norm(apart, axis=-1)
        if self.name == "SO2":
            gap = gap / (np.asarray(orbit[0])[..., 0] + np.asarray(orbit[1])[..., 0] + 1e-3)
        return alpha * length + (1 - alpha) * gap

    def reach(self, alpha: float | None) -> float:
        """The largest norm of a logarithm whose :meth:`distance` is 1."""
        if alpha is None:
            return 1.0
        return 1 / min(alpha, 1 - alpha) if self._two_kinds else 1 / alpha

    def volume(self, radius: float, alpha: float | None = None) -> float:
        """Of the logarithms no longer than a radius, in the coordinates of the algebra."""
        if alpha is None or not self._two_kinds:
            return _ball(self.dim) * (radius * self.reach(alpha)) ** self.dim
        turns, rest = len(self.turn), self.dim - len(self.turn)
        shape = math.factorial(turns) * math.factorial(rest) / math.factorial(self.dim)
        return _ball(turns) * _ball(rest) * shape * radius**self.dim / (alpha**turns * (1 - alpha) ** rest)

    def haar(self, a: np.ndarray) -> np.ndarray:
        r"""The density of the left-invariant (Haar) measure in the coordinates (..., d) of the algebra: (...), 1 at 0.

        .. math:: \Big| \det \frac{1 - e^{-\mathrm{ad}\, a}}{\mathrm{ad}\, a} \Big|
        """
        a = self._coordinates(a)
        density = np.ones(a.shape[:-1])
        if self.turned_pairs:
            angle = np.linalg.norm(a[..., list(self.turn)], axis=-1)
            density = forms.sinc(angle / 2) ** (2 * self.turned_pairs)
        if self.scaling is not None:
            density = forms.growth(-a[..., self.scaling]) ** 2
        return density

    def check(self, elements: np.ndarray, owner: str) -> np.ndarray:
        """Elements (N, n, n) as float64.

        Raises:
            ValueError: another shape, matrices that are not finite or not in the group, with the first of them.
        """
        u = np.asarray(elements, np.float64)
        if u.ndim != 3 or u.shape[1:] != (self.size, self.size) or not len(u):
            raise ValueError(
                f"{owner} expected elements of {self.name} as matrices (N, {self.size}, {self.size}), got shape {u.shape}: "
                f'make them of coordinates by LieGroup.of("{self.name}").exp(a), a of shape (N, {self.dim})'
            )
        _refuse(~np.isfinite(u).all((1, 2)), f"{owner} expected finite matrices", u)
        with np.errstate(all="ignore"):
            back = self.exp_map(self.log_map(u))
            error = np.abs(back - u).max((1, 2)) / np.maximum(1, np.abs(u).max((1, 2)))
        _refuse(~(error <= 1e-6), f"{owner} expected elements of {self.name}", u)
        return u

    @property
    def _two_kinds(self) -> bool:
        """Whether there are turns and other coordinates."""
        return 0 < len(self.turn) < self.dim

    def _coordinates(self, a: np.ndarray) -> np.ndarray:
        a = np.asarray(a, np.float64)
        if a.shape[-1:] != (self.dim,):
            raise ValueError(f"{self.name} has {self.dim} coordinates, (..., {self.dim}), got shape {a.shape}")
        return a

    def _matrices(self, u: np.ndarray) -> np.ndarray:
        u = np.asarray(u, np.float64)
        if u.shape[-2:] != (self.size, self.size):
            raise ValueError(f"{self.name} has matrices (..., {self.size}, {self.size}), got shape {u.shape}")
        return u

    def __str__(self) -> str:
        return self.name


def _ball(d: int) -> float:
    return math.pi ** (d / 2) / math.gamma(d / 2 + 1)


def _refuse(wrong: np.ndarray, message: str, u: np.ndarray) -> None:
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{message}, got element {first}: {u[first].tolist()}")


_GROUPS: dict[str, LieGroup] = {
    g.name: g
    for g in (
        LieGroup("SO2", 1, 2, 2, forms.exp_turn, forms.log_turn, (0,), orbits=1),
        LieGroup("RxSO2", 2, 2, 2, forms.exp_scaled_turn, forms.log_scaled_turn, (1,)),
        LieGroup("SE2", 3, 3, 2, forms.exp_planar_motion, forms.log_planar_motion, (0,), turned_pairs=1),
        LieGroup("SO3", 3, 3, 3, forms.exp_rotation, forms.log_rotation, (0, 1, 2), orbits=1, turned_pairs=1),
        LieGroup("SE3", 6, 4, 3, forms.exp_motion, forms.log_motion, (0, 1, 2), turned_pairs=2),
        LieGroup("R2xR+", 3, 3, 2, forms.exp_scaling, forms.log_scaling, scaling=2),
    )
}
