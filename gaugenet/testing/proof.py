"""One table for any module: does its answer belong to the fields and the surface, or to frames, numbers, meshes and batches?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from ..checks import check_instance, check_number
from ..fields import FieldType, check_field_types
from .evaluation import call_again, in_mode, tensor_of
from .gauge import equivariance_error, random_gauge
from .isometries import has_frames_in_space, moved_rigidly, rigid_symmetries, scaled
from .remeshing import at_nodes_of, has_smooth_fields, remeshed_graph, smooth_field
from .symmetry import symmetry_error

OK, BROKEN, MEASURED, LEFT_OUT = "ok", "BROKEN", "measured", "left out"
# float32 against float64: networks of many layers lose three of seven digits.
_SINGLE = 1e-3
# Symmetries that are tried at most.
_MOST = 8
_SMALL = "small but no rounding, as of a nonlinearity on too few samples"


@dataclass(frozen=True)
class Check:
    """A line of a :class:`Report`.

    Attributes:
        name: what was done. error: largest relative change of the output; None where it could not be done.
        tolerance: what is allowed, None where the error is only measured.
        verdict: "ok", "BROKEN", "measured" or "left out". note: why.
    """

    name: str
    error: float | None
    tolerance: float | None
    verdict: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What :func:`report` found; printed, a table.

    Attributes:
        title: the module, the graph and the field types in words. checks: the lines.
    """

    title: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is broken."""
        return all(check.verdict != BROKEN for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """The line of a name, such as ``"gauge"``."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}: there are {', '.join(check.name for check in self.checks)}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"title": self.title, "ok": self.ok, "checks": [asdict(check) for check in self.checks]}

    def __str__(self) -> str:
        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.1e}"

        rows = [("check", "error", "allowed", "verdict", "")]
        rows += [(c.name, number(c.error), number(c.tolerance), c.verdict, c.note) for c in self.checks]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines = ["  ".join([*(text.ljust(w) for text, w in zip(row, widths)), row[4]]).rstrip() for row in rows]
        return "\n".join([self.title, *lines])


def report(
    module: nn.Module,
    graph: Any,
    in_type: FieldType | None = None,
    out_type: FieldType | None = None,
    *,
    x: Tensor | None = None,
    isometries: tuple | None = None,
    remeshed: Any = None,
    stir: float = 0.1,
    tolerance: float | None = None,
    seed: int = 0,
) -> Report:
    r"""Put a layer or a network to the proof: any module that takes (x, graph), of this library or not.

    ==================  ===============================================================================================
    gauge               random frames at every node of every level; the same in training mode
    rigid motion        the surface turned and shifted in space, frames along
    symmetry            motions that map the surface to itself, where it has some
    relabelling         other numbers of the nodes, on all levels
    batching            a batch of two graphs, of other sizes, against one by one
    dtype               float32 against float64
    remeshing           the same surface in other triangles: the relative L2 difference is measured, since none is exact
    ==================  ===============================================================================================

    All errors are relative to the largest output, in float64 where the module can do that. The work is done on a copy of the
    module with random numbers added to all of its parameters: a bias that starts at zero hides where it must not be. The module
    must be equivariant for all weights, and those are others.

    Args:
        module: any module, called as ``module(x, graph)``, or ``module(x)`` when its forward takes one argument.
        graph: a GaugeGraph.
        in_type, out_type: field types; by default the module's attributes of these names. An output without a type should not
            change: scalars at the nodes, or the logits of a classifier.
        x: (N, in_type.dim) features, by default normal ones. (Remeshing takes smooth fields.)
        isometries: symmetries as :func:`gaugenet.testing.symmetry_error` takes them; by default rigid ones are looked for.
        remeshed: a graph of the same surface; by default made from the triangles in ``graph``.
        stir: standard deviation of the numbers added to the parameters; 0 tests the weights as they are.
        tolerance: largest error that passes, by default 1e-10 (in modules that cannot do float64, 1e-4).
        seed: of the random numbers.

    Returns:
        A :class:`Report`; ``report(...).ok`` tells whether all that must hold does.

    Raises:
        TypeError, ValueError: a module that cannot be copied or called with these features; no field type; an output with a row
            neither for every node nor for every graph.
    """
    check_instance("report", "module", module, nn.Module, "a torch.nn.Module")
    check_number("report", "stir", stir)
    if not (hasattr(graph, "gauge_transform") and hasattr(graph, "relabel")):
        raise TypeError(f"report expected a GaugeGraph, as geometry.mesh(...).to_graph() gives, got {type(graph).__name__}")
    types = [given if given is not None else getattr(module, name, None) for name, given in _named(in_type, out_type)]
    if types[0] is None:
        raise ValueError(f"report expected in_type, since {type(module).__name__} has no attribute of this name")
    check_field_types("report", **{name: t for name, t in zip(("in_type", "out_type"), types) if t is not None})
    proof = _Proof(module, graph, types[0], types[1], x, stir, tolerance, seed)
    return proof.report(isometries, remeshed)


