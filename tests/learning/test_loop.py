"""The plain loop: it learns, it can be stopped and go on, and evaluation counts what it says."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from gaugenet import data, learning, models
from gaugenet.errors import GaugenetError
from gaugenet.geometry import ProcessParams
from tests.helpers.tables import ellipsoids

PARAMS = ProcessParams(rings=1, normalize=True, features=("hks", "curvature"))
LEVELS = ProcessParams(rings=1, normalize=True, features=("hks", "curvature"), levels=1)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return ellipsoids(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def shapes(table, records):
    return data.MeshDataset.from_table(table, PARAMS, records=records)


def network(shapes, **options):
    torch.manual_seed(0)
    return learning.network(shapes, **{"channels": 4, **options})


def test_networks_for_tasks(table, records, shapes):
    net = network(shapes)
    assert isinstance(net, models.MeshClassifier) and net.preparation.task.classes == ("long", "short")
    parts = data.MeshDataset.from_table(table, LEVELS, task="segment", target="height", records=records)
    net = network(parts, channels=3)
    assert isinstance(net, models.MeshUNet) and net.out_type == parts.out_type and net.options.channels == 3


def test_it_learns_and_is_evaluated(shapes):
    net, seen = network(shapes), []
    history = learning.train(net, shapes, epochs=30, rate=1e-2, nodes=1000, progress=seen.append)
    assert seen == history and [h["epoch"] for h in history] == list(range(1, 31)) and not net.training
    assert history[-1]["loss"] < 0.3 < history[0]["loss"]
    found = learning.evaluate(net, shapes)
    assert found.scores["accuracy"] >= 11 / 12 and found.count == 12 and np.sum(found.confusion) == 12
    assert found.to_dict()["classes"] == ["long", "short"] and "confusion" in str(found)
    # the same answers one by one
    labels = [net.predict(shapes.rows[i].path).label for i in range(12)]
    truth = [row.values["label"] for row in shapes.rows]
    confusion = [[sum(t == a and p == b for t, p in zip(truth, labels)) for b in found.classes] for a in found.classes]
    assert confusion == found.confusion


@pytest.mark.parametrize(
    ("task", "target", "score", "below", "above"),
    [
        ("regress", "length", "length: r2", None, 0.5),
        ("segment", "height", "accuracy", None, 0.6),
        ("segment", "side", "mean_iou", None, 0.2),
        ("vectors", "wind", "relative_error", 0.7, None),
        ("regress", "wind", "wind_0: mean absolute error", 2.0, None),
    ],
)
def test_other_tasks(task, target, score, below, above, table, records):
    params = PARAMS if target == "length" else LEVELS
    shapes = data.MeshDataset.from_table(table, params, task=task, target=target, records=records)
    net = network(shapes)
    history = learning.train(net, shapes, epochs=15, rate=1e-2, nodes=100)
    found = learning.evaluate(net, shapes)
    assert history[-1]["loss"] < history[0]["loss"]
    assert (below is None or found.scores[score] < below) and (above is None or found.scores[score] > above), found.scores
    assert bool(found.confusion) == (task == "segment")


def test_stopped_and_started_again(shapes, tmp_path):
    whole, parts = network(shapes, dropout=0.3), network(shapes, dropout=0.3)
    expected = learning.train(whole, shapes, epochs=4, nodes=60)

    def stop(entry):
        if entry["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learning.train(parts, shapes, epochs=4, nodes=60, checkpoint=tmp_path / "c" / "state.pt", progress=stop)
    fresh = network(shapes, dropout=0.3)
    history = learning.train(fresh, shapes, epochs=4, nodes=60, checkpoint=tmp_path / "c" / "state.pt")
    assert [h["loss"] for h in history] == [h["loss"] for h in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name
    # all is done: nothing more happens
    assert learning.train(network(shapes, dropout=0.3), shapes, epochs=4, checkpoint=tmp_path / "c" / "state.pt") == history
    with pytest.raises(GaugenetError, match="not a checkpoint of this network"):
        learning.train(network(shapes, channels=3), shapes, epochs=4, checkpoint=tmp_path / "c" / "state.pt")
    (tmp_path / "bad.pt").write_bytes(b"no")
    with pytest.raises(GaugenetError, match=r"bad.pt: not a checkpoint"):
        learning.train(network(shapes), shapes, epochs=4, checkpoint=tmp_path / "bad.pt")


def test_arguments_matter(shapes):
    def losses(**options):
        return [h["loss"] for h in learning.train(network(shapes), shapes, epochs=2, **{"nodes": 60, **options})]

    plain = losses()
    assert losses() == plain
    assert losses(seed=1) != plain and losses(rate=1e-2) != plain and losses(nodes=1000) != plain
    before = torch.get_rng_state()
    losses(device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="rate to be a positive number"):
        losses(rate=0.0)
    with pytest.raises(ValueError, match="epochs to be an integer"):
        learning.train(network(shapes), shapes, epochs=-1)
    net = network(shapes)
    one, other = learning.evaluate(net, shapes, nodes=20), learning.evaluate(net, shapes, device="cpu")
    assert one.loss == pytest.approx(other.loss, rel=1e-5) and one.confusion == other.confusion and net.training


def test_a_loss_that_is_no_number(shapes):
    net = network(shapes)
    with torch.no_grad():
        net.head[-1].bias.fill_(float("nan"))
    with pytest.raises(GaugenetError, match="the loss is nan in epoch 1: take a smaller rate"):
        learning.train(net, shapes, epochs=2)


def test_other_tables(shapes, table, records):
    net = network(shapes)
    # a table with fewer classes than were learnt
    few = data.MeshDataset.from_table(table, PARAMS, records=records, on_error="skip")[:4]
    rows = [{"path": few.rows[i].path, "label": "short"} for i in range(4)]
    found = learning.evaluate(net, data.MeshDataset.from_table(rows, PARAMS, records=records))
    assert found.confusion[0] == [0, 0] and sum(found.confusion[1]) == 4
    strange = data.MeshDataset.from_table([{**rows[0], "label": "flat"}], PARAMS, records=records)
    with pytest.raises(ValueError, match="has not learnt: flat; it knows long, short"):
        learning.evaluate(net, strange)
    numbers = data.MeshDataset.from_table(table, PARAMS, task="regress", records=records)
    with pytest.raises(ValueError, match=r"a network for classify of .* and a data set for regress"):
        learning.evaluate(net, numbers)
    bare = copy.deepcopy(net)
    bare.preparation = None
    with pytest.raises(ValueError, match="MeshClassifier needs a preparation"):
        learning.train(bare, shapes)
    with pytest.raises(ValueError, match="expected input features in params"):
        network(data.MeshDataset.from_table(table, ProcessParams(rings=1), records=records))
