"""A view to pixels: triangles with a depth buffer, in numba, so that a hundred thousand faces take a fraction of a second."""

from __future__ import annotations

import math

import numpy as np

from ..compiled import njit
from .scene import GRAZING, LIGHT, View

# Samples per pixel and axis.
_SAMPLES = 2


def render(view: View, size: int) -> np.ndarray:
    """(size, size, 4) uint8, the first row at the top; transparent where there is nothing."""
    width = _SAMPLES * size
    image = np.zeros((width, width, 3), np.float32)
    depth = np.full((width, width), -np.inf, np.float32)
    for layer in view.layers:
        seen = view.camera.project(layer.positions)
        pixels = np.stack([(0.5 + 0.5 * seen[:, 0]) * width, (0.5 - 0.5 * seen[:, 1]) * width, seen[:, 2]], 1)
        pixels[:, 2] += layer.bias / view.camera.extent
        normals = np.ascontiguousarray(layer.normals @ view.camera.rotation.T)
        triangles = np.ascontiguousarray(layer.triangles, np.int64)
        colors = np.ascontiguousarray(layer.colors, np.float64)
        how = (layer.lit, layer.two_sided, layer.cells, layer.wire)
        _fill(pixels, normals, colors, triangles, *how, 0.7 * _SAMPLES, GRAZING, LIGHT, image, depth)
    _outline(image, depth)
    alpha = np.isfinite(depth).astype(np.float32)[..., None]
    blocks = np.concatenate([image * alpha, alpha], -1).reshape(size, _SAMPLES, size, _SAMPLES, 4).mean(axis=(1, 3))
    blocks[..., :3] /= np.maximum(blocks[..., 3:], 1e-6)
    return np.rint(255.0 * np.clip(blocks, 0.0, 1.0)).astype(np.uint8)


def _outline(image: np.ndarray, depth: np.ndarray, jump: float = 0.04) -> None:
    """Darken where the surface ends before something farther away, so that one limb stands out from the other."""
    far = np.where(np.isfinite(depth), depth, -1e30)
    edge = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= far - np.roll(far, step, axis=axis) > jump
    image[edge & np.isfinite(depth)] *= 0.55


@njit(cache=True, nogil=True)
def _fill(pixels, normals, colors, triangles, lit, two_sided, cells, wire, line, grazing, light, image, depth):
    """Paint the triangles that are nearest.

    Args:
        pixels: (V, 3) column, row, depth. normals: (V, 3) in the camera's coordinates. line: half width of the edges in pixels.
        grazing: least cosine at which what is not lit is seen. light: (3,) unit vector to the lamp.
        image: (H, W, 3) and depth: (H, W), both changed.
    """
    height, width = depth.shape
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, az = pixels[a, 0], pixels[a, 1], pixels[a, 2]
        bx, by, bz = pixels[b, 0], pixels[b, 1], pixels[b, 2]
        cx, cy, cz = pixels[c, 0], pixels[c, 1], pixels[c, 2]
        double = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if double == 0.0 or not math.isfinite(double):
            continue
        left = max(0, math.floor(min(ax, bx, cx) - 0.5))
        right = min(width - 1, math.ceil(max(ax, bx, cx) - 0.5))
        top = max(0, math.floor(min(ay, by, cy) - 0.5))
        bottom = min(height - 1, math.ceil(max(ay, by, cy) - 0.5))
        # Normals of opposite sides meet at the seam of a surface without orientation.
        flip_b, flip_c = _side(normals[a], normals[b]), _side(normals[a], normals[c])
        same_ab, same_bc, same_ca = _same(colors, a, b), _same(colors, b, c), _same(colors, c, a)
        # Heights over the three sides in pixels: distance to a side = barycentric coordinate times height.
        ha = abs(double) / max(math.hypot(cx - bx, cy - by), 1e-12)
        hb = abs(double) / max(math.hypot(ax - cx, ay - cy), 1e-12)
        hc = abs(double) / max(math.hypot(bx - ax, by - ay), 1e-12)
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / double
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / double
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                z = u * az + v * bz + w * cz
                if z <= depth[row, column]:
                    continue
                nx = u * normals[a, 0] + v * flip_b * normals[b, 0] + w * flip_c * normals[c, 0]
                ny = u * normals[a, 1] + v * flip_b * normals[b, 1] + w * flip_c * normals[c, 1]
                nz = u * normals[a, 2] + v * flip_b * normals[b, 2] + w * flip_c * normals[c, 2]
                size = max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-30)
                shade = 1.0
                if lit:
                    cosine = (nx * light[0] + ny * light[1] + nz * light[2]) / size
                    # Both sides are lit, of a sheet alike; the inside of a body is darker.
                    shade = 0.55 + 0.49 * cosine if nz >= 0.0 else (0.55 if two_sided else 0.4) - 0.49 * cosine
                    shade = max(shade, 0.36)
                elif (abs(nz) if two_sided else nz) < grazing * size:
                    continue
                depth[row, column] = z
                if wire > 0.0:
                    near = min(u * ha, v * hb, w * hc)
                    if near < line:
                        shade *= 1.0 - wire
                if cells:
                    u, v, w = _heaviest(u, v, w, same_ab, same_bc, same_ca)
                for k in range(3):
                    value = u * colors[a, k] + v * colors[b, k] + w * colors[c, k]
                    image[row, column, k] = min(1.0, value * shade)


@njit(cache=True, nogil=True)
def _side(a, b):
    """-1.0 where two vectors point to opposite sides."""
    return -1.0 if a[0] * b[0] + a[1] * b[1] + a[2] * b[2] < -0.8 else 1.0


@njit(cache=True, nogil=True)
def _same(colors, a, b):
    return colors[a, 0] == colors[b, 0] and colors[a, 1] == colors[b, 1] and colors[a, 2] == colors[b, 2]


@njit(cache=True, nogil=True)
def _heaviest(u, v, w, ab, bc, ca):
    """Weights of a point that has the one colour of the corners that weighs most (Layer.cells), given which are the same."""
    of_a = u + (v if ab else 0.0) + (w if ca else 0.0)
    of_b = v + (u if ab else 0.0) + (w if bc else 0.0)
    of_c = w + (u if ca else 0.0) + (v if bc else 0.0)
    if of_a >= of_b and of_a >= of_c:
        return 1.0, 0.0, 0.0
    return (0.0, 1.0, 0.0) if of_b >= of_c else (0.0, 0.0, 1.0)


@njit(cache=True, nogil=True)
def locate(points, corners):
    """The triangle in the plane that each point lies in: (K,) its number, -1 for none, and (K, 3) barycentric coordinates.

    Args:
        points: (K, 2). corners: (F, 3, 2), of either orientation.
    """
    face, weight = np.full(points.shape[0], -1), np.zeros((points.shape[0], 3))
    for f in range(corners.shape[0]):
        ax, ay, bx, by, cx, cy = corners[f].flatten()
        double = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        left, right, low, high = min(ax, bx, cx), max(ax, bx, cx), min(ay, by, cy), max(ay, by, cy)
        slack = 1e-9 * max(right - left, high - low)
        for k in range(points.shape[0]):
            x, y = points[k, 0], points[k, 1]
            if face[k] >= 0 or x < left - slack or x > right + slack or y < low - slack or y > high + slack:
                continue
            u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / double
            v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / double
            if min(u, v, 1.0 - u - v) >= -1e-9:
                face[k] = f
                weight[k, 0], weight[k, 1], weight[k, 2] = u, v, 1.0 - u - v
    return face, weight
