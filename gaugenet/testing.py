"""The proof that a user can run: is a layer or a network gauge equivariant?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .fields import FieldType
from .kernels.lattices import Lattice


def random_gauge(graph, in_type: FieldType, *, seed: int = 0, levels: bool = True) -> list[Tensor]:
    """Random elements of the structure group at every node: one (N, d, d) tensor per level.

    Args:
        graph: a GaugeGraph.
        in_type: gives the group.
        seed: of the random numbers.
        levels: also change the frames of the coarser levels.
    """
    generator = torch.Generator().manual_seed(seed)
    count = graph.num_levels if levels else 1
    radii = [graph.level(k).radius for k in range(count)]
    return [in_type.group.sample(r.shape[0], generator=generator).to(r) for r in radii]


@torch.no_grad()
def equivariance_error(
    module: nn.Module,
    graph,
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    x: Tensor | None = None,
    out_level: int = 0,
    seed: int = 0,
) -> float:
    r"""Relative gauge-equivariance error of a module under random frame changes at every node.

    .. math:: \frac{\max |L(h \cdot f) - h \cdot L(f)|}{\max |L(f)|}, \qquad (h \cdot f)(p) = \rho(h_p)^{-1} f(p)

    with the graph changed along (docs/conventions.md): the error is zero to rounding exactly when the layer does not depend
    on the choice of frames. Normal features are drawn unless x is given; dtype and device are those of the module.

    Args:
        module: called as ``module(x, graph)``, or ``module(x)`` when its forward takes one argument.
        graph: a GaugeGraph; or the shape (H, W) of images on square pixels, whose frames all turn together: then this is
            :func:`grid_symmetry_error`, which has more options.
        in_type: field type of the input.
        out_type: field type of the output, or None for an output that should not change (a classifier's logits).
        x: (N, in_type.dim) features, or images.
        out_level: level of the output's nodes, for pooling layers.
        seed: of the random numbers.

    Returns:
        The relative error. The module is evaluated in eval mode and put back afterwards.
    """
    if isinstance(graph, Sequence):
        return grid_symmetry_error(module, graph, in_type, out_type, x=x, seed=seed)
    like = _tensor_of(module, graph.log)
    graph = graph.clone().to(like.device)
    gauge = random_gauge(graph, in_type, seed=seed)
    if x is None:
        generator = torch.Generator().manual_seed(seed + 1)
        nodes = graph.radius.shape[0]
        x = torch.randn(nodes, in_type.dim, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    inverse = [h.transpose(-1, -2).to(like) for h in gauge]
    training = module.training
    module.eval()
    try:
        before = _call(module, x, graph)
        after = _call(module, in_type.transform(inverse[0], x), graph.gauge_transform(gauge))
    finally:
        module.train(training)
    expected = before if out_type is None else out_type.transform(inverse[out_level], before)
    return float((after - expected).abs().max() / before.abs().max().clamp_min(1e-300))


def assert_gauge_equivariant(
    module: nn.Module,
    graph,
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    tolerance: float | None = None,
    x: Tensor | None = None,
    out_level: int = 0,
    seed: int = 0,
) -> None:
    """Raise AssertionError when :func:`equivariance_error` is above the tolerance (1e-10 in float64, 1e-4 in float32).

    Args:
        module, graph, in_type, out_type, x, out_level, seed: see :func:`equivariance_error`.
        tolerance: largest relative error.
    """
    error = equivariance_error(module, graph, in_type, out_type, x=x, out_level=out_level, seed=seed)
    if tolerance is None:
        graph_dtype = torch.float64 if isinstance(graph, Sequence) else graph.log.dtype
        double = any(p.dtype == torch.float64 for p in module.parameters()) or graph_dtype == torch.float64
        single = any(p.dtype == torch.float32 for p in module.parameters())
        tolerance = 1e-10 if double and not single else 1e-4
    if not error <= tolerance:
        raise AssertionError(
            f"{type(module).__name__} is not gauge equivariant: relative error {error:.3g} > {tolerance:.3g} "
            f"for {in_type} -> {out_type if out_type is not None else 'an invariant output'}"
        )


@torch.no_grad()
def symmetry_error(
    module: nn.Module,
    graph,
    isometries: tuple,
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    x: Tensor | None = None,
    out_isometries: tuple | None = None,
    seed: int = 0,
) -> float:
    r"""Largest relative error of a module under symmetries of the sampled manifold, which move nodes to nodes.

    .. math:: \max_s \frac{\max |L(s f) - s L(f)|}{\max |L(f)|}, \qquad (s f)(s(n)) = \rho(g_{s,n})\, f(n)

    with g the change of the frames, :math:`s_* E_n = E_{s(n)} g_{s,n}`. The graph stays as it is: a symmetry maps it to itself,
    so the error is zero to rounding when neither the layer nor the geometry depends on numbering or frames
    (:func:`equivariance_error` changes the frames of the graph along, and knows nothing of the geometry).

    Args:
        module: called as ``module(x, graph)``, or ``module(x)`` when its forward takes one argument.
        graph: a GaugeGraph.
        isometries: permutation (S, N) and g (S, N, d, d), arrays or tensors, for example of
            :func:`gaugenet.geometry.icosahedron_symmetries`.
        in_type: field type of the input.
        out_type: field type of the output, or None for an output that should not change (a classifier's logits).
        x: (N, in_type.dim) features, by default normal ones.
        out_isometries: those of the output's nodes, where they are others (pooling layers).
        seed: of the random numbers.

    Returns:
        The relative error. The module is evaluated in eval mode and put back afterwards.
    """
    like = _tensor_of(module, graph.log)
    graph = graph.clone().to(like.device)
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(graph.radius.shape[0], in_type.dim, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    moves = _as_tensors(isometries, like)
    out_moves = moves if out_isometries is None else _as_tensors(out_isometries, like)
    training = module.training
    module.eval()
    try:
        before, worst = _call(module, x, graph), 0.0
        for there, g, out_there, out_g in zip(*moves, *out_moves):
            after = _call(module, torch.empty_like(x).index_copy_(0, there, in_type.transform(g, x)), graph)
            expected = before
            if out_type is not None:
                expected = torch.empty_like(before).index_copy_(0, out_there, out_type.transform(out_g, before))
            worst = max(worst, float((after - expected).abs().max()))
    finally:
        module.train(training)
    return worst / float(before.abs().max().clamp_min(1e-300))


@torch.no_grad()
def grid_symmetry_error(
    module: nn.Module,
    shape: Sequence[int],
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    lattice: str | Lattice | np.ndarray = "square",
    periodic: bool = False,
    centre: str = "middle",
    x: Tensor | None = None,
    seed: int = 0,
) -> float:
    r"""Largest relative error of a module on images under all symmetries of the grid that its group has.

    .. math:: \max_g \frac{\max |L(g f) - g L(f)|}{\max |L(f)|}, \qquad (g f)(p) = \rho(g)\, f(g^{-1} p)

    with g every element of the group that maps the pixels to each other: all of C_4 and D_4 on a square image, the turn by 180
    degrees and the mirror images on a rectangle, on hexagons (where the image is zero outside the largest hexagon, and the
    output is compared in its own) all of C_6 and D_6. Of SO(2), O(2), C_8 these are some.

    Args:
        module: (B, in_type.dim, H, W) -> (B, out_type.dim, H', W'), or volumes.
        shape: (H, W) or (Z, H, W) of the input.
        in_type: field type of the input.
        out_type: field type of the output, or None for an output that should not change (a classifier's logits).
        lattice: see :class:`gaugenet.nn.GridConv`.
        periodic: opposite sides are glued (circular padding).
        centre: g turns about the "middle" of the array, or on periodic images about its first "pixel", as layers with stride
            and odd kernels do. (About the middle, outputs have a middle of their own.)
        x: images, by default two normal ones.
        seed: of the random numbers.

    Returns:
        The relative error. The module is evaluated in eval mode and put back afterwards.

    Raises:
        ValueError: when no element of the group except 1 keeps the grid.
    """
    lattice = Lattice.of(lattice, len(shape))
    like = _tensor_of(module, torch.zeros(0, dtype=torch.float64, device="cpu"))
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, in_type.dim, *shape, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    options = {"lattice": lattice, "periodic": periodic, "centre": centre}
    elements = grid_symmetries(in_type, shape, **options)
    whole = periodic or lattice.is_square
    x = x if whole else x * torch.from_numpy(lattice.inside(tuple(shape))).to(x)
    training = module.training
    module.eval()
    try:
        before, worst = module(x), 0.0
        seen = before
        if out_type is not None and not whole:
            inside = torch.from_numpy(lattice.inside(tuple(before.shape[2:]))).to(before)
            seen = before * inside
        for g in elements:
            after, expected = module(transform_image(x, in_type, g, **options)), seen
            if out_type is not None:
                expected = transform_image(seen, out_type, g, **options)
                after = after if whole else after * inside
            worst = max(worst, float((after - expected).abs().max()))
    finally:
        module.train(training)
    return worst / float(seen.abs().max().clamp_min(1e-300))


def grid_symmetries(
    type: FieldType, shape: Sequence[int], *, lattice="square", periodic=False, centre="middle"
) -> list[Tensor]:
    """The elements (d, d) of the group of a type that map an array of pixels to itself; see :func:`grid_symmetry_error`."""
    lattice = Lattice.of(lattice, len(shape))
    found = []
    for g, m in zip(*lattice.symmetries(type.group)):
        if _sources(lattice, tuple(shape), m, periodic, centre) is not None:
            found.append(torch.from_numpy(g))
    if len(found) < 2 and type.group.order != 1:
        raise ValueError(f"no element of {type.group} except 1 maps the pixels of a grid of shape {tuple(shape)} to each other")
    return found


def transform_image(
    x: Tensor, type: FieldType, g: Tensor, *, lattice="square", periodic: bool = False, centre: str = "middle"
) -> Tensor:
    r"""The field :math:`(g f)(p) = \rho(g)\, f(g^{-1} p)` of an image f (B, type.dim, H, W), g (d, d) a symmetry of its grid.

    Arguments as :func:`grid_symmetry_error`; x to the right, y up. ValueError when g does not map the pixels to each other.
    """
    shape = tuple(x.shape[2:])
    lattice = Lattice.of(lattice, len(shape))
    m = lattice.matrix(g.double().cpu().numpy())
    sources = (
        _sources(lattice, shape, m.round().astype(np.int64), periodic, centre) if np.abs(m - m.round()).max() < 1e-6 else None
    )
    if sources is None:
        raise ValueError(f"{g.tolist()} does not map the pixels of a grid of shape {shape} to each other")
    index, inside = (torch.from_numpy(a).to(x.device) for a in sources)
    moved = x.flatten(2)[:, :, index.flatten()] * inside.flatten().to(x)
    return type.transform(g.to(x), moved.movedim(1, -1)).movedim(-1, 1).reshape(x.shape)


def _sources(lattice: Lattice, shape: tuple[int, ...], m: np.ndarray, periodic: bool, centre: str):
    """Where each pixel's value comes from when M acts: (numbers, whether there is one), or None when M keeps no such grid."""
    if centre not in ("middle", "pixel") or (centre == "pixel" and not periodic):
        raise ValueError(f'centre is "middle", or "pixel" on periodic images, got {centre!r}')
    about = (np.array(shape) - 1) / 2 if centre == "middle" else np.zeros(len(shape))
    here = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    back = np.linalg.inv(m).round()
    there = (here - about) @ back.T + about
    if np.abs(there - there.round()).max() > 1e-6:
        return None
    there = there.round().astype(np.int64)
    if periodic:
        # Going round an axis must go round axes.
        if (np.round(back * np.array(shape)).astype(np.int64) % np.array(shape)[:, None]).any():
            return None
        there %= np.array(shape)
    inside = ((there >= 0) & (there < shape)).all(-1)
    if not inside.all():
        if lattice.is_square:
            return None
        inside &= lattice.inside(shape)
    there = np.where(inside[..., None], there, 0)
    return np.ravel_multi_index(tuple(np.moveaxis(there, -1, 0)), shape), inside


def _tensor_of(module: nn.Module, otherwise: Tensor) -> Tensor:
    """A parameter or buffer, for its dtype and device."""
    return next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), otherwise)


def _as_tensors(isometries: tuple, like: Tensor) -> tuple[Tensor, Tensor]:
    permutation, change = (torch.as_tensor(part, device=like.device) for part in isometries)
    return permutation, change.to(like)


def _call(module: nn.Module, x: Tensor, graph) -> Tensor:
    import inspect

    parameters = inspect.signature(module.forward).parameters
    return module(x, graph) if len(parameters) > 1 else module(x)
