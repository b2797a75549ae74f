"""Surfaces that are not orientable, with an O(2) structure."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError, MeshError
from gaugenet.geometry.meshes.double_cover import orientation_cover
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers.corpus import joined, klein_bottle, moebius, sphere
from tests.helpers.meshes import bumpy

MIRROR = np.diag([1.0, -1.0])


def random_o2(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 2 * np.pi, count)
    h = np.stack([np.stack([np.cos(a), -np.sin(a)], -1), np.stack([np.sin(a), np.cos(a)], -1)], -2)
    h[rng.random(count) < 0.5] @= MIRROR
    return h


def mesh(surface, **options):
    with pytest.warns(UserWarning, match="flipped"):  # the winding has a seam
        return geometry.mesh(*surface, structure="O2", **options)


@pytest.mark.parametrize("surface", [moebius(24, 5), klein_bottle(24, 12)])
def test_the_cover_is_an_oriented_surface(surface):
    vertices, faces = surface
    count = len(vertices)
    cover = Topology.of(orientation_cover(faces, count), 2 * count)
    base_edges = len({tuple(sorted(e)) for f in faces for e in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0]))})
    assert cover.euler == 2 * (count - base_edges + len(faces))
    assert cover.components()[0] == 1
    # Both lifts of a vertex see the same number of faces, on opposite sides.
    degree = np.diff(cover.ring_ptr)
    assert (degree[:count] == degree[count:]).all()


def test_an_orientable_part_has_two_copies():
    vertices, faces = joined(moebius(24, 5), sphere())
    cover = Topology.of(orientation_cover(faces, len(vertices)), 2 * len(vertices))
    assert cover.components()[0] == 3


@pytest.mark.parametrize("surface", [moebius(24, 5), klein_bottle(24, 12)])
@pytest.mark.parametrize("options", [{"rings": 2}, {"radius": 0.5, "levels": 2}])
def test_conventions_hold(surface, options):
    found = mesh(surface, features="hks", **options).validate()
    assert found.num_nodes == len(surface[0]) and len(found.faces) == len(surface[1])
    assert found.structure == "O2"
    determinant = np.linalg.det(found.transport)
    assert (determinant < -0.99).any() and (determinant > 0.99).any()
    for level in found.levels():
        assert np.isclose(level.area.sum(), found.area.sum(), rtol=1e-12)


def cut(faces: np.ndarray, count: int, width: int) -> np.ndarray:
    """The faces of a strip without those at its first two columns."""
    column = np.arange(count) // width
    return faces[~(column[faces] <= 1).all(1)]


def test_equals_an_orientable_piece():
    """Away from a cut across the strip, the Moebius strip is the cut strip, up to a reflection of frames."""
    vertices, faces = moebius(40, 5)
    whole = mesh((vertices, faces), radius=0.35)
    column = np.arange(len(vertices)) // 5
    far = (column > 8) & (column < 33)
    piece = geometry.mesh(vertices, cut(faces, len(vertices), 5), radius=0.35, structure="O2", frames=whole.frame)
    assert piece.num_nodes == whole.num_nodes

    def rows(g):
        inner = far[g.edge_index[1]]
        key = g.edge_index[:, inner]
        return key, g.log[inner], g.transport[inner]

    for a, b in zip(rows(whole), rows(piece)):
        assert a.shape == b.shape
        assert np.abs(a - b).max() < 1e-11
    assert far.sum() > 100


def test_does_not_depend_on_the_numbering():
    vertices, faces = moebius(30, 4)
    whole = mesh((vertices, faces), rings=2, levels=1)
    rng = np.random.default_rng(3)
    new = rng.permutation(len(vertices))
    inverse = np.argsort(new)
    shuffled = new[faces][rng.permutation(len(faces))]
    flip = rng.random(len(faces)) < 0.5
    shuffled[flip] = shuffled[flip][:, [0, 2, 1]]
    with pytest.warns(UserWarning, match="flipped"):
        other = geometry.mesh(vertices[inverse], shuffled, rings=2, structure="O2", frames=whole.frame[inverse])
    # back to the old numbers
    source, target = inverse[other.edge_index]
    order = np.lexsort((source, target))
    assert (np.stack([source, target])[:, order] == whole.edge_index).all()
    assert np.abs(other.log[order] - whole.log).max() < 1e-11
    assert np.abs(other.transport[order] - whole.transport).max() < 1e-11


def test_frames_of_either_hand():
    vertices, faces = bumpy(2)
    plain = geometry.mesh(vertices, faces, rings=2, features="hks,second_fundamental_form", levels=1)
    h = random_o2(plain.num_nodes)
    mixed = geometry.mesh(
        vertices, faces, rings=2, features="hks,second_fundamental_form", levels=1, structure="O2", frames=plain.frame @ h
    )
    turned = plain.gauge_transform(h)
    assert np.abs(mixed.log - turned.log).max() < 1e-12
    assert np.abs(mixed.transport - turned.transport).max() < 1e-11
    assert np.abs(mixed.frame - turned.frame).max() < 1e-12
    mixed.validate()
    for name, feature in turned.features.items():
        assert np.abs(mixed.features[name].values - feature.values).max() < 1e-9
    with pytest.raises(GeometryError, match="right-handed"):
        geometry.mesh(vertices, faces, rings=2, frames=plain.frame @ MIRROR)


def test_errors():
    with pytest.raises(MeshError, match='structure="O2"'):
        geometry.mesh(*moebius(), rings=1)
    with pytest.raises(ValueError, match="unknown structure"):
        geometry.mesh(*moebius(), rings=1, structure="O(2)")
    with pytest.raises(GeometryError, match="oriented"):
        mesh(moebius(), rings=1, features="position")
    with pytest.raises(ValueError, match="exact"):
        mesh(moebius(), rings=1, method="potpourri3d")


def test_per_vertex_radius():
    vertices, faces = moebius(30, 4)
    radius = np.random.default_rng(0).uniform(0.2, 0.5, len(vertices))
    found = mesh((vertices, faces), radius=radius).validate()
    assert np.array_equal(found.radius, radius)
