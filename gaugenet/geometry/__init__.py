"""Manifolds -> frames, transporters, log maps: numpy, scipy and numba, never torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .local_geometry import Feature, LocalGeometry, Pooling

if TYPE_CHECKING:  # what __getattr__ gives
    from ..io.libraries.sphere_fields import from_healpix as from_healpix
    from ..io.libraries.sphere_fields import from_xarray as from_xarray
    from ..io.libraries.sphere_fields import to_healpix as to_healpix
    from ..io.libraries.sphere_fields import to_xarray as to_xarray
    from ..io.libraries.writing import save_fields as save_fields
    from ..io.loading import load_mesh as load_mesh
    from ..pipeline.batch import preprocess as preprocess
    from ..pipeline.process import ProcessParams as ProcessParams
    from ..pipeline.process import process_one as process_one
    from ..pipeline.sources import find_meshes as find_meshes
    from .ambient import from_frames as from_frames
    from .ambient import to_frames as to_frames
    from .clouds.point_surface import point_cloud as point_cloud
    from .euclidean import point as point
    from .euclidean import points as points
    from .homogeneous import hyperbolic_plane as hyperbolic_plane
    from .homogeneous import hyperbolic_points as hyperbolic_points
    from .lattices.grids import cylinder as cylinder
    from .lattices.grids import flat_torus as flat_torus
    from .lattices.grids import grid as grid
    from .lattices.grids import hexagonal as hexagonal
    from .lattices.grids import klein_bottle as klein_bottle
    from .lattices.grids import moebius as moebius
    from .lattices.grids import moebius_symmetries as moebius_symmetries
    from .lie.groups import LieGroup as LieGroup
    from .lie.lifts import Lift as Lift
    from .lie.lifts import lift_image as lift_image
    from .lie.lifts import lift_points as lift_points
    from .lie.manifold import lie_group as lie_group
    from .meshes.cyclic_structures import cyclic_structure as cyclic_structure
    from .meshes.direction_fields import DirectionField as DirectionField
    from .meshes.direction_fields import smooth_field as smooth_field
    from .meshes.features import compute_features as compute_features
    from .meshes.hierarchy import build_hierarchy as build_hierarchy
    from .meshes.surface import mesh as mesh
    from .spheres.healpix_pixels import healpix_centers as healpix_centers
    from .spheres.healpix_pixels import healpix_neighbours as healpix_neighbours
    from .spheres.healpix_pixels import healpix_parents as healpix_parents
    from .spheres.healpix_pixels import nest_to_ring as nest_to_ring
    from .spheres.healpix_pixels import ring_to_nest as ring_to_nest
    from .spheres.icosahedral import icosahedron as icosahedron
    from .spheres.icosahedral import icosahedron_symmetries as icosahedron_symmetries
    from .spheres.icospheres import icosphere as icosphere
    from .spheres.latlon_grids import latlon_nodes as latlon_nodes
    from .spheres.latlon_grids import latlon_rings as latlon_rings
    from .spheres.samplings import fibonacci_points as fibonacci_points
    from .spheres.samplings import fibonacci_sphere as fibonacci_sphere
    from .spheres.samplings import healpix as healpix
    from .spheres.samplings import latlon as latlon
    from .spheres.spherical import sphere as sphere
    from .triangles.checks import check_mesh as check_mesh
    from .triangles.repair import repair_mesh as repair_mesh
    from .triangles.report import inspect_mesh as inspect_mesh
    from .triangles.triangle_mesh import TriangleMesh as TriangleMesh
    from .triangles.triangle_mesh import mirror as mirror

# Late, so that `import gaugenet.geometry` stays cheap: name -> module. A module must not have the name of a function here.
_LATE = {
    "mesh": "meshes.surface",
    "load_mesh": ".io.loading",
    "save_fields": ".io.libraries.writing",
    "from_healpix": ".io.libraries.sphere_fields",
    "from_xarray": ".io.libraries.sphere_fields",
    "to_healpix": ".io.libraries.sphere_fields",
    "to_xarray": ".io.libraries.sphere_fields",
    "check_mesh": "triangles.checks",
    "inspect_mesh": "triangles.report",
    "repair_mesh": "triangles.repair",
    "mirror": "triangles.triangle_mesh",
    "TriangleMesh": "triangles.triangle_mesh",
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
    "to_frames": "ambient",
    "from_frames": "ambient",
    "hyperbolic_plane": "homogeneous",
    "hyperbolic_points": "homogeneous",
    "points": "euclidean",
    "point": "euclidean",
    "grid": "lattices.grids",
    "hexagonal": "lattices.grids",
    "cylinder": "lattices.grids",
    "flat_torus": "lattices.grids",
    "moebius": "lattices.grids",
    "klein_bottle": "lattices.grids",
    "moebius_symmetries": "lattices.grids",
    "LieGroup": "lie.groups",
    "Lift": "lie.lifts",
    "lie_group": "lie.manifold",
    "lift_image": "lie.lifts",
    "lift_points": "lie.lifts",
}

__all__ = ["Feature", "LocalGeometry", "Pooling", *_LATE]


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f".{_LATE[name]}", __name__), name)
    raise AttributeError(f"module 'gaugenet.geometry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
