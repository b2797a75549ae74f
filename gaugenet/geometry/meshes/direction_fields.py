r"""Globally optimal n-direction fields of a triangle mesh, their singularities, and smooth frames.

Knöppel, Crane, Pinkall, Schröder 2013, "Globally optimal direction fields". An n-direction field (n = 1 a vector, 2 a line, 4 a
cross) is given at every vertex by the complex number :math:`\psi_p = |\psi_p| e^{i n \phi_p}`, :math:`\phi_p` the angle of one
of its directions in the frame of p. The smoothest field minimises a quadratic form, so it is an eigenvector: no starting
value, no local minima.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse

from ...errors import GeometryError
from ..local_geometry import LocalGeometry
from ..triangles.angles import RingAngles, ambient_frames, face_areas, lengths_and_angles, rotations, vertex_areas
from ..triangles.checks import check_mesh
from ..triangles.topology import Topology
from .curvature import check_oriented
from .features import second_fundamental_form_feature

# Below this many vertices a dense solve is faster than ARPACK.
_DENSE_VERTICES = 300


@dataclass(frozen=True, eq=False)
class DirectionField:
    """An n-direction field on V vertices: n directions at every vertex, 2 pi / n apart.

    Attributes:
        angle: (V,) angle of one of the directions in the frame, in (-pi/n, pi/n] (radians).
        representation: (V,) complex psi with angle = arg(psi) / n; small next to a singularity.
        singular_faces: (S,) int64, the faces around which the field turns against itself.
        index: (S,) turns of a direction around each of them, counter-clockwise positive: multiples of 1 / n.
        n: number of directions.
        frame: (V, 3, 2) frames that the angles refer to.
        energy: the Rayleigh quotient of psi, :math:`\\int |\\nabla \\psi|^2 / \\int |\\psi|^2` for s = 0 (unit 1 / area).
    """

    angle: np.ndarray
    representation: np.ndarray
    singular_faces: np.ndarray
    index: np.ndarray
    n: int
    frame: np.ndarray
    energy: float

    @property
    def directions(self) -> np.ndarray:
        """(V, n, 3) unit tangent vectors in space."""
        angle = self.angle[:, None] + 2 * np.pi * np.arange(self.n) / self.n
        return np.einsum("vai,vni->vna", self.frame, np.stack([np.cos(angle), np.sin(angle)], -1))

    def __repr__(self) -> str:
        return f"DirectionField(n={self.n}, vertices={len(self.angle)}, singular_faces={len(self.singular_faces)})"


def smooth_field(
    geometry_or_vertices: LocalGeometry | np.ndarray,
    faces: np.ndarray | None = None,
    *,
    n: int = 4,
    s: float = 0.0,
    alignment: str | np.ndarray | None = None,
    tightness: float = 1.0,
) -> DirectionField:
    r"""The smoothest n-direction field of an oriented mesh, free at the boundary.

    Minimises, among fields of :math:`\int |\psi|^2 = 1` on every component (Knöppel et al. 2013, equation 4 and section 4),

    .. math:: E_s(\psi) = \int |\nabla \psi|^2 - s \, n \int K |\psi|^2, \qquad s \in [-1, 1]:

    s = 0 the Dirichlet energy, 1 holomorphic, -1 antiholomorphic. Discretised with the cotangent weights (negative ones set
    to zero) and the transporters along edges of the scaled angles, :math:`r_{ij}^n`, section 6 there; K is the curvature of
    that transport, :math:`\Omega` below, a third of each face's at each of its corners.

    With ``alignment`` q the solution of :math:`(A - \lambda_t M) \psi = M q` instead, a compromise with q (section 4 there);
    :math:`\lambda_t = \lambda_1 - 4 \pi t / A`, t the ``tightness``, A the area of the component, :math:`\lambda_1` its least
    eigenvalue.

    The field has singularities in faces: with :math:`\omega_{ij} \in (-\pi, \pi]` the rotation of psi against transport along
    the edge i -> j and :math:`\Omega` the curvature of the face (its scaled angles - pi),

    .. math:: \mathrm{index}_{ijk} = \frac{\omega_{ij} + \omega_{jk} + \omega_{ki} + n \Omega_{ijk}}{2 \pi n}.

    On a closed surface the indices add up to the Euler characteristic, to rounding (Poincaré-Hopf).

    Args:
        geometry_or_vertices: a LocalGeometry with positions, frames and faces, whose frames the angles then refer to; or
            vertices (V, 3), which are checked and framed as by :func:`gaugenet.geometry.mesh`.
        faces: (F, 3), with vertices.
        n: number of directions: 1, 2, ...
        s: see above.
        alignment: (V,) complex numbers q like psi (zero where nothing is wanted), or "curvature" for the principal
            directions (n = 2: that of the largest curvature; n even).
        tightness: t > 0; the larger, the closer to the alignment.

    Raises:
        GeometryError: a geometry without faces, frames or orientation.
        MeshError: vertices and faces that are no mesh.
        ValueError, TypeError: arguments out of range.
    """
    if isinstance(n, bool) or int(n) != n or n < 1:
        raise ValueError(f"the number of directions n must be a positive integer, got {n!r}")
    if not -1 <= s <= 1:
        raise ValueError(f"s must lie in -1..1, got {s!r}")
    if not (np.isfinite(tightness) and tightness > 0):
        raise ValueError(f"tightness must be positive, got {tightness!r}")
    surface = _surface(geometry_or_vertices, faces)
    return solve_field(surface, int(n), float(s), _alignment(alignment, surface, n), float(tightness))


def smooth_frames(vertices: np.ndarray, topology: Topology, lengths: np.ndarray, angles: RingAngles) -> np.ndarray:
    """(V, 3, 2) right-handed frames whose first vectors are the smoothest vector field (n = 1)."""
    frame, offset = ambient_frames(vertices, topology, angles)
    field = solve_field(Surface(vertices, topology, lengths, angles, frame, offset), 1)
    return frame @ rotations(field.angle)


class Surface(NamedTuple):
    """An oriented mesh with frames; direction in the frame = direction in the ring + offset."""

    vertices: np.ndarray
    topology: Topology
    lengths: np.ndarray
    angles: RingAngles
    frame: np.ndarray
    offset: np.ndarray


def solve_field(
    surface: Surface, n: int, s: float = 0.0, alignment: np.ndarray | None = None, tightness: float = 1.0
) -> DirectionField:
    """The work of :func:`smooth_field`, on checked input."""
    topology = surface.topology
    turn = edge_turns(surface)
    matrix, mass = connection_laplacian(surface, turn, n)
    if s:
        spread = np.repeat(face_curvature(surface) / 3, 3)
        matrix = matrix - sparse.diags(s * n * np.bincount(topology.tail, spread, minlength=len(mass)))
    psi = np.zeros(len(mass), complex)
    number, label = topology.components()
    order = np.argsort(label, kind="stable")
    for nodes in np.split(order, np.cumsum(np.bincount(label, minlength=number))[:-1]):
        part, area = matrix[nodes][:, nodes], mass[nodes]
        wanted = None if alignment is None else alignment[nodes]
        psi[nodes] = _aligned(part, area, wanted, tightness) if wanted is not None and wanted.any() else _lowest(part, area)[1]
    energy = float((psi.conj() @ (matrix @ psi)).real / (mass @ np.abs(psi) ** 2))
    singular, index = singularities(surface, turn, psi, n)
    return DirectionField(np.angle(psi) / n, psi, singular, index, n, surface.frame, energy)


def edge_turns(surface: Surface) -> np.ndarray:
    """(3F,) what transport along each halfedge adds to a vector's angle, from the frame of its tail to that of its head."""
    tail, head = surface.topology.tail, surface.topology.head
    leave = surface.angles.departure(tail) + surface.offset[tail]
    return surface.angles.arrival + surface.offset[head] + np.pi - leave


