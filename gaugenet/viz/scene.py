"""What a picture consists of: triangles in space with colours, seen by an orthographic camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import GeometryError
from ..geometry.local_geometry import LocalGeometry
from ..geometry.meshes.curvature import max_normals
from ..geometry.meshes.features import outward_normals
from ..io.loading import FREESURFER, mesh_format
from .colors import ColorScale

# The direction of the light, in the camera's coordinates: from the left, above and in front.
LIGHT = np.array([-0.35, 0.45, 0.82])
# What lies on the surface is left out where the surface is seen at a smaller cosine than this, or from behind.
GRAZING = 0.25
_Z_UP = (".stl", ".vtk", ".vtp", ".vtu", ".msh", ".gii", FREESURFER)
# Of the default view: turned so much about the vertical, and seen from so much above.
_AZIMUTH, _ELEVATION = np.deg2rad(25.0), np.deg2rad(20.0)


@dataclass(frozen=True, eq=False)
class Layer:
    """A triangle mesh with colours.

    Attributes:
        positions, normals: (V, 3).
        colors: (V, 3) in [0, 1], interpolated over the faces.
        triangles: (F, 3).
        lit: shaded by the normals; otherwise in its own colour.
        wire: opacity of the edges of the triangles, 0 to 1.
        bias: drawn as if so much nearer (unit of length): what lies on a surface is not to sink in it.
        cells: each point has the one colour of the corners that weighs most in barycentric coordinates: regions of vertices get
            sharp borders through the middles of edges.
        two_sided: of a sheet: lit alike on both sides, and what is not lit is seen from behind too (on a body it would shine
            through).
    """

    positions: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    triangles: np.ndarray
    lit: bool = True
    wire: float = 0.0
    bias: float = 0.0
    cells: bool = False
    two_sided: bool = False


@dataclass(frozen=True, eq=False)
class Camera:
    """An orthographic camera.

    Attributes:
        rotation: (3, 3), rows right, up and towards the viewer.
        center: (3,) what is in the middle.
        extent: half of the width and height that are seen (unit of length).
    """

    rotation: np.ndarray
    center: np.ndarray
    extent: float

    @staticmethod
    def looking(points: np.ndarray, direction: np.ndarray, up: np.ndarray, margin: float = 1.04) -> Camera:
        """The camera that sees all points from a direction, with ``up`` upwards as far as possible."""
        forward = np.asarray(direction, float) / np.linalg.norm(direction)
        right = np.cross(up, forward)
        if np.linalg.norm(right) < 1e-3 * np.linalg.norm(up):
            right = np.cross(np.eye(3)[np.argmin(np.abs(forward))], forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        seen = points @ rotation.T
        low, high = seen.min(axis=0), seen.max(axis=0)
        extent = 0.5 * margin * max(high[0] - low[0], high[1] - low[1])
        return Camera(rotation, rotation.T @ (0.5 * (low + high)), extent if extent > 0 else 1.0)

    @staticmethod
    def of(geometry: LocalGeometry, direction: np.ndarray | None = None, up: np.ndarray | None = None) -> Camera:
        """The camera that sees a whole geometry, by default from the side on which it is broadest, a little from above.

        Args:
            geometry: what is seen.
            direction: where the viewer is.
            up: what is upwards, by default as :func:`guessed_up` says.
        """
        points, _ = surface_of(geometry)
        up = guessed_up(geometry) if up is None else np.asarray(up, float)
        if direction is None:
            centered = points - points.mean(axis=0)
            thin = np.linalg.eigh(centered.T @ centered)[1][:, 0]
            # The sign of an eigenvector means nothing: from above, or else from positive x, y and z.
            rise = thin @ up / np.linalg.norm(up)
            thin = thin if (rise if abs(rise) > 0.05 else thin.sum()) > 0 else -thin
            right, above = (_unit_or(np.cross(up, thin), up), up / np.linalg.norm(up))
            direction = np.cos(_AZIMUTH) * np.cos(_ELEVATION) * thin + np.sin(_AZIMUTH) * right + np.sin(_ELEVATION) * above
        return Camera.looking(points, direction, up)

    def towards(self, points: np.ndarray, normal: np.ndarray, context: float = 1.6) -> Camera:
        """A camera that looks at a part of the surface, mostly along its normal; no farther away than this one."""
        part = Camera.looking(points, normal + 0.35 * self.rotation[2], self.rotation[1], context)
        return part if part.extent < self.extent else Camera(part.rotation, self.center, self.extent)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(V, 3): right and up in [-1, 1] where seen, and the depth, larger nearer."""
        return (points - self.center) @ self.rotation.T / self.extent


