"""Lie groups as manifolds: neighbourhoods against brute force, left translations, levels."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.geometry import LieGroup, lie_group, lift_image, lift_points
from gaugenet.geometry.lie.neighbours import Sample, farthest_points

NAMES = {"T2": 1, "T4": 1, "SO2": 1, "RxSO2": 1, "SE2": 3, "SO3": 3, "SE3": 3, "R2xR+": 3}
NEAR = [{"neighbours": 10}, {"radius": 1.0}, {"radius": 0.8, "alpha": 0.2, "neighbours": 7}, {"neighbours": 9, "alpha": 0.3}]


def sample(name: str):
    group = LieGroup.of(name)
    x = np.random.default_rng(0).normal(size=(40, group.space))
    return group, lift_points(name, x, NAMES[name], area=np.full(40, 0.5))


@pytest.mark.parametrize("near", NEAR, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_neighbours_are_those_of_all_pairs(name, near):
    group, lift = sample(name)
    geom = lie_group(name, lift, **near).validate()
    n = geom.num_nodes
    source, target = np.divmod(np.arange(n * n), n)
    orbit = None if lift.orbit is None else (lift.orbit[target], lift.orbit[source])
    log = group.relative(lift.elements[target], lift.elements[source])
    distance = group.distance(log, orbit, near.get("alpha"))
    used = source != target
    if "neighbours" in near:
        matrix = np.where(used, distance, np.inf).reshape(n, n)
        used &= distance <= np.sort(matrix, 0)[near["neighbours"] - 1][target] * (1 + 1e-9)
    used &= distance <= near.get("radius", np.inf) * (1 + 1e-9)
    order = np.lexsort([source[used], target[used]])
    assert np.array_equal(geom.edge_index, np.stack([source[used], target[used]])[:, order])
    assert np.abs(geom.log - log[used][order]).max() < 1e-12
    assert (geom.transport == np.eye(group.dim)).all() and geom.structure == "e"


@pytest.mark.parametrize("near", NEAR, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_left_translations_change_nothing(name, near):
    group, lift = sample(name)
    h = group.exp(np.random.default_rng(5).normal(size=group.dim))
    before = lie_group(name, lift, levels=2, **near).validate()
    after = lie_group(name, h @ lift.elements, orbit=lift.orbit, area=lift.area, levels=2, **near)
    assert [g.num_nodes for g in before.levels()] == [len(lift.point), *(g.num_nodes for g in after.levels()[1:])]
    for one, other in zip(before.levels(), after.levels(), strict=True):
        assert np.array_equal(one.edge_index, other.edge_index)
        for array in ("log", "weight", "radius"):
            assert np.allclose(getattr(one, array), getattr(other, array), rtol=0, atol=1e-9)
        if one.coarse is not None:
            assert np.array_equal(one.coarse.cluster, other.coarse.cluster)


@pytest.mark.parametrize(("name", "samples"), [("SE2", 8), ("T2", 1)])
def test_on_the_ties_of_an_image_too(name, samples):
    """Distances on a lattice are equal in many pairs; half a turn is among the differences of eight rotations."""
    group, lift = LieGroup.of(name), lift_image(name, (7, 7), samples)
    options = {"neighbours": 12, "alpha": 0.2, "levels": 1}
    before = lie_group(name, lift, **options).validate()
    assert (before.metadata["edges_on_cut"] > 0) == (name == "SE2")
    for seed in range(3):
        h = group.exp(np.random.default_rng(seed).normal(size=group.dim))
        after = lie_group(name, lift._replace(elements=h @ lift.elements), **options)
        for one, other in zip(before.levels(), after.levels()):
            assert np.array_equal(one.edge_index, other.edge_index) and np.abs(one.log - other.log).max() < 1e-9


def test_weights():
    group, lift = sample("SE2")
    integral = lie_group("SE2", lift, 1.5)
    assert np.allclose(integral.weight, lift.area[0] / group.volume(1.5)) and np.array_equal(integral.area, lift.area)
    anisotropic = lie_group("SE2", lift, 1.0, alpha=0.3)
    assert np.allclose(anisotropic.weight, lift.area[0] / group.volume(1.0, 0.3))
    assert np.allclose(anisotropic.radius, 1 / 0.3)
    mean = lie_group("SE2", lift.elements, neighbours=9)
    degree = np.bincount(mean.edge_index[1])
    assert mean.area is None and np.allclose(mean.weight, 1 / (1 + degree)[mean.edge_index[1]])
    area = np.arange(1.0, 1 + len(lift.point))
    weighted = lie_group("SE2", lift.elements, neighbours=9, area=area)
    total = area + np.bincount(weighted.edge_index[1], area[weighted.edge_index[0]])
    assert np.allclose(weighted.weight, area[weighted.edge_index[0]] / total[weighted.edge_index[1]])
    longest = np.zeros(mean.num_nodes)
    np.maximum.at(longest, mean.edge_index[1], np.linalg.norm(mean.log, axis=1))
    assert np.array_equal(mean.radius, longest)


def test_haar_weights_integrate():
    """A fine grid of SE(2) with the lift's measures: the integral of a bump over a ball is that in the algebra."""
    lift = lift_image("SE2", (41, 41), 24, spacing=0.05)
    group = LieGroup.of("SE2")
    log = group.log(lift.elements)
    inside = np.linalg.norm(log, axis=1) < 0.9
    bump = np.where(inside, (1 - np.linalg.norm(log, axis=1) ** 2 / 0.81) ** 2, 0)
    a = np.random.default_rng(0).uniform(-0.9, 0.9, size=(400_000, 3))
    r = np.linalg.norm(a, axis=1)
    expected = (np.where(r < 0.9, (1 - r**2 / 0.81) ** 2, 0) * group.haar(a)).mean() * 1.8**3
    assert (bump * lift.area).sum() == pytest.approx(expected, rel=0.02)


