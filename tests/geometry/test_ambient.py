"""Ambient vectors and tensors in the frames of a surface, and errors that no frame changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, metrics
from gaugenet.errors import GeometryError
from gaugenet.geometry import Feature
from tests.helpers.meshes import bumpy

SO2 = groups.SO2()


@pytest.fixture(scope="module")
def geom():
    return geometry.mesh(*bumpy(2), rings=1)


@pytest.fixture(scope="module")
def fields(geom):
    rng = np.random.default_rng(0)
    vectors, tensors = rng.standard_normal((geom.num_nodes, 3)), rng.standard_normal((geom.num_nodes, 3, 3))
    return vectors, tensors + np.swapaxes(tensors, 1, 2)


def test_there_and_back(geom, fields):
    for values, name in zip(fields, ("1x0 + 1x1", "2x0 + 1x1 + 1x2")):
        feature = geometry.to_frames(values, geom)
        assert feature.type == name
        assert np.allclose(geometry.from_frames(feature, geom), values, rtol=1e-12, atol=1e-12)
        assert np.allclose(geometry.from_frames(feature.values, geom, name), values, rtol=1e-12, atol=1e-12)
        answer = torch.tensor(feature.values, requires_grad=True)  # as of a network
        assert np.allclose(geometry.from_frames(answer, geom, name), values, rtol=1e-12, atol=1e-12)
        given = torch.tensor(values, requires_grad=True)
        assert np.array_equal(geometry.to_frames(given, geom).values, feature.values)


def test_they_are_fields_of_their_type(geom, fields):
    """In other frames the numbers are rho(h)^-1 times the former, of reflected frames as well."""
    h = groups.O2().sample(geom.num_nodes, generator=torch.Generator().manual_seed(0)).numpy()
    other = geom.replace(frame=geom.frame @ h)
    for values in fields:
        here, there = geometry.to_frames(values, geom), geometry.to_frames(values, other)
        assert np.allclose(there.values, here.carried(np.swapaxes(h, 1, 2)).values, atol=1e-12)
        assert np.abs(there.values - here.values).max() > 0.1


def test_rotating_the_shape_and_its_vectors_changes_nothing(geom, fields):
    turn = groups.SO3().sample(1, generator=torch.Generator().manual_seed(1))[0].numpy()
    other = geom.replace(positions=geom.positions @ turn.T, frame=turn @ geom.frame)
    assert np.allclose(geometry.to_frames(fields[0] @ turn.T, other).values, geometry.to_frames(fields[0], geom).values)
    turned = turn @ fields[1] @ turn.T
    assert np.allclose(geometry.to_frames(turned, other).values, geometry.to_frames(fields[1], geom).values)


def test_parts_alone(geom):
    rng = np.random.default_rng(2)
    tangent = geometry.from_frames(rng.standard_normal((geom.num_nodes, 2)), geom, "1x1")
    feature = geometry.to_frames(tangent, geom)
    assert np.abs(feature.values[:, 0]).max() < 1e-12 < np.abs(feature.values[:, 1:]).max()
    traceless = geometry.from_frames(rng.standard_normal((geom.num_nodes, 2)), geom, "1x2")
    assert np.abs(np.trace(traceless, axis1=1, axis2=2)).max() < 1e-12
    form = geometry.compute_features(geom.positions, geom.faces, geom.frame, "second_fundamental_form")[
        "second_fundamental_form"
    ]
    tensor = geometry.from_frames(form, geom)
    assert np.allclose(np.trace(tensor, axis1=1, axis2=2) / 2, form.values[:, 0])
    assert np.allclose(geometry.to_frames(tensor, geom).values[:, 4:], form.values[:, 1:])


def test_what_is_refused(geom, fields):
    with pytest.raises(GeometryError, match="a row for each"):
        geometry.to_frames(fields[0][:-1], geom)
    with pytest.raises(GeometryError, match="NaN or infinity at node 3"):
        geometry.to_frames(np.where(np.arange(geom.num_nodes)[:, None] == 3, np.nan, fields[0]), geom)
    with pytest.raises(GeometryError, match="symmetric tensors, that of node 0"):
        geometry.to_frames(np.arange(9.0).reshape(3, 3) + 0 * fields[1], geom)
    with pytest.raises(GeometryError, match=r"surface in space.* got shape"):
        geometry.to_frames(np.zeros((9, 3)), geometry.grid((3, 3), 3))
    with pytest.raises(GeometryError, match=r'expected a type of "1x1".*got None'):
        geometry.from_frames(np.zeros((geom.num_nodes, 2)), geom)
    with pytest.raises(GeometryError, match="expected a type of"):
        geometry.from_frames(fields[0], geom, "1x3")
    with pytest.raises(GeometryError, match="3 numbers, got"):
        geometry.from_frames(Feature(fields[0][:, :2], "1x0 + 1x1"), geom)


def test_errors_do_not_see_the_frames(geom, fields):
    """Of fields in frames as of the vectors in space; turned frames change neither."""
    rng = np.random.default_rng(3)
    target = geometry.to_frames(fields[0], geom).values[:, 1:]
    predicted = target + 0.3 * rng.standard_normal(target.shape)
    h = SO2.sample(geom.num_nodes, generator=torch.Generator().manual_seed(0))
    weight = torch.from_numpy(geom.area)
    for order in (1, 2):
        matrices = FieldType(SO2, f"1x{order}")(h)
        pairs = [torch.from_numpy(x) for x in (predicted, target)]
        turned = [torch.einsum("nij,nj->ni", matrices, x) for x in pairs]
        assert torch.isclose(metrics.relative_error(*turned, weight), metrics.relative_error(*pairs, weight), rtol=1e-12)
        assert torch.allclose(metrics.angle_error(*turned, order=order), metrics.angle_error(*pairs, order=order), rtol=1e-9)
    space = [torch.from_numpy(geometry.from_frames(x, geom, "1x1")) for x in (predicted, target)]
    assert torch.allclose(metrics.angle_error(*space), metrics.angle_error(*pairs), rtol=1e-9)
    assert torch.isclose(metrics.relative_error(*space), metrics.relative_error(*pairs), rtol=1e-12)


def test_errors_in_closed_form():
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    y = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert torch.allclose(metrics.angle_error(x, y)[:2], torch.tensor([90.0, 0.0])) and metrics.angle_error(x, y)[2].isnan()
    assert torch.allclose(metrics.angle_error(x, y, order=2)[:2], torch.tensor([45.0, 0.0]))
    assert torch.isclose(metrics.relative_error(x, y), torch.tensor(4 / 3).sqrt())
    assert torch.isclose(metrics.relative_error(x, y, torch.tensor([0.0, 1.0, 0.0])), torch.tensor(1.0))
    with pytest.raises(ValueError, match="of one shape"):
        metrics.relative_error(x, y[:2])
    with pytest.raises(ValueError, match="not zero everywhere"):
        metrics.relative_error(x, 0 * x)
    with pytest.raises(ValueError, match="a weight for each of 3"):
        metrics.relative_error(x, y, torch.ones(2))
    with pytest.raises(ValueError, match="an order of 1"):
        metrics.angle_error(x, y, order=0)
    with pytest.raises(ValueError, match=r"\(N, 2\) for order 2"):
        metrics.angle_error(torch.ones(2, 3), torch.ones(2, 3), order=2)
