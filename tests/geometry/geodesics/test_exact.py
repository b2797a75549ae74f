"""Exact geodesics against third-party C++ and against formulas."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from gaugenet.geometry.geodesics import windows
from gaugenet.geometry.geodesics.assembly import symmetric_transport
from gaugenet.geometry.geodesics.exact import local_geodesics
from gaugenet.geometry.triangles.angles import edge_lengths, ring_angles
from gaugenet.geometry.triangles.topology import Topology
from tests.helpers.meshes import bumpy, cube, plate, torus

# In the library other compiled code calls it.
_geodesics_from = numba.njit(windows.geodesics_from.py_func)
ORACLES = ["icosphere_f8", "randsphere_640", "cylinder_24x25", "plane_jitter_17", "cone_10x24"]


def wrapped(angle: np.ndarray) -> np.ndarray:
    return np.abs((angle + np.pi) % (2 * np.pi) - np.pi)


class Oracle:
    """One file of oracles/geometry, with what translates its ring frames into ours."""

    def __init__(self, file):
        self.data = np.load(file)
        self.vertices, faces = self.data["V"], self.data["F"]
        self.topology = Topology.of(faces, len(self.vertices))
        self.lengths = edge_lengths(self.vertices, self.topology.faces)
        self.angles = ring_angles(self.topology, self.lengths)
        reference = self.data["ring_ref_neighbor"]
        tail, head = self.topology.tail, self.topology.head
        self.zero = np.full(len(self.vertices), np.nan)
        at = head == reference[tail]
        self.zero[tail[at]] = self.angles.departure(tail)[at]

    def angle(self, vertex, ours):
        """Our direction at a vertex in its ring frame; it scales boundary angles by pi / Theta, we leave them."""
        boundary = self.topology.is_boundary[vertex]
        ours = np.where(boundary, np.mod(ours + 1e-9, 2 * np.pi) - 1e-9, ours)  # a fan is not a whole turn
        return (ours - self.zero[vertex]) * np.where(boundary, np.pi / self.angles.total[vertex], 1.0)

    def candidates(self, source, radius):
        """All equally short geodesics: vertex -> slot, their number and (theta, carry, back) by slot."""
        mesh = (
            self.topology.faces,
            self.topology.twin,
            self.lengths.reshape(-1),
            *(getattr(self.angles, name) for name in ("corner", "cumulative", "total", "scale")),
            self.topology.is_boundary,
            self.topology.ring_ptr,
            self.topology.ring_halfedge,
            self.angles.arrival,
        )
        count = len(self.vertices)
        scratch = np.zeros(count, bool), 0, mesh, np.full(count, -1, np.int64)
        n, vertex, _, ties, angles, _, _, order = _geodesics_from(source, radius, *scratch)
        return {int(vertex[s]): s for s in order[:n]}, ties, angles


@pytest.fixture(params=ORACLES)
def oracle(request, shared):
    return Oracle(shared / "oracles" / "geometry" / f"{request.param}.npz")


def test_distances_equal_two_exact_libraries(oracle):
    data, radius = oracle.data, float(oracle.data["R"])
    found = local_geodesics(oracle.topology, oracle.lengths, data["sources"], radius, smooth=False)
    for library in ("exact_dist_pygeodesic", "exact_dist_igl"):
        for i, source in enumerate(data["sources"]):
            part = slice(found.ptr[i], found.ptr[i + 1])
            expected = np.flatnonzero(data[library][i] <= radius * (1 + 1e-9))
            assert np.array_equal(found.target[part], expected[expected != source])
            assert np.abs(found.r[part] - data[library][i][found.target[part]]).max() < 1e-12


def test_directions_and_transport_equal_its_paths(oracle):
    """Where two geodesics are equally short we give the mean and the oracle one of them: it must be among ours."""
    data, radius = oracle.data, float(oracle.data["R"])
    compared = 0
    for source in data["sources"]:
        slot_of, ties, angles = oracle.candidates(source, radius)
        for i in np.flatnonzero(data["pair_src"] == source):
            if data["pair_through_vertex"][i] or data["pair_ambiguous"][i]:
                continue
            v = int(data["pair_tgt"][i])
            slot = slot_of[v]
            theta, carry = angles[slot, : ties[slot], 0], angles[slot, : ties[slot], 1]
            ours, back = oracle.angle(source, theta), oracle.angle(v, theta - carry - np.pi)
            error = np.maximum(
                wrapped(ours - data["pair_theta_ringframe"][i]),
                wrapped(ours - back - np.pi - data["pair_transport_ringframe"][i]),
            )
            assert error.min() < 1e-9
            compared += 1
    assert compared > 100


def test_public_directions_equal_its_paths(oracle):
    """The same through local_geodesics, on the pairs that have one shortest path (a few unflagged ones are mirror ties)."""
    data, radius = oracle.data, float(oracle.data["R"])
    found = local_geodesics(oracle.topology, oracle.lengths, data["sources"], radius, smooth=False)
    at = {
        (int(s), int(t)): k
        for i, s in enumerate(data["sources"])
        for k, t in enumerate(found.target[found.ptr[i] : found.ptr[i + 1]], found.ptr[i])
    }
    single = np.zeros(len(data["pair_src"]), bool)
    for s in data["sources"]:
        slot_of, ties, _ = oracle.candidates(s, radius)
        for i in np.flatnonzero(data["pair_src"] == s):
            single[i] = ties[slot_of[int(data["pair_tgt"][i])]] == 1
    use = np.flatnonzero(~data["pair_through_vertex"] & ~data["pair_ambiguous"] & single)
    source, target = data["pair_src"][use], data["pair_tgt"][use]
    k = np.array([at[int(s), int(t)] for s, t in zip(source, target)])
    theta = oracle.angle(source, found.theta[k])
    back = oracle.angle(target, found.theta[k] - found.transport[k] - np.pi)
    error = np.maximum(
        wrapped(theta - data["pair_theta_ringframe"][use]),
        wrapped(theta - back - np.pi - data["pair_transport_ringframe"][use]),
    )
    assert len(use) > 100 and error.max() < 1e-9


def test_one_ring_is_the_connection_laplacian(oracle):
    """Phases of the off-diagonal entries of geometry-central's connection Laplacian."""
    data = oracle.data
    row, col, value = (data[f"connlap_raw_{name}"] for name in ("row", "col", "val"))
    off = (row != col) & (np.abs(value) > 1e-9)
    row, col, value = row[off], col[off], value[off]
    found = local_geodesics(oracle.topology, oracle.lengths, rings=1, smooth=True)
    p = np.repeat(np.arange(len(oracle.vertices)), np.diff(found.ptr))
    at = {pair: k for k, pair in enumerate(zip(p.tolist(), found.target.tolist()))}
    k = np.array([at[pair] for pair in zip(row.tolist(), col.tolist())])
    inside = ~oracle.topology.is_boundary
    keep = inside[row] & inside[col]  # the other convention at the boundary scales angles
    # direction in the ring = direction in their frame + offset
    offset = data["gc_angle_offset"] + oracle.zero
    ours = found.transport[k] - offset[row] + offset[col]
    phase = np.angle(-value)  # L[i, j] = -w exp(i phi), and cotangent weights may be negative
    error = np.minimum(wrapped(ours - phase), wrapped(ours - phase - np.pi))[keep]
    assert keep.sum() > 100 and error.max() < 1e-12


