"""The one hot loop: transported neighbours summed against kernel functions, then mixed."""

from .convolve import BACKENDS, Kernel, gauge_convolve
from .mixing import Layout, make_layout
from .plan import EdgeList, EdgePlan, make_plan

__all__ = ["BACKENDS", "EdgeList", "EdgePlan", "Kernel", "Layout", "gauge_convolve", "make_layout", "make_plan"]
