"""Maps of the sphere: projections, and fields drawn in them."""
