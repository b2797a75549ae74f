"""``gaugenet prove``"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import EXIT_FAILED, EXIT_OK, UsageError, describe

if TYPE_CHECKING:
    from ..fields import FieldType

# The sphere that is taken without --mesh: its symmetries are known, and 162 nodes take a moment.
_ICOSPHERE = 2


def run(arguments: argparse.Namespace) -> int:
    """Report on a module of a script; status 1 when something that must hold does not."""
    import torch

    module, script = _module_of(arguments.model)
    from ..testing import report

    in_type, out_type = (_type_of(arguments, module, script, name) for name in ("in_type", "out_type"))
    graph = _graph_of(arguments, script)
    options = {"stir": arguments.stir, "tolerance": arguments.tolerance, "seed": arguments.seed}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            torch.manual_seed(arguments.seed)
            found = report(module, graph, in_type, out_type, **options)
    except Exception as error:
        raise UsageError(f"{arguments.model}: {_in_words(error)}{_levels_hint(error)}") from None
    print(json.dumps({"model": arguments.model, **found.to_dict()}, allow_nan=False) if arguments.json else found)
    return EXIT_OK if found.ok else EXIT_FAILED


def _module_of(text: str) -> tuple[Any, ModuleType]:
    """ "script.py:net" -> the module (called, if it is a function or a class that makes one), and the script."""
    from torch import nn

    path, colon, name = text.rpartition(":")
    if not colon or not path or not name:
        raise UsageError(f"expected SCRIPT.py:NAME, a module or a function that makes one, got {text!r}")
    script = _import(path)
    if not hasattr(script, name):
        known = [key for key, value in vars(script).items() if isinstance(value, nn.Module)]
        hint = f": its modules are {', '.join(known)}" if known else ""
        raise UsageError(f"{path} has no {name!r}{hint}")
    found = getattr(script, name)
    if not isinstance(found, nn.Module) and callable(found):
        with _told(f"{text}()"):
            found = found()
    if not isinstance(found, nn.Module):
        raise UsageError(f"{text} is a {type(found).__name__}, expected a torch.nn.Module or a function that makes one")
    return found, script


def _import(path: str) -> ModuleType:
    """A script by its path, or a module by its name."""
    if not path.endswith(".py"):
        with _told(path):
            sys.path.insert(0, "")
            return importlib.import_module(path)
    if not Path(path).is_file():
        raise UsageError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: not a Python script")
    script = importlib.util.module_from_spec(spec)
    with _told(path):
        sys.path.insert(0, str(Path(path).resolve().parent))
        sys.modules[spec.name] = script
        spec.loader.exec_module(script)
    return script


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever a user's code raises is one line; what it prints is no result of ours."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:
        raise UsageError(f"{what}: {_in_words(error)}") from None


def _in_words(error: BaseException) -> str:
    """An error and its last place outside of torch."""
    places = [p for p in traceback.extract_tb(error.__traceback__) if "torch" not in Path(p.filename).parts]
    outside = [p for p in places if "gaugenet" not in Path(p.filename).parts and p.filename.endswith(".py")] or places
    where = f" ({Path(outside[-1].filename).name}, line {outside[-1].lineno})" if outside else ""
    if isinstance(error, SyntaxError):
        where = f" ({Path(error.filename or '?').name}, line {error.lineno})"
        return f"SyntaxError: {error.msg}{where}"
    return f"{type(error).__name__}: {describe(error) if isinstance(error, Exception) else error}{where}"


def _levels_hint(error: Exception) -> str:
    return "; --levels N gives the graph N coarser levels" if re.search(r"\blevels?\b", str(error)) else ""


def _type_of(arguments: argparse.Namespace, module: Any, script: ModuleType, name: str) -> FieldType | None:
    """A field type as an option, an attribute of the module, or a name in the script."""
    from .. import groups
    from ..fields import FieldType

    given = getattr(arguments, name)
    if given is None:
        for holder in (module, script):
            found = getattr(holder, name, None)
            if isinstance(found, FieldType):
                return found
        if name == "in_type":
            option = "--in-type '3x0 + 2x1'"
            raise UsageError(
                f"{arguments.model} has no in_type: give {option}, or an attribute in_type of the module or the script"
            )
        return None
    try:
        return FieldType(groups.group_of(arguments.structure), given)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--{name.replace('_', '-')}: {error}") from None


def _graph_of(arguments: argparse.Namespace, script: ModuleType) -> Any:
    """The graph of --mesh, a graph in the script, or a small sphere."""
    import numpy as np

    from ..geometry import LocalGeometry, icosphere
    from ..io.records import load_record
    from ..pipeline.process import ProcessParams, process_one

    structure = "O2" if arguments.structure == "O2" else "SO2"
    if arguments.mesh is None:
        graph = getattr(script, "graph", None)
        if graph is not None:
            return graph
        rings = 2 if arguments.radius is None and arguments.rings is None else arguments.rings
        levels = min(arguments.levels, _ICOSPHERE)
        return icosphere(_ICOSPHERE, radius=arguments.radius, rings=rings, levels=levels, structure=structure).to_graph()
    if Path(arguments.mesh).suffix == ".safetensors":
        geometry: LocalGeometry = load_record(arguments.mesh, np.float64)
        return geometry.to_graph()
    rings = 2 if arguments.radius is None and arguments.rings is None else arguments.rings
    params = ProcessParams(radius=arguments.radius, rings=rings, levels=arguments.levels, structure=structure)
    return process_one(arguments.mesh, params).to_graph()
