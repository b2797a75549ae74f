"""Symmetries of a sampled manifold, which move nodes to nodes: the error of a layer under them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_instance
from ..fields import FieldType
from .evaluation import call, in_mode, tensor_of


@torch.no_grad()
def symmetry_error(
    module: nn.Module,
    graph: Any,
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
    check_instance("symmetry_error", "module", module, nn.Module, "a torch.nn.Module")
    like = tensor_of(module, graph.log)
    graph = graph.clone().to(like.device)
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(graph.radius.shape[0], in_type.dim, generator=generator, dtype=torch.float64, device="cpu")
    x = x.to(like)
    moves = _as_tensors(isometries, like)
    out_moves = moves if out_isometries is None else _as_tensors(out_isometries, like)
    with in_mode(module, False):
        before, errors = call(module, x, graph), [torch.zeros((), device=like.device)]
        for there, g, out_there, out_g in zip(*moves, *out_moves):
            after = call(module, torch.empty_like(x).index_copy_(0, there, in_type.transform(g, x)), graph)
            expected = before
            if out_type is not None:
                expected = torch.empty_like(before).index_copy_(0, out_there, out_type.transform(out_g, before))
            errors.append((after - expected).abs().max())
    return float(torch.stack([e.double() for e in errors]).max()) / float(before.abs().max().clamp_min(1e-300))


def _as_tensors(isometries: tuple, like: Tensor) -> tuple[Tensor, Tensor]:
    permutation, change = (torch.as_tensor(part, device=like.device) for part in isometries)
    return permutation, change.to(like)
