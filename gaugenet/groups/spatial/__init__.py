"""Groups of space: SO(3), O(3), their finite subgroups, and those that keep an axis."""

from .axial import AxialGroup, Axisymmetric
from .point_groups import (
    FullIcosahedral,
    FullOctahedral,
    FullTetrahedral,
    Icosahedral,
    Klein,
    Octahedral,
    PointGroup,
    Pyritohedral,
    Tetrahedral,
)
from .rotations import O3, SO3
from .schoenflies import point_group, schoenflies
from .turned import turned

__all__ = [
    "O3",
    "SO3",
    "AxialGroup",
    "Axisymmetric",
    "FullIcosahedral",
    "FullOctahedral",
    "FullTetrahedral",
    "Icosahedral",
    "Klein",
    "Octahedral",
    "PointGroup",
    "Pyritohedral",
    "Tetrahedral",
    "point_group",
    "schoenflies",
    "turned",
]
