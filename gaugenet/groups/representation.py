"""Representations of structure groups: immutable values that turn d x d matrices into dim x dim matrices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from .constants import constant_tensor
from .harmonic_action import circular_action
from .invariants import projector_basis

if TYPE_CHECKING:
    from .group import FiniteGroup, Group

#: A matrix farther than this (Frobenius norm) from every element is refused by representations that exist on the elements only.
ELEMENT_TOLERANCE = 1e-3


class Representation:
    """A real orthogonal representation rho of a group G of d x d matrices.

    ``rep(g)`` maps (..., d, d) to (..., dim, dim) in the dtype and on the device of g. Irreps of matrix groups are
    polynomials in the entries of g, hence differentiable. Values are immutable, hashable and comparable.

    Attributes:
        group: G.
        name: what `FieldType` strings and prints call it.
        dim: the dimension n of the space it acts on.
        degree: the highest frequency of its entries along a one-parameter subgroup.
        cosets: into how many equal parts the components fall that the group permutes; the norm of every part may be taken.
    """

    if TYPE_CHECKING:  # fields of some subclasses, properties of others

        @property
        def group(self) -> Group:
            raise NotImplementedError

        @property
        def name(self) -> str:
            raise NotImplementedError

        @property
        def dim(self) -> int:
            raise NotImplementedError

        @property
        def degree(self) -> int:
            raise NotImplementedError

    cosets: int = 1

    def __call__(self, g: torch.Tensor) -> torch.Tensor:
        """rho(g): (..., d, d) -> (..., dim, dim). ValueError when g does not have the group's shape, TypeError when not
        floating."""
        d = self.group.dim
        if not isinstance(g, torch.Tensor) or not g.is_floating_point():
            found = g.dtype if isinstance(g, torch.Tensor) else type(g).__name__
            raise TypeError(f"group elements are floating-point tensors (..., {d}, {d}), got {found}")
        if g.shape[-2:] != (d, d):
            raise ValueError(f"elements of {self.group} have shape (..., {d}, {d}), got {tuple(g.shape)}")
        return self._matrix(g)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def lie(self, x: torch.Tensor) -> torch.Tensor:
        """d rho(exp(t X)) / dt at t = 0 for X (d, d) in the Lie algebra of G: (dim, dim).

        ValueError when X is not tangent to the group (the Lie algebra of a finite group is {0}).
        """
        self.group.check_lie(x)
        with torch.inference_mode(False), torch.enable_grad():
            identity = torch.eye(self.group.dim, dtype=x.dtype, device=x.device, requires_grad=True)
            matrix = self._matrix(identity)
            if not matrix.requires_grad:  # constant: the trivial representation, or a finite group
                return torch.zeros_like(matrix)
            # Along exp(tX) the derivative depends on the tangent X only. Two backward passes make one forward derivative.
            cotangent = torch.zeros_like(matrix, requires_grad=True)
            (pullback,) = torch.autograd.grad(matrix, identity, cotangent, create_graph=True)
            return torch.autograd.grad(pullback, cotangent, x.clone(), create_graph=x.requires_grad)[0]

    def __add__(self, other: Representation) -> Representation:
        """Direct sum."""
        if not isinstance(other, Representation):
            return NotImplemented
        _same_group(self, other)
        parts = [part for rep in (self, other) for part in (rep.parts if isinstance(rep, DirectSum) else (rep,))]
        return DirectSum(tuple(parts))

    def __mul__(self, other: Representation) -> Representation:
        """Tensor product rho1(g) x rho2(g), the second factor's index fastest."""
        if not isinstance(other, Representation):
            return NotImplemented
        _same_group(self, other)
        return TensorProduct(self, other)

    def restrict(self, subgroup: Group) -> Representation:
        """The same matrices as a representation of a subgroup H of G: an irrep of H by its name where it is one.

        ValueError when H is not contained in G.
        """
        if subgroup == self.group:
            return self
        self.group.check_subgroup(subgroup)
        return _restricted_irrep(self, subgroup) or Restriction(self, subgroup)

    @property
    def is_trivial(self) -> bool:
        """Whether it is one-dimensional with rho(g) = 1: scalars."""
        return self.dim == 1 and _acts_as(self, "trivial")

    @property
    def is_sign(self) -> bool:
        """Whether it is one-dimensional with rho(g) = det g, on a group where that is not always 1: pseudoscalars."""
        return self.dim == 1 and not self.is_trivial and _acts_as(self, "sign")

    @property
    def rotation_order(self) -> int | None:
        """l >= 1 when a planar group (d = 2) acts by rotations by l times the angle and diag(1, -1) by itself, else None.

        Of a reflected g = R(a) diag(1, -1) the angle is a: rho(g) = R(l a) diag(1, -1).
        """
        return _rotation_order(self) if self.dim == self.group.dim == 2 else None

    @property
    def is_permutation(self) -> bool:
        """Whether every rho(g) is a permutation matrix: pointwise nonlinearities and one bias per copy are equivariant on
        it."""
        return _is_permutation(self)

    def permutation_table(self) -> torch.Tensor:
        """(order, dim) int64: rho(g_i) e_j = e_k with k the entry (i, j). ValueError unless a finite group permutes the
        basis."""
        if self.group.order is None or not self.is_permutation:
            raise ValueError(f"{self!r} has no table: that needs a finite group which permutes the basis (is_permutation)")
        return torch.stack([self(g).argmax(-2) for g in self.group.elements])  # one by one: all matrices may be gigabytes

    def invariant_vectors(self) -> torch.Tensor:
        """Orthonormal basis (k, dim) float64 of {v : rho(g) v = v for all g}; a bias may live there and nowhere else."""
        return torch.from_numpy(_invariant_vectors(self).copy())

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{self.group}: {self.name}, dim {self.dim}>"


