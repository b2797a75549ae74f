"""geometry.mesh: accuracy against smooth surfaces, covariance, neighbourhoods, arguments."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError, MeshError, MissingDependencyError
from tests.helpers.extras import library
from tests.helpers.meshes import bumpy, cube, cylinder, planar_rotations, plate, random_rotation, torus


def angle_of(transport: np.ndarray) -> np.ndarray:
    return np.arctan2(transport[:, 1, 0], transport[:, 0, 0])


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.abs((angle + np.pi) % (2 * np.pi) - np.pi)


def tangent_frames(frame: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The frames turned into the exact tangent planes."""
    x = frame[:, :, 0] - normal * (frame[:, :, 0] * normal).sum(1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(normal, x)], -1)


def sphere_errors(geom) -> tuple[float, float, float]:
    """Mean position error in edge lengths and mean transport error (radians) against great circles; the edge length."""
    p = geom.positions
    frame = tangent_frames(geom.frame, p)
    q, t = geom.edge_index
    dot, cross = (p[t] * p[q]).sum(1), np.linalg.norm(np.cross(p[t], p[q]), axis=1)
    r = np.arctan2(cross, dot)
    d = p[q] - dot[:, None] * p[t]
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    leave = np.einsum("ei,eij->ej", d, frame[t])
    arrive = np.einsum("ei,eij->ej", np.cos(r)[:, None] * d - np.sin(r)[:, None] * p[t], frame[q])
    edge = np.linalg.norm(p[geom.faces[:, 0]] - p[geom.faces[:, 1]], axis=1).mean()
    turn = np.arctan2(leave[:, 1], leave[:, 0]) - np.arctan2(arrive[:, 1], arrive[:, 0])
    position = np.linalg.norm(geom.log - r[:, None] * leave, axis=1).mean() / edge
    return position, wrapped(angle_of(geom.transport) - turn).mean(), edge


def test_second_order_on_the_sphere():
    """Levels 3, 4, 5 with 33 neighbours; 10k vertices: at most 4e-4 edge lengths and 3e-5 rad."""
    errors = []
    for level in (3, 4, 5):
        ball = geometry.icosphere(level, rings=1)
        errors.append(sphere_errors(geometry.mesh(ball.positions, ball.faces)))
    position, transport, edge = np.array(errors).T
    assert position[-1] <= 4e-4 and transport[-1] <= 3e-5
    order = np.log(position[:-1] / position[1:]) / np.log(edge[:-1] / edge[1:])
    assert (order > 1.9).all()
    assert (np.log(transport[:-1] / transport[1:]) / np.log(edge[:-1] / edge[1:]) > 1.9).all()


def test_smoothing_is_what_makes_it_so():
    ball = geometry.icosphere(4, rings=1)
    smooth = sphere_errors(geometry.mesh(ball.positions, ball.faces))
    raw = sphere_errors(geometry.mesh(ball.positions, ball.faces, smooth=False))
    assert raw[0] > 1.5 * smooth[0] and raw[1] > 10 * smooth[1]


def torus_exp(u, v, heading, length, big=1.0, small=0.4, steps=200):
    """Geodesics of the torus by Runge-Kutta: end (u, v) and heading, angles from the u direction."""
    state = np.stack([u, v, heading])
    h = length / steps

    def slope(s):
        ring = big + small * np.cos(s[1])
        return np.stack([np.cos(s[2]) / ring, np.sin(s[2]) / small, -np.sin(s[1]) * np.cos(s[2]) / ring])

    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


