"""Colour maps for both outputs, pictures and HTML, so that neither needs the other's library.

Tables: viridis (matplotlib), RdBu and Set2 (ColorBrewer 2.0, Brewer, Harrower).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SURFACE = np.array([0.86, 0.87, 0.88])
INK = np.array([0.13, 0.15, 0.18])
PAPER = np.array([1.0, 1.0, 1.0])
RED, BLUE, ORANGE = np.array([0.80, 0.15, 0.16]), np.array([0.10, 0.37, 0.70]), np.array([0.90, 0.45, 0.05])

_TABLES = {
    "viridis": "440154 472c7a 3b518b 2c718e 21908d 27ad81 5cc863 aadc32 fde725",
    "diverging": "2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b",
    "categories": "66c2a5 fc8d62 8da0cb e78ac3 a6d854 ffd92f e5c494 b3b3b3",
}


def table(name: str) -> np.ndarray:
    """(K, 3) colours in [0, 1], equally spaced: "viridis", "diverging" (blue to red) or "categories"."""
    return np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _TABLES[name].split()]) / 255.0


def label_colors(labels: np.ndarray) -> np.ndarray:
    """(..., 3) colours of classes: those of "categories", then hues that are far apart; of negative ones, unknown, grey."""
    first = table("categories")[:7]
    number = np.asarray(labels)
    hue = (number * 0.6180339887) % 1.0  # the golden ratio: any so many in a row are spread over the circle
    light = np.array([0.85, 0.65, 0.95])[number % 3]
    # HSV of saturation 0.55, as three shifted waves.
    wave = np.abs((hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    hues = light[..., None] * (1 - 0.55 * (1 - np.clip(wave, 0.0, 1.0)))
    colors = np.where((number < len(first))[..., None], first[np.clip(number, 0, len(first) - 1)], hues)
    return np.where((number < 0)[..., None], SURFACE, colors)


@dataclass(frozen=True)
class ColorScale:
    """What colours mean: a table over [low, high].

    Attributes:
        label: the quantity, with its unit.
        name: of the table.
        low, high: values at its ends; values outside take the colour of the end.
    """

    label: str
    name: str
    low: float
    high: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(..., 3) colours of values."""
        colors = table(self.name)
        t = np.clip((np.asarray(values, float) - self.low) / (self.high - self.low), 0.0, 1.0) * (len(colors) - 1)
        return np.stack([np.interp(t, np.arange(len(colors)), colors[:, k]) for k in range(3)], -1)


def scale_of(values: np.ndarray, colors: str | None = None, limits=None, label: str = "") -> ColorScale:
    """The scale of values: symmetric and diverging where they have both signs; NaN does not count.

    Args:
        values: any shape. colors: "viridis" or "diverging". limits: values at the ends. label: of the quantity.

    Raises:
        ValueError: an unknown table, or limits that descend.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if colors is None:
        colors = "diverging" if low < 0 < high else "viridis"
    if colors not in ("viridis", "diverging"):
        raise ValueError(f"colors must be 'viridis' or 'diverging', got {colors!r}")
    if limits is not None:
        low, high = map(float, limits)
    elif colors == "diverging":
        high = max(abs(low), abs(high))
        low = -high
    if not low <= high:
        raise ValueError(f"limits must be ascending, got {limits!r}")
    return ColorScale(label, colors, low, high if high > low else low + 1.0)


def adjacent_colors(labels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) a colour for every label; where 8 colours suffice, regions that touch differ (greedy, large degrees first).

    Args:
        labels: (N,) region of every vertex, 0 to K - 1. faces: (F, 3).
    """
    ends = labels[np.concatenate([faces, np.roll(faces, -1, axis=1)], axis=1).reshape(-1, 2, 3).swapaxes(1, 2).reshape(-1, 2)]
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
    count = int(labels.max()) + 1
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for a, b in ends.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    palette = table("categories")
    chosen = np.full(count, -1)
    used = np.zeros(len(palette), int)
    for region in sorted(range(count), key=lambda k: -len(neighbours[k])):
        taken = np.bincount([chosen[k] for k in neighbours[region] if chosen[k] >= 0], minlength=len(palette))
        # Of the colours that fewest neighbours have, the one used least: all colours appear.
        best = np.lexsort((used, taken))[0]
        chosen[region] = best
        used[best] += 1
    return palette[chosen][labels]
