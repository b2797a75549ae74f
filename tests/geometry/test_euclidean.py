"""Points of R^d: neighbours, periodic boxes, weights, and what does not fit."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.errors import GeometryError
from gaugenet.geometry import LocalGeometry
from gaugenet.nn import GaugeConv
from tests.helpers.networks import randomise


def cloud(n: int = 60, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, d))


def brute_force(x: np.ndarray, reach: np.ndarray, box: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """(target, source) -> log by looking at every pair and image."""
    found = {}
    images = np.meshgrid(*[[-1, 0, 1] if np.isfinite(b) else [0] for b in box], indexing="ij")
    shifts = np.stack(images, -1).reshape(-1, len(box))
    for p in range(len(x)):
        for q in range(len(x)):
            for shift in shifts * np.where(np.isfinite(box), box, 0):
                log = x[q] + shift - x[p]
                if p != q and np.linalg.norm(log) <= reach[p]:
                    assert (p, q) not in found
                    found[p, q] = log
    return found


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("box", [None, 1.0, "first axis"])
def test_neighbours_are_those_of_brute_force(d, box):
    box = [1.0, *[None] * (d - 1)] if box == "first axis" else box
    x = cloud(d=d) * 3 - 1  # outside of the box too
    reach = np.random.default_rng(1).uniform(0.2, 0.45, len(x))
    geom = geometry.points(x, reach, box=box).validate()
    sides = np.array([np.inf] * d if box is None else [box] * d if box == 1.0 else [1.0, *[np.inf] * (d - 1)])
    inside = np.where(np.isfinite(sides), np.mod(x, 1.0), x)
    wanted = brute_force(inside, reach, sides)
    assert {(p, q) for q, p in geom.edge_index.T.tolist()} == set(wanted)
    for (q, p), log in zip(geom.edge_index.T.tolist(), geom.log):
        assert np.allclose(log, wanted[p, q], atol=1e-12)
    assert np.array_equal(geom.transport, np.broadcast_to(np.eye(d), geom.transport.shape))
    assert np.array_equal(geom.positions, x) and geom.structure == "e" and geom.dim == d


def test_the_box_may_begin_anywhere():
    """-1e-20 modulo 1 is 1, which the tree would refuse."""
    x = cloud() - 0.5
    x[0] = -1e-20
    one, other = (geometry.points(y, radius=0.3, box=1.0) for y in (x, x + np.array([2.0, -1.0, 0.25])))
    assert np.array_equal(one.edge_index, other.edge_index) and np.allclose(one.log, other.log, atol=1e-12)


def test_nearest_neighbours_with_all_that_tie():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [5.0, 5.0]])
    geom = geometry.points(square, neighbours=1)
    count = np.bincount(geom.edge_index[1], minlength=5)
    assert count.tolist() == [2, 2, 2, 2, 1]  # two at distance 1 each; the last sees one, which does not see it
    assert geom.radius[0] == pytest.approx((1 + 2**0.5) / 2)
    turned = geometry.points(square @ [[0.6, -0.8], [0.8, 0.6]], neighbours=1)
    assert np.array_equal(geom.edge_index, turned.edge_index)


def test_all_others_may_be_neighbours():
    geom = geometry.points(cloud(5), neighbours=4)
    assert geom.num_edges == 20
    assert (np.linalg.norm(geom.log, axis=1) < geom.radius[geom.edge_index[1]]).all()  # none where kernels vanish


def test_a_neighbour_at_the_radius_is_in_however_it_is_turned():
    x = np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    for g in groups.SO3().sample(50, generator=torch.Generator().manual_seed(0)).numpy():
        assert geometry.points(x @ g.T, radius=0.1).validate().num_edges == 2


def test_weights():
    x = cloud(40)
    mean, total = (geometry.points(x, radius=0.4, weight=w) for w in ("mean", "sum"))
    count = np.bincount(mean.edge_index[1], minlength=40)
    assert np.allclose(mean.weight, 1 / (1 + count)[mean.edge_index[1]]) and (total.weight == 1).all()
    area = np.random.default_rng(2).random(40) + 0.1
    by_area = geometry.points(x, radius=0.4, area=area)
    assert np.allclose(by_area.weight, area[by_area.edge_index[0]] / (4 / 3 * np.pi * 0.4**3))
    assert np.array_equal(by_area.area, area) and mean.area is None


def test_a_mean_does_not_depend_on_how_densely_the_shape_is_sampled():
    """Constant fields through an isotropic kernel on two samplings of a solid; the sum grows with the number of points."""
    torch.manual_seed(0)
    scalars = FieldType(groups.SO3(), "1x0")
    conv = GaugeConv(scalars, scalars, quadrature=None, self_interaction=False).double()

    def at_the_middle(n: int, weight: str) -> float:
        x = np.concatenate([np.zeros((1, 3)), np.random.default_rng(n).uniform(-1, 1, (n, 3))])
        graph = geometry.points(x, radius=0.8, weight=weight).to_graph()
        return conv(torch.ones(n + 1, 1, dtype=torch.float64), graph)[0].item()

    assert at_the_middle(1000, "mean") == pytest.approx(at_the_middle(4000, "mean"), rel=0.1)
    assert at_the_middle(4000, "sum") > 3 * at_the_middle(1000, "sum")


def test_a_radius_in_other_units_is_noticed():
    cloud = np.random.default_rng(0).uniform(size=(60, 3)) * 1000
    with pytest.warns(UserWarning, match=r"60 of 60 points have no neighbour within radius=0\.3; the nearest one is \d+"):
        assert geometry.points(cloud, 0.3).edge_index.shape[1] == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        geometry.points(cloud[:1], 0.3)  # one alone is meant
        geometry.points(cloud, 300.0)


def test_points_may_coincide_and_stand_alone():
    geom = geometry.points([[0.0, 0, 0], [0, 0, 0], [9, 9, 9]], radius=1.0).validate()
    assert geom.edge_index.tolist() == [[1, 0], [0, 1]] and (geom.log == 0).all()
    assert geometry.points([[1.0, 2.0]], radius=1.0).validate().num_edges == 0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_records(d, tmp_path):
    geom = geometry.points(cloud(d=d), radius=0.3, box=[1.0, None, 2.0][:d])
    geom.save(tmp_path / "points.safetensors")
    back = LocalGeometry.load(tmp_path / "points.safetensors").validate()
    assert np.array_equal(back.edge_index, geom.edge_index) and np.allclose(back.log, geom.log, atol=1e-6)
    assert back.metadata["box"] == [1.0, None, 2.0][:d] and back.structure == "e"


def test_batches_give_what_the_clouds_give():
    types = FieldType(groups.SO3(), "1x0 + 1x1"), FieldType(groups.SO3(), "2x0 + 1x1 + 1x2")
    conv = randomise(GaugeConv(*types, quadrature=None)).double()
    graphs = [geometry.points(cloud(n, seed=n), neighbours=6).to_graph() for n in (20, 9, 30)]
    fields = [torch.randn(g.num_nodes, 4, dtype=torch.float64) for g in graphs]
    batch = next(iter(DataLoader(graphs, batch_size=3)))
    together = conv(torch.cat(fields), batch)
    assert torch.allclose(together, torch.cat([conv(x, g) for x, g in zip(fields, graphs)]), atol=1e-12)


def test_a_point_has_nodes_and_no_edges():
    geom = geometry.point(5, 2).validate()
    assert (geom.num_nodes, geom.num_edges, geom.dim) == (5, 0, 2)
    batch = next(iter(DataLoader([geometry.point(2).to_graph(), geometry.point(3).to_graph()], batch_size=2)))
    assert batch.num_nodes == 5 and batch.batch.tolist() == [0, 0, 1, 1, 1]


X = np.zeros((3, 3)) + np.arange(3)[:, None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: geometry.points(X), "radius or neighbours"),
        (lambda: geometry.points(X, 1.0, 2), "radius or neighbours"),
        (lambda: geometry.points(X[:, :0], 1.0), "shape"),
        (lambda: geometry.points(np.zeros((0, 3)), 1.0), "shape"),
        (lambda: geometry.points(np.zeros((5, 4)), 1.0), "d = 1, 2 or 3"),
        (lambda: geometry.points(X, -1.0), "positive and finite, got -1"),
        (lambda: geometry.points(X, [1.0, 2.0]), r"shape \(3,\)"),
        (lambda: geometry.points(X, neighbours=3), "needs at least 4 points, got 3"),
        (lambda: geometry.points(X, 0.5, box=1.0), "less than half of the periodic box"),
        (lambda: geometry.points(X, 0.4, box=[1.0, 1.0]), "each of 3 axes"),
        (lambda: geometry.points(X, 0.4, box=-1.0), "positive length"),
        (lambda: geometry.points(X, 0.4, weight="max"), "'mean', 'sum'"),
        (lambda: geometry.points(X, 0.4, weight="sum", area=np.ones(3)), "beside area"),
        (lambda: geometry.points(X, 0.4, area=np.zeros(3)), "positive numbers"),
        (lambda: geometry.point(0), "at least 1"),
        (lambda: geometry.point(2, 4), "from 1 to 3"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_errors_name_the_points():
    x = X.copy()
    x[2, 1] = np.nan
    with pytest.raises(GeometryError, match="ids 2"):
        geometry.points(x, 1.0)
    with pytest.raises(GeometryError, match="neighbours of point 0 lie on it"):
        geometry.points([[0.0], [0.0]], neighbours=1)
    with pytest.raises(TypeError, match="neighbours"):
        geometry.points(X, neighbours=1.5)
