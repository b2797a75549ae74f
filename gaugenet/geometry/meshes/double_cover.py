r"""Surfaces that have no orientation, through their orientation double cover.

A Moebius strip has no consistent field of right-handed frames, but its double cover does: every vertex v has two lifts, v and
v + V, with opposite orientations. Geodesics, transport and areas are computed there, where everything is an oriented mesh, and
projected: a neighbour that is reached on the other sheet arrives reflected, by a transporter of determinant -1.
"""

from __future__ import annotations

import numpy as np

from ..attributes import of_nodes
from ..local_geometry import LocalGeometry, Pooling
from ..triangles.face_adjacency import components, edge_table
from ..triangles.sampling import Samples

# The two lifts of a vertex have frames that differ by this reflection.
MIRROR = np.diag([1.0, -1.0])
# Relative: two lifts of a neighbour that are equally near.
_TIE = 1e-9


def orientation_cover(faces: np.ndarray, num_vertices: int) -> np.ndarray:
    """(2F, 3) faces of the double cover, on vertices v and v + V; an orientable component has two copies, one of them flipped.

    Face f is covered by f, as it is wound, and f + F, wound the other way. At vertex v the lift v has the orientation of the
    first face of v in the list.

    Args:
        faces: (F, 3), a manifold mesh with boundary or without; the winding may be inconsistent.
        num_vertices: V; every vertex is used by a face.
    """
    count = faces.shape[0]
    soup = np.concatenate([faces, faces[:, [0, 2, 1]]])
    # Corners of the cover: of the faces as given, then of the flipped ones. Two of them are the same vertex of the cover when
    # their faces agree across an edge.
    table = edge_table(faces)
    h, g = table.pairs()
    tail, head = soup.reshape(-1), np.roll(soup, -1, axis=1).reshape(-1)
    same = tail[h] == tail[g]
    f, e = h // 3, g // 3
    a, b = [], []
    for sheet in (0, 1):
        first, second = f + sheet * count, e + (sheet ^ same) * count
        for vertex in (tail[h], head[h]):
            a.append(_corner(soup, first, vertex))
            b.append(_corner(soup, second, vertex))
    fan = components(6 * count, np.concatenate(a), np.concatenate(b))
    first_corner = np.full(num_vertices, -1)
    corners = faces.reshape(-1)
    first_corner[corners[::-1]] = np.arange(corners.size)[::-1]
    upper = fan == fan[first_corner][tail]
    return (tail + np.where(upper, 0, num_vertices)).reshape(-1, 3)


def _corner(faces: np.ndarray, face: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """Number 3 f + k of the corner of each face at a vertex."""
    return 3 * face + (faces[face] == vertex[:, None]).argmax(1)


def cover_frames(frames: np.ndarray) -> np.ndarray:
    """(2V, D, 2): frames of the vertices, then of their other lifts."""
    return np.concatenate([frames, frames @ MIRROR])


def lift_samples(sample: Samples, cover_faces: np.ndarray, num_vertices: int) -> Samples:
    """A sampling of the surface as one of its cover, with both lifts of every sample."""
    # Over every edge u - v of the surface lie two: one from each lift of u.
    tail, head = cover_faces.reshape(-1), np.roll(cover_faces, -1, axis=1).reshape(-1)
    here, there = np.r_[tail, head], np.r_[head, tail]
    key, first = np.unique(here * np.int64(num_vertices) + there % num_vertices, return_index=True)
    # Lifts one after the other: a tie between samples, settled by this order, is then settled alike on both sheets.
    nodes = np.stack([sample.nodes, sample.nodes + num_vertices], 1).reshape(-1)
    vertex = np.arange(2 * num_vertices)
    base = np.concatenate([sample.parent, sample.parent])
    inner = base >= 0
    parent = np.full(2 * num_vertices, -1)
    parent[inner] = there[first[np.searchsorted(key, vertex[inner] * np.int64(num_vertices) + base[inner])]]
    root = np.where(inner, parent, vertex)
    while (root != root[root]).any():
        root = root[root]
    position = np.full(2 * num_vertices, -1)
    position[nodes] = np.arange(nodes.size)
    return Samples(nodes, position[root], np.concatenate([sample.distance] * 2), parent)


def project(cover: LocalGeometry) -> LocalGeometry:
    """The geometry of a surface from that of its cover, on every level; node v of n comes from nodes v and v + n.

    Where both lifts of a neighbour are within reach the nearer one counts, and none when they are equally near (1e-9): across
    the cut locus the log map has no value, and any choice would depend on the frame.
    """
    count = cover.num_nodes // 2
    source, target = cover.edge_index
    kept = target < count
    source, target, log = source[kept], target[kept], cover.log[kept]
    transport, weight = cover.transport[kept], cover.weight[kept]
    mirrored = source >= count
    transport = np.where(mirrored[:, None, None], transport @ MIRROR, transport)
    source = source % count
    r = np.linalg.norm(log, axis=1)
    order = np.lexsort((r, source, target))
    source, target, r = source[order], target[order], r[order]
    same = (source[1:] == source[:-1]) & (target[1:] == target[:-1])
    tied = same & (r[1:] - r[:-1] <= _TIE * r[1:])
    use = np.ones(order.size, bool)
    use[1:] &= ~same
    use[:-1] &= ~tied
    use &= source != target  # a loop round the strip back to the vertex itself
    order = order[use]
    coarse = cover.coarse
    if coarse is not None:
        few = coarse.geometry.num_nodes // 2
        cluster, carry = coarse.cluster[:count], coarse.transport[:count]
        # The coarse node's own frame is that of its first lift.
        carry = np.where((cluster >= few)[:, None, None], MIRROR @ carry, carry)
        coarse = Pooling(cluster % few, carry, project(coarse.geometry))
    return cover.replace(
        edge_index=np.stack([source[use], target[use]]),
        log=log[order],
        transport=transport[order],
        weight=weight[order],
        features={name: f._replace(values=f.values[:count]) for name, f in cover.features.items()},
        vertex_data={name: values[:count] for name, values in cover.vertex_data.items()},
        coarse=coarse,
        **{name: None if getattr(cover, name) is None else getattr(cover, name)[:count] for name in of_nodes()},
    )
