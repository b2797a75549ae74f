"""The page about tables: its code runs in a folder with a table."""

from __future__ import annotations

import re
from pathlib import Path

from tests.helpers.tables import ellipsoids

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def test_page(tmp_path, monkeypatch, capsys):
    ellipsoids(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(example, "data.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("['long', 'short']") and "confusion, a row for every true class" in printed
