"""Manifolds -> frames, transporters, log maps: numpy, scipy and numba, never torch."""

from __future__ import annotations

import importlib

from .local_geometry import Feature, LocalGeometry, Pooling

# Late, so that `import gaugenet.geometry` stays cheap: name -> module. A module must not have the name of a function here.
_LATE = {
    "mesh": "surface",
    "load_mesh": "loading",
    "check_mesh": "mesh_checks",
    "inspect_mesh": "report",
    "repair_mesh": "repair",
    "sphere": "spherical",
    "icosphere": "icospheres",
    "fibonacci_sphere": "sphere_samplings",
    "fibonacci_points": "sphere_samplings",
    "healpix": "sphere_samplings",
    "healpix_centers": "healpix_pixels",
    "healpix_neighbours": "healpix_pixels",
    "healpix_parents": "healpix_pixels",
    "nest_to_ring": "healpix_pixels",
    "ring_to_nest": "healpix_pixels",
    "latlon": "sphere_samplings",
    "latlon_nodes": "latlon_grids",
    "latlon_rings": "latlon_grids",
    "icosahedron": "icosahedral",
    "icosahedron_symmetries": "icosahedral",
    "process_one": "process",
    "ProcessParams": "process",
    "find_meshes": "sources",
    "preprocess": "batch",
    "build_hierarchy": "hierarchy",
    "compute_features": "features",
    "smooth_field": "direction_fields",
    "DirectionField": "direction_fields",
    "cyclic_structure": "cyclic_frames",
    "point_cloud": "point_surface",
    "grid": "lattice_grids",
    "hexagonal": "lattice_grids",
    "cylinder": "lattice_grids",
    "flat_torus": "lattice_grids",
    "moebius": "lattice_grids",
    "klein_bottle": "lattice_grids",
    "moebius_symmetries": "lattice_grids",
}

__all__ = ["Feature", "LocalGeometry", "Pooling", *_LATE]


def __getattr__(name: str):
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module 'gaugenet.geometry' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
