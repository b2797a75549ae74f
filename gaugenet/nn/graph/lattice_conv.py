"""Convolution with a free weight at every tap, on any graph whose log maps lie on a lattice."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ...fields import FieldType
from ...kernels.rings import RingBasis, Rings
from ...kernels.tap_expansion import TapExpansion
from ...kernels.taps import TapBasis, hexagonal_taps
from ...ops import TapLayout, tap_convolve
from ..checks import autocast, check_features, check_graph
from ..fields.bias import FieldBias
from .cone_points import ConePoints
from .lattice_plan import NEEDS, LatticePlan, centre_of, lattice_plan


class LatticeConv(nn.Module):
    r"""Gauge-equivariant convolution with the complete kernel on the taps of a lattice.

    .. math:: out(p) = \sum_t K(x_t)\, \rho_{in}(g_{p q_t})\, f(q_t(p)) + b,
        \qquad K(g x) = \rho_{out}(g)\, K(x)\, \rho_{in}(g)^{-1}

    with q_t(p) the neighbour whose log map is the tap x_t, in units of the lattice spacing (the shortest log map into p), and p
    itself at the tap 0. It is the hexagonal convolution of the icosahedron (Cohen et al. 2019, arXiv 1902.04615, section 5),
    and that of the Moebius strip, tori and flat square or hexagonal grids, where :class:`GridConv` runs the same weights by
    conv2d. Where there is no neighbour at a tap it counts as zero (zero padding); edges longer than every tap are not used.

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
        backend: of :func:`gaugenet.ops.tap_convolve`: "auto", "reference", "gather" or "cpu".

    Shapes:
        x (N, in_type.dim), graph with edge_index (2, E), log (E, d), transport (E, d, d), radius (N,), and optionally
        cone_angle (N,); output (N, out_type.dim).

    Raises:
        TypeError: types of two groups or of an infinite one; features of another dtype.
        ValueError: taps that the group does not keep; a log map that is on no tap, or two of one node on one tap (with the
            edge); transporters outside the group.
    """

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
        super().__init__()
        self.in_type, self.out_type, self.backend = in_type, out_type, backend
        self.taps = np.array(hexagonal_taps() if taps is None else taps, dtype=np.float64)
        self.expansion = TapExpansion(
            in_type, out_type, self.taps, TapBasis if rings is None else partial(RingBasis, rings=rings)
        )
        self.centre = centre_of(self.taps)
        self.layouts = TapLayout.of(in_type), TapLayout.of(out_type)
        self.corners_in, self.corners_out = ConePoints(in_type, corners), ConePoints(out_type, corners)
        self.weight = nn.Parameter(torch.empty(self.expansion.num_weights))
        self.bias = FieldBias(out_type) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(self.expansion.initial_weight())
        if self.bias is not None:
            self.bias.reset_parameters()

    @property
    def plan_key(self) -> tuple:
        """Layers with equal keys share the plan of a graph."""
        return self.in_type.group, self.taps.tobytes()

    def kernel(self) -> Tensor:
        """K at the taps: (T, out_type.dim, in_type.dim)."""
        return self.expansion(self.weight).transpose(1, 2)

    def plan(self, graph) -> LatticePlan:
        """The neighbours of a graph by tap; layers of equal :attr:`plan_key` share one."""
        return lattice_plan(graph, self.in_type.group, self.taps, "LatticeConv")

    def forward(self, x: Tensor, graph, plan: LatticePlan | None = None) -> Tensor:
        check_features(x, self.in_type, self.weight, "LatticeConv")
        check_graph(graph, NEEDS, x.shape[0], x.device, "LatticeConv")
        x = autocast(x)
        plan = self.plan(graph) if plan is None else plan
        weight = self.expansion(self.weight).to(x.dtype)
        bias = None if self.bias is None else self.bias.row()
        x = self.corners_in.apply_plan(x, plan.cone)
        out = tap_convolve(x, weight, bias, (self.in_type, self.out_type), self.layouts, plan.taps, self.backend)
        return self.corners_out.apply_plan(out, plan.cone)

    def extra_repr(self) -> str:
        return (
            f"{self.in_type} -> {self.out_type}, taps={len(self.taps)}, bias={self.bias is not None}, "
            f"corners={self.corners_in.mode!r}"
        )
