"""Spectral pooling: a band limit, and resampling from one sampling of the sphere to another."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..checks import check_int
from ..fields import FieldType, check_field_types
from ..kernels.constants import ConstantModule
from .fields import FieldTransform
from .wigner import degree_of


class SpectralPool(ConstantModule):
    r"""Features on one sampling to the nearest band-limited features, on another: analysis, gain of each degree, synthesis.

    The spherical form of spectral pooling (Rippel, Snoek and Adams 2015, arXiv 1506.03767). It needs no hierarchy and goes both
    ways (from coarse to fine it interpolates exactly). Tangent and spin fields are given in the frames of either sampling.
    For fields of degree up to `source_lmax` it is exactly the projection and commutes with all rotations; what they contain
    beyond leaks into the coefficients (aliasing), on good weights little.

    Args:
        field_type: irreps of SO(2) or O(2), of orders up to lmax.
        source, target: samplings, see `SphericalTransform`.
        lmax: the band limit.
        source_lmax: degrees up to this one are told apart on the source before those above lmax are dropped. Default: lmax. The
            source must determine the coefficients up to it.
        gain: (lmax + 1,) factor for each degree, for example :math:`e^{-l(l+1)\sigma^2/2}`, the Gaussian of width sigma, which
            has no overshoots. Default: ones, the projection.
        weights, frames, method, structure: of the source, see `SphericalTransform`.

    Shapes:
        (..., N_source, dim) -> (..., N_target, dim).
    """

    def __init__(
        self,
        field_type: FieldType,
        source,
        target,
        lmax: int,
        *,
        source_lmax: int | None = None,
        gain: Tensor | None = None,
        weights: np.ndarray | Tensor | None = None,
        frames: np.ndarray | Tensor | None = None,
        method: str = "least_squares",
        structure: str = "auto",
    ) -> None:
        check_field_types(self, field_type=field_type)
        check_int(self, "lmax", lmax, 0)
        check_int(self, "source_lmax", lmax if source_lmax is None else source_lmax, lmax)
        super().__init__()
        self.field_type, self.lmax = field_type, lmax
        source_lmax = lmax if source_lmax is None else source_lmax
        self.source = FieldTransform(
            source, source_lmax, field_type, weights=weights, frames=frames, method=method, structure=structure
        )
        # Only its synthesis is used: the target need not determine the coefficients.
        self.target = FieldTransform(target, lmax, field_type, method="quadrature")
        if gain is not None:
            gain = torch.as_tensor(gain)
            if gain.shape != (lmax + 1,):
                raise ValueError(f"gain expected shape {(lmax + 1,)}, got {tuple(gain.shape)}")
        self.register_constant("gain", gain)

    def forward(self, x: Tensor) -> Tensor:
        kept = (self.lmax + 1) ** 2
        coefficients = []
        for c, spin in zip(self.source.analysis(x), self.source.spins):
            c = c[..., :kept, :] if spin else c[..., :kept]
            coefficients.append(c if self.gain is None else scale_degrees(c, self.gain, spin))
        return self.target.synthesis(coefficients)

    def extra_repr(self) -> str:
        return f"{self.field_type}, lmax={self.lmax}"


def spectral_pool(
    x: Tensor,
    field_type: FieldType,
    source,
    target,
    lmax: int,
    *,
    source_lmax: int | None = None,
    gain: Tensor | None = None,
    weights: np.ndarray | Tensor | None = None,
    frames: np.ndarray | Tensor | None = None,
    method: str = "least_squares",
    structure: str = "auto",
) -> Tensor:
    """`SpectralPool` as a function, in the dtype of x; it makes the transforms anew at every call."""
    pool = SpectralPool(
        field_type,
        source,
        target,
        lmax,
        source_lmax=source_lmax,
        gain=gain,
        weights=weights,
        frames=frames,
        method=method,
        structure=structure,
    )
    return pool.to(x)(x)


def scale_degrees(coefficients: Tensor, gain: Tensor, spin: int = 0) -> Tensor:
    """Coefficients (..., K), or (..., K, 2) for spin > 0, times a factor for each degree (lmax + 1,): an isotropic filter.

    With gains e_l it is the convolution with a zonal filter whose coefficients are h_l0 = e_l sqrt((2l + 1) / 4 pi).
    """
    lmax = degree_of(coefficients.shape[-2 if spin else -1])
    if gain.shape != (lmax + 1,):
        raise ValueError(f"gain expected shape {(lmax + 1,)}, got {tuple(gain.shape)}")
    repeats = 2 * torch.arange(lmax + 1, device=gain.device) + 1
    factor = gain.repeat_interleave(repeats, output_size=(lmax + 1) ** 2)
    return coefficients * (factor[:, None] if spin else factor)
