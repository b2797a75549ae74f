"""examples/rna.py and examples/parts.py on small meshes, from end to end; and the surfaces that both are made of."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import pytest
import torch
import trimesh
from torch_geometric.data import Batch

import gaugenet
from examples import common, parts, rna, surface_nets, surfaces
from examples.surfaces import Surface
from gaugenet.data import Task
from tests.helpers.extras import library
from tests.helpers.meshes import bumpy

SMALL = ["--seeds", "1", "--epochs", "1", "--levels", "1", "--channels", "4", "--jobs", "0"]


def body(seed: int, level: int = 2) -> Surface:
    """Left, middle and right of a bumpy ball, as it lies in its own axes."""
    vertices, faces = bumpy(level)
    labels = np.digitize(vertices[:, 0], [-0.3, 0.3])
    return Surface(f"body{seed}", vertices, faces, labels).varied(seed)._replace(name=f"body{seed}")


def signed_volume(s: Surface) -> float:
    a, b, c = (s.vertices[s.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def test_mirrored_surfaces_stay_outside_out():
    s = body(0)
    m = s.mirrored()
    assert signed_volume(m) == pytest.approx(signed_volume(s)) and signed_volume(s) > 0
    assert m.labels is s.labels and m.name != s.name


def test_variations_keep_the_mesh_and_move_by_little():
    s, v = body(0), body(0).varied(3, stretch=0.1)
    assert (v.faces == s.faces).all() and v.name != s.name
    moved = np.linalg.norm(v.vertices - s.vertices, axis=1) / np.linalg.norm(s.vertices, axis=1)
    assert 0.01 < moved.max() < 0.11
    assert np.allclose(s.varied(3, stretch=0.0).vertices, s.vertices)


@pytest.mark.parametrize("place", ["vertices", "faces"])
def test_coarse_surfaces_have_the_labels_that_are_nearest(place):
    library("fast_simplification")
    s = body(0, 3)
    if place == "faces":
        s = s._replace(labels=np.digitize(s.vertices[s.faces].mean(1)[:, 0], [-0.3, 0.3]))
    coarse = s.decimated(len(s.vertices) // 3)
    assert abs(len(coarse.vertices) - len(s.vertices) / 3) < 0.1 * len(s.vertices)
    points = coarse.vertices if place == "vertices" else coarse.vertices[coarse.faces].mean(1)
    assert len(coarse.labels) == len(points)
    sure = np.abs(np.abs(points[:, 0]) - 0.3) > 0.2
    assert (coarse.labels == np.digitize(points[:, 0], [-0.3, 0.3]))[sure].all()
    assert s.decimated(len(s.vertices)) is s


@pytest.mark.parametrize("chosen", [[], [0], [0, 1, 2, 7], range(150), range(320)])
def test_split_triangles_meet_along_whole_edges(chosen):
    vertices, faces = bumpy(2)
    v, f = surfaces.split_edges(vertices, faces, np.array(list(chosen), int))
    mesh, before = (trimesh.Trimesh(*part, process=False) for part in ((v, f), (vertices, faces)))
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2
    assert mesh.area == pytest.approx(before.area) and mesh.volume == pytest.approx(before.volume)
    assert np.array_equal(v[: len(vertices)], vertices) and mesh.area_faces.min() > 0.2 * before.area_faces.min()
    if len(chosen) == len(faces):
        assert len(f) == 4 * len(faces)
    if len(chosen) == 1:  # that one in four, its three neighbours in two
        assert len(f) == len(faces) + 3 + 3 and len(v) == len(vertices) + 3


def test_refined_on_a_side():
    library("fast_simplification")
    s = body(0, 4)
    fine = s.refined(3)
    assert 0.7 * len(s.vertices) < len(fine.vertices) < 1.4 * len(s.vertices)
    assert trimesh.Trimesh(fine.vertices, fine.faces, process=False).is_watertight
    areas = trimesh.Trimesh(fine.vertices, fine.faces, process=False).area_faces
    normal = np.random.default_rng(3).normal(size=3)
    place = (fine.vertices - fine.vertices.mean(0))[fine.faces].mean(1) @ normal
    sides = [areas[place < -0.5].mean(), areas[place > 0.5].mean()]
    assert 2 < sides[0] / sides[1] < 6  # decimation sees where the surface is bent, too
    sure = np.abs(np.abs(fine.vertices[:, 0]) - 0.3) > 0.2
    known = s.labels_at(fine.vertices)
    assert (fine.labels == known).all() and (np.digitize(fine.vertices[:, 0], [-0.3, 0.3]) == known)[sure].mean() > 0.9


def test_even_meshes():
    """Of edges of one length, whatever the triangles were; with a fin that makes it no manifold, and vertices without faces."""
    library("gpytoolbox")
    s = body(0, 4)
    place = s.vertices[s.faces].mean(1)[:, 2] > 0
    vertices, faces = surfaces.split_edges(s.vertices, s.faces, np.flatnonzero(place))
    fin = [*faces[0][:2], len(vertices)]  # a third face at an edge
    vertices = np.concatenate([vertices, [1.01 * vertices[faces[0, 2]]], np.zeros((3, 3))])
    uneven = surfaces.Surface("uneven", vertices, np.concatenate([faces, [fin]]), s.labels_at(vertices))
    for count in (1000, 3000):
        even = uneven.even(count)
        mesh, before = (trimesh.Trimesh(of.vertices, of.faces, process=False) for of in (even, s))
        assert abs(len(even.vertices) - count) < 0.15 * count
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.area == pytest.approx(before.area, rel=0.05)
        length = mesh.edges_unique_length
        assert np.std(length) < 0.2 * np.mean(length) and even.name != uneven.name
        sure = np.abs(np.abs(even.vertices[:, 0]) - 0.3) > 0.2
        assert (even.labels == np.digitize(even.vertices[:, 0], [-0.3, 0.3]))[sure].all()


def test_vertices_that_no_face_uses_have_no_say(tmp_path):
    s = body(0)
    lonely = s._replace(vertices=np.concatenate([s.vertices, s.vertices[:5]]), labels=np.concatenate([s.labels, [9] * 5]))
    assert 9 not in lonely.labels_at(lonely.vertices)


def test_networks_have_as_many_parameters(tmp_path):
    args = argparse.Namespace(channels=4, levels=1, dropout=0.1)
    params = gaugenet.geometry.ProcessParams(rings=1, normalize=True, features=surface_nets.FEATURES, levels=1)
    dataset, graphs = surfaces.graphs_of([body(0)], params, tmp_path)
    assert dataset.task.classes == ("0", "1", "2")
    nets = {name: surface_nets.build(name, graphs["body0"], 3, args) for name in surface_nets.MODELS}
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    for name, size in sizes.items():
        assert abs(size - sizes["gauge"]) < 0.2 * sizes["gauge"], (name, sizes)


def test_who_sees_the_hand_of_a_surface(tmp_path):
    """Over O(2) pseudo-scalars change their signs in the mirror image, scalars stay; over SO(2) all may change."""
    args = argparse.Namespace(channels=4, levels=0, dropout=0.0)
    params = gaugenet.geometry.ProcessParams(rings=1, normalize=True, features=surface_nets.FEATURES)
    shape = body(0)
    _, graphs = surfaces.graphs_of([shape, shape.mirrored()], params, tmp_path)
    one, other = (graph.double() for graph in graphs.values())
    answers = {}
    for name in ("gauge", "gauge, O(2)", "mirror-blind"):
        torch.manual_seed(0)
        net = surface_nets.build(name, one, 6, args).double().eval()
        answers[name] = [net(graph.features(*surface_nets.FEATURES), graph).detach() for graph in (one, other)]
    seen, mirrored = answers["gauge, O(2)"]
    assert torch.allclose(seen * torch.tensor([1, 1, 1, -1, -1, -1]), mirrored, atol=1e-4)
    assert (seen - mirrored)[:, 3:].std() > 0.01
    assert torch.allclose(*answers["mirror-blind"], atol=1e-4) and not torch.allclose(*answers["gauge"], atol=1e-2)


def test_an_edge_network_sees_neighbours(tmp_path):
    """And a pointwise one does not: what changes when one node's features do."""
    args = argparse.Namespace(channels=4, levels=0, dropout=0.0)
    params = gaugenet.geometry.ProcessParams(rings=1, normalize=True, features=surface_nets.FEATURES)
    _, graphs = surfaces.graphs_of([body(0)], params, tmp_path)
    graph = graphs["body0"]
    x = graph.features(*surface_nets.FEATURES)
    other = x.clone()
    other[0] += 1
    for name, more in (("EdgeCNN", True), ("pointwise", False)):
        net = surface_nets.build(name, graph, 3, args).eval()
        moved = (net(x, graph) != net(other, graph)).any(1)
        assert moved[0] and moved[1:].any() == more, name


