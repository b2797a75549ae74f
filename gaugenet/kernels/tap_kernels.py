"""Kernels with a matrix at every tap of a lattice: on graphs whose log maps lie on the taps, and on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import check_instance
from ..fields import FieldType
from ..groups import Group
from .expansion import KernelExpansion
from .kernel import CoefficientTable, Columns
from .quadrature.cone_angles import full_turns
from .rings import Rings
from .taps import TapBasis, check_period, hexagonal_taps, tap_permutation

# Log maps within this of a tap, in lattice spacings, lie on it: records hold float32.
TOLERANCE = 1e-3


class TapColumns(Columns):
    r"""Indicators of the taps, :math:`\varphi_t(x) = 1` where x, in units of the lattice spacing, is the tap t.

    The spacing is the shortest log map into a node. A group element moves the indicator of t to that of g t. At cone points the
    neighbours count by 2 pi over the angle that is there; log maps longer than every tap are not used.

    Args:
        group: a finite group that maps the taps onto themselves. taps: (T, d).
    """

    one_hot = True

    def __init__(self, group: Group, taps: np.ndarray) -> None:
        self.taps, self.size = taps, len(taps)
        self._key = f"taps {taps.tolist()}"
        self.moved = torch.from_numpy(tap_permutation(group, taps))
        at_zero = np.flatnonzero(np.linalg.norm(taps, axis=1) < TOLERANCE)
        #: the number of the tap 0, or None
        self.centre = int(at_zero[0]) if at_zero.size else None

    @property
    def key(self) -> str:
        return self._key

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        if graph.log.shape[1] != self.taps.shape[1]:
            raise ValueError(
                f"{layer} has taps of dimension {self.taps.shape[1]} but the graph log maps of {graph.log.shape[1]}"
            )
        tap, away, reached = self._nearest(graph)
        nodes, target = graph.radius.shape[0], graph.edge_index[1]
        place = target * self.size + tap
        if torch.compiler.is_compiling():  # which edges are wrong cannot be asked there
            count = place.new_zeros(nodes * self.size).scatter_add(0, place, reached.to(place.dtype))
            fits = ~(reached & (away > TOLERANCE)).any() & ~(count > 1).any()
            torch._assert_async(fits, f"{layer}: log maps on none of its taps, or two of one node on one tap")
        else:
            self._check_on_taps(graph, away, reached, layer)
            self._check_alone(graph, place, reached, layer)
        turns = full_turns(getattr(graph, "cone_angle", None))
        value = reached.to(graph.log.dtype) if turns is None else reached * turns[target].to(graph.log.dtype)
        table = graph.log.new_zeros(target.numel(), self.size).scatter(1, tap[:, None], value[:, None])
        node = table.new_zeros(nodes, self.size)
        if self.centre is not None:
            node[:, self.centre] = 1
        return CoefficientTable(table, node)

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        return torch.zeros_like(table).scatter(1, self.moved.to(table.device)[element], table)

    def _nearest(self, graph: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) number of the nearest tap, distance to it in lattice spacings, and whether the edge is within reach of any."""
        target, length = graph.edge_index[1], graph.log.norm(dim=1)
        spacing = length.new_full((graph.radius.shape[0],), torch.inf).scatter_reduce(0, target, length, "amin")
        points = graph.log / spacing[target, None]
        reached = points.norm(dim=1) <= float(np.linalg.norm(self.taps, axis=1).max()) + TOLERANCE
        tap, best = torch.zeros_like(target), torch.full_like(length, torch.inf)
        for number, offset in enumerate(torch.from_numpy(self.taps).to(points)):
            away = torch.linalg.vector_norm(points - offset, dim=1)
            tap, best = torch.where(away < best, number, tap), torch.minimum(away, best)
        return tap, best, reached

    def _check_on_taps(self, graph: Any, away: Tensor, reached: Tensor, layer: str) -> None:
        """Raise when an edge within reach is on no tap."""
        off = (reached & (away > TOLERANCE)).nonzero()
        if off.numel():
            e = int(off[0, 0])
            q, p = graph.edge_index[:, e].tolist()
            to_p = graph.edge_index[1] == p
            where = [round(c, 4) for c in (graph.log[e] / graph.log[to_p].norm(dim=1).min()).tolist()]
            raise ValueError(
                f"{layer}: edge {e} from node {q} to node {p} has the log map {where} in lattice spacings, on none of "
                f"the {self.size} taps: take taps of the graph's lattice, or GaugeConv with kernels.Polar"
            )

    def _check_alone(self, graph: Any, place: Tensor, reached: Tensor, layer: str) -> None:
        """Raise when two neighbours of a node are on one tap."""
        edge = reached.nonzero()[:, 0]
        order = torch.argsort(place[edge], stable=True)
        twice = (place[edge][order].diff() == 0).nonzero()
        if twice.numel():
            first, second = (int(edge[order[twice[0, 0] + k]]) for k in range(2))
            raise ValueError(
                f"{layer}: edges {first} and {second} into node {int(graph.edge_index[1, first])} have their log maps on "
                "one tap"
            )


