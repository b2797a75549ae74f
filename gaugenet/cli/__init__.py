"""The ``gaugenet`` command. Only argparse is imported until a command runs: help must come at once."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["main"]

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

COMPILING = "gaugenet: compiling once (about half a minute; `gaugenet warmup` does it beforehand)"

_EPILOG = "exit status: 0 all well, 1 a mesh or a proof failed, 2 wrong usage, 130 interrupted"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Results go to stdout (``--json`` for machines), progress and errors to stderr. A bad file is one line, never a traceback.
    """
    try:
        arguments = _parser().parse_args(argv)
    # argparse has printed help, the version or what is wrong with the usage.
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    from ..errors import GaugenetError

    run = importlib.import_module(f".{arguments.module}", __name__).run
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except UsageError as error:
        return fail(str(error), EXIT_USAGE)
    except (GaugenetError, OSError) as error:
        return fail(describe(error))
    except MemoryError as error:
        return fail(f"not enough memory: {error}")
    # A defect of ours; whoever runs this over many files needs a line, not a page.
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return fail(f"{type(error).__name__}: {error} ({where}). This is a defect of gaugenet: please report it with the file")


class UsageError(Exception):
    """A command that cannot be meant: exit status 2."""


def describe(error: Exception) -> str:
    """The message of an error; of the system's errors the file first, as in all the others."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def fail(message: str, status: int = EXIT_FAILED) -> int:
    """One line on stderr; returns the status."""
    print(f"gaugenet: error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _warn(message: Warning | str, *_) -> None:
    """One line without the source line that Python shows."""
    print(f"gaugenet: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gaugenet", description="Gauge-equivariant learning on meshes.", epilog=_EPILOG)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, module: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, epilog=_EPILOG)
        sub.set_defaults(module=module)
        sub.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        return sub

    sub = command("preprocess", "preprocess", "make one record of every mesh, in worker processes")
    text = "mesh files, folders of them, archives (.zip, .tar.gz, ...), or quoted patterns such as 'meshes/**/*.off'"
    sub.add_argument("source", metavar="SRC", nargs="+", help=text)
    sub.add_argument("destination", metavar="DST", help="folder for the records, index.json and report.jsonl")
    _add_neighbourhood(sub, required=True)
    sub.add_argument("--normalize", action="store_true", help="scale every mesh to unit area first")
    sub.add_argument("--features", default="", metavar="NAMES", help="input features to store, such as hks,curvature")
    sub.add_argument("--levels", type=_number(int, 0), default=0, metavar="N", help="number of coarser levels (default 0)")
    sub.add_argument("--repair", action="store_true", help="repair meshes rather than refuse them")
    text = "drop connected components of less than this part of the mesh's area, crumbs (default 0: keep all)"
    sub.add_argument("--min-component", type=_number(float, 0), default=0.0, metavar="P", help=text)
    text = "number vertices so that neighbours are close in memory (the record has their ids in the input)"
    sub.add_argument("--renumber", action="store_true", help=text)
    group = sub.add_argument_group("running")
    group.add_argument("--jobs", type=_number(int, 1), metavar="N", help="worker processes (default: one a core)")
    over = "a mesh that takes more is stopped and the others go on (default: no limit)"
    group.add_argument("--timeout", type=_number(float, 0, open=True), metavar="S", help=f"seconds for each mesh; {over}")
    text = f"gigabytes (1e9 bytes) that a worker process may hold, about 0.4 of them for itself; {over}"
    group.add_argument("--memory", type=_number(float, 0, open=True), metavar="GB", help=text)
    text = "try meshes again, at the end and one at a time, that crashed a worker or went over a limit (default 0)"
    group.add_argument("--retries", type=_number(int, 0), default=0, metavar="N", help=text)
    text = "do part I of N only, 0 <= I < N; the N runs may use one DST, at the same time and on many machines"
    group.add_argument("--shard", metavar="I/N", help=text)
    text = (
        "append a line of JSON for every mesh as it is settled (default: DST/report.jsonl, of a shard DST/report-I-of-N.jsonl)"
    )
    group.add_argument("--report", metavar="FILE", help=text)
    text = "list which meshes are new, skipped (done before), stale (done, but changed or damaged) or bad; write nothing"
    group.add_argument("--dry-run", action="store_true", help=text)
    group.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command("inspect", "inspection", "describe a mesh or a record, and what repair would do")
    sub.add_argument("file", metavar="FILE", help="mesh file or record")

    sub = command("view", "view", "draw a mesh or a record: frames, log map, transport, curvature, pooling levels")
    sub.add_argument("file", metavar="FILE", help="mesh file or record")
    sub.add_argument("-o", "--output", required=True, metavar="OUT", help="picture (.png) or page to turn it (.html)")
    text = "some of frames,log,transport,curvature,levels,field (default: all but field)"
    sub.add_argument("--show", metavar="NAMES", help=text)
    text = "whose log map and transport are shown (default: one in front)"
    sub.add_argument("--vertex", type=_number(int, 0), metavar="V", help=text)
    text = "default: a radius that covers an eighth of the surface; of a record, what is in it"
    _add_neighbourhood(sub, required=False, default=text)
    sub.add_argument("--path", metavar="V,V,...", help="carry the vector along edges through these vertices instead")
    sub.add_argument(
        "--levels", type=_number(int, 0), metavar="N", help="number of coarser levels (default 2; of a record, its own)"
    )
    text = "N-RoSy field: angles, representation vectors or directions (default: the directions of principal curvature)"
    sub.add_argument("--field", metavar="FILE.npy", help=text)
    sub.add_argument("--symmetry", type=_number(int, 1), default=4, metavar="N", help="of the field (default 4)")
    text = "where the viewer is, --direction=-1,0,0 if negative (default: on the broadest side, a little above)"
    sub.add_argument("--direction", metavar="X,Y,Z", help=text)
    text = "what is upwards: x, y, z or a vector (default: z of .stl, VTK, GMSH and brain surfaces, y of others)"
    sub.add_argument("--up", metavar="X,Y,Z", help=text)
    sub.add_argument("--repair", action="store_true", help="repair the mesh first")

    sub = command("check", "check", "test the gauge equivariance of a small random network on a mesh or a record")
    sub.add_argument("file", metavar="FILE", help="mesh file or record")
    _add_neighbourhood(sub, required=False)
    sub.add_argument("--repair", action="store_true", help="repair the mesh first")
    sub.add_argument("--order", type=_number(int, 0), default=2, help="largest order of the fields (default 2)")
    sub.add_argument("--channels", type=_number(int, 1), default=4, help="copies of every order (default 4)")
    sub.add_argument("--seed", type=_number(int, 0), default=0, help="of the random numbers (default 0)")
    sub.add_argument("--tolerance", type=_number(float, 0, open=True), help="largest error that passes (default 1e-10)")

    text = "put a module of yours to the proof: frames, symmetries, numbering, batches, precision, remeshing"
    sub = command("prove", "prove", text)
    text = "a torch.nn.Module of (x, graph) in a script or module, or a function that makes one; trusted, since it is run"
    sub.add_argument("model", metavar="SCRIPT.py:NAME", help=text)
    text = "field type of the input, such as '3x0 + 2x1' (default: in_type of the module or of the script)"
    sub.add_argument("--in-type", metavar="TYPE", help=text)
    text = "of the output (default: out_type of the module or of the script; without one the output must not change)"
    sub.add_argument("--out-type", metavar="TYPE", help=text)
    text = "mesh file or record (default: graph in the script, or else a sphere of 162 nodes)"
    sub.add_argument("--mesh", metavar="FILE", help=text)
    _add_neighbourhood(sub, required=False)
    sub.add_argument("--levels", type=_number(int, 0), default=1, metavar="N", help="number of coarser levels (default 1)")
    text = "standard deviation of the random numbers added to all weights first (default 0.1; 0 tests them as they are)"
    sub.add_argument("--stir", type=_number(float, 0), default=0.1, metavar="S", help=text)
    sub.add_argument("--seed", type=_number(int, 0), default=0, help="of the random numbers (default 0)")
    text = "largest error that passes (default 1e-10, in modules that cannot do float64 1e-4)"
    sub.add_argument("--tolerance", type=_number(float, 0, open=True), help=text)

    text = "learn from a table of meshes, report on the test meshes, and save the network with all that it takes to use it"
    sub = command("train", "train", text)
    text = "a .csv file with a column of mesh files, or a folder whose own folders are classes"
    sub.add_argument("table", metavar="TABLE", help=text)
    sub.add_argument("-o", "--output", required=True, metavar="MODEL", help="file (.safetensors) or folder of the network")
    text = "the answer: a class of the mesh, a class of each vertex or face, numbers, or vectors at the vertices"
    sub.add_argument("--task", choices=("classify", "segment", "regress", "vectors"), default="classify", help=text)
    _add_table(sub)
    _add_neighbourhood(sub, required=False)
    sub.add_argument("--no-normalize", action="store_true", help="leave the size of meshes as it is (default: unit area)")
    sub.add_argument("--features", default="hks", metavar="NAMES", help="input features, such as hks,curvature (default hks)")
    text = "number of coarser levels (default 0; of answers at vertices and faces 1)"
    sub.add_argument("--levels", type=_number(int, 0), metavar="N", help=text)
    sub.add_argument("--repair", action="store_true", help="repair meshes rather than refuse them")
    group = sub.add_argument_group("learning")
    text = "part of the meshes to test on, unless the table has a column split (default 0.25)"
    group.add_argument("--test", type=_number(float, 0, open=True), default=0.25, metavar="P", help=text)
    group.add_argument("--epochs", type=_number(int, 1), default=50, metavar="N", help="passes over the meshes (default 50)")
    group.add_argument("--rate", type=_number(float, 0, open=True), default=3e-3, help="of the first step (default 0.003)")
    group.add_argument("--nodes", type=_number(int, 1), default=20000, metavar="N", help="most of a batch (default 20000)")
    group.add_argument("--channels", type=_number(int, 1), default=16, metavar="N", help="copies of every order (default 16)")
    group.add_argument("--seed", type=_number(int, 0), default=0, help="of the split and of training (default 0)")
    group.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")
    group.add_argument("--resume", action="store_true", help="go on from MODEL.checkpoint where a run was stopped")
    group.add_argument("--quiet", action="store_true", help="no progress")

    sub = command("predict", "predict", "what a saved network says of meshes")
    sub.add_argument("model", metavar="MODEL", help="file or folder that gaugenet train has written")
    sub.add_argument("mesh", metavar="MESH", nargs="+", help="mesh files, folders of them, archives, or quoted patterns")
    text = (
        "a .csv file with a row for every mesh (default: stdout); of answers at vertices and faces a folder, or of one mesh a "
        "file of one of the formats"
    )
    sub.add_argument("-o", "--output", metavar="OUT", help=text)
    text = "of the files in the folder: the mesh with its answers (default ply; vtp is for ParaView), or csv and npy without it"
    formats = ("ply", "vtp", "vtu", "vtk", "glb", "gii", "csv", "npy")
    sub.add_argument("--format", choices=formats, default="ply", help=text)
    sub.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")

    sub = command("evaluate", "evaluate", "compare a saved network with a table: scores and confusion matrix")
    sub.add_argument("model", metavar="MODEL", help="file or folder that gaugenet train has written")
    sub.add_argument("table", metavar="TABLE", help="as for gaugenet train")
    _add_table(sub)
    sub.add_argument("--split", metavar="WORD", help="only rows with this word in the column split")
    sub.add_argument("--nodes", type=_number(int, 1), default=20000, metavar="N", help="most of a batch (default 20000)")
    sub.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")

    text = "compile what preprocessing and layers need into the cache, so that later runs start at once"
    sub = command("warmup", "warmup", text)
    sub.add_argument("--double", action="store_true", help="also the layers in float64")
    sub.add_argument("--no-layers", action="store_true", help="only what preprocessing needs")
    return parser


def _add_neighbourhood(parser: argparse.ArgumentParser, required: bool, default: str = "default 2") -> None:
    text = "structure group: SO2 (default), or O2, which admits surfaces that are not orientable"
    parser.add_argument("--structure", choices=("SO2", "O2"), default="SO2", help=text)
    group = parser.add_mutually_exclusive_group(required=required)
    group.add_argument("--radius", type=_number(float, 0, open=True), metavar="R", help="neighbours within geodesic distance R")
    text = "neighbours within K rings" + ("" if required else f" ({default})")
    group.add_argument("--rings", type=_number(int, 1), metavar="K", help=text)


def _add_table(parser: argparse.ArgumentParser) -> None:
    text = "column of the answer, or several with commas (default: label, class, or what is left); or arrays in the mesh files"
    parser.add_argument("--target", metavar="NAMES", help=text)
    parser.add_argument("--path", metavar="NAME", help="column of the mesh files (default: path, file, mesh, ...)")
    text = "folder of records, such as the DST of gaugenet preprocess (default: the cache in your home)"
    parser.add_argument("--records", metavar="DIR", help=text)
    parser.add_argument("--jobs", type=_number(int, 0), default=0, metavar="N", help="worker processes for records (default 0)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out meshes that cannot be used, rather than stop")


# numpy and torch hold no larger integers.
_LARGEST = 2**63 - 1


def _number(kind: type, least: float, open: bool = False) -> Callable[[str], float]:
    """An argparse type: a finite number of at least (or, when open, above) the least; integers of 64 bits."""

    def convert(text: str):
        what = "an integer" if kind is int else "a number"
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if kind is int and value > _LARGEST:
            raise argparse.ArgumentTypeError(f"expected {what} of at most {_LARGEST}, got {text[:40]!r}")
        if not math.isfinite(value) or value < least or (open and value == least):
            raise argparse.ArgumentTypeError(f"expected {what} {'above' if open else 'of at least'} {least}, got {text!r}")
        return value

    return convert


class _Version(argparse.Action):
    def __call__(self, parser, *_):
        from .. import __version__

        print(f"gaugenet {__version__}")
        parser.exit()
