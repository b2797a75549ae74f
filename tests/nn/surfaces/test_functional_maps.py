"""Functional maps: closed forms, copies of a surface whose matches are known, refusals."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from datasets.shape_generator.build import build
from gaugenet import FieldType, geometry, groups, nn


@pytest.fixture(scope="module")
def pair():
    """A body, the same one 1.7 times as large with its vertices shuffled, and the vertex of the first at each of the second."""
    vertices, faces = build("dog", 3, spacing=0.06)
    order = np.random.default_rng(0).permutation(len(vertices))
    place = np.argsort(order)
    both = (vertices, faces), (1.7 * vertices[order], place[faces])
    graphs = [geometry.mesh(v, f, rings=1).to_graph() for v, f in both]
    return *graphs, torch.from_numpy(order)


def smooth(graph, count=12, seed=0):
    """Functions of the positions, per unit of the size."""
    size = nn.laplacian_basis(graph, 30).area.sqrt()
    waves = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, count)))
    return torch.sin(3 * (graph.pos / size) @ waves)


def test_the_basis_is_orthonormal_and_kept(pair):
    graph, state = pair[0], torch.get_rng_state()
    basis = nn.laplacian_basis(graph, 30)
    assert torch.equal(torch.get_rng_state(), state)
    layer = nn.FieldDiffusion(FieldType(groups.O2(), "1xtrivial"), pairs=30)
    assert layer.plan(graph).irreps[0].parts[0].vectors is basis.vectors
    assert 20 < basis.vectors.shape[1] <= 30 and basis.values[0].abs() < 1e-9 and (basis.values.diff() >= 0).all()
    gram = basis.vectors.T @ (basis.mass[:, None] * basis.vectors)
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-9, rtol=0)
    assert nn.laplacian_basis(graph, 30).vectors is basis.vectors
    assert nn.laplacian_basis(graph, 12).vectors.shape[1] <= 12
    assert torch.equal(basis.first(7).vectors, basis.vectors[:, :7]) and len(basis.first(7).values) == 7


def test_the_formula(pair):
    graph, other, _ = pair
    one, two = nn.laplacian_basis(graph, 20), nn.laplacian_basis(other, 12)
    f, g, weight = smooth(graph), smooth(other, seed=1), 0.3
    found = nn.functional_map(f, one, g, two, weight)
    (lam, mu), areas = (one.values * one.area, two.values * two.area), (one.area, two.area)
    a, b = ((basis.vectors.T @ (basis.mass[:, None] * x)) / area.sqrt() for basis, x, area in zip((one, two), (f, g), areas))
    for row, wanted in enumerate(b):
        # min |c A - b|^2 K / |A|^2 + w |D^(1/2) c|^2 as least squares
        fall = ((mu[row] - lam) / max(mu.max(), lam.max())).abs() * weight**0.5
        scale = (len(lam) / a.square().sum()).sqrt()
        matrix = torch.cat([scale * a.T, torch.diag(fall)])
        right = torch.cat([scale * wanted, torch.zeros_like(lam)])
        torch.testing.assert_close(found[row], torch.linalg.lstsq(matrix, right[:, None]).solution[:, 0], atol=1e-8, rtol=1e-8)


def test_a_larger_weight_commutes_better(pair):
    graph, other, _ = pair
    one, two = nn.laplacian_basis(graph, 20), nn.laplacian_basis(other, 20)
    off = []
    for weight in (1e-4, 10.0):
        c = nn.functional_map(smooth(graph), one, smooth(other, seed=5), two, weight)
        away = (two.values * two.area)[:, None] - one.values * one.area
        off.append(float((away * c).square().sum() / c.square().sum()))
    assert off[1] < 0.1 * off[0]


def test_a_shuffled_larger_copy_is_matched(pair):
    graph, other, order = pair
    one, two = nn.laplacian_basis(graph, 60), nn.laplacian_basis(other, 60)
    first = nn.functional_map(smooth(graph), one.first(20), smooth(other), two.first(20))
    # up to signs, and rotations of nearly equal eigenvalues, the identity
    torch.testing.assert_close(first @ first.T, torch.eye(20, dtype=first.dtype), atol=0.02, rtol=0)
    rough = nn.matches_of_map(first, one, two)
    refined = nn.matches_of_map(nn.zoom_out(first, one, two), one, two)
    assert (rough == order).double().mean() > 0.7
    assert torch.equal(refined, order)
    some = torch.arange(5, 300, 7)
    assert torch.equal(nn.matches_of_map(first, one, two, some), rough[some])


@pytest.mark.parametrize("step", [3, 20])
def test_refinement_mends_wrong_matches(pair, step):
    graph, other, order = pair
    one, two = nn.laplacian_basis(graph, 60), nn.laplacian_basis(other, 60)
    random = torch.Generator().manual_seed(0)
    wrong = torch.where(torch.rand(len(order), generator=random) < 0.3, torch.randperm(len(order), generator=random), order)
    first = nn.map_of_matches(wrong, one.first(15), two.first(15))
    nodes = torch.randperm(len(order), generator=random)[:400]
    by_some = nn.zoom_out(first, one, two, step=step, nodes=nodes)
    assert by_some.shape == (two.vectors.shape[1], one.vectors.shape[1])
    assert (nn.matches_of_map(by_some, one, two) == order).double().mean() > 0.98
    everywhere = nn.map_of_matches(order, one, two)
    torch.testing.assert_close(everywhere, nn.map_of_matches(order[nodes], one, two, nodes), atol=0.05, rtol=0)


def test_gradients_to_the_descriptors(pair):
    one, two = (nn.laplacian_basis(graph, 8) for graph in pair[:2])
    torch.manual_seed(0)
    f, g = (torch.randn(basis.nodes, 10, dtype=torch.float64) for basis in (one, two))
    directions = torch.randn(2, 6, 10, dtype=torch.float64)

    def moved(s):
        return nn.functional_map(f + s[0] * f.roll(1, 0), one, g + s[1] * directions[0, 0], two)

    assert torch.autograd.gradcheck(moved, torch.tensor([0.1, -0.2], dtype=torch.float64, requires_grad=True))


def test_refusals(pair):
    graph, other, _ = pair
    one, two = nn.laplacian_basis(graph, 12), nn.laplacian_basis(other, 12)
    f, g = smooth(graph), smooth(other)
    with pytest.raises(ValueError, match=r"source descriptors \(\d+, P\) at the nodes"):
        nn.functional_map(f[1:], one, g, two)
    with pytest.raises(ValueError, match="target descriptors"):
        nn.functional_map(f, one, g[:, 0], two)
    with pytest.raises(ValueError, match="got 12 and 5"):
        nn.functional_map(f, one, g[:, :5], two)
    with pytest.raises(ValueError, match="positive weight, got 0"):
        nn.functional_map(f, one, g, two, 0.0)
    with pytest.raises(ValueError, match="at least 12 functions"):
        nn.zoom_out(torch.eye(12), one.first(9), two)
    with pytest.raises(ValueError, match="a batch of 2"):
        nn.laplacian_basis(Batch.from_data_list([graph, other]))
