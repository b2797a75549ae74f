"""The kernel constraint, its solutions, and radial profiles."""

from __future__ import annotations

from .basis import SteerableBasis, self_basis
from .clebsch_gordan import clebsch_gordan
from .harmonics import circular_harmonics, harmonic_frequencies, harmonics, spherical_harmonics
from .lattices import Lattice
from .radial import BSpline, GaussianRings, RadialMLP, RadialProfile, make_radial
from .rings import RingBasis, Rings
from .taps import TapBasis, hexagonal_taps, square_taps

__all__ = [
    "BSpline",
    "GaussianRings",
    "Lattice",
    "RadialMLP",
    "RadialProfile",
    "RingBasis",
    "Rings",
    "SteerableBasis",
    "TapBasis",
    "circular_harmonics",
    "clebsch_gordan",
    "harmonic_frequencies",
    "harmonics",
    "hexagonal_taps",
    "make_radial",
    "self_basis",
    "spherical_harmonics",
    "square_taps",
]
