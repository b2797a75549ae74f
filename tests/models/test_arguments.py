"""Numbers of classes and of channels that make no network: every model says so, by its name."""

from __future__ import annotations

import warnings

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models

ONE = FieldType(groups.SO2(), "1x0")
MODELS = {
    "MeshClassifier": (lambda **options: models.MeshClassifier(ONE, **{"num_classes": 2, **options}), "channels"),
    "SphericalCNN": (lambda **options: models.SphericalCNN(ONE, **{"num_classes": 2, **options}), "channels"),
    "IcosahedralCNN": (lambda **options: models.IcosahedralCNN(1, **{"num_classes": 2, **options}), "channels"),
    "PlanarCNN": (models.PlanarCNN, "widths"),
    "HarmonicNetwork": (models.HarmonicNetwork, "channels"),
    "MobiusCNN": (models.MobiusCNN, "widths"),
    "StripCNN": (models.StripCNN, "widths"),
}


@pytest.mark.parametrize("name", MODELS)
def test_counts(name):
    make, widths = MODELS[name]
    for value in (0, -3):
        with pytest.raises(ValueError, match=f"{name} expected num_classes to be an integer of at least 1, got {value}"):
            make(num_classes=value)
    for value in (2.5, "3", True, None):
        with pytest.raises(TypeError, match=f"{name} expected num_classes to be an integer of at least 1, got {value!r}"):
            make(num_classes=value)
    with pytest.raises(ValueError, match=rf"{name} expected {widths} to be .*of at least 1, got"):
        make(**{widths: (3, 0, 2)})
    with pytest.raises(ValueError, match=rf"{name} expected .*{widths}.*, got \(\)"):
        make(**{widths: ()})
    for value in ("8", 2.0, (2.0,)):
        with pytest.raises(TypeError, match=rf"{name} expected {widths} to be .*integers"):
            make(**{widths: value})


@pytest.mark.parametrize("name", ["PlanarCNN", "HarmonicNetwork", "MobiusCNN", "StripCNN"])
def test_input_channels(name):
    with pytest.raises(ValueError, match=f"{name} expected in_channels to be an integer of at least 1, got 0"):
        MODELS[name][0](in_channels=0)


def test_icosahedral_input():
    with pytest.raises(ValueError, match="IcosahedralCNN expected in_type to be an integer of at least 1"):
        models.IcosahedralCNN(0, 2)
    with pytest.raises(TypeError, match=r"IcosahedralCNN expected in_type to be a field type.* got '3x0'"):
        models.IcosahedralCNN("3x0", 2)


@pytest.mark.parametrize("group", [groups.Octahedral(), groups.SO3(), groups.FullOctahedral()])
def test_planar_networks_refuse_groups_of_space(group):
    """PlanarCNN(groups.Octahedral()) died inside a matrix multiplication."""
    with pytest.raises(ValueError, match=r"PlanarCNN expected a group of the plane, such as .* acts on 3 coordinates: take"):
        models.PlanarCNN(group)
    with pytest.raises(ValueError, match="MobiusCNN expected fields over a group of the plane"):
        models.MobiusCNN(FieldType(group, [(1, group.trivial)]))


def test_empty_networks_are_refused():
    type = FieldType(groups.SO2(), "1x0")
    for blocks in ((-1,), (), (1, -2)):
        with pytest.raises(ValueError, match=r"MeshClassifier expected blocks to be .* integers of at least 0"):
            models.MeshClassifier(type, 3, blocks=blocks)
    for make in (models.PlanarCNN, models.HarmonicNetwork, models.MobiusCNN, models.StripCNN):
        with pytest.raises(ValueError, match="num_classes to be an integer of at least 1, got 0"):
            make(num_classes=0)
    for make in (models.MeshClassifier, models.IcosahedralCNN):
        with pytest.raises(ValueError, match="num_classes to be an integer of at least 1, got 0"):
            make(type if make is models.MeshClassifier else 1, 0)


@pytest.mark.parametrize("name", ["MeshClassifier", "SphericalCNN", "IcosahedralCNN"])
def test_what_is_no_field(name):
    net = MODELS[name][0](**{"blocks": (1,)} if name == "MeshClassifier" else {})
    graph = geometry.icosahedron(3, levels=3)
    x = torch.randn(graph.num_nodes, 1)
    with pytest.raises(
        TypeError, match=f"{name} expected a torch.Tensor of features first, then a graph; got GaugeGraph first"
    ):
        net(graph.to_graph(), x)
    for wrong in (x[:, 0], x.expand(-1, 2), x[None, None]):
        with pytest.raises(ValueError, match=rf"{name} expected features of shape \(N, 1\), or \(B, N, 1\) on a StaticGraph"):
            net(wrong, graph.to_graph())


def test_no_input_is_lost_unsaid():
    """The lift to the hidden fields keeps something of every input, or says what it loses."""
    so2, o2 = groups.SO2(), groups.O2()
    for in_type, options, lost in (
        (FieldType(so2, "1x0 + 2x1"), {"order": 0}, "2x1"),
        (FieldType(so2, "1x0 + 1x2 + 1x3"), {"order": 1}, r"1x2 \+ 1x3"),
    ):
        with pytest.warns(UserWarning, match=rf"MeshClassifier sees nothing of {lost} of its input .* Take a larger order"):
            models.MeshClassifier(in_type, 2, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            models.MeshClassifier(in_type, 2, lift=False, **options)
    graph = geometry.icosphere(2, levels=1).to_graph().float()
    torch.manual_seed(0)
    net = models.MeshUNet(FieldType(o2, "1x0 + 1x0-"), FieldType(o2, "1x1"), channels=2).eval()
    x = torch.randn(graph.num_nodes, 2)
    assert not torch.allclose(net(x, graph), net(x * torch.tensor([1.0, 2.0]), graph))


def test_no_output_is_zero_unsaid():
    """What no hidden field reaches would be zero for every input."""
    so2, o2 = groups.SO2(), groups.O2()
    for in_type, out_type, order, missing in (
        (FieldType(so2, "1x0 + 2x1"), "3x0 + 2x1 + 4x3", 2, "4x3"),
        (FieldType(so2, "1x0"), "1x1 + 1x2", 0, r"1x1 \+ 1x2"),
        (FieldType(o2, "1x0"), "2x0-", 0, "2x0-"),
    ):
        with pytest.raises(ValueError, match=rf"MeshUNet cannot give {missing} of its output .* Take a larger order"):
            models.MeshUNet(in_type, FieldType(in_type.group, out_type), order=order)
    models.MeshUNet(FieldType(o2, "1x0 + 1x0-"), FieldType(o2, "2x0-"), order=0)
