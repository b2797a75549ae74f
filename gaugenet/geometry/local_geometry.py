"""LocalGeometry: what every manifold hands to the layers."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import GeometryError
from .attributes import ATTRIBUTES

if TYPE_CHECKING:
    from ..data import GaugeGraph

# name -> array
Arrays = dict[str, np.ndarray]
# Structure groups that a surface may be given.
STRUCTURES = ("SO2", "O2")


class Feature(NamedTuple):
    """A feature field given in the frames of a geometry.

    Attributes:
        values: (N, dim) numbers, component-major blocks as everywhere in gaugenet.
        type: the field type in SO(2)/O(2) irreps, for example ``"3x0 + 1x2"``.
    """

    values: np.ndarray
    type: str

    def carried(self, g: np.ndarray) -> Feature:
        """rho(g_n) applied to every node; g: (N, d, d)."""
        out, start = [], 0
        for mul, order in parse_orders(self.type):
            n = 1 if order == 0 else 2
            block = self.values[:, start : start + n * mul].reshape(-1, n, mul)
            out.append((irrep_matrices(g, order).astype(block.dtype) @ block).reshape(-1, n * mul))
            start += n * mul
        return Feature(np.concatenate(out, 1), self.type)


@dataclass(frozen=True, eq=False)
class Pooling:
    """The step from a geometry to the next coarser one.

    Attributes:
        cluster: (N,) int64, the coarse node that each fine node belongs to.
        transport: (N, d, d), coordinates_coarse = transport[n] @ coordinates_fine for a vector at fine node n.
        geometry: the coarse LocalGeometry, with M nodes.
    """

    cluster: np.ndarray
    transport: np.ndarray
    geometry: LocalGeometry


@dataclass(frozen=True, eq=False)
class LocalGeometry:
    """Frames, log maps, transporters and quadrature weights of a sampled manifold.

    Letters: N nodes, E edges, d intrinsic dimension, D ambient dimension.

    Attributes:
        edge_index: (2, E) int64, row 0 the source q, row 1 the target p; sorted by target, then source; no self-loops.
        log: (E, d), coordinates in the frame of p of log_p(q); the norm is the geodesic distance (unit of length).
        transport: (E, d, d), g_pq with coordinates_p(carried vector) = g_pq @ coordinates_q(vector).
        weight: (E,), quadrature weight of q in the neighbourhood of p: area[q] over the volume of the flat d-ball of
            radius[p] (pi radius^2 for d = 2). Dimensionless; sums to about one over an interior neighbourhood with its centre.
        radius: (N,), radius of the neighbourhood of p (unit of length).
        positions: (N, D) or None.
        frame: (N, D, d) or None, orthonormal columns, right-handed with the outward normal on surfaces.
        area: (N,) or None, volume of the cell of each node (unit of length to the d).
        curvature: (N,) or None, Gaussian curvature (for the area element of a curved disc).
        faces: (F, 3) int64 or None.
        cone_angle: (N,) or None, total angle round each node; not 2 pi at cone points, where log maps are those of a cut cone.
        vertex_nodes: (V,) int64 or None, of each of the V vertices of a mesh that came its node: its own, that of the vertex it
            was welded to, one of those it was split into; -1 where no face uses the vertex.
        orbit: (N, Q) or None, of points lifted to a group what tells their orbits apart; kernels may see it.
        features: name -> Feature.
        coarse: the Pooling to the next level, or None.
        vertex_data: name -> array with a row for every node: of a mesh what the file or the caller says of the vertices, such
            as colours and labels, and ``"ids"``, the number of each node in the input. Coarser levels have theirs.
        face_data: name -> array with a row for every face, likewise.
        metadata: JSON-able facts about the origin (parameters, warnings, index maps stay in the record).
        structure: name of the structure group, which the transporters lie in, as :mod:`gaugenet.groups.structures` reads it:
            "SO2", "O2", "C6", "Z2" (the reflection diag(1, -1)), "e" (transport is the identity), ... Layers on the geometry
            need fields of this group or of one that has it as a subgroup. The default is "SO2" for d = 2, "SO3" for d = 3.
    """

    edge_index: np.ndarray
    log: np.ndarray
    transport: np.ndarray
    weight: np.ndarray
    radius: np.ndarray
    positions: np.ndarray | None = None
    frame: np.ndarray | None = None
    area: np.ndarray | None = None
    curvature: np.ndarray | None = None
    faces: np.ndarray | None = None
    cone_angle: np.ndarray | None = None
    features: dict[str, Feature] = field(default_factory=dict)
    coarse: Pooling | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    structure: str = ""
    vertex_data: Arrays = field(default_factory=dict)
    face_data: Arrays = field(default_factory=dict)
    vertex_nodes: np.ndarray | None = None
    orbit: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.structure:
            object.__setattr__(self, "structure", f"SO{self.log.shape[-1]}")

    @property
    def num_nodes(self) -> int:
        return self.radius.shape[0]

    @property
    def num_edges(self) -> int:
        return self.edge_index.shape[1]

    @property
    def dim(self) -> int:
        """Intrinsic dimension d."""
        return self.log.shape[1]

    def replace(self, **changes: Any) -> LocalGeometry:
        """A copy with some attributes exchanged."""
        return dataclasses.replace(self, **changes)

    def levels(self) -> list[LocalGeometry]:
        """This geometry and its coarser ones, finest first."""
        return [self] if self.coarse is None else [self, *self.coarse.geometry.levels()]

    def gauge_transform(self, h: np.ndarray) -> LocalGeometry:
        r"""The same geometry in the frames :math:`E_p h_p` (DESIGN: gauge change).

        log -> h_p^-1 log, transport -> h_p^-1 g_pq h_q, features -> rho(h_p)^-1 f.

        Args:
            h: (N, d, d) orthogonal matrices, elements of the structure group. Coarser levels keep their frames.
        """
        h = np.asarray(h, dtype=self.log.dtype)
        expected = (self.num_nodes, self.dim, self.dim)
        if h.shape != expected:
            raise GeometryError(f"gauge_transform expected h of shape {expected}, got {h.shape}")
        source, target = self.edge_index
        inverse = np.swapaxes(h, -1, -2)
        rows = {"source": source, "target": target, "node": slice(None)}
        changes: dict[str, dict[str, Any]] = {"geometry": {}, "pooling": {}}
        for a in ATTRIBUTES.values():
            left, right = (None if of not in rows else g[rows[of]] for of, g in ((a.left, inverse), (a.right, h)))
            array = a.of(self)
            if array is not None and not (left is None and right is None):
                changes[a.holder][a.field] = a.in_new_frames(array, left, right)
        return self.replace(
            **changes["geometry"],
            features={name: f.carried(inverse) for name, f in self.features.items()},
            coarse=None if self.coarse is None else dataclasses.replace(self.coarse, **changes["pooling"]),
        )

    def on_input_vertices(self, values: np.ndarray, fill: float | None = None) -> np.ndarray:
        """Values of the nodes, such as predictions, at the V vertices that came, before repair, welding and renumbering.

        Args:
            values: (N, ...).
            fill: for vertices that no face uses; by default NaN, of integers -1.

        Returns:
            (V, ...) of the dtype of values.
        """
        if self.vertex_nodes is None and "vertex_ids" in self.metadata:
            raise GeometryError("this record of an older version does not say what became of every vertex: preprocess again")
        values = np.asarray(values)
        nodes = np.arange(self.num_nodes) if self.vertex_nodes is None else self.vertex_nodes
        if len(values) != self.num_nodes:
            raise GeometryError(f"on_input_vertices expected a row for each of {self.num_nodes} nodes, got {values.shape}")
        fill = (np.nan if values.dtype.kind == "f" else -1) if fill is None else fill
        out = np.full((len(nodes), *values.shape[1:]), fill, values.dtype)
        out[nodes >= 0] = values[nodes[nodes >= 0]]
        return out

    def validate(self, tolerance: float | None = None) -> LocalGeometry:
        """Check shapes, ranges, finiteness and the conventions; return self.

        Args:
            tolerance: relative tolerance, by default 1e-9 in float64 and 1e-4 in float32.

        Raises:
            GeometryError: naming the array, what was expected and the first offending index.
        """
        from .validation import validate_geometry

        validate_geometry(self, tolerance)
        return self

    def save(self, path: str | os.PathLike) -> None:
        """Write one safetensors record (int32 indices, float32 geometry), atomically."""
        from ..io.records import save_record

        save_record(self, path)

    @staticmethod
    def load(path: str | os.PathLike) -> LocalGeometry:
        """Read a record; raises RecordError when it is damaged or hostile."""
        from ..io.records import load_record

        return load_record(path)

    def to_graph(self, dtype: Any = None) -> GaugeGraph:
        """The GaugeGraph of this geometry (imports torch); floating arrays in the torch.dtype, by default in their own."""
        from ..data import GaugeGraph

        return GaugeGraph.from_geometry(self, dtype=dtype)

    def to_pyvista(self, fields: Mapping[str, Any] | None = None) -> Any:
        """A pyvista.PolyData with the vertex and face data of this geometry, and fields, as point data (imports pyvista).

        Args:
            fields: name -> numbers at the nodes (N,), (N, C), also torch tensors, written as they are; or a
                :class:`Feature` or pair (values, type), whose orders 1 and 2 become vectors (N, 3) and symmetric tensors
                (N, 9) of the ambient space by :func:`gaugenet.geometry.from_frames`. Of several channels, such as "4x1", each
                becomes an array ``name_0``, ``name_1``, ...
        """
        from ..io.libraries.writing import to_pyvista

        return to_pyvista(self, fields)

    def to_polyscope(self, name: str, fields: Mapping[str, Any] | None = None) -> Any:
        """Register the surface with its data and fields in polyscope, to be looked at by ``polyscope.show()``.

        Args:
            name: of the surface in polyscope.
            fields: of :meth:`to_pyvista`. Vectors become arrows; of a tensor its size and, as arrows, its principal direction
                times the eigenvalue.

        Returns:
            polyscope's surface mesh.
        """
        from ..io.libraries.writing import to_polyscope

        return to_polyscope(self, name, fields)

    def __repr__(self) -> str:
        levels = "" if self.coarse is None else f", levels={len(self.levels())}"
        sizes = f"nodes={self.num_nodes}, edges={self.num_edges}, dim={self.dim}"
        return f"LocalGeometry({sizes}, structure={self.structure!r}{levels})"


def parse_orders(type_string: str) -> list[tuple[int, int]]:
    """``"3x0 + 1x2"`` -> [(3, 0), (1, 2)], the SO(2) orders of a stored feature."""
    blocks = []
    for part in type_string.split("+"):
        mul, _, order = part.strip().partition("x")
        if not (mul.isdigit() and order.isdigit()):
            raise GeometryError(f'a stored feature has a type like "3x0 + 1x2", got {type_string!r}')
        blocks.append((int(mul), int(order)))
    return blocks


def irrep_matrices(h: np.ndarray, order: int) -> np.ndarray:
    """(..., n, n) matrices of the O(2) irrep of the given order at the 2 x 2 matrices h; diag(1, -1) reflects."""
    if order == 0:
        return np.ones((*h.shape[:-2], 1, 1), h.dtype)
    sign = np.sign(np.linalg.det(h))
    angle = order * np.arctan2(h[..., 1, 0], h[..., 0, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin * sign], -1), np.stack([sin, cos * sign], -1)], -2)
