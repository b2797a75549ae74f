"""The site: every page is in its navigation, every link leads somewhere, every public name has an entry."""

from __future__ import annotations

import importlib
import json
import posixpath
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.helpers import pages

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("geometry", "groups", "kernels", "nn", "models", "data", "learning", "spectral", "testing", "viz")


class Links(HTMLParser):
    """What a page points to, and the places in it that can be pointed to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets, self.places = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.targets += [attributes[k] for k in ("href", "src") if attributes.get(k)]
        self.places |= {attributes[k] for k in ("id", "name") if attributes.get(k)}


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
    named = set(re.findall(r": ((?!reference/|benchmarks/)\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named == there


def test_it_builds_with_the_results_and_examples(site):
    assert (site / "index.html").is_file()
    assert (site / "benchmarks" / "hot_loop" / "index.html").is_file()
    assert (site / "examples" / "tetris" / "index.html").is_file()


def test_tutorials_are_notebooks(site):
    """The cells are the blocks of the page, in order, with what they print."""
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        made = json.loads((site / "tutorials" / f"{page.stem}.ipynb").read_text(encoding="utf-8"))
        assert made["nbformat"] == 4 and made["cells"][0]["source"][0].startswith("# ")
        code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
        wanted = pages.blocks(page.read_text(encoding="utf-8"))
        assert ["".join(cell["source"]) for cell in code] == [block.code.strip("\n") for block in wanted]
        printed = ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in code]
        assert printed == [block.output or "" for block in wanted]
        assert f'href="../{page.stem}.ipynb"' in (site / "tutorials" / page.stem / "index.html").read_text(encoding="utf-8")


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


def test_every_link_of_every_page_leads_somewhere(site):
    """Pages, pictures, scripts, views in frames, and the places within pages; links to elsewhere are not followed."""
    pages = {path.relative_to(site).as_posix(): Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, followed = [], 0
    for name, page in pages.items():
        if name in ("404.html",) or name.startswith("viewers/"):
            continue
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            at = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            at = posixpath.join(at, "index.html") if (site / at).is_dir() else at
            there = at.removeprefix("./")
            followed += 1
            place = not parts.fragment or there not in pages or unquote(parts.fragment) in pages[there].places
            if not (site / there).is_file() or not place:
                broken.append((name, target))
    assert not broken and followed > 1000


def test_views_in_the_gallery(site):
    page = Links((site / "gallery" / "index.html").read_text(encoding="utf-8"))
    frames = [target for target in page.targets if target.startswith("../viewers/")]
    assert len(frames) == 2 and all(100_000 < (site / "viewers" / Path(f).name).stat().st_size < 1_500_000 for f in frames)


def test_all_measurements_are_listed(site):
    page = (site / "benchmarks" / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "benchmarks" / "results").glob("*.md"):
        assert f'href="{path.stem}/"' in page, path.name