def build(vertices, faces):
    topology = Topology.of(faces, len(vertices))
    return topology, edge_lengths(vertices, topology.faces)


@pytest.mark.parametrize("make", [plate, torus, bumpy, cube])
def test_distances_are_symmetric(make):
    topology, lengths = build(*make())
    found = local_geodesics(topology, lengths, radius=3.5 * lengths.mean())
    p = np.repeat(np.arange(topology.num_vertices), np.diff(found.ptr))
    forth = dict(zip(zip(p.tolist(), found.target.tolist()), found.r))
    assert all(abs(r - forth[q, s]) < 1e-12 for (s, q), r in forth.items())


def test_saddles_and_boundaries_bend_geodesics():
    """An L-shaped plate: the geodesic around the inner corner has two legs and the exact length."""
    vertices, faces = plate(9, 0.0)
    keep = ~((vertices[faces].mean(1)[:, :2] > 4).all(1))
    used = np.unique(faces[keep])
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    vertices, faces = vertices[used], renumber[faces[keep]]
    topology, lengths = build(vertices, faces)
    start = int(np.flatnonzero((vertices[:, :2] == [4, 7]).all(1))[0])
    end = int(np.flatnonzero((vertices[:, :2] == [7, 4]).all(1))[0])
    found = local_geodesics(topology, lengths, [start], 8.0)
    at = np.flatnonzero(found.target == end)
    assert abs(found.r[at[0]] - 6.0) < 1e-12  # along both walls, around the corner at (4, 4)
    far = int(np.flatnonzero((vertices[:, :2] == [7, 1]).all(1))[0])
    at = np.flatnonzero(found.target == far)
    assert abs(found.r[at[0]] - (3 + np.hypot(3, 3))) < 1e-12


def test_geodesics_around_several_saddles(shared):
    """Chained pseudo-sources on a surface of genus 12: symmetric to rounding, which lost windows would spoil."""
    meshes = np.load(shared / "data" / "odedstein_meshes" / "meshes.npz")
    vertices, faces = meshes["boot_V"].astype(float), meshes["boot_F"].astype(np.int64)
    topology, lengths = build(vertices, faces)
    sources = np.arange(0, len(vertices), 7)
    found = local_geodesics(topology, lengths, sources, 4 * lengths.mean())
    back = local_geodesics(
        topology, lengths, np.unique(found.target), 4 * lengths.mean(), targets=np.isin(np.arange(len(vertices)), sources)
    )
    p, q = np.repeat(sources, np.diff(found.ptr)), np.repeat(np.unique(found.target), np.diff(back.ptr))
    forth = dict(zip(zip(p.tolist(), found.target.tolist()), found.r))
    returned = dict(zip(zip(back.target.tolist(), q.tolist()), back.r))
    assert forth.keys() == returned.keys()
    assert max(abs(r - returned[pair]) for pair, r in forth.items()) < 1e-12


