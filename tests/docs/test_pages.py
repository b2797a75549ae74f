"""Every page of docs: its Python runs as it stands there, prints what the page says, and its commands can be read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pages as results_of
from examples import shallow_water
from tests.helpers.corpus import torus
from tests.helpers.pages import ROOT, blocks, commands, datasets, differs, run
from tests.helpers.samplings import write_wind
from tests.helpers.tables import write_obj

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in sorted(DOCS.rglob("*.md"))}

#: pages whose blocks another test runs, which asks more of them
ELSEWHERE = {
    "clusters": "tests/pipeline/test_clusters.py",
    "data": "tests/docs/test_data_docs.py",
    "deployment": "tests/nn/exporting/test_deployment_docs.py",
    "extending": "tests/test_extending.py",
    "grids": "tests/docs/test_grid_docs.py",
    "history": "tests/docs/test_history.py",
    "lie_groups": "tests/docs/test_lie_docs.py",
    "planar": "tests/docs/test_planar_docs.py",
    "points": "tests/docs/test_points_docs.py",
    "voxels": "tests/docs/test_voxels.py",
}

#: pages that need what is not in gaugenet: the libraries
NEEDS = {
    "datasets": ("xarray",),
    "files": ("pyvista", "xarray", "healpy"),
    "pictures": ("matplotlib",),
    "tutorials/cortex": ("nibabel",),
    "tutorials/images": ("sklearn",),
    "tutorials/vessels": ("skfem",),
    "tutorials/weather": ("xarray",),
}


def bunny(folder: Path) -> None:
    write_obj(folder / "bunny.obj", *torus(24, 14))


def digits_and_wind(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "mnist_train10k.npz", x=rng.integers(0, 256, (1100, 28, 28), dtype=np.uint8), y=np.arange(1100) % 10)
    write_wind(folder / "eraint_uvz.nc", lambda x, _: np.cross([0.0, 0, 1], x), lambda x, _: x[..., 2])


#: what lies in the folder of the reader
FILES: dict[str, Callable] = {
    "datasets": digits_and_wind,
    "direction_fields": bunny,
    "pictures": bunny,
    "tutorials/shapes": datasets,
}


RUN_HERE = [name for name, path in PAGES.items() if name not in ELSEWHERE and blocks(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", RUN_HERE)
def test_code(page, tmp_path, monkeypatch):
    for library in NEEDS.get(page, ()):
        pytest.importorskip(library, reason=f"the page {page} shows {library}, which is optional: pip install 'gaugenet[dev]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    if page in FILES:
        FILES[page](tmp_path)
    for block, printed in run(PAGES[page]):
        if block.output is not None:
            wrong = differs(block.output, printed)
            assert wrong is None, f"{page}.md:{block.line}: {wrong}"
        assert "False" not in printed, f"{page}.md:{block.line} prints {printed}"


def test_the_others_are_run_elsewhere():
    for page, test in ELSEWHERE.items():
        assert blocks(PAGES[page].read_text("utf-8"))
        assert f"{page}.md" in (ROOT / test).read_text(encoding="utf-8")


def test_what_is_not_run():
    """Fences ```py hold code of other libraries, which are not installed; they stand on one page only."""
    assert [name for name, path in PAGES.items() if "```py\n" in path.read_text(encoding="utf-8")] == ["coming_from"]


@pytest.mark.parametrize("page", PAGES)
def test_commands(page):
    """Those of gaugenet are read by its parser; scripts and modules of this checkout are there."""
    from gaugenet.cli import _parser

    for line in commands(PAGES[page].read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        if words[:1] == ["gaugenet"]:
            _parser().parse_args(words[1:])
        elif words[:2] == ["python", "-m"]:
            at = ROOT / words[2].replace(".", "/")
            assert at.is_dir() or at.with_suffix(".py").is_file(), line
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file(), line


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    text = PAGES[page].read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
        # The pages of the reference, and the list of measurements, are made with the site (tests/docs/test_site.py).
        made = "reference/" in link or link == "benchmarks/index.md"
        assert made or (PAGES[page].parent / link).exists(), link


def test_outputs_are_compared():
    """The comparison can fail: words, whole numbers, other numbers; rounding errors differ from machine to machine."""
    same = [("error 3.1e-13", "error 8e-16"), ("0.98", "0.97"), ("98%", "99%"), ("torch.Size([2, 3])", "torch.Size([2, 3])")]
    other = [("error 3.1e-13", "error 2e-6"), ("0.98", "0.91"), ("98%", "91%"), ("[2, 3]", "[2, 4]"), ("a b", "a"), ("x", "y")]
    assert not [pair for pair in same if differs(*pair)] and all(differs(*pair) for pair in other)
    assert commands("```bash\na \\\n  b\n# c\n```\n") == ["a    b"]


@pytest.mark.parametrize("name", [name for name, path in PAGES.items() if "<!-- table" in path.read_text(encoding="utf-8")])
def test_tables_are_those_of_the_results(name):
    """`python -m benchmarks.pages` writes them."""
    text = PAGES[name].read_text(encoding="utf-8")
    assert results_of.filled(text) == text
    assert results_of.MARKS.search(text) and text.count("<!-- table") == len(results_of.MARKS.findall(text))


def test_tables_follow_their_results(monkeypatch, tmp_path):
    (tmp_path / "mine.md").write_text("# Title\n\nby `this`\n\n## Part\n\n| a |\n|---|\n| 1 |\n")
    monkeypatch.setattr(results_of, "RESULTS", tmp_path)
    page = "before\n<!-- table mine -->\nold\n<!-- end -->\nafter"
    wanted = "before\n<!-- table mine -->\n\nby `this`\n\n**Part**\n\n| a |\n|---|\n| 1 |\n\n<!-- end -->\nafter"
    assert results_of.filled(page) == wanted == results_of.filled(wanted)
    with pytest.raises(SystemExit, match=r"a page asks for table other: there is no other\.md"):
        results_of.filled(page.replace("mine", "other"))


def test_table_of_the_shallow_water_is_that_of_its_runs():
    assert (results_of.RESULTS / "shallow_water.md").read_text() == shallow_water.table(results_of.results("shallow_water"))