def _same_group(a: Representation, b: Representation) -> None:
    if a.group != b.group:
        raise ValueError(f"representations of different groups cannot be combined: {a.group} and {b.group}")


@lru_cache(maxsize=1024)
def _restricted_irrep(rep: Representation, subgroup: Group) -> Representation | None:
    """The irrep of a subgroup with the matrices of a representation, if there is one."""
    g, _ = subgroup.quadrature(2 * rep.degree + 1)
    matrices = rep(g)
    for irrep in subgroup.irreps(None if subgroup.order else rep.degree):
        if irrep.dim == rep.dim and torch.allclose(irrep(g), matrices, atol=1e-9):
            return irrep
    return None


@lru_cache(maxsize=1024)
def _is_permutation(rep: Representation) -> bool:
    lie = [rep.lie(x) for x in rep.group.lie_generators]
    if any(m.abs().max() > 1e-9 for m in lie):
        return False
    matrices = rep(rep.group.generators)
    zero_or_one = torch.minimum(matrices.abs(), (matrices - 1).abs())
    return bool((zero_or_one < 1e-9).all())


@torch.compiler.assume_constant_result  # torch.compile must not trace how it was found
def _acts_as(rep: Representation, kind: str) -> bool:
    return _agrees(rep, kind, 0)


@lru_cache(maxsize=1024)
def _agrees(rep: Representation, kind: str, order: int) -> bool:
    """Whether rho is "trivial", the "sign" or the "rotation" of an order, by its values on the generators."""
    lie, g = rep.group.lie_generators, rep.group.generators
    if kind == "rotation":
        derivatives = [_circular_derivative(order, x) for x in lie]
        expected = circular_action(order, g)
    else:
        derivatives = [torch.zeros_like(x[:1, :1]) for x in lie]
        expected = torch.linalg.det(g)[:, None, None] if kind == "sign" else torch.ones_like(g[:, :1, :1])
    pairs = [*((rep.lie(x), y) for x, y in zip(lie, derivatives)), (rep(g), expected)]
    return all(bool(((found - wanted).abs() < 1e-9).all()) for found, wanted in pairs)


def _circular_derivative(order: int, x: torch.Tensor) -> torch.Tensor:
    """d circular_action(order, exp(t X)) / dt at t = 0."""
    zero = torch.zeros_like(x[0, 0])
    return torch.stack([torch.stack([zero, order * x[0, 1]]), torch.stack([order * x[1, 0], zero])])


@torch.compiler.assume_constant_result
def _rotation_order(rep: Representation) -> int | None:
    return next((l for l in range(1, rep.degree + 1) if _agrees(rep, "rotation", l)), None)


@lru_cache(maxsize=1024)
def _invariant_vectors(rep: Representation) -> np.ndarray:
    g, weights = rep.group.quadrature(rep.degree)
    projector = np.tensordot(weights.numpy(), rep(g).numpy(), 1)
    basis = projector_basis(np.diagonal(projector).copy(), lambda j: projector[:, j])
    basis.setflags(write=False)
    return basis


@dataclass(frozen=True, repr=False)
class Irrep(Representation):
    """An irreducible representation; the group knows its matrices. Made by ``group.irrep(name)``."""

    group: Group
    name: str

    @property
    def dim(self) -> int:
        return self.group.irrep_dim(self.name)

    @property
    def degree(self) -> int:
        return self.group.irrep_degree(self.name)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        return self.group.irrep_matrix(self.name, g)


@dataclass(frozen=True, repr=False)
class Standard(Representation):
    """The defining representation rho(g) = g, where it is not already an irrep."""

    group: Group

    name = "standard"
    degree = 1

    @property
    def dim(self) -> int:
        return self.group.dim

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        return g


