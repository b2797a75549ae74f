"""Planar networks beside escnn's, in one run: training step, single layer, expansion of the filters, building, importing.

    python -m benchmarks.planar                     # benchmarks/results/planar.md and planar.json
    python -m benchmarks.planar --sections build    # one table alone

Networks of the same layers, fields and widths (planar_networks.py), and with gaugenet's band-limited kernels of as many
weights. Steps are medians of the processor time of one thread, in turn (measure.interleaved), so that their ratios hold on a
busy machine too; building and importing are medians over fresh processes, in turn. Without escnn gaugenet alone is measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from time import process_time

import torch
from torch import Tensor

from .baselines import has_escnn, lie_learn_loads
from .measure import interleaved, machine
from .planar_networks import CASES, Case, OurNetwork, TheirNetwork, expanded, number_of_weights, train_step

ROOT = Path(__file__).resolve().parents[1]
# The widths of the C_8 network of escnn's tutorial, and one layer more; its first kernel has 7 x 7 pixels.
WIDTHS, FIRST = [24, 48, 48, 96, 96, 64, 64], 7


def build_networks(case: Case, theirs: bool) -> dict[str, torch.nn.Module]:
    networks = {"gaugenet": OurNetwork(case)}
    if theirs and case.basis == "band_limited":
        networks["escnn"] = TheirNetwork(case)
    return networks


def expansion_step(network: torch.nn.Module) -> Callable[[], None]:
    """The expansion of the filters of all layers, forward and backward to the weights."""
    layers = network.convolutions()
    cotangents = [torch.randn_like(expanded(layer).detach()) for layer in layers]

    def run() -> None:
        for layer, cotangent in zip(layers, cotangents):
            expanded(layer).backward(cotangent)

    return run


def training(batches: list[int], size: int, rounds: int, theirs: bool) -> list[dict]:
    """Forward, loss, backward and Adam; and how much of it the expansion of the filters takes, timed by itself."""
    rows = []
    for batch in batches:
        images, labels = torch.randn(batch, 1, size, size), torch.randint(10, (batch,))
        for case in CASES:
            networks = build_networks(case, theirs)
            steps = {name: train_step(network, images, labels) for name, network in networks.items()}
            steps |= {f"{name} expansion": expansion_step(network) for name, network in networks.items()}
            seconds = interleaved(steps, rounds, process_time)
            row = {"network": case.name, "batch": batch}
            row |= {f"{name} weights": number_of_weights(network) for name, network in networks.items()}
            row |= _compared(seconds, networks)
            row |= {f"{name} expansion": seconds[f"{name} expansion"] / seconds[name] for name in networks}
            rows.append(_shown(row))
    return rows


def layer(batches: list[int], size: int, rounds: int, theirs: bool) -> list[dict]:
    """One convolution between hidden fields: forward, and backward to features and weights.

    Features lie in memory as the layers of each library hand them on: channels last in gaugenet, channels first in escnn.
    """
    rows = []
    for batch in batches:
        for case in CASES:
            if case.nonlinearity == "gated":
                continue
            convolutions = {name: network.convolutions()[1] for name, network in build_networks(case, theirs).items()}
            steps = {name: layer_step(conv, batch, size) for name, conv in convolutions.items()}
            row = {"layer": case.name.removesuffix(", norm"), "batch": batch}
            rows.append(_shown(row | _compared(interleaved(steps, rounds, process_time), convolutions)))
    return rows


def layer_step(conv: torch.nn.Module, batch: int, size: int) -> Callable[[], None]:
    if hasattr(conv, "expansion"):
        x = torch.randn(batch, conv.in_type.dim, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()
        forward = conv
    else:
        x = torch.randn(batch, conv.in_type.size, size, size, requires_grad=True)

        def forward(y: Tensor) -> Tensor:
            return conv(conv.in_type(y)).tensor

    inputs, cotangent = [x, *conv.parameters()], torch.randn_like(forward(x))

    def run() -> None:
        torch.autograd.grad(forward(x), inputs, cotangent)

    return run


_PREPARE = """
import time, warnings, torch, torch_geometric
warnings.simplefilter("ignore")
torch.set_num_threads(1)
"""
_BUILD = {
    "gaugenet": "import gaugenet.nn\nfrom benchmarks.planar_networks import CASES, our_layers as layers\n",
    "escnn": "from benchmarks.baselines import has_escnn\nhas_escnn()\nimport escnn.nn\n"
    "from benchmarks.planar_networks import CASES, their_layers as layers\n",
}
_IMPORT = {
    "gaugenet": "start = time.perf_counter()\nimport gaugenet.nn, gaugenet.models\n",
    "escnn": "from benchmarks.baselines import stub_lie_learn\nstub_lie_learn()\n"
    "start = time.perf_counter()\nimport escnn.gspaces, escnn.nn\n",
}


def build(repeats: int, theirs: bool) -> list[dict]:
    """Seconds to build seven layers over C_8 (convolution, norm, ReLU) in a fresh process, after its imports."""
    case = next(case for case in CASES if case.group == "C" and case.order == 8)
    timed = (
        f"start = time.perf_counter()\nmade = layers(CASES[{CASES.index(case)}], {WIDTHS}, None, {FIRST})\n"
        "print(time.perf_counter() - start, sum(p.numel() for layer in made for p in layer.parameters()))\n"
    )
    seconds, weights = _processes({name: _PREPARE + code + timed for name, code in _BUILD.items()}, repeats, theirs)
    row = {"network": f"{case.name}, {len(WIDTHS)} layers", **{f"{name} weights": int(n) for name, n in weights.items()}}
    return [_shown(row | _seconds(seconds))]


def imports(repeats: int, theirs: bool) -> list[dict]:
    """Seconds of the import in a fresh process that has torch and torch_geometric already."""
    codes = {name: _PREPARE + code + "print(time.perf_counter() - start, 0)\n" for name, code in _IMPORT.items()}
    return [_shown({"import": "beyond torch and torch_geometric"} | _seconds(_processes(codes, repeats, theirs)[0]))]


def _processes(codes: dict[str, str], repeats: int, theirs: bool) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The two numbers that fresh processes print: all of the first, the last of the second. One run warms the disk."""
    names = [name for name in codes if theirs or name != "escnn"]
    first: dict[str, list[float]] = {name: [] for name in names}
    second = {}
    for number in range(repeats + 1):
        for name in names:
            run = subprocess.run([sys.executable, "-c", codes[name]], capture_output=True, text=True, check=True, cwd=ROOT)
            seconds, second[name] = map(float, run.stdout.split()[-2:])
            if number:
                first[name].append(seconds)
    return first, second


