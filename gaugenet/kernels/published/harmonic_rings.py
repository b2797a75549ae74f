"""Circular harmonics with values on rings and a phase, on graphs: the kernels of Harmonic Surface Networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from ...checks import check_counts, check_int
from ...fields import FieldType
from ...groups import Representation
from ..basis import SteerableBasis
from ..expansion import KernelExpansion
from ..polar import PolarColumns, default_frequency
from ..quadrature import MAX_DEGREE
from ..radial import LinearRings

_TURN = np.array([[0.0, -1.0], [1.0, 0.0]])  # i
_ZERO = 1e-9


@dataclass(frozen=True)
class HarmonicBasis:
    r"""Of the kernels between two irreps of the plane those that are linear over the complex numbers.

    Between the orders n and m as complex numbers: :math:`e^{i (m - n) \theta}`, and, where the group admits it, i times that.
    Numbers of order 0 (and all irreps of dimension 1) are real, or imaginary where reflections change their sign: of the
    complex kernel remains what leads from such a number, and to such a one. Of other representations: every kernel.

    Args:
        rep_in, rep_out: representations of one group. max_frequency: F. phase: False leaves out i times the kernel.

    Attributes:
        coefficients: (K, dim_out, dim_in, 2 F + 1) float64, of unit norm. complex: whether K = 2 are real and imaginary part.
    """

    rep_in: Representation
    rep_out: Representation
    max_frequency: int
    phase: bool = True

    @property
    def coefficients(self) -> Tensor:
        every = SteerableBasis(self.rep_in, self.rep_out, self.max_frequency).coefficients.cpu()
        start, end = _embedding(self.rep_in), _embedding(self.rep_out)
        if start is None or end is None:
            return every
        found = torch.from_numpy(self._kernels(start, end))
        # What the group admits of them lies in the span of its kernels.
        admitted = torch.einsum("kabc,labc,ldef->kdef", found, every, every)
        there = (found - admitted).abs().amax((1, 2, 3)) < _ZERO
        return found[there & (found.abs().amax((1, 2, 3)) > _ZERO)]

    def _kernels(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        frequency = self.rep_out.degree - self.rep_in.degree
        kernels = np.zeros((1 + self.phase, self.rep_out.dim, self.rep_in.dim, 2 * self.max_frequency + 1))
        for k, factor in enumerate((np.eye(2), _TURN)[: len(kernels)]):
            column = max(2 * abs(frequency) - 1, 0)
            kernels[k, ..., column] = end.T @ factor @ start
            if frequency:
                kernels[k, ..., column + 1] = np.sign(frequency) * end.T @ factor @ _TURN @ start
        norm = np.sqrt((kernels**2).sum((1, 2, 3), keepdims=True))
        return kernels / np.where(norm > _ZERO, norm, 1.0)

    @property
    def complex(self) -> bool:
        return len(self.coefficients) == 2 and _embedding(self.rep_in) is not None and _embedding(self.rep_out) is not None


def _embedding(rep: Representation) -> np.ndarray | None:
    """(2, dim), the numbers of an irrep among the complex ones; None for other representations."""
    if rep.rotation_order is not None:
        return np.eye(2)
    if rep.dim != 1 or rep.name not in rep.group.irrep_names(rep.degree):
        return None
    flip = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64, device="cpu"))
    odd = rep.group.reflects and float(rep(flip)) < 0
    return np.array([[0.0], [1.0]] if odd else [[1.0], [0.0]])


class HarmonicExpansion(KernelExpansion):
    """From values on rings and phases to the flat vector of weights.

    Its parameters are flat vectors that hold for every pair (in block, out block), in order: "radial_profile" an array
    (rings, mul_in, mul_out) (of representations that are no irreps (rings, K, mul_in, mul_out)), and "phase_offset" an array
    (mul_in, mul_out) of every pair with two kernels.
    """

    amplitude: Tensor
    trigonometric: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, columns: PolarColumns, rings: int, phase: bool) -> None:
        basis = partial(HarmonicBasis, max_frequency=columns.max_frequency, phase=phase)
        super().__init__(in_type, out_type, basis, columns=columns, num_radial=rings)
        amplitudes, waves = [], []
        size = phases = 0
        fan = [0.0] * len(self.out_type.blocks)
        #: (in block, out block, shape in radial_profile, whether it has phases)
        self.pairs: list[tuple[int, int, tuple[int, ...], bool]] = []
        for (i, o, *_), count in zip(self.paths, self._counts):
            copies = self.in_type.blocks[i][0], self.out_type.blocks[o][0]
            turned = basis(self.in_type.blocks[i][1], self.out_type.blocks[o][1]).complex
            kernels, number = (1 if turned else count), copies[0] * copies[1]
            place = size + torch.arange(rings * kernels * number, device="cpu").view(rings, kernels, number)
            amplitudes.append(place.expand(rings, count, number).flatten())
            wave = torch.zeros(2 if turned else kernels, number, dtype=torch.int64, device="cpu")
            if turned:
                wave += 1 + phases + torch.arange(number, device="cpu")
                wave[1] = -wave[1]  # a sine, see flat_weight
                phases += number
            waves.append(wave.expand(rings, count, number).flatten())
            size += rings * kernels * number
            shape = (rings, *copies) if turned or count == 1 else (rings, kernels, *copies)
            self.pairs.append((i, o, shape, turned))
            fan[o] += copies[0] * kernels
        self._std = [(self.out_type.blocks[o][1].dim / max(fan[o], 1)) ** 0.5 for _, o, *_ in self.pairs]
        self._size, self._phases = size, phases
        wave = torch.cat(waves) if waves else torch.zeros(0, dtype=torch.int64)
        self.register_constant("amplitude", torch.cat(amplitudes) if amplitudes else torch.zeros(0, dtype=torch.int64))
        self.register_constant("trigonometric", torch.where(wave < 0, phases - wave, wave))

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"radial_profile": (self._size,)}
        return {**shapes, "phase_offset": (self._phases,)} if self._phases else shapes

    def initial_parameters(self) -> dict[str, Tensor]:
        """Normal values that about keep the variance, uniform phases."""
        sizes = [int(np.prod(shape)) for _, _, shape, _ in self.pairs]
        parts = [torch.randn(size, device="cpu") * std for size, std in zip(sizes, self._std)]
        found = {"radial_profile": torch.cat(parts) if parts else torch.zeros(0)}
        if self._phases:
            found["phase_offset"] = torch.rand(self._phases, device="cpu") * 2 * torch.pi
        return found

    def flat_weight(self, *parameters: Tensor) -> Tensor:
        """R cos(beta) of the kernels, R sin(beta) of i times them, R of those without a phase."""
        values = parameters[0].index_select(0, self.amplitude)
        if len(parameters) == 1:
            return values
        offset = parameters[1]
        waves = torch.cat([offset.new_ones(1), offset.cos(), offset.sin()])
        return values * waves.index_select(0, self.trigonometric)


@dataclass(frozen=True)
class HarmonicRings:
    r"""Circular harmonics with learnt values on rings and a phase (Wiersma, Eisemann & Hildebrandt 2020, arXiv 2006.01570).

    .. math:: K_{mn}(r, \theta) = R(r)\, e^{i (\beta + (m - n) \theta)}, \qquad R(r) = \sum_b R_b\, \mu_b(r)

    between complex fields of the orders n and m, with piecewise linear :math:`\mu_b`
    (:class:`gaugenet.kernels.LinearRings` without cut-off), values R_b and a phase beta for every pair of copies
    and of orders. Of the four kernels that SO(2) admits between orders n, m > 0 these are the two that are linear over the
    complex numbers, of one phase on all rings; :class:`Polar` has all. Fields of order 0 are real here: a complex number is two
    of them. Over O(2) and D_N kernels are real, without a phase.
    :class:`gaugenet.nn.HarmonicSurfaceConv` is ``GaugeConv(in_type, out_type, kernel=HarmonicRings())``.

    Args:
        rings: number of rings. phase: learn beta; without it beta = 0.
        quadrature: degree of moment matching, or None for plain area weights.
    """

    rings: int = 2
    phase: bool = True
    quadrature: int | None = field(default=3, kw_only=True)

    def __post_init__(self) -> None:
        check_counts(self, rings=self.rings)
        check_int(self, "quadrature", 0 if self.quadrature is None else self.quadrature, 0, MAX_DEGREE)

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> HarmonicExpansion:
        """One column for every ring and harmonic.

        Raises:
            ValueError: groups of another dimension than 2.
        """
        if in_type.group.dim != 2:
            raise ValueError(f"kernels.HarmonicRings are for surfaces, over groups of the plane, got {in_type.group}")
        inner, outer = in_type.irreducible(), out_type.irreducible()
        orders = [[rep.degree if _embedding(rep) is not None else None for _, rep in type.blocks] for type in (inner, outer)]
        if None in orders[0] or None in orders[1]:
            frequency = default_frequency(in_type, out_type)
        else:
            frequency = max((abs(m - n) for n in orders[0] for m in orders[1]), default=0)  # type: ignore[operator]
        columns = PolarColumns(LinearRings(self.rings, cutoff=False), frequency, self.quadrature, 2)
        return HarmonicExpansion(in_type, out_type, columns, self.rings, self.phase)

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: Any) -> NoReturn:
        """Refused: they are functions of log maps."""
        raise TypeError("kernels.HarmonicRings are for graphs; on arrays take kernels.CircularHarmonic")
