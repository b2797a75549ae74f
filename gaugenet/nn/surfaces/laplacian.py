r"""Connection Laplacians of graphs on surfaces: of every representation, assembled from the graph's own arrays.

.. math:: \langle f, L f \rangle = \sum_{pq} w_{pq}\, |f(p) - \rho(g_{pq})\, f(q)|^2, \qquad M = \mathrm{diag}(area)

over the edges of the triangulation, with the cotangents :math:`w = \frac12 (\cot \alpha + \cot \beta)` of ``face`` and ``pos``
and the graph's transporters: of scalars the Laplacian of finite elements, of vectors that of Sharp, Soliman, Crane 2019 (the
vector heat method) and Knöppel et al. 2013. In a change of frames L turns along, exactly.

Where there are no faces (points of a cloud or of a sphere) all edges of the graph, with a Gaussian of the distance (Belkin,
Niyogi 2008), its second moment made right at every node.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
import torch
from torch import Tensor

from ...groups import Representation
from ...ops.systems.solve import System
from ...sparse.eigenpairs import eigenpairs
from ...sparse.factors import Factorised
from ..tensor_checks import GraphLike

#: the arrays of a graph that a Laplacian is made of
SOURCES = ("edge_index", "log", "transport", "weight", "radius", "area", "pos", "frame", "face")
# Triangle inequalities of the faces hold with this margin, relative to the mean edge, as in geometry.
_MOLLIFY = 1e-5
# The Gaussian of points has fallen to exp(-4) at the radius.
_FALL = 4.0
# Least mass of a node, relative to the mean.
_LEAST_MASS = 1e-8
# So many more eigenpairs are looked at for the place of the widest gap.
_MORE = 8
# A relative gap of the eigenvalues that is wide enough.
_GAP = 1e-2
# Closer eigenvalues count as equal.
_EQUAL = 1e-6
# Convergence of the eigenpairs: what is left out depends on the frames as much as this.
_TOLERANCE = 1e-13


class Basis(NamedTuple):
    """Lowest eigenpairs of a Laplacian, as real vectors.

    Attributes:
        vectors: (R, K), the n components of every node one after the other; V^T M V = 1. values: (K,).
        mass: (N,) the areas.
    """

    vectors: Tensor
    values: Tensor
    mass: Tensor

    @property
    def nodes(self) -> int:
        return self.mass.shape[0]

    @property
    def area(self) -> Tensor:
        return self.mass.sum()

    def first(self, count: int) -> Basis:
        """The lowest ``count`` pairs."""
        return self._replace(vectors=self.vectors[:, :count], values=self.values[:count])


class _Edges(NamedTuple):
    """Terms of the energy of all graphs of a batch: the edge q -> p, its transporter and its weight."""

    source: np.ndarray
    target: np.ndarray
    transport: np.ndarray
    weight: np.ndarray
    #: of the difference of the lumped and the consistent mass; None without faces
    defect: np.ndarray | None = None


def connection_laplacians(graph: GraphLike, rep: Representation) -> list[tuple[sparse.csr_matrix, np.ndarray]]:
    """L and the mass (N,) of every graph of a batch, L symmetric positive semi-definite of one of three forms.

    Complex Hermitian (N, N) where a pair turns as a complex number (orders 1, 2, ... without reflections), real (N, N) for one
    component, otherwise real (n N, n N), the n components of a node one after the other.
    """
    edges, mass = _edges(graph), _mass(graph)
    # A negative cotangent would reward turning; of scalars the form is positive as a whole.
    weight = edges.weight if rep.is_trivial else np.maximum(edges.weight, 0.0)
    matrices = _energies(graph, rep, edges, weight, len(mass))
    return list(zip(matrices, np.split(mass, np.cumsum(_sizes(graph, len(mass)))[:-1])))


def mass_defects(graph: GraphLike, rep: Representation) -> list[sparse.csr_matrix | None]:
    r"""Of every graph of a batch the lumped minus the consistent mass of linear elements, in the form of L; None without faces.

    .. math:: \langle f, (M - M_{consistent}) f \rangle = \sum_{t} \tfrac{|t|}{12} \sum_{pq \in t} |f(p) - \rho(g_{pq}) f(q)|^2

    With the lumped mass eigenvalues come out as much too low as with the consistent one too high, on even triangulations: with
    the mean of both the error of second order, :math:`\mp h^2 \lambda^2 / 16`, is gone.
    """
    edges, count = _edges(graph), len(graph.radius)
    if edges.defect is None:
        return [None] * len(_sizes(graph, count))
    return list(_energies(graph, rep, edges, edges.defect, count))


def _energies(graph: GraphLike, rep: Representation, edges: _Edges, weight: np.ndarray, count: int) -> list[sparse.csr_matrix]:
    """The matrices of the form sum of weight |f(p) - rho(g) f(q)|^2, of every graph of a batch."""
    n = rep.dim
    rho = rep(torch.from_numpy(edges.transport)).numpy()
    if n == 2 and np.allclose(rho[:, 0, 0], rho[:, 1, 1]) and np.allclose(rho[:, 0, 1], -rho[:, 1, 0]):
        rho, n = (rho[:, 0, 0] + 1j * rho[:, 1, 0])[:, None, None], 1
    p, q = (nodes[:, None, None] * n for nodes in (edges.target, edges.source))
    here, there = np.broadcast_arrays(p + np.arange(n)[:, None], q + np.arange(n))
    carried = -weight[:, None, None] * rho
    diagonal = np.bincount(edges.target, weight, count) + np.bincount(edges.source, weight, count)
    rows = np.concatenate([here.ravel(), there.ravel(), np.arange(count * n)])
    columns = np.concatenate([there.ravel(), here.ravel(), np.arange(count * n)])
    values = np.concatenate([carried.ravel(), carried.conj().ravel(), diagonal.repeat(n)])
    matrix = sparse.coo_matrix((values, (rows, columns)), shape=(count * n, count * n)).tocsr()
    bounds = np.concatenate([[0], np.cumsum(_sizes(graph, count))])
    if len(bounds) == 2:
        return [matrix]
    return [matrix[a * n : b * n, a * n : b * n] for a, b in pairwise(bounds)]


def eigenbasis(
    matrix: sparse.csr_matrix,
    mass: np.ndarray,
    rep: Representation,
    pairs: int,
    like: Tensor,
    defect: sparse.csr_matrix | None = None,
) -> Basis:
    """The lowest pairs, cut at a gap: a cut through a cluster of equal eigenvalues would depend on the basis of it.

    With a defect (:func:`mass_defects`) those of the mean of both masses, within the space of the lowest pairs of the lumped
    one, and orthonormal by that.
    """
    n = matrix.shape[0] // len(mass)
    wanted = min(pairs * rep.dim if n == rep.dim else pairs, matrix.shape[0])
    values, vectors = eigenpairs(matrix, mass.repeat(n), wanted + _MORE, constant=rep.is_trivial, tolerance=_TOLERANCE)
    # Over reflections a complex pair is two real ones: the same place in either form.
    kept = _cut(values, wanted, max(_MORE, pairs // 10) * (rep.dim if n == rep.dim else 1))
    values, vectors = values[:kept], vectors[:, :kept]
    if defect is not None:
        part, turn = np.linalg.eigh(np.eye(kept) - 0.5 * (vectors.conj().T @ (defect @ vectors)))
        root = (turn / np.sqrt(part)) @ turn.conj().T
        values, turn = np.linalg.eigh(root @ (values[:, None] * root))
        values, vectors = np.maximum(values, 0.0), vectors @ turn
    if np.iscomplexobj(vectors):  # phi and i phi
        both = np.stack([vectors, 1j * vectors], -1).reshape(len(mass), -1)
        vectors, values = np.stack([both.real, both.imag], 1).reshape(2 * len(mass), -1), values.repeat(2)
    return Basis(*(torch.from_numpy(np.ascontiguousarray(a)).to(like) for a in (vectors, values, mass)))


def system(matrix: sparse.csr_matrix, mass: np.ndarray, shift: float | None = None) -> System:
    """L and M for :func:`gaugenet.ops.systems.solve.solve`, with the factor of L + shift M where a shift is given."""
    n = matrix.shape[0] // len(mass)
    nothing = np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 1)), np.zeros(0)
    factor = nothing
    if shift is not None:
        order, colptr, row, value, pivot = Factorised(matrix + shift * sparse.diags(mass.repeat(n))).factor()
        split = np.stack([value.real, value.imag], -1) if np.iscomplexobj(value) else value[:, None]
        factor = order, colptr.astype(np.int64), row, split, pivot
    if np.iscomplexobj(matrix):
        matrix, n = sparse.kron(matrix.real, np.eye(2)) + sparse.kron(matrix.imag, np.array([[0.0, -1.0], [1.0, 0.0]])), 2
    matrix = sparse.csr_matrix(matrix)
    rows = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data, matrix.diagonal()
    order = factor[0].astype(np.int64)
    whole = mass.repeat(n), np.zeros((len(mass), 0))
    return System(*(torch.from_numpy(np.ascontiguousarray(a)) for a in (*whole, *rows, order, *factor[1:])))


def _cut(values: np.ndarray, wanted: int, window: int) -> int:
    """Where to cut ascending values: at the last wide gap in a window before ``wanted``, or the widest."""
    if len(values) <= wanted:
        return len(values)
    gap = values[1:] / np.maximum(values[:-1], 1e-300) - 1  # gap[k - 1] before the value k
    near = gap[max(0, wanted - window) : wanted].max()
    if near > _EQUAL:
        return 1 + int(np.flatnonzero(gap[:wanted] >= min(near, _GAP))[-1])
    # A cluster that fills the window: before it, or the whole of it where it is the first.
    wide = np.flatnonzero(gap > _EQUAL) + 1
    return int(max(wide[wide <= wanted], default=min(wide, default=len(values))))


def _sizes(graph: GraphLike, count: int) -> np.ndarray:
    """Number of nodes of every graph of a batch."""
    batch = getattr(graph, "batch", None)
    return np.array([count]) if batch is None else np.bincount(_array(batch), minlength=getattr(graph, "num_graphs", 1))


def _array(tensor: Tensor) -> np.ndarray:
    array = tensor.detach().cpu().numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _mass(graph: GraphLike) -> np.ndarray:
    """(N,) the areas: a third of the faces', whose cotangents L has, else those of the graph, else those in the weights."""
    count, area, mesh = len(graph.radius), getattr(graph, "area", None), _faces(graph)
    mass: np.ndarray
    if mesh is not None:
        points, faces = mesh
        sides = points[faces[:, 1:]] - points[faces[:, :1]]
        mass = np.bincount(faces.ravel(), np.linalg.norm(np.cross(*sides.swapaxes(0, 1)), axis=1).repeat(3) / 6, count)
    elif area is not None:
        mass = _array(area)
    else:
        source, target = _array(graph.edge_index)
        disc = np.pi * _array(graph.radius)[target] ** 2
        mass = np.bincount(source, _array(graph.weight) * disc, count)
        mass = mass / np.maximum(np.bincount(source, minlength=count), 1)
    return np.maximum(mass, _LEAST_MASS * mass.mean())


