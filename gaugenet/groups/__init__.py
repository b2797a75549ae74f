"""Structure groups and their representations: algebra on d x d matrices."""

from __future__ import annotations

from .group import FiniteGroup, Group
from .planar import O2, SO2, Cyclic, Dihedral, Reflection, Trivial
from .representation import DirectSum, Irrep, Permutation, Representation, TensorProduct

__all__ = [
    "O2",
    "SO2",
    "Cyclic",
    "Dihedral",
    "DirectSum",
    "FiniteGroup",
    "Group",
    "Irrep",
    "Permutation",
    "Reflection",
    "Representation",
    "TensorProduct",
    "Trivial",
]
