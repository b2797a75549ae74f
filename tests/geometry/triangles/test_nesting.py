"""Cavities stay cavities; mirror images are mirror images; and inspect calls nothing ok that is not."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.cli import main
from gaugenet.geometry import TriangleMesh, check_mesh, inspect_mesh, mirror, repair_mesh
from gaugenet.geometry.meshes.double_cover import MIRROR
from gaugenet.geometry.triangles.nesting import winding_number
from tests.helpers.corpus import joined, plate, sphere, torus
from tests.helpers.meshes import bumpy
from tests.helpers.pathological import obj

V, F = sphere(2)
IN = F[:, ::-1]


def volumes(mesh, count: int) -> list[float]:
    """Signed volume of each of ``count`` balls."""
    corners = mesh.vertices[mesh.faces].reshape(count, -1, 3, 3)
    return [float(np.linalg.det(c - c.mean(axis=(0, 1))).sum() / 6) for c in corners]


def test_a_hollow_ball_keeps_its_volume():
    mesh = check_mesh(*joined((V, F), (0.6 * V, IN)))
    outer, inner = volumes(mesh, 2)
    assert outer > 0 > inner and inner == pytest.approx(-(0.6**3) * outer)
    assert [w.kind for w in mesh.warnings] == ["cavity"] and mesh.warnings[0].ids == tuple(range(len(F), 2 * len(F)))
    np.testing.assert_array_equal(mesh.faces[len(F) :] - len(V), IN)
    assert inspect_mesh(mesh).volume == pytest.approx(outer * (1 - 0.6**3))
    fixed, actions = repair_mesh(*joined((V, F), (0.6 * V, IN)))
    assert not actions and [w.kind for w in fixed.warnings] == ["cavity"] and volumes(fixed, 2) == [outer, inner]


@pytest.mark.parametrize(
    ("given", "expected", "kinds"),
    [
        ("++", "++", []),  # a ball in a ball: nothing says that there is a cavity
        ("-+", "+-", ["inside_out", "cavity"]),  # all of it inside out
        ("--", "+-", ["inside_out", "cavity"]),
        ("+-+", "+-+", ["cavity"]),
        ("+--", "+-+", ["inside_out", "cavity"]),
        ("+-+-", "+-+-", ["cavity"]),
    ],
)
def test_by_nesting(given, expected, kinds):
    balls = [(V * 0.7**k + 0.01 * k, F if sign == "+" else IN) for k, sign in enumerate(given)]
    mesh = check_mesh(*joined(*balls))
    assert "".join("+" if x > 0 else "-" for x in volumes(mesh, len(given))) == expected
    assert [w.kind for w in mesh.warnings] == kinds


def test_beside_or_across_is_not_inside():
    for shift in (3.0, 0.9):
        mesh = check_mesh(*joined((V, F), (0.6 * V + [shift, 0, 0], IN)))
        assert [w.kind for w in mesh.warnings] == ["inside_out"] and min(volumes(mesh, 2)) > 0
    # In the hole of a torus: within its bounding box.
    v, f = torus(24, 12)
    mesh = check_mesh(*joined((v, f), (0.3 * V, IN)))
    assert [w.kind for w in mesh.warnings] == ["inside_out"]
    # Open surfaces contain nothing.
    mesh = check_mesh(*joined((plate()[0] * 10 - 20, plate()[1]), (V, IN)))
    assert [w.kind for w in mesh.warnings] == ["inside_out"]


def test_winding_numbers():
    assert winding_number(np.array([0.1, 0.2, 0.3]), V, F) == pytest.approx(1)
    assert winding_number(np.array([0.1, 0.2, 0.3]), V, IN) == pytest.approx(-1)
    assert winding_number(np.array([0.9, 0.9, 0.9]), V, F) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", ["bumpy", "hollow", "plate"])
def test_the_mirror_image_has_the_mirrored_geometry(shape, axis):
    v, f = {"bumpy": bumpy(2), "hollow": joined(bumpy(2), (0.5 * V, IN)), "plate": plate()}[shape]
    options = {"rings": 2, "features": "curvature,second_fundamental_form"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = geometry.mesh(v, f, **options)
        image = mirror(TriangleMesh(v, f), axis)
        reflection = np.diag(np.where(np.arange(3) == axis, -1.0, 1.0))
        two = geometry.mesh(image, frames=reflection @ one.frame @ MIRROR, **options)
    np.testing.assert_array_equal(one.edge_index, two.edge_index)
    assert np.allclose(two.log, one.log @ MIRROR, rtol=0, atol=1e-12)
    assert np.allclose(two.transport, MIRROR @ one.transport @ MIRROR, rtol=0, atol=1e-12)
    assert np.allclose(two.weight, one.weight, rtol=1e-12) and np.allclose(two.curvature, one.curvature, rtol=0, atol=1e-11)
    for name, feature in one.features.items():
        g = np.broadcast_to(MIRROR, (one.num_nodes, 2, 2))
        assert np.allclose(two.features[name].values, feature.carried(g).values, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(mirror(image, axis).vertices, v)


def test_mirror_refuses_other_axes():
    with pytest.raises(ValueError, match="axis must be 0, 1 or 2, got 3"):
        mirror(TriangleMesh(V, F), 3)


def pinched() -> tuple[np.ndarray, np.ndarray]:
    """A ball with an edge of no length: two of its vertices at one place."""
    v = V.copy()
    v[F[0, 1]] = v[F[0, 0]]
    return v, F


def test_inspect_does_not_call_zero_length_edges_ok(tmp_path, capsys):
    report = inspect_mesh(*pinched())
    assert not report.ok and report.error["kind"] == "zero_length" and report.zero_length_faces == 2
    assert report.gauss_bonnet_residual > 6 and "zero length" in str(report).splitlines()[0]
    assert "--repair" in report.error["message"] and report.repair
    assert inspect_mesh(repair_mesh(*pinched())[0]).ok
    assert "zero_length" in {w.kind for w in check_mesh(*pinched()).warnings}
    assert main(["inspect", str(obj(tmp_path / "a.obj", pinched()))]) == 1
    assert "not sound: 2 faces have edges of zero length" in capsys.readouterr().out


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e150, 1e300, 1.7e308, 1e-150, 1e-300])
def test_absurd_units_are_a_word_and_no_warning_of_numpy(tmp_path, capsys, scale):
    report = inspect_mesh(V * scale, F)
    assert not report.ok and report.error["kind"] == "zero_size" and "take a unit of length" in report.error["message"]
    assert report.genus == 0 and report.gauss_bonnet_residual < 1e-10 and report.zero_area_faces == 0
    json.loads(report.to_json())
    assert report.edge_length["max"] == pytest.approx(inspect_mesh(V, F).edge_length["max"] * scale)
    path = obj(tmp_path / "a.obj", (V, F), scale=scale)
    for command in (
        ["inspect", str(path)],
        ["check", str(path)],
        ["preprocess", str(path), str(tmp_path / "o"), "--rings", "1"],
    ):
        if command[0] != "preprocess" or scale == 1e150:
            assert main(command) == 1
    told = capsys.readouterr()
    assert "RuntimeWarning" not in told.err and "Traceback" not in told.err and "take a unit" in told.out + told.err
