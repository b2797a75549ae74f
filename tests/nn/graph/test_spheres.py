"""The layers on every sampling of the sphere and every structure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.cli import main
from gaugenet.geometry.spheres.icospheres import icosphere_mesh
from gaugenet.nn import GaugeConv, GaugePool, GaugeUnpool
from gaugenet.testing import equivariance_error, symmetry_error

SAMPLINGS = {
    "icosphere": lambda **o: geometry.icosphere(2, **o),
    "healpix": lambda **o: geometry.healpix(4, **o),
    "healpix rings": lambda **o: geometry.healpix(4, rings=1, nest=False, **o),
    "fibonacci": lambda **o: geometry.fibonacci_sphere(150, **o),
    "gauss-legendre": lambda **o: geometry.latlon(8, 16, **o),
    "equiangular": lambda **o: geometry.latlon(9, 16, grid="equiangular", **o),
    "lobatto": lambda **o: geometry.latlon(9, 16, grid="lobatto", **o),
}
TYPES = {
    "SO2": (FieldType(groups.SO2(), "2x0 + 1x1"), FieldType(groups.SO2(), "1x0 + 2x1 + 1x2")),
    "O2": (FieldType(groups.O2(), "2x0 + 1x1"), FieldType(groups.O2(), "1x0 + 1x0- + 2x1")),
    "e": (FieldType(groups.Trivial(), "3x0"), FieldType(groups.Trivial(), "2x0")),
}


class Net(torch.nn.Module):
    """Convolution, down, convolution on the coarse level, up."""

    def __init__(self, in_type, out_type):
        super().__init__()
        self.first, self.second = GaugeConv(in_type, out_type), GaugeConv(out_type, out_type)
        self.pool, self.unpool = GaugePool(out_type), GaugeUnpool(out_type)
        for bias in (*self.first.bias.parameters(), *self.second.bias.parameters()):
            torch.nn.init.normal_(bias)

    def forward(self, x, graph):
        x = self.first(x, graph)
        return x + self.unpool(self.second(self.pool(x, graph), graph.coarse), graph)


@pytest.mark.parametrize("structure", TYPES)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_layers_are_equivariant_on(sampling, structure):
    torch.manual_seed(0)
    in_type, out_type = TYPES[structure]
    graph = SAMPLINGS[sampling](levels=1, structure=structure).to_graph()
    net = Net(in_type, out_type)
    assert equivariance_error(net.double(), graph, in_type, out_type) < 1e-10
    assert equivariance_error(net.float(), graph.float(), in_type, out_type) < 1e-4


def icosahedral_isometries(local, every=1):
    """Permutation (S, N) and change of frames (S, N, 2, 2) of rotations of the icosahedron (60 / every of them)."""
    corners, faces = icosphere_mesh(0)
    start = np.linalg.inv(corners[faces[0]])
    moves, turns = [], []
    for face in [np.roll(f, k) for f in faces for k in range(3)][::every]:
        turn = (start @ corners[face]).T
        image = np.linalg.norm(local.positions[:, None] - (local.positions @ turn.T)[None], axis=-1).argmin(0)
        moves.append(image)
        turns.append(np.swapaxes(local.frame[image], 1, 2) @ turn @ local.frame)
    return np.stack(moves), np.stack(turns)


@pytest.mark.parametrize("structure", ["SO2", "O2"])
def test_the_icosphere_keeps_the_rotations_of_the_icosahedron(structure):
    torch.manual_seed(0)
    in_type, out_type = TYPES[structure]
    local = geometry.icosphere(3, levels=2, structure=structure)
    isometries = icosahedral_isometries(local, every=7)
    net = Net(in_type, out_type).double()
    assert symmetry_error(net, local.to_graph(), isometries, in_type, out_type) < 1e-10


def test_layers_refuse_transport_outside_their_group():
    so2, _ = TYPES["SO2"]
    e, _ = TYPES["e"]
    plain = geometry.icosphere(1)
    with pytest.raises(ValueError, match="does not lie in it"):
        GaugeConv(e, e)(torch.randn(42, 3), plain.to_graph().float())
    hands = plain.frame * np.where(np.arange(42) % 2, 1, -1)[:, None, None] ** np.arange(2)
    mixed = geometry.icosphere(1, structure="O2", frames=hands)
    with pytest.raises(ValueError, match="does not lie in it"):
        GaugeConv(so2, so2)(torch.randn(42, 4), mixed.to_graph().float())


@pytest.mark.parametrize("structure", TYPES)
def test_shifts_of_longitude_commute_on_a_grid(structure):
    """Without nodes at the poles every structure has the symmetry of the grid."""
    torch.manual_seed(0)
    in_type, out_type = TYPES[structure]
    graph = geometry.latlon(8, 16, structure=structure).to_graph()
    conv = GaugeConv(in_type, out_type).double()
    x = torch.randn(8, 16, in_type.dim, dtype=torch.float64)
    out = conv(x.flatten(0, 1), graph).view(8, 16, -1)
    shifted = conv(x.roll(3, 1).flatten(0, 1), graph).view(8, 16, -1)
    torch.testing.assert_close(shifted, out.roll(3, 1), rtol=0, atol=1e-11)


def test_a_node_at_a_pole_sees_one_longitude():
    """docs/spheres.md: with {e} the poles alone do not commute with turns about the axis."""
    torch.manual_seed(0)
    e = FieldType(groups.Trivial(), "2x0")
    graph = geometry.latlon(9, 16, grid="equiangular", structure="e").to_graph()
    nodes = torch.from_numpy(geometry.latlon_nodes(9, 16, "equiangular"))
    values = torch.from_numpy(np.unique(nodes, return_index=True)[1])
    conv = GaugeConv(e, e).double()
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    turned = x[nodes].roll(3, 1).flatten(0, 1)[values]
    out, expected = conv(turned, graph)[nodes], conv(x, graph)[nodes].roll(3, 1)
    torch.testing.assert_close(out[1:-1], expected[1:-1], rtol=0, atol=1e-11)
    assert (out[[0, -1]] - expected[[0, -1]]).abs().max() > 1e-3


@pytest.mark.parametrize("structure", TYPES)
def test_records_of_spheres_can_be_checked(tmp_path, structure):
    path = tmp_path / "sphere.safetensors"
    geometry.latlon(6, 12, structure=structure).save(path)
    assert main(["check", str(path)]) == 0


def test_a_record_keeps_levels_and_structure(tmp_path):
    sphere = geometry.healpix(2, levels=1, structure="e")
    sphere.save(tmp_path / "sphere.safetensors")
    again = geometry.LocalGeometry.load(tmp_path / "sphere.safetensors")
    assert again.structure == "e" and again.coarse.geometry.metadata["nside"] == 1
    np.testing.assert_array_equal(again.coarse.cluster, sphere.coarse.cluster)
