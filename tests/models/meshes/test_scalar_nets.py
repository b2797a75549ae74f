"""DiffusionNet against the published block; DeltaNet and PoissonNet: what their blocks are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups, models
from gaugenet.data import StaticGraph
from gaugenet.models.meshes.diffusion_net import OneRingGradient
from gaugenet.nn import Gradient
from gaugenet.nn.surfaces.by_irreps import LaplacianPlan
from gaugenet.nn.surfaces.laplacian import Basis
from gaugenet.ops import GraphParts
from gaugenet.testing import equivariance_error
from tests.helpers.meshes import bumpy
from tests.helpers.networks import randomise


@pytest.fixture(scope="module")
def oracle(shared):
    """The published operators of an icosphere, on our graph with their frames, and a block with their weights."""
    folder = shared / "oracles" / "gem"
    operators = np.load(folder / "diffusionnet_operators_icosphere2.npz")
    block = np.load(folder / "diffusionnet_block_icosphere2.npz")
    graph = geometry.mesh(operators["V"], operators["F"], rings=1).to_graph()
    graph.frame = torch.from_numpy(operators["frames"][:, :2].swapaxes(1, 2).astype(float).copy())
    net = models.DiffusionNet(3, 3, width=16, blocks=1, hidden=(16, 16)).double().eval()
    state = {key: torch.from_numpy(block["p_" + key.replace(".", "_")]) for key in net.block_0.state_dict()}
    net.block_0.load_state_dict(state)
    assert len(state) == sum(key.startswith("p_") for key in block)
    return graph, net.block_0, operators, block


def double(array) -> torch.Tensor:
    return torch.from_numpy(array).double()


def test_published_gradients(oracle):
    graph, block, operators, _ = oracle
    x = torch.randn(graph.num_nodes, 16, dtype=torch.float64)
    expected = torch.cat([double(operators["gradX"]) @ x, double(operators["gradY"]) @ x], 1)
    assert torch.allclose(block.gradient(x, graph), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_published_eigenvalues_and_masses(oracle):
    graph, block, operators, _ = oracle
    own = block.diffusion.plan(graph).irreps[0].parts[0]
    assert torch.allclose(own.values[:32], double(operators["evals"]), rtol=1e-5, atol=1e-4)
    assert torch.allclose(own.mass, double(operators["mass"]), rtol=1e-5)
    # up to the degrees 0 to 4 of the sphere, 25 vectors that are no part of a cluster
    mine, theirs = own.vectors[:, :25], double(operators["evecs"])[:, :25]
    assert torch.allclose(mine @ mine.T, theirs @ theirs.T, atol=1e-4)


def test_published_block(oracle, monkeypatch):
    """With the published eigenvectors, which are cut within a cluster; the rest is ours."""
    graph, block, operators, case = oracle
    basis = Basis(*(double(operators[name]) for name in ("evecs", "evals", "mass")))
    monkeypatch.setattr(block.diffusion, "plan", lambda graph: LaplacianPlan((GraphParts((basis,)),), None))
    expected = double(case["y"])
    assert torch.allclose(block(double(case["x"]), graph), expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_published_names_of_the_weights():
    """As the published code names them, which needs no converter."""
    net = models.DiffusionNet(16, 8, width=12, blocks=2)
    block = ["diffusion.diffusion_time", "gradient_features.A_re.weight", "gradient_features.A_im.weight"]
    block += [f"mlp.miniMLP_mlp_layer_{i:03d}.{kind}" for i in range(3) for kind in ("weight", "bias")]
    ends = [f"{name}.{kind}" for name in ("first_lin", "last_lin") for kind in ("weight", "bias")]
    assert set(net.state_dict()) == {*ends, *(f"block_{k}.{name}" for k in range(2) for name in block)}
    real = models.DiffusionNet(16, 8, width=12, blocks=1, gradient_rotations=False)
    assert "block_0.gradient_features.A.weight" in real.state_dict()
    none = models.DiffusionNet(16, 8, width=12, blocks=1, gradient_features=False)
    assert none.state_dict()["block_0.mlp.miniMLP_mlp_layer_000.weight"].shape == (12, 24)
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == 4 and not any(
        isinstance(m, nn.Dropout) for m in models.DiffusionNet(1, 1, width=2, dropout=0.0).modules()
    )


NETS = {
    "DiffusionNet": lambda **o: models.DiffusionNet(3, 4, width=6, blocks=2, pairs=20, **o),
    "implicit": lambda **o: models.DiffusionNet(3, 4, width=6, blocks=1, method="implicit", **o),
    "PoissonNet": lambda **o: models.PoissonNet(3, 4, width=6, blocks=2, **o),
    "DeltaNet": lambda **o: models.DeltaNet(3, 4, channels=(5, 6), **o),
}


@pytest.mark.parametrize("name", NETS)
def test_frames_batches_and_static_graphs(name):
    net = randomise(NETS[name]()).double().eval()
    graphs = [geometry.icosphere(1, rings=1).to_graph(), geometry.mesh(*bumpy(2)).to_graph()]
    for graph in graphs:
        assert equivariance_error(net, graph, net.in_type, net.out_type) < 1e-12
    xs = [torch.randn(g.num_nodes, 3, dtype=torch.float64) for g in graphs]
    out = net(torch.cat(xs), Batch.from_data_list(graphs))
    assert torch.allclose(out, torch.cat([net(x, g) for x, g in zip(xs, graphs)]), rtol=0, atol=1e-10)
    several = torch.randn(2, graphs[1].num_nodes, 3, dtype=torch.float64)
    assert torch.allclose(net(several, StaticGraph(graphs[1]))[1], net(several[1], graphs[1]), atol=1e-10)
    pooled = randomise(NETS[name](pool="mean")).double().eval()
    assert pooled(torch.cat(xs), Batch.from_data_list(graphs)).shape == (2, 4)
    assert pooled(several, StaticGraph(graphs[1])).shape == (2, 4)
    single = net.float()(xs[0].float(), graphs[0].float())
    assert single.dtype == torch.float32 and torch.allclose(single.double(), out[: len(xs[0])], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NETS)
def test_reset(name):
    net = NETS[name]()
    before = [p.clone() for p in net.parameters()]
    randomise(net).reset_parameters()
    for old, new in zip(before, net.parameters(), strict=True):
        assert new.isfinite().all() and old.shape == new.shape
    assert any(not torch.equal(old, new) for old, new in zip(before, net.parameters()))


def test_a_mirror_image_is_told_by_complex_products_only():
    """Over O(2) DiffusionNet with real products does not tell a shape from its mirror image."""
    vertices, faces = bumpy(2)
    mirrored = geometry.mesh(vertices * [1, 1, -1], faces[:, ::-1], rings=1).to_graph()
    graph, x = geometry.mesh(vertices, faces, rings=1).to_graph(), torch.randn(len(vertices), 3, dtype=torch.float64)
    differences = {}
    for rotations in (True, False):
        options = {"width": 6, "blocks": 1, "pairs": len(vertices), "gradient_rotations": rotations}
        net = randomise(models.DiffusionNet(3, 4, **options)).double().eval()
        with torch.no_grad():
            differences[rotations] = float((net(x, graph) - net(x, mirrored)).abs().max())
    assert differences[False] < 1e-10 and differences[True] > 1e-3


def test_the_gradient_of_points():
    """Without faces, over the edges of the graph."""
    cloud = geometry.point_cloud(geometry.fibonacci_points(800)).to_graph()
    axis = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    expected = torch.einsum("nai,a->ni", cloud.frame, axis)
    layer = OneRingGradient(models.DiffusionNet(1, 1, width=1, blocks=1).block_0.gradient.in_type)
    found = layer((cloud.pos @ axis)[:, None], cloud)
    assert (found - expected).norm() / expected.norm() < 0.05


def test_poisson_net_passes_all_frequencies():
    """Gradient, divergence and solve give back a smooth function: what the block's W = 1 does."""
    graph = geometry.icosphere(4, rings=2).to_graph()
    block = models.PoissonNet(1, 1, width=1, blocks=1, shift=1e-4).double().blocks[0]
    x = (graph.pos[:, :1] * graph.pos[:, 1:2] * 3 + graph.pos[:, 2:]) ** 2
    x = x - (graph.area[:, None] * x).sum() / graph.area.sum()
    back = -block.solve(block.divergence(block.gradient(x, graph), graph), graph)
    assert (back - x).norm() / x.norm() < 0.02


def test_delta_net_takes_the_largest_of_the_neighbourhood():
    from gaugenet.models.meshes.delta_net import _largest

    graph = geometry.icosphere(1, rings=1).to_graph()
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    source, target = graph.edge_index
    near = [torch.cat([x[[p]], x[source[target == p]]]).amax(0) for p in range(graph.num_nodes)]
    assert torch.equal(_largest(x, Gradient(FieldType(groups.SO2(), "1x0")).plan(graph)), torch.stack(near))
