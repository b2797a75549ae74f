"""One mesh file -> one LocalGeometry or record: the unit of work of the command line, the transforms and cluster engines."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np

from ..geometry.local_geometry import STRUCTURES, LocalGeometry
from ..geometry.triangles.triangle_mesh import TriangleMesh
from ..io.records import record_name, save_record

__all__ = ["ProcessParams", "Processed", "content_sha256", "process_mesh", "process_one"]


@dataclass(frozen=True)
class ProcessParams:
    """Everything that decides what a mesh becomes; a value: hashable, picklable, comparable.

    Args:
        radius: neighbours are the vertices within this geodesic distance (unit of length, after normalization if any).
        rings: neighbours are the vertices within this many rings. Exactly one of radius and rings is given.
        normalize: scale every mesh to unit area first, so that one radius fits all of them.
        method: of geometry.mesh.
        smooth: of geometry.mesh: second-order angles and transport; False gives the raw polyhedral ones.
        repair: repair the mesh first (repair_mesh) rather than refuse it.
        renumber: of geometry.mesh: vertices in an order that keeps neighbours close in memory.
        features: names that compute_features understands.
        levels: number of coarser levels.
        structure: of geometry.mesh: "SO2", or "O2", which admits surfaces that are not orientable.
        min_component: of geometry.mesh: drop connected components of less than this part of the area; 0 keeps all.

    Raises:
        ValueError, TypeError: for values out of range or of another type.
    """

    radius: float | None = None
    rings: int | None = None
    normalize: bool = False
    method: str = "exact"
    smooth: bool = True
    repair: bool = False
    renumber: bool = False
    features: tuple[str, ...] = ()
    levels: int = 0
    structure: str = "SO2"
    min_component: float = 0.0

    def __post_init__(self) -> None:
        if (self.radius is None) == (self.rings is None):
            raise ValueError(f"expected one of radius and rings, got radius={self.radius}, rings={self.rings}")
        if self.radius is not None:
            object.__setattr__(self, "radius", float(self.radius))
            if not (math.isfinite(self.radius) and self.radius > 0.0):
                raise ValueError(f"radius must be positive and finite, got {self.radius}")
        for name, least in (("rings", 1), ("levels", 0)):
            value = getattr(self, name)
            if value is None and name == "rings":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be an integer, got {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "min_component", float(self.min_component))
        if not 0.0 <= self.min_component < 1.0:
            raise ValueError(f"min_component must be a part of the area, from 0 to less than 1, got {self.min_component}")
        for name in ("normalize", "smooth", "repair", "renumber"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
            object.__setattr__(self, name, bool(getattr(self, name)))
        if self.structure not in STRUCTURES:
            raise ValueError(f"unknown structure {self.structure!r}: expected one of {', '.join(STRUCTURES)}")
        if isinstance(self.features, str):
            raise TypeError(f'features must be a sequence of names such as ("hks",), got {self.features!r}')
        object.__setattr__(self, "features", tuple(str(name) for name in self.features))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the same for equal parameters."""
        return {**dataclasses.asdict(self), "features": list(self.features)}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ProcessParams:
        """The inverse of to_dict."""
        return ProcessParams(**{**values, "features": tuple(values.get("features", ()))})


class Processed(NamedTuple):
    """What process_one returns for a record it wrote: its path, sizes of the finest level and the warnings as dicts."""

    record: str
    nodes: int
    edges: int
    levels: int
    warnings: list[dict]


