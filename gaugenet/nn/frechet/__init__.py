"""Values on manifolds: weighted Frechet means. Not a linear field theory: features are points, and nothing is added."""