def _named(in_type: FieldType | None, out_type: FieldType | None) -> list[tuple[str, FieldType | None]]:
    return [("in_type", in_type), ("out_type", out_type)]


class _Proof:
    """A copy of a module with a graph and features, in the dtype of the proof."""

    def __init__(
        self,
        module: nn.Module,
        graph: Any,
        in_type: FieldType,
        out_type: FieldType | None,
        x: Tensor | None,
        stir: float,
        tolerance: float | None,
        seed: int,
    ) -> None:
        self.name, self.in_type, self.seed = type(module).__name__, in_type, seed
        try:
            self.original = copy.deepcopy(module)
        except Exception as error:
            raise TypeError(f"report works on a copy of the module, but {self.name} cannot be copied: {error}") from error
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.original.parameters():
                if p.is_floating_point() and stir:
                    p.add_(stir * torch.randn(p.shape, generator=generator, dtype=torch.float64, device="cpu").to(p))
        graph = graph.clone().to(tensor_of(module, graph.log).device)
        if x is None:
            x = torch.randn(graph.num_nodes, in_type.dim, generator=generator, dtype=torch.float64, device="cpu")
        elif tuple(x.shape) != (graph.num_nodes, in_type.dim):
            raise ValueError(f"report expected x of shape {(graph.num_nodes, in_type.dim)}, got {tuple(x.shape)}")
        self.double, self.no_double = copy.deepcopy(self.original).double(), ""
        self.module, self.graph, self.x = self.double, graph.double(), x.to(graph.log.device).double()
        try:
            output = self._run()
        except Exception as error:
            self.no_double = f"{type(error).__name__}: {' '.join(str(error).split())}"
            like = tensor_of(module, graph.log.float())
            self.module, self.graph, self.x = self.original, graph.type(like.dtype), self.x.to(like)
            output = self._run()
        self.tolerance = tolerance if tolerance is not None else 1e-4 if self.no_double else 1e-10
        self.out_type, self.out_level = self._output_type(output, out_type)
        self.zero = float(output.abs().max()) == 0.0 if output.numel() else True

    def _run(self, module: nn.Module | None = None, x: Tensor | None = None, graph: Any = None) -> Tensor:
        module = self.module if module is None else module
        with torch.no_grad(), in_mode(module, False):
            out = call_again(module, self.x if x is None else x, self.graph if graph is None else graph, self.seed)
        if not isinstance(out, Tensor) or out.dim() < 1:
            raise TypeError(f"report expected {self.name} to give one tensor of fields or logits, got {type(out).__name__}")
        return out

    def _output_type(self, output: Tensor, out_type: FieldType | None) -> tuple[FieldType | None, int]:
        """The type of the output's fields and their level; None for numbers of the whole graph."""
        sizes = [self.graph.level(k).num_nodes for k in range(self.graph.num_levels)]
        if output.dim() == 2 and output.shape[0] in sizes and (output.shape[0] > 1 or out_type is not None):
            if out_type is None:
                out_type = FieldType(self.in_type.group, f"{output.shape[1]}xtrivial")
            if output.shape[1] != out_type.dim:
                raise ValueError(
                    f"{self.name} gives {output.shape[1]} numbers at every node, but out_type {out_type} has {out_type.dim}"
                )
            return out_type, sizes.index(output.shape[0])
        if output.shape[0] == 1 and out_type is None:
            return None, 0
        raise ValueError(
            f"report expected {self.name} to give a row for every node (levels have {', '.join(map(str, sizes))}) or, without "
            f"an out_type, for the graph, got shape {tuple(output.shape)}"
        )

    def report(self, isometries: tuple | None, remeshed: Any) -> Report:
        checks = [
            self._gauge(False),
            self._gauge(True),
            self._check("rigid motion", self._rigid_motion),
            self._check("symmetry", lambda: self._symmetry(isometries)),
            self._check("relabelling", self._relabelling),
            self._check("batching", self._batching),
            self._dtype(),
            self._check("remeshing", lambda: self._remeshing(remeshed)),
        ]
        g, count = self.graph, sum(p.numel() for p in self.module.parameters())
        out = "an output that does not change" if self.out_type is None else str(self.out_type)
        title = (
            f"{self.name} ({count} parameters), {self.in_type} -> {out} over {self.in_type.group}, on {g.num_nodes} nodes and "
            f"{g.edge_index.shape[1]} edges, {g.num_levels} level{'s' if g.num_levels > 1 else ''}"
        )
        return Report(title, tuple(checks))

    def _check(self, name: str, work: Callable[[], Check | tuple[float, str] | str]) -> Check:
        """The line of an error with a note, or of the reason for leaving it out; an error of the module breaks it."""
        try:
            found = work()
        except Exception as error:
            return Check(name, None, self.tolerance, BROKEN, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        if isinstance(found, Check):
            return found
        if isinstance(found, str):
            return Check(name, None, None, LEFT_OUT, found)
        return self._judged(name, *found)

    def _judged(self, name: str, error: float, note: str = "", tolerance: float | None = None) -> Check:
        tolerance = self.tolerance if tolerance is None else tolerance
        if self.zero:
            return Check(name, error, tolerance, BROKEN, "the output is zero everywhere, which proves nothing")
        if error <= tolerance:
            return Check(name, error, tolerance, OK, note)
        return Check(name, error, tolerance, BROKEN, note if math.isfinite(error) else "NaN or infinity in the output")

    def _gauge(self, training: bool) -> Check:
        def work() -> tuple[float, str]:
            error = equivariance_error(
                self.module,
                self.graph,
                self.in_type,
                self.out_type,
                x=self.x,
                out_level=self.out_level,
                training=training,
                seed=self.seed,
            )
            note = ""
            if error > self.tolerance:
                place = self._first_off(training)
                note = "; ".join(filter(None, [place, _SMALL if error < 0.05 and not self.no_double else ""]))
            return error, note

        return self._check("gauge, training" if training else "gauge", work)

    @torch.no_grad()
    def _first_off(self, training: bool) -> str:
        """Which part, of those that have an ``out_type``, is the first to give another field in other frames."""
        gauge = random_gauge(self.graph, self.in_type, seed=self.seed)
        inverse = [h.transpose(-1, -2).to(self.x) for h in gauge]
        sizes = [len(h) for h in gauge]
        outputs: list[tuple[str, nn.Module, Tensor]] = []
        hooks = []
        for name, part in self.module.named_modules():
            if name and isinstance(getattr(part, "out_type", None), FieldType):

                def keep(part: nn.Module, _: Any, out: Any, name: str = name) -> None:
                    outputs.append((name, part, out[0] if isinstance(out, tuple) else out))

                hooks.append(part.register_forward_hook(keep))
        try:
            with in_mode(self.module, training):
                call_again(self.module, self.x, self.graph, self.seed)
                before, count = outputs[:], len(outputs)
                moved = self.in_type.transform(inverse[0], self.x)
                call_again(self.module, moved, self.graph.gauge_transform(gauge), self.seed)
        finally:
            for hook in hooks:
                hook.remove()
        for (name, part, y), (_, _, z) in zip(before, outputs[count:]):
            type: Any = part.out_type
            known = isinstance(y, Tensor) and y.dim() == 2 and y.shape[0] in sizes
            if not known or y.shape[1] != type.dim or type.group != self.in_type.group:
                continue
            expected = type.transform(inverse[sizes.index(y.shape[0])], y)
            if float((z - expected).abs().max()) > self.tolerance * float(y.abs().max()):
                return f"first off after {name} ({part.__class__.__name__})"
        return ""

    def _error(self, after: Tensor, expected: Tensor) -> float:
        if after.shape != expected.shape:
            return math.inf
        return float((after - expected).abs().max() / expected.abs().max().clamp_min(1e-300))

    def _rigid_motion(self) -> tuple[float, str] | str:
        if not has_frames_in_space(self.graph):
            return "the graph has no frames in space"
        return self._error(self._run(graph=moved_rigidly(self.graph, self.seed)), self._run()), ""

    def _symmetry(self, isometries: tuple | None) -> Check | tuple[float, str] | str:
        tolerance, note = self.tolerance, ""
        if isometries is None:
            if not has_frames_in_space(self.graph):
                return "none given, and no frames in space to look for them"
            found = rigid_symmetries(self.graph, self.in_type.group)
            if found is None:
                return "the surface has none"
            permutation, change, asymmetry = found
            # A deterministic choice, spread over all.
            chosen = torch.linspace(0, len(permutation) - 1, min(_MOST, len(permutation)), device="cpu").round().long()
            isometries = permutation[chosen], change[chosen]
            tolerance = max(tolerance, 1e3 * asymmetry)
            note = f"{len(chosen)} of {len(permutation)} rigid ones, exact to {asymmetry:.0e} in the graph"
        if self.out_level:
            return "the output is on a coarser level"
        error = symmetry_error(self.module, self.graph, isometries, self.in_type, self.out_type, x=self.x, seed=self.seed)
        return self._judged("symmetry", error, note, tolerance)

    def _relabelling(self) -> tuple[float, str]:
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [self.graph.level(k).num_nodes for k in range(self.graph.num_levels)]
        numbers = [torch.randperm(n, generator=generator, device="cpu").to(self.x.device) for n in sizes]
        x = torch.empty_like(self.x).index_copy_(0, numbers[0], self.x)
        after = self._run(x=x, graph=self.graph.relabel(numbers))
        before = self._run()
        return self._error(after if self.out_type is None else after[numbers[self.out_level]], before), ""

    def _batching(self) -> tuple[float, str]:
        other = scaled(self.graph, 3.0)
        graphs, inputs = (self.graph, other), (self.x, 2 * self.x.flip(0))
        expected = torch.cat([self._run(x=x, graph=g.clone()) for x, g in zip(inputs, graphs)])
        return self._error(self._run(x=torch.cat(inputs), graph=Batch.from_data_list(list(graphs))), expected), ""

    def _dtype(self) -> Check:
        if self.no_double:
            return Check("dtype", None, _SINGLE, BROKEN, f"in float64 it raises {self.no_double[:200]}")

        def work() -> Check:
            single = copy.deepcopy(self.double).float()
            out = self._run(single, self.x.float(), self.graph.float())
            if out.dtype != torch.float32:
                return Check("dtype", None, _SINGLE, BROKEN, f"float32 in, {str(out.dtype).removeprefix('torch.')} out")
            return self._judged("dtype", self._error(out.double(), self._run()), "", max(_SINGLE, self.tolerance))

        return self._check("dtype", work)

    def _remeshing(self, remeshed: Any) -> Check | str:
        if not has_frames_in_space(self.graph):
            return "the graph has no frames in space"
        if not has_smooth_fields(self.in_type) or not (self.out_type is None or self.out_type.group.order is None):
            return "only for fields of orders 0, 1, 2, ... over SO2 and O2"
        if remeshed is None:
            if "face" not in self.graph:
                return "the graph has no triangles, and no other one was given"
            has_mirrors = bool((torch.linalg.det(self.graph.transport) < 0).any())
            remeshed = remeshed_graph(self.graph, "O2" if has_mirrors else "SO2", self.seed)
        other = remeshed.clone().to(self.x.device).type(self.x.dtype)
        here = self._run(x=smooth_field(self.graph, self.in_type, self.seed))
        there = self._run(x=smooth_field(other, self.in_type, self.seed), graph=other)
        if self.out_type is not None:
            there = at_nodes_of(there, self.out_type, other.level(self.out_level), self.graph.level(self.out_level))
        error = float((there - here).norm() / here.norm().clamp_min(1e-300))
        note = f"relative L2, {other.num_nodes} nodes for {self.graph.num_nodes}"
        return Check("remeshing", error, None, MEASURED, note) if math.isfinite(error) else self._judged("remeshing", error)
