"""Harmonic and field convolutions beside GaugeConv and beside the published forms. Writes benchmarks/results/surface_layers.md.

    python benchmarks/surface_layers.py [--level 5] [--channels 16] [--rounds 2]

Forward and backward pass on an icosphere with 18 neighbours, one thread, float32, processor time (what others take of a busy
machine does not count). The published forms are those of the authors' code in plain torch, message by message: of HSN every
ring, pair of orders and channel of every edge, of FieldConv every ring, frequency and channel of every edge, summed per node
and then mixed. Outputs are compared first: the layers of the library hold the same weights.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.measure import interleaved, machine, peak_bytes
from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.models import published
from gaugenet.nn import CoefficientTable, FieldConv, GaugeConv, HarmonicSurfaceConv, stream_type

OUT = Path(__file__).parent / "results" / "surface_layers.md"
SO2 = groups.SO2()


class PublishedHarmonicConv:
    """HarmonicConv on (V, orders, C, 2): products of complex numbers for every edge, ring and pair of orders."""

    def __init__(self, graph, state: dict, order: int, rings: int) -> None:
        self.ends, self.order, self.rings = graph.edge_index, order, rings
        self.profile, self.phase = (state[name].clone().requires_grad_() for name in ("radial_profile", "phase_offset"))
        hats = kernels.LinearRings(rings, cutoff=False)(graph.log.norm(dim=1) / graph.radius[self.ends[1]])
        theta = torch.atan2(graph.log[:, 1], graph.log[:, 0])[:, None] * torch.arange(order + 1)
        waves = torch.stack([theta.cos(), theta.sin()], -1)
        self.precomp = (hats * graph.weight[:, None])[:, None, :, None] * waves[:, :, None]  # (E, m, rings, 2)
        self.connection = graph.transport[:, :, 0]  # (E, 2)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        source, target = self.ends
        pairs, result = self.order + 1, [0] * (self.order + 1)
        for n in range(pairs):
            a, b = x[source, n, :, 0], x[source, n, :, 1]
            if n:
                c, s = self.connection[:, :1], self.connection[:, 1:]
                a, b = a * c - b * s, a * s + b * c
            for m in range(pairs):
                p = self.precomp[:, abs(m - n)]
                cos, sin = p[:, :, 0, None], (1 if m > n else -1 if m < n else 0) * p[:, :, 1, None]
                message = torch.stack([a[:, None] * cos - b[:, None] * sin, a[:, None] * sin + b[:, None] * cos], -1)
                summed = message.new_zeros(len(x), *message.shape[1:]).index_add(0, target, message)  # (V, rings, C, 2)
                k = n * pairs + m
                mixed = (self.profile[k][..., None] * summed[:, :, None]).sum(1)  # (V, out, in, 2)
                cos, sin = self.phase[k].cos(), self.phase[k].sin()
                real, imaginary = mixed[..., 0] * cos - mixed[..., 1] * sin, mixed[..., 0] * sin + mixed[..., 1] * cos
                result[m] = result[m] + torch.stack([real.sum(-1), imaginary.sum(-1)], -1)
        return torch.stack(result, 1)


class PublishedFieldConv:
    """FieldConv on (V, C) complex: every edge, channel, ring and frequency."""

    def __init__(self, graph, state: dict, frequency: int, rings: int) -> None:
        self.ends, self.frequencies = graph.edge_index, torch.arange(-frequency, frequency + 1)
        self.state = {name: value.clone().requires_grad_() for name, value in state.items()}
        profile = kernels.LinearRings(rings, equal_area=True, cutoff=False)
        back = -torch.einsum("eba,eb->ea", graph.transport, graph.log)
        theta = torch.atan2(back[:, 1], back[:, 0])
        radial = profile(graph.log.norm(dim=1) / graph.radius[self.ends[1]]) * graph.weight[:, None]
        along = torch.complex(graph.transport[:, 0, 0], graph.transport[:, 1, 0])[:, None]
        self.stencil = (radial * along)[:, :, None] * torch.exp(1j * self.frequencies * theta[:, None])[:, None]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        source, target = self.ends
        phase = -self.frequencies * x.angle()[..., None]
        turned = x[..., None] * torch.polar(torch.ones_like(phase), phase)
        message = turned[source][:, :, None] * self.stencil[:, None]  # (E, C, rings, 2 B + 1)
        summed = message.new_zeros(len(x), *message.shape[1:]).index_add(0, target, message)
        spherical = torch.view_as_complex(self.state["spherical"])
        coefficients = torch.cat([spherical.conj(), self.state["zonal"][..., None] + 0j, spherical], 3)
        phases = self.state["phase"][..., self.frequencies.abs()]
        weighted = (summed[:, None] * coefficients).sum(3) * torch.polar(torch.ones_like(phases), phases)
        return weighted.sum((2, 3)) / len(self.frequencies)


def pass_of(layer: Callable, x: torch.Tensor) -> Callable[[], None]:
    """Forward and backward, to the input and the weights."""

    def run() -> None:
        x.grad = None
        out = layer(x)
        (torch.view_as_real(out) if out.is_complex() else out).square().mean().backward()

    return run


def compare(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    error = float((ours - theirs).norm() / theirs.norm())
    assert error < 1e-5, error


def without_centre(conv: GaugeConv, graph) -> object:
    """The plan in which nothing comes from the centre, as in graphs without self-loops."""
    table = conv.table(graph)
    return conv.plan(graph, CoefficientTable(table.edge, torch.zeros_like(table.node)))


def harmonic(graph, channels: int, rings: int) -> dict[str, Callable[[], None]]:
    shape = (4, rings, channels, channels)
    state = {"radial_profile": torch.randn(shape) / (rings * channels) ** 0.5, "phase_offset": torch.rand(shape[0], *shape[2:])}
    read, reference = published.harmonic_conv(state, 1, 1), PublishedHarmonicConv(graph, state, 1, rings)
    z = torch.randn(graph.num_nodes, 2, channels, 2)
    with torch.no_grad():
        x = z.transpose(2, 3).flatten(1)
        compare(read(x, graph, without_centre(read, graph)), reference(z).transpose(2, 3).flatten(1))
    type = stream_type(channels, 1)
    layers = {
        "HarmonicSurfaceConv": HarmonicSurfaceConv(type, type, rings),
        "GaugeConv": GaugeConv(type, type, kernel=kernels.Polar(kernels.LinearRings(rings, cutoff=False))),
    }
    runs = {name: pass_of(partial(layer, graph=graph), x.clone().requires_grad_()) for name, layer in layers.items()}
    return {**runs, "published form": pass_of(reference, z.requires_grad_())}


def field(graph, channels: int, rings: int, frequency: int) -> dict[str, Callable[[], None]]:
    state = {
        "zonal": torch.randn(channels, channels, rings),
        "spherical": torch.randn(channels, channels, rings, frequency, 2),
        "phase": torch.rand(channels, channels, frequency + 1),
    }
    read, reference = published.field_conv(state), PublishedFieldConv(graph, state, frequency, rings)
    x = torch.randn(graph.num_nodes, 2 * channels)
    z = torch.complex(*x.view(-1, 2, channels).unbind(1))
    with torch.no_grad():
        out = reference(z)
        compare(read(x, graph, without_centre(read.conv, graph)), torch.cat([out.real, out.imag], 1))
    type = FieldType(SO2, f"{channels}x1")
    radial = kernels.LinearRings(rings, equal_area=True, cutoff=False)
    layers = {
        "FieldConv": FieldConv(type, type, radial, frequency),
        "GaugeConv": GaugeConv(type, type, kernel=kernels.Polar(radial)),
    }
    runs = {name: pass_of(partial(layer, graph=graph), x.clone().requires_grad_()) for name, layer in layers.items()}
    return {**runs, "published form": pass_of(reference, z.requires_grad_())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    graph = geometry.icosphere(args.level, rings=2).to_graph(torch.float32)
    cases = [
        ("harmonic, orders 0 and 1, 2 rings", partial(harmonic, rings=2)),
        ("harmonic, orders 0 and 1, 6 rings", partial(harmonic, rings=6)),
        ("field, frequency 1, 2 rings", partial(field, rings=2, frequency=1)),
        ("field, frequency 1, 6 rings", partial(field, rings=6, frequency=1)),
    ]
    head = ["case", "layer, ms", "GaugeConv, ms", "over it", "published form, ms", "faster", "MB, layer", "MB, published"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, make in cases:
        runs = make(graph, args.channels)
        seconds = interleaved(runs, args.rounds, time.process_time)
        layer, conv, form = seconds.values()
        own, _, other = (peak_bytes(run) / 2**20 for run in runs.values())
        times = f"{1e3 * layer:.1f} | {1e3 * conv:.1f} | {layer / conv:.2f} | {1e3 * form:.0f} | {form / layer:.1f} times"
        lines.append(f"| {name} | {times} | {own:.0f} | {other:.0f} |")
        print(lines[-1], flush=True)
    degree = graph.num_edges / graph.num_nodes
    text = (
        f"`python benchmarks/surface_layers.py`, {machine()}, one thread, load {os.getloadavg()[0]:.1f}. Forward and backward "
        f"pass, float32, {graph.num_nodes} vertices, {degree:.1f} neighbours, {args.channels} channels (harmonic: complex ones "
        "of each order), median of processor times; peak memory above what was there before."
    )
    title = ["# Harmonic and field convolutions", "", text]
    OUT.write_text("\n".join([*title, "", *lines, ""]))


if __name__ == "__main__":
    main()
