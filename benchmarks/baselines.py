"""What the hot loop is compared with, in plain torch. Nothing here is part of the library."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import sys
import types

import torch
from torch import Tensor, nn

from gaugenet import FieldType


class GemConv(nn.Module):
    r"""(a) The published GEM-CNN layer (de Haan et al. 2021, section 4): for every edge carry the neighbour into the edge's own
    frame, apply one dense matrix per radial function, turn the result into the frame of the centre, scatter.

    Args:
        in_type, out_type: SO(2) irreps.
        radial: number of radial functions.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, radial: int) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.weight = nn.Parameter(torch.randn(radial * in_type.dim, out_type.dim) / in_type.dim)
        self.self_weight = nn.Parameter(torch.randn(in_type.dim, out_type.dim) / in_type.dim)

    def forward(self, x: Tensor, source: Tensor, target: Tensor, theta: Tensor, transport: Tensor, radial: Tensor) -> Tensor:
        """theta (E,) direction of the neighbour, transport (E,) angle, radial (E, B) weighted radial functions."""
        y = _rotate(x[source], self.in_type, transport - theta)
        y = (radial.unsqueeze(2) * y.unsqueeze(1)).flatten(1) @ self.weight
        y = _rotate(y, self.out_type, theta)
        return x.new_zeros(x.shape[0], y.shape[1]).index_add(0, target, y) + x @ self.self_weight


def _rotate(x: Tensor, type: FieldType, angle: Tensor) -> Tensor:
    parts = []
    for (mul, rep), columns in zip(type.blocks, type.slices):
        block = x[:, columns]
        if rep.dim == 1:
            parts.append(block)
            continue
        a, b = block[:, :mul], block[:, mul:]
        cos, sin = (f(rep.rotation_order * angle).unsqueeze(1) for f in (torch.cos, torch.sin))
        parts += [cos * a - sin * b, sin * a + cos * b]
    return torch.cat(parts, 1)


class NaiveConv(nn.Module):
    """(b) A kernel matrix for every edge, from the steerable basis."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, graph, table: Tensor) -> Tensor:
        weight = self.conv.expansion(self.conv.weight)
        matrices = torch.einsum("ej,jio->eio", table, weight)
        y = self.conv.in_type.transform(graph.transport, x[graph.edge_index[0]])
        messages = torch.einsum("ei,eio->eo", y, matrices)
        return x.new_zeros(x.shape[0], messages.shape[1]).index_add(0, graph.edge_index[1], messages)


class DiffusionBlock(nn.Module):
    """(e) A block of DiffusionNet (Sharp et al. 2022): spectral diffusion, gradient features, a perceptron of three layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time = nn.Parameter(torch.rand(width) * 0.1)
        self.real, self.imaginary = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor, mass: Tensor, values: Tensor, vectors: Tensor, grad_x: Tensor, grad_y: Tensor) -> Tensor:
        coefficients = vectors.T @ (mass.unsqueeze(1) * x)
        diffused = vectors @ (torch.exp(-values.unsqueeze(1) * self.time) * coefficients)
        u, v = grad_x @ diffused, grad_y @ diffused
        features = torch.tanh(u * (self.real(u) - self.imaginary(v)) + v * (self.real(v) + self.imaginary(u)))
        return x + self.mlp(torch.cat([x, diffused, features], 1))


class GemBackbone(nn.Module):
    """Stands in for a GaugeConv inside a ready network: the layer (a), with angles taken from the graph at every call."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.layer = GemConv(conv.in_type, conv.out_type, conv.radial.num)
        self.radial, self.table_key = conv.radial, None

    def plan(self, graph) -> None:
        """Nothing is prepared."""

    def forward(self, x: Tensor, graph, plan=None) -> Tensor:
        source, target = graph.edge_index
        theta = torch.atan2(graph.log[:, 1], graph.log[:, 0])
        turn = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
        radial = self.radial(graph.log.norm(dim=1) / graph.radius[target]) * graph.weight.unsqueeze(1)
        return self.layer(x, source, target, theta, turn, radial)


def has_escnn() -> bool:
    """Whether there is escnn, made to run beside today's numpy and scikit-learn (docs/planar.md)."""
    if importlib.util.find_spec("escnn") is None:
        return False
    stub_lie_learn()
    from escnn.group import _numerical

    _numerical.randomized_svd = None  # scikit-learn's takes no np.matrix any more; without it escnn calls scipy's
    return True


_WIGNER = "lie_learn.representations.SO3.wigner_d"


def stub_lie_learn() -> None:
    """Make up for the function of lie_learn that escnn imports for groups of space, and never calls on the plane.

    lie_learn's wheels were built for numpy 1 and do not load beside numpy 2.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(_WIGNER)
    except ImportError:
        parts = _WIGNER.split(".")
        for part in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
            sys.modules[part] = types.ModuleType(part)
        sys.modules[_WIGNER].wigner_D_matrix = None


def lie_learn_loads() -> bool:
    """Whether escnn runs on lie_learn itself (after :func:`stub_lie_learn`)."""
    return _WIGNER in sys.modules and sys.modules[_WIGNER].wigner_D_matrix is not None


def escnn_plane(channels: int, side: int):
    """(c) escnn's R2Conv on SO(2) fields of orders 0..2, and features (1, 5 channels, side, side); None without escnn."""
    if not has_escnn():
        return None
    from escnn import gspaces
    from escnn.nn import FieldType as EscnnType
    from escnn.nn import R2Conv

    plane = gspaces.rot2dOnR2(N=-1, maximum_frequency=4)
    type = EscnnType(plane, channels * [plane.irrep(0)] + channels * [plane.irrep(1)] + channels * [plane.irrep(2)])
    conv = R2Conv(type, type, kernel_size=5, padding=2)
    return lambda y: conv(type(y)).tensor, torch.randn(1, type.size, side, side, requires_grad=True)


def disco_sphere(width: int, nodes: int, neighbours: int):
    """(d) torch-harmonics' convolution (Ocampo et al. 2023) of as many channels and nodes, with about as many neighbours at the
    equator; and features. None without torch-harmonics."""
    if importlib.util.find_spec("torch_harmonics") is None:
        return None
    from torch_harmonics import DiscreteContinuousConvS2

    rows = round(math.sqrt(nodes / 2))
    cutoff = math.sqrt(neighbours / math.pi) * math.pi / rows
    conv = DiscreteContinuousConvS2(width, width, (rows, 2 * rows), (rows, 2 * rows), 3, theta_cutoff=cutoff)
    return conv, torch.randn(1, width, rows, 2 * rows, requires_grad=True)
