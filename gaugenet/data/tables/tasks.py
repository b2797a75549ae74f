"""What is to be learnt: the kind of answer, its loss, and how an output becomes an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...checks import check_choice
from ...fields import FieldType
from ...groups import Group

KINDS = ("classify", "segment", "regress", "vectors")
PLACES = ("graph", "vertices", "faces")
# Without a label.
UNKNOWN = -1


@dataclass(frozen=True)
class Task:
    """A kind of answer, with all that turns the numbers of a network into it.

    - "classify", a class of the mesh: the network gives (graphs, classes) logits, the target ``graph.y`` is (1,), its number.
    - "segment", a class of each vertex or face: (N, classes) logits, scalar fields; (N,) or (F,) numbers, -1 where unknown.
      Logits of a face are the mean of those of its corners.
    - "regress", numbers of the mesh or of each vertex: (graphs, n), or scalar fields (N, n); (1, n) or (N, n), NaN where
      unknown.
    - "vectors", a vector of the ambient space at each vertex: (N, 3) of type 1x0 + 1x1, along the normal and in the frame;
      likewise, NaN where unknown.

    Attributes:
        kind: see above. names: of the numbers. classes: their names, in order.
        on: "graph", "vertices" or "faces". mean, std: of the numbers, which the network gives in these units.
        sources: columns of the table, or arrays of the mesh files; by default the names.
    """

    kind: str
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    on: str = "graph"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("Task", "kind", self.kind, KINDS)
        check_choice("Task", "on", self.on, PLACES)

    @property
    def num_outputs(self) -> int:
        """Numbers that the network gives."""
        return len(self.classes) if self.kind in ("classify", "segment") else 3 if self.kind == "vectors" else len(self.names)

    def out_type(self, group: Group) -> FieldType | None:
        """Field type of the network's output at the nodes; None for numbers of the whole mesh."""
        if self.on == "graph":
            return None
        return FieldType(group, "1x0 + 1x1" if self.kind == "vectors" else f"{self.num_outputs}xtrivial")

    def at_places(self, output: Tensor, graph: Any) -> Tensor:
        """The output at the vertices, or at the faces the mean over their corners."""
        return output[graph.face].mean(0) if self.on == "faces" else output

    def scaled(self, values: Tensor) -> Tensor:
        """Numbers in the units of the network."""
        if not self.std:
            return values
        return (values - values.new_tensor(self.mean)) / values.new_tensor(self.std)

    def in_units(self, output: Tensor) -> Tensor:
        """The inverse of :meth:`scaled`."""
        return output * output.new_tensor(self.std) + output.new_tensor(self.mean) if self.std else output

    def loss(self, output: Tensor, graph: Any) -> Tensor:
        """Cross entropy of classes, mean square of numbers in the network's units; what is unknown does not count."""
        output = self.at_places(output, graph)
        if self.kind in ("classify", "segment"):
            if not bool((graph.y != UNKNOWN).any()):
                return output.sum() * 0.0
            return cross_entropy(output, graph.y, ignore_index=UNKNOWN)
        target = self.scaled(graph.y.to(output))
        known = target.isfinite()
        difference = torch.where(known, output - torch.where(known, target, 0.0), 0.0)
        return difference.square().sum() / known.sum().clamp_min(1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Task:
        """The inverse of :meth:`to_dict`."""
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return Task(**fields)
