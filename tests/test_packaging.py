"""The package as it is installed: imported, run, read-only, and packed up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numba
import pytest

import gaugenet
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
    wanted = [n for n in tracked if n and n != ".gitignore"]
    assert len(wanted) > 100 and not set(wanted) - names
    assert {"MANIFEST.in", "CHANGELOG.md", "pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "mkdocs.yml"} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_wheel_holds_what_the_package_reads(tmp_path):
    pytest.importorskip("setuptools", "77", reason="pyproject.toml asks for setuptools 77 to build a wheel")
    sources = tmp_path / "sources"  # setuptools builds beside them
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    shutil.copytree(ROOT / "gaugenet", sources / "gaugenet", ignore=shutil.ignore_patterns("__pycache__"))
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    run = python("-c", f"import os; os.chdir({str(sources)!r}); {build}")
    assert run.returncode == 0, run.stderr[-2000:]
    (archive,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
        (facts,) = [name for name in names if name.endswith("METADATA")]
        needed = re.findall(r"^Requires-Dist: (\w+)(?!.*extra ==)", packed.read(facts).decode(), re.MULTILINE)
    files = [path for path in (sources / "gaugenet").rglob("*") if path.is_file() and path.suffix not in (".nbi", ".nbc")]
    here = {path.relative_to(sources).as_posix() for path in files}
    assert here <= names and {"gaugenet/py.typed", "gaugenet/viz/viewer.html"} <= names
    assert not any(name.startswith(("tests/", "examples/", "benchmarks/", "datasets/", "docs/")) for name in names)
    # The core stays small: nothing that only one feature needs.
    assert not {"potpourri3d", "pyvista", "nibabel", "xarray", "matplotlib"} & set(needed) and "torch" in needed


def test_one_version():
    found = {
        "pyproject.toml": re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1],
        "CITATION.cff": re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1],
    }
    assert set(found.values()) == {gaugenet.__version__}
