"""Networks on Lie groups, see :func:`gaugenet.geometry.lie_group`."""

from .lie_conv import LieConvNet

__all__ = ["LieConvNet"]
