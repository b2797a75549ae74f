"""Pages whose examples are run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["derivatives", "homogeneous", "proving"])
def test_examples_run(page, capsys):
    torch.manual_seed(0)
    names: dict = {}
    for example in re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(example, f"{page}.md", "exec"), names)
    printed = capsys.readouterr().out.replace("tensor(", "").replace(")", "").split()
    assert all(word == "True" for word in printed), printed


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_links(page):
    for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        # The pages of the reference are made with the site (tests/docs/test_site.py).
        assert link.startswith("reference/") or (page.parent / link).exists(), link
