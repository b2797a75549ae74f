"""All irreps of a finite group of 3 x 3 matrices, found inside the representations of O(3) on spherical harmonics."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..harmonic_action import space_determinant, spherical_action
from ..invariants import projector_basis

if TYPE_CHECKING:
    from ..group import FiniteGroup

_LETTERS = {1: "A", 2: "E", 3: "T", 4: "G", 5: "H"}


class RestrictedIrrep(NamedTuple):
    """rho(g) = B (det g)^twisted D_l(g) B^T.

    Attributes:
        name: Mulliken's letter for the dimension, numbered by order of appearance; g or u where the inversion is in the group.
        degree: the smallest l in which it appears.
        twisted: whether it needs the factor det g.
        basis: B (n, 2l+1), orthonormal rows; read-only.
    """

    name: str
    degree: int
    twisted: bool
    basis: np.ndarray


@lru_cache(maxsize=64)
def restricted_irreps(group: FiniteGroup) -> tuple[RestrictedIrrep, ...]:
    """Every real irrep of the group, by ascending degree; the trivial one first.

    Every irrep of a finite subgroup of O(3) appears in some D_l or (det) D_l. From each of these take away the parts that
    belong to irreps found before (by their characters), split what is left, and stop when sum n^2 / c = order (n the real
    dimension, c = <chi, chi> = 1, 2, 4 for real, complex, quaternionic type).
    """
    elements = group.elements
    det = space_determinant(elements).round().numpy()
    found: list[tuple[int, bool, np.ndarray]] = []
    characters: list[np.ndarray] = []
    dimension = 0.0
    for degree in count():
        for twisted in (False, True) if det.min() < 0 else (False,):
            matrices = spherical_action(degree, elements).numpy()
            if twisted:
                matrices = matrices * det[:, None, None]
            known = sum((_isotypic(character, matrices) for character in characters), np.zeros(matrices.shape[1:]))
            for basis in _split(matrices, np.eye(len(known)) - known):
                character = np.einsum("im,gmn,in->g", basis, matrices, basis)
                if any(np.abs(character - other).max() < 1e-6 for other in characters):
                    continue
                characters.append(character)
                found.append((degree, twisted, basis))
                dimension += len(basis) ** 2 / np.mean(character**2)
        if round(dimension) == group.order:
            return _named(group, found, characters)
    raise AssertionError("count() has no end")


def _isotypic(character: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Projector of a real representation (order, m, m) onto all copies of the irrep with this real character (order,)."""
    dim = round(character[0])  # the identity comes first
    return dim / np.sum(character**2) * np.tensordot(character, matrices, 1)


def _split(matrices: np.ndarray, projector: np.ndarray) -> list[np.ndarray]:
    """Irreducible subspaces of the range of an invariant projector, as orthonormal rows; small ones first."""
    inside = projector_basis(np.diagonal(projector).copy(), lambda j: projector[:, j])
    if not len(inside):
        return []
    # The group average of a symmetric matrix without any symmetry of its own has one eigenvalue per irreducible subspace.
    small = inside @ matrices @ inside.T
    k = len(inside)
    generic = np.cos(np.arange(1.0, k * k + 1) ** 2).reshape(k, k)
    values, vectors = np.linalg.eigh(np.mean(small @ (generic + generic.T) @ small.transpose(0, 2, 1), 0))
    breaks = np.flatnonzero(np.diff(values) > 1e-8) + 1
    spaces = []
    for block in np.split(vectors, breaks, axis=1):
        onto = inside.T @ block
        onto = onto @ onto.T
        spaces.append(projector_basis(np.diagonal(onto).copy(), lambda j, onto=onto: onto[:, j]))  # type: ignore[misc]
    return sorted(spaces, key=lambda basis: (len(basis), int(np.argmax((basis**2).sum(0) > 1e-6))))


def _named(group: FiniteGroup, found: list, characters: list[np.ndarray]) -> tuple[RestrictedIrrep, ...]:
    inversion = -torch.eye(3, dtype=torch.float64, device="cpu")
    at = int(group.nearest(inversion, 1e-6)) if bool(group.contains(inversion)) else None
    labels = []
    for (_, _, basis), character in zip(found, characters):
        parity = "" if at is None else "g" if character[at] > 0 else "u"
        labels.append((_LETTERS.get(len(basis), f"V{len(basis)}_"), parity))
    irreps = []
    for i, ((degree, twisted, basis), label) in enumerate(zip(found, labels)):
        number = str(labels[: i + 1].count(label)) if labels.count(label) > 1 else ""
        basis.setflags(write=False)
        irreps.append(RestrictedIrrep(label[0] + number + label[1], degree, twisted, basis))
    return tuple(irreps)
