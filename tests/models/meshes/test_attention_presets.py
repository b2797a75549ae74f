"""EMAN, GET and Hermes: what they are made of, frames, options."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models, nn
from gaugenet.kernels import MLP
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import sphere_graph
from tests.helpers.networks import randomise

SO2, C6 = groups.SO2(), groups.Cyclic(6)
A = FieldType(SO2, "1x0 + 1x1")
SMALL = {"channels": 2, "order": 1, "blocks": (1,)}


def layers(net: torch.nn.Module, kind: type) -> list:
    return [module for module in net.modules() if isinstance(module, kind)]


def test_layers():
    assert len(layers(models.EMAN(A, 3), nn.GaugeAttention)) == 6
    assert {layer.heads for layer in layers(models.EMAN(A, 3, heads=4), nn.GaugeAttention)} == {4}
    assert len(layers(models.GET(A, 3), nn.GaugeAttention)) == 4
    assert len(layers(models.GET(A, 3), nn.RegularNonlinearity)) == 4
    assert len(layers(models.Hermes(A, A), nn.GaugeMessagePassing)) == 4
    # The only convolutions are those of the values.
    assert len(layers(models.EMAN(A, 3), nn.GaugeConv)) == 6 and not layers(models.Hermes(A, A), nn.GaugeConv)


@pytest.mark.parametrize("training", [False, True])
def test_frames_do_not_matter(training):
    graph = sphere_graph()
    for net, out in (
        (models.EMAN(A, 3, **SMALL), None),
        (models.Hermes(A, FieldType(SO2, "1x1"), **SMALL), FieldType(SO2, "1x1")),
    ):
        assert equivariance_error(randomise(net).double().train(training), graph, A, out) < 1e-11


def test_get_is_exact_on_regular_fields():
    """Hidden fields of orders 0 to N/2 are regular ones: pointwise functions of their N values are exact."""
    graph, type = geometry.icosahedron(1).to_graph(), FieldType(C6, "1x0 + 1x1")
    net = models.GET(type, 3, channels=2, order=3, blocks=(1,))
    assert net.types[0].dim == 2 * C6.regular.dim
    assert {act.samples for act in layers(net, nn.RegularNonlinearity)} == {6}
    assert equivariance_error(randomise(net).double(), graph, type, None) < 1e-11


def test_nonlinearity_of_messages():
    net = models.Hermes(A, A, **SMALL, messages="norm")
    assert {layer.nonlinearity for layer in layers(net, nn.GaugeMessagePassing)} == {"norm"}


def test_what_is_refused():
    with pytest.raises(ValueError, match="attention has polar kernels"):
        models.EMAN(A, 3, kernel=MLP(2, 2))
    for options in ({"kernel": MLP(2, 2)}, {"quadrature": None}):
        with pytest.raises(ValueError, match="of which no moments are matched"):
            models.Hermes(A, A, **options)
