"""From sums over the neighbours to integrals: moment matching, exact moments, cone points."""

from .matching import MAX_DEGREE, coefficient_table, match_moments

__all__ = ["MAX_DEGREE", "coefficient_table", "match_moments"]
