"""geometry.mesh: frames, log maps, transport and weights of a triangle mesh."""

from __future__ import annotations

import dataclasses
import os
import warnings as python_warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ...errors import GeometryError
from ...io.loading import source_mesh
from ..geodesics.assembly import assemble
from ..geodesics.exact import local_geodesics
from ..local_geometry import STRUCTURES, LocalGeometry
from ..triangles.angles import ambient_frames, checked_frames, left_handed, lengths_and_angles, rotations, vertex_areas
from ..triangles.checks import check_mesh
from ..triangles.renumbering import renumber as renumbered
from ..triangles.repair import repair_mesh
from ..triangles.sampling import edge_graph
from ..triangles.topology import Topology
from ..triangles.triangle_mesh import TriangleMesh
from .double_cover import MIRROR, cover_frames, lift_samples, orientation_cover, project
from .features import compute_features, parse_feature_names
from .hierarchy import build_hierarchy, sample_levels

METHODS = ("exact", "potpourri3d")
# Default radius in units of the edge of the equilateral triangulation with as much area per vertex: about 30 neighbours.
_DEFAULT_RADIUS = 3.0


def mesh(
    path_or_vertices: Any,
    faces: np.ndarray | None = None,
    radius: float | np.ndarray | None = None,
    rings: int | None = None,
    method: str = "exact",
    smooth: bool = True,
    *,
    structure: str = "SO2",
    frames: np.ndarray | str | None = None,
    repair: bool = False,
    min_component: float = 0.0,
    renumber: bool = False,
    features: str | Iterable[str] = (),
    levels: int = 0,
    ratio: float = 0.25,
    threads: int | None = None,
    dtype: type = np.float64,
    progress: Callable[[int, int], Any] | None = None,
    vertex_data: Mapping[str, np.ndarray | str | os.PathLike] | None = None,
    face_data: Mapping[str, np.ndarray] | None = None,
) -> LocalGeometry:
    r"""The local geometry of a triangle mesh, one node per vertex (docs/conventions.md).

    Log maps and transport are exact on the polyhedron, then second order against the smooth surface
    (:func:`gaugenet.geometry.geodesics.exact.local_geodesics`). Vertex areas are a third of the incident faces', curvature is
    the angle defect over the area (0 at the boundary).

    Args:
        path_or_vertices: a file (:func:`gaugenet.geometry.load_mesh`), a TriangleMesh, the mesh of another library
            (docs/files.md), (V, 3) vertices, or the pair of vertices and faces.
        faces: (F, 3), with vertices.
        radius: neighbours are the vertices within this geodesic distance: a number, or one per vertex.
        rings: neighbours are the vertices within this many edges; the radius of p is then (rings + 1/2) / rings times its
            farthest neighbour's distance. With neither, radius is 3 times the edge length of the equilateral triangulation
            that has the mesh's mean area per vertex (about 30 neighbours).
        method: "exact", or "potpourri3d" for the vector heat method (approximate and slow; the extra ``heat``).
        smooth: False gives the raw polyhedral angles, for comparison.
        structure: "SO2" needs an oriented surface. "O2" takes any, a Moebius strip too (through its double cover, with
            transporters of determinant -1 across), and frames of either hand; the layers on it then need the group O2.
        frames: (V, 3, 2) orthonormal frames to use, right-handed; or "smooth" for frames along the smoothest vector field
            (:func:`gaugenet.geometry.smooth_field`, n = 1); by default the first vector is along an edge.
        repair: repair the mesh first instead of refusing it.
        min_component: drop connected components of less than this part of the area, such as crumbs that a repair leaves; 0
            keeps all, with a warning of those below a thousandth.
        renumber: number the vertices along a space-filling curve (:mod:`gaugenet.geometry.triangles.renumbering`);
            ``vertex_ids`` in the metadata has their numbers in the input.
        features: names for :func:`gaugenet.geometry.meshes.features.compute_features`.
        levels: number of coarser levels; ratio: coarse nodes per fine node.
        threads: number of threads, by default one per core.
        dtype: of log, transport and weight: float64, or float32, which halves the memory (all is computed in float64).
        progress: called with the number of vertices done, and of all, as the work goes on.
        vertex_data, face_data: name -> array with a row for every vertex, every face, to be carried along; those of a file
            (colours, labels, groups) are there already. Of vertices also the path of a file: GIFTI, FreeSurfer's curv, annot
            and label, npy.

    Returns:
        LocalGeometry in float64 (but see dtype). ``vertex_data`` and ``face_data`` have the arrays of what is left of the
        vertices and faces, with their numbers in the input as ``"ids"``; ``on_input_vertices`` takes values of the nodes back
        to the vertices that came. ``metadata`` holds the parameters, the warnings, ``names`` of groups and, where vertices
        were dropped, split or renumbered, ``vertex_ids`` as a list.

    Raises:
        MeshError: a mesh that cannot be used, naming the elements.
        GeometryError: frames that do not fit.
        ValueError, TypeError: arguments out of range.
    """
    _check_options(radius, rings, method, levels, structure)
    parse_feature_names(features)
    source = source_mesh(path_or_vertices, faces, vertex_data, face_data)
    triangles, kept = _prepare(source, repair, min_component, renumber, structure)
    for warning in triangles.warnings:
        python_warnings.warn(str(warning), stacklevel=2)
    if not triangles.orientable and method != "exact":
        raise ValueError(f'a surface without orientation needs method="exact", got {method!r}')

    vertices, count = triangles.vertices, triangles.num_vertices
    covered = not triangles.orientable
    points = np.concatenate([vertices, vertices]) if covered else vertices
    topology = Topology.of(orientation_cover(triangles.faces, count) if covered else triangles.faces, len(points))
    lengths, angles = lengths_and_angles(points, topology)
    if isinstance(frames, str):
        frames = _smooth_frames(frames, covered, points, topology, lengths, angles)
    else:
        frames = _of_remaining(frames, kept, len(source.vertices))
    frames, left = _oriented(frames, structure, points, topology, angles)
    frame, offset = ambient_frames(points, topology, angles, frames)
    if covered and frames is None:
        frame, offset = ambient_frames(points, topology, angles, cover_frames(frame[:count]))
    area = vertex_areas(topology, lengths)
    reach = _radius(radius, rings, area[:count], kept, len(source.vertices))
    reach = None if reach is None else _doubled(reach, covered)
    if method == "exact":
        options = {"rings": rings, "smooth": smooth, "angles": angles, "threads": threads, "progress": progress}
        found = [local_geodesics(topology, lengths, None, reach, **options)]
    else:
        from ..geodesics.heat import heat_geodesics

        found = [heat_geodesics(points, topology, angles, reach, rings)]
    defect = np.where(topology.is_boundary, 0.0, 2.0 * np.pi - angles.total)
    # Popped, so that nothing here holds the arrays while they are turned into others.
    geometry = assemble(found.pop(), offset, area, reach, rings, dtype=dtype, threads=threads).replace(
        positions=points,
        frame=frame,
        curvature=defect / np.where(area > 0.0, area, 1.0),
        structure=structure,
        vertex_data={k: _doubled(v, covered) for k, v in {**triangles.vertex_data, "ids": triangles.vertex_ids}.items()},
    )
    if parse_feature_names(features):
        values = compute_features(vertices, triangles.faces, frame[:count], features)
        geometry = geometry.replace(features={k: f._replace(values=_doubled(f.values, covered)) for k, f in values.items()})
    if levels:
        samples = None
        if covered:
            graph = edge_graph(triangles.faces, lengths[: len(triangles.faces)], count)
            samples = sample_levels(graph, vertices, area[:count], levels, ratio)
            samples = [lift_samples(sample, topology.faces, count) for sample in samples]
        geometry = build_hierarchy(
            geometry,
            topology,
            lengths,
            levels,
            ratio,
            ring_to_frame=rotations(offset),
            samples=samples,
            angles=angles,
            smooth=smooth,
            threads=threads,
        )
    geometry = project(geometry) if covered else geometry
    if left is not None and left.any():
        geometry = geometry.gauge_transform(np.where(left[:, None, None], MIRROR, np.eye(2)))
    return geometry.replace(
        faces=triangles.faces,
        face_data={**triangles.face_data, "ids": triangles.face_ids},
        vertex_nodes=triangles.vertex_nodes,
        metadata=_metadata(triangles, radius, rings, method, smooth, repair),
    )


