"""Every maker says the structure group of what it makes, on every level, and the transporters lie in it."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry, groups
from gaugenet.geometry.local_geometry import irrep_matrices
from tests.helpers.corpus import moebius
from tests.helpers.meshes import bumpy


def c4_torus():
    geom = geometry.mesh(*bumpy(2), rings=1, levels=1)
    field = geometry.smooth_field(geom, n=4)
    return geometry.cyclic_structure(geom, field, on_singular="nearest")


MAKERS = {
    "mesh": (lambda: geometry.mesh(*bumpy(2), rings=1, levels=1), "SO2"),
    "mesh O2": (lambda: geometry.mesh(*moebius(24, 5), rings=1, levels=1, structure="O2"), "O2"),
    "point cloud": (lambda: geometry.point_cloud(geometry.fibonacci_points(200)), "SO2"),
    "icosphere": (lambda: geometry.icosphere(2, rings=1, levels=2), "SO2"),
    "healpix O2": (lambda: geometry.healpix(2, rings=1, levels=1, structure="O2"), "O2"),
    "sphere e": (lambda: geometry.fibonacci_sphere(100, rings=1, levels=1, structure="e"), "e"),
    "icosahedron": (lambda: geometry.icosahedron(2, levels=1), "C6"),
    "cyclic": (c4_torus, "C4"),
    "grid": (lambda: geometry.grid((4, 6), levels=1), "e"),
    "voxels": (lambda: geometry.grid((4, 4, 4)), "e"),
    "hexagonal": (lambda: geometry.hexagonal((5, 5)), "e"),
    "cylinder": (lambda: geometry.cylinder(4, 6), "e"),
    "moebius": (lambda: geometry.moebius(4, 6, levels=1), "Z2"),
    "klein": (lambda: geometry.klein_bottle(4, 6), "Z2"),
}


@pytest.mark.filterwarnings("ignore:flipped")
@pytest.mark.parametrize("name", MAKERS)
def test_makers(name):
    make, structure = MAKERS[name]
    geom = make()
    assert [g.structure for g in geom.levels()] == [structure] * len(geom.levels())
    assert geom.replace(metadata={}).structure == structure and f"structure='{structure}'" in repr(geom)
    for g in geom.levels():
        arrays = [g.transport] if g.coarse is None else [g.transport, g.coarse.transport]
        for transport in arrays:
            if structure == "e":
                assert (transport == np.eye(g.dim)).all()
            elif structure == "Z2":
                assert (np.abs(transport) == np.eye(2)).all()
            elif structure[0] == "C":
                assert np.allclose(np.linalg.matrix_power(transport, int(structure[1:])), np.eye(2), atol=1e-12)
            if structure not in ("O2", "Z2"):
                assert (np.linalg.det(transport) > 0).all()


def test_giving_up_a_cyclic_structure_gives_so2_on_every_level():
    geom = geometry.mesh(*bumpy(2), rings=2, levels=1)
    field = geometry.smooth_field(geom, n=4)
    found = geometry.cyclic_structure(geom, field, on_singular="SO2")
    assert found.metadata["ambiguous_edges"] and [g.structure for g in found.levels()] == ["SO2", "SO2"]


def test_the_default_is_the_rotations():
    plane, space = geometry.grid((4, 4)), geometry.grid((3, 3, 3))
    for g, expected in ((plane, "SO2"), (space, "SO3")):
        bare = geometry.LocalGeometry(g.edge_index, g.log, g.transport, g.weight, g.radius)
        assert bare.structure == expected


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_the_irreps_of_stored_features_are_those_of_the_groups(order):
    h = groups.O2().sample(20).double()
    expected = groups.O2().irrep(str(order))(h)
    assert np.allclose(irrep_matrices(h.numpy(), order), expected, rtol=0, atol=1e-14)
