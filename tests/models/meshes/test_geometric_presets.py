"""GEMCNN, HSN, FieldConvNet, MDGCNN and GeodesicCNN: what each is made of, and frames, in training too."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels, models, nn
from gaugenet.testing import equivariance_error
from tests.conformance.recipes import in_training
from tests.helpers.networks import randomise

SO2 = groups.SO2()
PRESETS = [models.GEMCNN, models.HSN, models.FieldConvNet, models.MDGCNN, models.GeodesicCNN]


@pytest.fixture(scope="module")
def graph():
    return geometry.icosphere(2, rings=1, levels=1).to_graph()


@pytest.mark.parametrize("network", PRESETS)
@pytest.mark.parametrize("group", [SO2, groups.O2()], ids=str)
def test_frames_do_not_matter(network, group, graph):
    """As shipped, with random weights and biases."""
    vectors = "" if network is models.GeodesicCNN else " + 1x1"
    types = FieldType(group, "2x0 + 1x1"), FieldType(group, "3x0" + vectors)
    net = randomise(network(*types)).double()
    for module in (net.eval(), in_training(net)):
        assert equivariance_error(module, graph, *types) < 1e-12
    with torch.no_grad():
        out = net.eval()(torch.randn(graph.num_nodes, types[0].dim, dtype=torch.float64), graph)
    assert out.shape == (graph.num_nodes, types[1].dim) and (out.std(0) > 1e-3).all()


def convolutions(net, kind) -> list:
    return [m for m in net.modules() if type(m) is kind]


def test_what_they_are_made_of():
    x, y = FieldType(SO2, "2x0"), FieldType(SO2, "3x0")
    gem, hsn, field, directional, geodesic = (network(x, y) for network in PRESETS)
    assert [m.out_type.blocks[-1][1].degree for m in convolutions(gem, nn.GaugeConv)] == [2] * 6
    assert {str(m.family) for m in convolutions(hsn, nn.GaugeConv)} == {str(kernels.HarmonicRings(6))}
    assert [str(t) for t in hsn.types] == ["16x0 + 16x1", "32x0 + 32x1"]
    assert len(convolutions(field, nn.FieldConv)) == 6 and {m.max_frequency for m in convolutions(field, nn.FieldConv)} == {1}
    assert isinstance(convolutions(field, nn.FieldConv)[0].conv.radial, kernels.LinearRings)
    assert max(rep.degree for _, rep in directional.types[0].blocks) == 3 and len(directional.types) == 2
    assert {m.order for m in convolutions(geodesic, nn.AngularMaxPool)} == {3}
    assert all(rep.is_trivial for type in geodesic.types for _, rep in type.blocks)
    assert models.GCNN is models.GeodesicCNN


def test_published_nonlinearities_are_options(graph):
    """ReLU on samples: equivariant up to aliasing, less with more samples."""
    x, y = FieldType(SO2, "2x0"), FieldType(SO2, "1x0 + 1x1")
    errors = []
    for samples in (7, 101):
        net = models.GEMCNN(x, y, channels=2, blocks=(1,), nonlinearity=partial(nn.RegularNonlinearity, samples=samples))
        errors.append(equivariance_error(randomise(net).double().eval(), graph, x, y))
    assert errors[0] > 1e-3 and errors[1] < 1e-3


def test_options_of_field_convolutions_matter(graph):
    x, y = FieldType(SO2, "2x0"), FieldType(SO2, "1x0 + 1x1")
    made = {}
    for options in ({}, {"max_frequency": 2}, {"radial": 3}, {"quadrature": None}, {"norm": None}):
        net = randomise(models.FieldConvNet(x, y, channels=2, blocks=(1,), **options)).double().eval()
        torch.manual_seed(1)
        made[str(options)] = net(torch.randn(graph.num_nodes, 2, dtype=torch.float64), graph)
    first = made.pop("{}")
    assert all((first - other).abs().max() > 1e-3 for other in made.values())
    kernel = kernels.HarmonicRings(3)
    net = models.FieldConvNet(x, y, channels=2, blocks=(1,), radial=2, kernel=kernel)
    assert {m.conv.family for m in convolutions(net, nn.FieldConv)} == {kernel}


def test_bins_of_the_template(graph):
    """A sharper template is another network."""
    x, y = FieldType(SO2, "2x0"), FieldType(SO2, "1x0")
    acts = [partial(nn.AngularMaxPool, order=order) for order in (1, 5)]
    wide, sharp = (models.GeodesicCNN(x, y, channels=2, blocks=(1,), nonlinearity=act) for act in acts)
    assert sum(p.numel() for p in sharp.parameters()) > sum(p.numel() for p in wide.parameters())