def test_ties_do_not_depend_on_labels_or_position():
    """On a cube most geodesics have a mirror twin; relabelling and turning it finds them in another order."""
    vertices, faces = cube(4)
    rng = np.random.default_rng(0)
    topology, lengths = build(vertices, faces)
    new = rng.permutation(len(vertices))
    order, roll = rng.permutation(len(faces)), rng.integers(0, 3, len(faces))
    moved = new[faces[order]]
    moved = np.take_along_axis(moved, (np.arange(3) + roll[:, None]) % 3, 1)
    other = np.empty_like(vertices)
    other[new] = vertices
    topology2, lengths2 = build(other * 3.7, moved)
    for smooth in (True, False):
        a = local_geodesics(topology, lengths, radius=0.8, smooth=smooth)
        b = local_geodesics(topology2, lengths2, radius=0.8 * 3.7, smooth=smooth)
        angle_a, angle_b = ring_angles(topology, lengths), ring_angles(topology2, lengths2)
        # the direction of one common edge relates the two ring frames
        tails, heads = topology.tail, topology.head
        first = {
            (t, h): d for t, h, d in zip(topology2.tail.tolist(), topology2.head.tolist(), angle_b.departure(topology2.tail))
        }
        turn = np.zeros(len(vertices))
        for t, h, d in zip(tails.tolist(), heads.tolist(), angle_a.departure(tails)):
            turn[t] = first[int(new[t]), int(new[h])] - d
        found = {}
        for s in range(len(vertices)):
            for k in range(b.ptr[s], b.ptr[s + 1]):
                found[s, int(b.target[k])] = (b.r[k], b.theta[k], b.transport[k])
        for s in range(len(vertices)):
            for k in range(a.ptr[s], a.ptr[s + 1]):
                q = int(a.target[k])
                r, theta, transport = found[int(new[s]), int(new[q])]
                assert abs(r - 3.7 * a.r[k]) < 1e-11
                assert wrapped(theta - turn[s] - a.theta[k]) < 1e-8
                assert wrapped(transport - turn[s] + turn[q] - a.transport[k]) < 1e-8


def test_arguments():
    vertices, faces = bumpy(2)
    topology, lengths = build(vertices, faces)
    radius = 3 * lengths.mean()
    everything = local_geodesics(topology, lengths, radius=radius)
    single = local_geodesics(topology, lengths, radius=radius, threads=1, angles=ring_angles(topology, lengths))
    assert all(np.array_equal(a, b) for a, b in zip(everything, single))
    some = local_geodesics(topology, lengths, [5, 3], np.array([radius, radius / 2]))
    assert np.array_equal(some.target[: some.ptr[1]], everything.target[everything.ptr[5] : everything.ptr[6]])
    assert some.ptr[2] - some.ptr[1] < everything.ptr[4] - everything.ptr[3]
    targets = np.arange(len(vertices)) % 2 == 0
    half = local_geodesics(topology, lengths, radius=radius, targets=targets)
    assert np.array_equal(half.target, everything.target[targets[everything.target]])
    assert np.array_equal(half.theta, everything.theta[targets[everything.target]])
    raw = local_geodesics(topology, lengths, radius=radius, smooth=False)
    assert np.array_equal(raw.r, everything.r) and not np.allclose(raw.theta, everything.theta)
    assert local_geodesics(topology, lengths, np.zeros(0, int), radius).target.size == 0
    with pytest.raises(ValueError, match="one of radius and rings"):
        local_geodesics(topology, lengths)
    with pytest.raises(ValueError, match="one of radius and rings"):
        local_geodesics(topology, lengths, radius=radius, rings=2)


def test_rings_are_edge_hops():
    vertices, faces = bumpy(2)
    topology, lengths = build(vertices, faces)
    near = [set() for _ in vertices]
    for a, b in zip(topology.tail, topology.head):
        near[a].add(int(b))
        near[b].add(int(a))
    for rings in (1, 2, 3):
        found = local_geodesics(topology, lengths, rings=rings)
        for p in (0, 50, 100):
            members = {p}
            for _ in range(rings):
                members |= set().union(*(near[v] for v in members))
            assert set(found.target[found.ptr[p] : found.ptr[p + 1]].tolist()) == members - {p}


def test_symmetric_transport():
    p, q = np.array([0, 0, 1, 2]), np.array([1, 2, 0, 1])
    turn = symmetric_transport(p, q, np.array([0.3, 0.7, -0.5, 3.0]), 3)
    assert np.allclose(turn, [0.4, 0.7, -0.4, 3.0])
