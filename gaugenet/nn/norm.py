"""Normalisation that respects the field type."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..fields import FieldType
from ..kernels.constants import ConstantModule
from .bias import FieldBias
from .checks import check_features


class FieldNorm(ConstantModule):
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
        super().__init__()
        if mode not in ("batch", "layer"):
            raise ValueError(f'FieldNorm expected mode "batch" or "layer", got {mode!r}')
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
            self.beta.reset_parameters()
        if self.mode == "batch":
            self.running_mean.zero_()
            self.running_var.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.gamma, "FieldNorm")
        parts, copy, mean_at = [], 0, 0
        for b, ((mul, _), block) in enumerate(zip(self.in_type.blocks, self.in_type.split(x))):
            count = mul * self._invariant_dims[b]
            parts.append(self._normalise(b, block, slice(mean_at, mean_at + count), slice(copy, copy + mul)))
            copy, mean_at = copy + mul, mean_at + count
        out = self.in_type.join(parts)
        return out if self.beta is None else self.beta(out)

    def _normalise(self, b: int, block: Tensor, means: slice, copies: slice) -> Tensor:
        """One block (N, n, mul)."""
        batch = self.mode == "batch"
        use_running = batch and not self.training
        if self._invariant_dims[b]:
            vectors = getattr(self, f"invariant_{b}")  # (k, n)
            if use_running:
                mean = self.running_mean[means].view(vectors.shape[0], -1)
            else:
                components = vectors @ block  # (N, k, mul)
                mean = components.mean(0) if batch else components.mean(-1, keepdim=True)
                if batch:
                    self._update(self.running_mean, means, mean)
            block = block - vectors.t() @ mean
        if use_running:
            var = self.running_var[copies]
        else:
            power = block.square().mean(1)  # (N, mul)
            var = power.mean(0) if batch else power.mean(-1, keepdim=True)
            if batch:
                self._update(self.running_var, copies, var)
        scale = (var + self.eps).rsqrt()
        if self.gamma is not None:
            scale = scale * self.gamma[copies]
        return block * (scale if batch else scale.unsqueeze(1))

    def _update(self, running: Tensor, where: slice, value: Tensor) -> None:
        with torch.no_grad():
            running[where] += self.momentum * (value.detach().reshape(-1) - running[where])

    def extra_repr(self) -> str:
        return f"{self.in_type}, mode={self.mode!r}, affine={self.gamma is not None}, eps={self.eps}"


class FieldDropout(nn.Module):
    """Drops whole copies of a field at a node, so that what is left is still a field (Srivastava et al. 2014).

    Args:
        type: field type of input and output.
        p: probability of dropping a copy; the others are scaled by 1 / (1 - p).

    Shapes:
        (N, type.dim) -> (N, type.dim).
    """

    def __init__(self, type: FieldType, p: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"FieldDropout expected 0 <= p < 1, got {p}")
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

    def extra_repr(self) -> str:
        return f"{self.in_type}, p={self.p}"
