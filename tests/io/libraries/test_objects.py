"""Meshes of other libraries: vertices, faces, labels and fields arrive as they are; what is no surface is refused in words."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
import trimesh
from torch_geometric.data import Data

from gaugenet import geometry
from gaugenet.errors import MeshError
from gaugenet.io.loading import source_mesh
from tests.helpers.corpus import torus
from tests.helpers.extras import library

VERTICES, FACES = torus()
LABELS = np.arange(len(VERTICES)) % 3
WSS = np.random.default_rng(0).normal(size=(len(VERTICES), 3))
PARTS = np.arange(len(FACES)) % 5


def same(mesh, labels="label", wss="wss", parts="part"):
    """Vertices, faces and the arrays, digit by digit."""
    assert np.array_equal(mesh.vertices, VERTICES) and np.array_equal(mesh.faces, FACES)
    assert np.array_equal(mesh.vertex_data[labels], LABELS) and mesh.vertex_data[labels].dtype.kind == "i"
    assert np.array_equal(mesh.vertex_data[wss], WSS)
    assert np.array_equal(mesh.face_data[parts], PARTS) and mesh.face_data[parts].dtype.kind == "i"
    assert not mesh.warnings
    return mesh


def of_trimesh():
    return trimesh.Trimesh(
        VERTICES, FACES, process=False, vertex_attributes={"label": LABELS, "wss": WSS}, face_attributes={"part": PARTS}
    )


def of_meshio():
    meshio = library("meshio")
    cells = [("triangle", FACES[:40]), ("triangle", FACES[40:])]
    return meshio.Mesh(VERTICES, cells, {"label": LABELS, "wss": WSS}, {"part": [PARTS[:40], PARTS[40:]]})


def of_pyvista():
    pyvista = library("pyvista")
    mesh = pyvista.PolyData.from_regular_faces(VERTICES, FACES)
    mesh["label"], mesh["wss"], mesh.cell_data["part"] = LABELS, WSS, PARTS
    return mesh


def of_graph():
    wss = torch.tensor(WSS, requires_grad=True)
    more = {"label": torch.tensor(LABELS), "wss": wss, "part": torch.tensor(PARTS), "y": torch.tensor([3])}
    return Data(pos=torch.tensor(VERTICES), face=torch.tensor(FACES.T), **more)


@pytest.mark.parametrize("make", [of_trimesh, of_meshio, of_pyvista, of_graph])
def test_everything_arrives(make):
    same(source_mesh(make(), None))


def test_the_geometry_is_that_of_the_arrays():
    expected = geometry.mesh(VERTICES, FACES, rings=1)
    for source in (of_trimesh(), of_graph(), (VERTICES, FACES)):
        found = geometry.mesh(source, rings=1)
        assert np.array_equal(found.log, expected.log) and np.array_equal(found.transport, expected.transport)
    assert np.array_equal(geometry.mesh(of_trimesh(), rings=1).vertex_data["wss"], WSS)
    assert geometry.inspect_mesh(of_trimesh()).ok


def test_colours_of_a_trimesh():
    colours = np.random.default_rng(0).integers(0, 255, (len(FACES), 4))
    mesh = source_mesh(trimesh.Trimesh(VERTICES, FACES, process=False, face_colors=colours), None)
    assert np.array_equal(mesh.face_data["color"], colours)
    colours = colours[: len(VERTICES)]
    mesh = source_mesh(trimesh.Trimesh(VERTICES, FACES, process=False, vertex_colors=colours), None)
    assert np.array_equal(mesh.vertex_data["color"], colours)


def test_open3d_by_its_arrays():
    """open3d itself is large and lacks wheels for new Pythons: a class that looks like its own."""
    kind = type("TriangleMesh", (), {"__module__": "open3d.cuda.pybind.geometry"})
    mesh = kind()
    mesh.vertices, mesh.triangles, mesh.vertex_colors, mesh.vertex_normals = VERTICES, FACES.astype(np.int32), WSS, []
    found = source_mesh(mesh, None)
    assert np.array_equal(found.faces, FACES) and np.array_equal(found.vertex_data["color"], WSS)
    assert set(found.vertex_data) == {"color"}
    tensors = kind()
    tensors.to_legacy = lambda: mesh
    assert np.array_equal(source_mesh(tensors, None).vertices, VERTICES)


def test_polygons_are_cut_and_keep_their_data():
    pyvista, meshio = library("pyvista"), library("meshio")
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0], [2, 1, 1]])
    mesh = pyvista.PolyData(vertices, faces=[4, 0, 1, 2, 3, 3, 1, 4, 5, 3, 1, 5, 2], lines=[2, 0, 1], verts=[1, 0])
    mesh.cell_data["part"] = [9, 8, 5, 6, 7]
    cells = [("line", [[0, 1]]), ("quad", [[0, 1, 2, 3]]), ("triangle", [[1, 4, 5], [1, 5, 2]])]
    other = meshio.Mesh(vertices, cells, cell_data={"part": [[8], [5], [6, 7]]})
    pixels = pyvista.UnstructuredGrid([4, 0, 1, 3, 2, 3, 1, 4, 5, 3, 1, 5, 2], [8, 5, 5], vertices)
    pixels.cell_data["part"] = [5, 6, 7]
    for source in (mesh, other, pixels):
        found = source_mesh(source, None)
        assert found.faces.tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]]
        assert found.face_data["part"].tolist() == [5, 5, 6, 7] and found.face_ids.tolist() == [0, 0, 1, 2]
        assert [w.message for w in found.warnings] == ([] if source is pixels else ["left out points and lines"])


def test_what_is_no_number_for_every_vertex_is_mentioned():
    mesh = of_trimesh()
    mesh.vertex_attributes["name"] = np.array(["a"] * len(VERTICES))
    (warning,) = source_mesh(mesh, None).warnings
    assert warning.message == "left out name: not numbers with a row for every vertex"


def test_names_of_graphs_are_given_another_name():
    mesh = of_trimesh()
    mesh.vertex_attributes["ids"] = LABELS
    assert np.array_equal(source_mesh(mesh, None).vertex_data["ids_"], LABELS)


def refused():
    yield "Scene", lambda: trimesh.Scene(of_trimesh()), "to_mesh"
    yield "graph", lambda: Data(pos=torch.tensor(VERTICES)), r"pos \(V, 3\) and face"
    yield "faces", lambda: Data(pos=torch.tensor(VERTICES), face=torch.tensor(FACES.T).double()), "whole numbers"

    def tetrahedra():
        return library("meshio").Mesh(VERTICES, [("tetra", [[0, 1, 2, 3]])])

    yield "tetra", tetrahedra, "kinds tetra: extract the surface"
    yield "curved", lambda: library("meshio").Mesh(VERTICES, [("triangle6", [[0, 1, 2, 3, 4, 5]])]), "triangle6"

    def volume():
        pyvista = library("pyvista")
        return pyvista.UnstructuredGrid([4, 0, 1, 2, 3], [10], VERTICES)

    yield "volume", volume, r"TETRA.*extract_surface\(\)"
    yield "image", lambda: library("pyvista").ImageData(dimensions=(3, 3, 3)), "expected a pyvista.PolyData"
    yield "volume image", lambda: library("nibabel").Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), "GIFTI"


@pytest.mark.parametrize(("make", "words"), [pytest.param(*case[1:], id=case[0]) for case in refused()])
def test_what_is_no_surface_is_refused(make, words):
    with pytest.raises(MeshError, match=words) as info:
        geometry.mesh(make())
    assert "\n" not in str(info.value)


def test_a_stranger_is_a_type_error():
    with pytest.raises(TypeError, match=r"expected a file, .*trimesh.*open3d.*got SimpleNamespace"):
        geometry.mesh(types.SimpleNamespace(vertices=VERTICES))
    with pytest.raises(TypeError, match="faces come with an array of vertices"):
        geometry.mesh(of_trimesh(), FACES)


def test_arrays_of_trimesh_are_arrays():
    mesh = of_trimesh()
    same_vertices = geometry.mesh(mesh.vertices * 2, mesh.faces)
    assert np.array_equal(same_vertices.edge_index, geometry.mesh(VERTICES * 2, FACES).edge_index)
    with pytest.raises(TypeError, match="faces are missing, got TrackedArray"):
        geometry.mesh(mesh.vertices)
