"""Input features of a mesh, as feature fields in its frames.

All are dimensionless: lengths are in units of the radius of the sphere of equal area, :math:`r_A = \\sqrt{A / 4 \\pi}`,
with A the area of the whole mesh; the heat kernel signature has that of each connected component. So they do not change with
a rigid motion or a scaling of the mesh, and a round sphere has curvature 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np

from ...errors import GeometryError
from ...sparse.eigenpairs import connected_parts
from ..local_geometry import Feature
from ..triangles.angles import edge_lengths, face_areas
from .curvature import check_oriented, max_normals, second_fundamental_form
from .laplacian import eigenpairs, mesh_laplacian

# Relative distance below which eigenvalues count as one.
_SAME_EIGENVALUE = 1e-6


def compute_features(
    vertices: np.ndarray,
    faces: np.ndarray,
    frame: np.ndarray,
    names: str | Iterable[str],
    *,
    times: int = 16,
    pairs: int = 128,
    laplacian: str = "robust",
) -> dict[str, Feature]:
    """Feature fields of a triangle mesh in given frames.

    ===========================  ===============  ==================================================================
    name                         type             what it is
    ===========================  ===============  ==================================================================
    ``"hks"``, ``"hks:8"``       ``"16x0"``       heat kernel signature, :func:`heat_kernel_signature`; isometry invariant
    ``"curvature"``              ``"2x0"``        Gaussian and mean curvature, :func:`curvature_feature`
    ``"second_fundamental_form"``  ``"1x0 + 1x2"``  mean curvature and traceless part, :func:`second_fundamental_form_feature`
    ``"position"``               ``"1x0 + 1x1"``  normal and tangential parts of the position, :func:`position_feature`
    ===========================  ===============  ==================================================================

    Gauge: with the frames E_p h_p, h_p in O(2), the values are rho(h_p)^-1 times those with the frames E_p, to rounding.

    Args:
        vertices: (N, 3). faces: (F, 3) int.
        frame: (N, 3, 2), orthonormal columns in the tangent planes.
        names: the names above, as a sequence or separated by commas. A number after a colon is the number of times of "hks".
        times: number of times of "hks" where the name gives none.
        pairs: number of eigenpairs behind "hks".
        laplacian: "robust" or "cotangent", see :func:`gaugenet.geometry.meshes.laplacian.mesh_laplacian`.

    Returns:
        name (without the number) -> Feature, float64, in the order of the names.

    Raises:
        ValueError: a name that does not exist, or a wrong option.
        GeometryError: a frame of a wrong shape, a mesh without area; for all but "hks", a surface that is not oriented.
    """
    requested = parse_feature_names(names)
    vertices, faces, frame = np.asarray(vertices, np.float64), np.asarray(faces), np.asarray(frame, np.float64)
    if frame.shape != (len(vertices), 3, 2):
        raise GeometryError(f"features expected a frame of shape {(len(vertices), 3, 2)}, got {frame.shape}")
    area = face_areas(edge_lengths(vertices, faces)).sum()
    if not area > 0:
        raise GeometryError("features need a surface of positive area")
    # Centred and in units of r_A from here on; every area is 4 pi.
    scaled = (vertices - area_centroid(vertices, faces)) / np.sqrt(area / (4 * np.pi))
    features = {}
    for name, number in requested.items():
        if name == "hks":
            features[name] = heat_kernel_signature(scaled, faces, number or times, pairs=pairs, laplacian=laplacian)
        else:
            check_oriented(faces, len(vertices))
            features[name] = _IN_FRAMES[name](scaled, faces, frame)
    return features


def parse_feature_names(names: str | Iterable[str]) -> dict[str, int | None]:
    """``"hks:8,curvature"`` or ``["hks:8", "curvature"]`` -> ``{"hks": 8, "curvature": None}``; a ValueError names all."""
    known = ("hks", *_IN_FRAMES)
    result: dict[str, int | None] = {}
    for item in names.split(",") if isinstance(names, str) else names:
        name, colon, number = item.strip().partition(":")
        if name not in known:
            raise ValueError(f"unknown feature {name!r}; features are {', '.join(known)}")
        if name in result:
            raise ValueError(f"feature {name!r} is asked for twice")
        if colon and (name != "hks" or not number.isdigit() or int(number) < 1):
            raise ValueError(f'a number goes with "hks" only and is positive, as in "hks:16"; got {item.strip()!r}')
        result[name] = int(number) if colon else None
    return result


def area_centroid(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(3,) centroid of the surface."""
    areas = face_areas(edge_lengths(vertices, faces))
    return areas @ vertices[faces].mean(axis=1) / areas.sum()


def heat_kernel_signature(
    vertices: np.ndarray, faces: np.ndarray, times: int = 16, *, pairs: int = 128, laplacian: str = "robust"
) -> Feature:
    r"""Heat kernel signature (Sun, Ovsjanikov, Guibas 2009), with the normalisation of their section 5.

    .. math:: h_t(p) = A \, \frac{\sum_k e^{-\lambda_k t} \phi_k(p)^2}{\sum_k e^{-\lambda_k t}}

    at times spaced evenly in log t from :math:`4 \ln 10 / \lambda_{max}` to :math:`4 \ln 10 / \lambda_{min}`, the largest and
    the smallest positive eigenvalue in use. The area mean of every channel is 1. Scalars, invariant to isometry and scale.

    **Connected components** are surfaces of their own, between which no heat flows: the area A, the eigenvalues (the spectral
    gap :math:`\lambda_{min}` among them) and the times, so the scale too, are those of the component of p. A crumb beside a
    body changes nothing on the body, and the values on both are those that each would have alone.

    Args:
        vertices: (N, 3). faces: (F, 3) int.
        times: number of times T.
        pairs: number of eigenpairs of each component (a last eigenspace is completed).
        laplacian: method of :func:`gaugenet.geometry.meshes.laplacian.mesh_laplacian`.

    Returns:
        Feature of type "Tx0", channels in the order of growing time; 1 on components of a single vertex.
    """
    matrix, mass = mesh_laplacian(vertices, faces, laplacian)
    return signature(matrix, mass, times, pairs)


