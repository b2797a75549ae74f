"""One label for a whole mesh."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..fields import FieldType
from ..nn import GaugeLinear, GaugePool, ResidualBlock, global_mean, to_scalars
from .stages import hidden_type


class _MeshNorm(nn.BatchNorm1d):
    """Batch norm over meshes; a batch of one has no variance and takes the running one."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class MeshClassifier(nn.Module):
    r"""Residual gauge-equivariant network with an invariant read-out (after de Haan et al. 2021, section 5).

    Linear lift to fields of orders 0..order, residual blocks (with a pooling step between the stages when the graph has
    coarser levels), norms of every copy, mean over the surface by area, and a small perceptron. The logits do not depend on
    the frames, nor on what else is in the batch (in evaluation).

    Args:
        in_type: field type of the input features.
        num_classes: number of logits.
        channels: copies of every order.
        order: largest order of the hidden fields; 0 makes the network isotropic.
        blocks: residual blocks per stage, one entry a stage; stages after the first run on the coarser levels of the graph.
        radial, max_frequency, quadrature: see :class:`gaugenet.nn.GaugeConv`.
        norm: "batch", "layer" or None; of the blocks and of the read-out.
        nonlinearity: "polynomial", "regular", "gated" or "norm".
        activation: its pointwise function.
        dropout: in the blocks and in the read-out.

    Shapes:
        x (N, in_type.dim), graph; output (number of meshes, num_classes).
    """

    def __init__(
        self,
        in_type: FieldType,
        num_classes: int,
        *,
        channels: int = 24,
        order: int = 2,
        blocks: tuple[int, ...] = (2,),
        radial: int = 2,
        max_frequency: int | None = None,
        quadrature: int | None = 3,
        norm: str | None = "batch",
        nonlinearity: str = "polynomial",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_type = in_type
        self.hidden = hidden_type(in_type.group, channels, order)
        self.lift = GaugeLinear(in_type, self.hidden)
        options = {
            "radial": radial,
            "max_frequency": max_frequency,
            "quadrature": quadrature,
            "norm": norm,
            "nonlinearity": nonlinearity,
            "activation": activation,
            "dropout": dropout,
        }
        self.stages = nn.ModuleList(
            nn.ModuleList(ResidualBlock(self.hidden, self.hidden, **options) for _ in range(count)) for count in blocks
        )
        self.pool = GaugePool(self.hidden)
        copies = sum(mul for mul, _ in self.hidden.blocks)
        # Means over a surface differ little from mesh to mesh: without a common scale the read-out learns slowly.
        scale = {"batch": _MeshNorm, "layer": nn.LayerNorm, None: nn.Identity}[norm](copies)
        self.head = nn.Sequential(
            scale, nn.Linear(copies, copies), nn.ReLU(), nn.Dropout(dropout), nn.Linear(copies, num_classes)
        )

    def reset_parameters(self) -> None:
        for module in self.modules():
            if module is not self and hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor, graph) -> Tensor:
        x = self.lift(x)
        for stage, blocks in enumerate(self.stages):
            if stage:
                x, graph = self.pool(x, graph), graph.coarse
            plans: dict = {}
            for block in blocks:
                x = block(x, graph, plans)
        return self.head(global_mean(to_scalars(x, self.hidden), graph))
