"""Vertices and faces in an order that keeps neighbours close in memory."""

from __future__ import annotations

import dataclasses

import numpy as np

from .triangle_mesh import TriangleMesh

# Bits per axis: three axes fit into 63.
_BITS = 21


def renumber(triangles: TriangleMesh) -> TriangleMesh:
    """The mesh with its vertices along the Z-order curve (Morton 1966) and its faces by their first vertex in that order.

    vertex_ids and face_ids are their numbers in the input. Every pass over the neighbours of a vertex then stays in the
    cache, here and in the layers: on a mesh in random order the log maps take a third more time, at a million vertices more.
    """
    order = np.argsort(morton_codes(triangles.vertices), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    faces = place[triangles.faces]
    by_vertex = np.argsort(faces.min(axis=1), kind="stable")
    ids = np.arange(order.size) if triangles.vertex_ids is None else triangles.vertex_ids
    face_ids = np.arange(len(faces)) if triangles.face_ids is None else triangles.face_ids
    nodes = np.arange(order.size) if triangles.vertex_nodes is None else triangles.vertex_nodes
    return dataclasses.replace(
        triangles,
        vertices=triangles.vertices[order],
        faces=faces[by_vertex],
        vertex_ids=ids[order],
        face_ids=face_ids[by_vertex],
        vertex_nodes=np.where(nodes < 0, -1, place[nodes]),
        vertex_data={name: values[order] for name, values in triangles.vertex_data.items()},
        face_data={name: values[by_vertex] for name, values in triangles.face_data.items()},
    )


def morton_codes(points: np.ndarray) -> np.ndarray:
    """(N,) int64, the bits of the three coordinates interleaved, in units of 2^-21 of the largest extent."""
    low = points.min(axis=0)
    extent = (points.max(axis=0) - low).max()
    scaled = (points - low) / extent if extent > 0.0 else np.zeros_like(points)
    cells = np.minimum(scaled * 2**_BITS, 2**_BITS - 1).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for axis in range(3):
        code |= _spread(cells[:, axis]) << axis
    return code


def _spread(x: np.ndarray) -> np.ndarray:
    """Two zero bits after every bit of 21-bit numbers."""
    for shift, mask in ((32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3)):
        x = (x | x << shift) & mask
    return (x | x << 2) & 0x1249249249249249
