"""What a GLB file announces, checked against its bytes before a library reads it.

A few hundred bytes of JSON can name an accessor of a billion zeros, a thousand views of one buffer, a mesh placed a thousand
times, or a node that is its own grandchild: trimesh would make all of it.
"""

from __future__ import annotations

import json
from typing import Any

from .mesh_formats import unreadable

# What the parts of a file may grow to in memory, each in units of the file, and what is always allowed.
GROWTH = 64
ALWAYS = 256 * 2**20
_COMPONENTS = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_ITEMS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def check_glb(data: bytes) -> int:
    """Refuse a GLB file whose chunks do not fill it, or whose header announces more than its bytes can hold.

    Returns:
        the length of the file as it announces itself, at most that of the data.

    Raises:
        MeshError: of kind unreadable.
    """
    length, text = _json_chunk(data)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable("a GLB file whose header is not JSON") from None
    if not isinstance(header, dict):
        raise unreadable("a GLB file whose header is no object")
    limit = max(ALWAYS, GROWTH * len(data))
    try:
        _check_sizes(header, limit)
        _check_tree(_list(header, "nodes"), len(_list(header, "nodes")))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise unreadable(f"a GLB header that does not follow the format: {type(error).__name__}: {str(error)[:80]}") from None
    return length


def _json_chunk(data: bytes) -> tuple[int, bytes]:
    """The announced length and the header, when the lengths of the file and of every chunk are those of the bytes."""
    if data[:4] != b"glTF" or len(data) < 20:
        raise unreadable("not a GLB file: it does not start with glTF")
    version, length, size = (int.from_bytes(data[k : k + 4], "little") for k in (4, 8, 12))
    if version != 2:
        raise unreadable(f"GLB of version {version}: expected 2")
    if not 20 <= length <= len(data):
        raise unreadable(f"truncated GLB: {length} bytes announced, {len(data)} there")
    if data[16:20] != b"JSON":
        raise unreadable("a GLB file whose first chunk is not JSON")
    text, at = data[20 : 20 + size], 12
    while at < length:
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 8 + size > length:
            raise unreadable(f"truncated GLB: a chunk of {size} bytes announced, {max(0, length - at - 8)} there")
        at += 8 + size
    return length, text


def _check_sizes(header: dict, limit: int) -> None:
    """The bytes of views, accessors, primitives and placed meshes, each in all."""
    views = [_count(view, "byteLength") for view in _list(header, "bufferViews")]
    sizes = []
    for accessor in _list(header, "accessors"):
        item = _COMPONENTS[accessor["componentType"]] * _ITEMS[accessor["type"]]
        count = _count(accessor, "count")
        sizes.append(count * item)
        if "bufferView" in accessor and count > views[_index(accessor["bufferView"], views)]:
            raise unreadable(f"truncated GLB: an accessor of {count} items in a view that is shorter")
    meshes = []
    for mesh in _list(header, "meshes"):
        used = [k for part in _list(mesh, "primitives") for k in part["attributes"].values()]
        used += [part["indices"] for part in mesh["primitives"] if "indices" in part]
        # An index of one byte becomes one of eight.
        meshes.append(sum(8 * sizes[_index(k, sizes)] for k in used))
    placed = sum(meshes[_index(node["mesh"], meshes)] for node in _list(header, "nodes") if "mesh" in node)
    for what, total in (("views", sum(views)), ("accessors", sum(sizes)), ("meshes", sum(meshes)), ("placed meshes", placed)):
        if total > limit:
            raise unreadable(f"a GLB file whose {what} would take {total} bytes: more than {limit}")


def _check_tree(nodes: list, count: int) -> None:
    """Every node has one parent at most, and none is below itself."""
    parent = [-1] * count
    for at, node in enumerate(nodes):
        for child in _list(node, "children"):
            if parent[_index(child, nodes)] >= 0:
                raise unreadable(f"a GLB file whose node {child} has two parents")
            parent[child] = at
    settled = [False] * count
    for start in range(count):
        chain, at = [], start
        while at >= 0 and not settled[at]:
            settled[at] = True
            chain.append(at)
            at = parent[at]
        if at in chain:
            raise unreadable(f"a GLB file whose node {at} is below itself")


def _list(holder: dict, name: str) -> list:
    values = holder.get(name, [])
    if not isinstance(values, list):
        raise TypeError(f"{name} is no list")
    return values


def _count(holder: dict, name: str) -> int:
    value = holder[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {str(value)[:20]}")
    return value


def _index(value: Any, values: list) -> int:
    if type(value) is not int or not 0 <= value < len(values):
        raise IndexError(f"{str(value)[:20]} of {len(values)}")
    return value
