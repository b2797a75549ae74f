"""Normalisation that respects the field type."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_number, check_probability
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...ops.columns import column_moments, scale_columns
from ..exporting.exportable import Pixelwise
from ..exporting.plain import BATCH_NORM, LayerNorm, blocks_of, traced
from ..precision import no_autocast, room_for_squares
from ..tensor_checks import check_features
from .bias import FieldBias


class FieldNorm(ConstantModule, Pixelwise):
    r"""Normalises every block by invariants only.

    .. math:: f_c \mapsto \gamma_c \frac{f_c - P \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c, \qquad
              \sigma_c^2 = \mathrm{mean}\,|f_c - P\mu_c|^2 / \dim\rho

    P projects on the invariant subspace of the representation: scalars lose their mean, vectors do not (theirs is not
    gauge invariant). ``mode="batch"`` takes the statistics over all nodes for each copy, with running averages for
    evaluation (Ioffe & Szegedy 2015); ``mode="layer"`` over the copies of a block at each node (Ba et al. 2016; for
    irreps as in Liao & Smidt 2023, Equiformer), which never lets one mesh of a batch see another.

    Args:
        type: field type of input and output.
        mode: "batch" or "layer".
        affine: learn gamma per copy and beta on the invariant part.
        eps: added to the variance.
        momentum: of the running averages (batch mode).

    Shapes:
        (N, type.dim) -> (N, type.dim).
    """

    def __init__(
        self, type: FieldType, mode: str = "batch", *, affine: bool = True, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        check_field_types(self, type=type)
        check_number(self, "eps", eps)
        check_number(self, "momentum", momentum)
        super().__init__()
        check_choice(self, "mode", mode, ("batch", "layer"))
        self.in_type = self.out_type = type
        self.mode, self.eps, self.momentum = mode, eps, momentum
        self._invariant_dims = []
        for b, (_, rep) in enumerate(type.blocks):
            vectors = rep.invariant_vectors()
            self._invariant_dims.append(vectors.shape[0])
            if vectors.shape[0]:
                self.register_constant(f"invariant_{b}", vectors)
        copies = sum(mul for mul, _ in type.blocks)
        self.gamma = nn.Parameter(torch.ones(copies)) if affine else None
        self.beta = FieldBias(type) if affine else None
        if mode == "batch":
            means = sum(mul * k for (mul, _), k in zip(type.blocks, self._invariant_dims))
            self.register_buffer("running_mean", torch.zeros(means))
            self.register_buffer("running_var", torch.ones(copies))

    def reset_parameters(self) -> None:
        if self.gamma is not None:
            nn.init.ones_(self.gamma)
        if self.beta is not None:
            self.beta.reset_parameters()
        if self.mode == "batch":
            self.running_mean.zero_()
            self.running_var.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.gamma, "FieldNorm")
        if x.dtype == torch.float16:
            with no_autocast(x):
                return self._normalised(room_for_squares(x)).to(x.dtype)
        return self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        if self.mode == "batch":
            return self._by_batch(x)
        out = self._by_node(x)
        return out if self.beta is None else out + self.beta.row()  # of which out may have a higher precision

    def _spans(self) -> Iterator[tuple[int, slice, slice, slice]]:
        """(block, its columns, its place among the running means, its place among the copies)."""
        copy = mean = 0
        for b, ((mul, _), columns) in enumerate(zip(self.in_type.blocks, self.in_type.slices)):
            count = mul * self._invariant_dims[b]
            yield b, columns, slice(mean, mean + count), slice(copy, copy + mul)
            copy, mean = copy + mul, mean + count

    def _by_batch(self, x: Tensor) -> Tensor:
        """Statistics are rows (dim,): the features are only passed over for their moments, and to be scaled and shifted."""
        row, spread = column_moments(x) if self.training else (None, None)
        nothing = x.new_zeros(self.in_type.dim)
        centres, scales = [], []
        for b, columns, means, copies in self._spans():
            mul, rep = self.in_type.blocks[b]
            centre = nothing[columns]
            if self._invariant_dims[b]:
                vectors = getattr(self, f"invariant_{b}")  # (k, n)
                if row is None or spread is None:
                    mean = self.running_mean[means].view(vectors.shape[0], -1)
                else:
                    mean = vectors.to(row) @ row[columns].view(rep.dim, mul)
                    self._update(self.running_mean, means, mean)
                centre = (vectors.t().to(mean) @ mean).reshape(-1)
            if row is None or spread is None:
                var = self.running_var[copies]
            else:  # mean |f - P mu|^2 from the variance about the mean of every column
                power = spread[columns] + (row[columns] - centre).square()
                var = power.view(rep.dim, mul).mean(0)
                self._update(self.running_var, copies, var)
            scale = (var + self.eps).rsqrt()
            scale = scale if self.gamma is None else scale * self.gamma[copies]
            centres.append(centre)
            scales.append(scale.repeat(rep.dim))
        scale = torch.cat(scales)
        shift = -torch.cat(centres) * scale
        return scale_columns(x, scale, shift if self.beta is None else shift + self.beta.row())

    def _by_node(self, x: Tensor) -> Tensor:
        parts = []
        for b, columns, _, copies in self._spans():
            mul, rep = self.in_type.blocks[b]
            block = x[:, columns].view(-1, rep.dim, mul)
            if self._invariant_dims[b]:
                vectors = getattr(self, f"invariant_{b}")  # (k, n)
                vectors = vectors.to(block)
                block = block - vectors.t() @ (vectors @ block).mean(-1, keepdim=True)
            scale = (block.square().mean((1, 2), keepdim=True) + self.eps).rsqrt()
            parts.append(block * (scale if self.gamma is None else scale * self.gamma[copies]))
        return self.in_type.join(parts)

    def _update(self, running: Tensor, where: slice, value: Tensor) -> None:
        with torch.no_grad():
            running[where] += self.momentum * (value.detach().reshape(-1) - running[where])

    def pixelwise(self) -> nn.Module:
        type, dim, axes = self.in_type, self.in_type.dim, self.in_type.group.dim
        beta = torch.zeros(dim) if self.beta is None else self.beta.row()
        gammas, means, variances, projectors = [], [], [], []
        for b, _, mean, copies in self._spans():
            mul, rep = type.blocks[b]
            vectors = getattr(self, f"invariant_{b}") if self._invariant_dims[b] else torch.zeros(0, rep.dim).to(beta)
            projectors.append(vectors.t() @ vectors)
            gammas.append((torch.ones(mul) if self.gamma is None else self.gamma[copies]).repeat(rep.dim))
            if self.mode == "batch":
                means.append((vectors.t() @ self.running_mean[mean].view(len(vectors), mul).to(vectors)).flatten())
                variances.append(self.running_var[copies].repeat(rep.dim))
        if self.mode == "layer":
            return traced(LayerNorm(blocks_of(type), projectors, torch.cat(gammas), beta, self.eps, axes))
        norm = BATCH_NORM[axes](dim, self.eps, self.momentum).to(self.running_var)
        with torch.no_grad():
            for name, value in (("weight", gammas), ("running_mean", means), ("running_var", variances), ("bias", [beta])):
                getattr(norm, name).copy_(torch.cat(value))
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
