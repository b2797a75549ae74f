"""The commands of docs/deployment.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch


def test_examples_run(tmp_path, monkeypatch):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="ONNX needs the extra: pip install 'gaugenet[onnx]'")
    text = (Path(__file__).resolve().parents[3] / "docs" / "deployment.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    torch.manual_seed(0)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "deployment.md", "exec"), scope)
    net = scope["net"].eval()
    expected = net(scope["y"], scope["mesh"])
    assert (torch.from_numpy(scope["logits"]) - expected).abs().max() < 1e-5 * expected.abs().max()
    with torch.no_grad():
        again = scope["program"].module()(scope["x"], scope["inputs"])
        assert torch.allclose(again, net(scope["x"], scope["example"]), atol=1e-6)
