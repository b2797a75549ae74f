"""docs/files.md: its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"


def test_code_of_the_page(tmp_path, monkeypatch, capsys):
    for library in ("pyvista", "xarray", "healpy"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), names)
    printed = capsys.readouterr().out.split()
    assert len(printed) >= 2 and set(printed) == {"True"}, printed
