"""examples/correspondence.py on small meshes, from end to end; and its scores on matches that are known."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import gaugenet
from datasets.shape_generator.build import build
from examples import correspondence, matching
from examples.correspondence import Shape
from examples.surfaces import split_edges
from gaugenet import geometry
from gaugenet.data import FeatureScaler, Preparation, Task
from gaugenet.geometry import ProcessParams
from tests.helpers.extras import library
from tests.helpers.meshes import bumpy

SMALL = ["--seeds", "1", "--epochs", "1", "--levels", "1", "--channels", "4", "--jobs", "0", "--points", "20"]


def mirrored_ball() -> Shape:
    """The icosphere, which is its own mirror image: every vertex a point of the template."""
    geom = gaugenet.geometry.icosphere(2)
    vertices, faces = geom.positions, geom.faces
    other = np.argmin(np.linalg.norm(vertices[:, None] * [-1, 1, 1] - vertices[None], axis=2), axis=1)
    return Shape("ball", vertices.astype(np.float32), faces, np.arange(len(vertices)), other)


def test_scores_know_right_from_mirrored(tmp_path):
    library("potpourri3d")
    ball, chosen = mirrored_ball(), np.arange(60)
    distance = correspondence.geodesics(ball, chosen, tmp_path)
    assert correspondence.scores(ball.match[chosen], ball, chosen, distance) == pytest.approx((0, 0, 0), abs=1e-4)
    error, either, swapped = correspondence.scores(ball.mirrored[chosen], ball, chosen, distance)
    assert error > 20 and either == pytest.approx(0, abs=1e-4) and swapped == 100
    # A point and its antipode: half the circumference over the root of the area, by the heat method on a coarse mesh.
    away = np.argmin(ball.vertices @ ball.vertices[chosen[0]])
    assert distance[int(chosen[0])][away] == pytest.approx(np.pi / np.sqrt(4 * np.pi), rel=0.1)
    kept = correspondence.geodesics(ball, chosen, tmp_path)  # from the file
    assert all(np.array_equal(kept[k], distance[k]) for k in distance)


def test_loss_is_low_where_descriptors_are_those_of_the_template():
    model = correspondence.Matcher(torch.nn.Identity(), 50)
    graph = type("Graph", (), {"match_index": torch.arange(50)})
    right = torch.nn.functional.normalize(model.template.detach(), dim=1)
    assert model.loss(right, graph) < 0.5 * model.loss(right.roll(1, 0), graph)


def write(file, names) -> None:
    shapes = [bumpy(2, seed=k) for k in range(len(names))]
    v, f = [x.astype(np.float32) for x, _ in shapes], [t.astype(np.int32) for _, t in shapes]
    corres = np.tile(np.arange(len(v[0]), dtype=np.int32), (len(names), 1))
    pointers = {"v_ptr": np.cumsum([0, *map(len, v)]), "f_ptr": np.cumsum([0, *map(len, f)])}
    np.savez(file, V=np.concatenate(v), F=np.concatenate(f), corres=corres, names=np.array(names), **pointers)


def test_runs_from_end_to_end(tmp_path, monkeypatch, capsys):
    library("potpourri3d")
    write(tmp_path / "animals.npz", ["cat", "dog", "cow", "horse"])
    out = tmp_path / "c.json"
    kept = ["--out", str(out), "--records", str(tmp_path / "records"), "--save", str(tmp_path)]
    models = ["--models", correspondence.SIDED, "pointwise"]
    command = ["correspondence.py", "--data", str(tmp_path / "animals.npz"), *SMALL, *models, *kept]
    monkeypatch.setattr(sys, "argv", command)
    correspondence.main()
    runs = json.loads(out.read_text())["runs"]
    assert [r["model"] for r in runs] == [correspondence.HEAT, correspondence.SIDED, "pointwise"]
    for r in runs:
        assert len(r["held out"]["error"]) == 2 and all(0 < e < 100 for e in r["held out"]["error"])
        assert np.isnan(r["held out"]["swapped"]).all()
    shown = out.with_suffix(".md").read_text()
    assert f"| {correspondence.SIDED} |" in shown and "nan" not in shown
    assert isinstance(gaugenet.load(tmp_path / "correspondence-gauge,-O(2)-0.safetensors"), gaugenet.models.MeshUNet)
    # The weights that were saved give the row again.
    more = ["--weights", str(tmp_path / "correspondence-gauge,-O(2)-0.safetensors"), "--picture", str(tmp_path / "bodies.png")]
    monkeypatch.setattr(sys, "argv", [*sys.argv, *more])
    capsys.readouterr()
    correspondence.main()
    assert correspondence.told("", runs[1]).strip() in capsys.readouterr().out
    assert (tmp_path / "bodies.png").stat().st_size > 20_000


def test_collections(tmp_path):
    write(tmp_path / "a.npz", ["one", "two", "three"])
    write(tmp_path / "b.npz", ["four", "five"])
    args = type("Args", (), {"data": tmp_path / "a.npz", "test": tmp_path / "b.npz"})
    found = correspondence.load(args)
    assert [s.name for s in found.train] == ["one", "two", "three"]
    shapes, pairs = found.tests["b"]
    assert [s.name for s in shapes] == ["four", "five"] and pairs == [(0, 1), (1, 0)]
    args.test = None
    found = correspondence.load(args)
    assert [s.name for s in found.train] == ["one"] and [s.name for s in found.tests["held out"][0]] == ["two", "three"]


def test_few_shapes_are_seen_more_often():
    """FAUST keeps its ten epochs; 29 animals or 9 bodies, each with a copy, are seen until there are 1,600 steps."""
    options = {"limit": None, "copies": 1, "batch_size": 1, "epochs": None}

    def epochs(count: int, **changed) -> int:
        args = type("Args", (), {**options, **changed})
        return correspondence.epochs_of(correspondence.Collection([None] * count, {}), args)

    assert [epochs(count) for count in (80, 29, 9, 1000)] == [10, 28, 89, 10]
    assert epochs(80, limit=40) == epochs(40) == 20 and epochs(29, copies=0) == 56 and epochs(29, batch_size=4) == 107
    assert epochs(29, epochs=3) == 3


def test_faust(shared):
    args = type("Args", (), {"data": shared / "data" / "faust_remeshed", "test": shared / "data/duofm/faust_a_test.npz"})
    found = correspondence.load(args)
    assert len(found.train) == 80 and len(found.tests["FAUST_r"][0]) == 20 and len(found.tests["FAUST_r"][1]) == 380
    # Both test sets count the points of one template: scan 80 is the same body in both, up to its pose's scale and place.
    (a, _), (b, _) = found.tests["FAUST_r"], found.tests["faust_a_test"]
    p, q = (s.vertices[s.match] - s.vertices[s.match].mean(0) for s in (a[0], b[0]))
    p, q = p / np.linalg.norm(p), q / np.linalg.norm(q)
    u, _, v = np.linalg.svd(p.T @ q)
    assert np.linalg.norm(p @ u @ v - q, axis=1).max() < 0.05 * np.ptp(q, axis=0).max()
    mirrored = b[0].vertices[b[0].mirrored]
    away = np.linalg.norm(mirrored - b[0].vertices[b[0].match], axis=1)
    assert away.max() > 0.3 * np.ptp(b[0].vertices, axis=0).max()


def test_right_descriptors_match_right(tmp_path):
    """A network that knows the template's point at every node makes no error, whatever the order of the nodes."""
    library("potpourri3d")
    vertices, faces = bumpy(2, seed=1)
    # Ten vertices that no face uses come first; the template's points lie on the others.
    vertices = np.concatenate([np.full((10, 3), 5.0), vertices]).astype(np.float32)
    shape = Shape("bumpy", vertices, faces + 10, np.arange(10, len(vertices)), None)
    args = type("Args", (), {"rings": 1, "levels": 0, "jobs": 0, "records": tmp_path, "points": 40})
    data = correspondence.Collection([shape], {"same": ([shape, shape._replace(name="again")], [(0, 1), (1, 0)])})
    params = ProcessParams(rings=1, normalize=True, repair=True, features=("curvature",))
    graphs = correspondence.graphs_of(data, data.train, params, args)
    graph = graphs["same-bumpy"]

    class Knows(torch.nn.Module):
        def forward(self, x, graph):
            return torch.nn.functional.normalize(graph.pos - graph.pos.mean(0), dim=1)

    assert graph.num_nodes == len(vertices) - 10
    preparation = Preparation(params, FeatureScaler(("curvature",)).fit(list(graphs.values())), Task("regress", ("one",)))
    found = correspondence.tested(Knows(), data, graphs, preparation, args)
    assert found["same"]["error"] == pytest.approx([0, 0], abs=1e-3)
    assert found["same, mapped"]["error"] == pytest.approx([0, 0], abs=1e-3)


