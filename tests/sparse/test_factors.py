"""Factors of sparse Hermitian matrices, and the lowest eigenpairs of complex ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse

from gaugenet.sparse import eigenpairs as module
from gaugenet.sparse.eigenpairs import eigenpairs
from gaugenet.sparse.factors import Factorised


def hermitian(size: int, seed: int = 0, dtype: type = complex) -> sparse.csc_matrix:
    """A connection Laplacian of a random graph, with random turns."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, size, (2, 3 * size))
    i, j = np.concatenate([i, np.arange(size)]), np.concatenate([j, (np.arange(size) + 1) % size])
    weight = rng.uniform(0.5, 2, len(i))
    turn = np.exp(2j * np.pi * rng.uniform(size=len(i))) if dtype is complex else np.ones(len(i))
    entries = np.concatenate([-weight * turn, -weight * np.conj(turn), weight, weight])
    where = np.concatenate([i, j, i, j]), np.concatenate([j, i, i, j])
    return sparse.coo_matrix((entries.astype(dtype), where), shape=(size, size)).tocsc()


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_factor_is_that_of_the_matrix(dtype):
    matrix = hermitian(80, dtype=dtype) + sparse.identity(80)
    factorised = Factorised(matrix)
    factor = factorised.factor()
    lower = sparse.csc_matrix((factor.value, factor.row, factor.colptr), shape=(80, 80)).toarray() + np.eye(80)
    again = (lower * factor.pivot) @ lower.conj().T
    assert np.abs(again - matrix.toarray()[factor.order][:, factor.order]).max() < 1e-12
    x = np.random.default_rng(1).standard_normal((80, 3)).astype(dtype)
    assert np.abs(factorised.solve(matrix @ x) - x).max() < 1e-12
    assert len(factor.row) + 80 == factorised.entries


def test_a_matrix_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="positive definite"):
        Factorised(hermitian(60) - 5 * sparse.identity(60)).factor()


@pytest.mark.parametrize("rows", [(10, 10**6), (10**6, 0)], ids=["block Lanczos", "ARPACK"])
def test_complex_pairs_of_two_components(rows, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_ROWS", rows)
    parts = [hermitian(500, 1), hermitian(400, 2)]
    matrix, mass = sparse.block_diag(parts, format="csc"), np.random.default_rng(0).uniform(0.5, 1.5, 900)
    values, vectors = eigenpairs(matrix, mass, 30, tolerance=1e-13)
    scale = 1 / np.sqrt(mass)
    expected = np.linalg.eigvalsh(scale[:, None] * matrix.toarray() * scale)[:30]
    assert np.allclose(values, expected, rtol=1e-11)
    assert np.abs(matrix @ vectors - mass[:, None] * vectors * values).max() < 1e-9
    assert np.allclose(vectors.conj().T @ (mass[:, None] * vectors), np.eye(30), atol=1e-10)
