"""The networks that ship under examples/weights give what the committed tables say of them."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import gaugenet
from examples import correspondence, parts, rna, vessels
from gaugenet.data import GaugeGraph
from tests.helpers.extras import library
from tests.helpers.meshes import cylinder

WEIGHTS = Path(rna.__file__).parent / "weights"
RESULTS = Path(rna.__file__).parents[1] / "benchmarks" / "results"


def shipped(name: str):
    file = WEIGHTS / f"{name}.safetensors"
    assert file.stat().st_size < 5e6
    return gaugenet.load(file).eval()


def row(name: str, model: str = "gauge") -> dict:
    """The first run of a model in the committed results."""
    runs = json.loads((RESULTS / f"{name}.json").read_text())["runs"]
    return next(r for r in runs if r["model"] == model and r["seed"] == 0)


def test_rna(shared):
    """On a test molecule of the first split as good as the table says, and lost on its mirror image."""
    library("gpytoolbox")
    net = shipped("rna")
    molecule = rna.split(shared / "data" / "rna", 0)[1][0]
    coarse = molecule.even(5000)
    right = []
    for surface, mesh in ((molecule, coarse), (molecule.mirrored(), coarse.mirrored())):
        graph = net.preparation.graph(net.preparation.geometry((mesh.vertices, mesh.faces)), torch.float32)
        rna.with_labels(graph, mesh, surface, net.preparation.task)
        right.append(rna.share_of_right(net, graph))
    known = row("rna")
    assert right[0] == pytest.approx(known["accuracy, each"][0], abs=1)
    assert right[1] == pytest.approx(known["accuracy, mirrored, each"][0], abs=2)


def test_parts(shared, tmp_path, monkeypatch):
    """On the first six test meshes of the first split."""
    library("fast_simplification")
    net = shipped("parts")
    monkeypatch.setattr(parts, "CHANGES", ("clean", "halved"))
    monkeypatch.setattr(sys, "argv", ["parts.py", "--data", str(shared / "data" / "psb_labeled"), "--records", str(tmp_path)])
    args = parts.parse_arguments()
    args.jobs = 0
    _, test, first = parts.split(args, 0)
    variants = parts.variants_of(test[:6])
    everything = [s for part in variants.values() for s in part]
    _, graphs = parts.prepared(everything, net.preparation.params, first, args)
    found, known = parts.tested(net, net.preparation, graphs, variants, first), row("parts")
    for change in parts.CHANGES:
        assert found[f"{change}, each"] == pytest.approx(known[f"{change}, each"][:6], abs=1.5)


def test_correspondence(shared, tmp_path, monkeypatch):
    """Three test bodies are matched, and the sides are right."""
    library("potpourri3d")
    net = shipped("correspondence")
    data = ["--data", str(shared / "data" / "faust_remeshed"), "--records", str(tmp_path), "--jobs", "0", "--points", "60"]
    monkeypatch.setattr(sys, "argv", ["correspondence.py", *data])
    args = correspondence.parse_arguments()
    shapes, _ = correspondence.load(args).tests["FAUST_r"]
    some = correspondence.Collection([], {"FAUST_r": (shapes[:12:5], [(0, 1), (1, 2), (2, 0)])})
    graphs = correspondence.graphs_of(some, [], net.preparation.params, args)
    found = correspondence.tested(partial(correspondence.describe, net), some, graphs, net.preparation, args)
    for way in ("", correspondence.MAPPED):
        assert np.mean(found["FAUST_r" + way]["error"]) < 2 and np.mean(found["FAUST_r" + way]["swapped"]) < 2


def test_vessels(tmp_path):
    """In a straight tube the stress is Poiseuille's: of size 1, along the tube, away from the inlet."""
    net = shipped("vessels")
    points, faces = cylinder(around=20, along=50, height=16.0)
    points = 1.5 * points
    file = tmp_path / "tube.npz"
    along = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    np.savez(
        file,
        vertices=points.astype(np.float32),
        faces=faces.astype(np.int32),
        distance=points[:, 2].astype(np.float32),
        wss=along.astype(np.float32),
        reynolds=np.float64(150.0),
        poiseuille_wss=np.float64(1.0),
    )
    args = type("Args", (), {"rings": 2, "levels": 4, "records": tmp_path})
    graph: GaugeGraph = vessels.graph_of(file, args)
    with torch.no_grad():
        answer = net(graph.x, graph)
    inside = (graph.pos[:, 2] > 4) & (graph.pos[:, 2] < 20)
    error = (answer - graph.y)[inside].norm(dim=1)
    assert float(error.mean()) < 0.3
