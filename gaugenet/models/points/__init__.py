"""Networks of points in R^d."""

from .tensor_field_network import TensorFieldNetwork

__all__ = ["TensorFieldNetwork"]
