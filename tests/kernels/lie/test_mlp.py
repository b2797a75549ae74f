"""Nets of the log map as kernels: LieConv's numbers, left translations, arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.geometry import LieGroup
from gaugenet.nn import GaugeConv
from tests.helpers.lie_oracle import FINZI, oracle
from tests.helpers.networks import randomise

SAMPLES = {"T2": 1, "SO2": 1, "RxSO2": 1, "SE2": 3, "SO3": 3, "SE3": 3, "R2xR+": 3}
RADIUS = 100.0


def kept_neighbours(dist: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Whom the published code sums over for each element: (N, N) of one padded set.

    It masks the places in the list of nearest neighbours by the mask of the elements, so that with padding a neighbour that
    stands in a padded place is lost.
    """
    far = np.where(mask[None], dist, 1e8)
    near = torch.topk(torch.from_numpy(far), len(far), dim=-1, largest=False, sorted=False)[1].numpy()
    kept = np.zeros(dist.shape, bool)
    np.put_along_axis(kept, near, mask[near] & mask[None] & mask[:, None], -1)
    return kept


def lie_conv(arrays: dict[str, np.ndarray], group: LieGroup) -> GaugeConv:
    """The layer with the oracle's weights. It sees -log, and not in units of the radius."""
    types = [FieldType(groups.Trivial(group.dim), f"{n}x0") for n in (3, 4)]
    conv = GaugeConv(*types, kernel=kernels.MLP(orbit=group.orbits), self_interaction=False, bias=False).double()
    state = {key[3:]: torch.from_numpy(value) for key, value in arrays.items() if key.startswith("sd_")}
    with torch.no_grad():
        for ours, theirs in zip(conv.radial.layers[::2], (0, 3, 6)):
            ours.weight.copy_(state[f"weightnet.{theirs}.module.weight"])
            ours.bias.copy_(state[f"weightnet.{theirs}.module.bias"])
        conv.radial.layers[0].weight[:, : group.dim] *= -RADIUS
        conv.weight.copy_(state["linear.weight"].view(4, 3, 16).permute(2, 1, 0).flatten())
    return conv


@pytest.mark.parametrize("name", FINZI)
def test_oracle(shared, name):
    group, arrays = LieGroup.of(name), oracle(shared, name)
    conv, bias = lie_conv(arrays, group), torch.from_numpy(arrays["sd_linear.bias"])
    elements = group.exp(arrays["elems"] if "elems" in arrays else arrays["p"])
    for b, (u, pairs) in enumerate(zip(elements, arrays["abq"])):
        orbit = pairs[:, 0, group.dim, None] if group.orbits else None
        geom = geometry.lie_group(name, u, RADIUS, orbit=orbit)
        source, target = geom.edge_index
        # Half a turn: the oracle's rounding chose one logarithm of two.
        log = np.where(group.on_cut(geom.log)[:, None], -pairs[target, source, : group.dim], geom.log)
        kept = kept_neighbours(arrays["dist"][b], arrays["mm"][b])
        used = kept[target, source]
        count = kept.sum(1)
        geom = geom.replace(
            edge_index=geom.edge_index[:, used],
            log=log[used],
            transport=geom.transport[used],
            weight=1 / count[target[used]],
        )
        assert b > 0 or used.all()
        y = conv(torch.from_numpy(arrays["vv"][b]), geom.to_graph())
        # The mean is theirs of the sum and the bias.
        rows = torch.from_numpy(arrays["mm"][b] & kept.diagonal())
        expected = torch.from_numpy(arrays["y"][b]) - bias / torch.from_numpy(np.maximum(count, 1))[:, None]
        assert rows.sum() >= (len(u) if b == 0 else 4)
        assert (y - expected)[rows].abs().max() < 1e-9


