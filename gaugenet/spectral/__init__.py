"""Spherical harmonics of scalar, vector and spin fields: transforms, rotation, pooling."""

from __future__ import annotations

from .fields import FieldTransform
from .harmonics import spin_weighted_harmonics, tangent_harmonics
from .pooling import SpectralPool, scale_degrees, spectral_pool
from .rotation import rotate_field, sampling_permutation
from .sampling import LatLonGrid
from .transform import SphericalTransform
from .wigner import complex_wigner_matrices, degree_slice, from_complex, rotate_coefficients, to_complex, wigner_matrices

__all__ = [
    "FieldTransform",
    "LatLonGrid",
    "SpectralPool",
    "SphericalTransform",
    "complex_wigner_matrices",
    "degree_slice",
    "from_complex",
    "rotate_coefficients",
    "rotate_field",
    "sampling_permutation",
    "scale_degrees",
    "spectral_pool",
    "spin_weighted_harmonics",
    "tangent_harmonics",
    "to_complex",
    "wigner_matrices",
]
