"""The spherical harmonic transform of scalar, vector and spin fields, on rings or any points."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..checks import check_choice, check_int
from ..kernels.constants import ConstantModule
from .analysis import PointTransform, rings_engine
from .harmonics import frame_phase, tangent_harmonics
from .rings import RingTransform
from .sampling import Sampling

_METHODS = ("least_squares", "quadrature")
_STRUCTURES = ("auto", "rings", "points")


class SphericalTransform(ConstantModule):
    r"""Analysis and synthesis of band-limited fields sampled on the unit sphere.

    .. math:: f(x_i) = \sum_{k < K} c_k Y_k(x_i), \qquad K = (l_{max} + 1)^2

    with the orthonormal real harmonics of `tangent_harmonics`, so that ``coefficients[l^2 : (l + 1)^2]`` is a feature of the
    irrep l of `groups.SO3`, and the integral of f^2 is the sum of their squares. A field of SO(2) order s > 0 (1: tangent
    vectors) has components (a, b) in a frame at every point, and two real coefficients for every k: of Y_k, gradient-like (E;
    for s = 1 that with divergence), and of i Y_k (B; for s = 1 that with curl).

    Points on rings of equally spaced longitudes (lat-lon and Gauss-Legendre grids, HEALPix in any order) are found by
    themselves and take an FFT and Legendre functions, O(N log N + R lmax^2); others a matrix (N, K).

    Args:
        sampling: (N, 3) points (of any norm), a `LatLonGrid`, or a geometry or graph of a sphere, whose areas and frames are
            the default then.
        lmax: highest degree, at most 500.
        spin: the SO(2) order s >= 0 of the fields. For s > 0 degrees below s have no harmonics: their coefficients are 0.
        weights: (N,) positive quadrature weights. Default: those of a `LatLonGrid`, of its kind when all rings are alike; else
            equal ones.
        frames: (N, 3, 2) tangent frames, right-handed with the outward normal, for spin > 0. Default: (east, north).
        method: "least_squares": analysis gives the coefficients with the least weighted squared residual, hence exactly those
            of a field of degree <= lmax, on any points. "quadrature": the integral :math:`c_k = \sum_i w_i \langle Y_k(x_i),
            f(x_i)\rangle`; the same where the weights are exact to degree 2 lmax (Gauss-Legendre, nlat > lmax, nlon > 2 lmax).
        structure: "auto", or "rings" (raises when there are none), or "points" (the matrix), the last mostly to compare.

    Attributes:
        condition: of the normal equations; relative errors of analysis are about this times the rounding unit. None for
            quadrature.

    Raises:
        GeometryError: points without a direction, bad frames.
        ValueError: arguments of wrong shape or range; with "least_squares", points that do not determine the coefficients.

    Shapes:
        values (..., N), coefficients (..., K); for spin > 0 values (..., N, 2), coefficients (..., K, 2).
    """

    def __init__(
        self,
        sampling,
        lmax: int,
        spin: int = 0,
        *,
        weights: np.ndarray | Tensor | None = None,
        frames: np.ndarray | Tensor | None = None,
        method: str = "least_squares",
        structure: str = "auto",
    ) -> None:
        super().__init__()
        _check_arguments(lmax, spin, method, structure)
        self.lmax, self.spin, self.method = int(lmax), int(spin), method
        self.num_coefficients = (self.lmax + 1) ** 2
        samples = Sampling.of(sampling, weights, frames)
        if structure == "rings" and samples.rings is None:
            raise ValueError("structure='rings', but these points do not lie on rings of equally spaced longitudes")
        self.num_points = len(samples.unit)
        weights = samples.weights_or_default()
        self.engine: PointTransform | RingTransform
        self.turned = False
        if samples.rings is None or structure == "points":
            harmonics = tangent_harmonics(samples.unit, self.lmax, self.spin, samples.frames)
            self.engine = PointTransform(harmonics, self.spin, weights, method)
        else:
            self.engine = rings_engine(samples.rings, self.lmax, self.spin, weights, method)
            self.turned = bool(self.spin) and samples.frames is not samples.polar
            if self.turned:
                phase = frame_phase(samples.polar, samples.frames, self.spin)
                self.register_constant("phase", torch.view_as_real(torch.from_numpy(phase)))
        self.condition: float | None = self.engine.condition

    def analysis(self, values: Tensor) -> Tensor:
        """Values (..., N), or (..., N, 2) for spin > 0, to coefficients (..., K) or (..., K, 2)."""
        values, lead = self._flat(values, self.num_points, "values")
        if len(values) == 0:  # which the FFT refuses
            return self._restored(values.new_zeros(0, self.num_coefficients, values.shape[-1]), lead)
        if self.turned:
            values = _times(values, self.phase, conjugate=True)
        return self._restored(self.engine.analysis(values), lead)

    def synthesis(self, coefficients: Tensor) -> Tensor:
        """The inverse: coefficients to values. For spin > 0 those of degrees below the spin are ignored."""
        coefficients, lead = self._flat(coefficients, self.num_coefficients, "coefficients")
        if len(coefficients) == 0:
            return self._restored(coefficients.new_zeros(0, self.num_points, coefficients.shape[-1]), lead)
        values = self.engine.synthesis(coefficients)
        if self.turned:
            values = _times(values, self.phase)
        return self._restored(values, lead)

    def forward(self, values: Tensor) -> Tensor:
        """The same as `analysis`."""
        return self.analysis(values)

    def extra_repr(self) -> str:
        return f"points={self.num_points}, lmax={self.lmax}, spin={self.spin}, method={self.method!r}"

    def _flat(self, x: Tensor, size: int, what: str) -> tuple[Tensor, tuple[int, ...]]:
        tail = (size, 2) if self.spin else (size,)
        if not isinstance(x, Tensor) or x.shape[-len(tail) :] != tail:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"SphericalTransform expected {what} of shape (..., {', '.join(map(str, tail))}), got {shape}")
        if x.dtype != self.dtype:
            raise TypeError(f"SphericalTransform is {self.dtype} but got {x.dtype} {what}: convert one with .to(dtype)")
        lead = tuple(x.shape[: -len(tail)])
        return x.reshape(math.prod(lead), size, 2 if self.spin else 1), lead

    def _restored(self, x: Tensor, lead: tuple[int, ...]) -> Tensor:
        return x.reshape(*lead, *(x.shape[1:] if self.spin else x.shape[1:2]))

    @property
    def dtype(self) -> torch.dtype:
        """Of values and coefficients; changed with ``.double()``, ``.float()``, without loss of accuracy."""
        return next(b.dtype for b in self.engine.buffers() if b.is_floating_point())


def _times(values: Tensor, phase: Tensor, conjugate: bool = False) -> Tensor:
    factor = torch.view_as_complex(phase)
    return torch.view_as_real(torch.view_as_complex(values.contiguous()) * (factor.conj() if conjugate else factor))


def _check_arguments(lmax, spin, method: str, structure: str) -> None:
    check_int("SphericalTransform", "lmax", lmax, 0)
    check_int("SphericalTransform", "spin", spin, 0)
    if lmax < spin:
        raise ValueError(f"fields of spin {spin} have no degree below {spin}, got lmax={lmax}")
    check_choice("SphericalTransform", "method", method, _METHODS)
    check_choice("SphericalTransform", "structure", structure, _STRUCTURES)
