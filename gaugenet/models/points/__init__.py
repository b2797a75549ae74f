"""Networks of points in R^d, and of one point."""

from .clebsch_gordan_net import ClebschGordanNet
from .tensor_field_network import TensorFieldNetwork

__all__ = ["ClebschGordanNet", "TensorFieldNetwork"]