def test_torus_against_the_geodesic_equation():
    """A surface of both signs of curvature, 2,304 vertices: shoot along our log map, see how far from q it ends."""
    vertices, faces = torus(96, 24)
    geom = geometry.mesh(vertices, faces)
    u, v = np.arctan2(vertices[:, 1], vertices[:, 0]), np.arctan2(vertices[:, 2], np.hypot(vertices[:, 0], vertices[:, 1]) - 1)
    along = np.stack([-np.sin(u), np.cos(u), 0 * u], 1)
    normal = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], 1)
    up = np.cross(normal, along)
    frame = tangent_frames(geom.frame, normal)
    turn = np.arctan2((frame[:, :, 0] * up).sum(1), (frame[:, :, 0] * along).sum(1))  # of the frame, from the u direction
    q, p = geom.edge_index
    heading = np.arctan2(geom.log[:, 1], geom.log[:, 0]) + turn[p]
    end_u, end_v, end_heading = torus_exp(u[p], v[p], heading, np.linalg.norm(geom.log, axis=1))
    ring = 1 + 0.4 * np.cos(end_v)
    du, dv = (wrapped(end_u - u[q]) * ring), wrapped(end_v - v[q]) * 0.4
    edge = np.sqrt(2 / np.sqrt(3) * geom.area.mean())
    assert np.hypot(du, dv).mean() / edge < 1.2e-2
    transport = heading - turn[p] - (end_heading - turn[q])
    assert wrapped(transport - angle_of(geom.transport)).mean() < 2e-3


@pytest.mark.parametrize("make, chart", [(plate, None), (cylinder, "angle")])
@pytest.mark.parametrize("smooth", [True, False])
def test_developable_surfaces_are_exact(make, chart, smooth):
    """Log maps are the differences in the unrolled chart, transport is that of the chart, to 1e-12; boundaries included."""
    vertices, faces = make()
    geom = geometry.mesh(vertices, faces, radius=1.9 if chart is None else 0.6, smooth=smooth)
    q, p = geom.edge_index
    if chart is None:
        flat, delta = vertices[:, :2], None
        delta = flat[q] - flat[p]
    else:  # 24 sides of a prism
        side = 2 * np.sin(np.pi / 24)
        around = np.rint(np.arctan2(vertices[:, 1], vertices[:, 0]) * 24 / (2 * np.pi))
        step = (around[q] - around[p] + 12) % 24 - 12
        delta = np.stack([step * side, vertices[q, 2] - vertices[p, 2]], 1)
    assert np.abs(np.linalg.norm(geom.log, axis=1) - np.linalg.norm(delta, axis=1)).max() < 1e-12
    # one rotation per vertex takes its frame to the chart; transport is their difference
    turn = np.angle(
        np.bincount(p, ((delta[:, 0] + 1j * delta[:, 1]) / (geom.log[:, 0] + 1j * geom.log[:, 1])).real)
        + 1j * np.bincount(p, ((delta[:, 0] + 1j * delta[:, 1]) / (geom.log[:, 0] + 1j * geom.log[:, 1])).imag)
    )
    charted = np.einsum("eij,ej->ei", planar_rotations(turn[p]), geom.log)
    assert np.abs(charted - delta).max() < 1e-11
    assert wrapped(angle_of(geom.transport) - (turn[q] - turn[p])).max() < 1e-11


def test_cone_holonomy():
    """Carrying a vector around the apex of the cube's corner turns it by the angle defect, pi / 2."""
    vertices, faces = cube(4)
    geom = geometry.mesh(vertices, faces, rings=1, smooth=False)
    corner = int(np.flatnonzero((vertices == 0).all(1))[0])
    matrix = {(int(q), int(p)): geom.transport[e] for e, (q, p) in enumerate(geom.edge_index.T)}
    around = [tuple(np.array(v) / 4) for v in [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)]]
    ids = [int(np.abs(vertices - np.array(v)).sum(1).argmin()) for v in around]
    ring = [i for i in ids if i != corner]
    total = np.eye(2)
    for a, b in zip(ring, [*ring[1:], ring[0]]):
        total = matrix[a, b] @ total
    assert abs(abs(np.arctan2(total[1, 0], total[0, 0])) - np.pi / 2) < 1e-12


