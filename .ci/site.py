"""Hook of mkdocs: the reference, a page for every room; results of benchmarks, examples; 3D views; tutorials as notebooks."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import numpy as np
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# [text](../benchmarks/results/name.md) and [text](../examples/name.py) of the pages of docs/.
LINK = re.compile(r"\]\(\.\./(?:benchmarks/results|(examples))/([\w.]+?)(\.py)?(\.md)?\)")
# [planar.md](planar.md): a file for who reads the sources, a title on the site.
NAMED = re.compile(r"\[[\w./]+\.md\]\((?P<to>[\w./]+\.md)(?P<place>#[\w-]+)?\)")
# A block of Python, and what it prints.
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
ROOMS = {
    "geometry": "Geometry",
    "groups": "Groups",
    "kernels": "Kernels",
    "nn": "Layers",
    "models": "Networks",
    "models.published": "Published weights",
    "data": "Data",
    "learning": "Learning",
    "spectral": "Spectral transforms",
    "testing": "Proofs",
    "metrics": "Metrics",
    "viz": "Pictures",
}


def reference(room: str, title: str) -> str:
    """Every public name under the name that users import, whatever file it lies in."""
    module = importlib.import_module(f"gaugenet.{room}")
    lines = [f"# {title}: `gaugenet.{room}`", "", inspect.getdoc(module) or "", ""]
    for name in getattr(module, "__all__", None) or [n for n in vars(module) if inspect.isfunction(getattr(module, n))]:
        thing = getattr(module, name)
        if name.startswith("_") or getattr(thing, "__module__", module.__name__).partition(".")[0] != "gaugenet":
            continue
        lines += [f"## {name} {{#gaugenet.{room}.{name}}}", ""]
        if inspect.isclass(thing) or inspect.isfunction(thing):
            lines += [f"::: {thing.__module__}.{thing.__qualname__}", ""]
        else:
            lines += [inspect.getdoc(thing) or "" if inspect.ismodule(thing) else "", ""]
    return "\n".join(lines)


def measurements(results: list[Path]) -> str:
    """A page that lists the committed results: the title of each, and how it was made."""
    lines = [
        "# All measurements",
        "",
        "Written by the scripts of `benchmarks/` and `examples/`, and committed as they came out.",
        "",
    ]
    lines += ["| | how it was made |", "|---|---|"]
    for path in results:
        text = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        title = next((line.lstrip("# ") for line in text if line.startswith("#")), path.stem.replace("_", " "))
        made = next((line for line in text if not line.startswith(("|", "#", "-", "!"))), "").replace("|", "/")
        made = made if len(made) < 200 else made[:200].rsplit(" ", 1)[0] + " ..."
        lines.append(f"| [{title}]({path.name}) | {made} |")
    return "\n".join(lines) + "\n"


def notebook(text: str) -> str:
    """A page as a Jupyter notebook: its text, its Python, and what that prints, which the tests have compared."""
    cells: list[dict] = []

    def write(kind: str, source: str, **more) -> None:
        if source.strip():
            cells.append({"cell_type": kind, "metadata": {}, "source": source.strip("\n").splitlines(keepends=True), **more})

    at = 0
    for match in BLOCK.finditer(text):
        write("markdown", text[at : match.start()])
        printed = (match[2] or "").splitlines(keepends=True)
        outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
        write("code", match[1], execution_count=None, outputs=outputs)
        at = match.end()
    write("markdown", text[at:])
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}, indent=1)


def viewers() -> dict[str, str]:
    """Pages that turn, for the gallery."""
    from gaugenet import geometry
    from gaugenet.viz import select_views
    from gaugenet.viz.html import page

    n, m = 48, 24
    u, v = (x.ravel() for x in np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(m) / m, indexing="ij"))
    ring = 1 + 0.4 * np.cos(v)
    at = np.stack([ring * np.cos(u), ring * np.sin(u), 0.4 * np.sin(v)], 1)
    number = np.arange(n * m).reshape(n, m)
    a, b, c, d = (
        k.ravel() for k in (number, np.roll(number, -1, 0), np.roll(number, (-1, -1), (0, 1)), np.roll(number, -1, 1))
    )
    shapes = {
        "hand": geometry.mesh(ROOT / "datasets" / "shapes" / "hand" / "hand_03.ply", rings=4),
        "torus": geometry.mesh(at, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), rings=6),
    }
    return {name: page(select_views(geom, ("log", "frames", "transport", "curvature")), name) for name, geom in shapes.items()}


def on_files(files: Files, config) -> Files:
    for room, title in ROOMS.items():
        files.append(File.generated(config, f"reference/{room}.md", content=reference(room, title)))
    results = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    files.append(File.generated(config, "benchmarks/index.md", content=measurements(results)))
    for name, content in viewers().items():
        files.append(File.generated(config, f"viewers/{name}.html", content=content))
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        content = notebook(path.read_text(encoding="utf-8"))
        files.append(File.generated(config, f"tutorials/{path.stem}.ipynb", content=content))
    for path in results:
        files.append(File.generated(config, f"benchmarks/{path.name}", content=path.read_text(encoding="utf-8")))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.png")):
        files.append(File.generated(config, f"benchmarks/{path.name}", content=path.read_bytes()))
    for path in sorted((ROOT / "examples").glob("*.py")):
        content = f"# {path.stem}\n\n```python\n{path.read_text(encoding='utf-8')}\n```\n"
        files.append(File.generated(config, f"examples/{path.stem}.md", content=content))
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    def to_page(match: re.Match) -> str:
        return f"]({'examples' if match[1] else 'benchmarks'}/{match[2]}.md)"

    def titled(match: re.Match) -> str:
        path = ROOT / "docs" / Path(page.file.src_uri).parent / match["to"]
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        title = next((line[2:] for line in lines if line.startswith("# ")), None)
        return f"[{title}]({match['to']}{match['place'] or ''})" if title else match[0]

    if page.file.src_uri.startswith("tutorials/"):
        title, _, rest = markdown.partition("\n")
        markdown = f"{title}\n\n[This page as a notebook]({Path(page.file.src_uri).stem}.ipynb){{ download }}\n{rest}"
    return LINK.sub(to_page, NAMED.sub(titled, markdown))
