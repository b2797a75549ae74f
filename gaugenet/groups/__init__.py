"""Structure groups and their representations: algebra on d x d matrices."""

from __future__ import annotations

from .band_limited import BandLimited
from .group import FiniteGroup, Group
from .induced import Induced, induced
from .planar import O2, SO2, Cyclic, Dihedral, Reflection, Trivial
from .representation import DirectSum, Irrep, Permutation, Representation, TensorProduct
from .scaling import Scaling, TruncatedRegular
from .spatial import (
    O3,
    SO3,
    AxialGroup,
    Axisymmetric,
    FullIcosahedral,
    FullOctahedral,
    FullTetrahedral,
    Icosahedral,
    Klein,
    Octahedral,
    PointGroup,
    Pyritohedral,
    Tetrahedral,
    point_group,
    turned,
)
from .structures import group_of, name_of

__all__ = [
    "O2",
    "O3",
    "SO2",
    "SO3",
    "AxialGroup",
    "Axisymmetric",
    "BandLimited",
    "Cyclic",
    "Dihedral",
    "DirectSum",
    "FiniteGroup",
    "FullIcosahedral",
    "FullOctahedral",
    "FullTetrahedral",
    "Group",
    "Icosahedral",
    "Induced",
    "Irrep",
    "Klein",
    "Octahedral",
    "Permutation",
    "PointGroup",
    "Pyritohedral",
    "Reflection",
    "Representation",
    "Scaling",
    "TensorProduct",
    "Tetrahedral",
    "Trivial",
    "TruncatedRegular",
    "group_of",
    "induced",
    "name_of",
    "point_group",
    "turned",
]
