"""benchmarks/gpu.py: refuses machines without a GPU, and its steps run under Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    given = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""} | environment
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=given)


def test_without_a_gpu(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(tmp_path / "gpu.md")]) == 2
    assert "expected a CUDA device" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_under_the_interpreter(tmp_path):
    """Every step writes its rows; one whose time is over leaves out the rest."""
    pytest.importorskip("triton", reason="the GPU loop is written in Triton, which is released for Linux only")
    out, steps = tmp_path / "gpu.md", ["pooling"]
    limits = ["--device", "cpu", "--sizes", "8", "8", "--minutes", "0.01"]
    result = run(*limits, "--out", str(out), "--steps", *steps, TRITON_INTERPRET="1")
    assert result.returncode == 0, result.stderr
    data = json.loads(out.with_suffix(".json").read_text())
    assert list(data) == steps and all(data[name]["rows"] for name in steps)
    assert len(data["pooling"]["rows"]) == 1 and "was over" in data["pooling"]["note"]
    assert all(f"## {name}" in out.read_text() for name in steps)


def test_an_error_does_not_stop_the_run(tmp_path, monkeypatch):
    def broken(step: gpu.Step) -> None:
        step.add(number=1)
        raise RuntimeError("no memory")

    monkeypatch.setattr(gpu, "STEPS", [("broken", 0.5, broken), ("sound", 0.5, lambda step: step.add(number=2))])
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert gpu.main(["--device", "cpu", "--out", str(tmp_path / "gpu.md")]) == 0
    data = json.loads((tmp_path / "gpu.json").read_text())
    assert data["broken"]["rows"] == [{"number": 1}] and "no memory" in data["broken"]["note"]
    assert data["sound"]["rows"] == [{"number": 2}]
