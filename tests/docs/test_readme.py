"""The examples of the README run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_examples_run(capsys):
    torch.manual_seed(0)
    names: dict = {}
    for example in blocks("python"):
        assert len([line for line in example.splitlines() if line.strip()]) <= 30
        exec(compile(example, "README.md", "exec"), names)
    shape, error, logits, spherical, symmetry, strip, plain = capsys.readouterr().out.splitlines()
    assert shape == "torch.Size([642, 80]) 80"
    assert float(error) < 1e-12 and float(symmetry) < 1e-12
    assert logits == "torch.Size([1, 10])" and spherical == "torch.Size([8, 10])"
    assert strip == "torch.Size([2, 8, 28, 28])" and plain == "torch.Size([2, 10])"


def test_length_and_links():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (README.parent / link).exists(), link


@pytest.mark.parametrize("command", ["preprocess", "view", "inspect", "check", "prove"])
def test_commands_exist(command):
    from gaugenet.cli import _parser

    lines = [line for line in "".join(blocks("bash")).splitlines() if line.startswith(f"gaugenet {command}")]
    assert lines
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True)[1:])
