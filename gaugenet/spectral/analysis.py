"""From values to coefficients: quadrature, and three ways to the least-squares solution.

All of them are linear maps (B, N, C) -> (B, K, C) of given weights w, with S the synthesis: S^T w, and (S^T w S)^-1 S^T w.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import get_blas_funcs
from scipy.linalg.lapack import get_lapack_funcs
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ..kernels.constants import ConstantModule
from .rings import RingTransform
from .sampling import Rings

# Beyond this condition number of the normal equations the points do not determine the coefficients; iterated ones sooner.
MAX_CONDITION = 1e8
_MAX_ITERATED = 1e4
# The Chebyshev iteration ends when its error is below this; bounds of the spectrum are estimated, hence widened by the margin.
_ERROR, _MARGIN = 1e-15, 0.05
# Operators up to this size are written out to find the bounds of their spectrum.
_SMALL = 300


class PointTransform(ConstantModule):
    """Any points: the matrix Y of the harmonics, and for least squares the inverse of Y^H w Y.

    Args:
        harmonics: (N, K) for scalars or (N, K, 2). weights: (N,). spin, method: see `SphericalTransform`.
    """

    def __init__(self, harmonics: Tensor, spin: int, weights: np.ndarray, method: str) -> None:
        super().__init__()
        self.spin = spin
        matrix = harmonics.numpy() if spin == 0 else torch.view_as_complex(harmonics).numpy()
        self.register_constant("matrix", harmonics)
        self.register_constant("weights", torch.from_numpy(weights))
        self.condition: float | None = None
        if method == "least_squares":
            # Degrees below the spin have no harmonics: zeros.
            inverse = np.zeros((matrix.shape[1],) * 2, matrix.dtype)
            gram = _gram(np.sqrt(weights)[:, None] * matrix[:, spin * spin :])
            inverse[spin * spin :, spin * spin :], self.condition = _solved(gram, np.eye(len(gram)))
            self.register_constant("inverse", _real(inverse))

    def synthesis(self, coefficients: Tensor) -> Tensor:
        return _product(self.matrix, coefficients, self.spin)

    def analysis(self, values: Tensor) -> Tensor:
        sums = _adjoint_product(self.matrix, values * self.weights[:, None], self.spin)
        return sums if self.condition is None else _product(self.inverse, sums, self.spin)


class QuadratureRings(RingTransform):
    """Rings with S^T w for analysis."""

    condition: float | None = None

    def __init__(self, rings: Rings, lmax: int, spin: int, weights: np.ndarray) -> None:
        super().__init__(rings, lmax, spin)
        self.register_constant("weights", torch.from_numpy(weights))

    def analysis(self, values: Tensor) -> Tensor:
        return self.adjoint(values * self.weights[:, None])


class SeparableRings(RingTransform):
    """Least squares where every ring resolves all m: one small problem in colatitude for each m, solved beforehand.

    Args:
        weights: (R,) of one point of each ring.
    """

    def __init__(self, rings: Rings, lmax: int, spin: int, weights: np.ndarray) -> None:
        super().__init__(rings, lmax, spin)
        legendre = self._exact["legendre"].numpy()
        inverse = np.zeros(np.swapaxes(legendre, 1, 2).shape)
        self.condition = 1.0
        m = np.arange(-lmax if spin else 0, lmax + 1)
        for i, order in enumerate(m):
            used = slice(max(abs(order), spin), None)
            # The sum over a ring of n points is n, or n / 2 for the real part of a wave.
            total = weights * rings.count / (2 if spin == 0 and order else 1)
            weighted = legendre[i, :, used].T * total
            if len(weighted):
                solved, condition = _solved(weighted @ legendre[i, :, used], weighted)
                inverse[i, used] = solved * (weights / total)
                self.condition = max(self.condition, condition)
        self.register_constant("inverse", torch.from_numpy(inverse))

    def analysis(self, values: Tensor) -> Tensor:
        return self.from_orders(self.inverse @ self.fourier(values))


class IteratedRings(QuadratureRings):
    """Least squares on any rings (HEALPix) by the Chebyshev iteration on the normal equations, whose matrix is near 1.

    Linear in the values, unlike conjugate gradients. `count` iterations, from estimated bounds of the spectrum (Golub and Varga
    1961), leave a relative error of 1e-15.
    """

    def __init__(self, rings: Rings, lmax: int, spin: int, weights: np.ndarray) -> None:
        super().__init__(rings, lmax, spin, weights)
        dtype = self.weights.dtype
        if (lmax + 1) ** 2 - spin * spin > self.size:
            raise ValueError(_undetermined(math.inf, _MAX_ITERATED))
        self.double()
        low, high = _spectrum(self._normal, self.spin * self.spin, (lmax + 1) ** 2, 2 if spin else 1)
        self.condition = high / low if low > 0 else math.inf
        if self.condition > _MAX_ITERATED:
            raise ValueError(_undetermined(self.condition, _MAX_ITERATED))
        self.low, self.high = low * (1 - _MARGIN), high * (1 + _MARGIN)
        root = math.sqrt(self.high / self.low)
        rate = (root - 1) / (root + 1)
        self.count = max(1, math.ceil(math.log(_ERROR / 2) / math.log(rate)))
        self._verify()
        self.to(dtype)

    @torch.no_grad()
    def _verify(self) -> None:
        """Random coefficients must come back: the estimated bounds may have missed a lone small eigenvalue."""
        generator = torch.Generator().manual_seed(0)
        shape = (1, (self.lmax + 1) ** 2, 2 if self.spin else 1)
        random = torch.randn(shape, generator=generator, dtype=torch.float64)
        random[:, : self.spin * self.spin] = 0
        error = float((self.analysis(self.synthesis(random)) - random).norm() / random.norm())
        if not error < 1e-9:
            raise ValueError(_undetermined(math.inf, _MAX_ITERATED))

    def _normal(self, coefficients: Tensor) -> Tensor:
        return super().analysis(self.synthesis(coefficients))

    def analysis(self, values: Tensor) -> Tensor:
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        rest = super().analysis(values)
        step = rest / middle
        found, rho = step, half / middle
        for _ in range(self.count - 1):
            rest = rest - self._normal(step)
            following = 1 / (2 * middle / half - rho)
            step = (following * rho) * step + (2 * following / half) * rest
            found, rho = found + step, following
        return found


def rings_engine(rings: Rings, lmax: int, spin: int, weights: np.ndarray, method: str) -> QuadratureRings | SeparableRings:
    """The analysis that suits the rings. ValueError when they do not determine the coefficients."""
    if method == "quadrature":
        return QuadratureRings(rings, lmax, spin, weights)
    sorted_weights = weights[rings.order]
    of_ring = np.add.reduceat(sorted_weights, np.cumsum(rings.count) - rings.count) / rings.count
    alike = np.allclose(sorted_weights, np.repeat(of_ring, rings.count), rtol=1e-9, atol=0)
    if alike and rings.count.min() > 2 * lmax:
        return SeparableRings(rings, lmax, spin, of_ring)
    # Rings that are shifted against each other (HEALPix) tell apart what one of them alone does not.
    if alike and rings.count.max() <= 2 * lmax and np.ptp(rings.phi) == 0:
        raise ValueError(
            f"lmax={lmax} needs more than {2 * lmax} longitudes, these rings have {rings.count.max()}; take a smaller lmax"
        )
    return IteratedRings(rings, lmax, spin, weights)


def _solved(gram: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """gram^-1 right of a Hermitian positive matrix, and its condition number in the 1-norm (estimated)."""
    norm = np.abs(gram).sum(0).max()
    try:
        factor = cho_factor(gram)
    except LinAlgError:
        raise ValueError(_undetermined(math.inf)) from None
    (condition_of,) = get_lapack_funcs(("pocon",), (gram,))
    reciprocal = float(condition_of(factor[0], norm, uplo="L" if factor[1] else "U")[0])
    if not reciprocal * MAX_CONDITION > 1:
        raise ValueError(_undetermined(1 / reciprocal if reciprocal > 0 else math.inf))
    return cho_solve(factor, right), 1 / reciprocal


def _undetermined(condition: float, most: float = MAX_CONDITION) -> str:
    return (
        f"these points do not determine the coefficients (condition number {condition:.3g} of the normal equations, at most "
        f"{most:.0g}); take a smaller lmax, more points, or method='quadrature'"
    )


def _spectrum(operator, start: int, stop: int, channels: int) -> tuple[float, float]:
    """Smallest and largest eigenvalue of a symmetric map of coefficients (1, K, C), on those from `start` on."""
    size = (stop - start) * channels

    @torch.no_grad()
    def apply(x: np.ndarray) -> np.ndarray:
        full = torch.zeros(x.shape[1], stop, channels, dtype=torch.float64)
        full[:, start:] = torch.from_numpy(np.ascontiguousarray(x.T)).reshape(-1, stop - start, channels)
        return operator(full)[:, start:].reshape(len(full), -1).numpy().T

    if size <= _SMALL:
        values = np.linalg.eigvalsh(apply(np.eye(size)))
        return float(values[0]), float(values[-1])
    linear = LinearOperator((size, size), matvec=lambda x: apply(x.reshape(-1, 1))[:, 0], dtype=np.float64)
    start_vector = np.random.default_rng(0).normal(size=size)
    # A wide search space: with the default one a lone small eigenvalue is easily missed.
    low, high = (
        float(eigsh(linear, 1, which=end, ncv=60, v0=start_vector, tol=1e-3, return_eigenvectors=False)[0])
        for end in ("SA", "LA")
    )
    return low, high


def _gram(a: np.ndarray) -> np.ndarray:
    """A^H A."""
    (product,) = get_blas_funcs(("herk" if np.iscomplexobj(a) else "syrk",), (a,))
    upper = np.triu(product(1.0, a, trans=2 if np.iscomplexobj(a) else 1))
    return upper + np.triu(upper, 1).conj().T


def _real(matrix: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(matrix))
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _product(matrix: Tensor, x: Tensor, spin: int) -> Tensor:
    if spin == 0:
        return (x.squeeze(-1) @ matrix.mT).unsqueeze(-1)
    return torch.view_as_real(torch.view_as_complex(x.contiguous()) @ torch.view_as_complex(matrix).mT)


def _adjoint_product(matrix: Tensor, x: Tensor, spin: int) -> Tensor:
    """With the conjugate transpose; the conjugates are taken of the vectors, which are small."""
    if spin == 0:
        return (x.squeeze(-1) @ matrix).unsqueeze(-1)
    product = torch.view_as_complex(x.contiguous()).conj() @ torch.view_as_complex(matrix)
    return torch.view_as_real(product.conj().resolve_conj())
