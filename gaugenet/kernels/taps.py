"""Complete kernels on a lattice: a free weight at every tap, tied by the structure group alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch

from ..checks import check_int
from ..groups import FiniteGroup, Group, Representation
from ..groups.constants import constant_array, constant_tensor
from ..groups.invariants import invariant_basis
from ..hexagons import HEIGHT
from .basis import check_pair
from .kernel import Entries

# Taps that are nearer than this (in lattice spacings) are one tap.
_TOLERANCE = 1e-6


def square_taps(size: int, dim: int = 2) -> np.ndarray:
    """The taps of a kernel of ``size`` pixels a side about its middle, in pixels: (size^dim, dim), x right and y up.

    In the order of the weights of conv2d (rows from the top, each from left to right); of conv3d for dim = 3, whose first
    axis is z, from below. An even size has its middle between the pixels.
    """
    size = check_int("square_taps", "size", size)
    if dim not in (2, 3):
        raise ValueError(f"square_taps expected dim 2 or 3, got {dim!r}")
    steps = np.arange(size) - (size - 1) / 2
    axes = [-steps, steps] if dim == 2 else [steps, -steps, steps]
    return np.stack(np.meshgrid(*axes, indexing="ij")[::-1], -1).reshape(-1, dim) + 0.0


def hexagonal_taps(rings: int = 1) -> np.ndarray:
    """The centre and the points of the hexagonal lattice within ``rings`` steps: (1 + 3 rings (rings + 1), 2), spacing 1.

    The centre comes first, then ring by ring, counter-clockwise from the x axis.
    """
    rings = check_int("hexagonal_taps", "rings", rings, 0)
    span = np.arange(-rings, rings + 1)
    a, b = (axis.ravel() for axis in np.meshgrid(span, span))
    ring = np.maximum(np.maximum(abs(a), abs(b)), abs(a + b))
    points = np.stack([a + b / 2, b * HEIGHT], 1)[ring <= rings]
    ring = ring[ring <= rings]
    angle = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    return points[np.lexsort([angle.round(9), ring])]


@dataclass(frozen=True, eq=False, repr=False)
class TapBasis:
    r"""Orthonormal basis of the kernels K with K(g x) = rho_out(g) K(x) rho_in(g)^-1 for all g in G on a finite set of taps.

    ``K_k(taps[t]) = coefficients[k, :, :, t]``: nothing ties the taps of one orbit to those of another, so that the network
    is the complete one of p4, p4m (Cohen & Welling 2016), p6 (Hoogeboom et al. 2018), the icosahedron (Cohen et al. 2019,
    arXiv 1902.04615, section 5) and the Moebius strip (Weiler et al. 2021, arXiv 2106.06020, section 5). `SteerableBasis` is
    its band-limited kin, for taps that the group does not map to taps.

    Args:
        rep_in, rep_out: representations of one finite group.
        taps: (T, d) offsets, mapped onto themselves by G.
        period: (d, d), of kernels on a torus: offsets that differ by a whole combination of its rows are one tap.

    Attributes:
        coefficients: (K, dim_out, dim_in, T) float64, orthonormal over the last three axes.

    Raises:
        TypeError: an infinite group.
        ValueError: two groups; taps of another dimension, repeated, or not mapped onto themselves by G.
    """

    rep_in: Representation
    rep_out: Representation
    taps: np.ndarray
    period: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_pair(self.rep_in, self.rep_out, self)
        object.__setattr__(self, "taps", constant_array(self.taps))
        object.__setattr__(self, "period", None if self.period is None else check_period(self.period, self.rep_in.group.dim))
        _ = self.entries or self._solution  # taps that the group does not map onto themselves are refused here

    def __reduce__(self) -> tuple:
        return TapBasis, (self.rep_in, self.rep_out, self.taps, self.period)

    @cached_property
    def _places(self) -> _Places:
        period = None if self.period is None else self.period.tobytes()
        return _Places(self.rep_in.group, self.taps.shape, self.taps.tobytes(), period)

    @cached_property
    def _solution(self) -> np.ndarray:
        return _solve(self.rep_in, self.rep_out, self._places)

    @property
    def coefficients(self) -> torch.Tensor:
        return _coefficients(self)

    @property
    def entries(self) -> Entries | None:
        """Of representations that permute their components, whose kernels are indicators of orbits of entries; None of others.

        The coefficients of a regular representation of 48 elements on 27 taps are 80 million numbers, all but 62 thousand zero.
        """
        if not (self.rep_in.is_permutation and self.rep_out.is_permutation):
            return None
        return _orbits(self.rep_in, self.rep_out, self._places)

    def __len__(self) -> int:
        return len(self._solution) if self.entries is None else self.entries.number

    def __repr__(self) -> str:
        return f"TapBasis({self.rep_in!r} -> {self.rep_out!r}, {len(self.taps)} taps, {len(self)} kernels)"


class _Places(NamedTuple):
    """Taps and a group that moves them, as the key of what is made of them."""

    group: Group
    shape: tuple[int, ...]
    taps: bytes
    period: bytes | None

    def permutation(self) -> np.ndarray:
        taps, d = np.frombuffer(self.taps).reshape(self.shape), self.group.dim
        return tap_permutation(self.group, taps, None if self.period is None else np.frombuffer(self.period).reshape(d, d))


def check_period(period: np.ndarray, dim: int | None = None) -> np.ndarray:
    """The rows that lead once round a torus: (d, d) float64, read-only. ValueError for others."""
    try:
        array = constant_array(period)
    except (TypeError, ValueError):
        array = np.zeros(0)
    shape = array.shape if dim is None else (dim, dim)
    fits = array.shape == shape and shape in ((2, 2), (3, 3)) and np.isfinite(array).all()
    if not fits or abs(np.linalg.det(array)) <= _TOLERANCE:
        raise ValueError(f"period expected independent rows (d, d) that lead once round a torus, got {period!r}")
    return array


def tap_permutation(group: Group, taps: np.ndarray, period: np.ndarray | None = None) -> np.ndarray:
    """Where each element of a group moves each tap: (order, T) int64, taps[out[g, t]] = g taps[t].

    Args:
        period: (d, d), of taps on a torus: those that differ by a whole combination of its rows are one.

    Raises:
        TypeError: an infinite group.
        ValueError: taps that the group does not map onto themselves (with the first of them).
    """
    taps = np.asarray(taps, dtype=np.float64)
    if not isinstance(group, FiniteGroup):
        raise TypeError(
            f'complete kernels on taps need a finite group, got {group}: take the band-limited basis (basis="band_limited")'
        )
    if taps.ndim != 2 or taps.shape[1] != group.dim or not np.isfinite(taps).all():
        raise ValueError(f"taps of {group} are finite numbers of shape (T, {group.dim}), got shape {taps.shape}")
    apart = _distance(taps[:, None] - taps, period)
    if len(taps) > 1 and apart[~np.eye(len(taps), dtype=bool)].min() <= _TOLERANCE:
        raise ValueError("taps must differ from each other, got one of them twice")
    moved = np.einsum("gij,tj->gti", group.elements.numpy(), taps)
    far = _distance(moved[:, :, None] - taps, period)  # (order, T, T)
    place = far.argmin(-1)
    off = np.take_along_axis(far, place[..., None], -1)[..., 0] > _TOLERANCE
    if off.any():
        g, t = np.argwhere(off)[0]
        raise ValueError(
            f"{group} does not map these taps onto themselves: it moves {taps[t].tolist()} to {moved[g, t].round(6).tolist()}; "
            "take a group of the lattice, or the band-limited basis"
        )
    return place


def _distance(offsets: np.ndarray, period: np.ndarray | None) -> np.ndarray:
    """Lengths of offsets (..., d), on a torus of their remainders: zero where the torus brings them together."""
    if period is not None:
        steps = offsets @ np.linalg.inv(period)
        offsets = (steps - steps.round()) @ period
    return np.linalg.norm(offsets, axis=-1)


@lru_cache(maxsize=64)
def _solve(rep_in: Representation, rep_out: Representation, places: _Places) -> np.ndarray:
    """One orbit of taps at a time: the kernel at its first tap commutes with the stabiliser, the group moves it to the rest."""
    group, place = rep_in.group, places.permutation()
    count = place.shape[1]
    matrices_in, matrices_out = (rep(group.elements).numpy() for rep in (rep_in, rep_out))
    solutions, done = [], np.zeros(count, bool)
    for first in range(count):
        if done[first]:
            continue
        fixing = np.flatnonzero(place[:, first] == first)
        weights = np.full(len(fixing), 1 / len(fixing))
        at_first = invariant_basis([matrices_out[fixing], matrices_in[fixing]], weights)
        orbit, movers = np.unique(place[:, first], return_index=True)
        done[orbit] = True
        kernels = np.zeros((len(at_first), rep_out.dim, rep_in.dim, count))
        for tap, g in zip(orbit, movers):
            kernels[..., tap] = matrices_out[g] @ at_first @ matrices_in[g].T
        solutions.append(kernels / np.sqrt(len(orbit)))
    solution = np.concatenate(solutions) if solutions else np.zeros((0, rep_out.dim, rep_in.dim, 0))
    solution.setflags(write=False)
    return solution


@lru_cache(maxsize=64)
def _orbits(rep_in: Representation, rep_out: Representation, places: _Places) -> Entries:
    """The same kernels in the same order, in closed form: an orbit's indicator, divided by the root of its size."""
    group, place = rep_in.group, places.permutation()
    # images[g, i]: where g moves component i
    images_in, images_out = (rep(group.elements).numpy().argmax(1) for rep in (rep_in, rep_out))
    kernel = np.full((rep_out.dim, rep_in.dim, place.shape[1]), -1)
    factor, count = np.zeros(kernel.shape), 0
    for first in range(place.shape[1]):
        if kernel[0, 0, first] >= 0:
            continue
        fixing = np.flatnonzero(place[:, first] == first)
        pairs = images_out[fixing][:, :, None] * rep_in.dim + images_in[fixing][:, None, :]
        lowest, orbit, size = np.unique(pairs.min(0), return_inverse=True, return_counts=True)
        orbit = orbit.reshape(rep_out.dim, rep_in.dim)
        # In the order of the pivots of their projector: small orbits first, then that of the lowest pair.
        number = np.lexsort([lowest, size]).argsort()
        tied, movers = np.unique(place[:, first], return_index=True)
        for tap, g in zip(tied, movers):
            there = images_out[g][:, None], images_in[g][None, :], tap
            kernel[there] = count + number[orbit]
            factor[there] = 1 / np.sqrt(size[orbit]) / np.sqrt(len(tied))
        count += len(lowest)
    return Entries(count, constant_tensor(kernel), constant_tensor(factor))


@torch.compiler.assume_constant_result
def _coefficients(basis: TapBasis) -> torch.Tensor:
    return constant_tensor(basis._solution)
