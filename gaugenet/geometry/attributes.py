"""The registry of the arrays of a geometry.

What validation, records, graphs and batching know of an array stands here and only here. A new one needs a line here, and a
field of :class:`LocalGeometry` or :class:`Pooling`.

Letters of shapes: N nodes, E edges, F faces, V vertices of the input, d intrinsic dimension, D ambient dimension,
Q coordinates of an orbit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Shape = tuple[str | int, ...]
Frames = Literal["target", "source", "node", "coarse"]


@dataclass(frozen=True)
class Attribute:
    """One array of a geometry.

    Attributes:
        name: its name in :class:`LocalGeometry` and in records.
        shape: letters and numbers.
        holder: the object it belongs to: the geometry itself, or the :class:`Pooling` to the next level.
        field: its name there, when it is another.
        graph_name: its name in :class:`gaugenet.data.GaugeGraph`, when it is another (those of torch_geometric).
        required: whether every geometry has it; the others may be None.
        indexes: "nodes" or "coarse" for integers that number the nodes of this level or of the next one, from 0; None for
            floating-point numbers. When graphs are joined, indices grow by the number of such nodes in the graphs before.
        partial: whether indices may be -1, for none; such arrays are joined as they are.
        axis: the axis of joining in a graph. A graph has the axes of an attribute of axis 1 swapped where ``shape`` starts with
            the letter of joining (faces (F, 3) become face (3, F)).
        least: "zero" or "positive", a bound from below.
        orthogonal: whether the columns of every matrix are orthonormal.
        left, right: a change of frames E_p -> E_p h_p takes the array to h_left^-1 a h_right: h at the target or the source
            of the edge, at the node itself, or at its node of the next level.
    """

    name: str
    shape: Shape
    holder: Literal["geometry", "pooling"] = "geometry"
    field: str = ""
    graph_name: str = ""
    required: bool = False
    indexes: Literal["nodes", "coarse"] | None = None
    partial: bool = False
    axis: int = 0
    least: Literal["zero", "positive"] | None = None
    orthogonal: bool = False
    left: Frames | None = None
    right: Frames | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", self.field or self.name)
        object.__setattr__(self, "graph_name", self.graph_name or self.name)

    @property
    def transposed(self) -> bool:
        """Whether a graph has it with its two axes swapped."""
        return self.axis == 1 and isinstance(self.shape[0], str)

    def of(self, geometry: Any) -> Any:
        """The array of a LocalGeometry or of its Pooling; None when it has none."""
        holder = geometry if self.holder == "geometry" else getattr(geometry, "coarse", None)
        return None if holder is None else getattr(holder, self.field)

    def fits(self, shape: tuple[int, ...], sizes: dict[str, int]) -> bool:
        """Whether an array has the right shape; letters that ``sizes`` does not know yet are added to it."""
        if len(shape) != len(self.shape):
            return False
        known = [sizes.setdefault(s, n) if isinstance(s, str) else s for s, n in zip(self.shape, shape)]
        return known == list(shape)

    def expected(self, sizes: dict[str, int]) -> str:
        """The right shape in words: ``"(N=42, D, d=2)"``."""
        parts = [f"{s}={sizes[s]}" if s in sizes else str(s) for s in self.shape]
        return f"({', '.join(parts)})"

    def in_new_frames(self, array: Any, left: Any = None, right: Any = None) -> Any:
        """left @ array @ right, by rows; arrays of numpy or torch, a vector standing for one column."""
        vector = len(self.shape) == 2
        out = array[..., None] if vector else array
        out = out if left is None else left @ out
        out = out if right is None else out @ right
        return out[..., 0] if vector else out


ATTRIBUTES: dict[str, Attribute] = {
    a.name: a
    for a in (
        Attribute("edge_index", (2, "E"), required=True, indexes="nodes", axis=1),
        Attribute("log", ("E", "d"), required=True, left="target"),
        Attribute("transport", ("E", "d", "d"), required=True, orthogonal=True, left="target", right="source"),
        Attribute("weight", ("E",), required=True, least="zero"),
        Attribute("radius", ("N",), required=True, least="positive"),
        Attribute("positions", ("N", "D"), graph_name="pos"),
        Attribute("frame", ("N", "D", "d"), orthogonal=True, right="node"),
        Attribute("area", ("N",), least="zero"),
        Attribute("curvature", ("N",)),
        Attribute("faces", ("F", 3), graph_name="face", indexes="nodes", axis=1),
        Attribute("cone_angle", ("N",)),
        Attribute("orbit", ("N", "Q")),
        Attribute("vertex_nodes", ("V",), indexes="nodes", partial=True),
        Attribute("cluster", ("N",), holder="pooling", required=True, indexes="coarse"),
        Attribute(
            "cluster_transport",
            ("N", "d", "d"),
            holder="pooling",
            field="transport",
            required=True,
            orthogonal=True,
            left="coarse",
            right="node",
        ),
    )
}


def attributes(condition: Callable[[Attribute], Any]) -> Iterator[Attribute]:
    """The attributes that fulfil a condition, in the order of the registry."""
    return (a for a in ATTRIBUTES.values() if condition(a))


def of_nodes(*without: str) -> list[str]:
    """Names of the arrays of a geometry with one row a node, but for some; for making a geometry of some of the nodes."""
    return [a.name for a in attributes(lambda a: a.holder == "geometry" and a.shape[0] == "N") if a.name not in without]