def assert_same(a, b, tolerance=1e-12):
    assert np.array_equal(a.edge_index, b.edge_index)
    scale = np.abs(a.log).max()
    for x, y, unit in (
        (a.log, b.log, scale),
        (a.transport, b.transport, 1),
        (a.weight, b.weight, 1),
        (a.radius, b.radius, scale),
    ):
        assert np.abs(x - y).max() < tolerance * unit


def test_gauge_covariance():
    vertices, faces = bumpy()
    geom = geometry.mesh(vertices, faces, features="curvature,position,second_fundamental_form", levels=2)
    h = planar_rotations(np.random.default_rng(0).uniform(0, 2 * np.pi, len(vertices)))
    other = geometry.mesh(
        vertices, faces, frames=geom.frame @ h, features="curvature,position,second_fundamental_form", levels=2
    )
    changed = geom.gauge_transform(h)
    assert_same(changed, other)
    for name in changed.features:
        assert np.abs(changed.features[name].values - other.features[name].values).max() < 1e-10
    changed.validate()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_rigid_motion_and_scaling(scale):
    vertices, faces = bumpy()
    geom = geometry.mesh(vertices, faces, radius=0.5)
    moved = geometry.mesh((vertices @ random_rotation().T + 3.0) * scale, faces, radius=0.5 * scale)
    assert np.array_equal(geom.edge_index, moved.edge_index)
    assert np.abs(moved.log / scale - geom.log).max() < 1e-11
    assert np.abs(moved.transport - geom.transport).max() < 1e-11
    assert np.abs(moved.weight - geom.weight).max() < 1e-11
    assert np.abs(moved.frame - random_rotation() @ geom.frame).max() < 1e-11


def test_relabelling():
    """Another order of vertices and faces gives the same geometry, permuted, up to a change of frames."""
    vertices, faces = bumpy()
    rng = np.random.default_rng(1)
    new = rng.permutation(len(vertices))
    other_vertices = np.empty_like(vertices)
    other_vertices[new] = vertices
    other_faces = new[faces[rng.permutation(len(faces))]]
    other_faces = np.take_along_axis(other_faces, (np.arange(3) + rng.integers(0, 3, (len(faces), 1))) % 3, 1)
    geom, other = geometry.mesh(vertices, faces, radius=0.5), geometry.mesh(other_vertices, other_faces, radius=0.5)
    h = np.swapaxes(geom.frame, 1, 2) @ other.frame[new]
    changed = geom.gauge_transform(h)
    order = np.lexsort((new[changed.edge_index[0]], new[changed.edge_index[1]]))
    assert np.array_equal(new[changed.edge_index[:, order]], other.edge_index)
    assert np.abs(changed.log[order] - other.log).max() < 1e-11
    assert np.abs(changed.transport[order] - other.transport).max() < 1e-11


def test_neighbourhoods():
    vertices, faces = bumpy()
    default = geometry.mesh(vertices, faces)
    edge = np.sqrt(2 / np.sqrt(3) * default.area.mean())
    assert np.allclose(default.radius, 3 * edge) and 25 < default.num_edges / default.num_nodes < 40
    small = geometry.mesh(vertices, faces, radius=1.5 * edge)
    assert small.num_edges < default.num_edges
    radius = np.where(np.arange(len(vertices)) % 2, 1.5, 3.0) * edge
    mixed = geometry.mesh(vertices, faces, radius=radius)
    degree = [np.bincount(g.edge_index[1], minlength=len(vertices)) for g in (default, small, mixed)]
    assert np.array_equal(degree[2], np.where(np.arange(len(vertices)) % 2, degree[1], degree[0]))
    rings = geometry.mesh(vertices, faces, rings=2)
    farthest = np.zeros(len(vertices))
    np.maximum.at(farthest, rings.edge_index[1], np.linalg.norm(rings.log, axis=1))
    assert np.allclose(rings.radius, farthest * 1.25)
    for g in (default, small, mixed, rings):
        g.validate()
        assert np.allclose(g.weight, g.area[g.edge_index[0]] / (np.pi * g.radius[g.edge_index[1]] ** 2))


