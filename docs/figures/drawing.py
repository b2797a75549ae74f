"""What the figures share: shapes, surfaces with colours and arrows on them, and small files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gaugenet import geometry
from gaugenet.geometry import LocalGeometry
from gaugenet.viz import Camera
from gaugenet.viz.colors import SURFACE
from gaugenet.viz.glyphs import arrows, dots
from gaugenet.viz.plots import draw
from gaugenet.viz.scene import View, is_closed, surface_layer, surface_of, tangent_frame

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
RED, BLUE, GREEN = "#cc2629", "#1a5fb4", "#2e8b57"


def save(figure: Figure, name: str, dpi: int = 100) -> None:
    """Into docs/images, with 32 levels of each colour, which PNG packs well."""
    path = IMAGES / f"{name}.png"
    figure.savefig(path, dpi=dpi, facecolor="white")
    plt.close(figure)
    levels = np.asarray(Image.open(path).convert("RGB"), np.uint16)
    Image.fromarray((((levels + 4) // 8) * 8).clip(0, 255).astype(np.uint8)).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def octahedral_sphere(level: int = 5, rings: int = 1) -> LocalGeometry:
    """The unit sphere from an octahedron: vertices 0, 2, 4 are (1, 0, 0), (0, 1, 0), (0, 0, 1), with great circles between."""
    v = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    f = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    for _ in range(level):
        edges, middle = np.unique(np.sort(f[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0, return_inverse=True)
        ab, bc, ca = len(v) + middle.reshape(-1, 3).T
        v = np.concatenate([v, v[edges].mean(1)])
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        a, b, c = f.T
        f = np.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], 1).reshape(-1, 3)
    return geometry.mesh(v, f, rings=rings)


def torus(n: int = 72, m: int = 36, small: float = 0.45, rings: int = 2) -> LocalGeometry:
    u, v = np.meshgrid(*[2 * np.pi * np.arange(k) / k for k in (n, m)], indexing="ij")
    at = np.stack([(1 + small * np.cos(v)) * np.cos(u), (1 + small * np.cos(v)) * np.sin(u), small * np.sin(v)], -1)
    number = np.arange(n * m).reshape(n, m)
    a, b, c, d = number, np.roll(number, -1, 0), np.roll(number, (-1, -1), (0, 1)), np.roll(number, -1, 1)
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))])
    return geometry.mesh(at.reshape(-1, 3), faces, rings=rings)


def surface(
    geom: LocalGeometry,
    axes: Axes,
    colors: np.ndarray | None = None,
    camera: Camera | None = None,
    *,
    at: np.ndarray | None = None,
    vectors: list[tuple[np.ndarray, np.ndarray]] = (),
    points: np.ndarray | None = None,
    width: float = 0.011,
    title: str = "",
) -> None:
    """The surface, with arrows at vertices ``at`` (pairs of vectors (K, 3) and a colour) and dots at others."""
    camera = Camera.of(geom) if camera is None else camera
    _, normal = tangent_frame(geom)
    positions, faces = surface_of(geom)
    layers = [surface_layer(geom, SURFACE if colors is None else colors, wire=0.0)]
    for vector, color in vectors:
        layers += arrows(positions[at], vector, normal[at], np.asarray(color), width * camera.extent, 0.02 * camera.extent)
    if points is not None:
        layers += dots(
            positions[points], normal[points], np.array([0.13, 0.15, 0.18]), 0.02 * camera.extent, 0.018 * camera.extent
        )
    if not is_closed(faces):
        layers = [replace(layer, two_sided=True) for layer in layers]
    draw(View(title, tuple(layers), camera), axes)
