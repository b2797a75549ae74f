"""Steerable kernels: every solution of the kernel constraint, for any compact group and any representations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from ..checks import check_instance, check_int, owner_name
from ..groups import Representation
from ..groups.constants import constant_tensor
from ..groups.harmonic_action import harmonic_action
from ..groups.invariants import invariant_basis, orbit_invariants
from .harmonics import harmonic_frequencies, harmonic_size, harmonics
from .kernel import OrbitKernels


@dataclass(frozen=True, repr=False)
class SteerableBasis:
    r"""Orthonormal basis of the kernels K with K(g x) = rho_out(g) K(x) rho_in(g)^-1 for all g in G, band-limited in angle.

    ``K_k(x) = sum_y coefficients[k, :, :, y] Y_y(x / |x|)``, with Y of `kernels.harmonics`; a radial profile multiplies it
    (Weiler et al. 2021, arXiv 2106.06020, theorem 4.2; Lang & Weiler 2021, arXiv 2010.10952). The coefficients are the
    invariant vectors of rho_out x rho_in x rho_Y, found frequency by frequency by averaging over the group, exact to
    rounding; the basis is the same on every machine, so that saved weights keep their meaning.

    Args:
        rep_in, rep_out: representations of one group.
        max_frequency: F, the highest angular frequency (spherical degree in space).

    Attributes:
        coefficients: (K, dim_out, dim_in, Y) float64, orthonormal over the last three axes.
        frequencies: (K,) int64, the one frequency of each basis kernel, ascending.

    Raises:
        ValueError: different groups, a negative frequency, frequencies above 0 in a dimension other than 1, 2 and 3.
    """

    rep_in: Representation
    rep_out: Representation
    max_frequency: int = 4

    def __post_init__(self) -> None:
        check_pair(self.rep_in, self.rep_out, self)
        check_int(self, "max_frequency", self.max_frequency, 0)
        _ = self.frequencies  # what has none is refused here

    def __reduce__(self) -> tuple:
        return SteerableBasis, (self.rep_in, self.rep_out, self.max_frequency)

    @cached_property
    def _solution(self) -> tuple[np.ndarray, np.ndarray]:
        return _solve(self.rep_in, self.rep_out, int(self.max_frequency))

    @property
    def coefficients(self) -> torch.Tensor:
        return _coefficients(self)

    @property
    def orbits(self) -> OrbitKernels | None:
        """Of representations that permute their components; None of others.

        The coefficients of a regular representation of 60 elements up to frequency 2 are 17 million numbers, of which one in 60
        is not zero.
        """
        found = self._orbits
        return None if found is None else found[0]

    @cached_property
    def _orbits(self) -> tuple[OrbitKernels, np.ndarray] | None:
        reps = self.rep_in, self.rep_out
        if self.rep_in.group.order is None or not all(rep.is_permutation for rep in reps):
            return None
        return _solve_orbits(*reps, int(self.max_frequency))

    @property
    def frequencies(self) -> torch.Tensor:
        return torch.from_numpy((self._solution if self._orbits is None else self._orbits)[1].copy())

    def __len__(self) -> int:
        return len(self.frequencies)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The angular kernels at vectors x (..., d): (..., K, dim_out, dim_in), in x's dtype. At x = 0 only frequency 0
        survives."""
        d = self.rep_in.group.dim
        if x.shape[-1:] != (d,):
            raise ValueError(f"kernels of {self.rep_in.group} live on vectors (..., {d}), got shape {tuple(x.shape)}")
        coefficients = _coefficients(self).to(x)
        angular = harmonics(x, self.max_frequency) if d <= 3 else torch.ones_like(x[..., :1])
        return torch.einsum("koiy,...y->...koi", coefficients, angular)

    def __repr__(self) -> str:
        return f"SteerableBasis({self.rep_in!r} -> {self.rep_out!r}, max_frequency={self.max_frequency}, {len(self)} kernels)"


@torch.compiler.assume_constant_result
def _coefficients(basis: SteerableBasis) -> torch.Tensor:
    return constant_tensor(basis._solution[0] if basis.orbits is None else basis.orbits.dense().numpy())


@dataclass(frozen=True)
class IntertwinerBasis:
    """Basis of the self kernels M rho_in(g) = rho_out(g) M, with one column: what the centre of a convolution may be."""

    rep_in: Representation
    rep_out: Representation

    @property
    def coefficients(self) -> torch.Tensor:
        return self_basis(self.rep_in, self.rep_out).unsqueeze(-1)


