"""repair_mesh: what comes out passes check_mesh, and every step is told."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import MeshError
from gaugenet.geometry.triangles.checks import check_mesh
from gaugenet.geometry.triangles.repair import repair_mesh
from tests.helpers.corpus import cases, joined, moebius, plate, slit_sphere, soup, sphere, torus

CASES = cases()


def kinds(actions) -> set[str]:
    return {a.kind for a in actions}


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.repaired])
def test_result_passes(name):
    case = CASES[name]
    mesh, actions = repair_mesh(case.vertices, case.faces)
    again = check_mesh(mesh.vertices, mesh.faces)
    np.testing.assert_array_equal(again.faces, mesh.faces)
    assert kinds(again.warnings) <= {"zero_area"}
    np.testing.assert_array_equal(mesh.vertices, case.vertices[mesh.vertex_ids])
    # Repairing what is repaired does nothing.
    assert not repair_mesh(mesh.vertices, mesh.faces)[1]
    if case.error is None and not case.warnings:
        assert not actions
        assert mesh.num_vertices == len(case.vertices)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.repaired])
def test_beyond_repair(name):
    with pytest.raises(MeshError) as info:
        repair_mesh(CASES[name].vertices, CASES[name].faces, path="x.obj")
    assert info.value.kind == CASES[name].error and info.value.path == "x.obj"


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("mesh", [sphere(2), torus(), plate()], ids=["sphere", "torus", "plate"])
def test_soup_becomes_the_mesh(mesh, scale):
    v, f = mesh
    a, b = soup((v * scale, f))
    fixed, actions = repair_mesh(a, b)
    assert (fixed.num_vertices, fixed.num_faces) == (len(v), len(f))
    np.testing.assert_array_equal(np.sort(fixed.vertices[fixed.faces], axis=1), np.sort(v[f] * scale, axis=1))
    assert kinds(actions) == {"welded"}


def test_tolerance_is_relative():
    v, f = sphere(2)
    a, b = soup((v, f))
    a = a + 1e-6 * np.random.default_rng(0).standard_normal(a.shape)
    assert repair_mesh(a * 1e9, b, tolerance=1e-5)[0].num_vertices == len(v)
    assert repair_mesh(a * 1e9, b, tolerance=1e-8)[0].num_vertices == len(a)
    for wrong in (-1.0, 0.5, float("nan")):
        with pytest.raises(ValueError, match="tolerance"):
            repair_mesh(v, f, tolerance=wrong)


def test_seam_is_welded():
    a, b = slit_sphere()
    fixed, actions = repair_mesh(a, b)
    assert fixed.num_vertices == len(sphere(2)[0]) and "welded" in kinds(actions)


def test_touching_parts_stay_apart():
    v, f = plate()
    a, b = joined((v, f), (v * [-1, -1, 1], f))
    fixed, actions = repair_mesh(a, b)
    # They touch at one vertex, where welding them would make two fans meet.
    assert fixed.num_vertices == len(a) and fixed.num_faces == len(b)
    assert not actions


def test_fin_is_cut_off():
    case = CASES["fin_on_sphere"]
    fixed, actions = repair_mesh(case.vertices, case.faces)
    assert {"split_edges", "split_vertices"} <= kinds(actions)
    assert fixed.num_faces == len(case.faces)
    assert actions[0].ids == tuple(sorted(case.faces[0, :2].tolist()))


def test_bow_tie_is_split_once():
    fixed, actions = repair_mesh(CASES["bow_tie"].vertices, CASES["bow_tie"].faces)
    assert [a.kind for a in actions] == ["split_vertices"] and actions[0].ids == (0,)
    assert fixed.num_vertices == len(CASES["bow_tie"].vertices) + 1
    assert sorted(fixed.vertex_ids.tolist()).count(0) == 2


def test_short_edges_collapse():
    v, f = sphere(2)
    v = v.copy()
    v[f[0, 0]] = v[f[0, 1]]
    fixed, actions = repair_mesh(v, f)
    assert (fixed.num_vertices, fixed.num_faces) == (len(v) - 1, len(f) - 2)
    assert {"welded", "repeated_index"} <= kinds(actions)
    assert {w.kind for w in check_mesh(v, f).warnings} == {"zero_length", "zero_area"}


def test_zero_area_faces_stay():
    case = CASES["zero_area"]
    fixed, actions = repair_mesh(case.vertices, case.faces)
    assert fixed.num_faces == len(case.faces) and not actions
    assert fixed.warnings[0].kind == "zero_area" and fixed.warnings[0].ids == (2,)


def test_ids_number_the_input():
    v, f = sphere(2)
    faces = np.concatenate([[[3, 3, 4]], f, f[2:3]])
    faces[5] = faces[5, ::-1]
    fixed, actions = repair_mesh(v, faces)
    told = {a.kind: a.ids for a in actions}
    assert told == {"repeated_index": (0,), "duplicate_face": (len(f) + 1,), "flipped": (5,)}
    np.testing.assert_array_equal(fixed.face_ids, np.arange(1, len(f) + 1))


def test_moebius_when_allowed():
    v, f = moebius()
    fixed, _ = repair_mesh(*soup((v, f)), allow_nonorientable=True)
    assert fixed.num_vertices == len(v) and not fixed.orientable


def test_random_faces_come_out_sound():
    """Any handful of triangles, with coincident vertices and every kind of clash, is mended or refused for a named reason."""
    rng = np.random.default_rng(0)
    mended = 0
    for k in range(400):
        count = int(rng.integers(4, 9))
        v, f = rng.standard_normal((count, 3)), rng.integers(0, count, (int(rng.integers(1, 14)), 3))
        try:
            mesh, _ = repair_mesh(np.round(v) if k % 3 == 0 else v, f, allow_nonorientable=True)
        except MeshError as error:
            assert error.kind in ("empty", "zero_size")
            continue
        again = check_mesh(mesh.vertices, mesh.faces, allow_nonorientable=True)
        assert again.num_vertices == mesh.num_vertices and again.orientable == mesh.orientable
        mended += 1
    assert mended > 300
