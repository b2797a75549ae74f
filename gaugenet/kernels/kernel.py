r"""What a kernel is to the one operator: J functions of the log map, and a map from weights to J matrices.

.. math:: K(x) = \sum_j \varphi_j(x)\, W_j, \qquad W = \mathrm{expand}(w)

A *family* (:class:`KernelFamily`: Polar, Taps, Rings, ...) is a value that knows neither field types nor a graph. Bound to two
field types it is a :class:`~gaugenet.kernels.expansion.KernelExpansion`, the linear map from the weights of a layer to its
matrices. The functions :math:`\varphi_j`, and how a group element turns them, are :class:`Columns`: the columns of the
coefficient table of a graph. Layers and loops ask for nothing else: a new family is one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np

    from ..fields import FieldType
    from .expansion import KernelExpansion


class CoefficientTable(NamedTuple):
    """Kernel coefficients of a graph: ``edge`` (E, J) of the neighbours, ``node`` (N, J) of the centres."""

    edge: Tensor
    node: Tensor


class Entries(NamedTuple):
    """A basis whose kernels have no entry in common: of every entry the one kernel that has it, and its value there.

    Attributes:
        number: K. place: (dim_out, dim_in, Y) int64, the number of the kernel. factor: (dim_out, dim_in, Y) float64.
    """

    number: int
    place: Tensor
    factor: Tensor


class OrbitKernels(NamedTuple):
    """A basis whose kernels each live on one orbit of entries (rows and columns), with few kernels on every orbit.

    Attributes:
        number: K.
        orbit: (dim_out, dim_in) int64, the orbit of every entry.
        slots: (orbits, k) int64, the numbers of the kernels on an orbit, -1 where it has fewer.
        values: (dim_out, dim_in, k, Y) float64, of those kernels at an entry.
    """

    number: int
    orbit: Tensor
    slots: Tensor
    values: Tensor

    def dense(self) -> Tensor:
        """The coefficients (K, dim_out, dim_in, Y)."""
        found = self.values.new_zeros(self.number + 1, *self.orbit.shape, self.values.shape[-1])
        rows, columns = (torch.arange(n, device="cpu") for n in self.orbit.shape)
        for numbers, values in zip(self.slots.unbind(1), self.values.unbind(2)):
            found[numbers[self.orbit], rows[:, None], columns] = values  # of no kernel: into the last one, which is left out
        return found[: self.number]


class KernelBasis(Protocol):
    """A basis of the kernels between two representations; hashable, so that what is derived from it is made once.

    Attributes:
        coefficients: (K, dim_out, dim_in, Y) float64, every kernel of unit norm; Y columns per radial function.
            A basis may have ``entries`` or ``orbits`` beside them, :class:`Entries` or :class:`OrbitKernels` or None, of which
            layers are made without them.
    """

    @property
    def coefficients(self) -> Tensor: ...

    def __hash__(self) -> int: ...


class Columns:
    """The J functions of the log map that a family sums the neighbours against.

    Attributes:
        size: J.
        key: what the table of a graph depends on besides the graph: layers with equal keys over one group share a plan. None
            when the functions are learnt, so that the table is made at every call.
        one_hot: whether each edge has one function that is not zero there: an indicator of a tap.
        module: what computes (and may learn) the functions; a layer registers it under the name ``radial``.
        kept: of learnt functions the columns that a graph can keep, from whose rows :meth:`complete` makes the table at every
            call; None where the whole table is made anew.
    """

    size: int
    one_hot: bool = False
    module: nn.Module | None = None

    @property
    def kept(self) -> Columns | None:
        return None

    def complete(self, rows: Tensor) -> Tensor:
        """The table (E, J) from the rows (E, K) of :attr:`kept`."""
        raise NotImplementedError

    @property
    def key(self) -> str | None:
        return None

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        """The functions at the log maps of a graph, times the quadrature weights.

        Args:
            graph: with edge_index, log, transport, weight, radius. layer: name for error messages.

        Raises:
            ValueError: log maps at which the functions have no meaning.
        """
        raise NotImplementedError

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        r"""The coefficients at g x from those at x: the columns of the reversed edges, which the backward pass sums.

        Args:
            g: (E, d, d). element: (E,) its number in a finite group, empty for others. table: (E, J).

        Returns:
            (E, J), so that :math:`\sum_j U_j(g x)\, W_j = \rho_{out}(g) \sum_j U_j(x)\, W_j\, \rho_{in}(g)^{-1}`.
        """
        raise NotImplementedError

    def functions(self, points: Tensor) -> Tensor:
        """The functions at points (K, d) in units of the radius: (K, J). Families of taps have none between the taps."""
        raise NotImplementedError


class FixedColumns(Columns):
    """Columns over the group {e}: nothing turns. Base of families that are any functions of the log map."""

    def table(self, graph: Any, layer: str) -> CoefficientTable:
        """The functions at log / radius times the area weights; those at 0 for the centres, times the mean weight."""
        target, nodes, weight = graph.edge_index[1], graph.radius.shape[0], graph.weight
        count = weight.new_zeros(nodes).index_add(0, target, torch.ones_like(weight)).clamp_min(1)
        mean = weight.new_zeros(nodes).index_add(0, target, weight) / count
        edge, centre = (self.functions(points) for points in self.inputs(graph, layer))
        return CoefficientTable(edge * weight[:, None], centre * mean[:, None])

    def inputs(self, graph: Any, layer: str) -> tuple[Tensor, Tensor]:
        """What the functions see at the edges, (E, d), and at the centres, (N, d) or (1, d)."""
        log = graph.log
        return log / graph.radius[graph.edge_index[1], None], log.new_zeros(1, log.shape[1])

    def turn(self, g: Tensor, element: Tensor, table: Tensor) -> Tensor:
        return table


class TapExpansion(Protocol):
    """What arrays ask of a family between two field types: parameters, and from them a matrix at every tap.

    A module: a convolution on arrays registers the parameters under their names and calls it with them, in order.

    Attributes:
        parameter_shapes: by name.
        parts: where the matrices are zero but for ``parts`` blocks of channels, their number; then ``arrange`` orders the
            channels of an array by the parts that read them, and ``blocks`` has the matrices of the parts, as conv2d's groups
            want them. Else 1.
    """

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]: ...

    @property
    def parts(self) -> int: ...

    def initial_parameters(self) -> dict[str, Tensor]:
        """Random parameters, by name."""
        ...

    def __call__(self, *parameters: Tensor) -> Tensor:
        """The matrices at the taps: (T, in_type.dim, out_type.dim)."""
        ...


@runtime_checkable
class KernelFamily(Protocol):
    """A kernel family as a value, given to ``GaugeConv(kernel=...)`` and ``GridConv(kernel=...)``.

    A family may serve graphs, arrays or both; what it does not serve raises TypeError.
    """

    def on_graph(self, in_type: FieldType, out_type: FieldType) -> KernelExpansion:
        """The family between two field types, with the :class:`Columns` of graphs."""
        ...

    def on_taps(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray) -> TapExpansion:
        """The family between two field types, sampled at the taps (T, d) of an array: J = T matrices."""
        ...
