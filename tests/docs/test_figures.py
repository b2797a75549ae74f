"""docs/figures: the scripts draw; every picture that they make is on a page."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from tests.helpers.pages import ROOT

FIGURES = ROOT / "docs" / "figures"


@pytest.fixture
def figures(monkeypatch, tmp_path):
    """Their modules, drawing into a folder of the test."""
    pytest.importorskip("matplotlib", reason="figures are drawn by matplotlib: pip install 'gaugenet[viz]'").use("Agg")
    monkeypatch.syspath_prepend(str(FIGURES))
    drawing = importlib.import_module("drawing")
    monkeypatch.setattr(drawing, "ROOT", tmp_path)
    monkeypatch.setattr(drawing, "IMAGES", tmp_path)
    yield lambda name: importlib.import_module(name)
    for name in ("drawing", "explained", "gallery"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("script", "function", "picture"),
    [
        ("explained", "direction", "explained_direction"),
        ("explained", "field_types", "explained_field_types"),
        ("gallery", "harmonics", "gallery_harmonics"),
        ("gallery", "families", "gallery_families"),
    ],
)
def test_they_draw(figures, tmp_path, script, function, picture):
    getattr(figures(script), function)()
    assert (tmp_path / f"{picture}.png").stat().st_size > 5_000


def test_pictures_are_on_pages_and_small():
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    for script in FIGURES.glob("*.py"):
        for name in re.findall(r'save\(figure, "(\w+)"', script.read_text(encoding="utf-8")):
            assert f"images/{name}.png" in pages, name
    assert all(path.stat().st_size < 700_000 for path in (ROOT / "docs" / "images").iterdir())
