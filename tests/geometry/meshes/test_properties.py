"""Whatever the mesh: an error that names elements, or a geometry that keeps the conventions and the laws of the surface.

The meshes are made by tests/helpers/generated_meshes.py. GAUGENET_EXAMPLES=1000 (say) runs that many of each, at random;
without it a few, always the same.
"""

from __future__ import annotations

import os
import warnings

import numba
import numpy as np
import pytest
import scipy.sparse as sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaugenet import geometry
from gaugenet.errors import GeometryError, MeshError
from gaugenet.geometry.geodesics import windows
from gaugenet.geometry.meshes.double_cover import orientation_cover
from gaugenet.geometry.triangles.angles import lengths_and_angles
from gaugenet.geometry.triangles.checks import mollify, zero_area_faces
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers import generated_meshes as made

# In the library other compiled code calls it.
_geodesics_from = numba.njit(windows.geodesics_from.py_func)
MORE = int(os.environ.get("GAUGENET_EXAMPLES", "0"))


def examples(few: int):
    """Settings of a test: a few examples, the same every time, or as many as the environment says, at random."""
    return settings(
        max_examples=MORE or few,
        derandomize=not MORE,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
kinds = st.sampled_from(["icosphere", "torus", "cylinder", "plate"])
one_sided = st.sampled_from(["moebius", "klein_bottle"])
sizes = st.integers(0, 20)
scales = st.sampled_from([1e-50, 1e-12, 1e-5, 1.0, 3e4, 1e12, 1e50])


def build(mesh, **options):
    """geometry.mesh without the warnings that the mesh deserves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return geometry.mesh(*mesh, threads=1, **options)


def angle(matrices: np.ndarray) -> np.ndarray:
    return np.arctan2(matrices[..., 1, 0], matrices[..., 0, 0])


def wrapped(x) -> np.ndarray:
    return np.abs((np.asarray(x) + np.pi) % (2 * np.pi) - np.pi)


class Surface:
    """Angles of a mesh by other means than the library's: from the positions, one vertex after the other."""

    def __init__(self, vertices, faces):
        self.vertices, self.faces = vertices, faces
        p = vertices[faces]
        u, v = np.roll(p, -1, 1) - p, np.roll(p, -2, 1) - p
        self.corner = np.arctan2(np.linalg.norm(np.cross(u, v), axis=2), (u * v).sum(2))
        a = np.linalg.norm(u, axis=2)
        height = np.linalg.norm(np.cross(u, v), axis=2)[:, 0] / a.max(1)
        self.mollified = zero_area_faces(vertices, faces).size > 0
        if self.mollified:
            a = mollify(a)
            c, b = np.roll(a, -1, 1), np.roll(a, -2, 1)
            self.corner = np.arccos(np.clip((a * a + b * b - c * c) / (2 * a * b), -1, 1))
            height = a.min(1) * np.sin(self.corner).min(1)
        self.total = np.bincount(faces.reshape(-1), self.corner.reshape(-1), minlength=len(vertices))
        self.length, valence = {}, {}
        for f, row in zip(faces.tolist(), a.tolist()):
            for k in range(3):
                key = min(f[k], f[k - 2]), max(f[k], f[k - 2])
                valence[key] = valence.get(key, 0) + 1
                self.length[key] = row[k]
        self.rim = np.zeros(len(vertices), bool)
        for key, n in valence.items():
            if n == 1:
                self.rim[list(key)] = True
        self.scale = np.where(self.rim, 1.0, 2 * np.pi / self.total)
        a, b = np.array(list(self.length)).T
        graph = sparse.coo_matrix((np.array(list(self.length.values())), (a, b)), shape=(len(vertices),) * 2)
        self.along_edges = sparse.csgraph.dijkstra(graph.tocsr(), directed=False)
        # How far rounding of the coordinates can turn an edge, and move a point.
        self.rounding = 4 * np.finfo(float).eps * np.abs(vertices).max()
        # radians that rounding may turn the edges at each vertex, and at any
        thinnest = np.full(len(vertices), np.inf)
        np.minimum.at(thinnest, faces.reshape(-1), np.repeat(height, 3))
        self.turned_at = self.rounding / np.maximum(thinnest, np.finfo(float).tiny)
        self.turned = self.turned_at.max()

    @property
    def curvature(self) -> np.ndarray:
        """(F,) curvature in each face: the defect of a vertex is spread over its corners in proportion to their angles."""
        return (self.corner * self.scale[self.faces]).sum(1) - np.pi


def lone_geodesics(g, covered: bool = False) -> dict:
    """(q, p) -> is there one shortest geodesic only? Of equally short ones geometry.mesh takes the mean, on purpose."""
    count, points, faces = g.num_nodes, g.positions, g.faces
    if covered:
        points, faces = np.concatenate([points, points]), orientation_cover(faces, count)
    topology = Topology.of(faces, len(points))
    lengths, angles = lengths_and_angles(points, topology)
    names = "corner", "cumulative", "total", "scale"
    arrays = (topology.faces, topology.twin, lengths.reshape(-1), *(getattr(angles, name) for name in names))
    arrays += (topology.is_boundary, topology.ring_ptr, topology.ring_halfedge, angles.arrival)
    found = {}
    for p, radius in enumerate(g.radius):
        scratch = np.zeros(len(points), bool), 0, arrays, np.full(len(points), -1, np.int64)
        n, vertex, _, ties, _, _, _, order = _geodesics_from(p, radius, *scratch)
        for s in order[:n]:
            pair = int(vertex[s]) % count, p
            found[pair] = ties[s] == 1 and pair not in found
    return found


def check(g, surface: Surface, angles: float) -> int:
    """Everything that must hold on any mesh; ``angles`` in radians is what rounding may do to directions."""
    g.validate()
    for name in ("log", "transport", "weight", "radius", "positions", "frame", "area", "curvature"):
        assert np.isfinite(getattr(g, name)).all(), name
    source, target = g.edge_index
    r = np.linalg.norm(g.log, axis=1)
    size = np.abs(surface.vertices - surface.vertices.mean(0)).max()
    pair = {(int(q), int(p)): e for e, (q, p) in enumerate(g.edge_index.T)}
    back = np.array([pair.get((p, q), -1) for q, p in g.edge_index.T.tolist()], int)
    both = back >= 0
    # one radius everywhere: what is near from one end is near from the other
    if np.ptp(g.radius) == 0:
        assert both[r < g.radius[0] * (1 - 1e-6)].all()
    assert np.abs(r[both] - r[back[both]]).max(initial=0) <= 1e-9 * size
    product = g.transport[both] @ g.transport[back[both]]
    assert np.abs(product - np.eye(2)).max(initial=0) < 1e-12
    assert (r <= g.radius[target] * (1 + 1e-9)).all()
    chord = np.linalg.norm(surface.vertices[source] - surface.vertices[target], axis=1)
    walk = surface.along_edges[source, target]
    slack = 1e-9 * size + 100 * surface.rounding
    assert (r >= chord - slack).all() and (r <= walk + slack).all()
    near = surface.along_edges < (g.radius[:, None] - slack)
    np.fill_diagonal(near, False)
    if g.metadata["rings"] is None:
        assert all((int(q), int(p)) in pair for p, q in np.argwhere(near))
    single = lone_geodesics(g)
    straight = {
        e: single.get(e, False) and np.abs(r[pair[e]] - surface.length[min(e), max(e)]) <= 1e-12 * size
        for e in pair
        if (min(e), max(e)) in surface.length
    }
    curvature, checked = surface.curvature, 0
    for f, (a, b, c) in enumerate(surface.faces.tolist()):
        if not all(straight.get(e, False) for e in ((a, b), (b, c), (c, a), (b, a), (c, b), (a, c))):
            continue
        checked += 1
        loop = g.transport[pair[c, a]] @ g.transport[pair[b, c]] @ g.transport[pair[a, b]]
        assert wrapped(angle(loop) - curvature[f]) < angles, ("holonomy", f)
        for p, q, s in ((a, b, c), (b, c, a), (c, a, b)):
            first, second = g.log[pair[q, p]], g.log[pair[s, p]]
            between = np.arctan2(first[0] * second[1] - first[1] * second[0], first @ second)
            k = surface.faces[f].tolist().index(p)
            assert wrapped(between - surface.scale[p] * surface.corner[f, k]) < angles, ("corner", f)
    return checked


@examples(25)
@given(kind=kinds, size=sizes, rng=seeds, steps=st.integers(0, 40), scale=scales, smooth=st.booleans())
def test_remeshed(kind, size, rng, steps, scale, smooth):
    mesh = made.remeshed(made.base(kind, size, rng), rng, steps)
    assert made.sound(mesh[1])
    vertices, faces = made.moved(mesh, rng, scale, 0.0)
    g = build((vertices, faces), smooth=smooth)
    surface = Surface(vertices, g.faces)
    checked = check(g, surface, 1e-9 + 100 * surface.turned)
    assert checked


@examples(25)
@given(
    kind=kinds,
    size=sizes,
    rng=seeds,
    height=st.sampled_from([1e-2, 1e-4, 1e-6, 1e-8]),
    scale=scales,
    offset=st.sampled_from([0.0, 1e3, 1e6]),
    rings=st.sampled_from([None, 1, 2]),
)
def test_slivers(kind, size, rng, height, scale, offset, rings):
    """Caps and needles as thin as 1e-8 of their length, also far from the origin, where rounding is coarser than they are."""
    mesh = made.slivers(made.base(kind, size, rng), rng, 3, height)
    vertices, faces = made.moved(mesh, rng, scale, offset)
    g = build((vertices, faces), rings=rings)
    surface = Surface(vertices, g.faces)
    check(g, surface, 1e-9 + 1e3 * surface.turned)


@examples(20)
@given(degree=st.integers(3, 500), rng=seeds, closed=st.booleans(), ruffle=st.sampled_from([0.0, 0.5, 3.0]), scale=scales)
def test_degrees(degree, rng, closed, ruffle, scale):
    """A vertex of degree 3 to 500: a cone, or a saddle with a total angle of many turns."""
    # A closed one takes time with the cube of the degree: every rim vertex sees all faces, each of them many times.
    degree = 3 + degree % 60 if closed else degree
    vertices, faces = made.moved(made.wheel(degree, rng, closed, ruffle), rng, scale, 0.0)
    g = build((vertices, faces), rings=1)
    surface = Surface(vertices, g.faces)
    assert check(g, surface, 1e-9 + 100 * surface.turned)
    hub = np.flatnonzero(g.edge_index[1] == 0)
    assert len(hub) == degree


@examples(20)
@given(rng=seeds, steps=st.integers(0, 30), least=st.sampled_from([0.1, 1e-3, 1e-6, 1e-8]), smooth=st.booleans())
def test_flat(rng, steps, least, smooth):
    """In the plane log maps are differences of positions and transport is the change of frames, whatever the triangles."""
    vertices, faces = made.flat_plate(rng, steps, least)
    g = build((vertices, faces), smooth=smooth, radius=1.6)
    surface = Surface(vertices, g.faces)
    if surface.mollified:
        return
    check(g, surface, 1e-11 + 1e2 * surface.turned)
    q, p = g.edge_index
    delta = (vertices[q, :2] - vertices[p, :2]) @ [1, 1j]
    apart = np.abs(vertices[:, None, 0] - vertices[:, 0] + 1j * (vertices[:, None, 1] - vertices[:, 1]))
    assert (apart < 1.6 * (1 - 1e-9)).sum() - len(vertices) <= g.num_edges
    assert np.abs(np.linalg.norm(g.log, axis=1) - np.abs(delta)).max() < 1e-12
    # one rotation per vertex takes its frame to the plane; transport is their difference
    z = delta / (g.log @ [1, 1j])
    sure = np.bincount(p, np.abs(delta) * z.real, len(vertices)) + 1j * np.bincount(p, np.abs(delta) * z.imag, len(vertices))
    turn = np.angle(sure)
    # smoothing brings in what lies between
    turned = surface.turned if smooth else surface.turned_at[p] + surface.turned_at[q]
    error = 1e-11 + 1e2 * (turned + surface.rounding / np.abs(delta))
    assert (wrapped(np.angle(z) - turn[p]) < error).all()
    assert (wrapped(angle(g.transport) - turn[q] + turn[p]) < error).all()


@examples(20)
@given(
    kind=kinds, size=sizes, rng=seeds, steps=st.integers(1, 30), least=st.sampled_from([0.1, 1e-3, 1e-6, 1e-8]), scale=scales
)
def test_subdivision_changes_nothing(kind, size, rng, steps, least, scale):
    """More vertices on the same polyhedron: between the old ones distances, directions and transport stay."""
    coarse = made.moved(made.base(kind, size, rng), rng, scale, 0.0)
    fine = made.subdivided(coarse, rng, steps, least)
    count, radius = len(coarse[0]), 2.5 * np.median(list(Surface(*coarse).length.values()))
    a, b = (build(mesh, radius=radius, smooth=False) for mesh in (coarse, fine))
    surface = Surface(fine[0], b.faces)
    if surface.mollified:
        return
    check(b, surface, 1e-9 + 1e3 * surface.turned)
    lone_a, lone_b = lone_geodesics(a), lone_geodesics(b)
    at = {(q, p): e for e, (q, p) in enumerate(b.edge_index.T.tolist())}
    inside = [(e, q, p) for e, (q, p) in enumerate(a.edge_index.T.tolist()) if np.linalg.norm(a.log[e]) < radius * (1 - 1e-6)]
    assert all((q, p) in at for _, q, p in inside)
    rows = [(e, at[q, p], q, p) for e, q, p in inside if lone_a[q, p] and lone_b[q, p]]
    e, f, q, p = np.array(rows).T
    assert np.abs(np.linalg.norm(a.log[e], axis=1) - np.linalg.norm(b.log[f], axis=1)).max() < 1e-11 * radius
    z = (b.log[f] @ [1, 1j]) / (a.log[e] @ [1, 1j])
    turn = np.angle(np.bincount(p, z.real, count) + 1j * np.bincount(p, z.imag, count))
    error = 1e-9 + 1e3 * (surface.turned_at[p] + surface.turned_at[q])
    assert (wrapped(np.angle(z) - turn[p]) < error).all()
    assert (wrapped(angle(b.transport[f]) - angle(a.transport[e]) - turn[p] + turn[q]) < error).all()


@examples(25)
@given(kind=kinds, size=sizes, rng=seeds, damage=st.lists(st.sampled_from(made.DAMAGES), min_size=1, max_size=3), scale=scales)
def test_damage(kind, size, rng, damage, scale):
    """An error that names elements of the input, or a geometry that keeps the laws; with repair likewise."""
    mesh = made.moved(made.base(kind, size, rng), rng, scale, 0.0)
    for one in damage:
        if not {"nan", "range"} & set(damage[: damage.index(one)]):
            mesh = made.damaged(mesh, one, rng)
    for repair in (False, True):
        try:
            g = build(mesh, repair=repair)
        except (MeshError, GeometryError) as error:
            assert error.ids and error.kind in KINDS, error
            if error.kind == "index_out_of_range":
                assert all(((mesh[1][i] < 0) | (mesh[1][i] >= len(mesh[0]))).any() for i in error.ids)
            elif error.kind == "not_finite":
                assert not np.isfinite(mesh[0][error.ids]).all(axis=1).any()
            else:
                assert not repair and max(error.ids) < max(map(len, mesh)), "repair_mesh mends these"
            continue
        surface = Surface(g.positions, g.faces)
        check(g, surface, 1e-9 + 1e3 * surface.turned)


KINDS = {"not_finite", "index_out_of_range", "non_manifold_edge", "non_manifold_vertex", "triangle_soup"}


@examples(20)
@given(kind=one_sided, size=sizes, rng=seeds, steps=st.integers(0, 20), scale=scales, smooth=st.booleans())
def test_one_sided(kind, size, rng, steps, scale, smooth):
    """Moebius strips and Klein bottles, remeshed: refused without O(2); with it a triangle's holonomy is a rotation."""
    mesh = made.moved(made.remeshed(made.base(kind, size, rng), rng, steps), rng, scale, 0.0)
    with pytest.raises(MeshError, match="not orientable") as info:
        build(mesh)
    assert info.value.ids and info.value.kind == "non_orientable"
    g = build(mesh, structure="O2", smooth=smooth)
    g.validate()
    q, p = g.edge_index
    det = np.linalg.det(g.transport)
    assert np.abs(np.abs(det) - 1).max() < 1e-12 and (det < 0).any() and (det > 0).any()
    pair = {(a, b): e for e, (a, b) in enumerate(g.edge_index.T.tolist())}
    r = np.linalg.norm(g.log, axis=1)
    surface = Surface(g.positions, g.faces)
    size = np.abs(surface.vertices - surface.vertices.mean(0)).max()
    assert (r <= surface.along_edges[q, p] + 1e-9 * size).all()
    assert all(abs(r[e] - r[pair[b, a]]) <= 1e-9 * size for (a, b), e in pair.items() if (b, a) in pair)
    lone = lone_geodesics(g, covered=True)
    for f, (a, b, c) in enumerate(g.faces.tolist()):
        loop = [e for e in ((a, b), (b, c), (c, a)) if lone.get(e, False) and lone.get(e[::-1], False)]
        straight = [abs(r[pair[e]] - surface.length[min(e), max(e)]) <= 1e-12 * size for e in loop]
        if sum(straight) == 3:
            total = g.transport[pair[c, a]] @ g.transport[pair[b, c]] @ g.transport[pair[a, b]]
            assert np.linalg.det(total) > 0
            if not surface.mollified:
                turned = wrapped(np.abs(angle(total)) - wrapped(surface.curvature[f]))
                assert turned < 1e-9 + 1e3 * surface.turned, ("holonomy", f)


@examples(12)
@given(parts=st.lists(st.tuples(kinds, sizes), min_size=2, max_size=4), rng=seeds, levels=st.integers(0, 2))
def test_components(parts, rng, levels):
    """Several components, open and closed: none sees another, and each is what it is alone."""
    alone = [made.remeshed(made.base(kind, size, rng), rng, 8) for kind, size in parts]
    g = build(made.several(alone), radius=1.0, levels=levels)
    g.validate()
    surface = Surface(g.positions, g.faces)
    check(g.replace(coarse=None), surface, 1e-9 + 1e3 * surface.turned)
    start = 0
    for vertices, faces in alone:
        stop = start + len(vertices)
        inside = (g.edge_index[1] >= start) & (g.edge_index[1] < stop)
        one = build((vertices, faces), radius=1.0)
        if not (surface.mollified or Surface(vertices, one.faces).mollified):
            assert np.array_equal(g.edge_index[:, inside] - start, one.edge_index)
            assert np.abs(np.linalg.norm(g.log[inside], axis=1) - np.linalg.norm(one.log, axis=1)).max(initial=0) < 1e-9
        start = stop


@examples(20)
@given(kind=kinds, size=sizes, rng=seeds, steps=st.integers(0, 20))
def test_smoothing_shares_out_the_curvature(kind, size, rng, steps):
    r"""What smooth=True must keep: edges as they are, and so the curvature of every face.

    A geodesic s t across one edge a b divides the curvature K of the two faces. Raw, the loop s -> t -> a -> s turns by the
    curvature on its own side of the geodesic; smoothed by the share of K that the crossing of a b gives:
    arg((1 - c) + c exp(i K)), c the distance of the crossing from a in units of the edge, since the transporter is the mean
    of those by way of a (which makes this loop flat) and by way of b (which puts all of K into it). That is so where a and b
    are nearer to s and t than these to each other: smoothing goes in order of distance.
    """
    mesh = made.remeshed(made.base(kind, size, rng), rng, steps)
    raw, smooth = (build(mesh, rings=2, smooth=value) for value in (False, True))
    surface = Surface(raw.positions, raw.faces)
    error = 1e-9 + 1e2 * surface.turned
    assert np.array_equal(raw.edge_index, smooth.edge_index)
    assert np.abs(np.linalg.norm(raw.log, axis=1) - np.linalg.norm(smooth.log, axis=1)).max() < 1e-12
    check(smooth, surface, error)
    lone, pair = lone_geodesics(raw), {(q, p): e for e, (q, p) in enumerate(raw.edge_index.T.tolist())}
    size = np.linalg.norm(raw.log, axis=1)

    def length(a, b):
        return surface.length.get((min(a, b), max(a, b)))

    def straight(a, b):
        return all(lone.get(e, False) and abs(size[pair[e]] - length(*e)) < 1e-12 for e in ((a, b), (b, a)))

    def turn(g, *loop):
        return angle(np.linalg.multi_dot([g.transport[pair[e]] for e in zip(loop, (*loop[1:], loop[0]))][::-1]))

    beside = {}
    for f, face in enumerate(raw.faces.tolist()):
        for k in range(3):
            beside[face[k], face[k - 2]] = f, face[k - 1]
    for (a, b), (f, t) in beside.items():
        if (b, a) not in beside or a > b or surface.mollified:
            continue
        h, s = beside[b, a]
        sides = (a, s), (a, t), (b, s), (b, t)
        if not all(straight(*e) for e in ((a, b), *sides)) or (s, t) not in pair or length(s, t):
            continue
        corner_f, corner_h = (surface.corner[k, raw.faces[k].tolist().index(a)] for k in (f, h))
        # unfolded: a at 0, b on the real axis, t to its left, s to its right
        z_t = length(a, t) * np.exp(1j * corner_f)
        z_s = length(a, s) * np.exp(-1j * corner_h)
        cut = (z_s - (z_t - z_s) * z_s.imag / (z_t.imag - z_s.imag)).real / length(a, b)
        single = lone.get((s, t), False) and lone.get((t, s), False)
        if not (single and 1e-6 < cut < 1 - 1e-6) or abs(abs(z_t - z_s) - size[pair[s, t]]) > 1e-12:
            continue
        whole = surface.curvature[f] + surface.curvature[h]
        share = np.angle((1 - cut) + cut * np.exp(1j * whole))
        # t lies to the left of a -> b, so that s -> t -> a -> s runs counter-clockwise
        if max(length(*e) for e in sides) < size[pair[s, t]] * (1 - 1e-6):
            assert wrapped(turn(smooth, s, t, a) - share) < error
        at_s, at_t = np.angle((0 - z_s) / (z_t - z_s)), np.angle((z_s - z_t) / (0 - z_t))
        angles = surface.scale[[s, t, a]] * [at_s, at_t, corner_f + corner_h]
        assert wrapped(turn(raw, s, t, a) - (angles.sum() - np.pi)) < error