@dataclass(frozen=True, repr=False)
class Permutation(Representation):
    """A finite group permuting its cosets: rho(g) e_{aH} = e_{gaH}; the regular representation when H is trivial (``None``).

    The basis is in the order of ``group.elements`` (for cosets: of their first element). A matrix is matched to the nearest
    element; ValueError when none lies within `ELEMENT_TOLERANCE` (more in half precision).
    """

    group: FiniteGroup
    subgroup: Group | None = None

    degree = 0

    @property
    def name(self) -> str:
        return "regular" if self.subgroup is None else f"quotient({self.subgroup})"

    @property
    def dim(self) -> int:
        return self.group.coset_table(self.subgroup).shape[1]

    def permutation_table(self) -> torch.Tensor:
        """(order, dim) int64: the coset onto which each element moves each coset."""
        return self.group.coset_table(self.subgroup)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        table = self.group.coset_table(self.subgroup).to(g.device)
        tolerance = max(ELEMENT_TOLERANCE, 8 * torch.finfo(g.dtype).eps)
        target = table[self.group.nearest(g, tolerance)]  # (..., dim): column j holds its one at row target[j]
        rows = torch.arange(table.shape[1], device=g.device)
        return (rows[:, None] == target[..., None, :]).to(g.dtype)


@dataclass(frozen=True, repr=False)
class Induced(Representation):
    r"""A representation sigma of a subgroup H of a finite group, carried to all its cosets: what fields of H become under G.

    With the first element a of each coset, g moves the copy at a H to the copy at b H = g a H by :math:`\sigma(b^{-1} g a)`.
    The trivial representation of H induces the quotient representation. The basis is in the order of the cosets, each with the
    components of sigma.
    """

    group: FiniteGroup
    rep: Representation

    @property
    def name(self) -> str:
        return f"induced({self.rep.name} of {self.rep.group})"

    @property
    def dim(self) -> int:
        return self.rep.dim * self.group.order // self.rep.group.order  # type: ignore[operator]  # a subgroup of a finite group is finite

    @property
    def degree(self) -> int:
        return self.rep.degree

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        tolerance = max(ELEMENT_TOLERANCE, 8 * torch.finfo(g.dtype).eps)
        return _induced_tensor(self).to(g)[self.group.nearest(g, tolerance)]


@torch.compiler.assume_constant_result
def _induced_tensor(rep: Induced) -> torch.Tensor:
    return constant_tensor(_induced_matrices(rep))


@lru_cache(maxsize=256)
def _induced_matrices(rep: Induced) -> np.ndarray:
    """(order, dim, dim)."""
    elements, table = rep.group.elements, rep.group.coset_table(rep.rep.group).numpy()
    cosets, n = table.shape[1], rep.rep.dim
    first = elements[[int(np.flatnonzero(table[:, 0] == j)[0]) for j in range(cosets)]]  # the identity is in coset 0
    matrices = np.zeros((len(elements), cosets, n, cosets, n))
    for j in range(cosets):
        inside = first[table[:, j]].transpose(-1, -2) @ elements @ first[j]
        matrices[np.arange(len(elements)), table[:, j], :, j] = rep.rep(inside).numpy()
    flat = matrices.reshape(len(elements), rep.dim, rep.dim)
    flat.setflags(write=False)
    return flat


@dataclass(frozen=True, repr=False)
class DirectSum(Representation):
    """Block-diagonal sum of representations of one group."""

    parts: tuple[Representation, ...]

    @property
    def group(self) -> Group:
        return self.parts[0].group

    @property
    def name(self) -> str:
        return "(" + " + ".join(part.name for part in self.parts) + ")"

    @property
    def dim(self) -> int:
        return sum(part.dim for part in self.parts)

    @property
    def degree(self) -> int:
        return max(part.degree for part in self.parts)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        return block_diagonal([part(g) for part in self.parts])


@dataclass(frozen=True, repr=False)
class TensorProduct(Representation):
    """Kronecker product of two representations of one group."""

    left: Representation
    right: Representation

    @property
    def group(self) -> Group:
        return self.left.group

    @property
    def name(self) -> str:
        return f"({self.left.name} * {self.right.name})"

    @property
    def dim(self) -> int:
        return self.left.dim * self.right.dim

    @property
    def degree(self) -> int:
        return self.left.degree + self.right.degree

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        product = torch.einsum("...ij,...kl->...ikjl", self.left(g), self.right(g))
        return product.reshape(*g.shape[:-2], self.dim, self.dim)


@dataclass(frozen=True, repr=False)
class Restriction(Representation):
    """A representation of a larger group, evaluated on a subgroup."""

    rep: Representation
    group: Group

    @property
    def name(self) -> str:
        return f"({self.rep.name} of {self.rep.group})"

    @property
    def dim(self) -> int:
        return self.rep.dim

    @property
    def degree(self) -> int:
        return self.rep.degree

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        return self.rep(g)


def block_diagonal(blocks: list[torch.Tensor]) -> torch.Tensor:
    """Square blocks (..., n_i, n_i) of one batch shape on the diagonal of (..., sum n_i, sum n_i)."""
    total = sum(block.shape[-1] for block in blocks)
    rows, start = [], 0
    for block in blocks:
        n = block.shape[-1]
        rows.append(torch.nn.functional.pad(block, (start, total - start - n)))
        start += n
    return torch.cat(rows, -2)
