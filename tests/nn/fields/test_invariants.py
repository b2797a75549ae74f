from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from gaugenet import FieldType, geometry, groups
from gaugenet.data import StaticGraph
from gaugenet.nn import GroupPool, global_mean, global_sum, to_scalars
from tests.helpers.graphs import two_level_graph

FT = FieldType(groups.SO2(), "3x0 + 2x1 + 2x2")


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_group_pool(reduce):
    group = groups.Dihedral(4)
    ft = FieldType(group, "3xregular + 2x0")
    layer = GroupPool(ft, reduce)
    x = torch.randn(20, ft.dim, dtype=torch.float64)
    h = group.sample(20, generator=torch.Generator().manual_seed(0))
    assert layer.out_type == FieldType(group, "3x0 + 2x0")
    assert torch.allclose(layer(ft.transform(h, x)), layer(x), rtol=1e-12, atol=1e-12)
    block = ft.split(x)[0]
    expected = block.amax(1) if reduce == "max" else block.mean(1)
    assert torch.allclose(layer(x)[:, :3], expected)
    with pytest.raises(TypeError, match="to_scalars"):
        GroupPool(FT)
    with pytest.raises(ValueError, match="max"):
        GroupPool(ft, "sum")


def test_scalars_are_invariant():
    x = torch.randn(20, FT.dim, dtype=torch.float64)
    h = groups.SO2().sample(20, generator=torch.Generator().manual_seed(0))
    s = to_scalars(x, FT)
    assert s.shape == (20, 7)
    assert torch.allclose(to_scalars(FT.transform(h, x), FT), s, rtol=1e-12, atol=1e-12)
    assert torch.equal(s[:, :3], x[:, :3])
    assert not torch.allclose(to_scalars(x, FT, eps=1.0), s)


def test_global_mean_weighs_by_area():
    graph = two_level_graph()
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64)
    assert torch.allclose(global_mean(x, graph)[0], (x * graph.area[:, None]).sum(0) / graph.area.sum())
    del graph.area
    assert torch.allclose(global_mean(x, graph)[0], x.mean(0))


def test_sums_of_batches_and_of_static_graphs():
    one, other = (geometry.points(np.eye(3), radius=2.0).to_graph(), geometry.points(np.eye(3)[:2], radius=2.0).to_graph())
    x = torch.arange(10.0).view(5, 2)
    batch = next(iter(DataLoader([one, other], batch_size=2)))
    assert torch.equal(global_sum(x, batch), torch.stack([x[:3].sum(0), x[3:].sum(0)]))
    assert torch.equal(global_sum(x[:3], one), x[:3].sum(0)[None])
    fields = torch.randn(4, 3, 2)
    assert torch.allclose(global_sum(fields.flatten(0, 1), StaticGraph(one)), fields.sum(1))
