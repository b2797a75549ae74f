"""The Princeton segmentation benchmark: classes, and part labels for every face."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from ...errors import GaugenetError
from ...geometry import LocalGeometry
from ...pipeline.process import ProcessParams, content_sha256
from ..graph import GaugeGraph
from ..shape_dataset import DEFAULT_PARAMS, ShapeDataset, ShapeKeywords
from .archives import cache_folder

if TYPE_CHECKING:
    from typing_extensions import Unpack

_ARRAYS = ("V", "F", "face_label", "v_ptr", "f_ptr", "category", "mesh_id")


class Princeton(ShapeDataset):
    """19 categories x 12 meshes with part labels (Chen, Golovinskiy, Funkhouser 2009; Kalogerakis, Hertzmann, Singh 2010).

    The data are not shipped: give the folder with psb_2k.npz or psb_full.npz (concatenated V, F, face_label, v_ptr, f_ptr,
    category, mesh_id) and index.json (categories, parts). Some of the meshes are not manifold, so params should have
    repair=True, as the default has. ``split("split8", i)`` draws 8 training meshes per category, the other 4 to test.

    Graphs have, besides y: ``face_label`` (F,), the part of every face, and ``vertex_label`` (N,), the part with the largest
    area round every vertex; both index ``parts[category]``. ``graph.on_input_vertices`` takes predictions back to the vertices
    of the file.

    Args:
        path: the folder, or the npz in it.
        params, **options: see ShapeDataset.
        resolution: "2k" (2000 faces) or "full", when path is a folder.

    Attributes:
        parts: category -> names of its parts.

    Raises:
        FileNotFoundError: the npz or index.json is not there.
        GaugenetError: an npz of another layout.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        params: ProcessParams | None = None,
        *,
        resolution: str = "2k",
        **options: Unpack[ShapeKeywords],
    ) -> None:
        if resolution not in ("2k", "full"):
            raise ValueError(f'resolution must be "2k" or "full", got {resolution!r}')
        path = Path(path)
        file = path / f"psb_{resolution}.npz" if path.is_dir() else path
        index = file.parent / "index.json"
        for needed in (file, index):
            if not needed.is_file():
                raise FileNotFoundError(f"{needed}: not there; expected psb_2k.npz or psb_full.npz with index.json beside it")
        facts = json.loads(index.read_text(encoding="utf-8"))
        self.parts: dict[str, list[str]] = facts["parts"]
        root, self._labels = _write_meshes(file, facts["categories"])
        if params is None:
            params = ProcessParams.from_dict({**DEFAULT_PARAMS.to_dict(), "repair": True})
        super().__init__(root, params, **options)

    def graph_of(self, geometry: LocalGeometry, name: str) -> GaugeGraph:
        graph = super().graph_of(geometry, name)
        positions, faces = cast(np.ndarray, geometry.positions), cast(np.ndarray, geometry.faces)  # every mesh has them
        label = self._labels[name][geometry.face_data["ids"]].astype(np.int64)
        graph.face_label = torch.from_numpy(label)
        graph.vertex_label = torch.from_numpy(vertex_labels(positions, faces, label))
        return graph

    def face_labels(self, idx: int) -> np.ndarray:
        """(F,) labels of the faces of ``mesh(idx)``."""
        return self._labels[self.names[idx]].astype(np.int64)


def vertex_labels(vertices: np.ndarray, faces: np.ndarray, face_label: np.ndarray) -> np.ndarray:
    """(N,) the label that has the largest area among the faces round each vertex; ties go to the smaller label."""
    p = vertices[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1)
    votes = np.zeros((len(vertices), int(face_label.max()) + 1))
    for k in range(3):
        np.add.at(votes, (faces[:, k], face_label), area)
    return votes.argmax(1)


def _write_meshes(file: Path, categories: list[str]) -> tuple[Path, dict[str, np.ndarray]]:
    """The meshes as PLY files in the cache (written once for each npz); and the face labels by file name."""
    try:
        with np.load(file, allow_pickle=False) as data:
            v, f, face_label, v_ptr, f_ptr, category, mesh_id = (data[name] for name in _ARRAYS)
        names = [f"{categories[c]}/{int(m)}.ply" for c, m in zip(category, mesh_id)]
        labels = {name: face_label[f_ptr[i] : f_ptr[i + 1]] for i, name in enumerate(names)}
        meshes = {name: (v[v_ptr[i] : v_ptr[i + 1]], f[f_ptr[i] : f_ptr[i + 1]]) for i, name in enumerate(names)}
    except (KeyError, IndexError, ValueError, OSError) as error:
        raise GaugenetError(f"{file}: not the expected arrays {', '.join(_ARRAYS)}: {error}") from None
    root = cache_folder() / "princeton" / content_sha256(file)[:20]
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
        try:
            for name, (vertices, faces) in meshes.items():
                path = building / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(_ply(vertices, faces))
            try:
                building.rename(root)
            except OSError:
                if not root.is_dir():  # otherwise another process was faster
                    raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return root, labels


def _ply(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """Binary PLY with float32 positions and int32 indices."""
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), dtype=[("n", "u1"), ("v", "<i4", 3)])
    rows["n"], rows["v"] = 3, faces
    return header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes()