def _faces(graph: GraphLike) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions (N, 3) and faces (F, 3)."""
    faces, points = getattr(graph, "face", None), getattr(graph, "pos", None)
    if faces is None or points is None or not faces.numel():
        return None
    return _array(points), _array(faces).T


def _edges(graph: GraphLike) -> _Edges:
    mesh = _faces(graph)
    return _gaussian(graph) if mesh is None else _cotangents(graph, *mesh)


def _gaussian(graph: GraphLike) -> _Edges:
    """Every edge in both directions, each with half the weight."""
    source, target = _array(graph.edge_index)
    mass, squared, radius = _mass(graph), (_array(graph.log) ** 2).sum(1), _array(graph.radius)
    weight = mass[source] * mass[target] * np.exp(-_FALL * squared / (radius[source] * radius[target]))
    moment = np.bincount(target, weight * squared, len(mass))
    scale = np.sqrt(4 * mass / np.maximum(moment, 1e-300))  # sum of w r^2 = 4 area in the plane
    return _Edges(source, target, _array(graph.transport), 0.5 * weight * scale[source] * scale[target])


def _cotangents(graph: GraphLike, points: np.ndarray, faces: np.ndarray) -> _Edges:
    count = len(points)
    lengths = np.stack([np.linalg.norm(points[faces[:, k - 1]] - points[faces[:, k - 2]], axis=1) for k in range(3)], 1)
    short = _MOLLIFY * lengths.mean() + 2 * lengths.max(1) - lengths.sum(1)
    lengths = lengths + max(0.0, short.max())
    squared, half = lengths**2, lengths.sum(1) / 2
    area = np.sqrt(half * np.prod(half[:, None] - lengths, axis=1))
    weight = (squared.sum(1, keepdims=True) - 2 * squared) / (8 * area[:, None])  # half the cotangent opposite of side k
    ends = np.stack([np.stack([faces[:, k - 2], faces[:, k - 1]], 1) for k in range(3)], 1).reshape(-1, 2)
    key, inverse = np.unique(ends.min(1) * count + ends.max(1), return_inverse=True)
    source, target = np.divmod(key, count)
    sums = (np.bincount(inverse.ravel(), values.ravel()) for values in (weight, area.repeat(3) / 12))
    return _Edges(source, target, _transport(graph, source, target), *sums)


def _transport(graph: GraphLike, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(K, d, d) along edges of the mesh: those of the graph, in either direction.

    An edge longer than the neighbourhood is not in the graph: along it the smallest rotation between the planes of the frames.
    """
    count, known = len(graph.radius), _array(graph.transport)
    q, p = _array(graph.edge_index)
    order = np.argsort(p * count + q, kind="stable")
    keys = (p * count + q)[order]
    out = np.zeros((len(source), *known.shape[1:]))
    missing = np.ones(len(source), bool)
    for forth, a, b in ((False, target, source), (True, source, target)):
        place = np.searchsorted(keys, b * count + a)
        place = np.minimum(place, max(len(keys) - 1, 0))
        there = keys[place] == b * count + a if len(keys) else np.zeros(len(source), bool)
        found = known[order[place[there]]]
        out[there], missing[there] = found if forth else found.swapaxes(1, 2), False
    if missing.any():
        frame = getattr(graph, "frame", None)
        if frame is None:
            edge = int(np.flatnonzero(missing)[0])
            raise ValueError(
                f"a Laplacian needs the edges of the faces: {int(source[edge])} -> {int(target[edge])} is not in edge_index; "
                "take rings=1 or a larger radius"
            )
        out[missing] = _smallest(_array(frame)[source[missing]], _array(frame)[target[missing]])
    return out


def _smallest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(K, 2, 2) between frames (K, 3, 2) by the smallest rotation of their planes."""
    before, after = (np.cross(frame[..., 0], frame[..., 1]) for frame in (source, target))
    cosine = (before * after).sum(1, keepdims=True)
    before = np.where(cosine < 0, -before, before)  # frames of the other hand
    both = before + after
    # R = 2 u u^T - 1 about the bisector, after a half turn about ``before``
    turned = 2 * before[:, :, None] * (before[:, None] @ source) - source
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    turned = 2 * unit[:, :, None] * (unit[:, None] @ turned) - turned
    return target.swapaxes(1, 2) @ turned
