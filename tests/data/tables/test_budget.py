"""Batches of as many nodes as memory holds, shared out over processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gaugenet.data import MeshDataset, NodeBudget
from gaugenet.geometry import ProcessParams
from tests.helpers.tables import ellipsoids

SIZES = [5, 9, 1, 7, 3, 3, 8, 2, 6, 20, 4]


def test_no_batch_is_larger_than_the_budget():
    batches = list(NodeBudget(SIZES, 12))
    assert sorted(i for batch in batches for i in batch) == list(range(len(SIZES)))
    assert all(sum(SIZES[i] for i in batch) <= 12 or batch == [9] for batch in batches)
    assert len(batches) == len(NodeBudget(SIZES, 12)) < len(SIZES)
    assert list(NodeBudget(SIZES, 1000)) == [list(range(len(SIZES)))]


def test_every_iteration_is_an_epoch():
    one, other = (NodeBudget(SIZES, 12, shuffle=True) for _ in range(2))
    first = list(one)
    assert first == list(other) and list(one) != first
    one.set_epoch(0)
    assert list(one) == first
    assert list(NodeBudget(SIZES, 12, shuffle=True, seed=5)) != first


@pytest.mark.parametrize("ranks", [2, 3, 50])
def test_ranks_share_the_batches(ranks):
    parts = [list(NodeBudget(SIZES, 12, shuffle=True, rank=r, ranks=ranks)) for r in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    together = [tuple(batch) for part in parts for batch in part]
    whole = [tuple(batch) for batch in NodeBudget(SIZES, 12, shuffle=True)]
    assert set(together) == set(whole) and len(together) - len(whole) == -len(whole) % ranks


def test_wrong_arguments():
    with pytest.raises(ValueError, match="NodeBudget expected nodes to be an integer of at least 1, got 0"):
        NodeBudget(SIZES, 0)
    with pytest.raises(ValueError, match="rank to be an integer from 0 to 1, got 2"):
        NodeBudget(SIZES, 5, rank=2, ranks=2)
    with pytest.raises(TypeError, match="sizes to be a sequence of one or more integers"):
        NodeBudget(5, 5)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    return MeshDataset.from_table(ellipsoids(folder), ProcessParams(rings=1, features=("hks",)), records=folder / "records")


def test_loader(shapes):
    batches = list(shapes.loader(40))
    assert [batch.num_graphs for batch in batches] == [2] * 6 and batches[0].y.tolist() == [1, 1]
    assert [b.name for b in shapes.loader(40, shuffle=True)] != [b.name for b in batches]
    assert [b.name for b in shapes.loader(40, shuffle=True)] != [b.name for b in shapes.loader(40, shuffle=True, seed=1)]
    assert len(list(shapes.loader(40, rank=1, ranks=2))) == 3
    train, _ = shapes.split(0.25)
    assert sum(b.num_graphs for b in train.loader()) == 8 and len(train.loader()) == 1


WORKER = """
import sys, torch
from torch import distributed
from gaugenet.data import NodeBudget
rank, file = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
sampler = NodeBudget([5, 9, 1, 7, 3, 3, 8, 2, 6, 20, 4], 12, shuffle=True)
for _ in range(2):
    batches = list(sampler)
    count = torch.tensor([len(batches), sum(map(len, batches))])
    distributed.all_reduce(count)
    print(rank, count.tolist(), batches)
distributed.destroy_process_group()
"""


def test_two_processes(tmp_path):
    """Two gloo processes: without being told, each takes its half of the same batches, in every epoch."""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", WORKER]
    runs = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True, cwd=root)
        for rank in range(2)
    ]
    printed = [run.communicate(timeout=120)[0].splitlines() for run in runs]
    assert all(run.returncode == 0 for run in runs)
    for epoch in range(2):
        sampler = NodeBudget(SIZES, 12, shuffle=True)
        sampler.set_epoch(epoch)
        whole = [tuple(b) for b in sampler]
        halves = []
        for rank in range(2):
            _, counts, batches = printed[rank][epoch].split(" ", 1)[0], *_parsed(printed[rank][epoch])
            assert counts[0] == len(whole) + len(whole) % 2
            halves += [tuple(b) for b in batches]
        assert set(halves) == set(whole)
    assert torch.distributed.is_available()


def _parsed(line: str) -> tuple[list, list]:
    import ast

    text = line.split(" ", 1)[1]
    end = text.index("]") + 1
    return ast.literal_eval(text[:end]), ast.literal_eval(text[end:].strip())
