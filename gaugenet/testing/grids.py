"""Symmetries of arrays of pixels: images moved by them, and the error of a layer under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_instance
from ..fields import FieldType
from ..kernels.lattices import Lattice
from .evaluation import tensor_of


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
    check_instance("grid_symmetry_error", "module", module, nn.Module, "a torch.nn.Module")
    lattice = Lattice.of(lattice, len(shape))
    like = tensor_of(module, torch.zeros(0, dtype=torch.float64, device="cpu"))
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(2, in_type.dim, *shape, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    options: dict[str, Any] = {"lattice": lattice, "periodic": periodic, "centre": centre}
    elements = grid_symmetries(in_type, shape, **options)
    whole = periodic or lattice.is_box
    x = x if whole else x * torch.from_numpy(lattice.inside(tuple(shape))).to(x)
    training = module.training
    module.eval()
    try:
        before, errors = module(x), []
        seen = before
        if out_type is not None and not whole:
            inside = torch.from_numpy(lattice.inside(tuple(before.shape[2:]))).to(before)
            seen = before * inside
        for g in elements:
            after, expected = module(transform_image(x, in_type, g, **options)), seen
            if out_type is not None:
                expected = transform_image(seen, out_type, g, **options)
                after = after if whole else after * inside
            errors.append((after - expected).abs().max())
    finally:
        module.train(training)
    return float(torch.stack(errors).max()) / float(seen.abs().max().clamp_min(1e-300))


def grid_symmetries(
    type: FieldType,
    shape: Sequence[int],
    *,
    lattice: str | Lattice | np.ndarray = "square",
    periodic: bool = False,
    centre: str = "middle",
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
    x: Tensor,
    type: FieldType,
    g: Tensor,
    *,
    lattice: str | Lattice | np.ndarray = "square",
    periodic: bool = False,
    centre: str = "middle",
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


def _sources(
    lattice: Lattice, shape: tuple[int, ...], m: np.ndarray, periodic: bool, centre: str
) -> tuple[np.ndarray, np.ndarray] | None:
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
        if lattice.is_box:
            return None
        inside &= lattice.inside(shape)
    there = np.where(inside[..., None], there, 0)
    return np.ravel_multi_index(tuple(np.moveaxis(there, -1, 0)), shape), inside