def test_copies_are_stretched_meshed_anew_and_every_other_one_mirrored():
    library("fast_simplification")
    ball = mirrored_ball()
    one, two = ball.copy(0), ball.copy(1)
    # The mirror image of the ball shows its points at the place of the other side, but for stretching and meshing.
    for copy, points, others in ((one, ball.mirrored, ball.match), (two, ball.match, ball.mirrored)):
        for found, known in ((copy.match, points), (copy.mirrored, others)):
            image = ball.vertices * ([-1, 1, 1] if copy is one else [1, 1, 1])
            assert np.linalg.norm(copy.vertices[found] - image[known], axis=1).max() < 0.5
        corners = copy.vertices[copy.faces].astype(np.float64)
        assert np.linalg.det(corners).min() > 0  # normals outside
        assert copy.faces.shape != ball.faces.shape or not np.array_equal(copy.faces, ball.faces)
        assert abs(len(copy.vertices) - len(ball.vertices)) < 0.1 * len(ball.vertices)
    assert len({one.name, two.name, ball.name}) == 3
    unknown = ball._replace(mirrored=None).copy(0)
    assert unknown.mirrored is None and np.linalg.norm(unknown.vertices[unknown.match] - ball.vertices, axis=1).max() < 0.5


def test_maps_see_the_whole_surface(surface_in_two_sizes):
    """Nine of ten nodes lie on one half: the map is right on the other one, too."""
    one, other, at = surface_in_two_sizes
    found = matching.by_map(one, other, at)
    error = (other.pos[found] - one.pos[at]).norm(dim=1) / one.basis.area.sqrt()
    assert error.mean() < 0.1 and (error > 0.3).double().mean() < 0.05  # of nodes alike: 0.4


