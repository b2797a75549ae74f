"""The code blocks of a page: run in order in one namespace, what they print compared with the block that follows.

    python -m tests.helpers.pages docs/tutorials/images.md     # writes what is printed now into the page

A block ```text right after a block ```python is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
PYTHON = re.compile(r"^```python[^\n]*\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<output>.*?)^```$)?", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^```(?:bash|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?%?")
ROUNDING = 1e-9


class Block(NamedTuple):
    """The code, where it begins, and what the page says that it prints (None: nothing is said)."""

    code: str
    line: int
    output: str | None


def blocks(text: str) -> list[Block]:
    return [Block(m["code"], text.count("\n", 0, m.start()) + 2, m["output"]) for m in PYTHON.finditer(text)]


def commands(text: str) -> list[str]:
    """Lines of the shell, those that go on after a backslash joined."""
    joined = "".join(SHELL.findall(text)).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def run(page: Path) -> Iterator[tuple[Block, str]]:
    """Every block of the page with what it printed, in the folder that the process is in."""
    torch.manual_seed(0)
    names: dict = {"__name__": "__page__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        # Empty lines before it, so that a traceback names the line of the page.
        program = compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, names)
        yield block, printed.getvalue()


def datasets(folder: Path) -> None:
    """The embedded data, as they lie in the root of a checkout."""
    shutil.copytree(ROOT / "datasets" / "shapes", folder / "datasets" / "shapes")


def differs(expected: str, printed: str) -> str | None:
    """What is not the same, or None.

    Words and whole numbers are equal; other numbers differ by one last digit, by 2 %, or both are rounding errors.
    """
    wanted, found = expected.split(), printed.split()
    if len(wanted) != len(found):
        return f"the page has {len(wanted)} words, printed were {len(found)}:\n{printed}"
    for a, b in zip(wanted, found):
        if NUMBER.sub("#", a) != NUMBER.sub("#", b) or not all(map(_close, NUMBER.findall(a), NUMBER.findall(b))):
            return f"the page has {a!r}, printed was {b!r}:\n{printed}"
    return None


def _close(a: str, b: str) -> bool:
    if a.lstrip("+-").isdigit():
        return a == b
    x, y = float(a.rstrip("%")), float(b.rstrip("%"))
    last = 10.0 ** -len(re.match(r"[-+]?\d+\.?(\d*)", a)[1]) if "e" not in a else 0.0
    return max(abs(x), abs(y)) < ROUNDING or abs(x - y) <= max(1.001 * last, 0.02 * abs(x))


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        page, text, here = path.resolve(), path.read_text(encoding="utf-8"), os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            datasets(Path(folder))
            os.chdir(folder)
            done = list(run(page))
            os.chdir(here)
        for block, printed in done:
            if printed:
                old = f"{block.code}```\n" + (f"\n```text\n{block.output}```\n" if block.output is not None else "")
                text = text.replace(old, f"{block.code}```\n\n```text\n{printed}```\n", 1)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
