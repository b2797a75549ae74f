"""Direction fields, smooth frames and C_N-structures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, nn, testing
from gaugenet.errors import GeometryError
from gaugenet.geometry.meshes import direction_fields
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers.corpus import joined, moebius
from tests.helpers.meshes import bumpy, cube, cylinder, planar_rotations, plate, torus


def ball(level=3):
    geom = geometry.icosphere(level, rings=1)
    return geom.positions, geom.faces


def turn_of(transport):
    return np.arctan2(transport[:, 1, 0], transport[:, 0, 0])


def test_edges_turn_as_in_the_geometry():
    """Also next to a cap whose corners its lengths do not tell: one measure of the angles for frames, transport and fields."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0.5, 1e-8, 0], [0.5, 1, 0], [0.5, -1, 0.5]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [2, 1, 3], [1, 0, 4]])
    geom = geometry.mesh(points, faces, rings=1, smooth=False)
    surface = direction_fields._surface(geom, None)
    transport = dict(zip(map(tuple, geom.edge_index.T.tolist()), turn_of(geom.transport)))
    expected = [transport[edge] for edge in zip(surface.topology.tail.tolist(), surface.topology.head.tolist())]
    np.testing.assert_allclose(np.exp(1j * direction_fields.edge_turns(surface)), np.exp(1j * np.array(expected)), atol=1e-13)


CLOSED = {"ball": ball, "bumpy": bumpy, "cube": cube, "torus": torus, "two": lambda: joined(ball(2), torus(16, 10))}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_poincare_hopf(name, n):
    vertices, faces = CLOSED[name]()
    euler = Topology.of(faces, len(vertices)).euler
    rng = np.random.default_rng(n)
    noise = rng.normal(size=(2, len(vertices)))
    # The theorem holds for every field, not only for the smoothest.
    for options in ({}, {"s": -1.0}, {"alignment": noise[0] + 1j * noise[1], "tightness": 1e6}):
        field = geometry.smooth_field(vertices, faces, n=n, **options)
        assert field.index.sum() == pytest.approx(euler, abs=1e-9)
        assert (field.index != 0).all() and np.allclose(field.index * n, np.rint(field.index * n))
    assert len(field.singular_faces) > 20  # noise


def test_eight_singularities_of_a_quarter():
    for vertices, faces in (ball(), cube(5)):
        field = geometry.smooth_field(vertices, faces, n=4)
        np.testing.assert_array_equal(field.index, np.full(8, 0.25))
    corners = np.flatnonzero((np.abs(vertices - 0.5) == 0.5).all(1))
    at = vertices[faces[field.singular_faces]].mean(1)
    away = np.linalg.norm(at[:, None] - vertices[corners], axis=-1)
    assert sorted(away.argmin(1)) == list(range(8)) and away.min(1).max() < 0.2  # an edge of the mesh, one at every corner


@pytest.mark.parametrize("n, s, expected", [(2, 0, 2), (4, 0, 4), (3, 1, 0), (2, -1, 4)])
def test_the_spectrum_of_the_sphere(n, s, expected):
    """Fields of order n on the unit sphere: the least eigenvalue of l (l + 1) - n^2 is n, at l = n; then -s n for curvature."""
    errors = [abs(geometry.smooth_field(*ball(level), n=n, s=s).energy - expected) for level in (2, 3, 4)]
    assert errors[-1] < 0.02 and errors[1] / errors[2] > 3 and errors[0] / errors[1] > 3


@pytest.mark.parametrize("make", [plate, cylinder])
def test_parallel_on_developable_surfaces(make):
    vertices, faces = make()
    field = geometry.smooth_field(vertices, faces, n=4)
    assert abs(field.energy) < 1e-9 and field.singular_faces.size == 0
    geom = geometry.mesh(vertices, faces, rings=2, frames="smooth")
    np.testing.assert_allclose(geom.transport, np.broadcast_to(np.eye(2), geom.transport.shape), atol=1e-6)
    assert np.abs(turn_of(geometry.mesh(vertices, faces, rings=2).transport)).max() > 0.1