def _oriented(frames, structure: str, points: np.ndarray, topology: Topology, angles) -> tuple:
    """Frames of the user as right-handed ones on the (covered) mesh, and which (V,) of them were not."""
    if frames is None or structure == "SO2":
        return frames, None
    count = len(frames)
    frames = checked_frames(frames, count)
    covered = len(points) == 2 * count
    left = left_handed(cover_frames(frames) if covered else frames, points, topology, angles)[:count]
    frames = np.where(left[:, None, None], frames @ MIRROR, frames)
    return cover_frames(frames) if covered else frames, left


def _smooth_frames(frames: str, covered: bool, points, topology, lengths, angles) -> np.ndarray:
    from .direction_fields import smooth_frames

    if frames != "smooth":
        raise ValueError(f'frames must be "smooth" or an array, got {frames!r}')
    if covered:
        raise GeometryError("smooth frames need an oriented surface")
    return smooth_frames(points, topology, lengths, angles)


def _doubled(values: np.ndarray, covered: bool) -> np.ndarray:
    """Values of the vertices on the sheets of the cover, where they are the same."""
    return np.concatenate([values, values]) if covered else values


def _check_options(radius, rings, method, levels, structure) -> None:
    if structure not in STRUCTURES:
        raise ValueError(f"unknown structure {structure!r}: expected one of {', '.join(STRUCTURES)}")
    if radius is not None and rings is not None:
        raise ValueError("give radius or rings, not both")
    if rings is not None and (isinstance(rings, bool) or int(rings) != rings or rings < 1):
        raise ValueError(f"rings must be an integer of at least 1, got {rings!r}")
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: expected one of {', '.join(METHODS)}")
    if isinstance(levels, bool) or int(levels) != levels or levels < 0:
        raise ValueError(f"levels must be an integer from 0, got {levels!r}")


