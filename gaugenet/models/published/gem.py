"""Weights of GEM-CNN (github.com/Qualcomm-AI-research/gauge-equivariant-mesh-cnn)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_int
from ...data import GaugeGraph
from ...fields import FieldType
from ...groups import SO2
from ...kernels import LinearRings, Polar, RadialProfile
from ...nn import GaugeConv, GaugeLinear, RegularNonlinearity
from ...nn.tensor_checks import GraphLike
from .reading import State, loaded, polar_weight, tap_weight, turn

_CONV, _BLOCK = "GemConv", "GemResNetBlock"


class _RingsAndCentre(RadialProfile):
    """Piecewise linear functions on rings of neighbours, and one of the centre alone."""

    def __init__(self, num: int) -> None:
        super().__init__(num, cutoff=False)
        self.rings = LinearRings(num - 1, cutoff=False)

    def functions(self, r: Tensor) -> Tensor:
        apart = (r > 0).to(r.dtype)[..., None]
        return torch.cat([self.rings.functions(r) * apart, 1 - apart], -1)


class GEMConv(nn.Module):
    """A published GemConv: a :class:`gaugenet.nn.GaugeConv` that also sees the constant field 1, whose kernel is the bias.

    Attributes:
        conv: of ``in_type`` and one scalar. in_type, out_type.
    """

    def __init__(self, in_type: FieldType, out_type: FieldType, rings: int) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        frequency = sum(max(rep.degree for _, rep in type.blocks) for type in (in_type, out_type))
        kernel = Polar(_RingsAndCentre(rings + 1), frequency, quadrature=None)
        seen = in_type + FieldType(in_type.group, "1x0")
        self.conv = GaugeConv(seen, out_type, bias=False, kernel=kernel, self_interaction=False)

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        return self.conv(torch.cat([x, x.new_ones(len(x), 1)], -1), graph)


class GEMResNetBlock(nn.Module):
    """A published GemResNetBlock.

    Attributes:
        conv1, conv2: :class:`GEMConv`. act1, act2: ReLU on samples. shortcut: what the residual goes through.
        shift: (out_type.dim,) what is added to it, on fields of every order.
    """

    shift: Tensor

    def __init__(self, conv1: GEMConv, conv2: GEMConv, shortcut: nn.Module, shift: Tensor, samples: int, last: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = conv1, conv2, shortcut
        self.in_type, self.out_type = conv1.in_type, conv2.out_type
        self.act1 = RegularNonlinearity(conv1.out_type, samples=samples)
        self.act2 = nn.Identity() if last else RegularNonlinearity(conv2.out_type, samples=samples)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor, graph: GraphLike) -> Tensor:
        y = self.conv2(self.act1(self.conv1(x, graph)), graph)
        return self.act2(y + self.shortcut(x) + self.shift)


def gem_conv(state: Mapping[str, Any], *, prefix: str = "") -> GEMConv:
    r"""GemConv (de Haan et al. 2021, arXiv 2003.05425), with the same numbers.

    .. math:: out(p) = \frac{1}{d_p} \sum_q \rho(\theta_{pq}) \Big[ \sum_b \mu_b(r_{pq}) W_b \rho(g_{pq} - \theta_{pq}) f(q)
              + \beta \Big]

    over the neighbours and the centre itself, which has a kernel of its own and the bias of scalars alone. Theirs is a mean
    over d_p edges: on :func:`gem_graph`, or on another graph whose weights are 1 / d_p, the numbers are theirs; on others the
    same kernels with its quadrature weights.

    Args:
        state: "weight" (rings, in, 2 L_in + 1, out, 2 L_out + 1), "self_weight.weight" (2 min(L_in, L_out) + 1, in, out),
            "bias" (out, 2 L_out + 1), and the constants "self_weight.kernels", "bias_mask".
        prefix: of their names.

    Returns:
        A module on features of the type "c x0 + c x1 + ..."; theirs are (V, c, 2 L + 1), see :func:`gem_features`.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    found = State(state, prefix, _CONV)
    weight = found.take("weight", (None, None, None, None, None))
    rings, c_in, n_in, c_out, n_out = weight.shape
    if not (n_in % 2 and n_out % 2 and rings >= 2):
        raise ValueError(f"{_CONV}: expected 'weight' (rings >= 2, in, 2 L + 1, out, 2 L' + 1), got {tuple(weight.shape)}")
    own = found.take("self_weight.weight", (min(n_in, n_out), c_in, c_out))
    bias = found.take("bias", (c_out, n_out))
    found.skip("self_weight.kernels", "bias_mask")
    found.finish()
    l_in, l_out = n_in // 2, n_out // 2
    conv = GEMConv(_type(c_in, l_in), _type(c_out, l_out), rings)
    centre = torch.einsum("kio,kab->iaob", own, _self_kernels(l_in, l_out))

    def kernel(i: int, o: int, angle: Tensor) -> Tensor:
        after = turn(angle, o)
        if i > l_in:  # the constant field; the centre has the bias of scalars
            shift = bias[:, _span(o)]
            around = torch.einsum("tab,db->tda", after, shift).expand(rings, -1, -1, -1)
            middle = torch.zeros_like(around[:1]) + (shift if o == 0 else 0)
            return torch.cat([around, middle])[..., None, None]
        around = torch.einsum("tab,rcidb,tij->rtdacj", after, weight[:, :, _span(i), :, _span(o)], turn(-angle, i))
        middle = centre[:, _span(i), :, _span(o)].permute(2, 3, 0, 1).expand(1, len(angle), -1, -1, -1, -1)
        return torch.cat([around, middle])

    return loaded(conv, {"conv.weight": polar_weight(conv.conv.double(), kernel, _CONV)}, found.dtype)