def test_networks_of_another_kind_have_a_rate_of_their_own(tmp_path, monkeypatch):
    assert surface_nets.RATES.keys() < surface_nets.MODELS.keys()
    args = argparse.Namespace(
        channels=4, levels=0, dropout=0.0, batch_size=1, epochs=1, lr=0.02, weight_decay=0.0, device="cpu"
    )
    params = gaugenet.geometry.ProcessParams(rings=1, normalize=True, features=surface_nets.FEATURES)
    _, graphs = surfaces.graphs_of([body(0)], params, tmp_path)
    given = []
    monkeypatch.setattr(common, "train", lambda *_, lr, **options: given.append(lr))
    list(surfaces.learnt(["gauge", "DiffusionNet", "EdgeCNN"], 0, list(graphs.values()), 3, lambda *_: None, args))
    assert given == pytest.approx([0.02, 0.003, 0.004])


def test_models_are_compared_shape_by_shape():
    """Shapes and seeds differ much more than the models do, and do not hide it; a seed that only one has does not count."""
    scores = {
        ("a", 0): [11, 52, 93],
        ("a", 1): [22, 61, 82],
        ("b", 0): [10, 50, 90],
        ("b", 1): [20, 60, 80],
        ("b", 2): [0, 0, 0],
    }
    runs = [{"model": name, "seed": seed, "each": each} for (name, seed), each in scores.items()]
    over = common.standard_error([1, 2, 3, 2, 1, 2])
    assert common.ahead(runs, "a", "b", "each") == f"1.83 ± {1 / 6:.2g} (seeds) ± {over:.2g} (shapes)"
    assert common.ahead(runs, "b", "a", "each", sign=-1) == common.ahead(runs, "a", "b", "each")
    assert common.ahead(runs[:1], "a", "b", "each") == common.ahead(runs, "a", "a", "each") == "-"
    assert "seeds" not in common.ahead(runs[:3], "a", "b", "each")