def test_maps_survive_wrong_matches(surface_in_two_sizes):
    """A quarter of the nodes have the descriptors of others: their matches still lie near the right places."""
    _, body, _ = surface_in_two_sizes
    wrong = torch.randperm(len(body.pos), generator=torch.Generator().manual_seed(0))
    wrong = wrong[: len(wrong) // 4]
    descriptors = body.descriptors.clone()
    descriptors[wrong] = descriptors[wrong.roll(1)]
    confused = body._replace(descriptors=descriptors)
    every = torch.arange(len(body.pos))
    error = (body.pos[matching.by_map(confused, body, every)] - body.pos).norm(dim=1) / body.basis.area.sqrt()
    alone = (body.pos[(descriptors @ body.descriptors.T).argmax(1)] - body.pos).norm(dim=1) / body.basis.area.sqrt()
    assert (alone > 0.3).double().mean() > 0.1 and error.max() < 0.2


def test_generated_bodies(shared):
    library("fast_simplification")
    found = correspondence.load(type("Args", (), {"data": shared / "data" / "anny", "test": None}))
    shapes, pairs = found.tests["generated"]
    assert len(found.train) == 9 and len(shapes) == 3 and len(pairs) == 6
    # One topology, and no two bodies have the same triangles; points lie where they should, and their images across.
    assert not np.array_equal(shapes[0].faces, shapes[1].faces)
    for shape in shapes:
        size = np.ptp(shape.vertices, axis=0).max()
        here, there = shape.vertices[shape.match], shape.vertices[shape.mirrored]
        assert np.linalg.norm(here * [-1, 1, 1] - there, axis=1).max() < 0.05 * size
        assert 0 < np.unique(shape.match).size < len(shape.vertices)
    # Shapes of another file lie on another template.
    with pytest.raises(SystemExit, match="leave --test out"):
        correspondence.load(type("Args", (), {"data": shared / "data" / "anny", "test": shared / "smal.npz"}))


@pytest.fixture
def surface_in_two_sizes():
    """A body with noisy descriptors of its places, many small triangles on a half; itself as it was; nodes that are of both."""
    vertices, faces = build("dog", 3, spacing=0.05)
    fine, middle = (vertices, faces), np.median(vertices[:, 0])
    for _ in range(2):
        fine = split_edges(*fine, np.flatnonzero(fine[0][fine[1]].mean(1)[:, 0] > middle))
    assert (fine[0][:, 0] > middle).mean() > 0.9
    random, found = np.random.default_rng(0), []
    waves = torch.from_numpy(random.normal(size=(3, 24)))
    for mesh in (fine, (vertices, faces)):
        graph = geometry.mesh(*mesh, rings=1).to_graph()
        place = graph.pos / graph.area.sum().sqrt()
        noise = torch.from_numpy(random.normal(size=(len(place), 24)))
        descriptors = torch.nn.functional.normalize(torch.sin(6 * place @ waves) + 0.3 * noise, dim=1)
        found.append(matching.Described.of(descriptors, graph))
    return *found, torch.arange(0, len(vertices), 3)
