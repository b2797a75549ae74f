"""All that stands between a mesh file and the input of a network, in one value that can be saved with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...geometry import LocalGeometry
from ...geometry.triangles.triangle_mesh import TriangleMesh
from ...groups import O2, SO2, Group
from ...io.libraries.objects import polygons_of
from ...io.loading import source_mesh
from ...io.records import load_record
from ...pipeline.process import ProcessParams, process_mesh, process_one
from ..features import stored_type
from ..graph import GaugeGraph
from ..scaling import FeatureScaler
from .tasks import Task

if TYPE_CHECKING:
    from .mesh_dataset import MeshDataset

_SCALES = ("mean", "std", "low", "high")


@dataclass
class Preparation:
    """From a mesh to a graph with the input ``x`` of a network, the same in training and in use.

    A transform of graphs as well: ``preparation(graph)`` sets ``x``.

    Attributes:
        params: what is made of a mesh file. scaler: the input features and their scale. task: the answer, with its units.
    """

    params: ProcessParams
    scaler: FeatureScaler
    task: Task

    @classmethod
    def fit(cls, dataset: MeshDataset) -> Preparation:
        """Scales of the features and of the numbers to be learnt, as training data have them.

        Raises:
            ValueError: a data set without input features.
        """
        if not dataset.params.features:
            raise ValueError('Preparation.fit expected input features in params, such as features=("hks",), got none')
        graphs = [dataset.get(i) for i in dataset.indices()]
        return cls(dataset.params, FeatureScaler(dataset.params.features).fit(graphs), _with_units(dataset.task, graphs))

    @property
    def group(self) -> Group:
        """The structure group of the graphs."""
        return O2() if self.params.structure == "O2" else SO2()

    def __call__(self, graph: GaugeGraph) -> GaugeGraph:
        return self.scaler(graph)

    def in_type(self, graph: GaugeGraph) -> FieldType:
        """Field type of ``x``."""
        out = FieldType(self.group, [])
        for name in self.scaler.names:
            out = out + stored_type(graph.feature_types[name], self.group)
        return out

    def geometry(self, mesh: Any) -> LocalGeometry:
        """The geometry of a mesh, as the training data were made.

        Args:
            mesh: a mesh file; a record (.safetensors) made with the same parameters; a TriangleMesh or a mesh of trimesh,
                meshio, pyvista, nibabel, open3d or PyG, as :func:`gaugenet.geometry.mesh` takes them; a pair (vertices, faces);
                or a LocalGeometry, which is taken as it is.

        Raises:
            TypeError: something else. MeshError, RecordError, OSError: meshes and files that cannot be used.
        """
        if isinstance(mesh, LocalGeometry):
            return mesh
        if isinstance(mesh, str | os.PathLike):
            if Path(mesh).suffix == ".safetensors":
                return load_record(mesh)
            made = process_one(mesh, self.params)
            assert isinstance(made, LocalGeometry)
            return made
        if isinstance(mesh, tuple | list) and len(mesh) == 2:
            return process_mesh(source_mesh(np.asarray(mesh[0]), np.asarray(mesh[1])), self.params)
        if isinstance(mesh, TriangleMesh) or polygons_of(mesh) is not None:
            return process_mesh(source_mesh(mesh, None), self.params)
        if hasattr(mesh, "vertices") and hasattr(mesh, "faces"):
            return process_mesh(source_mesh(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces)), self.params)
        raise TypeError(
            "expected a mesh: a file, a trimesh.Trimesh or the mesh of another library, a pair (vertices, faces) or a "
            f"LocalGeometry, got {type(mesh).__name__}"
        )

    def graph(self, geometry: LocalGeometry, dtype: torch.dtype = torch.float32) -> GaugeGraph:
        """The graph of a geometry with its input, in the precision of the network."""
        return self(GaugeGraph.from_geometry(geometry, dtype=dtype))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        scaler: dict[str, Any] = {"names": list(self.scaler.names), "compress": self.scaler.compress}
        for name in _SCALES:
            value = getattr(self.scaler, name)
            scaler[name] = None if value is None else value.double().tolist()
        return {"params": self.params.to_dict(), "scaler": scaler, "task": self.task.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preparation:
        """The inverse of :meth:`to_dict`."""
        facts = values["scaler"]
        scaler = FeatureScaler(facts["names"], facts["compress"])
        for name in _SCALES:
            setattr(scaler, name, None if facts[name] is None else torch.tensor(facts[name], dtype=torch.float32, device="cpu"))
        return cls(ProcessParams.from_dict(values["params"]), scaler, Task.from_dict(values["task"]))


def _with_units(task: Task, graphs: list[GaugeGraph]) -> Task:
    """The task with mean and deviation of its numbers; vectors have one scale and no mean, since no direction is special."""
    if task.kind not in ("regress", "vectors"):
        return task
    values = torch.cat([graph.y.double() for graph in graphs])
    mean = torch.zeros(values.shape[1]).double() if task.kind == "vectors" else torch.nanmean(values, 0)
    square = torch.nanmean((values - mean).square(), 0)
    if task.kind == "vectors":
        square = square.mean().expand(3)
    std = torch.where(square > 0, square, 1.0).sqrt()
    return dataclasses.replace(task, mean=_numbers(mean), std=_numbers(std))


def _numbers(values: Tensor) -> tuple[float, ...]:
    return tuple(torch.nan_to_num(values).tolist())
