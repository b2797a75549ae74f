"""The hot loop: sum the transported neighbours against the table of kernel coefficients, then mix."""

from .aggregate import gauge_aggregate, gauge_messages, scatter_messages
from .convolve import BACKENDS, gauge_convolve
from .plan import EdgeList, EdgePlan, make_plan

__all__ = [
    "BACKENDS",
    "EdgeList",
    "EdgePlan",
    "gauge_aggregate",
    "gauge_convolve",
    "gauge_messages",
    "make_plan",
    "scatter_messages",
]
