"""The example of shape classification: baselines that deserve the name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from gaugenet import geometry, testing
from gaugenet.data import FeatureScaler, feature_type
from gaugenet.nn import GaugeConv
from tests.helpers.meshes import bumpy

FEATURES = ["hks", "second_fundamental_form"]


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    import shape_classification

    return shape_classification


@pytest.fixture(scope="module")
def graphs():
    v, f = bumpy(2)
    made = [geometry.mesh(v * s, f, rings=1, features=FEATURES, levels=1).to_graph() for s in ([1, 1, 1], [1, 2, 1])]
    return [FeatureScaler(FEATURES).fit(made)(graph) for graph in made]


ARGUMENTS = SimpleNamespace(levels=1, channels=2, dropout=0.0)


@pytest.mark.parametrize("name", ["gauge", "isotropic", "pointwise"])
def test_no_model_reads_the_frames(example, graphs, name):
    torch.manual_seed(0)
    in_type = feature_type(graphs[0], *FEATURES)
    model = example.MODELS[name](in_type, 3, ARGUMENTS).double()
    graph = graphs[0].double()
    assert testing.equivariance_error(model, graph, in_type, x=graph.x) < 1e-10


@pytest.mark.parametrize("name", ["gauge", "isotropic"])
def test_tables_are_made_once(example, graphs, name, monkeypatch):
    model = example.MODELS[name](feature_type(graphs[0], *FEATURES), 3, ARGUMENTS)
    graphs = example.with_tables(model, [graph.clone().float() for graph in graphs])

    def never(self, graph):
        raise AssertionError("a table was made in a step")

    monkeypatch.setattr(GaugeConv, "table", never)
    for batch in DataLoader(graphs, 2):
        model(batch.x, batch)


def test_the_learning_curve_counts_whole_epochs(example, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "close", lambda which: None)
    example.draw(np.eye(2, dtype=int), ["a", "b"], {"gauge": [1.0, 0.5, 0.4]}, tmp_path)
    axes = plt.gcf().axes[0]
    plt.gcf().canvas.draw()
    ticks = axes.get_xticks()
    assert axes.get_xlabel() == "epoch" and len(ticks) > 1 and (ticks == np.rint(ticks)).all()
    assert (tmp_path / "training_curve.png").stat().st_size > 1000
    monkeypatch.undo()
    plt.close("all")


def test_the_demo_says_first_what_it_does():
    text = (Path(__file__).parents[2] / "Makefile").read_text()
    recipe = text[text.index("demo: ") :].split("\n\n")[0].splitlines()[1:]
    assert recipe[0].startswith('\t@echo "The demo: 1.') and "minute" in recipe[0] and "gaugenet preprocess" in recipe[2]
