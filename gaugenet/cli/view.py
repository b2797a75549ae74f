"""``gaugenet view``"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from . import EXIT_OK, UsageError

if TYPE_CHECKING:
    import numpy as np

    from ..geometry import LocalGeometry

_EXTENSIONS = (".png", ".html")
_LEVELS = 2


def run(arguments: argparse.Namespace) -> int:
    """Write a picture or a page of a mesh or a record."""
    output = Path(arguments.output)
    if output.suffix.lower() not in _EXTENSIONS:
        raise UsageError(f"the output must end in {' or '.join(_EXTENSIONS)}, got {arguments.output!r}")
    show = _names(arguments.show)
    for name, view in (("field", "field"), ("path", "transport")):
        if getattr(arguments, name) is not None and show is not None and view not in show:
            raise UsageError(f"--{name} needs {view!r} among the views of --show")
    path = None if arguments.path is None else [int(v) for v in _list(arguments.path, int, "--path")]
    up, direction = _vector("--up", arguments.up), _vector("--direction", arguments.direction)
    from ..errors import GaugenetError
    from ..io.durable import write_atomic
    from ..viz import Camera, default_radius, default_vertex, plot_overview, save_html
    from ..viz.plots import require_matplotlib

    if output.suffix.lower() == ".png":
        require_matplotlib()  # before any work
    geometry = _geometry(arguments, show)
    try:
        camera = Camera.of(geometry, direction, up)
        vertex = default_vertex(geometry, camera) if arguments.vertex is None else arguments.vertex
        options = {
            "vertex": vertex,
            "radius": default_radius(geometry, vertex) if _wants_radius(arguments) else arguments.radius,
            "path": path,
            "field": None if arguments.field is None else _field(arguments.field),
            "n": arguments.symmetry,
            "camera": camera,
        }
        if output.suffix.lower() == ".html":
            save_html(geometry, output, show, title=Path(arguments.file).name, **options)
        else:
            data = io.BytesIO()
            plot_overview(geometry, show, **options).savefig(data, format="png")
            write_atomic(output, data.getvalue())
    except GaugenetError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    facts = {"path": arguments.file, "output": str(output), "bytes": output.stat().st_size}
    facts |= {"nodes": geometry.num_nodes, "levels": len(geometry.levels()) - 1, "vertex": vertex}
    print(json.dumps(facts) if arguments.json else f"{output}: {facts['bytes'] / 1024:.0f} KB, {geometry.num_nodes} nodes")
    return EXIT_OK


def _geometry(arguments: argparse.Namespace, show: list[str] | None) -> LocalGeometry:
    import numpy as np

    from ..io.records import load_record
    from ..pipeline.process import ProcessParams, process_one

    if _is_record(arguments):
        for name in ("rings", "levels"):
            if getattr(arguments, name) is not None:
                raise UsageError(f"--{name} is for mesh files: a record has its own")
        return load_record(arguments.file, np.float64)
    wanted = _LEVELS if show is None or "levels" in show else 0
    levels = wanted if arguments.levels is None else arguments.levels
    # The neighbourhood of a radius is made for the one vertex that shows it.
    rings = arguments.rings or 1
    return process_one(
        arguments.file, ProcessParams(rings=rings, levels=levels, repair=arguments.repair, structure=arguments.structure)
    )


def _is_record(arguments: argparse.Namespace) -> bool:
    return Path(arguments.file).suffix == ".safetensors"


def _wants_radius(arguments: argparse.Namespace) -> bool:
    return arguments.radius is None and arguments.rings is None and not _is_record(arguments)


def _names(text: str | None) -> list[str] | None:
    """Known views, separated by commas."""
    if text is None:
        return None
    from ..viz import VIEWS

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in VIEWS]
    if unknown or not names:
        raise UsageError(f"--show takes some of {','.join(VIEWS)}, got {text!r}")
    return names


def _list(text: str, kind: type, option: str) -> list:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option}: expected numbers separated by commas, got {text!r}") from None


def _vector(option: str, text: str | None) -> np.ndarray | None:
    """x, y, z or three numbers."""
    import numpy as np

    if text is None:
        return None
    values = np.eye(3)["xyz".index(text)] if text in ("x", "y", "z") else np.array(_list(text, float, option))
    if values.shape != (3,) or not np.isfinite(values).all() or not values.any():
        raise UsageError(f"{option}: expected x, y, z or three numbers that are not all zero, got {text!r}")
    return values


def _field(path: str) -> np.ndarray:
    import numpy as np

    from ..errors import GeometryError

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise GeometryError(f"{path}: not a .npy file of numbers") from None