def test_the_field_does_not_depend_on_the_frames():
    vertices, faces = bumpy()
    geom = geometry.mesh(vertices, faces, rings=1)
    turn = np.random.default_rng(0).uniform(-3, 3, len(vertices))
    turned = geom.gauge_transform(planar_rotations(turn))
    a, b = geometry.smooth_field(geom, n=4), geometry.smooth_field(turned, n=4)
    np.testing.assert_array_equal(a.singular_faces, b.singular_faces)
    ratio = b.representation * np.exp(4j * turn) / a.representation  # one phase: the choice of an eigenvector
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert abs(abs(ratio[0]) - 1) < 1e-6 and a.energy == pytest.approx(b.energy, rel=1e-9)
    # An alignment settles the phase.
    a, b = (geometry.smooth_field(g, n=4, alignment="curvature") for g in (geom, turned))
    np.testing.assert_allclose(b.representation * np.exp(4j * turn), a.representation, atol=1e-9)
    np.testing.assert_allclose(np.sort(np.abs(np.einsum("vna,vma->vnm", a.directions, b.directions)).max(-1), -1), 1, atol=1e-6)


def test_alignment_with_the_principal_directions():
    vertices, faces = torus()
    around = np.stack([-vertices[:, 1], vertices[:, 0], 0 * vertices[:, 0]], 1)
    around /= np.linalg.norm(around, axis=1, keepdims=True)

    def cosine(field):
        return np.abs(np.einsum("vna,va->vn", field.directions, around)).max(1)

    loose, tight = (geometry.smooth_field(vertices, faces, n=4, alignment="curvature", tightness=t) for t in (1e-3, 100.0))
    free = geometry.smooth_field(vertices, faces, n=4)
    assert tight.singular_faces.size == 0 and cosine(tight).min() > 0.999
    assert free.energy <= loose.energy < tight.energy and cosine(free).min() < 0.9
    # n = 2: the direction of the largest curvature, here around the tube.
    assert cosine(geometry.smooth_field(vertices, faces, n=2, alignment="curvature", tightness=100.0)).max() < 0.05


def test_components_scale_and_slivers():
    vertices, faces = joined(bumpy(2), bumpy(3, seed=1), plate(5))
    field = geometry.smooth_field(vertices, faces)
    assert np.abs(field.representation).min() > 0
    small = geometry.smooth_field(1e-9 * vertices, faces)
    np.testing.assert_array_equal(small.singular_faces, field.singular_faces)
    assert small.energy * 1e-18 == pytest.approx(field.energy, rel=1e-6)
    vertices, faces = plate()
    vertices[faces[3]] = vertices[faces[3, 0]] + np.outer([0.0, 0.5, 1.0], [1.0, 0, 0])
    with pytest.warns(UserWarning):
        geom = geometry.mesh(vertices, faces, rings=1)
    assert np.isfinite(geometry.smooth_field(geom).representation).all()


def test_smooth_frames_are_smooth():
    vertices, faces = torus()
    smooth = geometry.mesh(vertices, faces, rings=1, frames="smooth").validate()
    plain = geometry.mesh(vertices, faces, rings=1)
    assert np.abs(turn_of(smooth.transport)).max() < 0.3 < 1 < np.abs(turn_of(plain.transport)).max()
    np.testing.assert_allclose(np.linalg.norm(smooth.log, axis=1), np.linalg.norm(plain.log, axis=1), rtol=1e-12)
    with pytest.raises(ValueError, match="smooth"):
        geometry.mesh(vertices, faces, frames="parallel")
    with pytest.raises(GeometryError, match="oriented"):
        geometry.mesh(*moebius(), rings=1, structure="O2", frames="smooth")


