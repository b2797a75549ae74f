"""inspect_mesh: numbers known in advance, also on broken meshes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh

from gaugenet.errors import MeshError
from gaugenet.geometry.triangles.report import inspect_mesh
from tests.helpers.corpus import cases, joined, klein_bottle, moebius, plate, sphere, torus

CASES = cases()


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (sphere(2), {"components": 1, "closed": True, "boundary_loops": 0, "euler": 2, "genus": 0}),
        (torus(), {"components": 1, "closed": True, "boundary_loops": 0, "euler": 0, "genus": 1}),
        (joined(torus(), torus(), sphere(1)), {"components": 3, "closed": True, "euler": 2, "genus": 2}),
        (plate(), {"components": 1, "closed": False, "boundary_loops": 1, "euler": 1, "genus": None, "volume": None}),
        (joined(plate(), sphere(1)), {"components": 2, "closed": False, "boundary_loops": 1, "genus": None}),
        (moebius(), {"orientable": False, "boundary_loops": 1, "euler": 0, "genus": None, "ok": False, "repair": None}),
        (klein_bottle(), {"orientable": False, "closed": True, "boundary_loops": 0, "euler": 0, "volume": None}),
    ],
    ids=["sphere", "torus", "three", "plate", "two", "moebius", "klein"],
)
def test_topology(mesh, expected):
    report = inspect_mesh(*mesh).to_dict()
    assert {k: report[k] for k in expected} == expected
    assert report["manifold"] and report["gauss_bonnet_residual"] < 1e-10


def test_an_annulus_has_two_loops():
    v, f = sphere(2)
    height = v[f].mean(axis=1)[:, 2]
    report = inspect_mesh(v, f[np.abs(height) < 0.7])
    assert (report.boundary_loops, report.euler) == (2, 0)


def test_measures_agree_with_trimesh():
    v, f = torus()
    report, other = inspect_mesh(v * 3 + 100, f), trimesh.Trimesh(v * 3 + 100, f, process=False)
    assert report.area == pytest.approx(other.area)
    assert report.volume == pytest.approx(other.volume) and report.volume > 0
    assert inspect_mesh(v * 3 + 100, f[:, ::-1]).volume == pytest.approx(-report.volume)
    lengths = other.edges_unique_length
    assert report.edge_length == pytest.approx(
        {"min": lengths.min(), "mean": lengths.mean(), "median": np.median(lengths), "max": lengths.max()}
    )
    np.testing.assert_allclose(report.bounding_box, other.bounds)


@pytest.mark.parametrize("name", list(CASES))
def test_every_case(name):
    case = CASES[name]
    if case.error in ("empty", "not_finite", "index_out_of_range"):
        with pytest.raises(MeshError):
            inspect_mesh(case.vertices, case.faces)
        return
    report = inspect_mesh(case.vertices, case.faces)
    assert report.ok == (case.error is None)
    assert (report.error or {}).get("kind") == case.error
    assert case.warnings == {w["kind"] for w in report.warnings}
    assert (report.repair is not None) == case.repaired
    assert json.loads(report.to_json())["faces"] == report.faces
    assert str(report).startswith("mesh: ok" if report.ok else "mesh: not usable")


def test_defects_are_counted():
    assert inspect_mesh(*CASES["fin_on_sphere"][:2]).non_manifold_edges == 1
    assert inspect_mesh(*CASES["bow_tie"][:2]).non_manifold_vertices == 1
    assert inspect_mesh(*CASES["zero_area"][:2]).zero_area_faces == 1
    broken = inspect_mesh(*CASES["fin_on_sphere"][:2])
    assert not broken.manifold and broken.boundary_loops is None and broken.gauss_bonnet_residual is None
    assert {a["kind"] for a in broken.repair} == {"split_edges", "split_vertices"}
    assert not inspect_mesh(*CASES["inconsistent"][:2]).consistently_wound
    soup = inspect_mesh(*CASES["soup"][:2])
    assert soup.components == soup.faces and soup.repair[0]["kind"] == "welded"
    loose = inspect_mesh(*CASES["unreferenced"][:2])
    assert loose.vertices == 67 and loose.euler == 2


def test_files(tmp_path):
    v, f = sphere(1)
    path = tmp_path / "a.stl"
    path.write_bytes(trimesh.Trimesh(v, f, process=False).export(file_type="stl"))
    report = inspect_mesh(path)
    assert report.path == str(path) and report.ok and report.warnings[0]["kind"] == "stl_weld"
    assert str(path) in str(report) and "genus: 0" in str(report)


def test_wrong_arguments(tmp_path):
    with pytest.raises(TypeError, match="faces are missing"):
        inspect_mesh(np.eye(3))
    with pytest.raises(TypeError, match="not with a file"):
        inspect_mesh("a.obj", np.zeros((1, 3), int))
