"""Curvature against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import GeometryError
from gaugenet.geometry.meshes.curvature import check_oriented, fitted_normals, max_normals, second_fundamental_form
from tests.helpers.corpus import moebius, octahedron, sphere, tetrahedron
from tests.helpers.meshes import open_cylinder


def jittered_torus(n: int, m: int, jitter: float, major: float = 1.0, minor: float = 0.4):
    """Vertices on a torus at jittered grid angles, faces, angle around the tube, unit normals."""
    rng = np.random.default_rng(0)
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    u = 2 * np.pi * (i + jitter * rng.uniform(-0.5, 0.5, i.shape)).ravel() / n
    w = 2 * np.pi * (j + jitter * rng.uniform(-0.5, 0.5, i.shape)).ravel() / m
    normal = np.stack([np.cos(w) * np.cos(u), np.cos(w) * np.sin(u), np.sin(w)], -1)
    vertices = major * np.stack([np.cos(u), np.sin(u), 0 * u], -1) + minor * normal

    def at(a, b):
        return (a % n * m + b % m).ravel()

    a, b, c, d = at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), w, normal


def mean_and_gaussian(tensor):
    trace = np.trace(tensor, axis1=1, axis2=2)
    return trace / 2, (trace**2 - np.einsum("nij,nij->n", tensor, tensor)) / 2


def test_max_normals_are_exact_on_a_sphere():
    points = np.random.default_rng(0).standard_normal((200, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    faces = ConvexHull(points).simplices
    corners = points[faces]
    flip = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * corners[:, 0]).sum(-1) < 0
    faces[flip] = faces[flip][:, [0, 2, 1]]
    np.testing.assert_allclose(max_normals(points, faces), points, atol=1e-12)


def test_fitted_normals_converge_on_an_irregular_mesh():
    errors = []
    for n in (40, 80, 160):
        vertices, faces, _, normal = jittered_torus(n, int(0.4 * n), 0.5)
        errors.append([np.abs(f(vertices, faces) - normal).mean() for f in (fitted_normals, max_normals)])
    errors = np.array(errors)
    assert errors[0, 0] / errors[2, 0] > 12  # second order: 16
    assert errors[0, 1] / errors[2, 1] < 6  # first order, the reason for the fit


@pytest.mark.parametrize("radius", [0.01, 1.0, 50.0])
def test_sphere(radius):
    vertices, faces = sphere(4)
    mean, gauss = mean_and_gaussian(second_fundamental_form(radius * vertices, faces))
    np.testing.assert_allclose(mean, 1 / radius, rtol=2e-3)
    np.testing.assert_allclose(gauss, 1 / radius**2, rtol=4e-3)


def test_cylinder_up_to_its_boundary():
    vertices, faces = open_cylinder(64, 21, 0.5)
    tensor = second_fundamental_form(vertices, faces)
    around = np.stack([-vertices[:, 1], vertices[:, 0], 0 * vertices[:, 0]], -1) / 0.5
    np.testing.assert_allclose(tensor, 2.0 * around[:, :, None] * around[:, None, :], atol=0.03)
    _, gauss = mean_and_gaussian(tensor)
    assert np.abs(gauss).max() < 0.02


@pytest.mark.parametrize(("jitter", "order"), [(0.0, 1.8), (0.5, 1.2)])
def test_torus_converges(jitter, order):
    errors = []
    for n in (40, 160):
        vertices, faces, w, _ = jittered_torus(n, int(0.4 * n), jitter)
        mean, gauss = mean_and_gaussian(second_fundamental_form(vertices, faces))
        exact = np.cos(w) / (1 + 0.4 * np.cos(w))
        errors.append([np.abs(mean - (exact + 2.5) / 2).mean(), np.abs(gauss - 2.5 * exact).mean()])
    assert errors[1][0] < 0.006 and errors[1][1] < 0.03
    assert (np.log(np.divide(*errors)) / np.log(4) > order).all()


def test_tensor_lies_in_the_plane_that_is_asked_for():
    vertices, faces, _, _ = jittered_torus(40, 16, 0.5)
    normals = max_normals(vertices, faces)
    asked, default = second_fundamental_form(vertices, faces, normals), second_fundamental_form(vertices, faces)
    assert np.abs(np.einsum("nij,nj->ni", asked, normals)).max() < 1e-12
    assert np.abs(np.einsum("nij,nj->ni", default, normals)).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(asked, axis=(1, 2)), np.linalg.norm(default, axis=(1, 2)), rtol=0.02)


@pytest.mark.parametrize("mesh", [tetrahedron(), octahedron()])
def test_meshes_too_small_for_the_fit(mesh):
    vertices, faces = mesh
    np.testing.assert_allclose(fitted_normals(vertices, faces), max_normals(vertices, faces), atol=1e-12)
    mean, _ = mean_and_gaussian(second_fundamental_form(vertices, faces))
    np.testing.assert_allclose(mean, 1 / np.linalg.norm(vertices[0]), rtol=1e-9)  # they lie on spheres


def test_degenerate_faces_count_for_nothing():
    vertices, faces = sphere(2)
    mean, _ = mean_and_gaussian(second_fundamental_form(vertices, np.concatenate([faces, [[0, 0, 4], [1, 1, 1]]])))
    np.testing.assert_allclose(mean, mean_and_gaussian(second_fundamental_form(vertices, faces))[0], atol=1e-9)
    assert (second_fundamental_form(np.zeros((3, 3)), np.array([[0, 1, 2]])) == 0).all()


def test_a_hub_does_not_exhaust_memory():
    count = 3000  # the second ring of every rim vertex is everything
    angle = 2 * np.pi * np.arange(count) / count
    vertices = np.concatenate([np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1), [[0, 0, 1], [0, 0, -1]]])
    i, j = np.arange(count), (np.arange(count) + 1) % count
    faces = np.concatenate([np.stack([i, j, 0 * i + count], 1), np.stack([j, i, 0 * i + count + 1], 1)])
    tensor = second_fundamental_form(vertices, faces)
    assert np.isfinite(tensor).all()
    mean, _ = mean_and_gaussian(tensor[:count])
    np.testing.assert_allclose(mean, mean[0], rtol=1e-3)


def test_orientation_is_checked():
    check_oriented(sphere(1)[1], len(sphere(1)[0]))
    vertices, faces = moebius()
    with pytest.raises(GeometryError, match="oriented"):
        check_oriented(faces, len(vertices))
