"""examples/one_network.py: the same network on every manifold is equivariant on all of them."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest
import torch

from gaugenet.testing import equivariance_error

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("one_network_example", ROOT / "examples" / "one_network.py")
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)


@pytest.mark.parametrize("name", example.MANIFOLDS)
def test_frames_and_motions_change_nothing(name):
    make, group = example.MANIFOLDS[name]
    geom, net = make(), example.network(group)
    graph = geom.to_graph()
    assert equivariance_error(net, graph, net.in_type) < 1e-12
    assert example.place(geom, name).shape == (geom.num_nodes, 3)
    if inspect.signature(make).parameters:
        x = torch.randn(geom.num_nodes, 1, dtype=torch.float64)
        here, there = net(x, graph), net(x, make(move=True).to_graph())
        assert (here - there).norm() < 1e-12 * here.norm()


def test_from_end_to_end(tmp_path, monkeypatch, capsys):
    few = {name: example.MANIFOLDS[name] for name in ("plane", "SE(2)")}
    monkeypatch.setattr(example, "MANIFOLDS", few)
    monkeypatch.setattr("sys.argv", ["one_network.py", "--out", str(tmp_path / "picture.png")])
    example.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[1].startswith("plane") and (tmp_path / "picture.png").stat().st_size > 10_000
