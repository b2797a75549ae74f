"""Band-limited kernels on taps: circular harmonics on Gaussian rings, sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from numbers import Integral, Real

import numpy as np
import torch

from ..checks import check_instance, check_int
from ..fields import FieldType
from ..groups import Representation
from ..groups.constants import constant_array, constant_tensor
from .basis import SteerableBasis, check_pair
from .expansion import KernelExpansion
from .harmonics import harmonic_frequencies, harmonics
from .kernel import OrbitKernels

# Widths in pixels: of the ring at the centre (that tap alone), of the outermost one, of those between.
_CENTRE, _OUTER, _INNER = 0.005, 0.4, 0.6
# The outermost ring leaves the square of taps at the sides: it keeps low frequencies only.
_OUTER_FREQUENCY = 2
# What sampling leaves of a kernel beyond the kernels before it, relative to the kernel; less than this is aliasing.
_DEPENDENT = 1e-3


@dataclass(frozen=True)
class Rings:
    r"""Gaussian rings :math:`R_j(r) = \exp(-(r - r_j)^2 / (2 \sigma_j^2))`, each with its angular cut-off.

    As a kernel family: band-limited kernels of any group, sampled at the taps of arrays (:class:`RingBasis` has the formula).

    Attributes:
        radii, sigma: r_j and sigma_j in pixels.
        max_frequency: the highest angular frequency of every ring (spherical degree in space).

    Raises:
        ValueError: numbers of different length, negative radii or frequencies, widths that are not positive.
    """

    radii: tuple[float, ...]
    sigma: tuple[float, ...]
    max_frequency: tuple[int, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.radii), len(self.sigma), len(self.max_frequency)}
        if len(lengths) != 1 or not self.radii:
            raise ValueError(f"rings have a radius, a width and a cut-off each, got {self}")
        if not all(isinstance(r, Real) and np.isfinite(r) and r >= 0 for r in self.radii):
            raise ValueError(f"radii of rings are numbers of at least 0, got {self.radii}")
        if not all(isinstance(s, Real) and np.isfinite(s) and s > 0 for s in self.sigma):
            raise ValueError(f"widths sigma of rings are positive numbers, got {self.sigma}")
        if not all(isinstance(f, Integral) and not isinstance(f, bool) and f >= 0 for f in self.max_frequency):
            raise ValueError(f"max_frequency of rings are integers of at least 0, got {self.max_frequency}")

    @classmethod
    def of(
        cls,
        size: int,
        radii: Sequence[float] | None = None,
        sigma: float | Sequence[float] | None = None,
        max_frequency: int | Sequence[int] | Callable[[float], int] | None = None,
    ) -> Rings:
        """The rings of a kernel of ``size`` pixels a side.

        Args:
            radii: by default a pixel apart from the outermost (size - 1) / 2 inwards.
            sigma: one width or one a ring; by default 0.6, 0.4 for the outermost ring, and the centre alone at radius 0.
            max_frequency: a bound on the default, a cut-off a ring, or a function of the radius. By default 2 r (a ring of
                radius r has about 2 pi r pixels), one less where that is a multiple of four (there the sampled harmonic looks
                like frequency 0), and 2 on the outermost ring: the cut-offs of Weiler & Cesa 2019's published layers.
        """
        size = check_int("Rings", "size", size)
        outermost = (size - 1) / 2
        placed = tuple(float(r) for r in (np.arange(outermost % 1, size / 2) if radii is None else radii))
        if sigma is None:
            sigma = [_CENTRE if r == 0 else _OUTER if r >= outermost else _INNER for r in placed]
        widths = (sigma,) * len(placed) if isinstance(sigma, float | int | Real) else tuple(sigma)
        if max_frequency is None or (isinstance(max_frequency, Integral) and not isinstance(max_frequency, bool)):
            bound = np.inf if max_frequency is None else max_frequency
            max_frequency = [int(min(bound, _default_frequency(r, outermost))) for r in placed]
        elif callable(max_frequency):
            max_frequency = [max_frequency(r) for r in placed]
        elif not isinstance(max_frequency, Sequence):
            raise ValueError(f"max_frequency is an integer, one a ring, or a function of the radius, got {max_frequency!r}")
        return cls(placed, tuple(float(s) for s in widths), tuple(max_frequency))

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """Refused: graphs sample no rings."""
        raise TypeError(
            "kernels.Rings are sampled at the taps of arrays: on graphs of a lattice take kernels.Taps(taps, rings=Rings(...)),"
            " on others kernels.Polar"
        )

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> KernelExpansion:
        """The kernels at the taps (T, d), in units of the pixel."""
        return KernelExpansion(in_type, out_type, partial(RingBasis, taps=taps, rings=self), dense=True)


def _default_frequency(radius: float, outermost: float) -> int:
    top = int(2 * radius)
    top -= top > 0 and top % 4 == 0
    return min(top, _OUTER_FREQUENCY) if radius >= outermost else top


@dataclass(frozen=True, eq=False, repr=False)
class RingBasis:
    r"""Sampled kernels :math:`K(x) = R_j(|x|)\, Q_k(x / |x|)` with R of :class:`Rings` and Q of :class:`SteerableBasis`.

    They satisfy K(g x) = rho_out(g) K(x) rho_in(g)^-1 for every g of any group of the plane or of space, whether g maps taps
    to taps or not (Weiler & Cesa 2019, arXiv 1911.08251, section 2.8). :class:`TapBasis` has more kernels where g does.

    Every kernel has unit norm. The kernels are linearly independent on the taps: they are taken by ascending frequency, ring by
    ring, and one that sampling cannot tell from those before it is left out. They are not made orthogonal, which would
    mix frequencies and blow up what aliasing leaves of the highest ones.

    Args:
        rep_in, rep_out: representations of one group.
        taps: (T, d) offsets in pixels.
        rings: see above.

    Attributes:
        coefficients: (K, dim_out, dim_in, T) float64. frequencies: (K,) int64.

    Raises:
        ValueError: two groups; taps of another dimension.
    """

    rep_in: Representation
    rep_out: Representation
    taps: np.ndarray
    rings: Rings

    def __post_init__(self) -> None:
        check_pair(self.rep_in, self.rep_out, self)
        check_instance(self, "rings", self.rings, Rings, "kernels.Rings, such as Rings.of(5)")
        taps, group = constant_array(self.taps), self.rep_in.group
        if taps.ndim != 2 or taps.shape[1] != group.dim or not np.isfinite(taps).all():
            raise ValueError(f"taps of {group} are finite numbers of shape (T, {group.dim}), got {taps.shape}")
        object.__setattr__(self, "taps", taps)

    def __reduce__(self) -> tuple:
        return RingBasis, (self.rep_in, self.rep_out, self.taps, self.rings)

    @cached_property
    def _solution(self) -> tuple[np.ndarray, np.ndarray]:
        return _solve(self.rep_in, self.rep_out, self.taps.shape, self.taps.tobytes(), self.rings)

    @cached_property
    def _orbits(self) -> tuple[OrbitKernels, np.ndarray] | None:
        return _solve_orbits(self.rep_in, self.rep_out, self.taps.shape, self.taps.tobytes(), self.rings)

    @property
    def coefficients(self) -> torch.Tensor:
        return constant_tensor(self._solution[0]) if self.orbits is None else self.orbits.dense()

    @property
    def orbits(self) -> OrbitKernels | None:
        """Of representations that permute their components, see :class:`SteerableBasis`; None of others."""
        return None if self._orbits is None else self._orbits[0]

    @property
    def frequencies(self) -> torch.Tensor:
        return torch.from_numpy((self._solution if self._orbits is None else self._orbits)[1].copy())

    def __len__(self) -> int:
        return len(self._solution[0]) if self.orbits is None else self.orbits.number

    def __repr__(self) -> str:
        return f"RingBasis({self.rep_in!r} -> {self.rep_out!r}, {len(self.taps)} taps, {len(self)} kernels)"


@lru_cache(maxsize=256)
def _solve(rep_in, rep_out, shape: tuple[int, ...], raw: bytes, rings: Rings) -> tuple[np.ndarray, np.ndarray]:
    basis = SteerableBasis(rep_in, rep_out, max(rings.max_frequency))
    ring_of, kernel_of = _in_order(basis.frequencies.numpy(), rings)
    profile, angular = _sampled(shape, raw, rings)
    kernels = (basis.coefficients.numpy() @ angular)[kernel_of] * profile[ring_of, None, None]
    norm = np.sqrt((kernels**2).sum((1, 2, 3)))
    kept = np.flatnonzero(_seen(norm, profile, ring_of))
    kernels = kernels[kept] / norm[kept, None, None, None]
    if len(kept) == len(norm) and _apart(profile, angular, rings, shape[1]):
        chosen = np.arange(len(kept))
    else:
        chosen = _independent(kernels.reshape(len(kernels), int(np.prod(kernels.shape[1:]))))
    kernels, frequencies = kernels[chosen], basis.frequencies.numpy()[kernel_of][kept][chosen]
    kernels[np.abs(kernels) < 1e-15] = 0.0
    for array in (kernels, frequencies):
        array.setflags(write=False)
    return kernels, frequencies


@lru_cache(maxsize=64)
def _solve_orbits(rep_in, rep_out, shape: tuple[int, ...], raw: bytes, rings: Rings) -> tuple[OrbitKernels, np.ndarray] | None:
    """The same, orbit by orbit: kernels of different orbits have no entry in common, hence are independent."""
    basis = SteerableBasis(rep_in, rep_out, max(rings.max_frequency))
    if basis.orbits is None:
        return None
    orbit, slots, coefficients = (part.numpy() for part in (basis.orbits.orbit, basis.orbits.slots, basis.orbits.values))
    ring_of, kernel_of = _in_order(basis.frequencies.numpy(), rings)
    profile, angular = _sampled(shape, raw, rings)
    # Of every kernel its orbit and its place there; of every orbit the products of its kernels and the rings, in their order.
    orbit_of, place_of = np.zeros(len(basis), np.int64), np.zeros(len(basis), np.int64)
    there, place = np.nonzero(slots >= 0)
    orbit_of[slots[there, place]], place_of[slots[there, place]] = there, place
    products = [np.flatnonzero(orbit_of[kernel_of] == o) for o in range(len(slots))]
    numbers = np.full((len(slots), max(map(len, products))), -1)
    for o, found in enumerate(products):
        numbers[o, : len(found)] = found
    values = coefficients.reshape(-1, *coefficients.shape[2:]) @ angular  # (P, k, T)
    flat = orbit.reshape(-1)
    sampled = np.take_along_axis(values, place_of[kernel_of[numbers]][flat][..., None], 1) * profile[ring_of[numbers][flat]]
    square = np.zeros(numbers.shape)
    np.add.at(square, flat, (sampled**2).sum(-1))
    norm = np.ones(len(ring_of))
    norm[numbers[numbers >= 0]] = np.sqrt(square[numbers >= 0])
    kept = _seen(norm, profile, ring_of)
    if not (kept.all() and _apart(profile, angular, rings, shape[1])):
        for o, found in enumerate(products):
            inside = np.flatnonzero(kept[found])
            rows = (sampled[flat == o][:, inside] / norm[found[inside], None]).swapaxes(0, 1).reshape(len(inside), -1)
            kept[found] = np.isin(np.arange(len(found)), inside[_independent(rows)])
    norm[~kept] = 1.0
    count, number = np.cumsum(kept) - 1, int(kept.sum())
    order = np.argsort(~(kept[numbers] & (numbers >= 0)), 1, kind="stable")  # the kernels that are kept first
    numbers = np.take_along_axis(numbers, order, 1)
    sampled = np.take_along_axis(sampled, order[flat][..., None], 1) / norm[numbers][flat][..., None]
    there = kept[numbers] & (numbers >= 0)
    most = int(there.sum(1).max())
    sampled[~there[flat]] = 0.0
    sampled[np.abs(sampled) < 1e-15] = 0.0
    slots = np.where(there, count[numbers], -1)[:, :most]
    tensors = (torch.from_numpy(part) for part in (orbit, slots, sampled[:, :most].reshape(*orbit.shape, most, -1)))
    return OrbitKernels(number, *tensors), basis.frequencies.numpy()[kernel_of][kept]


def _sampled(shape: tuple[int, ...], raw: bytes, rings: Rings) -> tuple[np.ndarray, np.ndarray]:
    """Profiles of the rings (R, T) and harmonics (Y, T) at the taps."""
    taps: np.ndarray = np.frombuffer(raw).reshape(shape)
    radius = np.linalg.norm(taps, axis=1)
    profile = np.exp(-0.5 * ((radius - np.array(rings.radii)[:, None]) / np.array(rings.sigma)[:, None]) ** 2)
    return profile, harmonics(torch.from_numpy(taps.copy()), max(rings.max_frequency)).numpy().T


def _seen(norm: np.ndarray, profile: np.ndarray, ring_of: np.ndarray) -> np.ndarray:
    """A kernel of coefficients of unit norm has on average the norm of its ring: much less is a harmonic that no tap sees."""
    return norm > _DEPENDENT * np.linalg.norm(profile, axis=1)[ring_of]


def _in_order(frequencies: np.ndarray, rings: Rings) -> tuple[np.ndarray, np.ndarray]:
    """(ring, kernel) of every product below the cut-off of its ring, by frequency, then ring, then kernel."""
    kernel, ring = np.nonzero(frequencies[:, None] <= np.array(rings.max_frequency))
    order = np.lexsort([kernel, ring, frequencies[kernel]])
    return ring[order], kernel[order]


def _apart(profile: np.ndarray, angular: np.ndarray, rings: Rings, dim: int) -> bool:
    """Whether the sampled harmonics of all rings, which are few, are independent by themselves: then so are the kernels."""
    counts = [len(harmonic_frequencies(dim, f)) for f in rings.max_frequency]
    rows = np.concatenate([ring * angular[:n] for ring, n in zip(profile, counts)])
    norm = np.linalg.norm(rows, axis=1)
    if norm.min() == 0 or len(rows) > rows.shape[1]:
        return False
    # By a wide margin, so that the kernels keep theirs.
    return bool(np.linalg.svd(rows / norm[:, None], compute_uv=False)[-1] > 10 * _DEPENDENT)


def _independent(rows: np.ndarray) -> np.ndarray:
    """The rows, of unit norm, that are no combination of rows before them."""
    residual, chosen = rows @ rows.T, []  # Gram matrix of what the chosen rows leave of the rows
    for k in range(len(rows)):
        if residual[k, k] > _DEPENDENT**2:
            chosen.append(k)
            residual = residual - np.outer(residual[:, k], residual[k]) / residual[k, k]
    return np.array(chosen, dtype=np.int64)
