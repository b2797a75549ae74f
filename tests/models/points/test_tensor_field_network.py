"""TensorFieldNetwork: motions of space, batches, every argument."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups, kernels, models
from gaugenet.nn import EdgeFrameConv, GaugeConv, NormNonlinearity
from tests.helpers.networks import randomise

SO3, O3, SO2 = groups.SO3(), groups.O3(), groups.SO2()
IN = {SO3: "2x0 + 1x1", O3: "1x0e + 1x0o + 1x1o", SO2: "2x0 + 1x1"}
OUT = {SO3: "1x0 + 1x1 + 1x2", O3: "1x0e + 1x0o + 1x1o + 1x1e + 1x2e", SO2: "1x0 + 1x1 + 1x2"}
PSEUDO = FieldType(O3, "4x0e + 2x0o + 3x1o + 2x1e + 2x2e")


def cloud(n: int = 24, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def graph_of(x: np.ndarray, **options):
    return geometry.points(x, **(options or {"neighbours": 6})).to_graph()


def motion_error(net, group, x: np.ndarray, **options) -> float:
    """Largest relative error under motions of the points: the graph is made anew."""
    generator = torch.Generator().manual_seed(1)
    field = net.in_type.randn(len(x), dtype=torch.float64, generator=generator)
    with torch.no_grad():
        before, worst = net(field, graph_of(x, **options)), 0.0
        for g in group.sample(6, generator=generator):
            turned = graph_of(x @ g.numpy().T + 3.0, **options)
            after, wanted = net(net.in_type.transform(g, field), turned), net.out_type.transform(g, before)
            worst = max(worst, float((after - wanted).abs().max() / before.abs().max()))
    return worst


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pool", [None, "mean", "sum"])
@pytest.mark.parametrize(
    ("group", "options"),
    [(SO3, {}), (O3, {}), (O3, {"hidden": PSEUDO}), (SO2, {}), (SO3, {"nonlinearity": "gated"})],
    ids=["SO3", "O3", "pseudovectors", "plane", "gated"],
)
def test_moves_with_the_points(group, options, pool, training):
    types = FieldType(group, IN[group]), FieldType(group, OUT[group])
    net = randomise(models.TensorFieldNetwork(*types, pool=pool, **options)).double().train(training)
    assert motion_error(net, group, cloud(d=group.dim)) < 1e-12


def test_moves_with_the_points_of_a_periodic_box():
    types = FieldType(O3, IN[O3]), FieldType(O3, OUT[O3])
    net = randomise(models.TensorFieldNetwork(*types)).double()
    x = np.random.default_rng(0).random((24, 3))
    field = net.in_type.randn(24, dtype=torch.float64)
    g = -torch.eye(3, dtype=torch.float64)  # maps a box to itself
    graphs = [graph_of(y, radius=0.4, box=1.0, weight="sum") for y in (x, 0.3 - x)]
    with torch.no_grad():
        before, after = net(field, graphs[0]), net(net.in_type.transform(g, field), graphs[1])
    assert (net.out_type.transform(g, before) - after).abs().max() < 1e-12 * before.abs().max()


def test_reflections_are_told_apart_over_so3_only():
    x = cloud(8)
    mirrored = x * [1.0, 1.0, -1.0]
    for group, same in ((SO3, False), (O3, True)):
        scalars = FieldType(group, "1x0")
        net = randomise(models.TensorFieldNetwork(scalars, scalars, pool="mean")).double()
        ones = torch.ones(8, 1, dtype=torch.float64)
        with torch.no_grad():
            one, other = net(ones, graph_of(x)), net(ones, graph_of(mirrored))
        assert ((one - other).abs().max() < 1e-12 * one.abs().max()) == same


def test_batches_give_what_the_clouds_give():
    scalars = FieldType(SO3, "1x0")
    for pool in ("mean", "sum"):
        net = randomise(models.TensorFieldNetwork(scalars, FieldType(SO3, "2x0"), pool=pool)).double()
        graphs = [graph_of(cloud(n, seed=n)) for n in (8, 12, 9)]
        fields = [torch.randn(g.num_nodes, 1, dtype=torch.float64) for g in graphs]
        with torch.no_grad():
            alone = torch.cat([net(x, g) for x, g in zip(fields, graphs)])
            batch = next(iter(DataLoader(graphs, batch_size=3)))
            assert torch.allclose(net(torch.cat(fields), batch), alone, atol=1e-12)


def test_single_precision():
    types = FieldType(SO3, IN[SO3]), FieldType(SO3, OUT[SO3])
    net, graph = models.TensorFieldNetwork(*types), graph_of(cloud())
    x = types[0].randn(24, dtype=torch.float64)
    with torch.no_grad():
        exact = net.double()(x, graph)
        single = net.float()(x.float(), graph.float())
    assert (single - exact).abs().max() < 1e-4 * exact.abs().max()


def test_new_networks_keep_the_size_of_the_signal():
    types = FieldType(SO3, "4x0"), FieldType(SO3, "4x0 + 4x1")
    out = models.TensorFieldNetwork(*types)(torch.randn(200, 4), graph_of(cloud(200)).float())
    assert 0.05 < out.std() < 5


def net_with(**options):
    torch.manual_seed(0)
    scalars = FieldType(SO3, "1x0")
    return models.TensorFieldNetwork(scalars, FieldType(SO3, "1x0 + 1x1"), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": FieldType(SO3, "4x0")},
        {"hidden": [FieldType(SO3, "4x0 + 4x1")] * 3},
        {"hidden": ()},
        {"embedding": FieldType(SO3, "5x0")},
        {"radial": 2},
        {"radial": kernels.GaussianRings(3)},
        {"max_frequency": 1},
        {"nonlinearity": "gated"},
        {"nonlinearity": functools.partial(NormNonlinearity, activation="tanh")},
        {"activation": "tanh"},
        {"pool": "mean"},
        {"pool": "sum"},
    ],
    ids=lambda o: "-".join(f"{k}={str(v)[:20]}" for k, v in o.items()),
)
def test_every_argument_matters(options):
    graph, x = graph_of(cloud()).float(), torch.ones(24, 1)
    plain, other = net_with()(x, graph), net_with(**options)(x, graph)
    assert plain.shape != other.shape or not torch.allclose(plain, other, rtol=1e-3)


def test_layers_have_their_own_profiles():
    profile = kernels.RadialMLP(2, 4, 3)
    net = net_with(radial=profile)
    found = [m for m in net.modules() if isinstance(m, GaugeConv)]
    first = [conv.radial.layers[0].weight for conv in found]
    assert len({id(w) for w in first}) == 3 and not torch.equal(first[0], first[1])
    assert all(conv.backend == "reference" for conv in net_with(backend="reference").convolutions)


def test_edge_frames_are_another_way_to_the_same_network():
    types = FieldType(O3, IN[O3]), FieldType(O3, OUT[O3])
    net, other = (models.TensorFieldNetwork(*types, hidden=PSEUDO, edge_frames=e).double() for e in (False, True))
    other.load_state_dict(randomise(net).state_dict())
    assert all(isinstance(conv, EdgeFrameConv) for conv in other.convolutions)
    x, graph = types[0].randn(24, dtype=torch.float64), graph_of(cloud())
    with torch.no_grad():
        assert (net(x, graph) - other(x, graph)).abs().max() < 1e-12 * net(x, graph).abs().max()
    assert motion_error(other, O3, cloud()) < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "max"}, "pool"),
        ({"radial": 0}, "radial"),
        ({"hidden": 3}, "hidden"),
        ({"hidden": [3]}, "field type"),
        ({"hidden": FieldType(SO2, "1x0")}, "one group"),
        ({"embedding": "2x0"}, "embedding"),
        ({"backend": "abacus"}, "backend"),
        ({"nonlinearity": "sigmoid"}, "nonlinearity"),
    ],
)
def test_what_does_not_fit(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        net_with(**options)
