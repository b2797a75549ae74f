"""LieConvNet: invariance under the group, arguments, what its blocks are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels, models
from gaugenet.data import StaticGraph
from gaugenet.geometry import LieGroup, lift_image, lift_points
from tests.helpers.networks import stirred

SAMPLES = {"T2": 1, "T3": 1, "SO2": 1, "RxSO2": 1, "SE2": 3, "SO3": 2, "SE3": 2, "R2xR+": 2}
OPTIONS = {"channels": (4, 8, 8)}


def sample(name: str, count: int = 30):
    group = LieGroup.of(name)
    return group, lift_points(name, np.random.default_rng(0).normal(size=(count, group.space)), SAMPLES[name])


def network(group: LieGroup, **options) -> models.LieConvNet:
    torch.manual_seed(0)
    kernel = kernels.MLP(6, 8, group.orbits)
    return stirred(
        models.LieConvNet(FieldType(groups.Trivial(group.dim), "2x0"), 4, **{**OPTIONS, "kernel": kernel, **options})
    ).double()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", SAMPLES)
def test_translations_of_the_group_change_no_logits(name, training):
    group, lift = sample(name)
    net = network(group).train(training)
    moved = lift._replace(elements=group.exp(np.random.default_rng(3).normal(size=group.dim)) @ lift.elements)
    x = torch.randn(4, len(lift.point), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    graphs = [StaticGraph(geometry.lie_group(name, one, neighbours=7, levels=2).to_graph()) for one in (lift, moved)]
    out = [net(x, graph) for graph in graphs]
    assert out[0].shape == (4, 4) and (out[0] - out[1]).abs().max() < 1e-9 * out[0].abs().max()
    assert (out[0] - net(x.flip(1), graphs[0])).abs().max() > 1e-3 * out[0].abs().max()


def test_turning_an_image_about_its_middle():
    """Quarter turns map the pixels to each other and four rotations of each: the logits are the same, for plain T(2) not."""
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name, samples in (("SE2", 4), ("T2", 1)):
        lift, group = lift_image(name, (8, 8), samples), LieGroup.of(name)
        graph = StaticGraph(geometry.lie_group(name, lift, neighbours=12, alpha=0.2).to_graph())
        net = network(group, channels=(8,), blocks=(2,)).eval()
        net = models.LieConvNet(FieldType(groups.Trivial(group.dim), "1x0"), 4, channels=8, blocks=(2,)).double().eval()
        a, b = (net(x.flatten(1)[:, lift.point, None], graph) for x in (images, torch.rot90(images, 1, (2, 3))))
        assert (a - b).abs().max() < 1e-10 if name == "SE2" else (a - b).abs().max() > 1e-4


def test_one_graph_under_many_fields():
    group, lift = sample("SE2")
    graph = geometry.lie_group("SE2", lift, neighbours=7, levels=2).to_graph()
    net = network(group).eval()
    x = torch.randn(3, len(lift.point), 2, dtype=torch.float64)
    together = net(x, StaticGraph(graph))
    assert torch.allclose(together, torch.cat([net(one, graph) for one in x]), rtol=1e-10, atol=1e-12)
    together.sum().backward()
    assert all(p.grad is not None for p in net.parameters() if p.numel())


def test_other_kernels_and_arguments():
    group, lift = sample("SE2")
    graph = geometry.lie_group("SE2", lift, neighbours=7, levels=2).to_graph()
    x = torch.randn(len(lift.point), 2, dtype=torch.float64)
    spline = network(group, kernel=kernels.Spline(3)).eval()
    assert spline(x, graph).shape == (1, 4) and "kernel=Spline" in repr(spline)
    assert network(group, kernel=None, radial=3).eval()(x, graph).shape == (1, 4)
    assert models.LieConvNet(FieldType(groups.Trivial(3), "2x0"), 4).options.kernel == kernels.MLP()
    assert network(group).stages[1][0].conv.in_type.dim == 1 and network(group).stages[1][0].conv.out_type.dim == 2  # a quarter
    plain = network(group, block="plain").eval()
    assert not torch.allclose(plain(x, graph), network(group).eval()(x, graph))
    with pytest.raises(ValueError, match="kernel=Polar"):
        network(group, radial=3)
    with pytest.raises(TypeError, match=r"groups.Trivial\(d\)"):
        models.LieConvNet(FieldType(groups.SO2(), "1x0"), 4)
    with pytest.raises(ValueError, match="dimension"):
        models.LieConvNet(FieldType(groups.Trivial(2), "2x0"), 4, **OPTIONS).double()(x, graph)


def test_it_learns():
    """The side on which a point cloud is heavier, told by the group of translations alone."""
    generator = np.random.default_rng(0)
    graph = StaticGraph(
        geometry.lie_group("T2", lift_image("T2", (6, 6), region="square"), neighbours=8).to_graph(torch.float32)
    )
    torch.manual_seed(0)
    net = models.LieConvNet(FieldType(groups.Trivial(2), "1x0"), 2, channels=8, blocks=(1,))
    edges = generator.integers(2, size=200)  # vertical or horizontal stripes
    x = np.where(edges[:, None, None], np.arange(6) % 2, (np.arange(6) % 2)[:, None]) + 0.3 * generator.normal(size=(200, 6, 6))
    x, y = torch.from_numpy(x).float().flatten(1)[..., None], torch.from_numpy(edges)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x, graph), y).backward()
        optimiser.step()
    assert (net.eval()(x, graph).argmax(1) == y).float().mean() > 0.95
