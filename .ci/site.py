"""Hook of mkdocs: the reference, a page for every room, and pages of the committed benchmark results and of the examples."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# [text](../benchmarks/results/name.md) and [text](../examples/name.py) of the pages of docs/.
LINK = re.compile(r"\]\(\.\./(?:benchmarks/results|(examples))/([\w.]+?)(\.py)?(\.md)?\)")
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


def on_files(files: Files, config) -> Files:
    for room, title in ROOMS.items():
        files.append(File.generated(config, f"reference/{room}.md", content=reference(room, title)))
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
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

    return LINK.sub(to_page, markdown)
