from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups
from gaugenet.kernels import hexagonal_taps
from gaugenet.nn import GaugePool, LatticePool
from gaugenet.testing import assert_gauge_equivariant, symmetry_error

C6 = groups.Cyclic(6)
CASES = [("mean", "2xregular + 1x0 + 1x1"), ("max", "2xregular + 1x0"), ("stride", "1x1 + 1x2 + 1xregular")]


@pytest.fixture(scope="module")
def ico():
    return geometry.icosahedron(2, levels=1)


def both_symmetries(geom) -> tuple:
    return tuple(geometry.icosahedron_symmetries(g) for g in geom.levels())


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("corners", ["cone", "zero", "average"])
def test_equivariant_under_gauges_and_all_rotations(ico, case, corners, dtype):
    a = FieldType(C6, case[1])
    pool, graph = LatticePool(a, case[0], corners=corners).to(dtype), ico.to_graph(dtype)
    assert_gauge_equivariant(pool, graph, a, a, out_level=1)
    fine, coarse = both_symmetries(ico)
    limit = 1e-12 if dtype == torch.float64 else 1e-5
    assert symmetry_error(pool, graph, fine, a, a, out_isometries=coarse) < limit


def test_clusters_are_not_symmetric(ico):
    """Why there is a LatticePool beside GaugePool."""
    a, (fine, coarse) = FieldType(C6, "1x0"), both_symmetries(ico)
    assert symmetry_error(GaugePool(a), ico.to_graph(), fine, a, a, out_isometries=coarse) > 1e-2
    assert_gauge_equivariant(
        GaugePool(FieldType(C6, "2xregular")), ico.to_graph(), *[FieldType(C6, "2xregular")] * 2, out_level=1
    )


def test_values(ico):
    """Scalars: nothing is carried, so that the numbers are those of the neighbours."""
    a, graph = FieldType(C6, "1x0"), ico.to_graph()
    x = torch.randn(162, 1, dtype=torch.float64)
    near = [[c, *graph.edge_index[0][graph.edge_index[1] == c].tolist()] for c in range(42)]
    mean = torch.stack([x[n].mean(0) for n in near])
    pooled = LatticePool(a)(x, graph)
    assert torch.allclose(pooled[12:], mean[12:], rtol=1e-14, atol=1e-14)
    full_turn = torch.stack([(x[c] + 6 * x[near[c][1:]].mean(0)) / 7 for c in range(12)])
    assert torch.allclose(pooled[:12], full_turn, rtol=1e-14, atol=1e-14)
    assert torch.allclose(LatticePool(a, "max")(x, graph), torch.stack([x[n].amax(0) for n in near]), rtol=1e-14, atol=1e-14)
    assert torch.equal(LatticePool(a, "stride")(x, graph), x[:42])
    assert torch.equal(LatticePool(a, taps=hexagonal_taps(0))(x, graph), x[:42])
    assert (LatticePool(a, corners="zero")(x, graph)[:12] == 0).all()
    average = LatticePool(a, corners="average")(x, graph)
    below = graph.coarse.edge_index
    assert torch.allclose(average[:12, 0], torch.stack([average[below[0][below[1] == c], 0].mean() for c in range(12)]))


def test_batches_and_plans(ico):
    a, graph = FieldType(C6, "1xregular"), ico.to_graph()
    pool, x = LatticePool(a).double(), torch.randn(2, 162, 6, dtype=torch.float64)
    expected = torch.cat([pool(f, graph) for f in x])
    assert torch.allclose(pool(x.flatten(0, 1), Batch.from_data_list([graph, graph.clone()])), expected, rtol=1e-14, atol=1e-14)
    assert torch.equal(pool(x[0], graph, pool.plan(graph)), expected[:42])
    assert not pool.state_dict() and "mean" in repr(pool)
    y, few = x[0, :42].requires_grad_(), geometry.icosahedron(1, levels=1).to_graph()
    assert torch.autograd.gradcheck(lambda y: pool(y, few), y)


def test_errors(ico):
    a = FieldType(C6, "1xregular")
    with pytest.raises(ValueError, match=r"one of .mean., .max., .stride."):
        LatticePool(a, "median")
    with pytest.raises(TypeError, match="maximum"):
        LatticePool(FieldType(C6, "1x1"), "max")
    with pytest.raises(ValueError, match="levels >= 1"):
        LatticePool(a)(torch.randn(42, 6, dtype=torch.float64), geometry.icosahedron(1).to_graph())
    other = ico.to_graph()
    other.cluster_1 = torch.from_numpy(np.random.default_rng(0).permutation(other.cluster_1.numpy()))
    with pytest.raises(ValueError, match="lowest of its cluster"):
        LatticePool(a)(torch.randn(162, 6, dtype=torch.float64), other)
