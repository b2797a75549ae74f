"""The published icosahedral layers, for the same weights: outputs of icoCNN on 5 charts of 2^r x 2^(r+1) points.

Everything about the other code's conventions is read off its arrays: positions of the points, the direction in which a chart
runs, the expanded kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from gaugenet import FieldType, geometry, groups
from gaugenet.models.published import icosahedral_conv, icosahedral_norm
from gaugenet.nn import ConePoints, LatticePool
from gaugenet.testing import symmetry_error

C6 = groups.Cyclic(6)
# Pixels of their 3 x 3 kernels as lattice vectors: columns run along the first frame vector, rows at 120 degrees.
ROW, COLUMN = np.array([-0.5, np.sqrt(0.75)]), np.array([1.0, 0.0])
CORNERS = {"clean": "zero", "smooth": "average"}


class Charts(NamedTuple):
    """Their grid on our geometry: point (5 H W,) our node of each of theirs, turn (5 H W, 2, 2) from their frames to ours."""

    point: np.ndarray
    turn: torch.Tensor
    geometry: geometry.LocalGeometry

    def features(self, x: np.ndarray, type: FieldType) -> torch.Tensor:
        """(C, R, 5, H, W) -> (N, R C): component-major, in our frames; zeros at the poles, which they do not have."""
        values = torch.from_numpy(x).flatten(2)
        values = values[:, orientation(x.shape[1])].permute(2, 1, 0).flatten(1)
        out = values.new_zeros(self.geometry.num_nodes, values.shape[1])
        out[self.point] = type.transform(self.turn, values)
        return out

    def grid(self, y: torch.Tensor, type: FieldType, shape: tuple[int, ...]) -> np.ndarray:
        """The inverse, to (C, R, 5, H, W)."""
        values = type.transform(self.turn.transpose(1, 2), y[self.point])
        return values.view(-1, shape[1], shape[0]).permute(2, 1, 0)[:, orientation(shape[1])].reshape(shape).numpy()


def orientation(count: int) -> list[int]:
    """Their channel r is turned by -60 r degrees (see the expanded kernels), ours by +60 r."""
    return [-r % count for r in range(count)]


def charts(grid: np.ndarray, level: int, levels: int = 0) -> Charts:
    geom = geometry.icosahedron(level, levels=levels)
    point = matched(grid.reshape(-1, 3), grid, geom)
    number = point.reshape(grid.shape[:3])
    # A chart is flat and runs along its columns: the log map of the next point is their first frame vector in our frame.
    ahead = np.concatenate([number[..., 1:], number[..., -2:-1]], -1).ravel()
    sign = np.ones(number.shape)
    sign[..., -1] = -1
    source, target = geom.edge_index
    edge = np.searchsorted(target * geom.num_nodes + source, point * geom.num_nodes + ahead)
    first = sign.ravel()[:, None] * geom.log[edge] / np.linalg.norm(geom.log[edge], axis=1, keepdims=True)
    turn = np.stack([first, np.stack([-first[:, 1], first[:, 0]], 1)], -1)
    return Charts(point, torch.from_numpy(turn), geom)


def matched(points: np.ndarray, grid: np.ndarray, geom: geometry.LocalGeometry) -> np.ndarray:
    """The node at each point (K, 3), after the rotation that brings two corners next to each other to two of ours."""
    source, target = geometry.icosahedron(0).edge_index[:, 0]
    theirs, ours = (grid[0, 0, 0], grid[1, 0, 0]), (geom.positions[source], geom.positions[target])
    before, after = (np.stack([a, b, np.cross(a, b)], 1) for a, b in (theirs, ours))
    away, point = cKDTree(geom.positions).query(points @ (after @ np.linalg.inv(before)).T)
    assert away.max() < 1e-9
    return point


@pytest.fixture(scope="module", params=[1, 2])
def oracle(request, shared):
    with np.load(shared / "oracles" / "sphere" / f"icocnn_r{request.param}.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("mode", CORNERS)
@pytest.mark.parametrize("layer", ["s2r", "r2r"])
def test_convolutions(oracle, mode, layer):
    there = charts(oracle["grid_xyz_flat_faces"], int(oracle["r"]))
    x, y = oracle[f"{mode}_x" if layer == "s2r" else f"{mode}_y_s2r"], oracle[f"{mode}_y_{layer}"]
    in_type = FieldType(C6, [(x.shape[1], C6.trivial if x.shape[2] == 1 else C6.regular)])
    out_type = FieldType(C6, [(y.shape[1], C6.regular)])
    state = {"weight": oracle[f"{mode}_w_{layer}"], "bias": oracle[f"{mode}_b_{layer}"]}
    conv = icosahedral_conv(state, CORNERS[mode]).double()
    assert (conv.in_type, conv.out_type) == (in_type, out_type)
    graph = there.geometry.to_graph()
    with torch.no_grad():
        for sample, expected in zip(x, y):
            got = there.grid(conv(there.features(sample, in_type), graph), out_type, expected.shape)
            assert np.abs(got - expected).max() < 1e-12
    # what theirs is not shown to be: exact for all rotations
    assert symmetry_error(conv, graph, geometry.icosahedron_symmetries(there.geometry), in_type, out_type) < 1e-12


@pytest.mark.parametrize("mode", CORNERS)
def test_pooling(oracle, mode):
    x, y = oracle[f"{mode}_y_r2r"], oracle[f"{mode}_pool"]
    if not y.size:
        pytest.skip("the oracle has no values here: the other code does not smooth the twelve corners alone")
    grid, level = oracle["grid_xyz_flat_faces"], int(oracle["r"])
    there, below = charts(grid, level, levels=1), charts(grid[:, ::2, ::2], level - 1)
    type = FieldType(C6, [(x.shape[1], C6.regular)])
    pool = LatticePool(type, corners=CORNERS[mode])
    for sample, expected in zip(x, y):
        got = below.grid(pool(there.features(sample, type), there.geometry.to_graph()), type, expected.shape)
        assert np.abs(got - expected).max() < 1e-12


@pytest.mark.parametrize("mode", CORNERS)
def test_layer_norm(oracle, mode):
    there = charts(oracle["grid_xyz_flat_faces"], int(oracle["r"]))
    x, y = oracle[f"{mode}_y_r2r"], oracle[f"{mode}_lnorm"]
    type = FieldType(C6, [(x.shape[1], C6.regular)])
    affine = torch.ones(x.shape[1], 1), torch.zeros(x.shape[1], 1)
    norm = icosahedral_norm(dict(zip(("weight", "bias"), affine))).double()
    for sample, expected in zip(x, y):
        got = there.grid(norm(there.features(sample, type)).detach(), type, expected.shape)
        assert np.abs(got - expected).max() < 1e-12


def test_rotations_agree(oracle):
    """Their table of rotations, made from positions with both poles, holds the same permutations as ours."""
    grid = oracle["grid_xyz_flat_faces"]
    geom = geometry.icosahedron(int(oracle["r"]))
    point = matched(np.concatenate([grid.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]), grid, geom)
    ours, _ = geometry.icosahedron_symmetries(geom)
    theirs = np.empty_like(ours)
    theirs[:, point] = point[oracle["rotation_perm"]]
    assert {tuple(p) for p in ours} == {tuple(p) for p in theirs}
    assert set(point[oracle["corner_mask"]]) == set(np.flatnonzero(geom.cone_angle < 6))


def test_smoothing_is_the_average_of_the_neighbours(oracle):
    """A row of theirs that is already smooth stays as it is."""
    there = charts(oracle["grid_xyz_flat_faces"], int(oracle["r"]))
    y = oracle["smooth_y_r2r"][0]
    type = FieldType(C6, [(y.shape[0], C6.regular)])
    features, graph = there.features(y, type), there.geometry.to_graph()
    smooth = ConePoints(type, "average").double()(features, graph)
    assert np.abs(there.grid(smooth, type, y.shape) - y).max() < 1e-12
