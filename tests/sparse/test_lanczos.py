"""The block Lanczos method against dense solutions and ARPACK."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet.geometry.meshes.features import heat_kernel_signature
from gaugenet.geometry.meshes.laplacian import eigenpairs, mesh_laplacian
from gaugenet.sparse import eigenpairs as module
from gaugenet.sparse.lanczos import block_lanczos
from tests.helpers.corpus import sphere, torus
from tests.helpers.meshes import bumpy


def test_known_spectrum_with_clusters():
    """Eigenvalues up to eleven times the same, in random directions."""
    rng = np.random.default_rng(0)
    values = np.sort(np.concatenate([np.repeat([9.0, 5.0, 3.0], [1, 11, 7]), 2.0 / np.arange(1, 582)]))[::-1]
    basis = np.linalg.qr(rng.standard_normal((600, 600)))[0]
    matrix = (basis * values) @ basis.T
    found, vectors = block_lanczos(lambda x: matrix @ x, 600, 40)
    assert np.allclose(found, values[:40], rtol=1e-12)
    assert np.allclose(vectors.T @ vectors, np.eye(40), atol=1e-11)
    assert np.abs(matrix @ vectors - vectors * found).max() < 1e-8


def test_an_exhausted_space_is_told():
    values = np.where(np.arange(600) < 20, 1.0, 0.5)
    assert block_lanczos(lambda x: values[:, None] * x, 600, 40) is None


@pytest.mark.parametrize("mesh", [sphere(4), torus(60, 30), bumpy(4)], ids=["sphere", "torus", "bumpy"])
def test_the_same_pairs_as_arpack(mesh, monkeypatch):
    matrix, mass = mesh_laplacian(*mesh)
    assert len(mass) > 1000
    called = []

    def counted(*arguments):
        called.append(block_lanczos(*arguments))
        return called[-1]

    monkeypatch.setattr(module, "block_lanczos", counted)
    monkeypatch.setattr(module, "_BLOCK_ROWS", (0, 10**6))
    values, _ = eigenpairs(matrix, mass, 80)
    signature = heat_kernel_signature(*mesh).values
    assert len(called) == 2 and all(found is not None for found in called)
    monkeypatch.setattr(module, "_BLOCK_ROWS", (10**6, 0))
    assert np.allclose(values, eigenpairs(matrix, mass, 80)[0], rtol=1e-9, atol=1e-9)
    assert np.allclose(signature, heat_kernel_signature(*mesh).values, rtol=1e-6)
    assert len(called) == 2
