"""Feature fields: invariances, gauge covariance, closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.errors import GeometryError
from gaugenet.geometry import Feature, compute_features
from gaugenet.geometry.meshes.curvature import max_normals
from gaugenet.geometry.meshes.features import heat_kernel_signature, parse_feature_names
from gaugenet.geometry.meshes.laplacian import mesh_laplacian
from tests.helpers.corpus import joined, moebius, plate, sphere, tetrahedron, torus

ALL = ["hks", "curvature", "second_fundamental_form", "position"]
IN_FRAMES = ALL[1:]


def any_frame(vertices, faces):
    normal = max_normals(vertices, faces)
    u = np.cross(normal, np.random.default_rng(0).standard_normal(normal.shape))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    return np.stack([u, np.cross(normal, u)], -1)


def bumpy(level=3):
    vertices, faces = sphere(level)
    radius = 1 + 0.2 * np.sin(3 * vertices[:, :1] + 1) + 0.1 * np.cos(4 * vertices[:, 1:2] * vertices[:, 2:])
    return vertices * radius * [1, 1.3, 0.8], faces


def orthogonal(count, reflections, seed=1):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    h = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    if reflections:
        h[rng.random(count) < 0.5, :, 1] *= -1
    return h


@pytest.mark.parametrize("reflections", [False, True])
def test_gauge_covariance_is_exact(reflections):
    vertices, faces = bumpy()
    frame = any_frame(vertices, faces)
    h = orthogonal(len(vertices), reflections)
    before = compute_features(vertices, faces, frame, ALL)
    after = compute_features(vertices, faces, frame @ h, ALL)
    assert list(before) == ALL
    for name in ALL:
        expected = before[name].carried(np.swapaxes(h, 1, 2))
        assert after[name].type == expected.type
        np.testing.assert_allclose(after[name].values, expected.values, atol=1e-12 * np.abs(expected.values).max())
    assert np.abs(before["second_fundamental_form"].values[:, 1:]).max() > 0.1  # covariance of nothing proves nothing


def test_invariance_to_rigid_motion_scale_and_labels():
    vertices, faces = bumpy()
    frame = any_frame(vertices, faces)
    rng = np.random.default_rng(2)
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    order = rng.permutation(len(vertices))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    moved = 300 * vertices @ rotation.T + [1, 2, 3]
    before = compute_features(vertices, faces, frame, ALL)
    after = compute_features(moved[order], new[faces][::-1][:, [1, 2, 0]], (rotation @ frame)[order], ALL)
    for name in ALL:
        tolerance = 1e-6 if name == "hks" else 1e-10
        np.testing.assert_allclose(after[name].values, before[name].values[order], rtol=tolerance, atol=tolerance)


def test_unit_sphere_values():
    vertices, faces = sphere(4)
    features = compute_features(5 * vertices + 1, faces, any_frame(vertices, faces), ",".join(ALL), pairs=36)
    np.testing.assert_allclose(features["curvature"].values, 1, atol=1e-2)
    np.testing.assert_allclose(features["second_fundamental_form"].values, [[1, 0, 0]] * len(vertices), atol=5e-3)
    np.testing.assert_allclose(features["position"].values, [[1, 0, 0]] * len(vertices), atol=5e-3)
    np.testing.assert_allclose(features["hks"].values, 1, atol=2e-2)


def test_cylinder_principal_direction():
    """The order-2 part of a open_cylinder points around it, at twice the angle, with length half the curvature."""
    from tests.helpers.meshes import open_cylinder

    radius = 0.5
    vertices, faces = open_cylinder(64, 21, radius)
    around = np.stack([-vertices[:, 1], vertices[:, 0], 0 * vertices[:, 0]], -1) / radius
    frame = np.stack([around, np.broadcast_to([0.0, 0, 1], around.shape)], -1)
    h = orthogonal(len(vertices), False)
    unit = np.sqrt(2 * np.pi * radius * 2 / (4 * np.pi))
    features = compute_features(vertices, faces, frame @ h, ["second_fundamental_form", "curvature"])
    angle = -np.arctan2(h[:, 1, 0], h[:, 0, 0])  # of the direction around, in the new frames
    half = unit / radius / 2
    expected = half * np.stack([np.ones_like(angle), np.cos(2 * angle), np.sin(2 * angle)], -1)
    np.testing.assert_allclose(features["second_fundamental_form"].values, expected, atol=0.02 * half)
    np.testing.assert_allclose(features["curvature"].values[:, 0], 0, atol=0.01)
    np.testing.assert_allclose(features["curvature"].values[:, 1], half, rtol=0.02)


def test_position_is_the_vector_in_the_frame():
    vertices, faces = plate(9, 12)
    frame = any_frame(vertices, faces)
    position = compute_features(vertices, faces, frame, "position")["position"].values
    normal = np.cross(frame[..., 0], frame[..., 1])
    vector = position[:, :1] * normal + np.einsum("nai,ni->na", frame, position[:, 1:])
    assert np.abs(np.diff(vector - vector[0], axis=0)).max() > 0.05
    ratio = np.linalg.norm(vector[0] - vector[-1]) / np.linalg.norm(vertices[0] - vertices[-1])
    np.testing.assert_allclose(vector - vector[0], ratio * (vertices - vertices[0]), atol=1e-12)
    shifted = compute_features(vertices + 100, faces, frame, "position")["position"].values
    np.testing.assert_allclose(shifted, position, atol=1e-11)


def test_heat_kernel_signature_has_mean_one_and_sees_the_shape():
    vertices, faces = bumpy()
    feature = heat_kernel_signature(vertices, faces, 7, pairs=60)
    assert isinstance(feature, Feature) and feature.type == "7x0" and feature.values.shape == (len(vertices), 7)
    mass = mesh_laplacian(vertices, faces)[1]
    np.testing.assert_allclose(mass @ feature.values / mass.sum(), 1, rtol=1e-9)
    spread = feature.values.std(axis=0)
    assert spread[0] > 0.02 and spread[-1] < 0.5 * spread[0]
    assert np.abs(heat_kernel_signature(vertices, faces, 7, pairs=30).values - feature.values).max() > 1e-2


def test_heat_kernel_signature_is_intrinsic_and_robust_to_the_mesh():
    vertices, faces = plate(12, 14)
    flat = vertices * [1, 1, 0]
    roll = np.stack([3 * np.sin(flat[:, 0] / 3), flat[:, 1], 3 * np.cos(flat[:, 0] / 3)], -1)
    a, b = (heat_kernel_signature(v, faces, 8, pairs=40).values for v in (flat, roll))
    np.testing.assert_allclose(a, b, rtol=0.02)
    coarse, fine = (heat_kernel_signature(*bumpy(level), 8, pairs=40).values for level in (3, 4))
    np.testing.assert_allclose(coarse, fine[: len(coarse)], rtol=0.1)  # corpus: subdivision keeps the numbers


def test_a_truncation_never_cuts_an_eigenspace():
    # The octahedral sphere has repeated eigenvalues: 6 pairs would keep 2 of the 3 or 2 of the 5 of a space.
    vertices, faces = sphere(3)
    symmetry = vertices[:, [1, 2, 0]]
    image = np.array([np.abs(symmetry[k] - vertices).sum(-1).argmin() for k in range(len(vertices))])
    for pairs in (3, 6, 7, 8):
        values = heat_kernel_signature(vertices, faces, 4, pairs=pairs).values
        np.testing.assert_allclose(values[image], values, atol=1e-9)


def test_several_components_small_meshes_and_options():
    vertices, faces = joined(*[tetrahedron()] * 40)
    values = heat_kernel_signature(vertices, faces, 5, pairs=10).values
    np.testing.assert_allclose(values, 1, rtol=1e-9)
    vertices, faces = torus()
    frame = any_frame(vertices, faces)
    assert compute_features(vertices, faces, frame, "hks:3")["hks"].type == "3x0"
    assert compute_features(vertices, faces, frame, "hks", times=5)["hks"].type == "5x0"
    vertices, faces = plate(8, 9)
    vertices, frame = vertices + 2 * vertices[:, 1:2] * [1, 0, 0], any_frame(vertices, faces)
    options = [{}, {"laplacian": "cotangent"}, {"pairs": 20}]
    a, b, c = (compute_features(vertices, faces, frame, "hks", **o)["hks"].values for o in options)
    assert np.abs(a - b).max() > 1e-4 and np.abs(a - c).max() > 1e-4


def test_names():
    assert parse_feature_names(" hks:8 , curvature") == {"hks": 8, "curvature": None}
    assert parse_feature_names([]) == {}
    for names, message in [("normal", "hks, curvature"), ("curvature:3", "hks"), ("hks:x", "positive"), ("hks,hks:2", "twice")]:
        with pytest.raises(ValueError, match=message):
            parse_feature_names(names)


def test_errors_at_the_boundary():
    vertices, faces = torus()
    with pytest.raises(GeometryError, match="frame of shape"):
        compute_features(vertices, faces, np.zeros((3, 3, 2)), "position")
    with pytest.raises(GeometryError, match="positive area"):
        compute_features(0 * vertices, faces, any_frame(vertices, faces), "position")
    with pytest.raises(ValueError, match="times"):
        heat_kernel_signature(vertices, faces, 0)
    with pytest.raises(ValueError, match="eigenpairs"):
        heat_kernel_signature(vertices, faces, 3, pairs=1)
    vertices, faces = moebius()
    frame = any_frame(vertices, faces)
    assert np.isfinite(compute_features(vertices, faces, frame, "hks")["hks"].values).all()
    for name in IN_FRAMES:
        with pytest.raises(GeometryError, match="oriented"):
            compute_features(vertices, faces, frame, name)
