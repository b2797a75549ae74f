"""The hot loop: aggregate the transported neighbours against the table of kernel coefficients."""

from .aggregate import gauge_aggregate, gauge_messages, scatter_messages

__all__ = ["gauge_aggregate", "gauge_messages", "scatter_messages"]