def _seconds(measured: dict[str, list[float]]) -> dict[str, float]:
    return {f"{name} s": statistics.median(values) for name, values in measured.items()}


def _compared(seconds: dict[str, float], names) -> dict[str, float]:
    row = {f"{name} ms": 1e3 * seconds[name] for name in names}
    return row | ({"gaugenet / escnn": seconds["gaugenet"] / seconds["escnn"]} if "escnn" in names else {})


def _shown(row: dict) -> dict:
    print("  ".join(f"{key} {_cell(key, value)}" for key, value in row.items()), flush=True)
    return row


def _cell(key: str, value) -> str:
    if value is None:
        return ""
    if key.endswith("expansion"):
        return f"{100 * value:.1f} %"
    return f"{value:.1f}" if key.endswith(" ms") else f"{value:.2f}" if isinstance(value, float) else str(value)


def table(rows: list[dict]) -> list[str]:
    keys = sorted({key: None for row in rows for key in row}, key=_column)
    cells = [[_cell(key, row.get(key)) for key in keys] for row in rows]
    return ["| " + " | ".join(keys) + " |", "|" + "---|" * len(keys), *("| " + " | ".join(c) + " |" for c in cells)]


def _column(key: str) -> int:
    order = ("network", "layer", "import", "batch", "weights", " ms", " s", "gaugenet / escnn", "expansion")
    return next(place for place, part in enumerate(order) if part in key)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = ("training", "layer", "build", "imports")
    parser.add_argument("--sections", nargs="+", choices=sections, default=sections)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--size", type=int, default=28, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "planar.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # escnn's, of functions that numpy and torch will drop
    theirs = has_escnn()
    timed, fresh = (options.batches, options.size, options.rounds, theirs), (options.repeats, theirs)
    made = {
        "training": ("Training step", training, timed),
        "layer": ("One convolution", layer, timed),
        "build": ("Building", build, fresh),
        "imports": ("Importing", imports, fresh),
    }
    lie_learn = "" if lie_learn_loads() else ", lie_learn stubbed"
    beside = f"escnn {metadata.version('escnn')}{lie_learn}" if theirs else "without escnn"
    command = " ".join(["python -m benchmarks.planar", *sys.argv[1:]])
    lines = ["# Planar networks beside escnn", "", f"`{command}`, {machine()}, one thread, {beside}.", ""]
    data: dict = {"command": command, "machine": machine(), "beside": beside}
    for section in options.sections:
        title, measure, arguments = made[section]
        data[section] = measure(*arguments)
        lines += [f"## {title}", "", " ".join(measure.__doc__.split()), "", *table(data[section]), ""]
        options.out.write_text("\n".join(lines), encoding="utf-8")
        options.out.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
