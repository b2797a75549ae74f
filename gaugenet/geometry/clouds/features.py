"""Input features of a point cloud: those of gaugenet.geometry.meshes.features, without a mesh."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...errors import GeometryError
from ..local_geometry import Feature
from ..meshes.features import parse_feature_names, signature
from ..meshes.laplacian import point_cloud_laplacian


def point_features(
    points: np.ndarray,
    normals: np.ndarray,
    frame: np.ndarray,
    area: np.ndarray,
    shape: np.ndarray,
    k: int,
    names: str | Iterable[str],
    *,
    times: int = 16,
    pairs: int = 128,
) -> dict[str, Feature]:
    """The features of :func:`gaugenet.geometry.meshes.features.compute_features`, with the same types, units and signs.

    The heat kernel signature is that of :func:`gaugenet.geometry.meshes.laplacian.point_cloud_laplacian`; "outward" is the side
    of the normals.

    Args:
        points, normals: (N, 3). frame: (N, 3, 2), in the tangent planes.
        area: (N,) of the points.
        shape: (N, 2, 2) shape operators in the frames (unit 1 / length).
        k: number of nearest neighbours for the Laplacian.
        names: the names of the features. times, pairs: of "hks".
    """
    requested = parse_feature_names(names)
    total = area.sum()
    if requested and not total > 0:
        raise GeometryError("features need a surface of positive area")
    unit = np.sqrt(total / (4 * np.pi))
    half_trace = 0.5 * unit * (shape[:, 0, 0] + shape[:, 1, 1])
    traceless = 0.5 * unit * np.stack([shape[:, 0, 0] - shape[:, 1, 1], shape[:, 0, 1] + shape[:, 1, 0]], -1)
    features = {}
    for name, number in requested.items():
        if name == "hks":
            features[name] = signature(*point_cloud_laplacian(points / unit, k), number or times, pairs)
        elif name == "curvature":
            features[name] = Feature(np.stack([half_trace**2 - (traceless**2).sum(-1), half_trace], -1), "2x0")
        elif name == "second_fundamental_form":
            features[name] = Feature(np.concatenate([half_trace[:, None], traceless], 1), "1x0 + 1x2")
        else:
            centred = (points - area @ points / total) / unit
            tangential = np.einsum("nai,na->ni", frame, centred)
            features[name] = Feature(np.column_stack([(centred * normals).sum(-1), tangential]), "1x0 + 1x1")
    return features
