"""A steerable layer over SO(3) in space, where all transporters are the identity, beside e3nn's tensor product.

    python benchmarks/space.py            # one thread, processor time; needs e3nn for its rows

Both act on the same edges: orders 0..2 with C copies each, forward + backward to features and weights. e3nn has the usual
message: a tensor product with the spherical harmonics of the edge (paths "uvu", a weight for every path and copy, of the same
number of radial functions through a linear map), summed over the neighbours, then its Linear. Ours mixes the copies in the
kernel itself, so it has more weights. Writes benchmarks/results/space.md.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import interleaved, machine

from gaugenet import FieldType, groups
from gaugenet.data import GaugeGraph
from gaugenet.nn import GaugeConv

NODES, DEGREE, CHANNELS, ORDER = 2_000, 16, 8, 2


def cloud() -> GaugeGraph:
    """Points of a normal distribution, each with its nearest neighbours, in one frame."""
    torch.manual_seed(0)
    points = torch.randn(NODES, 3)
    source = torch.cdist(points, points).topk(DEGREE + 1, largest=False).indices[:, 1:].flatten()
    target = torch.arange(NODES).repeat_interleave(DEGREE)
    log = points[source] - points[target]
    return GaugeGraph(
        edge_index=torch.stack([source, target]),
        log=log,
        transport=torch.eye(3).expand(len(log), 3, 3).contiguous(),
        weight=torch.full((len(log),), 1 / DEGREE),
        radius=torch.full((NODES,), float(log.norm(dim=1).max())),
        area=torch.ones(NODES),
        num_nodes=NODES,
    )


def ours(graph: GaugeGraph, radial: int, backend: str) -> Callable[[torch.Tensor], torch.Tensor]:
    type = FieldType(groups.SO3(), " + ".join(f"{CHANNELS}x{order}" for order in range(ORDER + 1)))
    conv = GaugeConv(type, type, radial=radial, quadrature=None, backend=backend)
    return lambda x: conv(x, graph)


def e3nn(graph: GaugeGraph, radial: int) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The convolution of e3nn's own examples."""
    if importlib.util.find_spec("e3nn") is None:
        return None
    from e3nn import o3

    irreps = o3.Irreps(" + ".join(f"{CHANNELS}x{order}e" for order in range(ORDER + 1)))
    harmonics = o3.Irreps(" + ".join(f"1x{order}e" for order in range(2 * ORDER + 1)))
    middle, paths = [], []
    for i, (mul, a) in enumerate(irreps):
        for j, (_, b) in enumerate(harmonics):
            for c in a * b:
                if c in irreps:
                    paths.append((i, j, len(middle), "uvu", True))
                    middle.append((mul, c))
    product = o3.TensorProduct(irreps, harmonics, o3.Irreps(middle), paths, shared_weights=False, internal_weights=False)
    linear = o3.Linear(o3.Irreps(middle), irreps)
    weights = torch.nn.Linear(radial, product.weight_numel, bias=False)
    with torch.no_grad():  # as our table: made once
        angular = o3.spherical_harmonics(harmonics, graph.log, normalize=True)
        profile = graph.log.norm(dim=1, keepdim=True) / graph.radius.max() * torch.arange(1, radial + 1)
    source, target = graph.edge_index

    def layer(x: torch.Tensor) -> torch.Tensor:
        messages = product(x[source], angular, weights(profile.cos()))
        return linear(x.new_zeros(NODES, messages.shape[1]).index_add(0, target, messages))

    return layer


def step(layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        x.grad = None
        layer(x).square().sum().backward()

    return run


def main() -> None:
    torch.set_num_threads(1)
    graph = cloud()
    x = torch.randn(NODES, CHANNELS * (ORDER + 1) ** 2, requires_grad=True)
    lines = [
        machine(),
        "",
        f"{NODES:,} points, {NODES * DEGREE:,} edges, orders 0..{ORDER} with {CHANNELS} copies, forward + backward, ms of",
        "processor time on one thread, medians of interleaved rounds.",
        "",
        "| radial functions | fused | plain torch | e3nn uvu + Linear | e3nn over fused |",
        "|---|---|---|---|---|",
    ]
    for radial in (1, 2, 4):
        layers = {"fused": ours(graph, radial, "auto"), "plain": ours(graph, radial, "reference"), "e3nn": e3nn(graph, radial)}
        times = interleaved({k: step(f, x) for k, f in layers.items() if f is not None}, 5, time.process_time)
        fused, plain, other = (times.get(name, float("nan")) for name in ("fused", "plain", "e3nn"))
        lines.append(f"| {radial} | {1e3 * fused:.1f} | {1e3 * plain:.0f} | {1e3 * other:.0f} | {other / fused:.1f} |")
        print(lines[-1], flush=True)
    (Path(__file__).parent / "results" / "space.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
