"""The icosahedral network."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any, cast

from torch import Tensor, nn

from ..checks import check_choice, check_instance, check_int, check_ints
from ..fields import FieldType, check_field_types
from ..groups import Cyclic
from ..learning import SavedNetwork
from ..nn import FieldNorm, GroupPool, LatticeConv, LatticePlan, LatticePool, NormNonlinearity, global_mean
from ..nn.fields.norm import MODES
from ..nn.graph.blocks import normalised
from ..nn.tensor_checks import as_rows


class IcosahedralCNN(SavedNetwork):
    r"""Gauge-equivariant network of C_6-regular fields on the icosahedron (Cohen, Weiler, Kicanaoglu, Welling 2019,
    arXiv 1902.04615).

    Per stage, hexagonal convolutions with the complete kernel, each followed by a norm and a pointwise nonlinearity; between
    the stages a pooling to the next coarser lattice; at the end the maximum (or mean) over the six orientations, the mean
    over the surface, and a linear read-out. The logits do not change under the 60 rotations of the icosahedron, exactly.

    Args:
        in_type: field type of the input over C_6, or a number of scalar channels.
        num_classes: number of logits.
        channels: regular fields of each convolution, one tuple a stage: ((8, 16), (16, 24)) are two convolutions on the
            graph's own lattice and two on the next coarser one. A number in place of a tuple is one convolution.
        corners: what happens at the twelve corners, "cone", "zero" or "average"; see :class:`gaugenet.nn.LatticeConv`.
        norm: "graph", "layer", "batch" or None; see :class:`gaugenet.nn.FieldNorm`.
        activation: pointwise function.
        pool: "mean", "max" or "stride"; see :class:`gaugenet.nn.LatticePool`.
        group_pool: "max" or "mean" over the orientations.

    Shapes:
        x (N, in_type.dim) and the graph of :func:`gaugenet.geometry.icosahedron` with as many coarser levels as there are
        stages after the first; output (number of graphs, num_classes). On a :class:`gaugenet.data.StaticGraph` also
        (B, N, in_type.dim). ``plans`` are those of :meth:`plans`, which the graph keeps.
    """

    def __init__(
        self,
        in_type: FieldType | int,
        num_classes: int,
        *,
        channels: tuple[int | tuple[int, ...], ...] = ((8, 16), (16, 24), (24, 32)),
        corners: str = "cone",
        norm: str | None = "graph",
        activation: str = "relu",
        pool: str = "mean",
        group_pool: str = "max",
    ) -> None:
        if isinstance(in_type, Integral):
            check_int(self, "in_type", in_type)
        else:
            check_field_types(self, in_type=in_type)
        check_int(self, "num_classes", num_classes)
        stages = check_instance(
            self, "channels", channels, (list, tuple), "integers for every stage, such as ((8, 16), (16, 24))"
        )
        for widths in stages or ((),):  # without a stage: no widths
            check_ints(self, "channels", (widths,) if isinstance(widths, Integral) else widths)
        check_choice(self, "norm", norm, (*MODES, None))
        super().__init__()
        group = Cyclic(6)
        if not isinstance(in_type, FieldType):
            in_type = FieldType(group, f"{in_type}x0")
        self.in_type = type = in_type
        self.stages, self.pools = nn.ModuleList(), nn.ModuleList()
        for stage, widths in enumerate(channels):
            row = cast(Iterable[int], (widths,) if isinstance(widths, Integral) else widths)
            if stage:
                self.pools.append(LatticePool(type, pool, corners=corners))
            blocks = nn.ModuleList()
            for width in row:
                out = FieldType(group, f"{width}xregular")
                conv = LatticeConv(type, out, bias=norm is None, corners=corners)  # a norm has a bias of its own
                after = nn.Sequential(FieldNorm(out, norm) if norm else nn.Identity(), NormNonlinearity(out, activation))
                blocks.append(nn.ModuleList([conv, after]))
                type = out
            self.stages.append(blocks)
        self.group_pool = GroupPool(type, group_pool)
        self.head = nn.Linear(self.group_pool.out_type.dim, num_classes)

    def reset_parameters(self) -> None:
        module: Any
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def plans(self, graph: Any) -> list[LatticePlan]:
        """The neighbours of the graph and of its coarser levels, one plan a stage, for graphs that are used again."""
        if graph.num_levels < len(self.stages):
            raise ValueError(
                f"this IcosahedralCNN has {len(self.stages)} stages, but the graph {graph.num_levels} levels: "
                f"build the geometry with levels={len(self.stages) - 1}"
            )
        levels = [graph]
        while len(levels) < len(self.stages):
            levels.append(levels[-1].coarse)
        stages: Any = self.stages  # lists of lists of modules
        return [stage[0][0].plan(level) for stage, level in zip(stages, levels)]

    def forward(self, x: Tensor, graph: Any, plans: list[LatticePlan] | None = None) -> Tensor:
        x = as_rows(x, self.in_type, type(self).__name__)
        plans = self.plans(graph) if plans is None else plans
        stages: Any = self.stages
        for stage, blocks in enumerate(stages):
            if stage:
                x, graph = self.pools[stage - 1](x, graph), graph.coarse
            for conv, (norm, act) in blocks:
                x = act(normalised(norm, conv(x, graph, plans[stage]), graph))
        return self.head(global_mean(self.group_pool(x), graph))
