"""Convolution of Harmonic Surface Networks."""

from __future__ import annotations

from ...fields import FieldType
from ...kernels import HarmonicRings
from ..graph.gauge_conv import GaugeConv


class HarmonicSurfaceConv(GaugeConv):
    r"""Convolution with circular harmonics (Wiersma, Eisemann & Hildebrandt 2020, arXiv 2006.01570, HSN).

    .. math:: out_m(p) = \sum_n \sum_{q \to p} w_{pq} R(r_{pq}) e^{i (\beta + (m - n) \theta_{pq})} e^{i n \varphi_{pq}} f_n(q)
              + K_{self} f(p) + b

    for complex fields f_n of order n, with the angle :math:`\varphi_{pq}` of the transporter, learnt values on rings and a
    learnt phase beta for every pair of copies and orders. It is :class:`GaugeConv` with the family
    :class:`gaugenet.kernels.HarmonicRings`, in the same fused loop, with half of the kernels: those that are linear over the
    complex numbers.

    Unlike the published code: transporters act by :math:`e^{i n \varphi}` on order n (there every order n > 0 turns like
    n = 1, so that from order 2 on the output depends on the frames); fields of order 0 are real, a complex number being two
    (:func:`gaugenet.nn.stream_type`); the quadrature is moment-matched; the centre has a weight of its own, and invariants have
    a bias. :func:`gaugenet.models.published.harmonic_conv` reads published weights.

    Args:
        in_type, out_type: field types over one group of the plane.
        rings: number of rings of the radial profile.
        phase: learn beta; without it beta = 0. Over O(2) and D_N there is none.
        bias: learn a bias on the invariant part of the output.
        quadrature, self_interaction, corners, backend: as of :class:`GaugeConv`.

    Attributes:
        radial_profile, phase_offset: flat vectors, see :class:`gaugenet.kernels.published.harmonic_rings.HarmonicExpansion`.

    Shapes:
        x (N, in_type.dim), graph as of :class:`GaugeConv`; output (N, out_type.dim).

    Raises:
        TypeError: types of two groups. ValueError: groups of another dimension than 2.
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        rings: int = 2,
        *,
        phase: bool = True,
        bias: bool = True,
        quadrature: int | None = 3,
        self_interaction: bool = True,
        corners: str = "cone",
        backend: str = "auto",
    ) -> None:
        kernel = HarmonicRings(rings, phase, quadrature=quadrature)
        super().__init__(
            in_type, out_type, bias=bias, kernel=kernel, self_interaction=self_interaction, corners=corners, backend=backend
        )
        self.rings, self.phase = rings, phase