def test_levels():
    _, lift = sample("SE2")
    geom = lie_group("SE2", lift, 1.0, levels=2, ratio=0.5)
    assert [g.num_nodes for g in geom.levels()] == [120, 60, 30]
    assert [g.radius[0] for g in geom.levels()] == pytest.approx([1, 2 ** (1 / 3), 4 ** (1 / 3)])
    given = lie_group("SE2", lift, [1.0, 1.5, 3.0], levels=2, ratio=0.5)
    assert [g.radius[0] for g in given.levels()] == [1, 1.5, 3]
    group = LieGroup.of("SE2")
    chosen, cluster = farthest_points(Sample(group, lift.elements, None, None), 60)
    assert np.array_equal(cluster, geom.coarse.cluster) and (np.diff(chosen) > 0).all()
    assert np.array_equal(geom.coarse.geometry.positions, geom.positions[chosen])
    distance = group.distance(group.relative(lift.elements[:, None], lift.elements[None, chosen]))
    assert np.array_equal(distance.argmin(1), geom.coarse.cluster)  # of the nearest
    between = distance[chosen] + 10 * np.eye(60)
    assert between.min() >= distance.min(1).max() * (1 - 1e-9)  # as far from each other as all are near
    assert geom.coarse.geometry.area.sum() == pytest.approx(lift.area.sum())
    assert lie_group("SE2", lift, 1.0).coarse is None


def test_orbits_and_defaults():
    _, lift = sample("SO3")
    geom = lie_group("SO3", lift)
    assert np.array_equal(geom.orbit, lift.orbit) and np.bincount(geom.edge_index[1]).min() >= 32
    other = lie_group("SO3", lift.elements, orbit=2 * lift.orbit)
    assert np.array_equal(other.orbit, 2 * lift.orbit) and not np.array_equal(other.edge_index, geom.edge_index)
    assert lie_group("SO3", lift.elements).orbit is None
    alone = lie_group("SE3", np.eye(4)[None], 1.0).validate()
    assert alone.num_edges == 0 and lie_group("SE3", np.eye(4)[None]).validate().num_edges == 0
    assert geometry.lie_group is lie_group


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"radius": -1.0}, "radius"), ({"radius": [1.0, 2.0]}, "each of 1 levels"), ({"neighbours": 0}, "neighbours"),
        ({"alpha": 1.0}, "alpha"), ({"levels": -1}, "levels"), ({"levels": 1, "ratio": 1.0}, "ratio"),
        ({"orbit": np.ones(40)}, "orbit"), ({"area": np.ones((120, 1))}, "area"), ({"area": -np.ones(120)}, "area"),
    ],
)  # fmt: skip
def test_refuses(options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        lie_group("SE2", sample("SE2")[1].elements, **options)
