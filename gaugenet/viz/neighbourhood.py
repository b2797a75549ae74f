"""The neighbourhood of one vertex, and lines of its log map drawn on the surface."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.csgraph import dijkstra

from ..errors import GeometryError
from ..geometry.local_geometry import LocalGeometry
from .scene import is_oriented, surface_of

# An edge that is so much longer in the log map than in space crosses the cut locus, where the log map jumps.
_STRETCH = 2.0


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What a vertex sees around it.

    Attributes:
        vertex: its number.
        nodes: (K,) the others in its neighbourhood.
        log: (K, 2) their log maps, in its frame.
        transport: (K, 2, 2), coordinates at nodes[k] = transport[k] @ coordinates at the vertex, for a carried vector.
        radius: of the neighbourhood.
    """

    vertex: int
    nodes: np.ndarray
    log: np.ndarray
    transport: np.ndarray
    radius: float


def neighbourhood(geometry: LocalGeometry, vertex: int, radius: float | None = None) -> Neighbourhood:
    """The neighbourhood of a vertex: the one in the geometry, or a new one, exact, of any geodesic radius.

    Raises:
        ValueError: for a vertex that is not there, or a radius that is not positive.
        GeometryError: for a vertex without neighbours.
    """
    check_vertex(geometry, vertex)
    if radius is not None:
        geometry = _within(geometry, vertex, radius)
    edges = slice(*np.searchsorted(geometry.edge_index[1], [vertex, vertex + 1]))
    nodes = geometry.edge_index[0, edges]
    if nodes.size == 0:
        raise GeometryError(f"vertex {vertex} has no neighbours within its radius {geometry.radius[vertex]:.4g}")
    transport = np.swapaxes(np.asarray(geometry.transport[edges], float), 1, 2)
    return Neighbourhood(vertex, nodes, np.asarray(geometry.log[edges], float), transport, float(geometry.radius[vertex]))


def check_vertex(geometry: LocalGeometry, vertex: int) -> None:
    """ValueError unless the geometry has the vertex."""
    if not 0 <= vertex < geometry.num_nodes:
        raise ValueError(f"vertex must lie between 0 and {geometry.num_nodes - 1}, got {vertex}")


def _within(geometry: LocalGeometry, vertex: int, radius: float) -> LocalGeometry:
    """The same surface in the same frames, with a neighbourhood of this radius at one vertex and next to none elsewhere."""
    from ..geometry.meshes.surface import mesh

    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be positive and finite, got {radius}")
    positions, faces = surface_of(geometry)
    reach = np.full(len(positions), 1e-9 * radius)
    reach[vertex] = radius
    structure = "O2" if geometry.structure == "O2" else "SO2"  # all others have oriented frames
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when the geometry was made
        return mesh(positions, faces, radius=reach, frames=geometry.frame, structure=structure)


class LogPatch:
    """The faces around a vertex as a piecewise linear map to its tangent plane, and lines carried back to the surface.

    Faces across the cut locus are left out: there neighbouring vertices are reached by different geodesics.

    Attributes:
        faces: (F,) bool, the faces of the surface that belong to it.
        distance: (N,) geodesic distance; NaN outside.
        edge_lengths: (P, 3), of the faces in it.
    """

    def __init__(self, geometry: LocalGeometry, around: Neighbourhood, normals: np.ndarray):
        positions, faces = surface_of(geometry)
        plane = np.full((len(positions), 2), np.nan)
        plane[around.vertex] = 0.0
        plane[around.nodes] = around.log
        corner = plane[faces]
        edge, space = np.roll(corner, -1, axis=1) - corner, np.roll(positions[faces], -1, axis=1) - positions[faces]
        double = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
        stretched = np.linalg.norm(edge, axis=2) > _STRETCH * np.linalg.norm(space, axis=2)
        self.faces = (np.abs(double) > 0) & ~stretched.any(axis=1)
        if is_oriented(faces):
            # Faces that the map folds over go too. A left-handed frame (structure O2) sees all the other way round.
            touching = (faces == around.vertex).any(axis=1)
            self.faces &= np.sign(np.nansum(double[touching])) * double > 0
        self.distance = np.linalg.norm(plane, axis=1)
        self.edge_lengths = np.linalg.norm(space[self.faces], axis=2)
        self._corner = np.ascontiguousarray(corner[self.faces])
        self._positions, self._normals = positions[faces[self.faces]], normals[faces[self.faces]]

    def carry(self, points: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """A polyline (K, 2) of the tangent plane on the surface: its pieces inside the patch, and the normals along them."""
        face, weight = self._locate(points)
        inside = face >= 0
        if not inside.any():
            return [], []
        place = np.einsum("kc,kci->ki", weight, self._positions[face])
        normal = np.einsum("kc,kci->ki", weight, self._normals[face])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        cuts = np.flatnonzero(np.diff(inside)) + 1
        runs = [run for run in np.split(np.arange(len(points)), cuts) if run.size > 1 and inside[run[0]]]
        return [place[run] for run in runs], [normal[run] for run in runs]

    def _locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(K,) the face that each point lies in, -1 for none, and (K, 3) barycentric coordinates."""
        from .raster import locate  # brings numba

        return locate(np.ascontiguousarray(points, float), self._corner)


def edge_path(geometry: LocalGeometry, stops: list[int]) -> list[int]:
    """The vertices of the shortest path along edges of the mesh through the given ones, in their order.

    Raises:
        ValueError: for less than two vertices, one that is not there, or two in different components.
    """
    positions, faces = surface_of(geometry)
    if len(stops) < 2 or not all(0 <= v < len(positions) for v in stops):
        raise ValueError(f"a path needs two or more vertices between 0 and {len(positions) - 1}, got {list(stops)}")
    a, b = np.unique(np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)), axis=0).T
    length = np.linalg.norm(positions[a] - positions[b], axis=1)
    graph = sparse.csr_matrix((length, (a, b)), shape=(len(positions), len(positions)))
    path = [int(stops[0])]
    for start, end in itertools.pairwise(stops):
        before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)[1]
        leg = [int(end)]
        while leg[-1] != start:
            if before[leg[-1]] < 0:
                raise ValueError(f"no path along edges joins vertex {start} and vertex {end}")
            leg.append(int(before[leg[-1]]))
        path += leg[-2::-1]
    return path


def carried_along(geometry: LocalGeometry, path: list[int], vector: np.ndarray) -> np.ndarray:
    """(K, 2) a vector at the first vertex of a path, carried from each vertex to the next, in the frame of each.

    Raises:
        GeometryError: when two successive vertices are no neighbours in the geometry.
    """
    source, target = geometry.edge_index
    key = target.astype(np.int64) * geometry.num_nodes + source
    out = [np.asarray(vector, float)]
    for here, there in itertools.pairwise(path):
        edge = np.searchsorted(key, there * geometry.num_nodes + here)
        if edge == key.size or key[edge] != there * geometry.num_nodes + here:
            raise GeometryError(f"vertices {here} and {there} are no neighbours in this geometry: no transport between them")
        out.append(np.asarray(geometry.transport[edge], float) @ out[-1])
    return np.stack(out)
