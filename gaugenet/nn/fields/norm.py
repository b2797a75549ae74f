"""Normalisation that respects the field type."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_number, check_probability
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...ops.nodes.columns import column_moments, scale_columns
from ...ops.nodes.graph_columns import graph_moments, scale_graphs
from ...ops.rows import sum_rows
from ..exporting.exportable import Pixelwise
from ..exporting.plain import BATCH_NORM, LayerNorm, blocks_of, traced
from ..precision import no_autocast
from ..tensor_checks import check_features, count_copies
from .bias import FieldBias, invariant_places
from .running import newest_share

#: over what a norm takes its statistics
MODES = ("layer", "graph", "batch")
# Batches behind averages that were saved without a count: so many that the initial values are forgotten.
_MANY = 1_000_000
_OTHER_NORM = (
    'this network has norm="{}", but the state {} running averages: it was saved by one with norm={}; build it with that'
)


class FieldNorm(ConstantModule, Pixelwise):
    r"""Normalises every block by invariants only.

    .. math:: f_c \mapsto \gamma_c \frac{f_c - P \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c, \qquad
              \sigma_c^2 = \mathrm{mean}\,|f_c - P\mu_c|^2 / \dim\rho

    P projects on the invariant subspace of the representation: scalars lose their mean, vectors do not (theirs is not
    gauge invariant). The statistics are taken

    - ``mode="layer"``: over the copies of a block, at each node (Ba et al. 2016; for irreps as in Liao & Smidt 2023,
      Equiformer);
    - ``mode="graph"``: for each copy, over the nodes of each graph, weighted by cell area where the graph has it (Ulyanov et
      al. 2016, instance norm, as an integral over the surface);
    - ``mode="batch"``: for each copy, over all nodes of the batch, with running averages for evaluation (Ioffe & Szegedy 2015).
      The averages are free of their initial values: after t batches the newest counts
      :math:`m / (1 - (1 - m)^t)`, with m the momentum, which is the bias correction of Kingma & Ba 2015 (Adam).

    The first two are the same in training and evaluation, and never let one mesh of a batch see another. States saved before
    the batches were counted are taken for averages of many.

    Args:
        type: field type of input and output.
        mode: "layer", "graph" or "batch".
        affine: learn gamma per copy and beta on the invariant part.
        eps: added to the variance.
        momentum: of the running averages (batch mode).

    Shapes:
        x (N, type.dim), graph: used, and needed, in the mode "graph" alone; output (N, type.dim).

    Raises:
        ValueError: in the mode "graph" without a graph, or for one of another number of nodes.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, type: FieldType, mode: str = "batch", *, affine: bool = True, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        check_field_types(self, type=type)
        check_number(self, "eps", eps)
        check_number(self, "momentum", momentum)
        super().__init__()
        check_choice(self, "mode", mode, MODES)
        self.in_type = self.out_type = type
        self.mode, self.eps, self.momentum = mode, eps, momentum
        place, factor, means = invariant_places(type)
        first, copy_of = 0, [torch.zeros(0, dtype=torch.int64)]
        for mul, rep in type.blocks:
            copy_of.append((first + torch.arange(mul)).repeat(rep.dim))
            first += mul
        dims = torch.tensor([rep.dim for mul, rep in type.blocks for _ in range(mul)], dtype=torch.float64)
        # Of every column: its invariant means, by k as in FieldBias, and what they count; its copy, and its part of a mean.
        self.register_constant("place", place)
        self.register_constant("factor", factor)
        self.register_constant("copy_of", torch.cat(copy_of))
        self.register_constant("part", 1 / dims[torch.cat(copy_of)])
        self._means, self._copies, self._counts = means, first, [len(rep.invariant_vectors()) for _, rep in type.blocks]
        self.gamma = nn.Parameter(torch.ones(self._copies)) if affine else None
        self.beta = FieldBias(type) if affine else None
        if mode == "batch":
            self.register_buffer("running_mean", torch.zeros(means))
            self.register_buffer("running_var", torch.ones(self._copies))
            self.register_buffer("num_batches_tracked", torch.tensor(0))

    def reset_parameters(self) -> None:
        if self.gamma is not None:
            nn.init.ones_(self.gamma)
        if self.beta is not None:
            self.beta.reset_parameters()
        if self.mode == "batch":
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            self.num_batches_tracked.zero_()

    def forward(self, x: Tensor, graph: Any = None) -> Tensor:
        check_features(x, self.in_type, self.gamma, "FieldNorm")
        if self.mode == "graph" and graph is None:
            raise ValueError('FieldNorm(mode="graph") has statistics of every graph: call it with the graph, norm(x, graph)')
        if graph is not None:
            count_copies(graph, x.shape[0], graph.radius.shape[0], "FieldNorm")
        if x.dtype == torch.float16 or (x.dtype == torch.bfloat16 and self.mode == "graph"):
            with no_autocast(x):
                return self._normalised(x.float(), graph).to(x.dtype)
        return self._normalised(x, graph)

    def _normalised(self, x: Tensor, graph: Any) -> Tensor:
        if self.mode == "layer":
            return self._by_node(x)
        if self.mode == "graph":
            return self._by_graph(x, graph)
        if self.training:
            mean, var = self._statistics(*column_moments(x))
            self._update(mean, var)
        else:
            mean, var = self.running_mean, self.running_var
        return scale_columns(x, *self._scale_and_shift(mean, var))

    def _by_node(self, x: Tensor) -> Tensor:
        parts, copy, factor = [], 0, self.constant("factor", x)
        blocks = zip(self.in_type.split(x), self.in_type.blocks, self.in_type.slices, self._counts)
        for block, (mul, _), columns, count in blocks:
            if count:
                vectors = factor[:count, columns][:, ::mul]  # (k, n)
                block = block - vectors.t() @ (vectors @ block).mean(-1, keepdim=True)
            scale = (block.square().mean((1, 2), keepdim=True) + self.eps).rsqrt()
            parts.append(block * (scale if self.gamma is None else scale * self.gamma[copy : copy + mul]))
            copy += mul
        out = self.in_type.join(parts)
        return out if self.beta is None else out + self.beta.row()  # of which out may have a higher precision

    def _by_graph(self, x: Tensor, graph: Any) -> Tensor:
        """Statistics are rows (number of graphs, dim)."""
        nodes = graph.radius.shape[0]
        copies = count_copies(graph, x.shape[0], nodes, "FieldNorm")
        area, batch, count = getattr(graph, "area", None), getattr(graph, "batch", None), copies
        share = x.new_ones(nodes) if area is None else area.to(x.dtype)
        if batch is None:
            share = (share / share.sum()).repeat(copies)
            batch = torch.arange(copies, device=x.device).repeat_interleave(nodes)
        else:
            count = graph.num_graphs
            share = share / sum_rows(share, batch, count)[batch]
        mean, spread = graph_moments(x, share, batch, count)
        return scale_graphs(x, *self._scale_and_shift(*self._statistics(mean, spread)), batch)

    def _statistics(self, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Invariant means (..., means) and mean squares about them (..., copies), of means and variances of columns."""
        place, factor = self.place.flatten(), self.constant("factor", mean)
        weighted = (mean.unsqueeze(-2) * factor).flatten(-2)
        invariant = sum_rows(weighted, place, self._means, -1)
        # mean |f - P mu|^2 from the variance about the mean of every column
        power = (spread + (mean - self._centre(invariant)).square()) * self.constant("part", mean)
        return invariant, sum_rows(power, self.copy_of, self._copies, -1)

    def _centre(self, mean: Tensor) -> Tensor:
        """P mu: invariant means (..., means) in their columns (..., dim)."""
        factor = self.constant("factor", mean)
        return (mean.index_select(-1, self.place.flatten()).unflatten(-1, factor.shape) * factor).sum(-2)

    def _scale_and_shift(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (..., dim) with which x * scale + shift is the result."""
        scale = (var + self.eps).rsqrt()
        scale = (scale if self.gamma is None else scale * self.gamma).index_select(-1, self.copy_of)
        shift = -self._centre(mean) * scale
        return scale, shift if self.beta is None else shift + self.beta.row()

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor) -> None:
        self.num_batches_tracked += 1
        share = newest_share(self.momentum, self.num_batches_tracked, self.running_var.dtype)
        self.running_mean.lerp_(mean.detach().to(self.running_mean), share)
        self.running_var.lerp_(var.detach().to(self.running_var), share)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        saved = f"{prefix}running_var" in state_dict
        if saved and self.mode == "batch":
            # Saved without a count: averages of many batches.
            state_dict.setdefault(f"{prefix}num_batches_tracked", torch.tensor(_MANY))
        elif saved or (self.mode == "batch" and f"{prefix}gamma" in state_dict):
            text = _OTHER_NORM.format(self.mode, *(("has", '"batch"') if saved else ("has no", '"layer" or norm="graph"')))
            if text not in args[-1]:  # error_msgs: one for all norms of a network
                args[-1].append(text)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def pixelwise(self) -> nn.Module:
        if self.mode == "graph":
            raise TypeError('FieldNorm(mode="graph") has no plain form: its statistics are those of the whole graph')
        type, dim, axes = self.in_type, self.in_type.dim, self.in_type.group.dim
        beta = torch.zeros(dim) if self.beta is None else self.beta.row()
        gamma = torch.ones(dim).to(beta) if self.gamma is None else self.gamma[self.copy_of]
        if self.mode == "layer":
            vectors = [rep.invariant_vectors().to(beta) for _, rep in type.blocks]
            return traced(LayerNorm(blocks_of(type), [v.t() @ v for v in vectors], gamma, beta, self.eps, axes))
        norm = BATCH_NORM[axes](dim, self.eps, self.momentum).to(self.running_var)
        parts = {"weight": gamma, "bias": beta, "running_var": self.running_var[self.copy_of]}
        with torch.no_grad():
            for name, value in {**parts, "running_mean": self._centre(self.running_mean)}.items():
                getattr(norm, name).copy_(value)
        return norm.eval()

    def extra_repr(self) -> str:
        return f"{self.in_type}, mode={self.mode!r}, affine={self.gamma is not None}, eps={self.eps}"


class FieldDropout(Pixelwise):
    """Drops whole copies of a field at a node, so that what is left is still a field (Srivastava et al. 2014).

    Args:
        type: field type of input and output.
        p: probability of dropping a copy; the others are scaled by 1 / (1 - p).

    Shapes:
        (N, type.dim) -> (N, type.dim).
    """

    def __init__(self, type: FieldType, p: float = 0.5) -> None:
        check_field_types(self, type=type)
        super().__init__()
        p = check_probability(self, "p", p)
        self.in_type = self.out_type = type
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "FieldDropout")
        if not self.training or self.p == 0.0:
            return x
        parts = []
        for block in self.in_type.split(x):
            keep = torch.rand_like(block[:, :1]) >= self.p
            parts.append(block * keep / (1.0 - self.p))
        return self.in_type.join(parts)

    def pixelwise(self) -> nn.Module:
        return nn.Identity()

    def extra_repr(self) -> str:
        return f"{self.in_type}, p={self.p}"
