"""Write the tables of the documentation from the committed results.

    python -m benchmarks.pages             # every page of docs/ with marks
    python -m benchmarks.pages --check     # changes nothing; exit status 1 and the pages that are behind

A page says ``<!-- table NAME -->``, and what follows up to ``<!-- end -->`` is replaced: by what TABLES makes, or else by the
text of benchmarks/results/NAME.md below its title, which names the command, the machine and the date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import spherical_digits, wind
from examples.common import by_model, cell, minutes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MARKS = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def results(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def on_sphere(name: str, table: Callable[[list[dict]], str]) -> str:
    """The runs of an example on the sphere, and when and where they were made."""
    runs = results(name)["runs"]
    dates = "; ".join(sorted({run["machine"] for run in runs}))
    return f"{table(runs)}\n\n{dates}; {sum(run.get('seconds', 0) for run in runs) / 60:.0f} minutes in all."


def shallow_water() -> str:
    """The errors of the wind; the whole table is beside its results."""
    found = results("shallow_water")

    def errors(own: list[dict], key: str, which: str = "errors") -> list[float]:
        """Means over the fields, of each seed."""
        return [float(np.mean(run[which][key])) for run in own]

    def first(name: str) -> float:
        return float(np.mean(errors([run for run in found["runs"] if run["model"] == name], "wind 1 h")))

    columns = {
        "1 h": lambda own: cell(errors(own, "wind 1 h"), ".3g"),
        "12 h": lambda own: cell(errors(own, "wind 12 h"), ".3g"),
        "1 h, turned": lambda own: f"{np.mean(errors(own, 'wind 1 h', 'errors, turned')):.3g}",
        "change": lambda own: f"{np.mean([run['change under rotations'] for run in own]):.2g}",
        "CPU minutes": minutes,
    }
    lines = by_model(found["runs"], sorted({run["model"] for run in found["runs"]}, key=first), columns)
    return "\n".join([*lines, "", f"{found['machine']}."])


def classification() -> str:
    """Accuracies of examples/shape_classification.py on its three data sets: mean of the splits, and each."""
    sets = {"embedded": "embedded, 12 classes", "shrec11": "SHREC'11, 30 classes", "princeton": "Princeton, 19 classes"}
    found = {title: results(f"classification_{name}") for name, title in sets.items()}
    models = {
        "gauge": "gauge equivariant, orders 0..2",
        "isotropic": "the same with order 0 only (isotropic)",
        "pointwise": "no convolution: pointwise perceptron, mean, perceptron",
        "learning-free": "no learning: 1-NN on 20 Laplacian eigenvalues",
    }
    lines = [f"| test accuracy in % (of the splits) | {' | '.join(found)} |", "|---" * (1 + len(found)) + "|"]
    for model, title in models.items():
        cells = []
        for data in found.values():
            each = [split["models"][model]["accuracy"] for split in data["splits"]]
            cells.append(f"{np.mean(each):.1f} ({', '.join(f'{value:.1f}' for value in each)})")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    largest = [max(s["models"]["gauge"]["equivariance_error"] for s in data["splits"]) for data in found.values()]
    lines.append(f"| gauge-equivariance error of the trained net, float32 | {' | '.join(f'{e:.1e}' for e in largest)} |")
    machines = "; ".join(dict.fromkeys(data["machine"] for data in found.values()))
    return "\n".join([*lines, "", f"{machines}."])


TABLES: dict[str, Callable[[], str]] = {
    "spherical_digits": lambda: on_sphere("spherical_digits", spherical_digits.table),
    "wind": lambda: on_sphere("wind", wind.table),
    "shallow_water": shallow_water,
    "classification": classification,
}


def below_title(name: str) -> str:
    """The text of a result without its title; its sections in bold, since the page has headings of its own."""
    file = RESULTS / f"{name}.md"
    if not file.is_file():
        raise SystemExit(f"a page asks for table {name}: there is no {file.name} in benchmarks/results, nor is it in TABLES")
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"\A# .*\n", "", text).strip()
    return re.sub(r"^## (.*)$", r"**\1**", text, flags=re.MULTILINE)


def filled(text: str) -> str:
    """The text of a page with its tables as they are now."""

    def fill(match: re.Match) -> str:
        name = match[2]
        return f"{match[1]}\n{TABLES[name]() if name in TABLES else below_title(name)}\n\n{match[3]}"

    return MARKS.sub(fill, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing, say which pages are behind")
    args = parser.parse_args()
    behind = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            behind.append(page.relative_to(ROOT))
            if not args.check:
                page.write_text(new, encoding="utf-8")
    print("\n".join(map(str, behind)) or "all pages are up to date")
    if behind and args.check:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