@dataclass(frozen=True, eq=False)
class View:
    """One panel: layers, how they are seen, and what the colours mean."""

    title: str
    layers: tuple[Layer, ...]
    camera: Camera
    scale: ColorScale | None = None


def guessed_up(geometry: LocalGeometry) -> np.ndarray:
    """What is upwards in files of the kind that a geometry is from: z in simulation, CAD and brain coordinates, else y.

    glTF says so (y); of the others it is a habit of the programs that write them.
    """
    kind = mesh_format(str(geometry.metadata.get("source", "")))
    return np.array([0.0, 0.0, 1.0] if kind in _Z_UP else [0.0, 1.0, 0.0])


def surface_of(geometry: LocalGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) in float64 and faces (F, 3); GeometryError for a geometry without them."""
    if geometry.positions is None or geometry.faces is None or geometry.positions.shape[1] != 3:
        raise GeometryError("a picture needs positions in space and faces; this geometry has none")
    return np.asarray(geometry.positions, float), np.asarray(geometry.faces, np.int64)


def tangent_frame(geometry: LocalGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N, 3, 2) and their normals (N, 3), on the side that the faces call outward where they are oriented."""
    positions, faces = surface_of(geometry)
    if geometry.frame is None or geometry.frame.shape[1:] != (3, 2):
        raise GeometryError("a picture of directions needs frames (N, 3, 2); this geometry has none")
    frame = np.asarray(geometry.frame, float)
    return frame, outward_normals(positions, faces, frame)


def is_closed(faces: np.ndarray) -> bool:
    """Whether every edge has a face on both sides, wound alike: a body, of which only the outside is seen."""
    there, back = _halfedges(faces)
    return np.array_equal(np.sort(there), np.sort(back))


def is_oriented(faces: np.ndarray) -> bool:
    """Whether no two faces run along an edge in the same direction."""
    there, _ = _halfedges(faces)
    return len(np.unique(there)) == len(there)


def _halfedges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3F,) a number for every halfedge, and that of its opposite."""
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    count = int(faces.max(initial=0)) + 1
    return ends @ [count, 1], ends @ [1, count]


def surface_layer(geometry: LocalGeometry, colors: np.ndarray, *, wire: float | None = None, cells: bool = False) -> Layer:
    """The surface with a colour (3,), or one at every vertex (N, 3).

    Args:
        wire: opacity of the edges; by default less for finer meshes, whose edges would cover all.
        cells: see Layer.
    """
    positions, faces = surface_of(geometry)
    wire = float(np.clip(0.35 * np.sqrt(3000.0 / max(len(faces), 1)) - 0.05, 0.0, 0.35)) if wire is None else wire
    normals = max_normals(positions, faces) if geometry.frame is None else tangent_frame(geometry)[1]
    return Layer(positions, normals, np.broadcast_to(colors, positions.shape), faces, wire=wire, cells=cells)


def _unit_or(vector: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The vector at length one, or where it has none, one orthogonal to the other."""
    size = np.linalg.norm(vector)
    if size < 1e-6 * np.linalg.norm(other):
        vector = np.cross(other, np.eye(3)[np.argmin(np.abs(other))])
        size = np.linalg.norm(vector)
    return vector / size
