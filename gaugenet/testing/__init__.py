"""The proof that a user can run: is a layer or a network gauge equivariant, and does it commute with symmetries?"""

from __future__ import annotations

from .gauge import assert_gauge_equivariant, equivariance_error, random_gauge
from .grids import grid_symmetries, grid_symmetry_error, transform_image
from .proof import Check, Report, report
from .symmetry import symmetry_error

__all__ = [
    "Check",
    "Report",
    "assert_gauge_equivariant",
    "equivariance_error",
    "grid_symmetries",
    "grid_symmetry_error",
    "random_gauge",
    "report",
    "symmetry_error",
    "transform_image",
]
