"""The package as it is installed: imported, run, read-only, and packed up."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numba
import pytest

from gaugenet.compiled import njit

ROOT = Path(__file__).parents[1]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, cwd="/", check=False)


def test_import_warns_of_nothing():
    code = "import sys, gaugenet; assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    assert python("-W", "error", "-c", code).returncode == 0


def test_submodules_come_on_first_use():
    code = "import sys, gaugenet; assert 'gaugenet.viz' not in sys.modules; gaugenet.viz.VIEWS; gaugenet.nn.GaugeConv"
    assert python("-c", code).returncode == 0, python("-c", code).stderr


def test_python_m_gaugenet():
    run, same = python("-m", "gaugenet", "--version"), python("-m", "gaugenet.cli", "--version")
    assert run.returncode == 0 and run.stdout == same.stdout and run.stdout.startswith("gaugenet ")
    assert python("-m", "gaugenet", "nonsense").returncode == 2


# As in a container whose file system is read-only: no place for numba's cache. (Root may write everywhere.)
_UNWRITABLE = "import numba.core.caching as c; c.CacheImpl._locator_classes = [];"


def test_an_unwritable_cache_is_said_once_and_does_without():
    code = _UNWRITABLE + (
        "import numpy as np; from gaugenet.geometry.triangles import sampling; import gaugenet.geometry.geodesics.windows;"
        "from gaugenet.compiled import njit; f = njit(cache=True, nogil=True)(lambda x: x + 1); print(f(np.arange(3)))"
    )
    run = python("-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[1 2 3]"
    assert run.stderr.count("NUMBA_CACHE_DIR to a folder that can be written") == 1


def test_other_errors_of_numba_are_its_own(monkeypatch):
    def fails(**options):
        raise RuntimeError("out of registers")

    monkeypatch.setattr(numba, "njit", fails)
    with pytest.raises(RuntimeError, match="out of registers"):
        njit(cache=True)(len)


def test_compiled_functions_take_the_one_way():
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "gaugenet").rglob("*.py")
        if path.name != "compiled.py" and any(text in path.read_text() for text in ("import njit\n", "numba.njit"))
        if "compiled import njit" not in path.read_text()
    ]
    assert not found, "take njit from gaugenet.compiled, which does without a cache where there can be none"


def test_the_source_distribution_is_whole(tmp_path):
    pytest.importorskip("setuptools", "77", reason="pyproject.toml asks for setuptools 77 to build a source distribution")
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    run = python("-c", f"import os; os.chdir({str(ROOT)!r}); {build}")
    assert run.returncode == 0, run.stderr[-2000:]
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False).stdout.split("\n")
    wanted = [n for n in tracked if n.startswith(("gaugenet/", "tests/", "docs/", "examples/"))]
    assert len(wanted) > 100 and not set(wanted) - names
    assert {"MANIFEST.in", "CHANGELOG.md", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.endswith(".pyc")]
