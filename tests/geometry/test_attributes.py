"""Whatever the registry has goes through validation, records, graphs, batches and gauge changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import GaugeGraph, geometry
from gaugenet.data import StaticGraph
from gaugenet.errors import GeometryError, RecordError
from gaugenet.geometry import LocalGeometry, Pooling, attributes
from gaugenet.geometry.attributes import ATTRIBUTES, Attribute
from tests.helpers.meshes import bumpy, planar_rotations

NAMES = list(ATTRIBUTES)


def with_angles(geom: LocalGeometry) -> LocalGeometry:
    """Every optional array present, on every level."""
    coarse = geom.coarse and dataclasses.replace(geom.coarse, geometry=with_angles(geom.coarse.geometry))
    faces = np.arange(6).reshape(2, 3) if geom.faces is None else geom.faces
    nodes = np.arange(geom.num_nodes) if geom.vertex_nodes is None else geom.vertex_nodes
    angle, orbit = np.linspace(5, 6, geom.num_nodes), np.linspace(1, 2, 2 * geom.num_nodes).reshape(-1, 2)
    return geom.replace(cone_angle=angle, faces=faces, vertex_nodes=nodes, orbit=orbit, coarse=coarse)


@pytest.fixture(scope="module")
def geom() -> LocalGeometry:
    return with_angles(geometry.mesh(*bumpy(2), rings=1, levels=2))


def changed(geom: LocalGeometry, a: Attribute, array) -> LocalGeometry:
    if a.holder == "geometry":
        return geom.replace(**{a.field: array})
    return geom.replace(coarse=dataclasses.replace(geom.coarse, **{a.field: array}))


def test_the_registry_is_complete():
    fields = {f.name for f in dataclasses.fields(LocalGeometry) if "ndarray" in str(f.type)}
    assert fields == {a.field for a in ATTRIBUTES.values() if a.holder == "geometry"}
    fields = {f.name for f in dataclasses.fields(Pooling) if "ndarray" in str(f.type)}
    assert fields == {a.field for a in ATTRIBUTES.values() if a.holder == "pooling"}
    required = {f.name for f in dataclasses.fields(LocalGeometry) if f.default is f.default_factory is dataclasses.MISSING}
    assert required == {a.name for a in ATTRIBUTES.values() if a.required and a.holder == "geometry"}


@pytest.mark.parametrize("name", NAMES)
def test_validation_and_records_check_it(geom, name, tmp_path):
    a = ATTRIBUTES[name]
    array = a.of(geom)
    assert array is not None
    cases = [array[..., None]]
    cases += [array[:-1]] if a.shape[0] == "N" and name != "radius" else []  # radius says what N is
    if a.indexes:
        cases += [array - array.max() - 1, array + 10**6, array.astype(np.int32)]
    else:
        cases += [np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array)]
    cases += [-np.abs(array)] if a.least else []
    cases += [np.zeros_like(array)] if a.least == "positive" or a.orthogonal else []
    cases += [None] if a.required and a.holder == "geometry" and name not in ("edge_index", "log", "radius") else []
    for case in cases:
        with pytest.raises(GeometryError, match=name):
            changed(geom, a, case).validate()
    for case in cases:
        # records store indices as int32, whatever they were
        if case is not None and not (a.indexes and case.dtype == np.int32):
            with pytest.raises((GeometryError, RecordError), match=name):
                changed(geom, a, case).save(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_records_and_graphs_have_it(geom, name, tmp_path):
    a = ATTRIBUTES[name]
    geom.save(tmp_path / "a.safetensors")
    loaded = LocalGeometry.load(tmp_path / "a.safetensors")
    graph = geom.to_graph()
    static = StaticGraph(graph)
    for level, (one, two) in enumerate(zip(geom.levels(), loaded.levels())):
        if a.holder == "pooling" and one.coarse is None:
            assert a.of(two) is None
            continue
        assert np.allclose(a.of(one), a.of(two), rtol=1e-6, atol=1e-6)
        assert a.of(two).dtype == (np.int64 if a.indexes else np.float32)
        expected = torch.tensor(a.of(one).T.copy() if a.transposed else a.of(one))
        found = getattr(graph.level(level), a.graph_name)
        assert torch.equal(found, expected) and found.is_contiguous()
        assert torch.equal(getattr(static, a.graph_name), expected)
        static = static.coarse
    without = changed(geom, a, None)
    if not a.required:
        assert getattr(without.to_graph().level(0), a.graph_name) is None


@pytest.mark.parametrize("name", NAMES)
def test_batches_join_it(geom, name):
    a = ATTRIBUTES[name]
    other = with_angles(geometry.mesh(*bumpy(1), rings=1, levels=2))
    batch = Batch.from_data_list([geom.to_graph(), other.to_graph()])
    for level, (one, two) in enumerate(zip(geom.levels(), other.levels())):
        if a.holder == "pooling" and one.coarse is None:
            continue
        first, second = (a.of(g).T if a.transposed else a.of(g) for g in (one, two))
        step = {None: 0, "nodes": one.num_nodes, "coarse": one.coarse and one.coarse.geometry.num_nodes}[a.indexes]
        step = 0 if a.partial else step  # -1 is to stay
        expected = np.concatenate([first, second + step], a.axis)
        assert np.array_equal(getattr(batch.level(level), a.graph_name).numpy(), expected)


def random_frames(count: int, seed: int) -> np.ndarray:
    return planar_rotations(np.random.default_rng(seed).uniform(0, 2 * np.pi, count))


def test_gauge_changes_of_graph_and_geometry_agree(geom):
    h = [random_frames(g.num_nodes, k) for k, g in enumerate(geom.levels())]
    both = geom.to_graph().gauge_transform([torch.tensor(x) for x in h])
    fine = geom.gauge_transform(h[0])
    # level by level, by hand
    for k, g in enumerate(geom.levels()):
        inverse, (source, target) = np.swapaxes(h[k], 1, 2), g.edge_index
        expected = {
            "log": np.einsum("eij,ej->ei", inverse[target], g.log),
            "transport": inverse[target] @ g.transport @ h[k][source],
            "frame": g.frame @ h[k],
        }
        if g.coarse is not None:
            back = np.swapaxes(h[k + 1], 1, 2)[g.coarse.cluster]
            expected["cluster_transport"] = back @ g.coarse.transport @ h[k]
        turned = {a.name for a in ATTRIBUTES.values() if a.left or a.right}
        assert turned == {"log", "transport", "frame", "cluster_transport"}
        level = both.level(k)
        for name, array in expected.items():
            assert np.allclose(getattr(level, name), array, rtol=0, atol=1e-14)
            if k == 0 and name != "cluster_transport":
                assert np.allclose(getattr(fine, name), array, rtol=0, atol=1e-14)
        for name in ("weight", "radius", "pos", "area", "edge_index"):
            assert torch.equal(getattr(level, name), getattr(geom.to_graph().level(k), name))
    assert np.allclose(fine.coarse.transport, geom.coarse.transport @ h[0], rtol=0, atol=1e-14)
    fine.validate()


def test_a_new_attribute_is_one_line(geom, tmp_path, monkeypatch):
    """A geometry with one more array, "speed": two components in the frame of each node."""
    made = dataclasses.make_dataclass(
        "Faster", [("speed", "np.ndarray | None", None)], bases=(LocalGeometry,), frozen=True, eq=False
    )
    speed = Attribute("speed", ("N", "d"), left="node")
    monkeypatch.setitem(attributes.ATTRIBUTES, "speed", speed)
    values = {f.name: getattr(geom, f.name) for f in dataclasses.fields(geom)}
    fast = made(**{**values, "coarse": None}, speed=np.ones((geom.num_nodes, 2)))
    assert "speed" in attributes.of_nodes()
    fast.validate()
    with pytest.raises(GeometryError, match="speed must be finite"):
        fast.replace(speed=np.full((geom.num_nodes, 2), np.inf)).validate()
    h = random_frames(geom.num_nodes, 0)
    assert np.allclose(fast.gauge_transform(h).speed, np.swapaxes(h, 1, 2) @ np.ones(2))
    graph = GaugeGraph.from_geometry(fast)
    assert torch.equal(graph.speed, torch.ones(geom.num_nodes, 2).double())
    assert np.allclose(graph.gauge_transform(torch.tensor(h)).speed, fast.gauge_transform(h).speed)