@dataclass(frozen=True)
class FreeBasis:
    """Every kernel between two representations of {e}: a free matrix for each of J functions.

    Args:
        rep_in, rep_out: representations of {e}.
        size: J.

    Raises:
        TypeError: another group than {e}, whose elements would turn the functions.
    """

    rep_in: Representation
    rep_out: Representation
    size: int

    def __post_init__(self) -> None:
        check_pair(self.rep_in, self.rep_out, self)
        check_int(self, "size", self.size)
        if self.rep_in.group.order != 1:
            raise TypeError(
                "FreeBasis, with a free matrix for each function of the log map, expected rep_in over {e}, got "
                f"{self.rep_in.group}: take field types over groups.Trivial(), or kernels.Polar"
            )

    @property
    def coefficients(self) -> torch.Tensor:
        shape = self.rep_out.dim, self.rep_in.dim, self.size
        count = shape[0] * shape[1] * shape[2]
        return torch.eye(count, dtype=torch.float64, device="cpu").view(count, *shape)


def self_basis(rep_in: Representation, rep_out: Representation) -> torch.Tensor:
    """Orthonormal basis (K0, dim_out, dim_in) float64 of the intertwiners: M rho_in(g) = rho_out(g) M. What a
    self-interaction may be."""
    check_pair(rep_in, rep_out)
    return torch.from_numpy(_solve_frequency(rep_in, rep_out, 0)[..., 0].copy())


def check_pair(rep_in: Representation, rep_out: Representation, owner: object = "a kernel") -> None:
    for name, rep in (("rep_in", rep_in), ("rep_out", rep_out)):
        check_instance(owner, name, rep, Representation, "a Representation, such as group.irrep(1)")
    if rep_in.group != rep_out.group:
        found = f"{rep_in.group} and {rep_out.group}"
        raise ValueError(f"{owner_name(owner)} expected rep_in and rep_out of one group, got {found}")


@lru_cache(maxsize=64)
def _solve(rep_in: Representation, rep_out: Representation, max_frequency: int) -> tuple[np.ndarray, np.ndarray]:
    solutions = [_solve_frequency(rep_in, rep_out, f) for f in range(max_frequency + 1)]
    dim = rep_in.group.dim
    columns = len(harmonic_frequencies(dim, max_frequency)) if max_frequency else 1
    coefficients = np.zeros((sum(map(len, solutions)), rep_out.dim, rep_in.dim, columns))
    row = column = 0
    for solution in solutions:
        coefficients[row : row + len(solution), :, :, column : column + solution.shape[-1]] = solution
        row, column = row + len(solution), column + solution.shape[-1]
    frequencies = np.repeat(np.arange(max_frequency + 1), [len(s) for s in solutions])
    coefficients.setflags(write=False)
    frequencies.setflags(write=False)
    return coefficients, frequencies


@lru_cache(maxsize=64)
def _solve_orbits(rep_in: Representation, rep_out: Representation, max_frequency: int) -> tuple[OrbitKernels, np.ndarray]:
    """The kernels and their order of :func:`_solve`, for representations that permute their components."""
    group = rep_in.group
    images_in, images_out = (rep.permutation_table().numpy() for rep in (rep_in, rep_out))
    images = (images_out[:, :, None] * rep_in.dim + images_in[:, None, :]).reshape(len(images_in), -1)
    parts = []
    for frequency in range(max_frequency + 1):
        if frequency:
            harmonic_size(group.dim, frequency)
        parts.append(orbit_invariants(images, harmonic_action(group.dim, frequency, group.elements).numpy()))
    number, slots = 0, []
    for part in parts:
        slots.append(np.where(part.slots < 0, -1, part.slots + number))
        number += part.slots.max(initial=-1) + 1
    kernels, columns = (sum(part.values.shape[axis] for part in parts) for axis in (1, 2))
    values = np.zeros((images.shape[1], kernels, columns))
    k = y = 0
    for part in parts:
        values[:, k : k + part.values.shape[1], y : y + part.values.shape[2]] = part.values
        k, y = k + part.values.shape[1], y + part.values.shape[2]
    frequencies = np.repeat(np.arange(max_frequency + 1), [part.slots.max(initial=-1) + 1 for part in parts])
    shape = rep_out.dim, rep_in.dim
    orbit, joined = torch.from_numpy(parts[0].orbit.reshape(shape)), torch.from_numpy(np.concatenate(slots, 1))
    return OrbitKernels(int(number), orbit, joined, torch.from_numpy(values.reshape(*shape, kernels, columns))), frequencies


@lru_cache(maxsize=256)
def _solve_frequency(rep_in: Representation, rep_out: Representation, frequency: int) -> np.ndarray:
    """(K_f, dim_out, dim_in, Y_f): C = rho_out(g) C rho_in(g)^T D_f(g)^T for all g, since rho_in and D_f are orthogonal."""
    group = rep_in.group
    if frequency:
        harmonic_size(group.dim, frequency)
    g, weights = group.quadrature(rep_in.degree + rep_out.degree + frequency)
    factors = [rep_out(g), rep_in(g), harmonic_action(group.dim, frequency, g)]
    solution = invariant_basis([factor.numpy() for factor in factors], weights.numpy())
    solution.setflags(write=False)
    return solution
