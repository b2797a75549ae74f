"""The one hot loop: transported neighbours summed against kernel functions, then mixed."""

from .carrying import Carrier, carry_sum
from .convolve import BACKENDS, Kernel, gauge_convolve
from .lattice import TapLayout, TapPlan, TapTable, carry_to_taps, make_tap_plan, tap_convolve
from .mixing import Layout, make_layout
from .plan import EdgeList, EdgePlan, make_plan, make_sum_plan
from .rows import map_rows

__all__ = [
    "BACKENDS",
    "Carrier",
    "EdgeList",
    "EdgePlan",
    "Kernel",
    "Layout",
    "TapLayout",
    "TapPlan",
    "TapTable",
    "carry_sum",
    "carry_to_taps",
    "gauge_convolve",
    "make_layout",
    "make_plan",
    "make_sum_plan",
    "make_tap_plan",
    "map_rows",
    "tap_convolve",
]
