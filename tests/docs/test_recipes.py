"""The recipes for torchrun and for Lightning give what the plain loop gives."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gaugenet import data, learning
from gaugenet.geometry import ProcessParams
from tests.helpers.extras import library
from tests.helpers.tables import ellipsoids

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
PARAMS = ProcessParams(rings=1, normalize=True, features=("hks",))
# The meshes of a step: one of two processes takes 3, the other 2, so that their means weigh differently.
NODES, EPOCHS, RATE = 55, 3, 0.01

WORKER = """
import sys, torch
from torch import distributed
from examples.with_torchrun import train
from tests.docs.test_recipes import EPOCHS, NODES, RATE, prepared
rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
net, shapes = prepared(folder)
train(net, shapes, epochs=EPOCHS, rate=RATE, nodes=NODES)
torch.save(net.state_dict(), f"{folder}/net{rank}.pt")
distributed.destroy_process_group()
"""


def prepared(folder):
    """A network and 10 of the 12 ellipsoids, in float64."""
    shapes = data.MeshDataset.from_table(f"{folder}/labels.csv", PARAMS, records=f"{folder}/records", dtype=torch.float64)[:10]
    torch.manual_seed(0)
    net = learning.network(shapes, channels=2, blocks=(1,), norm="layer").double()
    shapes.transform = net.preparation
    return net, shapes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    ellipsoids(folder)
    prepared(folder)
    return folder


def plain(folder, ranks: int):
    """One process with the batches of all processes in a step."""
    net, shapes = prepared(folder)
    loaders = [shapes.loader(NODES, shuffle=True, rank=rank, ranks=ranks) for rank in range(ranks)]
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    sizes = set()
    for _ in range(EPOCHS):
        for batches in zip(*loaders):
            count = sum(batch.num_graphs for batch in batches)
            sizes |= {batch.num_graphs for batch in batches}
            loss = sum(net.preparation.task.loss(net(b.x, b), b) * b.num_graphs for b in batches) / count
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.state_dict(), sizes


def difference(one, other) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


def test_two_processes_are_one(folder):
    runs = [subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(folder)], cwd=ROOT) for rank in range(2)]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    first, second = (torch.load(folder / f"net{rank}.pt", weights_only=True) for rank in range(2))
    expected, sizes = plain(folder, 2)
    assert len(sizes) > 1  # otherwise the share of a process would not matter
    assert difference(first, second) == 0.0 and difference(first, expected) < 1e-6
    assert difference(expected, prepared(folder)[0].state_dict()) > 1e-3


def test_the_program_under_torchrun(folder, tmp_path, monkeypatch):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "1",
        "examples/with_torchrun.py",
    ]
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    arguments = [str(folder / "labels.csv"), "-o", str(tmp_path / "new" / "net.safetensors"), "--epochs", "1"]
    run = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "accuracy" in run.stdout
    assert learning.load(tmp_path / "new" / "net.safetensors").predict(folder / "meshes" / "e0.obj").label in ("long", "short")


def test_the_plain_loop_is_of_one_process(folder, monkeypatch):
    net, shapes = prepared(folder)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match=r"examples/with_torchrun\.py"):
        learning.train(net, shapes, epochs=1)


def test_lightning_is_the_plain_loop(folder):
    library("pytorch_lightning")
    from examples.with_lightning import Learner, Shapes, trainer

    net, shapes = prepared(folder)
    before = copy.deepcopy(net.state_dict())
    run = trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    run.fit(Learner(net, RATE), Shapes(shapes, shapes, NODES))
    expected, _ = plain(folder, 1)
    assert difference(net.state_dict(), expected) < 1e-6 < difference(before, expected)
    assert float(run.callback_metrics["validation"]) > 0