@dataclass(frozen=True, eq=False)
class Taps:
    r"""A free weight at every tap, tied by the group alone: K(x_t) with :math:`K(g x) = \rho_{out}(g) K(x) \rho_{in}(g)^{-1}`.

    The complete kernels of p4, p4m, p6, p6m, CubeNet, the icosahedron and the Moebius strip (:class:`TapBasis` has the papers).

    Args:
        taps: (T, d) offsets in lattice spacings for graphs (:func:`hexagonal_taps`, :func:`square_taps`), by default the
            hexagonal one-ring with its centre. Arrays bring their own taps.
        rings: band-limited kernels on these rings, sampled at the taps, instead of complete ones.
        period: (d, d), of kernels on arrays that have the size of a torus and are closed by "circular" padding: rows that lead
            once round it, such as ``5 * np.array(Lattice.of("hexagonal").steps)`` for 5 x 5 pixels. Offsets that differ by a
            whole combination of them are one tap, and all pixels of the array are taps.
    """

    taps: np.ndarray | None = None
    rings: Rings | None = None
    period: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.period is not None:
            object.__setattr__(self, "period", check_period(self.period))
        if self.rings is not None:
            check_instance(self, "rings", self.rings, Rings, "kernels.Rings, such as Rings.of(5)")
            if self.period is not None:
                raise ValueError("kernels.Taps with a period has a weight at every tap: it takes no rings")

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """One column for every tap."""
        if self.period is not None:
            raise ValueError("kernels.Taps with a period is for arrays: nn.GridConv with padding_mode='circular'")
        taps = np.array(hexagonal_taps() if self.taps is None else self.taps, dtype=np.float64)
        expansion = self.on_taps(in_type, out_type, taps)
        expansion.columns = TapColumns(in_type.group, taps)
        return expansion

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> KernelExpansion:
        """The kernels at the taps (T, d).

        Raises:
            ValueError: the family has other taps of its own.
        """
        if self.taps is not None and not np.array_equal(self.taps, taps):
            raise ValueError(
                f"kernels.Taps has {len(self.taps)} taps of its own, and arrays bring theirs, {len(taps)} here: take "
                "kernels.Taps() and choose kernel_size and lattice"
            )
        if self.rings is not None:
            return self.rings.on_taps(in_type, out_type, taps)
        return KernelExpansion(in_type, out_type, partial(TapBasis, taps=taps, period=self.period), dense=True)

    def _arrays(self) -> tuple:
        arrays = (None if a is None else np.asarray(a, float).tobytes() for a in (self.taps, self.period))
        return *arrays, self.rings

    def __eq__(self, other: object) -> bool:
        return self._arrays() == other._arrays() if isinstance(other, Taps) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._arrays())
