"""Attention and message passing beside GaugeConv and beside the published algorithms in plain torch.

    python benchmarks/attention.py [--level 5]            # one thread, processor time

The same sphere, types and features; forward + backward to features and weights. The published layers (EMAN: Basu et al. 2022;
Hermes: Park et al. 2023) apply kernels at every edge. They are written here in their cheapest plain form: every edge turns its
neighbour into its own frame, applies one dense matrix for each radial function, and turns the result back: all steerable
kernels (the published einsum over basis kernels does more). Hermes with one nonlinear map to a layer, as ours, and 7 samples of
the circle. Writes benchmarks/results/attention.md.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.baselines import _rotate
from benchmarks.measure import interleaved, machine, peak_bytes
from gaugenet import FieldType, geometry, groups
from gaugenet.nn import GaugeAttention, GaugeConv, GaugeLinear, GaugeMessagePassing

OUT = Path(__file__).parent / "results" / "attention.md"
SO2 = groups.SO2()


class EdgeKernel(nn.Module):
    """A steerable kernel applied to features (E, D) at edges, in the frame of the edge and back."""

    def __init__(self, in_type: FieldType, out_type: FieldType, radial: int) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type
        self.weight = nn.Parameter(torch.randn(radial * in_type.dim, out_type.dim) / in_type.dim)

    def forward(self, x: Tensor, theta: Tensor, radial: Tensor) -> Tensor:
        y = _rotate(x, self.in_type, -theta)
        return _rotate((radial.unsqueeze(2) * y.unsqueeze(1)).flatten(1) @ self.weight, self.out_type, theta)


class Published(nn.Module):
    """What both need of a graph: angles and radial functions at the edges, made once."""

    def __init__(self, graph, radial: nn.Module) -> None:
        super().__init__()
        self.source, self.target = graph.edge_index
        self.theta = torch.atan2(graph.log[:, 1], graph.log[:, 0])
        self.turn = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
        self.radial = radial(graph.log.norm(dim=1) / graph.radius[self.target]).detach()
        self.degree = torch.bincount(self.target)[:, None].float()

    def mean(self, x: Tensor, count: int) -> Tensor:
        return x.new_zeros(count, x.shape[1]).index_add(0, self.target, x) / self.degree


class EmanConv(Published):
    """Queries, keys and values at every edge; softmax; mean over the neighbours."""

    def __init__(self, type: FieldType, graph, radial: nn.Module, heads: int) -> None:
        super().__init__(graph, radial)
        self.type, self.heads = type, heads
        self.query = GaugeLinear(type, type, bias=False)
        self.key, self.value = EdgeKernel(type, type, 2), EdgeKernel(type, type, 2)

    def forward(self, x: Tensor) -> Tensor:
        carried = _rotate(x[self.source], self.type, self.turn)
        query = self.query(x[self.target]).view(len(carried), self.heads, -1)
        key = self.key(carried, self.theta, self.radial).view(len(carried), self.heads, -1)
        logits = (query * key).sum(2) / math.sqrt(key.shape[2])
        index = self.target[:, None].expand_as(logits)
        top = logits.detach().new_full((len(x), self.heads), -torch.inf).scatter_reduce(0, index, logits.detach(), "amax")
        raised = (logits - top[self.target]).exp()
        alpha = raised / raised.new_zeros(len(x), self.heads).scatter_add(0, index, raised)[self.target]
        value = self.value(carried, self.theta, self.radial).view(len(carried), self.heads, -1)
        value = (value * (alpha * self.degree[self.target]).unsqueeze(2)).flatten(1)
        return self.mean(value, len(x))


class HermesConv(Published):
    """A kernel of both ends at every edge, a ReLU at 7 samples of the circle, mean; then a linear map of it and the centre."""

    def __init__(self, type: FieldType, graph, radial: nn.Module, samples: int = 7) -> None:
        super().__init__(graph, radial)
        self.type = type
        self.message = EdgeKernel(type + type, type, 2)
        self.update = GaugeLinear(type + type, type)
        angle = torch.arange(samples) * (2 * math.pi / samples)
        waves = [torch.ones(samples) * math.sqrt(0.5), *(f(n * angle) for n in (1, 2) for f in (torch.cos, torch.sin))]
        self.samples = torch.stack(waves, 1) * math.sqrt(2 / samples)

    def forward(self, x: Tensor) -> Tensor:
        carried = _rotate(x[self.source], self.type, self.turn)
        z = self.message(torch.cat([carried, x[self.target]], 1), self.theta, self.radial)
        values = torch.relu(self.samples @ z.view(len(z), 5, -1))
        return self.update(torch.cat([x, self.mean((self.samples.t() @ values).flatten(1), len(x))], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=5, help="of the icosphere")
    parser.add_argument("--rounds", type=int, default=9, help="three are too few on shared machines")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = geometry.icosphere(args.level, rings=2).to_graph().float()
    type = FieldType(SO2, "16x0 + 16x1 + 16x2")
    x = torch.randn(graph.num_nodes, type.dim, requires_grad=True)
    conv = GaugeConv(type, type)
    ours = {
        "GaugeConv": conv,
        "GaugeAttention, 2 heads": GaugeAttention(type, type),
        "GaugeMessagePassing, messages of 8 copies (default)": GaugeMessagePassing(type, type),
        "GaugeMessagePassing, messages of 16 copies": GaugeMessagePassing(type, type, message_type=type),
    }
    plain = {"EMAN in plain torch, 2 heads": EmanConv(type, graph, conv.radial, 2)}
    plain["Hermes in plain torch"] = HermesConv(type, graph, conv.radial)
    steps = {name: lambda net=net: net(x, graph).square().sum().backward() for name, net in ours.items()}
    steps |= {name: lambda net=net: net(x).square().sum().backward() for name, net in plain.items()}
    seconds = interleaved(steps, args.rounds, time.process_time)
    published = {name: plain_name for name in ours for plain_name in plain if _answers(name, plain_name)}
    lines = ["| layer | ms | over GaugeConv | published over ours | MB |", "|---|---|---|---|---|"]
    for name, step in steps.items():
        t = seconds[name]
        faster = f"{seconds[published[name]] / t:.1f}" if name in published else ""
        lines.append(f"| {name} | {1e3 * t:.0f} | {t / seconds['GaugeConv']:.2f} | {faster} | {peak_bytes(step) / 1e6:.0f} |")
    title = [
        "# Attention and message passing",
        "",
        f"`python benchmarks/attention.py`, {machine()}. {graph.num_nodes:,} vertices, {graph.num_edges:,} edges,",
        f"{type} to the same, forward + backward, float32, one thread; milliseconds of processor time, medians of interleaved",
        "rounds, and what the process grows by in a step. Other programs ran on the machine at the time, which slows most what",
        "leaves the cache.",
    ]
    OUT.write_text("\n".join([*title, "", *lines, ""]))
    print("\n".join(lines))


def _answers(ours: str, plain: str) -> bool:
    return (ours.startswith("GaugeAttention") and plain.startswith("EMAN")) or (
        ours.startswith("GaugeMessage") and plain.startswith("Hermes")
    )


if __name__ == "__main__":
    main()
