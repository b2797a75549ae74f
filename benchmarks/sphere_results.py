"""Write the tables of docs/sphere_results.md from the results of the examples.

    python benchmarks/sphere_results.py [DIGITS_OUT WIND_OUT]

Folders given are those of --out of examples/spherical_digits.py and examples/wind.py; their results.json are copied to
benchmarks/results first.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.common import cell

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "sphere_results.md"
EXAMPLES = ("spherical_digits", "wind")


def example(name: str):
    """The module of an example."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def insert(text: str, name: str, table: str) -> str:
    """The text with what is between the marks of that name replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{DOCUMENT.name} has no marks <!-- {name} --> ... <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)


def short(results: dict) -> str:
    """Of the shallow water the errors of the wind; the whole table is beside its results."""

    def errors(name: str, key: str, which: str = "errors") -> list[float]:
        """Means over the fields, of each seed."""
        return [float(np.mean(run[which][key])) for run in results["runs"] if run["model"] == name]

    lines = ["| network | parameters | 1 h | 12 h | 1 h, turned | change | CPU minutes |", "|---" * 7 + "|"]
    for name in sorted({run["model"] for run in results["runs"]}, key=lambda name: np.mean(errors(name, "wind 1 h"))):
        own = [run for run in results["runs"] if run["model"] == name]
        cells = [name, str(own[0]["parameters"]), *(cell(errors(name, f"wind {hours} h"), ".3g") for hours in (1, 12))]
        cells.append(f"{np.mean(errors(name, 'wind 1 h', 'errors, turned')):.3g}")
        change, minutes = (np.mean([run[key] for run in own]) for key in ("change under rotations", "minutes"))
        lines.append(f"| {' | '.join([*cells, f'{change:.2g}', f'{minutes:.1f}'])} |")
    return "\n".join([*lines, "", f"{results['machine']}."])


def main() -> None:
    for name, folder in zip(EXAMPLES, sys.argv[1:]):
        shutil.copyfile(Path(folder) / "results.json", RESULTS / f"{name}.json")
    text = DOCUMENT.read_text()
    for name in EXAMPLES:
        runs = json.loads((RESULTS / f"{name}.json").read_text())["runs"]
        dates = "; ".join(sorted({run["machine"] for run in runs}))
        seconds = sum(run.get("seconds", 0) for run in runs) / 60
        table = f"{example(name).table(runs)}\n\n{dates}; {seconds:.0f} minutes in all."
        text = insert(text, name, table)
    text = insert(text, "shallow_water", short(json.loads((RESULTS / "shallow_water.json").read_text())))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
