"""On a flat grid with equal frames GaugeConv is conv2d with its kernel sampled at the offsets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.nn import GaugeConv
from tests.helpers.networks import randomise


def flat_grid(height: int, width: int, reach: int = 2) -> tuple[SimpleNamespace, torch.Tensor]:
    """Pixels row by row, x to the right and y up, joined to those within ``reach``; and the offsets in the order of conv2d."""
    steps = torch.arange(-reach, reach + 1)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)  # column fastest, as in a kernel
    row, column = (t.reshape(-1, 1) for t in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    r, c = row + offsets[:, 1], column + offsets[:, 0]
    inside = (r >= 0) & (r < height) & (c >= 0) & (c < width) & (offsets != 0).any(1)
    target = torch.arange(height * width).reshape(-1, 1).expand_as(r)
    # Row 0 is the top of the image: a step down the rows is a step down in y.
    log = (offsets * torch.tensor([1, -1])).double().expand(height * width, -1, 2) / (reach * 1.5)
    edges = int(inside.sum())
    graph = SimpleNamespace(
        edge_index=torch.stack([(r * width + c)[inside], target[inside]]),
        log=log[inside],
        transport=torch.eye(2, dtype=torch.float64).repeat(edges, 1, 1),
        weight=torch.full((edges,), 0.04, dtype=torch.float64),
        radius=torch.ones(height * width, dtype=torch.float64),
        area=torch.full((height * width,), 0.04 * torch.pi, dtype=torch.float64),
    )
    return graph, (offsets * torch.tensor([1, -1])).double() / (reach * 1.5)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("group", "a", "b"),
    [
        (groups.SO2(), "2x0 + 2x1", "1x0 + 2x1 + 1x2"),
        (groups.Cyclic(4), "2xregular", "1xregular + 1x1"),
        (groups.Dihedral(4), "1xregular", "2xregular"),
        (groups.Trivial(), "3x0", "2x0"),
    ],
    ids=str,
)
def test_equals_conv2d(group, a, b, backend):
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    conv = randomise(GaugeConv(in_type, out_type, max_frequency=3, quadrature=None, backend=backend)).double()
    height, width = 7, 9
    graph, offsets = flat_grid(height, width)
    x = torch.randn(height * width, in_type.dim, dtype=torch.float64)
    image = x.T.reshape(1, in_type.dim, height, width)
    weight = 0.04 * conv.kernel(offsets).permute(1, 2, 0).reshape(out_type.dim, in_type.dim, 5, 5)
    centre = conv.self_interaction.expansion(conv.self_interaction.weight)[0].T
    weight = weight.clone()
    weight[:, :, 2, 2] += centre
    plane = torch.nn.functional.conv2d(image, weight, padding=2)
    expected = conv.bias(plane.reshape(out_type.dim, -1).T)
    assert torch.allclose(conv(x, graph), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    ("group", "a", "b"),
    [
        (groups.Trivial(), "2x0", "3x0"),
        (groups.Reflection(), "2x0 + 1x0-", "1xregular + 1x0-"),
        (groups.Cyclic(8), "1xregular", "1xregular + 1x1"),
        (groups.Dihedral(4), "1xregular + 1x1", "1xregular"),
        (groups.SO2(), "2x0 + 2x1", "1x0 + 2x1 + 1x2"),
        (groups.O2(), "1x0 + 1x0- + 1x1", "1x0- + 1x2"),
    ],
    ids=str,
)
def test_message_passing_on_the_grid_equals_conv2d(group, a, b, periodic):
    """The layer for meshes on geometry.grid: its kernel, sampled at the offsets in units of the radius, run by conv2d."""
    in_type, out_type = FieldType(group, a), FieldType(group, b)
    conv = randomise(GaugeConv(in_type, out_type, quadrature=None)).double()
    graph = geometry.grid((7, 9), 5, periodic).to_graph(torch.float64)
    (cell,), (radius,) = graph.weight.unique(), graph.radius.unique()
    steps = torch.arange(-2.0, 3.0, dtype=torch.float64)
    offsets = torch.stack(torch.meshgrid(steps, -steps, indexing="xy"), -1).reshape(-1, 2)
    weight = cell * conv.kernel(offsets / radius).detach().permute(1, 2, 0).unflatten(2, (5, 5)).contiguous()
    weight[:, :, 2, 2] += conv.self_interaction.expansion(conv.self_interaction.weight)[0].T.detach()
    x = torch.randn(1, in_type.dim, 7, 9, dtype=torch.float64)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="circular" if periodic else "constant")
    plane = torch.nn.functional.conv2d(padded, weight)[0].flatten(1).T
    out = conv(x[0].flatten(1).T, graph)
    assert torch.allclose(out, plane if conv.bias is None else conv.bias(plane), rtol=1e-11, atol=1e-11)
