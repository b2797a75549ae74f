"""The examples of the README run as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.tables import ellipsoids

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_examples_run(capsys):
    torch.manual_seed(0)
    names: dict = {}
    for example in blocks("python"):
        if "labels.csv" in example:
            continue
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


def test_from_a_table_to_answers(tmp_path, monkeypatch, capsys):
    """Twelve lines of Python and three commands, each in a process of its own, in a folder with labels.csv and meshes/."""
    (example,) = [block for block in blocks("python") if "labels.csv" in block]
    (commands,) = [block for block in blocks("bash") if "labels.csv" in block]
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    ellipsoids(tmp_path)
    shutil.copy(tmp_path / "meshes" / "e9.obj", tmp_path / "meshes" / "new.obj")
    table = (tmp_path / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(",".join(line.split(",")[:2]) for line in table) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert "confusion" in printed[2] and printed[-1] in ("long", "short")
    lines = commands.splitlines()
    assert len(lines) == 3 and all(line.startswith("gaugenet ") for line in lines)
    for line in lines:
        run = subprocess.run([sys.executable, "-m", *shlex.split(line)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    answers = (tmp_path / "answers.csv").read_text().splitlines()
    assert answers[0] == "path,label,p_long,p_short" and len(answers) == 14
