"""geometry.point_cloud: accuracy against closed forms and meshes, neighbourhoods, normals, arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, nn, testing
from gaugenet.errors import GeometryError
from gaugenet.geometry.meshes.laplacian import eigenpairs, point_cloud_laplacian
from gaugenet.geometry.spheres.spherical import great_circle
from tests.helpers.meshes import bumpy, planar_rotations, plate, random_rotation, torus


def angle_of(transport):
    return np.arctan2(transport[:, 1, 0], transport[:, 0, 0])


def wrapped(angle):
    return np.abs((angle + np.pi) % (2 * np.pi) - np.pi)


def random_ball(count, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def tangent_frames(frame, normal):
    """The frames turned into the exact tangent planes."""
    x = frame[:, :, 0] - normal * (frame[:, :, 0] * normal).sum(1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(normal, x)], -1)


def spacing(geom):
    return np.sqrt(2 / np.sqrt(3) * geom.area.mean())


def sphere_errors(geom):
    """Against great circles: mean errors of position (in spacings), transport, curvature and area; the spacing."""
    frame = tangent_frames(geom.frame, geom.positions)
    log, transport = great_circle(geom.positions, frame, *geom.edge_index)
    position = np.linalg.norm(geom.log - log, axis=1).mean() / spacing(geom)
    turn = wrapped(angle_of(geom.transport) - angle_of(transport)).mean()
    area = np.abs(geom.area - geometry.sphere(geom.positions).area).mean() / geom.area.mean()
    return position, turn, np.abs(geom.curvature - 1).mean(), area, spacing(geom)


def test_exact_on_the_sphere_with_its_normals():
    points = random_ball(1000)
    geom = geometry.point_cloud(points, 7 * points, radius=0.6).validate()
    position, turn, *_ = sphere_errors(geom)
    assert position < 1e-13 and turn < 1e-13
    exact = geometry.sphere(points, radius=0.6)
    np.testing.assert_array_equal(geom.edge_index, exact.edge_index)
    # Voronoi cells: flat ones, in the log map.
    even = geometry.icosphere(3, rings=1)
    area = geometry.point_cloud(even.positions, even.positions).area
    np.testing.assert_allclose(area, even.area, rtol=5e-3)


def test_fourth_order_on_the_sphere_with_estimated_normals():
    errors = np.array([sphere_errors(geometry.point_cloud(random_ball(n)).validate()) for n in (600, 2400, 9600)])
    order = np.log(errors[:-1] / errors[1:]) / np.log(errors[:-1, 4:] / errors[1:, 4:])
    assert (order[:, :2] > 3.5).all() and (order[:, 2] > 1.8).all()
    assert order[:, 3].mean() > 1.8  # single cells are off where 30 points do not enclose one
    # No mesh is that accurate: exact polyhedral geodesics are of second order.
    points = random_ball(2400)
    mesh = sphere_errors(geometry.mesh(points, geometry.sphere(points).faces))
    assert errors[1, 0] < 0.1 * mesh[0] and errors[1, 1] < 0.1 * mesh[1]


def torus_chart(x):
    u, v = np.arctan2(x[:, 1], x[:, 0]), np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]) - 1)
    return u, v, np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)], 1)


def torus_errors(geom):
    """Shoot along the log maps by the geodesic equation, see how far from q it ends: in spacings, and the transport."""
    u, v, normal = torus_chart(geom.positions)
    along = np.stack([-np.sin(u), np.cos(u), 0 * u], 1)
    frame, up = tangent_frames(geom.frame, normal), np.cross(normal, along)
    turn = np.arctan2((frame[:, :, 0] * up).sum(1), (frame[:, :, 0] * along).sum(1))
    q, p = geom.edge_index
    heading = np.arctan2(geom.log[:, 1], geom.log[:, 0]) + turn[p]
    state, steps = np.stack([u[p], v[p], heading]), 16
    h = np.linalg.norm(geom.log, axis=1) / steps

    def slope(s):
        ring = 1 + 0.4 * np.cos(s[1])
        return np.stack([np.cos(s[2]) / ring, np.sin(s[2]) / 0.4, -np.sin(s[1]) * np.cos(s[2]) / ring])

    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + h * k3))
    du, dv = wrapped(state[0] - u[q]) * (1 + 0.4 * np.cos(v[q])), wrapped(state[1] - v[q]) * 0.4
    transport = heading - turn[p] - (state[2] - turn[q])
    return np.hypot(du, dv).mean() / spacing(geom), wrapped(transport - angle_of(geom.transport)).mean(), spacing(geom)


@pytest.mark.parametrize("given", [True, False])
def test_third_order_on_a_torus(given):
    """Both signs of curvature, geodesics that twist."""
    errors = []
    for n, m in ((60, 30), (120, 60)):
        points = torus(n, m)[0]
        normal = torus_chart(points)[2]
        geom = geometry.point_cloud(points, normal if given else None).validate()
        assert ((np.cross(geom.frame[..., 0], geom.frame[..., 1]) * normal).sum(1) > 0.9).all()  # outward
        errors.append(torus_errors(geom))
    order = np.log(np.divide(*errors)[:2]) / np.log(np.divide(*errors)[2])
    assert (order > 2.7).all() and errors[1][0] < 1e-3
    _, v, normal = torus_chart(points)
    np.testing.assert_allclose(geom.curvature, np.cos(v) / 0.4 / (1 + 0.4 * np.cos(v)), atol=0.25)
    # The smoothest mesh of the same points: distances and transport agree to its accuracy.
    vertices, faces = torus(60, 30)
    frames = tangent_frames(geometry.point_cloud(vertices).frame, torus_chart(vertices)[2])
    a = geometry.point_cloud(vertices, frames=frames, radius=0.25)
    b = geometry.mesh(vertices, faces, radius=0.25, frames=frames)
    keys = [g.edge_index[1] * len(vertices) + g.edge_index[0] for g in (a, b)]
    _, i, j = np.intersect1d(*keys, return_indices=True)
    assert len(i) > 0.98 * max(map(len, keys))
    assert np.linalg.norm(a.log[i] - b.log[j], axis=1).max() < 0.06 * 0.25
    assert wrapped(angle_of(a.transport[i]) - angle_of(b.transport[j])).max() < 0.05


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_exact_on_a_plate(jitter):
    """Square cells are degenerate, for Delaunay; boundary cells are cut off where the surface ends."""
    vertices, faces = plate(15, jitter)
    geom = geometry.point_cloud(vertices, radius=2.9).validate()
    mesh = geometry.mesh(vertices, faces, radius=2.9)
    np.testing.assert_array_equal(geom.edge_index, mesh.edge_index)
    q, p = geom.edge_index
    flat = np.einsum("eai,ea->ei", geom.frame[p], vertices[q] - vertices[p])
    np.testing.assert_allclose(geom.log, flat, atol=1e-12)
    np.testing.assert_allclose(geom.transport, np.swapaxes(geom.frame[p], 1, 2) @ geom.frame[q], atol=1e-12)
    assert geom.area.sum() == pytest.approx(14**2, rel=1e-9)
    if not jitter:
        inside = ((vertices[:, :2] > 0) & (vertices[:, :2] < 14)).all(1)
        np.testing.assert_allclose(geom.area[inside], 1, rtol=1e-9)
        np.testing.assert_allclose(np.sort(np.unique(geom.area.round(9))), [0.25, 0.5, 1])
    np.testing.assert_allclose(geom.curvature, 0, atol=1e-12)


def test_sheets_do_not_see_each_other():
    """A thin plate: both sides within reach of each other; and two strips side by side with a gap."""
    vertices, _ = plate(10, 0.2)
    both = np.concatenate([vertices, vertices + np.array([0.1, 0.2, 0.3])])
    normals = np.repeat([[0.0, 0, -1], [0, 0, 1]], len(vertices), 0)
    geom = geometry.point_cloud(both, normals, radius=2.5, k=40).validate()
    q, p = geom.edge_index
    assert ((q < len(vertices)) == (p < len(vertices))).all()
    one = geometry.point_cloud(vertices, normals[: len(vertices)], radius=2.5)
    assert geom.num_edges == 2 * one.num_edges
    # A sheet that turns back over itself at a distance shorter than the radius, with normals alike: a path must connect.
    a, b = np.meshgrid(np.arange(40.0), np.arange(6.0), indexing="ij")
    ribbon = np.stack([a, b, 0 * a], -1).reshape(-1, 3)
    above = ribbon + np.array([0, 0, 2.0])
    stacked = geometry.point_cloud(np.concatenate([ribbon, above]), np.tile([[0.0, 0, 1]], (480, 1)), radius=2.6, k=8)
    q, p = stacked.edge_index
    assert ((q < 240) == (p < 240)).all() and stacked.num_edges > 480 * 10


def test_covariance():
    points, normals = (lambda g: (g.positions, tangent_normals(g)))(geometry.mesh(*bumpy(), rings=1))
    geom = geometry.point_cloud(points, normals)
    h = planar_rotations(np.random.default_rng(0).uniform(-3, 3, len(points)))
    changed = geometry.point_cloud(points, frames=geom.frame @ h, features="curvature,position,second_fundamental_form")
    expected = geometry.point_cloud(points, normals, features="position,curvature,second_fundamental_form").gauge_transform(h)
    rotation = random_rotation()
    order = np.random.default_rng(1).permutation(len(points))
    moved = geometry.point_cloud(1e3 * points[order] @ rotation.T + 5, frames=rotation @ (geom.frame @ h)[order])
    for name in ("log", "transport", "weight", "radius", "area", "curvature"):
        np.testing.assert_allclose(getattr(changed, name), getattr(expected, name), atol=1e-9)
    for name in expected.features:
        np.testing.assert_allclose(changed.features[name].values, expected.features[name].values, atol=1e-9)
    back = order[moved.edge_index]
    sort = np.lexsort((back[0], back[1]))
    np.testing.assert_array_equal(back[:, sort], geom.edge_index)
    np.testing.assert_allclose(moved.log[sort], 1e3 * expected.log, atol=1e-7)
    np.testing.assert_allclose(moved.transport[sort], expected.transport, atol=1e-7)


def tangent_normals(geom):
    return np.cross(geom.frame[..., 0], geom.frame[..., 1])


def test_normals_are_oriented_component_by_component():
    ball = random_ball(800)
    points = np.concatenate([ball, 0.5 * random_ball(800, 1) + [5, 0, 0]])
    geom = geometry.point_cloud(points)
    outward = np.concatenate([ball, points[800:] - [5, 0, 0]])
    assert ((tangent_normals(geom) * outward).sum(1) > 0).all()
    # The quadric, not the plane, makes them second order.
    np.testing.assert_allclose(tangent_normals(geom)[:800], ball, atol=0.02)


def test_features_are_those_of_the_mesh():
    vertices, faces = bumpy(4)
    names = "hks:6,curvature,second_fundamental_form,position"
    mesh = geometry.mesh(vertices, faces, rings=1, features=names)
    cloud = geometry.point_cloud(vertices, frames=mesh.frame, features=names)
    for name, tolerance in (("hks", 0.06), ("curvature", 0.25), ("second_fundamental_form", 0.25), ("position", 0.02)):
        a, b = mesh.features[name], cloud.features[name]
        assert a.type == b.type
        assert np.linalg.norm(a.values - b.values) < tolerance * np.linalg.norm(a.values)


def test_the_laplacian_of_points():
    points = geometry.icosphere(3, rings=1).positions
    for scale in (1.0, 1e-9):
        laplacian, mass = point_cloud_laplacian(scale * points)
        values, _ = eigenpairs(laplacian, mass, 9)
        np.testing.assert_allclose(values * scale**2, np.repeat([0, 2, 6], [1, 3, 5]), rtol=0.01)
    points = random_ball(300)
    assert abs(point_cloud_laplacian(points, k=12)[0] - point_cloud_laplacian(points)[0]).max() > 1e-3
    with pytest.raises(GeometryError, match="one point"):
        point_cloud_laplacian(np.ones((40, 3)))


def test_layers_are_equivariant_on_points(tmp_path):
    geom = geometry.point_cloud(random_ball(300), features="second_fundamental_form")
    geom.save(tmp_path / "points.safetensors")
    assert geometry.LocalGeometry.load(tmp_path / "points.safetensors").metadata["manifold"] == "point_cloud"
    graph, ft = geom.to_graph(), FieldType(groups.SO2(), "4x0 + 4x1 + 4x2")
    torch.manual_seed(0)
    testing.assert_gauge_equivariant(nn.GaugeConv(ft, ft).double(), graph, ft, ft)


def test_arguments_matter():
    points = random_ball(400)
    geom = geometry.point_cloud(points)
    assert geometry.point_cloud(points, k=12).curvature != pytest.approx(geom.curvature, abs=1e-6)
    assert geometry.point_cloud(points, radius=0.3).num_edges < geom.num_edges
    radius = np.linspace(0.2, 0.5, 400)
    varied = geometry.point_cloud(points, points, radius=radius).validate()
    np.testing.assert_array_equal(varied.radius, radius)
    np.testing.assert_array_equal(varied.edge_index, geometry.sphere(points, radius=radius).edge_index)
    lonely = geometry.point_cloud(points, radius=1e-6).validate()
    assert lonely.num_edges == 0 and lonely.area.sum() == pytest.approx(4 * np.pi, rel=0.01)


BALL = random_ball(50)
BAD = {
    "k must": {"k": 5},
    "number of points": {"k": 50},
    "radius must be positive": {"radius": 0.0},
    "radius must be a number or have shape": {"radius": np.ones(3)},
    "normals must": {"normals": BALL[:10]},
    "length zero: ids 3": {"normals": np.where(np.arange(50)[:, None] == 3, 0, BALL)},
    "frames must have shape": {"frames": BALL},
    "tangent": {"normals": -BALL, "frames": geometry.sphere(BALL).frame},
    "unknown feature": {"features": "normal"},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_arguments(text):
    with pytest.raises(ValueError, match=text):
        geometry.point_cloud(BALL, **BAD[text])


def test_bad_points():
    for points, text in ((BALL[:, :2], "shape"), (np.where(np.arange(50)[:, None] == 7, np.nan, BALL), "ids 7")):
        with pytest.raises(ValueError, match=text):
            geometry.point_cloud(points)
    with pytest.raises(GeometryError, match="repeated points: ids 4, 9"):
        geometry.point_cloud(np.where(np.arange(50)[:, None] == 9, BALL[4], BALL))


def test_thin_parts_are_oriented():
    """A lens, ten times as wide as thick, with a sharp rim."""
    x = random_ball(4000)
    lens = x * [1, 1, 0.1]
    outward = x / [1, 1, 0.1]
    geom = geometry.point_cloud(lens)
    assert ((tangent_normals(geom) * outward).sum(1) > 0).mean() > 0.99


def test_orientation_of_real_shapes(shared):
    """Two thin shapes, by their vertices alone: of the normals of their faces at nearly all."""
    meshes = np.load(shared / "data" / "odedstein_meshes" / "meshes.npz")
    for name in ("penguin", "bunny"):
        mesh = geometry.mesh(meshes[f"{name}_V"], meshes[f"{name}_F"], rings=1)
        geom = geometry.point_cloud(mesh.positions).validate()
        assert ((tangent_normals(geom) * tangent_normals(mesh)).sum(1) > 0).mean() > 0.99
        assert geom.area.sum() == pytest.approx(mesh.area.sum(), rel=0.06)
