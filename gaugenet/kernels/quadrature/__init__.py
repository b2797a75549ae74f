"""From sums over the neighbours to integrals: moment matching, exact moments, cone points."""

from .matching import coefficient_table, match_moments

__all__ = ["coefficient_table", "match_moments"]
