"""The site: every page is in its navigation, every link leads somewhere, every public name has an entry."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("geometry", "groups", "kernels", "nn", "models", "data", "learning", "spectral", "testing", "viz")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the site is made by mkdocs-material: pip install 'gaugenet[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        pytest.fail(run.stderr[-800:], pytrace=False)
    return folder


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": ((?!reference/)\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named == there


def test_it_builds_with_the_results_and_examples(site):
    assert (site / "index.html").is_file()
    assert (site / "benchmarks" / "hot_loop" / "index.html").is_file()
    assert (site / "examples" / "tetris" / "index.html").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_has_every_public_name(site, room):
    page = (site / "reference" / room / "index.html").read_text(encoding="utf-8")
    names = importlib.import_module(f"gaugenet.{room}").__all__
    missing = [name for name in names if f'id="gaugenet.{room}.{name}"' not in page]
    assert not missing


def test_nothing_is_loaded_from_elsewhere(site):
    """The pages read offline."""
    page = (site / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', page)
    assert loaded and not [address for address in loaded if address.startswith(("http:", "https:", "//"))]
