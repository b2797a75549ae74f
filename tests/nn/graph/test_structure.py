"""Layers refuse transporters that are not in their structure group, and work on surfaces without orientation."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models
from gaugenet.nn import GaugeConv, GaugePool, GaugeUnpool
from gaugenet.testing import equivariance_error
from tests.helpers.corpus import moebius
from tests.helpers.graphs import two_level_graph


@pytest.fixture(scope="module")
def strip():
    with pytest.warns(UserWarning, match="flipped"):
        return geometry.mesh(*moebius(30, 5), rings=2, structure="O2", levels=1, features="hks:4").to_graph(torch.float64)


def test_networks_on_a_moebius_strip(strip):
    in_type = FieldType(groups.O2(), "4x0 + 1x1")
    for net in (
        models.MeshClassifier(in_type, 3, channels=4, blocks=(1, 1)),
        models.MeshUNet(in_type, in_type, channels=4, blocks=(1, 1)),
    ):
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        out = in_type if isinstance(net, models.MeshUNet) else None
        assert equivariance_error(net.double(), strip, in_type, out) < 1e-10


@pytest.mark.parametrize("layer", [GaugeConv, GaugePool, GaugeUnpool])
@pytest.mark.parametrize("group", [groups.SO2(), groups.Cyclic(4), groups.Trivial()])
def test_transporters_outside_the_group(strip, layer, group):
    type = FieldType(group, [(2, group.trivial)])
    module = (layer(type, type) if layer is GaugeConv else layer(type)).double()
    x = torch.randn(strip.coarse.num_nodes if layer is GaugeUnpool else strip.num_nodes, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="does not lie in it"):
        module(x, strip)


def test_dimension_of_the_group():
    graph = two_level_graph()
    type = FieldType(groups.SO3(), "2x0")
    with pytest.raises(ValueError, match="dimension 3"):
        GaugeConv(type, type).double()(torch.randn(graph.num_nodes, 2, dtype=torch.float64), graph)
