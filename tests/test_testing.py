from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import GaugeLinear
from gaugenet.testing import assert_gauge_equivariant, equivariance_error, random_gauge
from tests.graphs import sphere_graph, two_level_graph

FT = FieldType(groups.SO2(), "2x0 + 2x1")


class BiasOnVectors(torch.nn.Module):
    """The mistake of the published block."""

    def __init__(self):
        super().__init__()
        self.linear = GaugeLinear(FT, FT)
        self.wrong = torch.nn.Parameter(torch.ones(FT.dim))

    def forward(self, x):
        return self.linear(x) + self.wrong


def test_a_wrong_layer_fails_and_says_how():
    graph = sphere_graph()
    with pytest.raises(AssertionError, match=r"BiasOnVectors is not gauge equivariant: relative error .* 2x0 \+ 2x1"):
        assert_gauge_equivariant(BiasOnVectors(), graph, FT, FT)
    assert_gauge_equivariant(BiasOnVectors(), graph, FT, FT, tolerance=10.0)
    assert_gauge_equivariant(GaugeLinear(FT, FT).double(), graph, FT, FT)
    assert_gauge_equivariant(GaugeLinear(FT, FT), graph, FT, FT)


def test_options():
    graph = sphere_graph()
    linear = GaugeLinear(FT, FT).double()
    wrong = BiasOnVectors().double()
    assert equivariance_error(wrong, graph, FT, FT, seed=0) != equivariance_error(wrong, graph, FT, FT, seed=1)
    x = torch.zeros(graph.num_nodes, FT.dim)
    assert equivariance_error(wrong, graph, FT, FT, x=1e6 * torch.ones_like(x)) < equivariance_error(wrong, graph, FT, FT, x=x)
    # vectors are no scalars: the wrong output type is noticed
    assert equivariance_error(linear, graph, FT, FieldType(groups.SO2(), "6x0")) > 0.1


def test_module_is_put_back():
    linear = GaugeLinear(FT, FT).train()
    graph = two_level_graph()
    before = graph.log.clone()
    equivariance_error(linear, graph, FT, FT)
    assert linear.training and torch.equal(graph.log, before)


def test_random_gauge_covers_the_levels():
    graph = two_level_graph()
    assert [len(h) for h in random_gauge(graph, FT)] == [graph.num_nodes, graph.coarse.num_nodes]
    assert len(random_gauge(graph, FT, levels=False)) == 1
    assert not torch.equal(random_gauge(graph, FT, seed=1)[0], random_gauge(graph, FT)[0])
