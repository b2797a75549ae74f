"""Crumbs: told of, dropped on request, and without influence on the spectral features of the body."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import geometry
from gaugenet.cli import main
from gaugenet.data import FeatureScaler
from gaugenet.geometry import LocalGeometry, ProcessParams, check_mesh, inspect_mesh, repair_mesh
from gaugenet.geometry.meshes.features import heat_kernel_signature
from tests.helpers.corpus import joined, sphere
from tests.helpers.meshes import bumpy
from tests.helpers.pathological import obj

BODY = bumpy(3)
CRUMB = np.array([[5.0, 0, 0], [5.001, 0, 0], [5, 0.001, 0]]), np.array([[0, 1, 2]])
BOTH = joined(BODY, CRUMB)
COUNT = len(BODY[0])


def test_a_crumb_changes_nothing_on_the_body():
    alone, both = heat_kernel_signature(*BODY).values, heat_kernel_signature(*BOTH).values
    assert np.allclose(both[:COUNT], alone, rtol=1e-8)
    assert both[COUNT:].max() < 4.0  # a triangle has three modes
    assert np.allclose(both[COUNT:], heat_kernel_signature(*CRUMB).values, rtol=1e-8)


def test_every_component_is_a_surface_of_its_own():
    ball = sphere(2)
    apart = [(v * size + 10.0 * k, f) for k, (size, (v, f)) in enumerate([(1.0, BODY), (0.2, ball), (3.0, BODY)])]
    together = heat_kernel_signature(*joined(*apart), times=5, pairs=20).values
    one_by_one = np.concatenate([heat_kernel_signature(*mesh, times=5, pairs=20).values for mesh in apart])
    assert np.allclose(together, one_by_one, rtol=1e-7)


def test_told_of_and_dropped_on_request():
    kept = check_mesh(*BOTH)
    assert [w.kind for w in kept.warnings] == ["tiny_component"] and kept.warnings[0].ids == (len(BODY[1]),)
    assert "1 of 2 connected components, each of less than 0.001 of the area (min_component" in str(kept.warnings[0])
    assert "tiny_component" in {w["kind"] for w in inspect_mesh(*BOTH).warnings}
    for mesh in (check_mesh(*BOTH, min_component=0.01), repair_mesh(*BOTH, min_component=0.01)[0]):
        assert mesh.num_faces == len(BODY[1]) and mesh.num_vertices == COUNT
        assert {w.kind for w in mesh.warnings} == {"dropped_component", "unreferenced_vertex"}
        assert (mesh.vertex_nodes[COUNT:] == -1).all()
    assert "dropped_component" in {w.kind for w in repair_mesh(*BOTH, min_component=0.01)[1]}
    geom = geometry.mesh(*BOTH, rings=1, min_component=0.01)
    assert geom.num_nodes == COUNT and np.isnan(geom.on_input_vertices(geom.positions)[COUNT:]).all()


def test_components_of_some_size_stay_and_so_does_the_largest():
    ball = sphere(1)
    mesh = check_mesh(*joined(*((ball[0] + 4.0 * k, ball[1]) for k in range(3))), min_component=0.1)
    assert mesh.num_faces == 3 * len(ball[1]) and not mesh.warnings
    assert check_mesh(*joined(ball, (ball[0] * 0.5 + 3, ball[1])), min_component=0.99).num_faces == len(ball[1])
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="part of the area"):
            check_mesh(*ball, min_component=wrong)
        with pytest.raises(ValueError, match="part of the area"):
            ProcessParams(rings=1, min_component=wrong)


def test_command(tmp_path, capsys):
    obj(tmp_path / "in" / "a.obj", BOTH)
    options = [str(tmp_path / "in"), str(tmp_path / "out"), "--rings", "1", "--quiet", "--min-component", "0.01"]
    assert main(["preprocess", *options]) == 0
    (record,) = (tmp_path / "out").glob("*.safetensors")
    loaded = LocalGeometry.load(record)
    assert loaded.num_nodes == COUNT and "dropped_component" in {w["kind"] for w in loaded.metadata["warnings"]}
    assert loaded.metadata["record"]["parameters"]["min_component"] == 0.01
    assert main(["preprocess", *options[:-1], "1.5"]) == 2
    assert "part of the area" in capsys.readouterr().err


def test_features_far_from_the_training_data_are_warned_about(recwarn):
    names = ["hks", "position"]
    graphs = [geometry.mesh(v, f, rings=1, features=names).to_graph() for v, f in (BODY, bumpy(2))]
    scaler = FeatureScaler(names).fit(graphs)
    for graph in graphs:
        scaler(graph)
    assert not [w for w in recwarn if "training" in str(w.message)]
    strange = graphs[0].clone()
    strange.name, strange.feature_hks = "armadillo", strange.feature_hks.clone()
    strange.feature_hks[7, 3] = 373341.0
    with pytest.warns(
        UserWarning, match=r"armadillo: features of 1 of \d+ nodes are far outside .*: hks; at node 7 a value of 12.83"
    ):
        scaler(strange)
    strange = graphs[0].clone()
    strange.feature_position = strange.feature_position * torch.tensor([1.0, 50.0, 50.0])
    with pytest.warns(UserWarning, match="position"):
        scaler(strange)
    strange.feature_position = torch.full_like(strange.feature_position, torch.nan)
    with pytest.warns(UserWarning, match="position"):
        scaler(strange)


def test_the_scaler_leaves_the_graph_alone():
    graph = geometry.mesh(*BODY, rings=1, features="position").to_graph()
    scaler = FeatureScaler(["position"]).fit([graph])
    assert "x" in scaler.forward(graph) and "x" in scaler(graph) and "x" not in graph


def test_scalers_of_older_versions_do_not_warn():
    graph = geometry.mesh(*BODY, rings=1, features="hks:4").to_graph()
    scaler = FeatureScaler(["hks"]).fit([graph])
    del scaler.low, scaler.high
    assert scaler(graph).x.shape == (COUNT, 4)
