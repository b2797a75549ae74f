"""Base of the layers that act on every irrep by its own Laplacian."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...checks import check_choice
from ...fields import FieldType, check_field_types
from ...groups import Representation
from ...kernels.constants import ConstantModule
from ...kernels.expansion import self_expansion
from ...ops import GraphParts, kept_plan
from ...settings import KeepsSettings
from ..graph.cone_points import ConePlan, ConePoints
from ..graph.gauge_conv import NEEDS
from ..precision import autocast, no_autocast
from ..tensor_checks import GraphLike, check_arrays, check_features, check_graph, check_transport
from .laplacian import SOURCES, connection_laplacians

#: of times and shifts: "area", that of every graph over 4 pi (1 on the unit sphere); "length", that of the positions
UNITS = ("area", "length")


class LaplacianPlan(NamedTuple):
    """What a layer keeps of a graph: for every irrep one thing for each graph of a batch; the cone points."""

    irreps: tuple[GraphParts, ...]
    cone: ConePlan | None


class LaplacianLayer(KeepsSettings, ConstantModule):
    """A linear map of fields that is a function of the connection Laplacian, irrep by irrep.

    Fields of other representations are decomposed into irreps at every node; that commutes with the transporters.
    """

    #: for :class:`gaugenet.nn.KernelTables`
    sees_everything = True

    def __init__(self, type: FieldType, unit: str) -> None:
        check_field_types(self, type=type)
        super().__init__()
        if type.group.dim != 2:
            raise ValueError(f"{self._name} is for surfaces: it expected a type over a group of the plane, got {type!r}")
        self.in_type = self.out_type = type
        self.unit = check_choice(self, "unit", unit, UNITS)
        self.corners = ConePoints(type)
        #: the irreps among the fields; for every block which of them, and the name of the map from it
        self.irreps: list[Representation] = []
        self.members: list[list[tuple[int, str]]] = []
        for b, (_, rep) in enumerate(type.blocks):
            self.members.append([])
            for k, (irrep, matrix) in enumerate(decompose(rep)):
                if irrep not in self.irreps:
                    self.irreps.append(irrep)
                name = "" if irrep == rep else f"part_{b}_{k}"
                if name:
                    self.register_constant(name, matrix)
                self.members[b].append((self.irreps.index(irrep), name))

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _key(self, graph: GraphLike) -> tuple:
        """Says what :meth:`_make` makes of an irrep."""
        raise NotImplementedError

    def _make(self, matrix: Any, mass: Any, irrep: Representation, graph: GraphLike, defect: Any) -> Any:
        """Of the Laplacian of one graph what the layer keeps; on the device of the graph."""
        raise NotImplementedError

    def _defects(self, graph: GraphLike, irrep: Representation) -> Iterable[Any]:
        """What layers that look at the consistent mass, too, read of every graph: :func:`mass_defects`."""
        return itertools.repeat(None)

    def _on_rows(self, block: int, y: Tensor, part: Any, copies: int) -> Tensor:
        """The map of one graph: (R, copies mul) -> (R, copies mul), the components of a node one after the other."""
        raise NotImplementedError

    def plan(self, graph: GraphLike) -> LaplacianPlan:
        """What the layer reads of a graph, which keeps it: made once for every irrep, in seconds for large graphs."""
        key = self._key(graph)
        parts = (kept_parts(graph, irrep, key, self._make, self._defects, self._name) for irrep in self.irreps)
        return LaplacianPlan(tuple(parts), self.corners.plan(graph))

    def forward(self, x: Tensor, graph: GraphLike, plan: LaplacianPlan | None = None) -> Tensor:
        parameter = next(self.parameters(), None)
        check_features(x, self.in_type, parameter, self._name)
        check_graph(graph, NEEDS, x.shape[0], x.device, self._name)
        plan = self.plan(graph) if plan is None else plan
        x, blocks = self.corners.apply_plan(autocast(x), plan.cone), []
        for b, field in enumerate(self.in_type.split(x)):
            found = []
            for index, name in self.members[b]:
                matrix = self.constant(name, x) if name else None
                part = field if matrix is None else matrix.T @ field
                part = _each_graph(part, plan.irreps[index], partial(self._on_rows, b))
                found.append(part if matrix is None else matrix @ part)
            blocks.append(sum(found[1:], found[0]))
        return self.corners.apply_plan(self.in_type.join(blocks), plan.cone)


def kept_parts(graph: GraphLike, irrep: Representation, key: tuple, make: Callable, defects: Callable, name: str) -> GraphParts:
    """``make(matrix, mass, irrep, graph, defect)`` of the Laplacian of an irrep, of every graph of a batch; the graph keeps it.

    ``key`` says what is made, ``defects(graph, irrep)`` gives the last argument; ``name`` is for errors.
    """

    def make_all() -> GraphParts:
        check_arrays(graph, 2, name)
        check_transport(irrep.group, graph.transport, name)
        parts = zip(connection_laplacians(graph, irrep), defects(graph, irrep))
        made = (make(matrix, mass, irrep, graph, defect) for (matrix, mass), defect in parts)
        return GraphParts(tuple(type(part)(*(array.to(graph.transport.device) for array in part)) for part in made))

    with no_autocast(graph.transport):
        return kept_plan(graph, (*key, irrep), SOURCES, make_all)


def _each_graph(field: Tensor, parts: GraphParts, one: Callable[[Tensor, Any, int], Tensor]) -> Tensor:
    """(N, n, mul) of all graphs, or of B fields on one of them, one under the other."""
    n, mul = field.shape[1:]
    sizes = [part.nodes for part in parts.parts]
    copies = 1 if len(sizes) > 1 else field.shape[0] // sizes[0]
    out = []
    for piece, part, size in zip(field.split([copies * size for size in sizes]), parts.parts, sizes):
        rows = piece.reshape(copies, size * n, mul).transpose(0, 1).reshape(size * n, copies * mul)
        back = one(rows, part, copies)
        out.append(back.view(size * n, copies, mul).transpose(0, 1).reshape(copies * size, n, mul))
    return out[0] if len(out) == 1 else torch.cat(out)


def decompose(rep: Representation) -> list[tuple[Representation, Tensor]]:
    """The irreps in an orthogonal representation, each with an isometry A (dim, d): rho(g) A = A irrep(g); together a basis."""
    group, found, size = rep.group, [], 0
    for irrep in group.irreps(None if group.order else rep.degree):
        if irrep == rep:
            return [(irrep, torch.eye(rep.dim, dtype=torch.float64))]
        taken = torch.zeros(rep.dim, 0, dtype=torch.float64)
        expansion = self_expansion(FieldType(group, [(1, irrep)]), FieldType(group, [(1, rep)])).double()
        for row in torch.eye(expansion.num_weights, dtype=torch.float64):
            matrix = expansion(row)[0].T
            matrix = matrix - taken @ (taken.T @ matrix)
            norm = matrix[:, 0].norm()  # by Schur's lemma that of every column, and they are orthogonal
            if norm > 1e-6:
                found.append((irrep, matrix / norm))
                taken, size = torch.cat([taken, matrix / norm], 1), size + irrep.dim
    if size != rep.dim:
        raise TypeError(f"expected a representation that is a sum of irreps, got {rep!r}")
    return found
