"""Kernels that are B-splines on a group: B-spline G-CNNs, on graphs and on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import check_int, check_ints, check_number
from ...fields import FieldType
from ..basis import FreeBasis
from ..expansion import KernelExpansion
from ..kernel import FixedColumns
from ..radial import cardinal_spline
from .spline_taps import SplineExpansion

Number = float | Sequence[float] | None


class Centres(nn.Module):
    """Centres (K, d) that are learnt, from given ones on."""

    key = None

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self._first = centres
        self.centres = nn.Parameter(torch.empty(centres.shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.centres.copy_(self._first)


class SplineColumns(FixedColumns):
    """Products of B-splines of the coordinates of log / radius, one for each centre.

    Args:
        centres: (K, d). width: (d,) distance of the knots on every axis. degree: of the splines. learn: move the centres.
    """

    def __init__(self, centres: np.ndarray, width: np.ndarray, degree: int, learn: bool) -> None:
        self.module: Any
        self.centres, self.size = torch.from_numpy(centres), len(centres)
        self.width, self.degree = tuple(width.tolist()), degree
        self.module = Centres(self.centres) if learn else None
        self._key = None if learn else f"spline {degree} {centres.round(12).tolist()} {width.round(12).tolist()}"
        # Of a grid few coordinates differ: the splines of these, then their products.
        self.axes = [torch.unique(axis, return_inverse=True) for axis in self.centres.unbind(1)]

    @property
    def key(self) -> str | None:
        return self._key

    def functions(self, points: Tensor) -> Tensor:
        out: Any = None
        for axis, (values, place) in enumerate(self.axes):
            if self.module is None:
                values = values.to(points)
            else:
                values, place = self.module.centres[:, axis], None
                points = points.to(values.dtype)
            splines = cardinal_spline((points[:, axis, None] - values) / self.width[axis], self.degree)
            splines = splines if place is None else splines.index_select(1, place.to(points.device))
            out = splines if out is None else out * splines
        return out


@dataclass(frozen=True)
class Spline:
    r"""Tensor products of B-splines on a Lie group (Bekkers 2020, arXiv 1909.12057).

    .. math:: K(x) = \sum_k w_k \prod_i B_n\Big(\frac{x_i - c_{ki}}{s_i}\Big)

    with B_n the cardinal B-spline of degree n, and centres c_k on a grid: *dense* by default, *localised* about 0 by a small
    ``size`` and ``spacing``, *atrous* by a ``stretch`` below 1, *deformable* by ``learn_centres``.

    On graphs x is the log map in units of the radius, over G = {e}: ``GaugeConv(kernel=Spline())`` on
    :func:`gaugenet.geometry.lie_group` is the group convolution. On arrays the group is R^d x H, and x is the offset in pixels
    beside that in H: ``GridConv(kernel=Spline())`` between scalar and regular fields over ``groups.Cyclic(N)`` (rotations) or
    ``groups.Scaling`` has

    .. math:: K_h(x) = |\det h|^{-1} K(h^{-1} x) \quad (\text{lifting}), \qquad
              K_{hh'}(x) = |\det h|^{-1} K(h^{-1} x,\, \log h^{-1} h')

    without the measure of the samples of H (the published code multiplies by 2 pi / N). Over ``groups.Trivial`` that is a
    convolution of R^d with smooth kernels.

    Args:
        size: centres a side, on graphs one number or one for each coordinate.
        degree: n.
        spacing: of the centres: in units of the radius (graphs: one, or one for each coordinate; by default 2 / size, so that
            they fill the ball) or in pixels (arrays: by default the side of the kernel over size, of dilations at the largest
            scale).
        stretch: s over the spacing.
        disk: leave out the centres in the corners of the grid: beyond the unit ball for the default spacing; on arrays
            farther than half a pixel from the outermost.
        learn_centres: move the centres in training.
        fibre_size: centres on H, of arrays; by default as many as there are samples.
        fibre_spacing: of these, in steps of the samples. They begin with the identity where they go round the circle, else they
            are about it.
    """

    size: int | Sequence[int] = 5
    degree: int = 2
    spacing: Number = None
    stretch: float = 1.0
    disk: bool = True
    learn_centres: bool = field(default=False, kw_only=True)
    fibre_size: int | None = field(default=None, kw_only=True)
    fibre_spacing: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.size, Sequence):
            object.__setattr__(self, "size", check_ints(self, "size", self.size))
        else:
            check_int(self, "size", self.size)
        check_int(self, "degree", self.degree, 0)
        if isinstance(self.spacing, Sequence) and not isinstance(self.spacing, str):
            object.__setattr__(self, "spacing", tuple(check_number(self, "spacing", s, positive=True) for s in self.spacing))
        elif self.spacing is not None:
            check_number(self, "spacing", self.spacing, positive=True)
        check_number(self, "stretch", self.stretch, positive=True)
        check_int(self, "fibre_size", 1 if self.fibre_size is None else self.fibre_size)
        check_number(self, "fibre_spacing", self.fibre_spacing, positive=True)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """One column for every centre.

        Raises:
            TypeError: field types of another group than {e}.
            ValueError: not one size and spacing for each coordinate; no centres.
        """
        dim = in_type.group.dim
        size = self._per_axis("size", self.size, dim)
        spacing = np.array(self._per_axis("spacing", [2 / n for n in size] if self.spacing is None else self.spacing, dim))
        steps = np.array(list(product(*(np.arange(n) - (n - 1) / 2 for n in size))))
        if self.disk:
            # Within the ellipsoid that goes half a step beyond the outermost centre of every axis.
            steps = steps[np.linalg.norm(steps / (np.array(size) / 2), axis=1) <= 1 + 1e-9]
        if not len(steps):
            raise ValueError(f"{self} has no centres in the unit ball of {dim} coordinates: take disk=False, or a larger size")
        columns = SplineColumns(steps * spacing, spacing * self.stretch, self.degree, self.learn_centres)
        return KernelExpansion(in_type, out_type, partial(FreeBasis, size=columns.size), columns=columns, dense=True)

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> SplineExpansion:
        """The kernels at the taps (T, d), in pixels.

        Raises:
            TypeError: another group than ``Cyclic`` and ``Trivial`` or ``Scaling``; types that are not one block of scalars or
                regular fields, the output one of regular ones.
            ValueError: one size or spacing for each coordinate, which arrays do not have; no centres.
        """
        if not isinstance(self.size, int) or not (self.spacing is None or isinstance(self.spacing, Real)):
            raise ValueError(f"kernels.Spline on arrays has one size and one spacing for all axes of the image, got {self}")
        return SplineExpansion(in_type, out_type, taps, self)

    def _per_axis(self, name: str, value: Any, dim: int) -> tuple:
        values = tuple(value) if isinstance(value, Sequence) else (value,) * dim
        if len(values) != dim:
            raise ValueError(
                f"Spline expected one {name}, or one for each of the {dim} coordinates of the log map, got {values}"
            )
        return values
