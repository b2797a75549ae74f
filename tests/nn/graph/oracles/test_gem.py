"""Our layers against numbers computed by GEM-CNN's own code (oracles/gem)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups, kernels
from gaugenet.nn import CoefficientTable, GaugeConv, RegularNonlinearity
from tests.helpers.graphs import random_graph

SO2 = groups.SO2()


def component_major(x: np.ndarray) -> torch.Tensor:
    """The oracle's (V, C, 2L+1) as our (V, dim) of "Cx0 + Cx1 + ..."."""
    return torch.from_numpy(x).transpose(1, 2).reshape(x.shape[0], -1)


def rotations(angle: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)


def gem_graph(geom, frequency: int):
    """The oracle's graph in our conventions, with a table of its ring weights; the centre is a third radial function.

    Its edges go from row 1 to row 0 and are averaged over the degree, self-loops included; only these see the self kernel.
    """
    receiver, sender = (torch.from_numpy(i) for i in geom["edge_index"])
    pick = torch.nonzero(receiver != sender)[:, 0]
    pick = pick[torch.argsort(receiver[pick] * 10000 + sender[pick])]
    theta = torch.from_numpy(geom["edge_coords"][:, 1])[pick]
    rings = torch.from_numpy(geom["precomp"][:, 3:])[pick]
    degree = torch.bincount(receiver).double()
    graph = random_graph(SO2, 162)
    graph.edge_index = torch.stack([sender[pick], receiver[pick]])
    graph.log = torch.stack([theta.cos(), theta.sin()], -1)
    graph.transport = rotations(torch.from_numpy(geom["connection"])[pick])
    rings = torch.nn.functional.pad(rings, (0, 1)) / degree[receiver[pick], None]
    edge = (rings[:, :, None] * kernels.harmonics(graph.log, frequency)[:, None, :]).flatten(1)
    node = torch.zeros(162, 3, 2 * frequency + 1, dtype=torch.float64)
    node[:, 2, 0] = 1 / degree
    return graph, CoefficientTable(edge, node.flatten(1))


def set_kernels(conv: GaugeConv, kernel) -> None:
    """Solve for the weights: kernel(ring, in block, out block, theta) -> (T, mul_out, dim_out, mul_in, dim_in)."""
    theta = torch.arange(32, dtype=torch.float64) * 2 * torch.pi / 32
    points = torch.stack([theta.cos(), theta.sin()], -1)
    for i, o, start, stop in conv.expansion.paths:
        (mul_in, rep_in), (mul_out, rep_out) = conv.in_type.blocks[i], conv.out_type.blocks[o]
        basis = kernels.SteerableBasis(rep_in, rep_out, conv.max_frequency)(points)  # (T, K, dim_out, dim_in)
        matrix = basis.permute(0, 2, 3, 1).reshape(-1, basis.shape[1])
        weights = []
        for ring in range(3):
            wanted = kernel(ring, i, o, theta).permute(0, 2, 4, 3, 1).reshape(matrix.shape[0], -1)
            solution = torch.linalg.lstsq(matrix, wanted).solution
            assert torch.allclose(matrix @ solution, wanted, rtol=1e-12, atol=1e-12), "the published kernel is outside our span"
            weights.append(solution.view(-1, mul_in, mul_out))
        with torch.no_grad():
            conv.weight[start:stop] = torch.stack(weights).flatten()


@pytest.mark.parametrize("lin, lout", [(0, 2), (1, 3), (2, 0), (2, 2)])
@pytest.mark.parametrize("gauged", [False, True])
def test_convolution(shared, lin, lout, gauged):
    folder = shared / "oracles" / "gem"
    case, geom, basis = (
        np.load(folder / name)
        for name in (f"gemconv_icosphere2_{lin}_{lout}.npz", "geometry_icosphere2.npz", "kernel_basis.npz")
    )
    graph, table = gem_graph(geom, lin + lout)
    in_type = FieldType(SO2, " + ".join(f"4x{n}" for n in range(lin + 1)) + " + 1x0")
    out_type = FieldType(SO2, " + ".join(f"6x{n}" for n in range(lout + 1)))
    # The published bias is added in the frame of the edge: a kernel that acts on the constant field 1.
    conv = GaugeConv(in_type, out_type, radial=3, max_frequency=lin + lout, bias=False, self_interaction=False).double()
    weight, bias = torch.from_numpy(case["weight"]), torch.from_numpy(case["bias"])
    self_kernel = torch.einsum(
        "kio,kcd->cido", torch.from_numpy(basis[f"self_kernel_{lin}_{lout}"]).double(), torch.from_numpy(case["self_weight"])
    )

    def span(order):
        return slice(0, 1) if order == 0 else slice(2 * order - 1, 2 * order + 1)

    def kernel(ring, i, o, theta):
        turn_out = SO2.irrep(o)(rotations(theta))
        if i == lin + 1:
            column = bias[:, span(o)] if ring < 2 or o == 0 else torch.zeros(6, turn_out.shape[-1], dtype=torch.float64)
            turn = turn_out if ring < 2 else torch.eye(turn_out.shape[-1], dtype=torch.float64).expand_as(turn_out)
            return torch.einsum("tab,db->tda", turn, column)[:, :, :, None, None]
        if ring == 2:
            return self_kernel[:, span(i), :, span(o)].permute(2, 3, 0, 1).expand(32, -1, -1, -1, -1)
        turn_in = SO2.irrep(i)(rotations(-theta))
        return torch.einsum("tab,cidb,tij->tdacj", turn_out, weight[ring][:, span(i), :, span(o)], turn_in)

    set_kernels(conv, kernel)
    x, expected = case["x"], component_major(case["y"])
    if gauged:
        graph = graph.gauge_transform(rotations(torch.from_numpy(case["gauge"])))
        table = gem_table_of(graph, table, lin + lout)
        x, expected = case["x_gauged"], component_major(case["y_gauged"])
    x = torch.cat([component_major(x), torch.ones(162, 1, dtype=torch.float64)], -1)
    error = (conv(x, graph, conv.plan(graph, table)) - expected).abs().max() / expected.abs().max()
    assert error < 1e-10


def gem_table_of(graph, table: CoefficientTable, frequency: int) -> CoefficientTable:
    """The table with the harmonics of turned log maps (the isotropic column holds the ring weights)."""
    rings = table.edge.view(table.edge.shape[0], 3, -1)[:, :, :1]
    return CoefficientTable((rings * kernels.harmonics(graph.log, frequency)[:, None, :]).flatten(1), table.node)


@pytest.mark.parametrize("samples", [5, 7, 11, 21, 51, 101])
def test_regular_nonlinearity(shared, samples):
    case = np.load(shared / "oracles" / "gem" / "regular_nonlin.npz")
    act = RegularNonlinearity(FieldType(SO2, "16x0 + 16x1 + 16x2"), samples=samples).double()
    expected = component_major(case[f"y_{samples}"])
    assert torch.allclose(act(component_major(case["x"])), expected, rtol=1e-12, atol=1e-12)


def test_action_of_irreps(shared):
    case = np.load(shared / "oracles" / "gem" / "rep_act.npz")
    angle = torch.from_numpy(case["theta"])
    ft = FieldType(SO2, "3x0 + 3x1 + 3x2 + 3x3 + 3x4")
    assert torch.allclose(
        ft.transform(rotations(angle), component_major(case["x"])), component_major(case["y"]), rtol=1e-12, atol=1e-12
    )
