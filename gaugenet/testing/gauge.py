"""Random frame changes at every node: the error of gauge equivariance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_instance
from ..fields import FieldType
from .evaluation import call_again, in_mode, tensor_of
from .grids import grid_symmetry_error


def random_gauge(graph: Any, in_type: FieldType, *, seed: int = 0, levels: bool = True) -> list[Tensor]:
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
    graph: Any,
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    x: Tensor | None = None,
    out_level: int = 0,
    training: bool = False,
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
        training: evaluate in training mode, with the same random numbers (dropout) before and after; running averages are
            put back. Images are evaluated in eval mode.
        seed: of the random numbers.

    Returns:
        The relative error. The module is evaluated in eval mode, or that of ``training``, and put back afterwards.
    """
    check_instance("equivariance_error", "module", module, nn.Module, "a torch.nn.Module")
    if isinstance(graph, Sequence):
        return grid_symmetry_error(module, graph, in_type, out_type, x=x, seed=seed)
    like = tensor_of(module, graph.log)
    graph = graph.clone().to(like.device)
    gauge = random_gauge(graph, in_type, seed=seed)
    if x is None:
        generator = torch.Generator().manual_seed(seed + 1)
        nodes = graph.radius.shape[0]
        x = torch.randn(nodes, in_type.dim, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    inverse = [h.transpose(-1, -2).to(like) for h in gauge]
    with in_mode(module, training):
        before = call_again(module, x, graph, seed)
        after = call_again(module, in_type.transform(inverse[0], x), graph.gauge_transform(gauge), seed)
    expected = before if out_type is None else out_type.transform(inverse[out_level], before)
    return float((after - expected).abs().max() / before.abs().max().clamp_min(1e-300))


def assert_gauge_equivariant(
    module: nn.Module,
    graph: Any,
    in_type: FieldType,
    out_type: FieldType | None = None,
    *,
    tolerance: float | None = None,
    x: Tensor | None = None,
    out_level: int = 0,
    training: bool = False,
    seed: int = 0,
) -> None:
    """Raise AssertionError when :func:`equivariance_error` is above the tolerance (1e-10 in float64, 1e-4 in float32).

    Args:
        module, graph, in_type, out_type, x, out_level, training, seed: see :func:`equivariance_error`.
        tolerance: largest relative error.
    """
    error = equivariance_error(module, graph, in_type, out_type, x=x, out_level=out_level, training=training, seed=seed)
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
