"""Manifolds -> frames, transporters, log maps: numpy, scipy and numba, never torch."""

from __future__ import annotations

import importlib
from typing import Any

from .local_geometry import Feature, LocalGeometry, Pooling

# Late, so that `import gaugenet.geometry` stays cheap: name -> module. A module must not have the name of a function here.
_LATE = {
    "mesh": "meshes.surface",
    "load_mesh": ".io.loading",
    "check_mesh": "triangles.checks",
    "inspect_mesh": "triangles.report",
    "repair_mesh": "triangles.repair",
    "sphere": "spheres.spherical",
    "icosphere": "spheres.icospheres",
    "fibonacci_sphere": "spheres.samplings",
    "fibonacci_points": "spheres.samplings",
    "healpix": "spheres.samplings",
    "healpix_centers": "spheres.healpix_pixels",
    "healpix_neighbours": "spheres.healpix_pixels",
    "healpix_parents": "spheres.healpix_pixels",
    "nest_to_ring": "spheres.healpix_pixels",
    "ring_to_nest": "spheres.healpix_pixels",
    "latlon": "spheres.samplings",
    "latlon_nodes": "spheres.latlon_grids",
    "latlon_rings": "spheres.latlon_grids",
    "icosahedron": "spheres.icosahedral",
    "icosahedron_symmetries": "spheres.icosahedral",
    "process_one": ".pipeline.process",
    "ProcessParams": ".pipeline.process",
    "find_meshes": ".pipeline.sources",
    "preprocess": ".pipeline.batch",
    "build_hierarchy": "meshes.hierarchy",
    "compute_features": "meshes.features",
    "smooth_field": "meshes.direction_fields",
    "DirectionField": "meshes.direction_fields",
    "cyclic_structure": "meshes.cyclic_structures",
    "point_cloud": "clouds.point_surface",
    "grid": "lattices.grids",
    "hexagonal": "lattices.grids",
    "cylinder": "lattices.grids",
    "flat_torus": "lattices.grids",
    "moebius": "lattices.grids",
    "klein_bottle": "lattices.grids",
    "moebius_symmetries": "lattices.grids",
}

__all__ = ["Feature", "LocalGeometry", "Pooling", *_LATE]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module 'gaugenet.geometry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
