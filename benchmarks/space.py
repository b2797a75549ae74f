"""A steerable layer over SO(3) in space, where all transporters are the identity, beside e3nn's tensor product.

    python benchmarks/space.py            # one thread, processor time; needs e3nn for its rows

Both act on the same edges: orders 0..2 with C copies each, forward + backward to features and weights. e3nn has the usual
message: a tensor product with the spherical harmonics of the edge (paths "uvu", a weight for every path and copy, of the same
number of radial functions through a linear map), summed over the neighbours, then its Linear. Ours mixes the copies in the
kernel itself, so it has more weights. "learnt": the radial functions are hidden units of a network of the distance, the same
for both, whose gradients belong to the step (tensor field networks). Memory is the growth of the process in a step. Writes
benchmarks/results/space.md.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import interleaved, machine, peak_bytes
from torch import nn

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.data import GaugeGraph
from gaugenet.nn import GaugeConv

NODES, DEGREE, CHANNELS, ORDER = 2_000, 16, (8, 32), 2
RADIAL = (1, 2, 4, 4)  # the last one learnt
Layer = Callable[[torch.Tensor], torch.Tensor]


def cloud() -> GaugeGraph:
    """Points of a normal distribution, each with its nearest neighbours, in one frame."""
    points = torch.randn(NODES, 3, generator=torch.Generator().manual_seed(0))
    return geometry.points(points.numpy(), neighbours=DEGREE).to_graph(torch.float32)


def profile(radial: int, learnt: bool) -> int | nn.Module:
    return kernels.RadialMLP(radial, 32, 8) if learnt else radial


def ours(graph: GaugeGraph, channels: int, radial: int, learnt: bool, backend: str) -> Layer:
    type = FieldType(groups.SO3(), " + ".join(f"{channels}x{order}" for order in range(ORDER + 1)))
    conv = GaugeConv(type, type, kernel=kernels.Polar(profile(radial, learnt), quadrature=None), backend=backend)
    return lambda x: conv(x, graph)


def e3nn(graph: GaugeGraph, channels: int, radial: int, learnt: bool) -> Layer | None:
    """The convolution of e3nn's own examples."""
    if importlib.util.find_spec("e3nn") is None:
        return None
    from e3nn import o3

    irreps = o3.Irreps(" + ".join(f"{channels}x{order}e" for order in range(ORDER + 1)))
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
    weights = nn.Linear(radial, product.weight_numel, bias=False)
    source, target = graph.edge_index
    functions = kernels.make_radial(profile(radial, learnt))
    with torch.no_grad():  # as our table: made once
        angular = o3.spherical_harmonics(harmonics, graph.log, normalize=True)
        distance = graph.log.norm(dim=1) / graph.radius[target]
        fixed = functions(distance)

    def layer(x: torch.Tensor) -> torch.Tensor:
        messages = product(x[source], angular, weights(functions(distance) if learnt else fixed))
        return linear(x.new_zeros(NODES, messages.shape[1]).index_add(0, target, messages))

    return layer


def step(layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        x.grad = None
        layer(x).square().sum().backward()

    return run


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    graph = cloud()
    lines = [
        machine(),
        "",
        f"{NODES:,} points, {graph.edge_index.shape[1]:,} edges, orders 0..{ORDER}, forward + backward, ms of processor time",
        "on one thread, medians of interleaved rounds, and MB that the process grows by in a step.",
        "",
        "| copies | radial functions | fused | plain torch | e3nn uvu + Linear | e3nn over fused | MB fused | MB e3nn |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for channels in CHANNELS:
        x = torch.randn(NODES, channels * (ORDER + 1) ** 2, requires_grad=True)
        for row, radial in enumerate(RADIAL):
            case = graph, channels, radial, row == len(RADIAL) - 1
            layers = {"fused": ours(*case, "auto"), "plain": ours(*case, "reference"), "e3nn": e3nn(*case)}
            steps = {name: step(layer, x) for name, layer in layers.items() if layer is not None}
            times = interleaved(steps, 3, time.process_time)
            memory = {name: peak_bytes(run) / 1e6 for name, run in steps.items()}
            fused, plain, other = (1e3 * times.get(name, float("nan")) for name in ("fused", "plain", "e3nn"))
            what = f"| {channels} | {radial}{', learnt' if case[3] else ''} | {fused:.1f} | {plain:.0f} | {other:.0f} "
            sizes = f"| {memory['fused']:.0f} | {memory.get('e3nn', float('nan')):.0f} |"
            lines.append(f"{what}| {other / fused:.1f} {sizes}")
            print(lines[-1], flush=True)
    (Path(__file__).parent / "results" / "space.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