@pytest.fixture
def molecules(tmp_path):
    for part, seeds in (("train", (0, 1)), ("test", (2,))):
        (tmp_path / "data" / part).mkdir(parents=True)
        for seed in seeds:
            s = body(seed)
            vertices = np.concatenate([s.vertices, s.vertices[:2] * 1.01]).astype(np.float32)
            labels = np.concatenate([s.labels - 1, s.labels[:2] - 1]).astype(np.int16)
            np.savez(tmp_path / "data" / part / f"M{seed}.npz", vertices=vertices, faces=s.faces, labels=labels)
    return tmp_path / "data"


def test_rna_from_end_to_end(molecules, tmp_path, monkeypatch, capsys):
    library("gpytoolbox")
    out = tmp_path / "rna.json"
    kept = ["--out", str(out), "--records", str(tmp_path / "records"), "--save", str(tmp_path)]
    models = ["--models", "gauge", "mirror-blind", "pointwise"]
    monkeypatch.setattr(sys, "argv", ["rna.py", "--data", str(molecules), "--vertices", "120", *SMALL, *models, *kept])
    rna.main()
    runs = {r["model"]: r for r in json.loads(out.read_text())["runs"]}
    assert set(runs) == {rna.MAJORITY, "gauge", "mirror-blind", "pointwise"}
    for name in ("mirror-blind", "pointwise"):  # what no mirroring changes
        assert runs[name]["accuracy"] == pytest.approx(runs[name]["accuracy, mirrored"], abs=0.2)
    text = out.with_suffix(".md").read_text()
    assert all(f"| {name} |" in text for name in runs)
    # The weights that were saved give the row again.
    more = ["--weights", str(tmp_path / "rna-gauge-0.safetensors"), "--picture", str(tmp_path / "rna.png")]
    monkeypatch.setattr(sys, "argv", [*sys.argv, *more])
    capsys.readouterr()
    rna.main()
    assert (
        f"{runs['gauge']['accuracy']:.2f} %, on mirror images {runs['gauge']['accuracy, mirrored']:.2f}"
        in capsys.readouterr().out
    )
    assert (tmp_path / "rna.png").stat().st_size > 10_000
    monkeypatch.setattr(sys, "argv", sys.argv[:-4])
    before = out.read_text()
    rna.main()  # nothing is repeated
    assert out.read_text() == before