def test_nobody_near_is_legal():
    vertices, faces = bumpy(1)
    geom = geometry.mesh(vertices, faces, radius=1e-3)
    assert geom.num_edges == 0
    geom.validate()


def test_several_components_do_not_see_each_other():
    vertices, faces = bumpy(2)
    n = len(vertices)
    both = geometry.mesh(np.concatenate([vertices, vertices + 1e-6]), np.concatenate([faces, faces + n]), rings=2)
    one = geometry.mesh(vertices, faces, rings=2)
    assert both.num_edges == 2 * one.num_edges and ((both.edge_index[0] < n) == (both.edge_index[1] < n)).all()
    assert np.abs(both.log[: one.num_edges] - one.log).max() < 1e-12


def test_curvature_and_area():
    ball = geometry.icosphere(3, rings=1)
    geom = geometry.mesh(ball.positions, ball.faces, rings=1)
    assert abs((geom.curvature * geom.area).sum() - 4 * np.pi) < 1e-10
    assert np.abs(geom.curvature - 1).mean() < 0.05
    flat = geometry.mesh(*plate(), rings=1)
    assert np.abs(flat.curvature).max() < 1e-10 and abs(flat.area.sum() - 64) < 1e-10


def test_without_the_optional_backend(monkeypatch):
    monkeypatch.setitem(sys.modules, "potpourri3d", None)
    with pytest.raises(MissingDependencyError, match=r"not installed: pip install 'gaugenet\[heat\]'"):
        geometry.mesh(*cube(), rings=1, method="potpourri3d")


def test_the_optional_backend_is_close():
    library("potpourri3d")
    ball = geometry.icosphere(2, rings=1)
    heat, exact = (geometry.mesh(ball.positions, ball.faces, rings=2, method=m) for m in ("potpourri3d", "exact"))
    assert np.array_equal(heat.edge_index, exact.edge_index)
    assert np.linalg.norm(heat.log - exact.log, axis=1).mean() < 0.05 * np.linalg.norm(exact.log, axis=1).mean()
    assert wrapped(angle_of(heat.transport) - angle_of(exact.transport)).mean() < 0.01
    near = geometry.mesh(ball.positions, ball.faces, radius=0.4, method="potpourri3d")
    assert (np.linalg.norm(near.log, axis=1) <= 0.4).all() and near.num_edges < heat.num_edges


def test_files_levels_and_features(tmp_path):
    vertices, faces = bumpy(2)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    path = tmp_path / "a.obj"
    path.write_text("\n".join(lines))
    geom = geometry.mesh(path, rings=2, features="hks:4,curvature", levels=2, ratio=0.5)
    assert np.array_equal(geom.positions, vertices)
    assert geom.features["hks"].type == "4x0" and len(geom.levels()) == 3
    assert geom.coarse.geometry.num_nodes == round(0.5 * len(vertices))
    geom.validate()
    with pytest.raises(TypeError, match="not with a file"):
        geometry.mesh(path, faces)


def test_dropped_vertices_are_mapped():
    vertices, faces = bumpy(1)
    vertices = np.concatenate([[[9.0, 9, 9]], vertices])
    frames = np.concatenate([np.eye(3)[None, :, :2], geometry.mesh(*bumpy(1), rings=1).frame])
    radius = np.linspace(0.5, 1.0, len(vertices))
    with pytest.warns(UserWarning, match="no face uses"):
        geom = geometry.mesh(vertices, faces + 1, radius=radius, frames=frames)
    assert np.array_equal(geom.frame, frames[1:])
    assert geom.metadata["vertex_ids"] == list(range(1, len(vertices))) and np.array_equal(geom.radius, radius[1:])


