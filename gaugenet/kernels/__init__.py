"""The kernel constraint, its solutions, and radial profiles."""

from __future__ import annotations

from .basis import SteerableBasis, self_basis
from .harmonics import circular_harmonics, harmonic_frequencies, harmonics, spherical_harmonics
from .radial import BSpline, GaussianRings, RadialMLP, RadialProfile, make_radial

__all__ = [
    "BSpline",
    "GaussianRings",
    "RadialMLP",
    "RadialProfile",
    "SteerableBasis",
    "circular_harmonics",
    "harmonic_frequencies",
    "harmonics",
    "make_radial",
    "self_basis",
    "spherical_harmonics",
]
