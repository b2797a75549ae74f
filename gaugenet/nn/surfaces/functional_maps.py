r"""Functional maps between two surfaces: from descriptors of their nodes to a map of functions, and to matches of nodes.

A match :math:`T: N \to M` of nodes pulls functions on M back to N, linearly; in the lowest eigenfunctions of both Laplacians
that is a small matrix C (Ovsjanikov, Ben-Chen, Solomon, Butscher, Guibas 2012, "Functional maps"). All bases are taken as
those of surfaces of area 1, so that shapes of different size compare.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...checks import check_int
from ...groups import O2, Representation
from ..tensor_checks import GraphLike
from .by_irreps import kept_parts
from .diffusion import eigenpairs_key
from .laplacian import Basis, eigenbasis, mass_defects


def laplacian_basis(graph: GraphLike, pairs: int = 128) -> Basis:
    """The lowest eigenfunctions of the Laplacian of functions, and the areas of the nodes.

    Made at the first call, as for :class:`FieldDiffusion`, and kept by the graph.

    Args:
        graph: one graph of a surface, no batch.
        pairs: how many; a little fewer are taken, where the next gap of the eigenvalues is wide.

    Returns:
        vectors (N, K), orthonormal by the areas; values (K,), ascending; mass (N,). In the dtype of the graph.

    Raises:
        ValueError: a batch of several graphs, or no positive number of pairs.
    """
    irrep, pairs = O2().trivial, check_int("laplacian_basis", "pairs", pairs)

    def make(matrix: Any, mass: Any, irrep: Representation, graph: GraphLike, defect: Any) -> Basis:
        return eigenbasis(matrix, mass, irrep, pairs, graph.log, defect)

    parts = kept_parts(graph, irrep, eigenpairs_key(pairs), make, mass_defects, "laplacian_basis").parts
    if len(parts) != 1:
        raise ValueError(f"laplacian_basis expected one graph, got a batch of {len(parts)}: take them one by one")
    return parts[0]


def functional_map(source: Tensor, source_basis: Basis, target: Tensor, target_basis: Basis, weight: float = 1e-3) -> Tensor:
    r"""The map of functions that takes descriptors on one surface to those on another (Donati et al. 2020, equation 3).

    .. math:: C = \arg\min_C \tfrac{K}{\|A\|^2} \|C A - B\|^2 + w \sum_{ij} D_{ij} C_{ij}^2, \qquad
        D_{ij} = \Big(\frac{\mu_i - \lambda_j}{\max(\mu, \lambda)}\Big)^2

    A = Phi^T M f and B are the coefficients of the descriptors, lambda and mu the eigenvalues times the areas: an isometry
    commutes with the Laplacians. Row by row a linear system; differentiable to the descriptors.

    Args:
        source: (N, P) descriptors on the surface that functions come from, target: (N', P) the same on the other one.
        source_basis, target_basis: of :func:`laplacian_basis`, K and K' functions.
        weight: w.

    Returns:
        (K', K): coefficients on the target of those on the source.

    Raises:
        ValueError: descriptors of other nodes, or of different number; a weight that is not positive.
    """
    for name, f, basis in (("source", source, source_basis), ("target", target, target_basis)):
        if f.dim() != 2 or f.shape[0] != basis.nodes:
            raise ValueError(
                f"functional_map expected {name} descriptors ({basis.nodes}, P) at the nodes of the basis, got {tuple(f.shape)}"
            )
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"functional_map expected as many descriptors on both surfaces, got {source.shape[1]} and {target.shape[1]}"
        )
    if not weight > 0:
        raise ValueError(f"functional_map expected a positive weight, got {weight}")
    (phi, lam, mass), (psi, mu, other) = _per_area(source_basis, source), _per_area(target_basis, target)
    a, b = phi.T @ (mass[:, None] * source), psi.T @ (other[:, None] * target)
    scale = len(lam) / a.square().sum().clamp_min(torch.finfo(a.dtype).tiny)
    penalty = ((mu[:, None] - lam) / torch.maximum(mu.max(), lam.max())) ** 2
    normal = scale * (a @ a.T) + weight * torch.diag_embed(penalty)  # (K', K, K)
    # The penalty is zero where eigenvalues meet; a little keeps descriptors of lower rank solvable.
    tiny = torch.finfo(a.dtype).eps * len(lam) * torch.eye(len(lam), dtype=a.dtype, device=a.device)
    return torch.linalg.solve(normal + tiny, (scale * (b @ a.T)).unsqueeze(2)).squeeze(2)


def map_of_matches(matches: Tensor, source_basis: Basis, target_basis: Basis, nodes: Tensor | None = None) -> Tensor:
    r"""The map of functions of matches of nodes: :math:`C = \Psi^+ \Phi_T`, the pull-back.

    Args:
        matches: (N',) the node T(p) of the source of every node p of the target, or of those of ``nodes``.
        nodes: (R,) nodes of the target; by default all of them, weighed by their areas.

    Returns:
        (K', K).
    """
    (phi, _, _), (psi, _, mass) = _per_area(source_basis), _per_area(target_basis)
    if nodes is None:
        return psi.T @ (mass[:, None] * phi[matches])
    return torch.linalg.lstsq(psi[nodes], phi[matches]).solution


def matches_of_map(functional: Tensor, source_basis: Basis, target_basis: Basis, nodes: Tensor | None = None) -> Tensor:
    r"""(N',) the node of the source for every node of the target: :math:`T(p) = \arg\min_q |C \phi(q) - \psi(p)|`.

    Args:
        functional: (K', K), the leading eigenfunctions of both are taken.
        nodes: (R,) of the target, by default all.
    """
    (phi, _, _), (psi, _, _) = _per_area(source_basis), _per_area(target_basis)
    there, here = phi[:, : functional.shape[1]] @ functional.T, psi[:, : functional.shape[0]]
    here = here if nodes is None else here[nodes]
    # |x - y|^2 without the term that is the same for all q, in parts that fit into a cache.
    half = 0.5 * there.square().sum(1)
    return torch.cat([(part @ there.T - half).argmax(1) for part in here.split(1024)])


@torch.no_grad()
def zoom_out(
    functional: Tensor, source_basis: Basis, target_basis: Basis, *, step: int = 5, nodes: Tensor | None = None
) -> Tensor:
    """A map of functions refined to all eigenfunctions of the bases (Melzi et al. 2019, ZoomOut).

    Matches of nodes from the map, from these the map of a few more eigenfunctions, and so on.

    Args:
        functional: (K', K) to begin with, square or not.
        step: how many eigenfunctions more at a time.
        nodes: (R,) nodes of the target that are looked at; by default all. Some hundreds do as well where they are spread
            evenly over the surface, as ``torch.multinomial(basis.mass, 500)``; of all nodes alike most lie where triangles are
            small, and the map is lost elsewhere.

    Returns:
        the map in all eigenfunctions that both bases have.

    Raises:
        ValueError: the map has more eigenfunctions than the bases.
    """
    size, last = max(functional.shape), min(source_basis.vectors.shape[1], target_basis.vectors.shape[1])
    if size > last:
        raise ValueError(f"zoom_out expected bases of at least {size} functions, as the map has, got {last}")
    while True:
        matches = matches_of_map(functional, source_basis, target_basis, nodes)
        functional = map_of_matches(matches, source_basis.first(size), target_basis.first(size), nodes)
        if size == last:
            return functional
        size = min(size + step, last)


def _per_area(basis: Basis, like: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, values and masses as those of a surface of area 1."""
    vectors, values, mass = basis if like is None else (part.to(like) for part in basis)
    area = mass.sum()
    return vectors * area.sqrt(), values * area, mass / area