def test_answers_get_to_their_vertices(tmp_path):
    """A network that knows the labels of the nodes is right, but where the coarser mesh cuts labels off."""
    library("fast_simplification")
    s = body(0, 3)
    s = s._replace(
        vertices=np.concatenate([s.vertices, s.vertices[:9]]) * 7 + 3, labels=np.concatenate([s.labels, s.labels[:9]])
    )
    coarse = s.decimated(len(s.vertices) // 2)
    params = gaugenet.geometry.ProcessParams(rings=1, normalize=True, renumber=True, features=("curvature",))
    _, graphs = surfaces.graphs_of([coarse], params, tmp_path)
    (graph,) = graphs.values()
    graph.x = None
    knows = lambda x, g: torch.nn.functional.one_hot(g.y, 3).float()  # noqa: E731
    rna.with_labels(graph, coarse, s, Task("segment", classes=("0", "1", "2"), on="vertices"))
    assert rna.share_of_right(knows, graph) > 95
    # Of two graphs together, those of each.
    both = surfaces.at_points(torch.cat([knows(None, graph)] * 2), Batch.from_data_list([graph, graph]))
    assert torch.equal(both, surfaces.at_points(knows(None, graph), graph).repeat(2, 1))


def test_rna_splits_what_has_no_test_folder(molecules):
    (molecules / "test" / "M2.npz").rename(molecules / "train" / "M2.npz")
    (molecules / "test").rmdir()
    for k in range(3, 6):
        (molecules / "train" / f"M{k}.npz").write_bytes((molecules / "train" / "M2.npz").read_bytes())
    train, test = rna.split(molecules, 0)
    assert len(train) == 5 and len(test) == 1 and not {s.name for s in train} & {s.name for s in test}
    assert rna.split(molecules, 0)[1][0].name == test[0].name
    assert min(s.labels.min() for s in train) == 0  # -1 of the file is a class like the others


def write_princeton(folder, seeds) -> None:
    folder.mkdir(parents=True)
    made = [body(seed, 1) for seed in seeds]
    v, f = [s.vertices.astype(np.float32) for s in made], [s.faces for s in made]
    label = [np.digitize(s.vertices[s.faces].mean(1)[:, 0], [0.0]) for s in made]
    np.savez(
        folder / "psb_2k.npz",
        V=np.concatenate(v),
        F=np.concatenate(f),
        face_label=np.concatenate(label),
        v_ptr=np.cumsum([0, *map(len, v)]),
        f_ptr=np.cumsum([0, *map(len, f)]),
        category=np.arange(len(made)) % 2,
        mesh_id=np.arange(len(made)) + 1,
    )
    names = {"A": ["left", "right"], "B": ["left", "right"]}
    (folder / "index.json").write_text(json.dumps({"categories": ["A", "B"], "parts": names}))


def test_parts_from_end_to_end(tmp_path, monkeypatch, capsys):
    library("fast_simplification")
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    write_princeton(tmp_path / "train", range(4))
    write_princeton(tmp_path / "test", range(4, 6))
    out = tmp_path / "parts.json"
    data = ["--data", str(tmp_path / "train"), "--test", str(tmp_path / "test"), "--radius", "0.4"]
    kept = ["--out", str(out), "--records", str(tmp_path / "records"), "--save", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["parts.py", *data, *SMALL, "--models", "gauge", "order 0", *kept])
    parts.main()
    runs = {r["model"]: r for r in json.loads(out.read_text())["runs"]}
    assert set(runs) == {parts.MAJORITY, "gauge", "order 0"}
    for name in ("gauge", "order 0"):
        assert all(len(runs[name][f"{change}, each"]) == 2 for change in parts.CHANGES)
    assert 40 < runs[parts.MAJORITY]["clean"] < 75
    assert "| gauge |" in out.with_suffix(".md").read_text()
    # The weights that were saved give the row again.
    more = ["--weights", str(tmp_path / "parts-gauge-0.safetensors"), "--picture", str(tmp_path / "parts.png")]
    monkeypatch.setattr(sys, "argv", [*sys.argv, *more])
    capsys.readouterr()
    parts.main()
    assert parts.told("", runs["gauge"]).strip() in capsys.readouterr().out
    assert (tmp_path / "parts.png").stat().st_size > 20_000


def test_logits_of_faces_are_those_of_the_category():
    graph = argparse.Namespace(face=torch.tensor([[0, 1], [1, 2], [2, 3]]), category=torch.tensor([1]))
    values = parts.at_faces(torch.arange(20.0).view(4, 5), graph, [0, 2, 5])
    assert values[:, :2].isneginf().all() and torch.equal(values[0, 2:], torch.tensor([7.0, 8, 9]))


def test_changed_meshes_keep_their_parts():
    library("fast_simplification")
    s = body(0, 2)
    s = s._replace(labels=np.digitize(s.vertices[s.faces].mean(1)[:, 0], [0.0]))
    for change in parts.CHANGES:
        c = parts.changed(s, change)
        centre = c.vertices[c.faces].mean(1)[:, 0]
        sure = np.abs(centre) > 0.25
        assert len(c.labels) == len(c.faces) and (c.labels == np.digitize(centre, [0.0]))[sure].mean() > 0.99
        assert signed_volume(c) == pytest.approx(signed_volume(s), rel=0.15)
        if change == "halved":
            assert len(c.vertices) < 0.6 * len(s.vertices)