def gem_res_net_block(
    state: Mapping[str, Any], samples: int, *, last_layer: bool = False, equivariant: bool = False, prefix: str = ""
) -> GEMResNetBlock:
    """GemResNetBlock without batch norm, with the same numbers.

    As published it is not equivariant: the residual map has a bias on vectors, and few samples alias.

    Args:
        state: those of two GemConv under "conv1." and "conv2.", and where the numbers of channels differ "lin.weight"
            (out, in, 1) and "lin.bias" (out,); the constants "nonlin1.dft", "nonlin2.dft".
        samples: of the nonlinearity, ``num_samples`` there.
        last_layer: whether there is none at the end.
        equivariant: add the bias of the residual map to scalars alone.
        prefix: of their names.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape, among them those of batch norms.
    """
    check_int(_BLOCK, "samples", samples)
    found = State(state, prefix, _BLOCK)
    conv1, conv2 = (gem_conv(state, prefix=f"{prefix}conv{k}.") for k in (1, 2))
    found.skip("conv1.", "conv2.", "nonlin1.dft", "nonlin2.dft")
    in_type, out_type = conv1.in_type, conv2.out_type
    (c_in, _), (c_out, _) = in_type.blocks[0], out_type.blocks[0]
    shift = torch.zeros(out_type.dim, dtype=torch.float64)
    mix = torch.eye(c_in, dtype=torch.float64)
    if "lin.weight" in found or c_in != c_out:
        mix = found.take("lin.weight", (c_out, c_in, 1))[:, :, 0]
        shifted = [o for o in range(min(len(in_type.blocks), len(out_type.blocks))) if o == 0 or not equivariant]
        for o in shifted:
            shift[out_type.slices[o]] = found.take("lin.bias", (c_out,)).repeat(out_type.blocks[o][1].dim)
    found.finish()
    linear = GaugeLinear(in_type, out_type, bias=False).double()
    matrix = torch.zeros(in_type.dim, out_type.dim, dtype=torch.float64)
    for (_, rep), rows, columns in zip(in_type.blocks, in_type.slices, out_type.slices):
        matrix[rows, columns] = torch.kron(torch.eye(rep.dim, dtype=torch.float64), mix.T.contiguous())
    dtype = conv1.conv.weight.dtype
    shortcut = loaded(linear, {"weight": tap_weight(linear, matrix[None], _BLOCK)}, dtype)
    return GEMResNetBlock(conv1, conv2, shortcut, shift.to(dtype), samples, last_layer)


def gem_graph(edge_index: Any, edge_coords: Any, connection: Any, num_nodes: int, radius: float | None = None) -> GaugeGraph:
    """The graph of their transforms: edges from row 1 to row 0, self-loops too, with polar log maps and angles of transport.

    Args:
        edge_index: (2, E). edge_coords: (E, 2), r and theta at row 0. connection: (E,), the angle of transport to row 0.
        num_nodes: V. radius: of the kernels, ``max_r`` there; by default the largest r.

    Returns:
        A graph without self-loops, with weights of one over the number of edges of row 0 (with them).
    """
    ends = torch.as_tensor(edge_index)
    coords, angle = (torch.as_tensor(a).to(torch.float64) for a in (edge_coords, connection))
    target, source = ends
    count = torch.bincount(target, minlength=num_nodes).double()
    edge = torch.nonzero(target != source)[:, 0]
    edge = edge[torch.argsort(target[edge] * num_nodes + source[edge])]
    target, source, (r, theta) = target[edge], source[edge], coords[edge].unbind(1)
    reach = float(coords[:, 0].max()) if radius is None else float(radius)
    graph = GaugeGraph(
        edge_index=torch.stack([source, target]),
        log=torch.stack([r * theta.cos(), r * theta.sin()], 1),
        transport=turn(angle[edge], 1),
        weight=1 / count[target],
        radius=torch.full((num_nodes,), reach, dtype=torch.float64),
    )
    graph.num_nodes = num_nodes
    return graph


def gem_features(x: Any) -> Tensor:
    """Their features (V, c, 2 L + 1) as ours (V, c (2 L + 1)): component by component."""
    return torch.as_tensor(x).transpose(1, 2).flatten(1)


def _type(channels: int, order: int) -> FieldType:
    return FieldType(SO2(), [(channels, str(n)) for n in range(order + 1)])


def _span(order: int) -> slice:
    return slice(max(2 * order - 1, 0), 2 * order + 1)


def _self_kernels(l_in: int, l_out: int) -> Tensor:
    """(K, 2 l_in + 1, 2 l_out + 1): of every order the identity and, in (in, out), a quarter turn."""
    kernels = torch.zeros(2 * min(l_in, l_out) + 1, 2 * l_in + 1, 2 * l_out + 1, dtype=torch.float64)
    kernels[0, 0, 0] = 1
    for n in range(1, min(l_in, l_out) + 1):
        kernels[2 * n - 1, _span(n), _span(n)] = torch.eye(2, dtype=torch.float64)
        kernels[2 * n, _span(n), _span(n)] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    return kernels
