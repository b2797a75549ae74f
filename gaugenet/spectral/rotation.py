"""Rotating sampled fields of the sphere: exactly up to a band limit, or by moving the points."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ..errors import GeometryError
from ..fields import FieldType
from .fields import FieldTransform
from .harmonics import format_ids
from .sampling import Sampling

# A turned point this near (radians) to a point of the sampling is that point.
_TOLERANCE = 1e-7
_METHODS = ("spectral", "permutation", "auto")


def rotate_field(
    x: Tensor,
    field_type: FieldType,
    rotation: Tensor | np.ndarray,
    sampling,
    lmax: int | None = None,
    *,
    method: str = "spectral",
    frames: np.ndarray | Tensor | None = None,
    weights: np.ndarray | Tensor | None = None,
) -> Tensor:
    r"""The turned field (R f)(p) = R f(R^-1 p), sampled at the same points in the same frames: (..., N, dim) -> (..., N, dim).

    Args:
        x: (..., N, dim) features. field_type: of them: scalars "0", tangent vectors "1", spin-s fields "s".
        rotation: (3, 3), or for "spectral" (..., 3, 3) with the leading shape of x. Reflections need a group that has them.
        sampling: a geometry or graph of a sphere, points (N, 3), or a `LatLonGrid`; see `SphericalTransform`.
        lmax: the band limit of the field, for "spectral".
        method: "spectral": through the coefficients up to lmax, exact for fields without higher degrees (what else they contain
            is dropped); irreps of SO(2) and O(2). "permutation": where R maps the points to points, exact for every field;
            any group that contains the turns from the carried frames to the frames of the points.
            "auto": "permutation" where that is possible, else "spectral".
        frames, weights: see `SphericalTransform`.

    To rotate many fields on one sampling, keep a `FieldTransform`: this function makes one for every call.

    Raises:
        GeometryError: "permutation", and R does not map the points to themselves (with the first ids).
        ValueError, TypeError: arguments of wrong shape, range or combination.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}")
    rotation = torch.as_tensor(rotation, device=x.device)
    samples = Sampling.of(sampling, weights, frames)
    if method != "spectral":
        try:
            return _moved(x, field_type, rotation, samples)
        except GeometryError:
            if method == "permutation":
                raise
    if lmax is None:
        raise ValueError("rotate_field needs lmax, the band limit of the field, to rotate it through its coefficients")
    transform = FieldTransform(samples, lmax, field_type).to(x)
    return transform.synthesis(transform.rotate(transform.analysis(x), rotation.to(x)))


def sampling_permutation(points: np.ndarray | Tensor, rotation: np.ndarray | Tensor) -> np.ndarray:
    """Where an orthogonal R (3, 3) moves each of the points (N, 3): (N,) int64 with points[out[i]] = R points[i] to 1e-7.

    Raises:
        GeometryError: R does not map the points to themselves (with the first ids).
    """
    unit = Sampling.of(points).unit
    rotation = np.asarray(rotation, dtype=np.float64)
    if rotation.shape != (3, 3):
        raise ValueError(f"a permutation belongs to one rotation (3, 3), got shape {rotation.shape}")
    distance, place = cKDTree(unit).query(unit @ rotation.T)
    bad = np.flatnonzero(distance > _TOLERANCE)
    if bad.size == 0:
        bad = np.flatnonzero(np.bincount(place, minlength=len(unit)) != 1)
    if bad.size:
        raise GeometryError(f"the rotation does not map the points to themselves: {format_ids(bad)}")
    return place


def _moved(x: Tensor, field_type: FieldType, rotation: Tensor, samples: Sampling) -> Tensor:
    """The field moved with the points: at R p it is rho(E(R p)^T R E(p)) f(p)."""
    place = sampling_permutation(samples.unit, rotation.detach().cpu())
    frames = torch.from_numpy(samples.frames)
    turn = frames[place].mT @ rotation.detach().to("cpu", torch.float64) @ frames
    group = field_type.group
    if not bool(group.contains(turn).all()):
        raise GeometryError(f"the rotation turns the frames by matrices outside of {group}")
    moved = field_type.transform(turn.to(x), x)
    return torch.empty_like(moved).index_copy(-2, torch.from_numpy(place).to(x.device), moved)
