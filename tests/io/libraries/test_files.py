"""VTK, GMSH, GIFTI and FreeSurfer files: what other programs write arrives; a bad file gets one sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import MeshError, MissingDependencyError
from gaugenet.geometry import ProcessParams, find_meshes, load_mesh, process_one
from gaugenet.io import libraries
from gaugenet.io.loading import mesh_format, source_mesh
from tests.helpers.corpus import torus
from tests.helpers.extras import library

VERTICES, FACES = torus()
LABELS = np.arange(len(VERTICES)) % 3
WSS = np.random.default_rng(0).normal(size=(len(VERTICES), 3))
PARTS = np.arange(len(FACES)) % 5


def write_meshio(path):
    meshio = library("meshio")
    mesh = meshio.Mesh(VERTICES, [("triangle", FACES)], {"label": LABELS.astype(float), "wss": WSS}, {"part": [PARTS * 1.0]})
    mesh.write(path, "gmsh" if path.suffix == ".msh" else None)  # .msh is also the name of another format


def write_pyvista(path):
    pyvista = library("pyvista")
    mesh = pyvista.PolyData.from_regular_faces(VERTICES, FACES)
    mesh["label"], mesh["wss"], mesh.cell_data["part"] = LABELS, WSS, PARTS
    (mesh.cast_to_unstructured_grid() if path.suffix == ".vtu" else mesh).save(path)


WRITERS = [(write_meshio, ".vtu"), (write_meshio, ".vtk"), (write_meshio, ".msh")]
WRITERS += [(write_pyvista, extension) for extension in (".vtp", ".vtk", ".vtu")]


@pytest.mark.parametrize(("write", "extension"), WRITERS)
def test_round_trip(tmp_path, write, extension):
    path = tmp_path / f"torus{extension}"
    library("pyvista")
    write(path)
    mesh = load_mesh(path)
    assert np.array_equal(mesh.vertices, VERTICES) and np.array_equal(mesh.faces, FACES)
    assert np.array_equal(mesh.vertex_data["label"], LABELS) and np.array_equal(mesh.vertex_data["wss"], WSS)
    assert np.array_equal(mesh.face_data["part"], PARTS) and mesh.path == str(path)
    assert np.array_equal(process_one(path, ProcessParams(rings=1)).vertex_data["wss"], WSS)


def brain(shared):
    with np.load(shared / "data" / "fsaverage5" / "fsaverage5_left.npz") as data:
        return dict(data)


def gifti(nibabel, **arrays):
    """A GIFTI image; names of intents -> (array, name)."""
    image = nibabel.GiftiImage()
    for intent, (values, name) in arrays.items():
        kind = "NIFTI_TYPE_FLOAT32" if values.dtype.kind == "f" else "NIFTI_TYPE_INT32"
        values = values.astype(np.float32 if values.dtype.kind == "f" else np.int32)
        meta = nibabel.gifti.GiftiMetaData({"Name": name} if name else {})
        image.add_gifti_data_array(nibabel.gifti.GiftiDataArray(values, intent=intent, datatype=kind, meta=meta))
    return image


def test_the_cortex_as_gifti(tmp_path, shared):
    nibabel, data = library("nibabel"), brain(shared)
    names = [str(name) for name in data["aparc_names"]]
    surface = {"NIFTI_INTENT_POINTSET": (data["pial"], ""), "NIFTI_INTENT_TRIANGLE": (data["faces"], "")}
    image = gifti(nibabel, **surface, NIFTI_INTENT_SHAPE=(data["sulc"], "sulc"), NIFTI_INTENT_LABEL=(data["aparc_label"], ""))
    for key, name in enumerate(names):
        image.labeltable.labels.append(nibabel.gifti.GiftiLabel(key))
        image.labeltable.labels[-1].label = name
    nibabel.save(image, tmp_path / "lh.pial.surf.gii")
    for mesh in (load_mesh(tmp_path / "lh.pial.surf.gii"), source_mesh(image, None)):
        assert np.array_equal(mesh.vertices, data["pial"]) and np.array_equal(mesh.faces, data["faces"])
        assert np.array_equal(mesh.vertex_data["sulc"], data["sulc"])
        assert np.array_equal(mesh.vertex_data["label"], data["aparc_label"]) and mesh.names == {"label": names}
        assert not mesh.warnings
    # Values in files of their own, on the surface in another.
    nibabel.save(gifti(nibabel, NIFTI_INTENT_SHAPE=(data["curv"], "Curvature")), tmp_path / "lh.curv.shape.gii")
    mesh = source_mesh(tmp_path / "lh.pial.surf.gii", None, {"curvature": tmp_path / "lh.curv.shape.gii"})
    assert np.array_equal(mesh.vertex_data["curvature"], data["curv"])


def test_the_cortex_as_freesurfer(tmp_path, shared):
    nibabel, data = library("nibabel"), brain(shared)
    freesurfer = nibabel.freesurfer
    white, names = tmp_path / "lh.white", [str(name) for name in data["aparc_names"]]
    freesurfer.write_geometry(white, data["white"], data["faces"].astype(int))
    freesurfer.write_morph_data(tmp_path / "lh.curv", data["curv"])
    table = np.zeros((len(names), 5), int)
    table[:, 0] = np.arange(len(names)) + 1
    labels = np.maximum(data["aparc_label"], 0).astype(int)
    freesurfer.write_annot(tmp_path / "lh.aparc.annot", labels, table, names, fill_ctab=True)
    (tmp_path / "lh.MT.label").write_text("#! label\n2\n5 0 0 0 0\n7 0 0 0 0\n")
    np.save(tmp_path / "age.npy", data["area"])
    files = {"curv": "lh.curv", "aparc": "lh.aparc.annot", "mt": "lh.MT.label", "age": "age.npy"}
    mesh = source_mesh(white, None, {name: tmp_path / file for name, file in files.items()})
    assert np.array_equal(mesh.vertices, data["white"]) and np.array_equal(mesh.faces, data["faces"])
    assert np.array_equal(mesh.vertex_data["curv"], data["curv"]) and np.array_equal(mesh.vertex_data["age"], data["area"])
    assert np.array_equal(mesh.vertex_data["aparc"], labels) and mesh.names == {"aparc": names}
    assert np.flatnonzero(mesh.vertex_data["mt"]).tolist() == [5, 7]
    # In a folder the surface counts, and what lies beside it does not.
    (tmp_path / "hand.obj.orig").write_text("")
    assert list(find_meshes([tmp_path])) == ["lh.white"]


def test_values_of_another_byte_order_become_a_graph(tmp_path):
    """Annotations are big-endian, and arrays may be."""
    freesurfer, table = library("nibabel").freesurfer, np.eye(3, 5, dtype=int)
    freesurfer.write_geometry(tmp_path / "lh.white", VERTICES, FACES)
    freesurfer.write_annot(tmp_path / "lh.parts.annot", LABELS, table, ["a", "b", "c"], fill_ctab=True)
    np.save(tmp_path / "age.npy", WSS.astype(">f8"))
    beside = {"parts": tmp_path / "lh.parts.annot", "age": tmp_path / "age.npy"}
    graph = geometry.mesh(tmp_path / "lh.white", rings=1, vertex_data=beside).to_graph()
    assert graph.vertex_parts.tolist() == LABELS.tolist() and graph.vertex_age.tolist() == WSS.tolist()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lh.white", "freesurfer"),
        ("rh.sphere.reg", "freesurfer"),
        ("a/rh.pial.T1", "freesurfer"),
        ("lh.curv", None),
        ("x.white", None),
        ("a.VTP", ".vtp"),
        ("b.surf.gii", ".gii"),
    ],
)
def test_format_of_a_name(name, kind):
    assert mesh_format(name) == kind


def damaged(write, extension, tmp_path):
    path = tmp_path / f"whole{extension}"
    write(path)
    data = path.read_bytes()
    return data[: len(data) // 2]


@pytest.mark.parametrize(("write", "extension"), WRITERS)
def test_truncated(tmp_path, write, extension, capfd):
    path = tmp_path / f"bad{extension}"
    path.write_bytes(damaged(write, extension, tmp_path))
    capfd.readouterr()
    with pytest.raises(MeshError, match=rf"not a {extension} file that (pyvista|meshio) can read") as info:
        load_mesh(path)
    assert info.value.kind == "unreadable" and str(info.value).startswith(str(path)) and "\n" not in str(info.value)
    assert not capfd.readouterr().err  # nothing of VTK's own beside it


BAD = [
    ("a.gii", b"<?xml version='1.0'?><GIFTI>", "not a GIFTI file"),
    ("a.gii", b"hello", "not a GIFTI file"),
    ("lh.white", b"solid", "does not begin with"),
    ("lh.white", b"\xff\xff\xfecreated\n\n\x00\x00", "not a FreeSurfer surface"),
    ("a.msh", b"$MeshFormat\n", "not a .msh file that meshio can read"),
    ("a.vtp", b"<VTKFile type='PolyData'><PolyData/></VTKFile", "not a .vtp file that pyvista can read"),
]


@pytest.mark.parametrize(("name", "data", "words"), BAD)
def test_bad_files(tmp_path, name, data, words, capfd):
    library("nibabel"), library("meshio"), library("pyvista")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MeshError, match=words) as info:
        load_mesh(tmp_path / name)
    assert str(info.value).startswith(str(tmp_path / name)) and "\n" not in str(info.value)
    assert not capfd.readouterr().err


def test_values_without_a_surface(tmp_path):
    nibabel = library("nibabel")
    nibabel.save(gifti(nibabel, NIFTI_INTENT_SHAPE=(WSS[:, 0], "wss")), tmp_path / "wss.shape.gii")
    with pytest.raises(MeshError, match="values without their surface go into vertex_data"):
        load_mesh(tmp_path / "wss.shape.gii")
    geom = geometry.mesh(VERTICES, FACES, rings=1, vertex_data={"wss": tmp_path / "wss.shape.gii"})
    assert np.array_equal(geom.vertex_data["wss"], WSS[:, 0].astype(np.float32))
    (tmp_path / "lh.curv").write_bytes(b"no curvature")
    for name, error, words in (("lh.curv", MeshError, "does not begin with"), ("lh.sulc", FileNotFoundError, "no such file")):
        with pytest.raises(error, match=words):
            geometry.mesh(VERTICES, FACES, vertex_data={"x": tmp_path / name})


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [("a.vtp", "pyvista", "formats"), ("a.msh", "meshio", "formats"), ("a.gii", "nibabel", "medical")],
)
def test_a_missing_library_says_which_extra(tmp_path, monkeypatch, name, library, extra):
    monkeypatch.setattr(libraries, "importlib", FailingImports)
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(MissingDependencyError, match=rf"files need {library}.*gaugenet\[{extra}\]"):
        load_mesh(tmp_path / name)


class FailingImports:
    @staticmethod
    def import_module(name):
        raise ImportError(name)


def test_no_warning_of_a_whole_file(tmp_path):
    path = tmp_path / "torus.vtp"
    write_pyvista(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_mesh(path)
