"""What the flow does to the wall: the shear stress as tangent vectors at the nodes of a triangle mesh of the wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from skfem import BilinearForm, ElementTetP2, ElementTriP2, FacetBasis, LinearForm, MappingIsoparametric, MeshTet2
from skfem.quadrature import get_quadrature

from .flow import Flow

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Wall:
    """Vertices (N, 3), faces (F, 3) with outward normals, wall shear stress (N, 3) in mu U / a, pressure (N,) in mu U / a, and
    the vertices on the rim of the inlet."""

    vertices: Array
    faces: NDArray[np.int64]
    wss: Array
    pressure: Array
    rim: NDArray[np.int64]


class _Mapping(MappingIsoparametric):
    """The points of facets in their reference tetrahedra, known from their corners.

    scikit-fem's Newton iteration for them fails on strongly curved tetrahedra.
    """

    def __init__(self, mesh: MeshTet2, facets: NDArray[np.int64], points: Array) -> None:
        super().__init__(mesh, ElementTetP2(), ElementTriP2())
        local = (mesh.t[None, :, mesh.f2t[0, facets]] == mesh.facets[:, None, facets]).argmax(1)
        corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
        self.points = np.einsum("kq,kfx->xfq", np.stack([1 - points.sum(0), *points]), corners[local])

    def invF(self, x: Array, tind: NDArray[np.int64] | None = None) -> Array:
        return self.points


def wall_shear_stress(flow: Flow) -> Wall:
    r"""The stress :math:`\tau = \mu (I - n n^T)(\nabla u + \nabla u^T) n` of the fluid on the wall, n into the fluid.

    The gradient of a P2 velocity jumps between the tetrahedra, so the tangential traction is projected (L2, on the curved
    wall) on the functions of degree 2 there. Every curved triangle gives four flat ones. The sign is that of the force on
    the wall: along the flow next to it.
    """
    mesh, basis = flow.mesh, flow.basis
    rule = get_quadrature(ElementTriP2, 5)
    mapping = _Mapping(mesh.volume, mesh.wall, rule[0])
    sides = FacetBasis(mesh.volume, ElementTetP2(), facets=mesh.wall, quadrature=rule, mapping=mapping)
    slope = np.stack([np.asarray(sides.interpolate(flow.velocity[:, k]).grad) for k in range(3)])  # d_j u_i
    normal = np.asarray(sides.normals)
    traction = -np.einsum("ijfq,jfq->ifq", slope + slope.swapaxes(0, 1), normal)
    traction -= np.einsum("ifq,ifq->fq", traction, normal) * normal

    nodes = sides.get_dofs(mesh.wall).all()
    mass = BilinearForm(lambda u, v, w: u * v).assemble(sides).tocsr()[nodes][:, nodes].tocsc()
    load = LinearForm(lambda v, w: w["t"] * v)
    right = np.stack([load.assemble(sides, t=traction[k])[nodes] for k in range(3)], 1)
    wss = splu(mass).solve(right)

    order = np.argsort(nodes)
    nodes, wss = nodes[order], wss[order]
    faces = np.searchsorted(nodes, _triangles(flow))
    vertices = basis.doflocs[:, nodes].T
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces.ravel(), np.repeat(_normals(vertices, faces), 3, 0))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    wss -= (wss * normals).sum(1)[:, None] * normals  # the projection left a normal part of the order of its error
    rim = np.flatnonzero(np.isin(nodes, basis.get_dofs(mesh.inlet).all()))
    return Wall(vertices, faces, wss, _pressure(flow)[nodes], rim)


def _triangles(flow: Flow) -> NDArray[np.int64]:
    """(F, 3) nodes: four triangles of every curved one, their normals out of the fluid."""
    mesh, volume = flow.mesh, flow.mesh.volume
    corners = volume.facets[:, mesh.wall]
    edges = {tuple(e): i for i, e in enumerate(np.sort(volume.edges, 0).T.tolist())}
    dofs = flow.basis.dofs
    a, b, c = dofs.nodal_dofs[0, corners]

    def between(i: int, j: int) -> NDArray[np.int64]:
        pairs = np.sort(corners[[i, j]], 0).T.tolist()
        return dofs.edge_dofs[0, [edges[tuple(e)] for e in pairs]]

    ab, bc, ca = between(0, 1), between(1, 2), between(2, 0)
    at = flow.basis.doflocs.T
    middle = volume.doflocs[:, volume.t[:, volume.f2t[0, mesh.wall]]].mean(1).T
    inward = np.einsum("fx,fx->f", np.cross(at[b] - at[a], at[c] - at[a]), middle - at[a]) > 0
    faces = np.stack([[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]).transpose(2, 0, 1)
    faces[inward] = faces[inward][..., ::-1]
    return faces.reshape(-1, 3)


def _normals(vertices: Array, faces: NDArray[np.int64]) -> Array:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _pressure(flow: Flow) -> Array:
    """At the nodes of degree 2; linear between the vertices."""
    dofs, edges = flow.basis.dofs, flow.mesh.volume.edges
    out = np.zeros(flow.basis.N)
    out[dofs.nodal_dofs[0]] = flow.pressure
    out[dofs.edge_dofs[0]] = flow.pressure[edges].mean(0)
    return out