@pytest.mark.parametrize("name", SAMPLES)
def test_left_translations_change_nothing(name):
    group = LieGroup.of(name)
    x = np.random.default_rng(0).normal(size=(30, group.space))
    lift = geometry.lift_points(name, x, SAMPLES[name], seed=None if name == "R2xR+" else 1)
    h = group.exp(np.random.default_rng(5).normal(size=group.dim))
    moved = lift._replace(elements=h @ lift.elements)
    graphs = [geometry.lie_group(name, one, neighbours=8).to_graph() for one in (lift, moved)]
    types = [FieldType(groups.Trivial(group.dim), f"{n}x0") for n in (2, 3)]
    conv = randomise(GaugeConv(*types, kernel=kernels.MLP(8, orbit=group.orbits))).double()
    f = torch.randn(len(lift.point), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, after = (conv(f, graph) for graph in graphs)
    assert (before - after).abs().max() < 1e-9 * before.abs().max() and before.std() > 0.01


def graph_of(name="SE2", **options):
    lift = geometry.lift_points(name, np.random.default_rng(2).normal(size=(12, LieGroup.of(name).space)), 2)
    return geometry.lie_group(name, lift, **{"neighbours": 6, **options}).to_graph()


@pytest.mark.parametrize("name", ["SO3", "SE3"])
def test_is_the_sum_over_its_neighbours(name):
    """The definition, edge by edge, in dimension 3 with orbits and 6 without; the gradients of the fused loop are right."""
    graph, dim = graph_of(name), LieGroup.of(name).dim
    orbits = LieGroup.of(name).orbits
    type = FieldType(groups.Trivial(dim), "2x0")
    conv = randomise(GaugeConv(type, type, kernel=kernels.MLP(3, 4, orbits), self_interaction=False)).double()
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    source, target = graph.edge_index
    points, centre = graph.log / graph.radius[target, None], graph.log.new_zeros(graph.num_nodes, dim)
    if orbits:
        points = torch.cat([points, graph.orbit[target], graph.orbit[source]], 1)
        centre = torch.cat([centre, graph.orbit, graph.orbit], 1)
    expected = torch.zeros_like(x).index_add(
        0, target, graph.weight[:, None] * torch.einsum("eoi,ei->eo", conv.kernel(points), x[source])
    )
    mean = torch.zeros_like(graph.radius).index_add(0, target, graph.weight) / torch.bincount(target)
    expected = expected + mean[:, None] * torch.einsum("noi,ni->no", conv.kernel(centre), x)
    assert torch.allclose(conv(x, graph), conv.bias(expected), rtol=1e-11, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, *_: conv(x, graph), (x, *conv.parameters()))


def test_single_precision_on_a_double_graph():
    graph = graph_of()
    type = FieldType(groups.Trivial(3), "2x0")
    conv = randomise(GaugeConv(type, type, kernel=kernels.MLP(4, 5)))
    x = torch.randn(graph.num_nodes, 2)
    out = conv(x, graph)
    assert out.dtype == torch.float32
    assert torch.allclose(out, conv.double()(x.double(), graph).float(), atol=1e-5)


@pytest.mark.parametrize("hidden", [(32,), (32, 32), (64,) * 6])
def test_initial_scale(hidden):
    """The units are of one size, whatever the depth, so that the layer about keeps the mean of its neighbours."""
    torch.manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(2000, 3), dim=1) * torch.rand(2000, 1) ** (1 / 3)
    type = FieldType(groups.Trivial(3), "16x0")
    conv = GaugeConv(type, type, kernel=kernels.MLP(64, hidden))
    units = conv.radial(x)
    assert 0.25 < units.square().mean().sqrt() < 1.0
    assert 0.25 < conv.kernel(x).square().sum(2).mean().sqrt() < 1.5


def test_every_field_matters_and_defaults():
    type = FieldType(groups.Trivial(3), "2x0")

    def net(**options):
        torch.manual_seed(0)
        return GaugeConv(type, type, kernel=kernels.MLP(**options))

    assert [tuple(p.shape) for p in net().radial.parameters()][::2] == [(32, 3), (32, 32), (16, 32)]
    assert net(units=5).weight.numel() == 5 * 4
    assert [tuple(p.shape) for p in net(hidden=7, orbit=2).radial.parameters()][::2] == [(7, 7), (16, 7)]
    assert kernels.MLP(hidden=[3, 4]) == kernels.MLP(hidden=(3, 4)) and hash(kernels.MLP(hidden=[3])) == hash(
        kernels.MLP(hidden=(3,))
    )
    assert isinstance(kernels.MLP(), kernels.KernelFamily) and net().table_key is None
    with pytest.raises(RuntimeError, match=r"orbit=1"):
        net(orbit=1).load_state_dict(net().state_dict())


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: kernels.MLP(0), ValueError, "units"),
        (lambda: kernels.MLP(hidden=()), ValueError, "hidden"),
        (lambda: kernels.MLP(orbit=-1), ValueError, "orbit"),
        (lambda: kernels.MLP().on_graph(*[FieldType(groups.SO2(), "1x0")] * 2), TypeError, "over {e}"),
        (lambda: kernels.MLP().on_taps(None, None, None), TypeError, "on arrays take kernels.Spline"),
        (lambda: kernels.Polar().on_graph(*[FieldType(groups.Trivial(6), "1x0")] * 2), ValueError, "kernels.MLP"),
        (
            lambda: GaugeConv(*[FieldType(groups.Trivial(3), "1x0")] * 2, kernel=kernels.MLP(orbit=1))(
                torch.zeros(24, 1), graph_of()
            ),
            ValueError, r"orbit \(N, 1\), got no orbit",
        ),
    ],
)  # fmt: skip
def test_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call()
