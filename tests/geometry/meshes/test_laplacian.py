"""Laplacians, eigenpairs, shape-DNA."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from gaugenet.errors import GeometryError
from gaugenet.geometry.meshes.features import heat_kernel_signature
from gaugenet.geometry.meshes.laplacian import cotangent_laplacian, eigenpairs, mesh_laplacian, robust_laplacian, shape_dna
from gaugenet.sparse.factors import Factorised
from tests.helpers.corpus import joined, moebius, plate, sphere, tetrahedron, torus
from tests.helpers.meshes import bumpy


def sheared_plate():
    """Obtuse angles: the intrinsic flips change the matrix."""
    vertices, faces = plate(8, 9)
    return vertices + 2 * vertices[:, 1:2] * [1, 0, 0], faces


def test_both_laplacians_agree_on_a_delaunay_mesh():
    vertices, faces = sphere(3)
    a, mass_a = cotangent_laplacian(vertices, faces)
    b, mass_b = robust_laplacian(vertices, faces, mollify=0.0)
    assert abs(a - b).max() < 1e-10
    np.testing.assert_allclose(mass_a, mass_b, rtol=1e-10)


def test_cotangent_laplacian_is_exact_for_linear_functions_on_a_flat_plate():
    vertices, faces = plate(6, 7)
    vertices[:, 2] = 0
    matrix, mass = cotangent_laplacian(vertices, faces)
    interior = (vertices[:, 0] > 0) & (vertices[:, 0] < 6) & (vertices[:, 1] > 0) & (vertices[:, 1] < 5)
    assert np.abs((matrix @ vertices[:, :2])[interior]).max() < 1e-13
    assert np.abs(matrix @ np.ones(len(mass))).max() < 1e-13
    assert mass.sum() == pytest.approx(30)
    # Dirichlet energy of x is the area.
    assert vertices[:, 0] @ matrix @ vertices[:, 0] == pytest.approx(30)


def test_method_is_chosen_by_name():
    vertices, faces = sheared_plate()
    robust, cotangent = (mesh_laplacian(vertices, faces, m)[0] for m in ("robust", "cotangent"))
    assert abs(robust - cotangent).max() > 1e-3
    assert (robust - sparse.diags(robust.diagonal())).max() < 1e-12  # an M-matrix
    with pytest.raises(ValueError, match="robust"):
        mesh_laplacian(vertices, faces, "graph")


def test_zero_area_faces_need_the_robust_laplacian():
    vertices, faces = plate()
    vertices[faces[3]] = vertices[faces[3, 0]] + np.outer([0.0, 0.5, 1.0], [1.0, 0, 0])
    with pytest.raises(GeometryError, match="face 3"):
        cotangent_laplacian(vertices, faces)
    values, vectors = eigenpairs(*robust_laplacian(vertices, faces), 8)
    assert np.isfinite(values).all() and np.isfinite(vectors).all()
    coarse, fine = (robust_laplacian(vertices, faces, mollify=m)[0] for m in (1e-2, 1e-5))
    assert abs(coarse - fine).max() > 1e-3


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_spectrum_of_the_sphere(scale):
    vertices, faces = sphere(4)
    matrix, mass = mesh_laplacian(scale * vertices, faces)
    values, vectors = eigenpairs(matrix, mass, 9)
    degree = np.repeat([0, 1, 2], [1, 3, 5])
    np.testing.assert_allclose(values * scale**2, degree * (degree + 1), rtol=1e-2)
    np.testing.assert_allclose(vectors.T @ (mass[:, None] * vectors), np.eye(9), atol=1e-9)
    residual = matrix @ vectors - mass[:, None] * vectors * values
    assert np.abs(residual).max() < 1e-9 * np.abs(mass[:, None] * vectors).max() * values.max()
    np.testing.assert_array_equal(eigenpairs(matrix, mass, 9)[1], vectors)


def test_dense_and_sparse_solvers_agree(monkeypatch):
    from gaugenet.sparse import eigenpairs as module

    matrix, mass = mesh_laplacian(*torus(24, 16))  # 384 vertices: sparse
    values, _ = eigenpairs(matrix, mass, 30)
    monkeypatch.setattr(module, "_DENSE_ROWS", 1000)
    np.testing.assert_allclose(eigenpairs(matrix, mass, 30)[0], values, rtol=1e-9, atol=1e-9)


def test_number_of_pairs_is_clipped():
    matrix, mass = mesh_laplacian(*tetrahedron())
    values, vectors = eigenpairs(matrix, mass, 50)
    assert values.shape == (4,) and vectors.shape == (4, 4)
    with pytest.raises(ValueError, match="positive"):
        eigenpairs(matrix, mass, 0)
    mass[2] = 0
    with pytest.raises(GeometryError, match="vertex 2"):
        eigenpairs(matrix, mass, 2)


def test_every_component_has_its_zero():
    vertices, faces = joined(sphere(3), torus(), tetrahedron())
    matrix, mass = mesh_laplacian(vertices, faces)
    values, vectors = eigenpairs(matrix, mass, 12)
    assert (values[:3] == 0).all() and values[3] > 0
    np.testing.assert_allclose(vectors.T @ (mass[:, None] * vectors), np.eye(12), atol=1e-9)


def test_shape_dna_is_invariant_and_tells_shapes_apart():
    vertices, faces = torus()
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    order = np.random.default_rng(1).permutation(len(vertices))
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    dna = shape_dna(vertices, faces, 20)
    np.testing.assert_allclose(shape_dna(3e4 * vertices[order] @ rotation.T + 7, new[faces], 20), dna, rtol=1e-6)
    assert shape_dna(vertices, faces, 7).shape == (7,)
    assert np.abs(shape_dna(*sphere(2), 20) - dna).max() > 1
    robust, cotangent = (shape_dna(*sheared_plate(), 9, method=m) for m in ("robust", "cotangent"))
    assert np.abs(robust - cotangent).max() > 1e-3


def test_shape_dna_pads_a_small_mesh_by_weyls_law():
    dna = shape_dna(*tetrahedron(), 10)
    np.testing.assert_allclose(dna[3:], 4 * np.pi * np.arange(4, 11))


def test_robust_laplacian_takes_a_moebius_strip():
    values, _ = eigenpairs(*mesh_laplacian(*moebius()), 5)
    assert values[0] == 0 and (values[1:] > 0).all()
    with pytest.raises(GeometryError, match="one point"):
        robust_laplacian(np.ones((3, 3)), np.array([[0, 1, 2]]))


def with_slivers(vertices, faces, height, every=7):
    """Every seventh face cut at a point next to the middle of an edge: slivers of that height; the old vertices come first."""
    cut = faces[::every]
    a, b, c = cut.T
    middle = (0.5 - height / 2) * (vertices[a] + vertices[b]) + height * vertices[c]
    m = len(vertices) + np.arange(len(cut))
    rest = np.delete(faces, np.s_[::every], 0)
    pieces = [np.stack(t, 1) for t in ((a, b, m), (b, c, m), (c, a, m))]
    return np.concatenate([vertices, middle]), np.concatenate([rest, *pieces])


@pytest.mark.parametrize("height", [1e-3, 1e-9, 0.0])
def test_slivers_do_not_change_the_heat_kernel_signature(height):
    vertices, faces = bumpy(3)
    good = heat_kernel_signature(vertices, faces, 8, pairs=60).values
    bad_mesh = with_slivers(vertices, faces, height)
    bad = heat_kernel_signature(*bad_mesh, 8, pairs=60).values
    assert np.isfinite(bad).all()
    error = np.abs(bad[: len(vertices)] / good - 1).max()
    assert error < 0.03
    # Flat extra vertices move the eigenfunctions less than one step of refinement does.
    coarse = heat_kernel_signature(*bumpy(2), 8, pairs=60).values
    assert error < np.abs(coarse / good[: len(coarse)] - 1).max()
    if height == 0:
        with pytest.raises(GeometryError, match="positive area"):
            heat_kernel_signature(*bad_mesh, 8, pairs=60, laplacian="cotangent")


def test_the_heat_kernel_signature_of_a_mesh_that_is_not_manifold():
    """A sphere with a fin: three faces at an edge, and faces listed with either winding."""
    vertices, faces = sphere(3)
    fin = np.array([[0, faces[faces[:, 0] == 0][0, 1], len(vertices)]])
    vertices, faces = np.concatenate([vertices, 1.3 * vertices[:1]]), np.concatenate([faces, fin])
    faces[::2] = faces[::2, ::-1]
    values = heat_kernel_signature(vertices, faces, 8, pairs=40).values
    assert np.isfinite(values).all() and (values > 0).all()
    good = heat_kernel_signature(*sphere(3), 8, pairs=40).values
    far = vertices[:-1] @ vertices[0] < 0
    np.testing.assert_allclose(values[:-1][far], good[far], rtol=0.1)


@pytest.mark.parametrize("mesh", [plate(50, 50), torus(70, 35), sphere(4)], ids=["plate", "torus", "sphere"])
def test_the_factor_is_small_in_every_numbering(mesh):
    """Less than that of COLAMD, the ordering that does not break ties by the numbers of the vertices."""
    v, f = mesh
    rng = np.random.default_rng(0)
    for order in (np.arange(len(v)), rng.permutation(len(v)), np.argsort(v[:, 0]), np.argsort(-v[:, 2], kind="stable")):
        matrix, mass = mesh_laplacian(v[order], np.argsort(order)[f])
        shifted = (matrix + 1e-3 * sparse.diags(mass)).tocsc()
        factorised = Factorised(shifted)
        options = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        assert factorised.entries < splu(shifted, permc_spec="COLAMD", **options).L.nnz
        x = rng.standard_normal(len(v))
        assert np.allclose(factorised.solve(shifted @ x), x, rtol=0, atol=1e-8)