def process_one(
    path: str | os.PathLike,
    params: ProcessParams,
    destination: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], Any] | None = None,
    data: bytes | None = None,
) -> LocalGeometry | Processed:
    """Load, check or repair, normalize, compute the geometry; return it, or write it as a record.

    Args:
        path: mesh file, of a format of :func:`gaugenet.geometry.load_mesh`.
        params: what to make of it.
        destination: folder for the record, named by record_name(hash of the file, params); it is made when missing.
        threads: of geometry.mesh; the result does not depend on it.
        progress: of geometry.mesh: called with the number of vertices done, and of all.
        data: the bytes of the file where they are at hand, such as a member of an archive; path only names it then.

    Returns:
        The LocalGeometry, or with a destination a Processed. The metadata hold ``source`` (the file's name), ``sha256``,
        ``scale`` (the factor of normalization), ``warnings``, and ``vertex_ids``, the input's number of every node, when
        vertices were dropped, split, welded or renumbered.

    Raises:
        MeshError, GeometryError, OSError: see load_mesh, check_mesh, mesh.
    """
    from ..io.loading import load_mesh, mesh_format, parse_mesh, read_bytes

    path = Path(path)
    extension = mesh_format(path)
    if extension is None:
        load_mesh(path)
    if data is None:
        data = read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    loaded = parse_mesh(data, str(extension), os.fspath(path))
    del data
    record = destination is not None
    geometry, warnings = _geometry_of(loaded, params, np.float32 if record else np.float64, threads, progress)
    geometry = geometry.replace(metadata={**geometry.metadata, "source": path.name, "sha256": sha256})
    if destination is None:
        return geometry
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / record_name(sha256, params)
    save_record(geometry, file, parameters=params.to_dict(), source_sha256=sha256)
    return Processed(os.fspath(file), geometry.num_nodes, geometry.num_edges, len(geometry.levels()), warnings)


def process_mesh(mesh: TriangleMesh, params: ProcessParams, *, threads: int | None = None) -> LocalGeometry:
    """As :func:`process_one`, of a mesh in memory; the metadata hold no ``source`` and no ``sha256``.

    Args:
        mesh: unchecked, as :func:`gaugenet.io.loading.load_mesh` gives it.
        params: what to make of it.
        threads: of geometry.mesh.
    """
    return _geometry_of(mesh, params, np.float64, threads, None)[0]


def _geometry_of(
    loaded: TriangleMesh,
    params: ProcessParams,
    dtype: type,
    threads: int | None,
    progress: Callable[[int, int], Any] | None,
) -> tuple[LocalGeometry, list[dict]]:
    """Check or repair, normalize, compute: the geometry, with ``scale`` and ``warnings`` in its metadata, and the warnings."""
    from ..geometry.triangles.checks import check_mesh
    from ..geometry.triangles.repair import repair_mesh

    path = loaded.path
    both = params.structure == "O2"
    options: dict[str, Any] = {"allow_nonorientable": both, "min_component": params.min_component, "path": path}
    if params.repair:
        checked, _ = repair_mesh(loaded.vertices, loaded.faces, **options)
    else:
        checked = check_mesh(loaded.vertices, loaded.faces, **options)
    checked = checked.made_from(loaded)
    notes = loaded.warnings + checked.warnings
    for note in notes:
        # Of faces without area and of crumbs, mesh warns itself.
        if note.kind not in ("zero_area", "tiny_component"):
            warn(f"{path}: {note}" if path else str(note), stacklevel=3)
    scale = 1.0 / math.sqrt(_area(checked.vertices, checked.faces)) if params.normalize else 1.0
    # After the checks: it imports numba, and a bad file need not wait for that.
    from ..geometry.meshes.surface import mesh

    geometry = mesh(
        dataclasses.replace(checked, vertices=checked.vertices * scale, warnings=[]),
        radius=params.radius,
        rings=params.rings,
        method=params.method,
        smooth=params.smooth,
        features=params.features,
        levels=params.levels,
        structure=params.structure,
        renumber=params.renumber,
        threads=threads,
        # Of a record float32; computed in float64 all the same.
        dtype=dtype,
        progress=progress,
    )
    warnings = [w.to_dict() for w in notes]
    return geometry.replace(metadata={**geometry.metadata, "scale": scale, "warnings": warnings}), warnings


def content_sha256(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    # A pipe would make open wait for ever, and a device need not end.
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(f"{os.fspath(path)}: not a regular file")
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _area(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2.0
