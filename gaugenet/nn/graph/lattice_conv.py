"""Convolution with a free weight at every tap, on any graph whose log maps lie on a lattice."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...fields import FieldType
from ...kernels import Rings, Taps
from ...kernels.tap_kernels import TapColumns
from .gauge_conv import GaugeConv


class LatticeConv(GaugeConv):
    r"""Gauge-equivariant convolution with the complete kernel on the taps of a lattice.

    .. math:: out(p) = \sum_t K(x_t)\, \rho_{in}(g_{p q_t})\, f(q_t(p)) + b,
        \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with q_t(p) the neighbour whose log map is the tap x_t, in units of the lattice spacing (the shortest log map into p), and p
    itself at the tap 0. It is the hexagonal convolution of the icosahedron (Cohen et al. 2019, arXiv 1902.04615, section 5),
    and that of the Moebius strip, tori and flat square or hexagonal grids, where :class:`GridConv` runs the same weights by
    conv2d. Where there is no neighbour at a tap it counts as zero (zero padding); edges longer than every tap are not used.
    :class:`GaugeConv` with ``kernel=kernels.Taps(taps, rings)``, without a further weight of the centre.

    At a cone point (``graph.cone_angle``) inputs and outputs are treated as :class:`ConePoints` says, and in the mode "cone"
    the kernel is carried round the point, its sum over the angle that is there scaled to a full turn:

    .. math:: out(c) = P \Big[ \frac{2 \pi}{\Theta_c} \sum_{t \ne 0} K(x_t)\, \rho_{in}(g_{c q_t})\, f(q_t(c)) +
        K(0)\, P f(c) \Big] + b

    which does not depend on where the cone is cut, because :math:`P K(g x) \rho_{in}(g) = P K(x)`.

    Args:
        in_type, out_type: field types over one finite group.
        taps: (T, d) offsets that the group maps onto themselves (:func:`gaugenet.kernels.hexagonal_taps`,
            :func:`gaugenet.kernels.square_taps`); by default the hexagonal one-ring with its centre.
        bias: learn a bias on the invariant part of the output.
        corners: what happens at cone points, "cone", "zero" or "average"; the last two as published.
        rings: band-limited kernels on these rings (:class:`gaugenet.kernels.Rings`, in lattice spacings) instead of complete
            ones; see :class:`GridConv`.
        backend: "auto", "reference", "cpu" or "cuda", see :mod:`gaugenet.ops.backend`.

    Shapes:
        x (N, in_type.dim), graph with edge_index (2, E), log (E, d), transport (E, d, d), radius (N,), and optionally
        cone_angle (N,); output (N, out_type.dim).

    Raises:
        TypeError: types of two groups or of an infinite one; features of another dtype.
        ValueError: taps that the group does not keep; a log map that is on no tap, or two of one node on one tap (with the
            edge); transporters outside the group.
    """

    columns: TapColumns

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        taps: np.ndarray | None = None,
        bias: bool = True,
        *,
        corners: str = "cone",
        rings: Rings | None = None,
        backend: str = "auto",
    ) -> None:
        kernel = Taps(taps, rings)
        super().__init__(in_type, out_type, bias=bias, kernel=kernel, self_interaction=False, corners=corners, backend=backend)
        self.taps, self.centre = self.columns.taps, self.columns.centre

    @property
    def plan_key(self) -> tuple:
        """Layers with equal keys share the plan of a graph."""
        return self.in_type.group, self.table_key

    def kernel(self, points: Tensor | None = None) -> Tensor:
        """K at the taps: (T, out_type.dim, in_type.dim)."""
        if points is not None:
            raise ValueError("LatticeConv has its kernel at the taps alone: call kernel() without points")
        return self.expansion(self.weight).transpose(1, 2)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_type} -> {self.out_type}, taps={len(self.taps)}, bias={self.bias is not None}, "
            f"corners={self.corners_in.mode!r})"
        )
