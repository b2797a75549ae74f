"""check_mesh: every row of the table of pathologies."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import MeshError
from gaugenet.geometry.triangles.checks import check_mesh, mollify, zero_area_faces
from gaugenet.geometry.triangles.face_adjacency import edge_table
from tests.helpers.corpus import cases, joined, klein_bottle, moebius, plate, soup, sphere, torus, with_t_vertex

CASES = cases()


def consistent(faces: np.ndarray) -> bool:
    """Every directed edge occurs once."""
    directed = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    return len(np.unique(directed, axis=0)) == len(directed)


def volume(vertices, faces) -> float:
    return float(np.linalg.det(vertices[faces]).sum() / 6)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.error is None])
def test_sound_and_mendable(name):
    case = CASES[name]
    mesh = check_mesh(case.vertices, case.faces)
    assert {w.kind for w in mesh.warnings} == case.warnings
    assert mesh.vertices.dtype == np.float64 and mesh.faces.dtype == np.int64
    assert mesh.vertices.flags.c_contiguous and mesh.faces.flags.c_contiguous
    assert consistent(mesh.faces) and mesh.orientable
    assert len(np.unique(mesh.faces)) == mesh.num_vertices
    np.testing.assert_array_equal(mesh.vertices, case.vertices[mesh.vertex_ids])
    if case.faces.shape[1] == 3:
        renumbered = np.sort(mesh.vertex_ids[mesh.faces], axis=1)
        np.testing.assert_array_equal(renumbered, np.sort(case.faces[mesh.face_ids], axis=1))


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.error is not None])
def test_errors(name):
    case = CASES[name]
    with pytest.raises(MeshError, match=r"some/file\.obj") as info:
        check_mesh(case.vertices, case.faces, path="some/file.obj")
    assert info.value.kind == case.error
    assert info.value.ids or case.error in ("empty", "zero_size")


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("nan", [5]),
        ("inf", [7]),
        ("three_on_an_edge", [0, 1]),
        ("bow_tie", [0]),
        ("two_triangles_at_a_vertex", [0]),
    ],
)
def test_error_ids(name, ids):
    with pytest.raises(MeshError) as info:
        check_mesh(CASES[name].vertices, CASES[name].faces)
    assert info.value.ids == ids
    assert f"ids {', '.join(map(str, ids))}" in str(info.value)


def test_out_of_range_names_the_faces():
    case = CASES["index_too_large"]
    with pytest.raises(MeshError, match=f"vertex {len(case.vertices)} of {len(case.vertices)}") as info:
        check_mesh(case.vertices, case.faces)
    np.testing.assert_array_equal(info.value.ids, np.flatnonzero((case.faces == len(case.vertices)).any(1)))


def test_warning_ids_number_the_input():
    mesh = check_mesh(CASES["duplicate_faces"].vertices, CASES["duplicate_faces"].faces)
    count = len(sphere(2)[1])
    assert mesh.warnings[0].ids == (count, count + 1, count + 2)
    mesh = check_mesh(CASES["unreferenced"].vertices, CASES["unreferenced"].faces)
    assert mesh.warnings[0].ids == (10,) and 10 not in mesh.vertex_ids
    mesh = check_mesh(CASES["repeated_index"].vertices, CASES["repeated_index"].faces)
    assert mesh.warnings[0].ids == (0, count + 1)
    np.testing.assert_array_equal(mesh.face_ids, np.arange(1, count + 1))


def test_flips_the_fewer_and_outward():
    v, f = sphere(2)
    wrong = f.copy()
    wrong[:5] = wrong[:5, ::-1]
    mesh = check_mesh(v, wrong)
    assert mesh.warnings[0].ids == (0, 1, 2, 3, 4)
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(volume(v, f))
    for mostly_inward in (f[:, ::-1], np.where(np.arange(len(f))[:, None] % 3 == 0, f, f[:, ::-1])):
        mesh = check_mesh(v, mostly_inward)
        assert consistent(mesh.faces)
        assert volume(mesh.vertices, mesh.faces) == pytest.approx(volume(v, f))


def test_components_are_oriented_one_by_one():
    v, f = sphere(1)
    a, b = joined((v, f), (v + 4.0, f[:, ::-1]))
    mesh = check_mesh(a, b)
    assert volume(v, mesh.faces[: len(f)]) > 0
    assert volume(v, mesh.faces[len(f) :] - len(v)) > 0
    assert mesh.warnings[0].ids == tuple(range(len(f), 2 * len(f)))


def test_open_surfaces_keep_their_side():
    v, f = plate()
    for faces in (f, f[:, ::-1]):
        mesh = check_mesh(v, faces)
        np.testing.assert_array_equal(mesh.faces, faces)
        assert not mesh.warnings


@pytest.mark.parametrize("surface", [moebius, klein_bottle])
def test_nonorientable_when_allowed(surface):
    v, f = surface()
    with pytest.raises(MeshError) as info:
        check_mesh(v, f)
    assert 0 < len(info.value.ids) < len(f)
    mesh = check_mesh(v, f, allow_nonorientable=True)
    assert not mesh.orientable
    # Oriented but for a seam: far fewer directed edges clash than there are edges.
    directed = mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    clashes = len(directed) - len(np.unique(directed, axis=0))
    assert 0 < clashes < 0.25 * len(edge_table(f).ends)


def test_nonorientable_beside_an_orientable_part():
    v, f = sphere(1)
    a, b = joined(moebius(), (v + 4.0, f[:, ::-1]))
    mesh = check_mesh(a, b, allow_nonorientable=True)
    assert not mesh.orientable
    assert volume(a, mesh.faces[-len(f) :]) > 0


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("name", ["soup", "zero_area", "seam", "inconsistent", "inside_out", "bow_tie"])
def test_verdict_does_not_depend_on_scale(name, scale):
    case = CASES[name]
    if case.error:
        with pytest.raises(MeshError) as info:
            check_mesh(case.vertices * scale, case.faces)
        assert info.value.kind == case.error
    else:
        assert {w.kind for w in check_mesh(case.vertices * scale, case.faces).warnings} == case.warnings


def test_far_apart_triangles_are_not_a_soup():
    v, f = soup(sphere(1))
    apart = v + np.repeat(np.arange(len(f)), 3)[:, None] * 10.0
    assert check_mesh(apart, f).num_faces == len(f)


def test_input_is_left_alone():
    v, f = sphere(1)
    f = f[:, ::-1].copy()
    v.setflags(write=False)
    f.setflags(write=False)
    mesh = check_mesh(v, f)
    mesh.vertices[0] = 7.0
    mesh.faces[0] = 0
    assert v.max() <= 1.0


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_index_dtypes(dtype):
    v, f = torus(5, 4)
    np.testing.assert_array_equal(check_mesh(v, f.astype(dtype)).faces, check_mesh(v, f).faces)
    with pytest.raises(MeshError, match="vertex 100 of 20"):
        check_mesh(v, np.where(f == 3, 100, f).astype(dtype))


@pytest.mark.parametrize(
    ("vertices", "faces", "error", "words"),
    [
        (np.zeros((4, 2)), np.array([[0, 1, 2]]), MeshError, r"\(V, 3\), got \(4, 2\)"),
        (np.zeros(6), np.array([[0, 1, 2]]), MeshError, r"got \(6,\)"),
        (np.eye(3), np.array([0, 1, 2]), MeshError, r"\(F, 3\).*got \(3,\)"),
        (np.eye(3), np.array([[0, 1, 2, 0, 1]]), MeshError, r"got \(1, 5\)"),
        (np.eye(3), np.array([[0.0, 1, 2]]), TypeError, "integers, got dtype float64"),
        (np.eye(3), np.array([[True, False, True]]), TypeError, "got dtype bool"),
        (np.eye(3).astype(complex), np.array([[0, 1, 2]]), TypeError, "complex128"),
        (np.eye(3).astype(str), np.array([[0, 1, 2]]), TypeError, "dtype <U"),
    ],
)
def test_wrong_arguments(vertices, faces, error, words):
    with pytest.raises(error, match=words):
        check_mesh(vertices, faces)


def test_quads_map_to_their_polygon():
    mesh = check_mesh(CASES["quads"].vertices, CASES["quads"].faces)
    np.testing.assert_array_equal(mesh.face_ids, np.repeat(np.arange(6), 2))
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(1.0)


def test_zero_area_faces():
    v, f = with_t_vertex()
    assert zero_area_faces(v, f).tolist() == [2]
    v[2, 1] = -1e-9
    assert zero_area_faces(v, f).size == 0
    coincident = np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert zero_area_faces(coincident, np.array([[0, 1, 2]])).tolist() == [0]


def test_mollify_is_the_smallest_shift():
    v, f = with_t_vertex()
    lengths = np.linalg.norm(v[f] - v[np.roll(f, -1, axis=1)], axis=2)
    for relative in (1e-3, 1e-5):
        out = mollify(lengths, relative)
        margin = out.sum(axis=1) - 2 * out.max(axis=1)
        assert margin.min() == pytest.approx(relative * lengths.mean(), rel=1e-9)
        assert np.ptp(out - lengths) < 1e-15
    np.testing.assert_array_equal(mollify(lengths[[0, 1, 3]]), lengths[[0, 1, 3]])
    violated = mollify(np.array([[1.0, 1.0, 2.5]]))
    assert violated.sum() - 2 * violated.max() == pytest.approx(1e-5 * 1.5)
    assert mollify(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("lengths", [np.ones(3), np.ones((2, 4)), np.array([[1.0, np.nan, 1.0]]), np.array([[1.0, -1.0, 1.0]])])
def test_mollify_refuses(lengths):
    with pytest.raises(ValueError, match="lengths must"):
        mollify(lengths)


def test_order_of_vertices_does_not_matter():
    rng = np.random.default_rng(0)
    v, f = CASES["inconsistent"].vertices, CASES["inconsistent"].faces
    order = rng.permutation(len(v))
    rank = np.argsort(order)
    a, b = check_mesh(v, f), check_mesh(v[order], rank[f])
    np.testing.assert_array_equal(rank[a.faces], b.faces)
