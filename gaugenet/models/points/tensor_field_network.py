"""Tensor field networks: points, radial networks, Clebsch-Gordan products, self-interactions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ...checks import check_choice, check_instance, check_int
from ...fields import FieldType, check_field_types
from ...groups import Group
from ...kernels import Polar, RadialMLP
from ...kernels.radial import make_radial
from ...learning import SavedNetwork
from ...nn import EdgeFrameConv, GaugeConv, GaugeLinear, global_mean, global_sum, make_nonlinearity
from ...nn.tensor_checks import GraphLike
from ..encoder import hidden_type

POOLS: dict[str, Callable[[Tensor, Any], Tensor]] = {"mean": global_mean, "sum": global_sum}


class TensorFieldNetwork(SavedNetwork):
    r"""Rotation-equivariant networks of points (Thomas et al. 2018, arXiv 1802.08219).

    .. math:: out(p) = \sigma\Big( \sum_{q} \sum_{b, k} R_b(|x_{pq}|)\, w_{bk}\, C_k\big(Y(x_{pq}), f(q)\big) + W f(p) + b \Big)

    with learnt radial functions R (a small network of the distance), Clebsch-Gordan products :math:`C_k` of the harmonics of
    the direction with the features, and a nonlinearity that acts on norms. Layers of this kind between the ``hidden`` types,
    and a last one to ``out_type`` without a nonlinearity. On :func:`gaugenet.geometry.points`: over SO(3), or O(3), whose
    networks do not tell a cloud from its mirror image; in the plane over SO(2) and O(2).

    Unlike the publication: its depthwise convolution and the self-interaction behind it, which mixes the copies, are one kernel
    with weights for every radial function, product and pair of copies, of which theirs are a special case
    (:meth:`from_published`); the radial functions of a layer share their hidden units, and vanish at the radius of the
    neighbourhoods.

    Args:
        in_type: field type of the input. out_type: of the output.
        hidden: field types of the layers between, one or several; by default two of 16 copies of orders 0 to 2. Pseudovectors
            ("1e") and the like have to be named.
        embedding: type to which the input is mapped before the first convolution, at every point; None for no such map.
        radial: number of learnt radial functions (:class:`gaugenet.kernels.RadialMLP`), or a profile, of which every layer has
            a copy of its own.
        max_frequency: largest degree of the harmonics, see :class:`gaugenet.nn.GaugeConv`.
        nonlinearity, activation: see :func:`gaugenet.nn.make_nonlinearity`.
        pool: None for a field at every point; "mean" or "sum" over the points of every graph. Sums of other than scalar fields
            make sense in one frame for all points only.
        edge_frames: compute in frames along the edges (:class:`gaugenet.nn.EdgeFrameConv`): the same network, faster for high
            degrees; over SO(3) and O(3).
        backend: see :class:`gaugenet.nn.GaugeConv`.

    Shapes:
        x (N, in_type.dim), graph; output (N, out_type.dim), pooled (number of graphs, out_type.dim). Or x (B, N, in_type.dim)
        on a :class:`gaugenet.data.StaticGraph`; output (B, N, out_type.dim), pooled (B, out_type.dim).
    """

    def __init__(
        self,
        in_type: FieldType,
        out_type: FieldType,
        *,
        hidden: FieldType | Sequence[FieldType] | None = None,
        embedding: FieldType | None = None,
        radial: int | nn.Module = 4,
        max_frequency: int | None = None,
        nonlinearity: str | Callable[[FieldType], nn.Module] = "norm",
        activation: str | Callable[[Tensor], Tensor] = "ssp",
        pool: str | None = None,
        edge_frames: bool = False,
        backend: str = "auto",
    ) -> None:
        check_field_types(self, in_type=in_type, out_type=out_type)
        check_choice(self, "pool", pool, (None, *POOLS))
        check_int(self, "radial", 1 if isinstance(radial, nn.Module) else radial)
        super().__init__()
        types = (hidden_type(in_type.group, 16, 2),) * 2 if hidden is None else hidden
        types = (types,) if isinstance(types, FieldType) else check_instance(
            self, "hidden", types, (list, tuple), "a field type or a sequence of them"
        )  # fmt: skip
        check_field_types(self, in_type=in_type, **{f"hidden[{i}]": type for i, type in enumerate(types)})
        self.in_type, self.out_type, self.hidden, self.embedding = in_type, out_type, tuple(types), embedding
        self.pool, self.nonlinearity, self.max_frequency = pool, nonlinearity, max_frequency
        first = in_type
        self.embed: nn.Module = nn.Identity()
        if embedding is not None:
            check_field_types(self, in_type=in_type, embedding=embedding)
            self.embed, first = GaugeLinear(in_type, embedding), embedding
        self.convolutions, self.nonlinearities = nn.ModuleList(), nn.ModuleList()
        for a, b in pairwise((first, *self.hidden, out_type)):
            act: Any = nn.Identity()
            if len(self.nonlinearities) < len(self.hidden):
                act = make_nonlinearity(b, nonlinearity, activation)
                self.nonlinearities.append(act)
            profile = copy.deepcopy(make_radial(radial, self)) if isinstance(radial, nn.Module) else RadialMLP(radial)
            inner = getattr(act, "in_type", b)
            if edge_frames:
                conv: GaugeConv = EdgeFrameConv(a, inner, profile, max_frequency)
            else:
                conv = GaugeConv(a, inner, kernel=Polar(profile, max_frequency, quadrature=None), backend=backend)
            conv.reset_parameters()  # of profiles that are copies
            self.convolutions.append(conv)

    @classmethod
    def from_published(
        cls, weights: Mapping[str, Any], centres: Any, gamma: float, radius: float, *, group: Group | None = None
    ) -> TensorFieldNetwork:
        """The network with weights of the published code, see :func:`gaugenet.models.points.published.read_weights`."""
        from .published import read_weights

        return read_weights(cls, weights, centres, gamma, radius, group)

    def reset_parameters(self) -> None:
        module: Any
        for module in (self.embed, *self.convolutions, *self.nonlinearities):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def features(self, x: Tensor, graph: GraphLike) -> list[Tensor]:
        """The fields behind every nonlinearity, and the output at every point."""
        x, passed = self.embed(x.flatten(0, -2)), []
        for conv, act in zip(self.convolutions, self.nonlinearities):
            x = act(conv(x, graph))
            passed.append(x)
        return [*passed, self.convolutions[-1](x, graph)]

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        out = self.features(x, graph)[-1]
        return out.unflatten(0, x.shape[:-1]) if self.pool is None else POOLS[self.pool](out, graph)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"hidden": tuple(str(type) for type in self.hidden)}
