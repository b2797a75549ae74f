"""Points of the sphere that lie on rings of latitude: lat-lon grids, and finding the rings of any point set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError
from .harmonics import as_array, checked_frames, format_ids, polar_angles, polar_frames, unit_points

# Points this near to one latitude (or to equal steps of longitude) are on it.
_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class LatLonGrid:
    """nlat circles of latitude with nlon equally spaced points each; N = nlat nlon, longitude fastest.

    Attributes:
        colatitude: (nlat,) radians in [0, pi], from the north pole. nlon: points of a circle, the first at longitude `offset`.
        latitude_weights: (nlat,), summing to 2: integrals over z = cos(colatitude). Default: those of the polynomial through
            the latitudes, which are the Gauss-Legendre, Clenshaw-Curtis and Fejer weights at their nodes.
    """

    colatitude: np.ndarray
    nlon: int
    offset: float = 0.0
    latitude_weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        theta = np.array(self.colatitude, dtype=np.float64)
        if theta.ndim != 1 or theta.size == 0 or not ((theta >= 0) & (theta <= np.pi)).all():
            raise ValueError(f"colatitudes are radians in [0, pi], shape (nlat,), got {self.colatitude!r}")
        if isinstance(self.nlon, bool) or not isinstance(self.nlon, (int, np.integer)) or self.nlon < 1:
            raise ValueError(f"nlon must be a positive integer, got {self.nlon!r}")
        weights = interpolatory_weights(theta) if self.latitude_weights is None else np.array(self.latitude_weights, float)
        if weights.shape != theta.shape:
            raise ValueError(f"latitude_weights expected shape {theta.shape}, got {weights.shape}")
        object.__setattr__(self, "colatitude", theta)
        object.__setattr__(self, "latitude_weights", weights)

    @classmethod
    def gauss_legendre(cls, nlat: int, nlon: int | None = None) -> LatLonGrid:
        """The nodes of Gauss and Legendre: quadrature exact to lmax = nlat - 1. nlon: by default 2 nlat."""
        z, weights = np.polynomial.legendre.leggauss(nlat)
        return cls(np.arccos(z[::-1]), 2 * nlat if nlon is None else nlon, latitude_weights=weights)

    @classmethod
    def equiangular(cls, nlat: int, nlon: int | None = None, *, poles: bool = False) -> LatLonGrid:
        """Equal steps in latitude: cell centres (k + 1/2) pi / nlat, or k pi / (nlat - 1) with both poles."""
        steps = np.linspace(0, np.pi, nlat) if poles else (np.arange(nlat) + 0.5) * np.pi / nlat
        return cls(steps, 2 * nlat if nlon is None else nlon)

    @property
    def longitude(self) -> np.ndarray:
        """(nlon,) radians."""
        return self.offset + 2 * np.pi / self.nlon * np.arange(self.nlon)

    @property
    def points(self) -> np.ndarray:
        """(N, 3) unit vectors."""
        theta, phi = self.colatitude[:, None], self.longitude
        sine = np.sin(theta)
        return np.stack([sine * np.cos(phi), sine * np.sin(phi), np.cos(theta) + 0 * phi], -1).reshape(-1, 3)

    @property
    def frames(self) -> np.ndarray:
        """(N, 3, 2): east and north; at a pole those of the meridian of each point."""
        theta, phi = np.broadcast_arrays(self.colatitude[:, None], self.longitude)
        return polar_frames(theta.ravel(), phi.ravel())

    @property
    def weights(self) -> np.ndarray:
        """(N,) quadrature weights on the unit sphere, summing to 4 pi."""
        return np.repeat(np.asarray(self.latitude_weights) * (2 * np.pi / self.nlon), self.nlon)


@dataclass(frozen=True, eq=False)
class Sampling:
    """Points of the unit sphere with quadrature weights and tangent frames.

    Attributes:
        unit: (N, 3) unit vectors. weights: (N,), or None: not given.
        polar: (N, 3, 2) east and north at each point; frames: (N, 3, 2) those in which fields are given.
        rings: on which the points lie, or None.
    """

    unit: np.ndarray
    weights: np.ndarray | None
    polar: np.ndarray
    frames: np.ndarray
    rings: Rings | None

    @classmethod
    def of(cls, sampling, weights=None, frames=None) -> Sampling:
        """From (N, 3) points, a `LatLonGrid`, or a geometry or graph of a sphere (its positions, frames and areas).

        Raises:
            GeometryError: points without a direction, bad frames or weights (with the ids).
            ValueError, TypeError: of wrong shape or kind.
        """
        if isinstance(sampling, cls):
            return sampling
        rings: Rings | None
        if isinstance(sampling, LatLonGrid):
            unit, polar, rings = sampling.points, sampling.frames, Rings.of_grid(sampling)
            weights = sampling.weights if weights is None else weights
        else:
            points = getattr(sampling, "positions", getattr(sampling, "pos", sampling))
            frames = getattr(sampling, "frame", None) if frames is None else frames
            unit = unit_points(points)
            if weights is None and getattr(sampling, "area", None) is not None:
                weights = as_array(sampling.area) / np.square(as_array(points)).sum(1)  # on the unit sphere
            polar, rings = polar_frames(*polar_angles(unit)), Rings.find(unit)
        frames = polar if frames is None else checked_frames(frames, unit)
        return cls(unit, _checked_weights(weights, len(unit)), polar, frames, rings)

    def weights_or_default(self) -> np.ndarray:
        """The weights; of interpolation in latitude for rings of one length, equal ones for other points."""
        if self.weights is not None:
            return self.weights
        n, rings = len(self.unit), self.rings
        if rings is None or rings.count.min() < rings.count.max():
            return np.full(n, 4 * np.pi / n)
        weights = np.empty(n)
        weights[rings.order] = np.repeat(interpolatory_weights(rings.theta) * (2 * np.pi / rings.count), rings.count)
        return weights


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of equally spaced points, those of equal count together.

    Attributes:
        theta, phi: (R,) colatitude of each ring and longitude of its first point. count: (R,) points of each, ascending.
        order: (N,) indices of the points, ring by ring, in order of longitude.
    """

    theta: np.ndarray
    phi: np.ndarray
    count: np.ndarray
    order: np.ndarray

    @classmethod
    def of_grid(cls, grid: LatLonGrid) -> Rings:
        """The rings of a grid, poles included."""
        nlat = len(grid.colatitude)
        return cls(grid.colatitude, np.full(nlat, grid.offset), np.full(nlat, grid.nlon), np.arange(nlat * grid.nlon))

    @classmethod
    def find(cls, unit: np.ndarray) -> Rings | None:
        """The rings on which unit vectors (N, 3) lie; None unless they all do, several to a ring on average."""
        theta, phi = polar_angles(unit)
        order = np.lexsort([phi, theta])
        first = np.flatnonzero(np.diff(theta[order], prepend=-1.0) > 100 * _TOLERANCE)
        count = np.diff(first, append=len(unit))
        if 4 * len(first) > len(unit):
            return None
        # A second sort: within a ring theta differs by rounding.
        ring = np.repeat(np.arange(len(first)), count)
        order = order[np.lexsort([phi[order], ring])]
        phi, theta = phi[order], theta[order]
        ideal = phi[first][ring] + 2 * np.pi / count[ring] * (np.arange(len(unit)) - first[ring])
        off = np.maximum(np.abs(phi - ideal) * np.sin(theta), np.abs(theta - theta[first][ring]))
        # Several points at a pole have no longitudes, hence no order: a LatLonGrid says what they are.
        if off.max() > _TOLERANCE or (count[np.sin(theta[first]) < _TOLERANCE] > 1).any():
            return None
        together = np.argsort(count, kind="stable")
        parts = [order[first[r] : first[r] + count[r]] for r in together]
        return cls(theta[first][together], phi[first][together], count[together], np.concatenate(parts))


