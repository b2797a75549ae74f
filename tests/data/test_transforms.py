from __future__ import annotations

import inspect

import pytest
import torch
from torch_geometric.data import Data

from gaugenet import geometry
from gaugenet.data import MeshToGauge


def test_mesh_to_gauge():
    ball = geometry.icosphere(2)
    data = Data(pos=torch.from_numpy(ball.positions).float(), face=torch.from_numpy(ball.faces.T), y=torch.tensor([3]))
    graph = MeshToGauge(rings=2)(data)
    assert graph.log.dtype == torch.float32 and graph.y.item() == 3 and graph.num_nodes == 162
    assert MeshToGauge(rings=1)(data).num_edges < graph.num_edges
    assert repr(MeshToGauge(rings=1)) == "MeshToGauge(rings=1)"
    with pytest.raises(ValueError, match="pos"):
        MeshToGauge()(Data(pos=data.pos))


def test_arguments_are_those_of_a_mesh():
    """The same names and defaults, and all of them reach the mesh."""
    of_the_data = ("path_or_vertices", "faces", "vertex_data", "face_data")
    of_mesh = {name: p for name, p in inspect.signature(geometry.mesh).parameters.items() if name not in of_the_data}
    shown = inspect.signature(MeshToGauge).parameters
    assert {name: p.default for name, p in shown.items()} == {name: p.default for name, p in of_mesh.items()}
    assert {name: p.annotation for name, p in shown.items()} == {name: p.annotation for name, p in of_mesh.items()}
    given = {name: object() for name in shown}
    assert MeshToGauge(**given).options == given
    with pytest.raises(TypeError, match="ring"):
        MeshToGauge(ring=2)
