"""The rooms: how much a folder and a file may hold, and names that would hide one another."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gaugenet

ROOT = Path(gaugenet.__file__).parent
MAX_FILES, MAX_LINES = 13, 450
# A folder that is still being divided, and what it holds now: it may shrink only.
TOO_FULL = {"kernels": 15}
FOLDERS = [ROOT, *sorted(p for p in ROOT.rglob("*") if p.is_dir() and p.name != "__pycache__")]
# A folder in which nothing but compiled files of a removed one is left is none.
FOLDERS = [f for f in FOLDERS if any(p.is_file() for p in f.iterdir())]
PACKAGES = ["gaugenet", *sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "gaugenet.") if m.ispkg)]


def name(folder: Path) -> str:
    return folder.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_folders_and_files_stay_small(folder):
    files = [p for p in folder.iterdir() if p.is_file() and p.suffix not in (".pyc", ".nbi", ".nbc")]
    assert len(files) <= TOO_FULL.get(name(folder), MAX_FILES), sorted(p.name for p in files)
    for file in files:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= MAX_LINES, f"{file.name} has {lines} lines"


@pytest.mark.parametrize("folder", ["tests", "examples", "benchmarks"])
def test_other_files_stay_small(folder):
    for file in (ROOT.parent / folder).rglob("*.py"):
        lines = len(file.read_text(encoding="utf-8").splitlines())
        assert lines <= MAX_LINES, f"{file.name} has {lines} lines"


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_no_module_hides_a_public_name(package):
    """Importing gaugenet.x.y puts y into gaugenet.x: where that is also a function's or a class's name, it could be lost."""
    module = importlib.import_module(package)
    public = set(getattr(module, "__all__", ()))
    for found in pkgutil.iter_modules(module.__path__):
        if found.name in public:
            assert not found.ispkg, f"the sub-package {package}.{found.name} bears a public name"
            importlib.import_module(f"{package}.{found.name}")
            assert not inspect.ismodule(getattr(module, found.name)), f"{package}.{found.name}"


def test_every_package_is_there_on_first_use():
    """``import gaugenet; gaugenet.viz`` in a fresh interpreter, where nothing else has imported it."""
    rooms = sorted(m.name for m in pkgutil.iter_modules([str(ROOT)]) if m.ispkg)
    assert set(rooms) <= set(gaugenet.__all__) and {"io", "pipeline", "viz"} <= set(rooms)
    code = f"import gaugenet\nfor room in {rooms!r}:\n    assert getattr(gaugenet, room).__name__ == 'gaugenet.' + room\n"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("room", ["geometry", "viz"])
def test_type_checkers_see_the_late_names(room):
    """What __getattr__ imports on first use is imported under TYPE_CHECKING, from the same modules."""
    module = importlib.import_module(f"gaugenet.{room}")
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {alias.asname: "." * (line.level - 1) + line.module for line in block.body for alias in line.names}
    assert seen == module._LATE


def test_types_are_declared():
    assert (ROOT / "py.typed").is_file()