def test_zero_area_faces_are_mollified():
    vertices, faces = plate(4, 0.0)
    middle = len(vertices)
    vertices = np.concatenate([vertices, [(vertices[faces[0, 0]] + vertices[faces[0, 1]]) / 2]])
    a, b, c = faces[0]
    faces = np.concatenate([faces[1:], [[a, middle, c], [middle, b, c], [a, b, middle]]])  # the last one has no area
    with pytest.warns(UserWarning, match="zero area"):
        geom = geometry.mesh(vertices, faces, rings=2)
    geom.validate(1e-6)


def test_threads_do_not_matter():
    vertices, faces = bumpy()
    assert_same(geometry.mesh(vertices, faces, threads=1), geometry.mesh(vertices, faces, threads=2), 1e-300)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"radius": 1.0, "rings": 2}, ValueError, "not both"),
        ({"rings": 0}, ValueError, "at least 1"),
        ({"radius": -1.0}, ValueError, "positive"),
        ({"radius": np.ones(3)}, ValueError, "shape"),
        ({"radius": float("nan")}, ValueError, "positive"),
        ({"method": "heat"}, ValueError, "exact, potpourri3d"),
        ({"levels": -1}, ValueError, "levels"),
        ({"frames": np.zeros((2, 3, 2))}, GeometryError, "frames"),
        ({"features": "hsk"}, ValueError, "hks"),
    ],
)
def test_bad_arguments(options, error, text):
    with pytest.raises(error, match=text):
        geometry.mesh(*bumpy(1), **options)
    with pytest.raises(TypeError, match="faces"):
        geometry.mesh(bumpy(1)[0])


def test_repair_is_asked_for():
    vertices, faces = plate(3, 0.0)
    extra = np.concatenate([vertices, [[0.5, 0.5, 1.0]]])
    shared_edge = np.concatenate([faces, [[0, 4, 9]]])  # a third face at the diagonal 0-4
    with pytest.raises(MeshError, match="non-manifold edge"):
        geometry.mesh(extra, shared_edge, rings=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        geometry.mesh(extra, shared_edge, rings=1, repair=True).validate()


def test_renumbering_keeps_the_numbers():
    """The same geometry under other numbers, which the metadata tell; frames of the user follow their vertices."""
    rng = np.random.default_rng(0)
    vertices, faces = torus(24, 16)
    order = rng.permutation(len(vertices))
    place = np.argsort(order)
    vertices, faces = vertices[order], place[faces]
    plain = geometry.mesh(vertices, faces, radius=0.6)
    found = geometry.mesh(vertices, faces, radius=0.6, renumber=True, frames=plain.frame)
    ids = np.array(found.metadata["vertex_ids"])
    assert sorted(ids) == list(range(len(vertices))) and (ids != np.arange(len(vertices))).any()
    np.testing.assert_array_equal(found.positions, vertices[ids])
    np.testing.assert_allclose(found.frame, plain.frame[ids], atol=1e-12)
    source, target = ids[found.edge_index]
    same = np.lexsort((source, target))
    np.testing.assert_array_equal(np.stack([source, target])[:, same], plain.edge_index)
    np.testing.assert_allclose(found.log[same], plain.log, atol=1e-9)
    np.testing.assert_allclose(found.transport[same], plain.transport, atol=1e-9)
    # Edges join vertices that are close in memory: the mean distance in numbers falls at least by half.
    assert np.abs(np.diff(found.edge_index, axis=0)).mean() < 0.5 * np.abs(np.diff(plain.edge_index, axis=0)).mean()


def test_float32_is_float64_rounded():
    exact, rounded = (geometry.mesh(*torus(24, 16), rings=2, dtype=dtype) for dtype in (np.float64, np.float32))
    for name in ("log", "transport", "weight"):
        assert getattr(rounded, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(rounded, name), getattr(exact, name).astype(np.float32))
    np.testing.assert_array_equal(rounded.edge_index, exact.edge_index)
    rounded.validate()


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_told(threads):
    seen = []
    geometry.mesh(*torus(60, 40), rings=1, threads=threads, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert len(seen) > 3 and done == sorted(done) and seen[-1] == (2400, 2400)