BAD = {
    "n must": {"n": 0},
    "s must": {"s": 2},
    "tightness": {"tightness": 0},
    "even n": {"n": 3, "alignment": "curvature"},
    "alignment must be": {"alignment": "x"},
    "shape": {"alignment": np.zeros(3)},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_arguments(text):
    with pytest.raises(ValueError, match=text):
        geometry.smooth_field(*plate(4), **BAD[text])


def test_what_has_no_field():
    geom = geometry.mesh(*plate(4), rings=1)
    with pytest.raises(GeometryError, match="no faces"):
        geometry.smooth_field(geom.replace(faces=None))
    with pytest.raises(TypeError, match="faces"):
        geometry.smooth_field(geom, geom.faces)
    with pytest.raises(TypeError, match="faces"):
        geometry.smooth_field(geom.positions)
    with pytest.raises(GeometryError, match="oriented"):
        geometry.smooth_field(geometry.mesh(*moebius(), rings=1, structure="O2"))


@pytest.mark.parametrize("make", [plate, cylinder])
def test_flat_surfaces_have_the_exact_structure(make):
    geom = geometry.mesh(*make(), rings=2, levels=1)
    field = geometry.smooth_field(geom, n=4)
    cyclic = geometry.cyclic_structure(geom, field).validate()
    exact = geometry.cyclic_structure(geom, field, bound=0.0)
    np.testing.assert_array_equal(exact.transport, cyclic.transport)
    assert cyclic.structure == "C4" and cyclic.metadata["ambiguous_edges"] == 0
    for before, after in zip(geom.levels(), cyclic.levels()):
        # The Levi-Civita transport, seen in the new frames.
        carried = after.frame[after.edge_index[1]] @ after.transport
        expected = before.frame[before.edge_index[1]] @ before.transport
        change = np.swapaxes(before.frame, 1, 2) @ after.frame
        np.testing.assert_allclose(carried, expected @ change[before.edge_index[0]], atol=1e-6)
        assert groups.Cyclic(4).contains(torch.as_tensor(after.transport)).all()


def test_following_the_field_is_flat_away_from_singularities():
    """p <- a <- q is p <- q for every mesh edge in a neighbourhood that holds no singular face."""
    geom = geometry.mesh(*bumpy())
    field = geometry.smooth_field(geom, n=4)
    cyclic = geometry.cyclic_structure(geom, field, on_singular="nearest")
    steps = np.rint(turn_of(cyclic.transport) * 2 / np.pi).astype(int)
    source, target = geom.edge_index
    k = {(p, q): step for p, q, step in zip(target.tolist(), source.tolist(), steps.tolist())}
    singular = np.zeros(geom.num_nodes, bool)
    singular[geom.faces[field.singular_faces]] = True
    near = np.zeros(geom.num_nodes, bool)
    near[target[singular[source]]] = True
    near |= singular
    edges = geom.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()
    neighbours = [set(source[target == p].tolist()) for p in range(geom.num_nodes)]
    wrong = {True: 0, False: 0}
    checked = 0
    for p in range(geom.num_nodes):
        for a, q in edges:
            if a in neighbours[p] and q in neighbours[p]:
                wrong[bool(near[p])] += (k[p, a] + k[a, q] - k[p, q]) % 4 != 0
                checked += not near[p]
    assert wrong[False] == 0 and checked > 10_000
    assert wrong[True] > 0  # round a singularity no C_4 connection is flat


def test_singularities_are_refused_or_given_up():
    geom = geometry.mesh(*ball(), rings=2, levels=1, features="second_fundamental_form")
    field = geometry.smooth_field(geom, n=4)
    with pytest.raises(GeometryError, match=f"C4.*vertices {geom.faces[field.singular_faces].min()}, "):
        geometry.cyclic_structure(geom, field)
    nearest = geometry.cyclic_structure(geom, field, on_singular="nearest").validate()
    kept = geometry.cyclic_structure(geom, field, on_singular="SO2").validate()
    assert kept.structure == "SO2" and nearest.structure == "C4"
    np.testing.assert_allclose(kept.frame[:, :, 0], field.directions[:, 0], atol=1e-12)
    for a, b in zip(nearest.levels(), kept.levels()):
        np.testing.assert_array_equal(a.log, b.log)
        turn = turn_of(np.swapaxes(a.transport, 1, 2) @ b.transport)
        assert 0.1 < np.abs(turn).max() <= np.pi / 4 + 1e-9  # never farther from Levi-Civita than half a step
        assert groups.Cyclic(4).contains(torch.as_tensor(a.transport)).all()
    assert groups.Cyclic(4).contains(torch.as_tensor(nearest.coarse.transport)).all()
    # The coarse frames are those of their vertices.
    first = [np.abs(geom.positions - x).sum(1).argmin() for x in nearest.coarse.geometry.positions]
    np.testing.assert_allclose(nearest.coarse.geometry.frame, nearest.frame[first], atol=1e-9)
    counts = [
        geometry.cyclic_structure(geom, field, on_singular="nearest", bound=b).metadata["ambiguous_edges"]
        for b in (0.1, 0.5, 1)
    ]
    assert counts[0] > counts[1] > counts[2] == 0
    geometry.cyclic_structure(geom, field, bound=1.0)


def test_a_field_known_up_to_cyclic_rotations():
    """Another of the N directions at every vertex is a gauge change in C_N, nothing else."""
    geom = geometry.mesh(*bumpy(2), rings=2)
    field = geometry.smooth_field(geom, n=6)
    h = planar_rotations(2 * np.pi / 6 * np.random.default_rng(0).integers(0, 6, geom.num_nodes))
    a = geometry.cyclic_structure(geom, field, on_singular="nearest").gauge_transform(h)
    turned = geom.gauge_transform(planar_rotations(np.random.default_rng(1).uniform(-3, 3, geom.num_nodes)))
    b = geometry.cyclic_structure(turned, field, on_singular="nearest").gauge_transform(h)
    for name in ("log", "transport", "frame"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-9)


@pytest.mark.parametrize("n", [2, 4, 6])
def test_layers_are_equivariant(n):
    geom = geometry.mesh(*ball(2), rings=2, levels=1)
    field = geometry.smooth_field(geom, n=n)
    graph = geometry.cyclic_structure(geom, field, on_singular="nearest").to_graph()
    group = groups.Cyclic(n)
    regular, mixed = FieldType(group, "3xregular"), FieldType(group, "2xregular + 2x0 + 1x1")
    torch.manual_seed(0)
    for ends in ((regular, regular), (mixed, regular)):
        conv = nn.GaugeConv(*ends).double()
        assert 0 < testing.equivariance_error(conv, graph, *ends) < 1e-10
    pool = nn.GaugePool(regular)
    assert testing.equivariance_error(pool, graph, regular, regular, out_level=1) < 1e-10
    # Without the rounding the layer refuses the graph.
    levi_civita = geometry.cyclic_structure(geom, field, on_singular="SO2").to_graph()
    with pytest.raises(ValueError, match="does not lie in it"):
        nn.GaugeConv(regular, regular).double()(torch.zeros(geom.num_nodes, regular.dim, dtype=torch.float64), levi_civita)


def test_the_command_line_checks_a_record(tmp_path, capsys):
    from gaugenet.cli import main

    geom = geometry.mesh(*ball(2), rings=2)
    for n in (1, 4):
        path = tmp_path / f"c{n}.safetensors"
        geometry.cyclic_structure(geom, geometry.smooth_field(geom, n=n), on_singular="nearest").save(path)
        assert main(["check", str(path), "--channels", "2", "--order", "1"]) == 0
        assert ": ok:" in capsys.readouterr().out


def test_cyclic_structure_arguments():
    geom = geometry.mesh(*plate(5), rings=1)
    field = geometry.smooth_field(geom)
    for options in ({"on_singular": "O2"}, {"bound": -1}, {"bound": 2}):
        with pytest.raises(ValueError, match=next(iter(options))):
            geometry.cyclic_structure(geom, field, **options)
    with pytest.raises(GeometryError, match="belong"):
        geometry.cyclic_structure(geometry.mesh(*plate(6), rings=1), field)
    with pytest.raises(GeometryError, match="faces"):
        geometry.cyclic_structure(geom.replace(faces=None), field)
    with pytest.raises(GeometryError, match="reflections"):
        geometry.cyclic_structure(
            geom.gauge_transform(np.where(np.arange(25)[:, None, None] == 3, np.diag([1, -1]), np.eye(2))), field
        )
    tilted, lift = geometry.mesh(*plate(5), rings=1), np.array([1.0, 0, 1]) / np.sqrt(2)
    frame = tilted.frame.copy()
    frame[7] = np.stack([lift, [0, 1, 0]], -1)
    with pytest.raises(GeometryError, match="vertex 7"):
        geometry.cyclic_structure(tilted.replace(frame=frame), field)


def test_poincare_hopf_on_a_shape_of_genus_12(shared):
    meshes = np.load(shared / "data" / "odedstein_meshes" / "meshes.npz")
    geom = geometry.mesh(meshes["boot_V"], meshes["boot_F"], rings=1)
    field = geometry.smooth_field(geom, n=4)
    assert field.index.sum() == pytest.approx(-22, abs=1e-9)
    # Neighbours along edges: no geodesic crosses a face, and the structure is exact everywhere.
    cyclic = geometry.cyclic_structure(geom, field, bound=0.9)
    assert groups.Cyclic(4).contains(torch.as_tensor(cyclic.transport)).all()