def signature(matrix, mass: np.ndarray, times: int, pairs: int) -> Feature:
    """The heat kernel signature of a Laplacian (N, N) and its mass (N,), see :func:`heat_kernel_signature`."""
    if times < 1:
        raise ValueError(f"the number of times of the heat kernel signature must be positive, got {times}")
    if pairs < 2:
        raise ValueError(f"the heat kernel signature needs 2 eigenpairs at least, got {pairs}")
    values = np.empty((len(mass), times))
    for nodes, part in connected_parts(matrix):
        values[nodes] = _connected_signature(part, mass[nodes], times, pairs)
    return Feature(values, f"{times}x0")


def _connected_signature(matrix, mass: np.ndarray, times: int, pairs: int) -> np.ndarray:
    """(N, T) of one component."""
    values, vectors = _whole_eigenspaces(matrix, mass, pairs)
    lowest, highest = values[values > 0].min(initial=np.inf), values[-1]
    if not np.isfinite(lowest):
        return np.ones((len(mass), times))
    t = 4 * np.log(10) / np.geomspace(highest, lowest, times)
    decay = np.exp(-np.outer(values, t))  # (K, T)
    return mass.sum() * (vectors**2 @ decay) / decay.sum(axis=0)


def _whole_eigenspaces(matrix, mass: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest eigenpairs of one component, so many more than asked for that no eigenspace is cut.

    A cut would depend on an arbitrary choice of basis, so on the order of the vertices.
    """
    count = pairs + 6
    while True:
        values, vectors = eigenpairs(matrix, mass, count)
        ends = np.flatnonzero(values[1:] * (1 - _SAME_EIGENVALUE) > values[:-1]) + 1
        ends = ends[ends >= pairs]
        if ends.size:
            return values[: ends[0]], vectors[:, : ends[0]]
        if len(values) == len(mass):
            return values, vectors
        count *= 2


def curvature_feature(vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray) -> Feature:
    r"""Gaussian and mean curvature, :math:`(\kappa_1 \kappa_2, (\kappa_1 + \kappa_2) / 2)`, type "2x0".

    From the second fundamental form (Rusinkiewicz 2004), as determinant and half the trace. With the vertices in units of
    r_A these are :math:`K A / 4\pi` and :math:`H \sqrt{A / 4\pi}`; both are 1 on a sphere. Mean curvature is positive on a
    convex body.
    """
    half_trace, traceless = _shape_operator(vertices, faces, frame)
    return Feature(np.stack([half_trace**2 - (traceless**2).sum(-1), half_trace], -1), "2x0")


def second_fundamental_form_feature(vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray) -> Feature:
    r"""The second fundamental form S in the frame, type "1x0 + 1x2":
    :math:`\big(\tfrac12 (S_{11} + S_{22}), \; \tfrac12 (S_{11} - S_{22}), \; S_{12}\big)` (Rusinkiewicz 2004).

    The order-2 part is half the difference of the principal curvatures, at twice the angle of the first principal direction.
    """
    half_trace, traceless = _shape_operator(vertices, faces, frame)
    return Feature(np.concatenate([half_trace[:, None], traceless], 1), "1x0 + 1x2")


def position_feature(vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray) -> Feature:
    r"""The position relative to the area centroid c, type "1x0 + 1x1": :math:`(n_p \cdot (x_p - c), \; E_p^T (x_p - c))`."""
    centred = vertices - area_centroid(vertices, faces)
    normal = (centred * outward_normals(vertices, faces, frame)).sum(-1, keepdims=True)
    return Feature(np.concatenate([normal, np.einsum("nai,na->ni", frame, centred)], 1), "1x0 + 1x1")


def outward_normals(vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """(N, 3) unit normals of the frames, on the side that the faces say (also for a left-handed frame)."""
    normals = np.cross(frame[..., 0], frame[..., 1])
    side = (normals * max_normals(vertices, faces)).sum(-1, keepdims=True)
    return np.where(side < 0, -normals, normals)


def _shape_operator(vertices: np.ndarray, faces: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the trace (N,) and the traceless part (N, 2) of the second fundamental form in the frames."""
    tensor = second_fundamental_form(vertices, faces, outward_normals(vertices, faces, frame))
    s = np.swapaxes(frame, 1, 2) @ tensor @ frame
    half_trace = 0.5 * (s[:, 0, 0] + s[:, 1, 1])
    return half_trace, np.stack([0.5 * (s[:, 0, 0] - s[:, 1, 1]), 0.5 * (s[:, 0, 1] + s[:, 1, 0])], -1)


_IN_FRAMES: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Feature]] = MappingProxyType(
    {
        "curvature": curvature_feature,
        "second_fundamental_form": second_fundamental_form_feature,
        "position": position_feature,
    }
)
