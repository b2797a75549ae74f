"""The figures of docs/explained.md.

python docs/figures/explained.py [NAME ...]      # about a minute; into docs/images
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from drawing import BLUE, GREEN, RED, ROOT, octahedral_sphere, save, surface, torus
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Polygon

from gaugenet import FieldType, geometry, groups, kernels, nn
from gaugenet.viz import Camera, default_radius, default_vertex, plot_log_map, plot_transport
from gaugenet.viz.colors import ColorScale
from gaugenet.viz.neighbourhood import neighbourhood
from gaugenet.viz.placing import evenly_spaced
from gaugenet.viz.scene import tangent_frame

SO2 = groups.SO2()


def row(count: int, height: float = 3.0, **options):
    return plt.subplots(1, count, figsize=(height * count, height), layout="constrained", **options)


def arrow(axes, start, vector, color, width=0.03) -> None:
    axes.arrow(*start, *vector, width=width, head_width=4.5 * width, length_includes_head=True, color=color, zorder=4)


def direction() -> None:
    """A vector carried round a loop: unchanged in the plane, turned on the sphere."""
    figure, (plane, ball) = row(2, 3.4)
    corners = np.array([[0, 0], [3, 0], [1.5, 2.6]])
    plane.add_patch(Polygon(corners, fill=False, lw=1.5, color="#333"))
    for t in np.linspace(0, 1, 6)[:-1]:
        for a, b in zip(corners, np.roll(corners, -1, 0)):
            arrow(plane, a + t * (b - a), (0.35, 0.35), BLUE, 0.02)
    arrow(plane, corners[0], (0.5, 0.5), RED, 0.035)
    plane.set(aspect="equal", xlim=(-0.4, 3.8), ylim=(-0.5, 3.5), title="plane: it comes back as it was")
    plane.axis("off")
    sphere = octahedral_sphere()
    camera = Camera.looking(sphere.positions, np.array([1.0, 1.0, 0.8]), np.array([0.0, 0, 1]))
    plot_transport(sphere, path=[0, 2, 4, 0], axes=ball, camera=camera)
    ball.set_title("sphere: " + ball.get_title().split(": ")[1] + " (orange)")
    save(figure, "explained_direction")


def turned(geom: geometry.LocalGeometry, seed: int) -> geometry.LocalGeometry:
    """The geometry with other frames."""
    h = SO2.sample(geom.num_nodes, generator=torch.Generator().manual_seed(seed)).numpy()
    return geom.gauge_transform(h)


def frames() -> None:
    """One tangent vector field, in three choices of frames."""
    geom = torus()
    camera = Camera.looking(geom.positions, np.array([0.5, -1.0, 1.3]), np.array([0.0, 0, 1]))
    at, spacing = evenly_spaced(geom, 90)
    aligned = _round_the_axis(geom)
    figure, axes = row(3)
    for axis, g, title in zip(axes, (aligned, turned(aligned, 1), turned(aligned, 2)), ("frames A", "frames B", "frames C")):
        frame, _ = tangent_frame(g)
        vectors = [(0.5 * spacing * frame[at, :, k], to_rgb(c)) for k, c in ((1, BLUE), (0, RED))]
        surface(g, axis, camera=camera, at=at, vectors=vectors, title=title)
    save(figure, "explained_frames")


def _round_the_axis(geom: geometry.LocalGeometry) -> geometry.LocalGeometry:
    """With first frame vectors that run round the z axis."""
    x, y = np.einsum("nij,ni->jn", tangent_frame(geom)[0], np.cross([0.0, 0, 1], geom.positions))
    return geom.gauge_transform(_turn(np.arctan2(y, x)))


def _turn(angle: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)


def log_map() -> None:
    """The log map on a hand, and the neighbours in the tangent plane in two frames."""
    geom = geometry.mesh(ROOT / "datasets" / "shapes" / "hand" / "hand_03.ply", rings=1)
    figure, (shape, carry, first, second) = row(4, 2.8)
    vertex = default_vertex(geom, Camera.of(geom))
    radius = 0.8 * default_radius(geom, vertex)
    plot_log_map(geom, vertex, axes=shape, radius=radius).set_title("log map on the surface")
    plot_transport(geom, vertex, axes=carry, radius=radius).set_title("transport to the neighbours")
    around = neighbourhood(geom, vertex, radius)
    for panel, angle, title in ((first, 0.0, "tangent plane, frame A"), (second, np.radians(70), "the same, frame B")):
        x = around.log @ _turn(np.array([angle]))[0]  # h^-1 log
        panel.scatter(*x.T, c=np.linalg.norm(x, axis=1), s=9, cmap="viridis")
        reach = 1.08 * np.linalg.norm(x, axis=1).max()
        arrow(panel, (0, 0), (0.45 * reach, 0), RED, 0.02 * reach)
        arrow(panel, (0, 0), (0, 0.45 * reach), BLUE, 0.02 * reach)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=title, xticks=[], yticks=[])
        panel.set_frame_on(False)
    save(figure, "explained_log_map")


def field_types() -> None:
    """One value of each type, and its numbers in a frame and in a turned frame."""
    c8 = groups.Cyclic(8)
    types = [
        ("order 0: a scalar", FieldType(SO2, "1x0"), [0.8]),
        ("order 1: a vector", FieldType(SO2, "1x1"), [0.9, 0.3]),
        ("order 2: a line", FieldType(SO2, "1x2"), [0.3, 0.8]),
        ("regular: a number\nfor each direction (C8)", FieldType(c8, "1xregular"), [1.0, 0.7, 0.3, 0.2, 0.1, 0.2, 0.3, 0.7]),
    ]
    figure, axes = plt.subplots(2, 4, figsize=(11, 6.2), layout="constrained")
    for line, angle in zip(axes, (0.0, np.pi / 4)):
        for axis, (name, field, values) in zip(line, types):
            f = torch.tensor(values, dtype=torch.float64)
            numbers = field.transform(torch.from_numpy(_turn(np.array([-angle]))[0]), f).numpy()  # rho(h)^-1 f
            turn = _turn(np.array([angle]))[0]
            arrow(axis, (0, 0), 1.25 * turn[:, 0], RED, 0.018)
            arrow(axis, (0, 0), 1.25 * turn[:, 1], BLUE, 0.018)
            _glyph(axis, name, f.numpy())
            shown = ", ".join(f"{x:.2g}" for x in numbers + 0.0)
            axis.set(xlim=(-1.35, 1.35), ylim=(-1.4, 1.3), aspect="equal")
            axis.axis("off")
            axis.text(0, -1.3, f"({shown})", ha="center", fontsize=12 if len(numbers) < 5 else 9)
            if angle == 0:
                axis.set_title(name, fontsize=13)
    save(figure, "explained_field_types")


def _glyph(axis, name: str, f: np.ndarray) -> None:
    """What does not depend on the frame."""
    if name.startswith("order 0"):
        axis.add_patch(Circle((0, 0), 0.45, color=GREEN, alpha=f[0]))
    elif name.startswith("order 1"):
        arrow(axis, (0, 0), f, GREEN, 0.05)
    elif name.startswith("order 2"):
        half, size = 0.5 * np.arctan2(f[1], f[0]), np.hypot(*f)
        d = size * np.array([np.cos(half), np.sin(half)])
        axis.plot(*np.stack([-d, d], 1), color=GREEN, lw=6, solid_capstyle="round", zorder=4)
    else:
        angles = np.arange(8) * np.pi / 4
        for a, value in zip(angles, f):
            spread = a + np.linspace(-0.3, 0.3, 9)
            wedge = np.vstack([[0, 0], value * np.stack([np.cos(spread), np.sin(spread)], 1)])
            axis.add_patch(Polygon(wedge, color=GREEN, alpha=0.75))


def kernel_pictures() -> None:
    """Basis kernels of SO(2): what each type of field can be turned into from what."""
    pairs = [("0", "0"), ("0", "1"), ("0", "2"), ("1", "0"), ("1", "1")]
    figure, axes = row(5, 2.5)
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101)), -1).reshape(-1, 2)
    for axis, (n, m) in zip(axes, pairs):
        types = FieldType(SO2, f"1x{n}"), FieldType(SO2, f"1x{m}")
        conv = nn.GaugeConv(*types, radial=kernels.GaussianRings(3)).double()
        weight = next(conv.parameters())
        torch.manual_seed(3)
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape))
            k = conv.kernel(torch.from_numpy(grid)).numpy()
        inside = np.linalg.norm(grid, axis=1) <= 1
        k[~inside] = np.nan
        title = f"order {n} to {m}"
        if k.shape[1:] == (1, 1):
            image = k.reshape(101, 101)
            limit = np.nanmax(abs(image))
            axis.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=(-1, 1, -1, 1), origin="lower")
        else:
            # The vectors (or lines) that a kernel lays around a scalar or looks for; of matrices, the first row.
            flat = k.reshape(len(k), -1)
            size = np.linalg.norm(flat, axis=1).reshape(101, 101)
            axis.imshow(size, cmap="Purples", extent=(-1, 1, -1, 1), origin="lower", alpha=0.8)
            some = (
                (np.linalg.norm(grid, axis=1) < 0.85)
                & (np.arange(101 * 101) % 101 % 12 == 2)
                & (np.arange(101 * 101) // 101 % 12 == 2)
            )
            u, v = flat[some][:, 0], flat[some][:, 1]
            if m == "2":
                half = np.arctan2(v, u) / 2
                u, v = np.hypot(u, v) * np.cos(half), np.hypot(u, v) * np.sin(half)
                bar = {"headwidth": 0, "headlength": 0, "headaxislength": 0}
                axis.quiver(*grid[some].T, u, v, pivot="mid", color="#222", width=0.016, **bar)
            else:
                axis.quiver(*grid[some].T, u, v, pivot="mid", color="#222", width=0.016)
        axis.set_title(title, fontsize=13)
        axis.axis("off")
    save(figure, "explained_kernels")


def gauge_change() -> None:
    """One layer, two choices of frames: other numbers, the same arrows."""
    geom = torus()
    camera = Camera.looking(geom.positions, np.array([0.5, -1.0, 1.3]), np.array([0.0, 0, 1]))
    torch.manual_seed(1)
    conv = nn.GaugeConv(FieldType(SO2, "1x0"), FieldType(SO2, "1x1")).double()
    x = torch.from_numpy(np.sin(3 * geom.positions[:, :1]) * np.cos(2 * geom.positions[:, 1:2]) + geom.positions[:, 2:])
    aligned = _round_the_axis(geom)
    at, spacing = evenly_spaced(geom, 220)
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 5.4), layout="constrained")
    for line, g, name in zip(axes, (aligned, turned(aligned, 1)), "AB"):
        with torch.no_grad():
            y = conv(x, g.to_graph()).numpy()
        limit = np.abs(y).max()
        for axis, k in zip(line, (0, 1)):
            surface(
                g,
                axis,
                ColorScale("", "diverging", -limit, limit)(y[:, k]),
                camera,
                title=f"frames {name}: number {k + 1} of 2",
            )
        vectors = np.einsum("nij,nj->ni", tangent_frame(g)[0], y)[at] * (1.5 * spacing / limit)
        surface(g, line[2], camera=camera, at=at, vectors=[(vectors, to_rgb(GREEN))], title="the vectors that they mean")
    save(figure, "explained_gauge_change", 90)


def planar() -> None:
    """A regular feature of C4 on pixels: turning the image turns the maps and moves each to the next direction."""
    from sklearn.datasets import load_digits

    c4 = groups.Cyclic(4)
    torch.manual_seed(0)
    conv = nn.GridConv(FieldType(c4, "1x0"), FieldType(c4, "1xregular"), 5, padding=2, bias=False)
    digit = torch.tensor(load_digits().images[7], dtype=torch.float32)[None, None] / 16
    digit = torch.nn.functional.interpolate(digit, size=(24, 24), mode="bicubic")
    digit = torch.nn.functional.pad(digit.clamp_min(0), (4, 4, 4, 4))
    figure, axes = plt.subplots(2, 5, figsize=(9, 3.9), layout="constrained")
    for line, image in zip(axes, (digit, torch.rot90(digit, 1, (2, 3)))):
        with torch.no_grad():
            maps = conv(image)[0]
        line[0].imshow(image[0, 0], cmap="gray_r")
        for k, (axis, map_) in enumerate(zip(line[1:], maps)):
            axis.imshow(map_, cmap="RdBu_r", vmin=-maps.abs().max(), vmax=maps.abs().max())
            axis.set_title(f"direction {k}", fontsize=9)
        for axis in line:
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_title("image", fontsize=9)
    axes[1, 0].set_title("turned", fontsize=9)
    save(figure, "explained_planar")


FIGURES = (direction, frames, log_map, field_types, kernel_pictures, gauge_change, planar)

if __name__ == "__main__":
    for make in FIGURES:
        if not sys.argv[1:] or make.__name__ in sys.argv[1:]:
            make()
