"""The same surface in other triangles: how much of an answer belongs to the surface, and how much to the mesh?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..fields import FieldType
from ..geometry import mesh


def remeshed_graph(graph: Any, structure: str, seed: int = 0) -> Any:
    """The graph of the same polyhedron with more triangles: edges that share no triangle are halved, at random.

    Every neighbourhood keeps its radius, new vertices get that of the ends of their edge; the levels, as many, have as many
    nodes as before.

    Args:
        graph: of a mesh, with its triangles.
        structure: of :func:`gaugenet.geometry.mesh`.
        seed: of the random numbers.
    """
    positions = graph.pos.detach().cpu().double().numpy()
    radius = graph.radius.detach().cpu().double().numpy()
    vertices, faces, radius = halved_edges(positions, graph.face.t().cpu().numpy(), radius, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = graph.level(1).num_nodes if graph.num_levels > 1 else 0
        geometry = mesh(
            vertices,
            faces,
            radius=radius,
            structure=structure,
            features=tuple(getattr(graph, "feature_types", None) or ()),
            levels=graph.num_levels - 1,
            ratio=nodes / len(vertices) if nodes else 0.25,
        )
    return geometry.to_graph(graph.log.dtype).to(graph.log.device)


def halved_edges(
    vertices: np.ndarray, faces: np.ndarray, values: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mesh with edges halved that share no triangle, and values at its vertices, the mean of both ends at the new ones."""
    owner: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for f, face in enumerate(faces.tolist()):
        for k in range(3):
            a, b = face[k], face[(k + 1) % 3]
            owner.setdefault((min(a, b), max(a, b)), []).append((f, k))
    edges = list(owner)
    used: set[int] = set()
    ends: list[tuple[int, int]] = []
    replaced, added = faces.copy(), []
    for number in np.random.default_rng(seed).permutation(len(edges)).tolist():
        around = owner[edges[number]]
        if used.intersection(f for f, _ in around):
            continue
        middle = len(vertices) + len(ends)
        ends.append(edges[number])
        for f, k in around:
            used.add(f)
            a, b, c = np.roll(faces[f], -k)
            replaced[f] = a, middle, c
            added.append((middle, b, c))
    pairs = np.array(ends)
    new = np.concatenate([vertices, vertices[pairs].mean(1)])
    return new, np.concatenate([replaced, np.array(added)]), np.concatenate([values, values[pairs].mean(1)])


def has_smooth_fields(type: FieldType) -> bool:
    """Whether :func:`smooth_field` can make a field of a type: one of the orders 0, 1, 2, ... over SO(2) or O(2)."""
    names = [rep.name for _, rep in type.irreducible().blocks]
    return type.group.dim == 2 and type.group.order is None and all(name.isdigit() for name in names)


def smooth_field(graph: Any, type: FieldType, seed: int = 0) -> Tensor:
    r"""A smooth field (N, type.dim) that depends on the surface alone: polynomials of the position, in the frames.

    An ambient vector a + B p has the coordinates :math:`z = E_p^T (a + B p)`, a complex number, and :math:`z^k` is a field of
    order k.
    """
    generator = torch.Generator().manual_seed(seed)
    positions = graph.pos.detach().cpu().double()
    frame = graph.frame.detach().cpu().double()
    centre = (positions.amax(0) + positions.amin(0)) / 2
    p = (positions - centre) / (positions - centre).abs().max()
    parts = []
    for mul, rep in type.irreducible().blocks:
        order = int(rep.name)
        a = torch.randn(mul, 3, generator=generator, dtype=torch.float64, device="cpu")
        b = torch.randn(mul, 3, 3, generator=generator, dtype=torch.float64, device="cpu")
        vectors = a + torch.einsum("mij,nj->nmi", b, p)
        if order == 0:
            parts.append((vectors * p[:, None]).sum(-1)[:, None])
            continue
        z = torch.view_as_complex(torch.einsum("nia,nmi->nma", frame, vectors).contiguous()) ** order
        parts.append(torch.stack([z.real, z.imag], 1))
    return type.irreducible().join(parts).to(graph.log)


def at_nodes_of(values: Tensor, type: FieldType, here: Any, there: Any) -> Tensor:
    """A field on one level at the nodes of another one of the same surface: those nearest, turned into their frames."""
    positions, others = (g.pos.detach().cpu().double().numpy() for g in (here, there))
    nearest = torch.from_numpy(cKDTree(positions).query(others)[1]).to(values.device)
    change = there.frame.transpose(1, 2) @ here.frame[nearest]
    left, _, right = torch.linalg.svd(change)  # the nearest orthogonal matrix: the tangent planes differ a little
    return type.transform((left @ right).to(values), values[nearest])
