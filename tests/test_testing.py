from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.nn import GaugeLinear, GridConv
from gaugenet.testing import (
    assert_gauge_equivariant,
    equivariance_error,
    grid_symmetries,
    grid_symmetry_error,
    random_gauge,
    symmetry_error,
    transform_image,
)
from tests.helpers.graphs import sphere_graph, two_level_graph

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


def test_symmetries_are_noticed():
    """A layer that commutes, one that does not, and one that does only for the right type of output."""
    geom = geometry.icosahedron(1)
    graph, moves, type = geom.to_graph(), geometry.icosahedron_symmetries(geom), FieldType(groups.Cyclic(6), "2x0 + 1x1")
    linear = GaugeLinear(type, type).double()
    x = torch.randn(42, type.dim)
    x[:12, 2:] = 0  # at a cone point a vector has no frame
    assert symmetry_error(linear, graph, moves, type, type, x=x) < 1e-12
    assert symmetry_error(linear, graph, moves, type, FieldType(groups.Cyclic(6), "4x0"), x=x) > 0.1

    class Numbered(torch.nn.Module):
        def forward(self, x):
            return x * torch.arange(len(x))[:, None]

    assert symmetry_error(Numbered(), graph, moves, type, type) > 0.1
    scalars = FieldType(groups.Cyclic(6), "2x0")
    assert symmetry_error(Numbered(), graph, moves, scalars, seed=1) != symmetry_error(Numbered(), graph, moves, scalars)
    identity = tuple(part[:1] for part in moves)
    assert symmetry_error(Numbered(), graph, identity, type, type) == 0
    assert linear.train().training and symmetry_error(linear, graph, identity, type, type) == 0 and linear.training


def test_not_a_number_is_no_symmetry():
    geom, type = geometry.icosahedron(1), FieldType(groups.Cyclic(6), "1x0")
    moves = geometry.icosahedron_symmetries(geom)
    found = symmetry_error(lambda_module(lambda x, graph: x / 0), geom.to_graph(), moves, type, type)
    assert found != found
    type = FieldType(groups.Cyclic(4), "1x0")
    found = grid_symmetry_error(lambda_module(lambda x: x / 0), (5, 5), type, type)
    assert found != found


class Shifted(torch.nn.Module):
    """Symmetric about nothing: every pixel takes its right neighbour."""

    def forward(self, x):
        return x.roll(-1, -1)


def test_symmetries_of_the_grid():
    d4, so2, c6 = groups.Dihedral(4), groups.SO2(), groups.Cyclic(6)
    type = FieldType(d4, "1x0 + 1x1")
    assert len(grid_symmetries(type, (5, 5))) == 8 and len(grid_symmetries(type, (5, 4))) == 4
    assert len(grid_symmetries(FieldType(so2, "1x0"), (6, 6))) == 4
    assert len(grid_symmetries(FieldType(c6, "1x0"), (5, 5), lattice="hexagonal")) == 6
    assert len(grid_symmetries(FieldType(c6, "1x0"), (4, 4), lattice="hexagonal", periodic=True, centre="pixel")) == 6
    assert len(grid_symmetries(FieldType(c6, "1x0"), (4, 6), lattice="hexagonal", periodic=True, centre="pixel")) == 2
    assert grid_symmetry_error(Shifted(), (5, 5), type, type) > 0.1
    assert grid_symmetry_error(Shifted(), (5, 5), type, type, periodic=True) > 0.1
    conv = GridConv(type, type, 3, 1)
    assert grid_symmetry_error(conv, (5, 5), type, type) < 1e-4 and conv.training
    assert grid_symmetry_error(conv, (5, 5), type, type, seed=0) != grid_symmetry_error(conv, (5, 5), type, type, seed=1)
    assert grid_symmetry_error(conv, (5, 5), type, FieldType(d4, "3x0")) > 0.1
    assert grid_symmetry_error(lambda_module(lambda x: x[:, 0].sum((1, 2))), (5, 5), type) < 1e-10
    x = torch.zeros(1, type.dim, 5, 5)
    x[..., 0, 1] = 1.0
    assert grid_symmetry_error(conv, (5, 5), type, type, x=x) < 1e-4


def lambda_module(function):
    module = torch.nn.Module()
    module.forward = function
    return module


def test_shapes_stand_for_graphs():
    type = FieldType(groups.Dihedral(4), "1x0 + 1x1")
    conv = GridConv(type, type, 3, 1).double()
    assert equivariance_error(conv, (5, 5), type, type) == grid_symmetry_error(conv, (5, 5), type, type) < 1e-12
    assert equivariance_error(conv, (5, 5), type, type, seed=1) == grid_symmetry_error(conv, (5, 5), type, type, seed=1)
    assert_gauge_equivariant(conv, (5, 5), type, type)
    assert_gauge_equivariant(conv.float(), torch.Size((5, 4)), type, type)
    with pytest.raises(AssertionError, match="not gauge equivariant"):
        assert_gauge_equivariant(conv, (5, 5), type, FieldType(groups.Dihedral(4), "3x0"))


def test_turned_image():
    """A quarter turn counter-clockwise, x to the right and y up, is rot90 of the array, and turns the vectors."""
    type = FieldType(groups.Cyclic(4), "1x0 + 1x1")
    x = torch.arange(27.0).reshape(1, 3, 3, 3)
    turned = transform_image(x, type, groups.Cyclic(4).elements[1])
    spatial = x.rot90(1, (2, 3))
    assert torch.equal(turned, torch.cat([spatial[:, :1], -spatial[:, 2:], spatial[:, 1:2]], 1))


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("no element", lambda: grid_symmetries(FieldType(groups.Cyclic(3), "1x0"), (5, 5))),
        ("unknown lattice", lambda: grid_symmetries(FieldType(groups.Cyclic(4), "1x0"), (5, 5), lattice="triangular")),
        ("centre", lambda: grid_symmetries(FieldType(groups.Cyclic(4), "1x0"), (5, 5), centre="pixel")),
        (
            "does not map",
            lambda: transform_image(torch.zeros(1, 1, 3, 4), FieldType(groups.Cyclic(4), "1x0"), groups.Cyclic(4).elements[1]),
        ),
    ],
)
def test_no_such_symmetry(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def test_what_is_no_module():
    graph = sphere_graph()
    for name, call in (
        ("equivariance_error", lambda: equivariance_error(torch.relu, graph, FT, FT)),
        ("symmetry_error", lambda: symmetry_error(torch.relu, graph, (), FT, FT)),
        ("grid_symmetry_error", lambda: grid_symmetry_error(torch.relu, (4, 4), FT, FT)),
    ):
        with pytest.raises(TypeError, match=f"{name} expected module to be a torch.nn.Module, got"):
            call()
