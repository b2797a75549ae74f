"""``gaugenet inspect``"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from . import EXIT_FAILED, EXIT_OK, describe, fail


def run(arguments: argparse.Namespace) -> int:
    """Print the report of a mesh or a record; status 1 when it cannot be used as it is."""
    from ..errors import GaugenetError, MeshError

    try:
        facts, text, ok = _record(arguments.file) if Path(arguments.file).suffix == ".safetensors" else _mesh(arguments.file)
    except (GaugenetError, OSError) as error:
        if arguments.json:
            kind, ids = (error.kind, error.ids[:8]) if isinstance(error, MeshError) else (type(error).__name__, [])
            problem = {"kind": kind, "message": getattr(error, "message", describe(error)), "ids": ids}
            print(json.dumps({"path": arguments.file, "ok": False, "error": problem}))
        return fail(describe(error))
    print(json.dumps(facts) if arguments.json else text)
    return EXIT_OK if ok else EXIT_FAILED


def _mesh(path: str) -> tuple[dict, str, bool]:
    from ..geometry import inspect_mesh

    report = inspect_mesh(path)
    return report.to_dict(), str(report), report.ok


def _record(path: str) -> tuple[dict, str, bool]:
    from ..io.records import load_record, read_record_header

    geometry = load_record(path)
    header = read_record_header(path)
    levels = [
        {
            "nodes": part.num_nodes,
            "edges": part.num_edges,
            "mean_degree": part.num_edges / part.num_nodes,
            "mean_radius": float(part.radius.mean(dtype="float64")),
            "features": {name: feature.type for name, feature in part.features.items()},
        }
        for part in geometry.levels()
    ]
    facts = {
        "path": path,
        "ok": True,
        **{name: header.get(name) for name in ("schema", "version", "sha256", "parameters")},
        "structure": geometry.structure,
        "source": geometry.metadata.get("source"),
        "scale": geometry.metadata.get("scale"),
        "warnings": geometry.metadata.get("warnings", []),
        "levels": levels,
    }
    lines = [f"{path}: record of {facts['source'] or 'a geometry'}"]
    shown = ("schema", "version", "sha256", "parameters", "structure", "scale")
    lines += [f"  {name}: {facts[name]}" for name in shown if facts[name]]
    for number, level in enumerate(levels):
        degree, radius = f"{level['mean_degree']:.1f}", f"{level['mean_radius']:.6g}"
        lines.append(f"  level {number}: {level['nodes']} nodes, {level['edges']} edges, mean degree {degree}, radius {radius}")
        lines += [f"    {name}: {kind}" for name, kind in level["features"].items()]
    return facts, "\n".join(lines), True