def _prepare(
    source: TriangleMesh, repair: bool, min_component: float, renumber: bool, structure: str
) -> tuple[TriangleMesh, np.ndarray]:
    """The checked mesh, and the vertices of the source that are left of it."""
    options: dict[str, Any] = {"allow_nonorientable": structure == "O2", "min_component": min_component, "path": source.path}
    if repair:
        checked = repair_mesh(source.vertices, source.faces, **options)[0]
    else:
        checked = check_mesh(source.vertices, source.faces, **options)
    numbered = source.vertex_data | {"nodes": np.arange(len(source.vertices))}
    checked = checked.made_from(dataclasses.replace(source, vertex_data=numbered))
    checked.warnings[:0] = [warning for warning in source.warnings if warning not in checked.warnings]
    checked = renumbered(checked) if renumber else checked
    return checked, checked.vertex_data.pop("nodes")


def _of_remaining(values: np.ndarray | None, kept: np.ndarray, given: int) -> np.ndarray | None:
    """Per-vertex input of the user, for the vertices that are left."""
    if values is None:
        return None
    values = np.asarray(values)
    return values[kept] if values.ndim and len(values) == given else values


def _radius(radius, rings, area: np.ndarray, kept: np.ndarray, given: int) -> np.ndarray | None:
    if rings is not None:
        return None
    if radius is None:
        radius = _DEFAULT_RADIUS * np.sqrt(2.0 / np.sqrt(3.0) * area.mean())
    radius = np.asarray(_of_remaining(radius, kept, given) if np.ndim(radius) else radius, float)
    if radius.ndim and radius.shape != area.shape:
        raise ValueError(f"radius must be a number or have shape {area.shape}, got {radius.shape}")
    if not (np.isfinite(radius) & (radius > 0)).all():
        raise ValueError(f"radius must be positive and finite, got {radius if not radius.ndim else radius.min()}")
    return np.broadcast_to(radius, area.shape)


def _metadata(triangles: TriangleMesh, radius, rings, method, smooth, repair) -> dict:
    facts: dict[str, Any] = {
        "manifold": "mesh",
        "radius": float(radius) if radius is not None and not np.ndim(radius) else None,
        "rings": rings,
        "method": method,
        "smooth": smooth,
        "repair": repair,
        "warnings": [w.to_dict() for w in triangles.warnings],
    }
    ids, nodes = triangles.vertex_ids, triangles.vertex_nodes
    if ids is not None and nodes is not None and not np.array_equal(ids, np.arange(len(nodes))):
        facts["vertex_ids"] = ids.tolist()
    if triangles.names:
        facts["names"] = triangles.names
    return facts