def _checked_weights(weights, n: int) -> np.ndarray | None:
    if weights is None:
        return None
    weights = as_array(weights)
    if weights.shape != (n,):
        raise ValueError(f"weights expected shape {(n,)}, got {weights.shape}")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if bad.size:
        raise GeometryError(f"quadrature weights must be positive and finite: {format_ids(bad)}")
    return weights


def interpolatory_weights(theta: np.ndarray) -> np.ndarray:
    """Weights (R,) with which R latitudes integrate polynomials in z = cos(theta) of degree below R exactly over [-1, 1].

    Where there are no such positive weights, the lengths of the cells between the latitudes in z.
    """
    order = np.argsort(theta)
    edges = np.cos(np.concatenate([[0], (theta[order][1:] + theta[order][:-1]) / 2, [np.pi]]))
    cells = np.empty(len(theta))
    cells[order] = edges[:-1] - edges[1:]
    legendre = (np.polynomial.legendre.legvander(np.cos(theta), len(theta) - 1) * np.sqrt(2 * np.arange(len(theta)) + 1)).T
    integrals = np.zeros(len(theta))
    integrals[0] = 2
    # Scaled by the cells the matrix of the system is near a multiple of 1, for usual latitudes.
    try:
        weights = cells * (legendre.T @ np.linalg.solve((legendre * cells) @ legendre.T, integrals))
    except np.linalg.LinAlgError:
        return cells
    exact = np.abs(legendre @ weights - integrals).max() < 1e-9
    return weights if exact and (weights > 0).all() else cells
