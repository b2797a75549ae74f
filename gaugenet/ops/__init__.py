"""The one hot loop: transported neighbours summed against kernel functions, then mixed."""

from .attention import gauge_attend, head_runs
from .backend import BACKENDS
from .carrying import Carrier, carry_sum
from .convolve import Kernel, gauge_convolve
from .messages import EdgeKernel, edge_fields, message_sum
from .mixing import Layout, make_layout
from .plan import EdgeList, EdgePlan, completed_plan, make_plan, make_sum_plan
from .plan_cache import GraphParts, LevelPlans, PlanCache, kept_plan
from .rows import map_rows

__all__ = [
    "BACKENDS",
    "Carrier",
    "EdgeKernel",
    "EdgeList",
    "EdgePlan",
    "GraphParts",
    "Kernel",
    "Layout",
    "LevelPlans",
    "PlanCache",
    "carry_sum",
    "completed_plan",
    "edge_fields",
    "gauge_attend",
    "gauge_convolve",
    "head_runs",
    "kept_plan",
    "make_layout",
    "make_plan",
    "make_sum_plan",
    "map_rows",
    "message_sum",
]
