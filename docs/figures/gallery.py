"""The pictures of docs/gallery.md and of the start page.

python docs/figures/gallery.py [NAME ...]      # about two minutes; into docs/images
"""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import torch
from drawing import BLUE, GREEN, IMAGES, RED, ROOT, save, surface, torus
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from gaugenet import FieldType, geometry, groups, kernels, nn
from gaugenet.geometry import LocalGeometry
from gaugenet.viz import Camera, default_radius, default_vertex, plot_log_map
from gaugenet.viz.colors import ColorScale, table
from gaugenet.viz.placing import evenly_spaced
from gaugenet.viz.scene import tangent_frame

SHAPES = ROOT / "datasets" / "shapes"


def shape(name: str, **options) -> LocalGeometry:
    return geometry.mesh(SHAPES / name.split("_")[0] / f"{name}.ply", **(options or {"rings": 1}))


def log_maps() -> None:
    """Geodesic circles and rays on three bodies."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
    bodies = {"hand": shape("hand_03"), "octopus": shape("octopus_01"), "torus": torus(48, 24), "vase": shape("vase_03")}
    for axis, (name, geom) in zip(axes, bodies.items()):
        wide_log_map(geom, axis)
        axis.set_title(name)
    save(figure, "gallery_log_maps")


def wide_log_map(geom: LocalGeometry, axis: Axes) -> None:
    """Around a vertex in front, without the colour bar."""
    vertex = default_vertex(geom, Camera.of(geom))
    plot_log_map(geom, vertex, axes=axis, radius=default_radius(geom, vertex))
    for bar in list(axis.child_axes):
        bar.remove()


def families() -> None:
    """One random kernel of each family, as a scalar is lifted to a number for each direction: the kernel, turned."""
    c8, d4, c4 = groups.Cyclic(8), groups.Dihedral(4), groups.Cyclic(4)
    layers = {
        "free taps, C4": (c4, 5, kernels.Taps()),
        "free taps, D4": (d4, 5, kernels.Taps()),
        "rings x harmonics, C8": (c8, 7, kernels.Rings.of(7)),
        "turned by interpolation, C8": (c8, 7, kernels.Interpolated()),
        "B-splines, C8": (c8, 7, kernels.Spline()),
    }
    figure, axes = plt.subplots(len(layers), 8, figsize=(9, 6.2), layout="constrained")
    for line, (name, (group, size, family)) in zip(axes, layers.items()):
        torch.manual_seed(4)
        layer = nn.GridConv(FieldType(group, "1x0"), FieldType(group, "1xregular"), size, size // 2, kernel=family)
        with torch.no_grad():
            k = layer.kernel()[:, 0]
        for axis in line:
            axis.axis("off")
        for axis, image in zip(line, k):
            axis.imshow(image, cmap="RdBu_r", vmin=-k.abs().max(), vmax=k.abs().max())
        line[0].set_title(name, fontsize=9, loc="left")
    save(figure, "gallery_families", 90)


def harmonics() -> None:
    """The kernels from a scalar to order m: rings times circular harmonics."""
    figure, axes = plt.subplots(1, 5, figsize=(10, 2.3), layout="constrained")
    grid = np.stack(np.meshgrid(np.linspace(-1, 1, 121), np.linspace(-1, 1, 121)), -1).reshape(-1, 2)
    for m, axis in enumerate(axes):
        group = groups.SO2()
        conv = nn.GaugeConv(FieldType(group, "1x0"), FieldType(group, f"1x{m}"), radial=kernels.GaussianRings(3)).double()
        weight = next(conv.parameters())
        with torch.no_grad():
            weight.zero_()
            weight.view(3, -1)[1, 0] = 1  # the middle ring
            k = conv.kernel(torch.from_numpy(grid))[:, 0, 0].view(121, 121).numpy()
        axis.imshow(k, cmap="RdBu_r", vmin=-np.abs(k).max(), vmax=np.abs(k).max(), origin="lower")
        axis.set_title(f"0 to {m}, first component", fontsize=9)
        axis.axis("off")
    save(figure, "gallery_harmonics")


def _cross(axis: Axes, at, angle: float, size: float, alpha: float = 1.0, mirrored: bool = False) -> None:
    c, s = np.cos(angle), np.sin(angle)
    for vector, color in (((c, s), RED), ((s, -c) if mirrored else (-s, c), BLUE)):
        axis.annotate(
            "",
            np.asarray(at) + size * np.asarray(vector),
            at,
            arrowprops={"arrowstyle": "->", "color": color, "alpha": alpha, "lw": 1.3, "shrinkA": 0, "shrinkB": 0},
        )


def structures() -> None:
    """The frames that count as equal: the G-structures that the networks of the literature choose."""
    figure, axes = plt.subplots(2, 5, figsize=(12, 5.2), layout="constrained")
    flat = axes.ravel()
    places = [(x, y) for x in range(3) for y in range(3)]
    # Which frames at a point of the plane: angle, size, opacity, mirrored.
    choices = {
        "plane, {e}: CNN": lambda p: [(0.0, 0.6, 1.0, False)],
        "plane, reflections": lambda p: [(0.0, 0.55, 1.0, False), (0.0, 0.55, 0.45, True)],
        "plane, SO(2): H-Nets, E(2)-CNN": lambda p: [
            (a, 0.42, 1.0 if a == 0 else 0.25, False) for a in np.arange(6) * np.pi / 3
        ],
        "plane, scalings: SESN": lambda p: [(0.0, s, 1.0 if s == 0.4 else 0.4, False) for s in (0.25, 0.4, 0.62)],
        "plane without origin, polar {e}": lambda p: [(np.arctan2(p[1] - 1, p[0] - 1), 0.5, 1.0, False)] if p != (1, 1) else [],
    }
    for axis, (name, frames) in zip(flat, choices.items()):
        for p in places:
            for angle, size, alpha, mirrored in frames(p):
                _cross(axis, p, angle, size, alpha, mirrored)
            axis.plot(*p, "o", color="#333", ms=3)
        axis.set(xlim=(-0.75, 2.75), ylim=(-0.75, 2.75), aspect="equal", title=name)
    ball = geometry.icosphere(4)
    grid = geometry.icosphere(4, structure="e")
    above = Camera.looking(ball.positions, np.array([1.0, 0.4, 0.7]), np.array([0.0, 0, 1]))
    _frames(ball, flat[5], above, "sphere, SO(2): spherical CNNs", circle=True, count=100)
    _frames(grid, flat[6], above, "sphere, {e}: east and north", count=130)
    hand = shape("hand_03")
    _frames(hand, flat[7], Camera.of(hand), "mesh, SO(2): GEM-CNN", circle=True, count=110)
    crossed = shape("vase_03")
    field = geometry.smooth_field(crossed, n=4)
    _frames(crossed, flat[8], Camera.of(crossed), "mesh, C4: PFCNN, TextureNet", directions=field.directions, count=140)
    strip = moebius_surface()
    _frames(
        strip,
        flat[9],
        Camera.looking(strip.positions, np.array([0.3, -1.0, 1.1]), np.array([0, 0, 1.0])),
        "Moebius strip, reflections",
        mirrored=True,
        count=60,
    )
    for axis in flat:
        axis.axis("off")
        axis.set_title(axis.get_title(), fontsize=9)
    save(figure, "gallery_structures")


def _frames(geom, axis, camera, title, *, circle=False, directions=None, mirrored=False, count=55) -> None:
    frame, _ = tangent_frame(geom)
    at, spacing = evenly_spaced(geom, count)
    x, y = frame[at, :, 0], frame[at, :, 1]
    pale = lambda color: 0.35 * np.array(to_rgb(color)) + 0.65 * np.array([0.86, 0.87, 0.88])  # noqa: E731
    size, vectors = 0.42 * spacing, []
    if circle:
        for a in np.arange(1, 6) * np.pi / 3:
            vectors.append((0.8 * size * (np.cos(a) * x + np.sin(a) * y), pale(RED)))
    if directions is not None:
        vectors = [(size * directions[at, k], pale(RED) if k else to_rgb(RED)) for k in (1, 2, 3, 0)]
    else:
        if mirrored:
            vectors.append((-size * y, pale(BLUE)))
        vectors += [(size * y, to_rgb(BLUE)), (size * x, to_rgb(RED))]
    surface(geom, axis, camera=camera, at=at, vectors=vectors, width=0.014, title=title)


def moebius_surface() -> LocalGeometry:
    """A strip of triangles with half a twist; its first frame vectors run along it."""
    n, m = 80, 9
    u, v = np.meshgrid(2 * np.pi * np.arange(n) / n, np.linspace(-0.4, 0.4, m), indexing="ij")
    at = np.stack([(1 + v * np.cos(u / 2)) * np.cos(u), (1 + v * np.cos(u / 2)) * np.sin(u), v * np.sin(u / 2)], -1)
    number = np.arange(n * m).reshape(n, m)
    after = np.vstack([number[1:], number[:1, ::-1]])
    a, b, c, d = number[:, :-1], after[:, :-1], after[:, 1:], number[:, 1:]
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))])
    geom = geometry.mesh(at.reshape(-1, 3), faces, rings=2, structure="O2")
    along = np.stack([-np.sin(u), np.cos(u), np.zeros_like(u)], -1).reshape(-1, 3)
    x, y = np.einsum("nij,ni->jn", np.asarray(geom.frame), along)
    angle = np.arctan2(y, x)
    c, s = np.cos(angle), np.sin(angle)
    return geom.gauge_transform(np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2))


def manifolds() -> None:
    """One network on ten manifolds (examples/one_network.py), coloured by what it has there."""
    spec = importlib.util.spec_from_file_location("one_network", ROOT / "examples" / "one_network.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    figure = plt.figure(figsize=(12, 5.4), layout="constrained")
    for k, (name, (make, group)) in enumerate(example.MANIFOLDS.items()):
        geom = make()
        net, at = example.network(group), example.place(geom, name)
        signal = torch.from_numpy(np.sin(3 * at[:, :1]) * np.cos(2 * at[:, 1:2]))
        with torch.no_grad():
            colour = nn.to_scalars(net.encode(signal, geom.to_graph())[-1][0], net.types[-1])[:, -1].numpy()
        axis = figure.add_subplot(2, 5, k + 1, projection="3d")
        rank = np.argsort(np.argsort(colour)) / len(colour)
        axis.scatter(*at.T, c=rank, cmap="viridis", s=9)
        axis.set_box_aspect(np.maximum(np.ptp(at, 0), 1e-3 + 0.1 * np.ptp(at)), zoom=1.35)
        if np.ptp(at[:, 2]) == 0:
            axis.view_init(90, -90)
        axis.set_title(f"{name}, {group}", fontsize=9)
        axis.set_axis_off()
    save(figure, "gallery_manifolds", 80)


def start() -> None:
    """Three pictures: neighbourhoods, a field in any frames, fields on anything."""
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="constrained")
    octopus = shape("octopus_01")
    wide_log_map(octopus, axes[0])
    hand, field = _field_on(shape("hand_03", rings=2))
    at, spacing = evenly_spaced(hand, 420)
    frame, _ = tangent_frame(hand)
    for axis, (g, f) in zip(axes[1:], ((hand, field), (hand, field))):
        limit = np.abs(f).max()
        if axis is axes[1]:
            h = groups.SO2().sample(g.num_nodes, generator=torch.Generator().manual_seed(0)).numpy()
            surface(g, axis, ColorScale("", "diverging", -limit, limit)(np.einsum("nji,nj->ni", h, f)[:, 0]), Camera.of(g))
        else:
            size = np.minimum(1.0, 3 * np.linalg.norm(f, axis=1, keepdims=True) / limit) * spacing
            arrows = (np.einsum("nij,nj->ni", frame, f) * size / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-9))[at]
            surface(g, axis, camera=Camera.of(g), at=at, vectors=[(arrows, to_rgb(GREEN))], width=0.009)
    titles = (
        "1. what lies where,\nseen from a point",
        "2. a field is stored in frames\nthat nobody agrees on",
        "3. what a network answers\ndoes not depend on them",
    )
    for axis, title in zip(axes, titles):
        axis.set_title(title, fontsize=11)
    save(figure, "start")


def _field_on(geom: LocalGeometry) -> tuple[LocalGeometry, np.ndarray]:
    torch.manual_seed(5)
    group = groups.SO2()
    conv = nn.GaugeConv(FieldType(group, "1x0"), FieldType(group, "1x1")).double()
    at = geom.positions - geom.positions.mean(0)
    at = at / np.abs(at).max()
    x = torch.from_numpy(np.sin(4 * at[:, :1]) * np.cos(5 * at[:, 1:2]) + at[:, 2:])
    with torch.no_grad():
        return geom, conv(x, geom.to_graph()).numpy()


def animation() -> None:
    """Frames turn at random, the numbers flicker, the arrows stay: 24 pictures as an animated GIF."""
    ball = geometry.icosphere(4)
    camera = Camera.looking(ball.positions, np.array([1.0, 0.4, 0.6]), np.array([0.0, 0, 1]))
    group = groups.SO2()
    torch.manual_seed(2)
    conv = nn.GaugeConv(FieldType(group, "1x0"), FieldType(group, "1x1")).double()
    x = torch.from_numpy(np.sin(4 * ball.positions[:, :1]) * np.cos(3 * ball.positions[:, 1:2]) + ball.positions[:, 2:])
    at, spacing = evenly_spaced(ball, 110)
    speed = np.random.default_rng(0).choice([-2, -1, 1, 2], ball.num_nodes)
    pictures = []
    for t in np.arange(24) / 24:
        c, s = np.cos(2 * np.pi * t * speed), np.sin(2 * np.pi * t * speed)
        g = ball.gauge_transform(np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2))
        with torch.no_grad():
            y = conv(x, g.to_graph()).numpy()  # computed anew in these frames
        frame, limit = tangent_frame(g)[0], np.abs(y).max()
        figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
        turning = [(0.5 * spacing * frame[at, :, k], to_rgb(color)) for k, color in ((1, BLUE), (0, RED))]
        surface(g, axes[0], camera=camera, at=at, vectors=turning, title="frames")
        surface(g, axes[1], ColorScale("", "diverging", -limit, limit)(y[:, 0]), camera, title="first number of the answer")
        arrows = np.einsum("nij,nj->ni", frame, y)[at] * (1.5 * spacing / limit)
        surface(g, axes[2], camera=camera, at=at, vectors=[(arrows, to_rgb(GREEN))], title="the answer")
        figure.canvas.draw()
        pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3]))
        plt.close(figure)
    # Arrows are small: their colours are shown large beside one picture, so that the palette has them.
    tones = [np.array(to_rgb(c)) * (1 - k) + k for c in (RED, BLUE, GREEN) for k in (0.0, 0.25, 0.5)]
    tones += [shade * color for color in table("diverging") for shade in (1.0, 0.85, 0.7)]
    swatches = (np.array(tones)[:, None].repeat(pictures[0].width, 1) * 255).astype(np.uint8).repeat(8, 0)
    palette = Image.fromarray(np.vstack([np.asarray(pictures[0]), swatches])).quantize(112, dither=Image.Dither.NONE)
    pictures = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    path = IMAGES / "gallery_gauges.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=90, loop=0, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


PICTURES = (start, log_maps, families, harmonics, structures, manifolds, animation)

if __name__ == "__main__":
    for make in PICTURES:
        if not sys.argv[1:] or make.__name__ in sys.argv[1:]:
            make()
