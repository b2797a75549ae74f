"""From the weights of a layer to the matrices that the aggregate is mixed with."""

from .expansion import KernelExpansion, self_expansion
from .mixing_weight import make_mixing

__all__ = ["KernelExpansion", "make_mixing", "self_expansion"]
