from __future__ import annotations

import numpy as np
import pytest

from gaugenet.groups.invariants import invariant_basis, projector_basis


def test_range_of_a_projector():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(9, 4)))
    projector = q @ q.T
    basis = projector_basis(np.diagonal(projector).copy(), lambda j: projector[:, j])
    assert basis.shape == (4, 9)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(basis.T @ basis, projector, atol=1e-13)


def test_basis_depends_on_the_subspace_only():
    """Rounding in the projector must not turn the basis: symmetric ties are broken by position."""
    rng = np.random.default_rng(1)
    projector = np.kron(np.eye(3), np.full((4, 4), 0.25))
    expected = projector_basis(np.diagonal(projector).copy(), lambda j: projector[:, j])
    np.testing.assert_allclose(expected, np.kron(np.eye(3), np.full(4, 0.5)), atol=1e-15)
    for _ in range(20):
        noise = rng.normal(size=projector.shape) * 1e-15
        noisy = projector + noise + noise.T
        np.testing.assert_allclose(projector_basis(np.diagonal(noisy).copy(), lambda j, p=noisy: p[:, j]), expected, atol=1e-13)


def test_not_a_projector():
    with pytest.raises(ValueError, match="not a projector"):
        projector_basis(np.full(3, 0.5), lambda j: np.eye(3)[j] / 2)


def test_invariants_of_a_product():
    swap = np.stack([np.eye(2), np.eye(2)[::-1]])
    sign = np.array([1.0, -1.0]).reshape(2, 1, 1)
    weights = np.full(2, 0.5)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(invariant_basis([swap], weights), [[half, half]])
    np.testing.assert_allclose(invariant_basis([swap, sign], weights), [[[half], [-half]]])
    assert invariant_basis([sign], weights).shape == (0, 1)
    assert invariant_basis([swap, swap, sign], weights).shape == (2, 2, 2, 1)
