"""The proof that a user can run: is a layer or a network gauge equivariant?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .fields import FieldType


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
        graph: a GaugeGraph.
        in_type: field type of the input.
        out_type: field type of the output, or None for an output that should not change (a classifier's logits).
        x: (N, in_type.dim) features.
        out_level: level of the output's nodes, for pooling layers.
        seed: of the random numbers.

    Returns:
        The relative error. The module is evaluated in eval mode and put back afterwards.
    """
    like = next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), graph.log)
    graph = graph.clone().to(like.device)
    gauge = random_gauge(graph, in_type, seed=seed)
    if x is None:
        generator = torch.Generator().manual_seed(seed + 1)
        nodes = graph.radius.shape[0]
        x = torch.randn(nodes, in_type.dim, generator=generator, dtype=torch.float64)
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
    **options,
) -> None:
    """Raise AssertionError when :func:`equivariance_error` is above the tolerance (1e-10 in float64, 1e-4 in float32)."""
    error = equivariance_error(module, graph, in_type, out_type, **options)
    if tolerance is None:
        double = any(p.dtype == torch.float64 for p in module.parameters()) or graph.log.dtype == torch.float64
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
    like = next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), graph.log)
    graph = graph.clone().to(like.device)
    if x is None:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(graph.radius.shape[0], in_type.dim, generator=generator, dtype=torch.float64)
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


def _as_tensors(isometries: tuple, like: Tensor) -> tuple[Tensor, Tensor]:
    permutation, change = (torch.as_tensor(part) for part in isometries)
    return permutation.to(like.device), change.to(like)


def _call(module: nn.Module, x: Tensor, graph) -> Tensor:
    import inspect

    parameters = inspect.signature(module.forward).parameters
    return module(x, graph) if len(parameters) > 1 else module(x)