def connection_laplacian(surface: Surface, turn: np.ndarray, n: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    r"""The connection Laplacian of n-direction fields and the lumped mass.

    .. math:: \psi^* A \psi = \sum_{ij} w_{ij} |\psi_j - r_{ij}^n \psi_i|^2, \qquad
        w_{ij} = \max(0, \tfrac12 (\cot \alpha_{ij} + \cot \beta_{ij}))

    A negative weight would reward turning, and make the form indefinite; the edges that are left connect every component,
    because the cotangent weights across any cut add up to more than zero.

    Returns:
        A (V, V) complex Hermitian, positive semi-definite; mass (V,) (unit of length squared).
    """
    topology, lengths = surface.topology, surface.lengths
    count, twin = topology.num_vertices, topology.twin
    squared = lengths**2
    # Opposite of halfedge k is the corner between the halfedges k + 1 and k + 2.
    opposite = np.roll(squared, -1, 1) + np.roll(squared, -2, 1) - squared
    half = (opposite / (8 * face_areas(lengths)[:, None])).reshape(-1)
    edge = np.flatnonzero((twin < 0) | (np.arange(twin.size) < twin))
    weight = np.maximum(half[edge] + np.where(twin[edge] >= 0, half[twin[edge]], 0.0), 0.0)
    i, j = topology.tail[edge], topology.head[edge]
    carried = weight * np.exp(1j * n * turn[edge])
    entries = np.concatenate([-carried, -carried.conj(), weight, weight])
    rows, columns = np.concatenate([j, i, i, j]), np.concatenate([i, j, i, j])
    matrix = sparse.coo_matrix((entries, (rows, columns)), shape=(count, count)).tocsr()
    return matrix, vertex_areas(topology, lengths)


def face_curvature(surface: Surface) -> np.ndarray:
    """(F,) angle by which transport around each face turns: its scaled angles - pi; 2 pi chi in all on a closed surface."""
    scaled = surface.angles.corner * surface.angles.scale[surface.topology.tail]
    return scaled.reshape(-1, 3).sum(1) - np.pi


def singularities(surface: Surface, turn: np.ndarray, psi: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The faces (S,) of an n-direction field psi (V,) whose index (S,) is not zero."""
    tail, head, twin = surface.topology.tail, surface.topology.head, surface.topology.twin
    omega = np.angle(psi[head] * psi[tail].conj() * np.exp(-1j * n * turn))
    # The two sides of an edge must agree where the rotation is pi, too.
    second = (twin >= 0) & (twin < np.arange(twin.size))
    omega[second] = -omega[twin[second]]
    turns = np.rint((omega.reshape(-1, 3).sum(1) + n * face_curvature(surface)) / (2 * np.pi)).astype(np.int64)
    singular = np.flatnonzero(turns)
    return singular, turns[singular] / n


def _surface(geometry_or_vertices, faces) -> Surface:
    frame = None
    if isinstance(geometry_or_vertices, LocalGeometry):
        geometry = geometry_or_vertices
        if faces is not None:
            raise TypeError("faces come with an array of vertices, not with a LocalGeometry")
        missing = [name for name in ("positions", "frame", "faces") if getattr(geometry, name) is None]
        if missing:
            raise GeometryError(f"a direction field needs a mesh: this geometry has no {', '.join(missing)}")
        vertices, faces, frame = np.asarray(geometry.positions, float), geometry.faces, np.asarray(geometry.frame, float)
        lone = np.flatnonzero(np.bincount(faces.ravel(), minlength=len(vertices)) == 0)
        if lone.size:
            raise GeometryError(f"a direction field needs a mesh: vertex {lone[0]} has no face")
    else:
        if faces is None:
            raise TypeError("expected a LocalGeometry, or vertices (V, 3) and faces (F, 3)")
        mesh = check_mesh(geometry_or_vertices, faces)
        vertices, faces = mesh.vertices, mesh.faces
    check_oriented(faces, len(vertices), "direction fields")
    topology = Topology.of(faces, len(vertices))
    lengths, angles = lengths_and_angles(vertices, topology)
    frame, offset = ambient_frames(vertices, topology, angles, frame)
    return Surface(vertices, topology, lengths, angles, frame, offset)


def _alignment(alignment, surface: Surface, n: int) -> np.ndarray | None:
    if alignment is None:
        return None
    count = surface.topology.num_vertices
    if isinstance(alignment, str):
        if alignment != "curvature":
            raise ValueError(f'alignment must be "curvature" or an array of complex numbers, got {alignment!r}')
        if n % 2:
            raise ValueError(f"principal directions are lines: they align fields with an even n, not n = {n}")
        traceless = second_fundamental_form_feature(surface.vertices, surface.topology.faces, surface.frame).values[:, 1:]
        q = traceless[:, 0] + 1j * traceless[:, 1]
        # A power of the line field that is still linear in the curvature.
        return np.abs(q) * np.exp(0.5j * n * np.angle(q))
    alignment = np.asarray(alignment, complex)
    if alignment.shape != (count,) or not np.isfinite(alignment).all():
        raise ValueError(f"alignment must be finite complex numbers of shape {(count,)}, got shape {alignment.shape}")
    return alignment


def _lowest(matrix: sparse.csr_matrix, mass: np.ndarray) -> tuple[float, np.ndarray]:
    """The least eigenvalue of A psi = lambda M psi, and its eigenvector with psi^* M psi = 1 (of a fixed, arbitrary phase)."""
    total = mass.sum()
    scale = np.sqrt(total / mass)
    # Times the area: a dimensionless problem whatever the unit of length.
    symmetric = (sparse.diags(scale) @ matrix @ sparse.diags(scale)).tocsc()
    if len(mass) <= _DENSE_VERTICES:
        from scipy.linalg import eigh

        dense = symmetric.toarray()
        values, vectors = eigh(0.5 * (dense + dense.conj().T), subset_by_index=(0, 0))
    else:
        values, vectors = _shift_invert(symmetric)
    return values[0] / total, vectors[:, 0] * scale / np.sqrt(total)


def _shift_invert(symmetric: sparse.csc_matrix) -> tuple[np.ndarray, np.ndarray]:
    """The lowest pair by ARPACK on (S - sigma)^-1, with sigma below all eigenvalues."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    size, sigma = symmetric.shape[0], -1e-2  # the first eigenvalues times the area are of the order of 10
    while True:
        factor = _factor(symmetric - sigma * sparse.identity(size))
        # Without pivoting the negative pivots count the eigenvalues below sigma (Sylvester); there can be some with s > 0.
        if (factor.U.diagonal().real > 0).all():
            break
        sigma *= 8
    inverse = LinearOperator(symmetric.shape, matvec=factor.solve, dtype=symmetric.dtype)
    start = np.random.default_rng(0).standard_normal(size).astype(symmetric.dtype)
    # Symmetric shapes have clusters of lowest values, which the default of 20 vectors may not tell apart.
    return eigsh(symmetric, k=1, sigma=sigma, which="LM", OPinv=inverse, v0=start, ncv=min(size, 60))


def _aligned(matrix: sparse.csr_matrix, mass: np.ndarray, wanted: np.ndarray, tightness: float) -> np.ndarray:
    shift = _lowest(matrix, mass)[0] - 4 * np.pi * tightness / mass.sum()
    psi = _factor(matrix - shift * sparse.diags(mass)).solve(mass * wanted)
    return psi / np.sqrt(mass @ np.abs(psi) ** 2)


def _factor(matrix: sparse.spmatrix):
    from scipy.sparse.linalg import splu

    return splu(sparse.csc_matrix(matrix), permc_spec="COLAMD", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
