"""The kernel constraint, its solutions, and radial profiles."""

from __future__ import annotations

from .basis import FreeBasis, SteerableBasis, self_basis
from .clebsch_gordan import clebsch_gordan
from .expansion import KernelExpansion
from .harmonics import circular_harmonics, harmonic_frequencies, harmonics, spherical_harmonics
from .kernel import CoefficientTable, Columns, FixedColumns, KernelFamily
from .lattices import Lattice
from .lie.mlp import MLP
from .lie.splines import Spline
from .polar import Polar
from .published.circular_filters import CircularHarmonic
from .published.harmonic_rings import HarmonicRings
from .published.hermite import HermiteGaussian
from .published.rotated import Interpolated
from .quadrature.derivatives import Derivatives
from .radial import BSpline, GaussianRings, LinearRings, RadialMLP, RadialProfile, make_radial
from .rings import RingBasis, Rings
from .tap_kernels import Taps
from .taps import TapBasis, hexagonal_taps, square_taps

__all__ = [
    "MLP",
    "BSpline",
    "CircularHarmonic",
    "CoefficientTable",
    "Columns",
    "Derivatives",
    "FixedColumns",
    "FreeBasis",
    "GaussianRings",
    "HarmonicRings",
    "HermiteGaussian",
    "Interpolated",
    "KernelExpansion",
    "KernelFamily",
    "Lattice",
    "LinearRings",
    "Polar",
    "RadialMLP",
    "RadialProfile",
    "RingBasis",
    "Rings",
    "Spline",
    "SteerableBasis",
    "TapBasis",
    "Taps",
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
