"""A mesh with numbers at its vertices and faces as a binary PLY file, which every mesh viewer reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def ply_bytes(
    vertices: np.ndarray, faces: np.ndarray, vertex_data: Mapping[str, np.ndarray], face_data: Mapping[str, np.ndarray]
) -> bytes:
    """The bytes of the file.

    Args:
        vertices: (V, 3). faces: (F, 3).
        vertex_data, face_data: name -> (V,) or (F,) numbers; integers are written as int, others as float.
    """
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    rows = [("x", "<f8"), ("y", "<f8"), ("z", "<f8"), *((name, _kind(values)) for name, values in vertex_data.items())]
    header += [f"property {_WORDS[kind]} {name}" for name, kind in rows]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    header += [f"property {_WORDS[_kind(values)]} {name}" for name, values in face_data.items()]
    points = np.zeros(len(vertices), rows)
    for k, name in enumerate("xyz"):
        points[name] = vertices[:, k]
    for name, values in vertex_data.items():
        points[name] = values
    corners = np.zeros(
        len(faces), [("count", "u1"), ("ids", "<i4", (3,)), *((name, _kind(values)) for name, values in face_data.items())]
    )
    corners["count"], corners["ids"] = 3, faces
    for name, values in face_data.items():
        corners[name] = values
    return "\n".join([*header, "end_header", ""]).encode() + points.tobytes() + corners.tobytes()


_WORDS = {"<f8": "double", "<f4": "float", "<i4": "int"}


def _kind(values: np.ndarray) -> str:
    return "<i4" if values.dtype.kind in "biu" else "<f4"
