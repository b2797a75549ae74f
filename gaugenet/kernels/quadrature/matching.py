"""Coefficients that turn the weighted sum over irregular neighbours into the integral over the disc (moment matching).

Letters: N nodes, E edges, d dimension, B radial functions, Y harmonics, J = B Y table columns, M polynomials, K slots of a
node (its centre and its neighbours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..harmonics import harmonic_frequencies, harmonics
from . import builder
from .moments import MAX_CURVATURE, ball_volume, kernel_moments, polynomial_basis, profile_values, radial_moments

# Moments that are nearly dependent at the points are not matched: they would cost the gauge equivariance its digits.
_MAX_CONDITION = 1e4
MAX_DEGREE = 8
# Entries of the padded table of one chunk of nodes.
_CHUNK_ENTRIES = 1 << 21


class Quadrature(NamedTuple):
    """What :func:`match_moments` finds.

    Attributes:
        edge: (E, J) coefficients of the neighbours.
        node: (N, J) coefficients of the centres; column j = b Y + y.
        degree: (N,) int64, the degree that is matched at every node, -1 where not even constants are.
        fraction: (N,), the part of the correction of the next degree that the bound leaves room for, from 0 to 1.
        amplification: (N,) growth of the coefficients, see :func:`coefficient_table`; 1 where the weights are plain.
    """

    edge: Tensor
    node: Tensor
    degree: Tensor
    fraction: Tensor
    amplification: Tensor


def coefficient_table(
    log: Tensor,
    weight: Tensor,
    radius: Tensor,
    edge_index: Tensor,
    profile: nn.Module,
    max_frequency: int,
    *,
    area: Tensor | None = None,
    curvature: Tensor | None = None,
    degree: int | None = 3,
    max_amplification: float = 1.5,
) -> tuple[Tensor, Tensor]:
    r"""Coefficients U with sum_q U[q, j] f(q) close to the integral of R_b Y_y f over the ball, for every smooth f.

    Plain area weights are :math:`u_q = w_q R_b(|x_q|) Y_y(x_q / |x_q|)`, x = log / radius. Moment matching adds the least
    correction in the norm weighted by 1/w,

    .. math:: u'_q = u_q + w_q P(x_q) \lambda, \qquad (P^T W P) \lambda = T - P^T u, \qquad
        T_\alpha = \frac1{|B|} \int_B R_b\, Y_y\, P_\alpha\, s\, dx

    with P the polynomials of degree <= D (orthonormal over the unit ball, one angular momentum each, so that everything
    commutes with rotations of the frame), the centre one of the points, |B| the volume of the flat unit ball, and s the
    area element of a ball of curvature K in geodesic polar coordinates, :math:`(\sin k r / k r)^{d-1}`,
    :math:`k^2 = K\,\mathrm{radius}^2` (sinh for K < 0). So the sum is exact for every f that is a polynomial of degree
    <= D in x, and frequencies m >= 1 send constants to zero.

    At every node the largest degree D' <= D is taken whose amplification stays within the bound, and then the part of the
    next correction that still fits, so that the table depends continuously on the points. Amplification is the largest,
    over the frequencies m, of |u'| / |u|, times the part of the ball that the cells of the points cover (at most 1; a
    neighbourhood with half the points must weigh each of them twice). A disc cut off by a boundary is matched to the whole
    disc: the signal is continued over the edge as a polynomial of degree D', lower where too little is known for that.

    Args:
        log: (E, d) log maps in the frame of the target.
        weight: (E,) area[q] / (volume of the flat ball of radius[p]).
        radius: (N,) positive.
        edge_index: (2, E), targets in row 1.
        profile: module r (e,) in [0, 1] -> (e, B), zero beyond 1; the table is differentiable in its parameters. An
            attribute `breakpoints` (numbers in (0, 1)), if any, says where it is not smooth.
        max_frequency: largest frequency F of the harmonics.
        area: (N,) for the weight of the centre; without it the mean weight of the neighbours (1 if there are none).
        curvature: (N,) sectional curvature; averaged over the neighbourhood with the weights, since that of a mesh is
            concentrated at vertices, and |K| radius^2 is cut at pi^2. None: flat.
        degree: D from 0 to 8, or None for plain area weights.
        max_amplification: bound on the growth of the coefficients, and so of the noise of the signal. Positive.

    Returns:
        edge (E, J) and node (N, J) in the dtype of `log`, computed in float64; column j = b Y + y. Nodes without
        neighbours are matched to degree 0 by their centre.

    Raises:
        ValueError, TypeError: arguments of wrong shape, dtype or range.
    """
    found = match_moments(
        log,
        weight,
        radius,
        edge_index,
        profile,
        max_frequency,
        area=area,
        curvature=curvature,
        degree=degree,
        max_amplification=max_amplification,
    )
    return found.edge, found.node


def match_moments(
    log: Tensor,
    weight: Tensor,
    radius: Tensor,
    edge_index: Tensor,
    profile: nn.Module,
    max_frequency: int,
    *,
    area: Tensor | None = None,
    curvature: Tensor | None = None,
    degree: int | None = 3,
    max_amplification: float = 1.5,
) -> Quadrature:
    """:func:`coefficient_table` with the degree and the amplification of every node; the same arguments."""
    _check_arguments(log, weight, radius, edge_index, area, curvature, max_frequency, degree, max_amplification)
    dim, dtype, num_nodes = log.shape[1], log.dtype, radius.shape[0]
    log, weight, radius = log.double(), weight.double(), radius.double()
    source, target = edge_index
    order = None
    if not torch.compiler.is_compiling() and target.numel() and bool((target[1:] < target[:-1]).any()):
        order = torch.argsort(target, stable=True)
        log, weight, source, target = log[order], weight[order], source[order], target[order]
    count = torch.bincount(target, minlength=num_nodes)
    first = torch.cumsum(count, 0) - count
    centre = centre_weight(weight, radius, target, count, area, dim)
    kappa = _scaled_curvature(curvature, weight, centre, radius, source, target)
    at_centre = profile_values(profile, log.new_zeros(1))
    moments = None if degree is None else radial_moments(profile, dim, degree, log.device)

    tensors = log, weight, radius, area, curvature, at_centre
    if builder.supported(dtype, *tensors):
        limits = max_amplification, _MAX_CONDITION
        options = profile, moments, max_frequency, degree, limits, dtype
        whole = Quadrature(*builder.build(log, weight, centre, kappa, radius, target, *options))
        return whole if order is None else whole._replace(edge=torch.zeros_like(whole.edge).index_copy(0, order, whole.edge))
    # Without gradients the pieces go to their place at once: kept apart, they would scatter over the memory of a large graph.
    parts: list[Quadrature] = []
    columns = at_centre.shape[1] * len(harmonic_frequencies(dim, max_frequency))
    whole = Quadrature(
        log.new_empty(target.numel(), columns, dtype=dtype),
        log.new_empty(num_nodes, columns, dtype=dtype),
        torch.empty_like(count),
        torch.empty_like(radius),
        torch.empty_like(radius),
    )
    for start, stop, low, high in _chunks(count, columns):
        row = target[low:high] - start
        slot = torch.arange(low, high, device=log.device) - first[start:stop][row] + 1
        x = log[low:high] / radius[start:stop][row, None]
        here = centre[start:stop]
        values, polynomials = _at_points(x, profile, at_centre, max_frequency, degree)
        w = _pad(weight[low:high], here, row, slot)
        plain = w[:, :, None] * _pad(values[:-1], values[-1:].expand(len(here), -1), row, slot)
        if degree is None or moments is None:
            table, chosen = plain, torch.full_like(count[start:stop], -1)
            fraction, growth = torch.zeros_like(here), torch.ones_like(here)
        else:
            goal = kernel_moments(moments, kappa[start:stop], dim, max_frequency, degree)
            points = _pad(polynomials[:-1], polynomials[-1:].expand(len(here), -1), row, slot)
            volume = ball_volume(kappa[start:stop], dim)
            table, chosen, fraction, growth = _match(
                plain, w, points, goal, volume, dim, max_frequency, degree, max_amplification
            )
        part = Quadrature(table[row, slot].to(dtype), table[:, 0].to(dtype), chosen, fraction.detach(), growth)
        if table.requires_grad:
            parts.append(part)
            continue
        for result, value, rows in zip(whole, part, [slice(low, high), *[slice(start, stop)] * 4]):
            result[rows] = value
    found = Quadrature(*(torch.cat(t) for t in zip(*parts))) if parts else whole
    return found if order is None else found._replace(edge=torch.zeros_like(found.edge).index_copy(0, order, found.edge))


def _at_points(x: Tensor, profile: nn.Module, at_centre: Tensor, max_frequency: int, degree: int | None):
    """Kernels (e + 1, J) and polynomials (e + 1, M) at the neighbours and, last, at the centre."""
    dim = x.shape[1]
    zero = x.new_zeros(1, dim)
    r = torch.cat([torch.linalg.vector_norm(x, dim=-1), zero[:, 0]])
    y = torch.cat([harmonics(t, max(max_frequency, degree or 0)) for t in (x, zero)])
    radial = torch.cat([profile_values(profile, r[:-1]), at_centre]) if len(x) else at_centre
    num_y = len(harmonic_frequencies(dim, max_frequency))
    values = (radial[:, :, None] * y[:, None, :num_y]).flatten(1)
    return values, None if degree is None else polynomial_basis(dim, degree).to(x.device)(r, y)


def _pad(at_edges: Tensor, at_centre: Tensor, row: Tensor, slot: Tensor) -> Tensor:
    """(e, ...) and (n, ...) -> (n, K, ...): slot 0 is the centre, then the neighbours, then zeros."""
    width = int(slot.max()) + 1 if slot.numel() else 1
    rest = at_edges.shape[1:]
    neighbours = at_edges.new_zeros(at_centre.shape[0], width - 1, *rest).index_put((row, slot - 1), at_edges)
    return torch.cat([at_centre.unsqueeze(1), neighbours], 1)


def _match(plain, weight, points, goal, volume, dim: int, max_frequency: int, degree: int, bound: float):
    """Table (n, K, J), degree, fraction and amplification (n,) from the plain table (n, K, J).

    weight: (n, K). points: (n, K, M) polynomials. goal: (n, M, J). volume: (n,) of the curved ball.
    """
    block = polynomial_basis(dim, degree).degree.to(plain.device)
    weighted = weight[:, :, None] * points
    gram = weighted.transpose(1, 2) @ points
    lack = goal - points.transpose(1, 2) @ plain
    coverage = (weight.sum(1) / volume).clamp(max=1)
    before = _inner(plain, plain, dim, max_frequency)
    before = before + 1e-20 * before.sum(1, keepdim=True)  # a frequency that is zero to rounding stays so
    limit = ((bound / coverage)[:, None] ** 2 * before).nan_to_num(nan=torch.inf, posinf=torch.inf)
    with torch.no_grad():
        solvable = _solvable(gram, block, degree)
        directions, residual = _whiten(gram, weighted, lack, block, solvable)
        table, chosen = plain, torch.full_like(solvable, -1)
        for d in range(degree + 1):
            part = block == d
            table = table + directions[:, :, part] @ residual[:, part]
            accepted = (_inner(table, table, dim, max_frequency) <= limit).all(1) & (solvable >= d)
            chosen = torch.where(accepted, d, chosen)
        further = torch.minimum(chosen + 1, solvable)
    directions, residual = _whiten(gram, weighted, lack, block, further)
    whole = (block[None] <= chosen[:, None])[:, None].to(plain.dtype)
    table, fraction = plain + (directions * whole) @ residual, torch.zeros_like(coverage)
    if bool((further > chosen).any()):
        step = (directions * (1 - whole)) @ residual
        square, mixed, length = (_inner(a, b, dim, max_frequency) for a, b in ((table, table), (table, step), (step, step)))
        longest = _longest_step(square, mixed, length, limit)
        fraction = torch.where(further > chosen, longest, 0)
        table = table + fraction[:, None, None] * step
    with torch.no_grad():
        ratio = (_inner(table, table, dim, max_frequency) / before).nan_to_num(nan=0.0, posinf=torch.inf)
        growth = torch.where((chosen < 0) & (fraction == 0), 1, coverage * ratio.amax(1).sqrt())
    return table, chosen, fraction, growth


def _longest_step(square: Tensor, mixed: Tensor, step: Tensor, limit: Tensor) -> Tensor:
    """(n,) largest t in [0, 1] with |a + t b|^2 <= limit in all columns, from (n, F + 1) a.a, a.b, b.b; 0 if a is too long."""
    room = (limit - square).clamp(min=0)
    under = mixed**2 + step * room
    root = torch.where(under > 0, under, 1).sqrt() * (under > 0)
    down = mixed < 0  # two forms of the root of the quadratic, each without cancellation
    above = torch.where(down, root - mixed, room)
    below = torch.where(down, step, root + mixed)
    t = torch.where(below > 0, above / torch.where(below > 0, below, 1), 1)
    return torch.where((square <= limit).all(1), t.amin(1).clamp(0, 1), 0)


def _whiten(gram: Tensor, weighted: Tensor, lack: Tensor, block: Tensor, degree: Tensor) -> tuple[Tensor, Tensor]:
    """w times discrete orthonormal polynomials (n, K, M), and the missing moments in them; zero above the node's degree.

    With gram = L L^T the leading columns of P L^-T span the polynomials of every lower degree: one factor serves all.
    """
    keep = (block[None] <= degree[:, None]).to(gram.dtype)
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    lower = torch.linalg.cholesky(gram * keep[:, :, None] * keep[:, None, :] + identity * (1 - keep)[:, None, :])
    directions = torch.linalg.solve_triangular(lower, (weighted * keep[:, None, :]).transpose(1, 2), upper=False)
    residual = torch.linalg.solve_triangular(lower, lack * keep[:, :, None], upper=False)
    return directions.transpose(1, 2), residual


def _solvable(gram: Tensor, block: Tensor, degree: int) -> Tensor:
    """(n,) largest degree whose moments are independent at the points, by eigenvalues, which no frame changes."""
    best = torch.full(gram.shape[:1], -1, dtype=torch.long, device=gram.device)
    for d in range(degree + 1):
        size = int((block <= d).sum())
        values = torch.linalg.eigvalsh(gram[:, :size, :size])
        good = (values[:, 0] > 0) & (values[:, 0] * _MAX_CONDITION >= values[:, -1])
        best = torch.where(good & (best == d - 1), d, best)
    return best


def _inner(a: Tensor, b: Tensor, dim: int, max_frequency: int) -> Tensor:
    """(n, F + 1) inner products of two tables over the coefficients of each frequency: the same in every frame."""
    frequency = harmonic_frequencies(dim, max_frequency).to(a.device)
    columns = (a * b).sum(1).view(a.shape[0], -1, len(frequency)).sum(1)
    return columns.new_zeros(a.shape[0], max_frequency + 1).index_add(1, frequency, columns)


def centre_weight(weight: Tensor, radius: Tensor, target: Tensor, count: Tensor, area: Tensor | None, dim: int) -> Tensor:
    """(N,) quadrature weight of the centre itself."""
    if area is not None:
        unit_ball = (2, torch.pi, 4 / 3 * torch.pi)[dim - 1]
        return area.double() / (unit_ball * radius**dim)
    total = torch.zeros_like(radius).index_add(0, target, weight)
    return torch.where(count > 0, total / count.clamp(min=1), 1.0)


def _scaled_curvature(curvature, weight: Tensor, centre: Tensor, radius: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """(N,) K radius^2, with K averaged over the neighbourhood, within the range of the area element."""
    if curvature is None:
        return torch.zeros_like(radius)
    curvature = curvature.double()
    total = (centre * curvature).index_add(0, target, weight * curvature[source])
    mass = centre.index_add(0, target, weight)
    mean = torch.where(mass > 0, total / torch.where(mass > 0, mass, 1), curvature)
    return (mean * radius**2).clamp(-MAX_CURVATURE, MAX_CURVATURE)


def _chunks(count: Tensor, columns: int) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of nodes and of their edges, small enough for memory: (start, stop, first edge, last edge + 1)."""
    start = low = width = edges = 0
    for node, degree in enumerate(count.tolist()):
        widest = max(width, degree + 1)
        if node > start and (node - start + 1) * widest * columns > _CHUNK_ENTRIES:
            yield start, node, low, low + edges
            start, low, widest, edges = node, low + edges, degree + 1, 0
        width, edges = widest, edges + degree
    if count.numel() > start:
        yield start, count.numel(), low, low + edges


def _check_arguments(log, weight, radius, edge_index, area, curvature, max_frequency, degree, max_amplification) -> None:
    if log.ndim != 2 or log.shape[1] not in (1, 2, 3) or not log.is_floating_point():
        raise ValueError(f"log expected floating point of shape (E, 1), (E, 2) or (E, 3), got {log.dtype} {tuple(log.shape)}")
    num_edges, num_nodes = log.shape[0], radius.shape[0]
    expected = {"weight": (weight, (num_edges,)), "radius": (radius, (num_nodes,)), "edge_index": (edge_index, (2, num_edges))}
    expected |= {"area": (area, (num_nodes,)), "curvature": (curvature, (num_nodes,))}
    for name, (value, shape) in expected.items():
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(f"{name} expected shape {shape}, got {tuple(value.shape)}")
    if edge_index.dtype != torch.long:
        raise TypeError(f"edge_index must be int64, got {edge_index.dtype}")
    if not torch.compiler.is_compiling():  # a compiler does not see values
        if num_edges and not (int(edge_index.min()) >= 0 and int(edge_index.max()) < num_nodes):
            raise ValueError(f"edge_index must lie in 0..{num_nodes - 1}")
        if not bool((radius > 0).all()):
            raise ValueError("radius must be positive")
    if isinstance(max_frequency, bool) or not isinstance(max_frequency, int) or max_frequency < 0:
        raise ValueError(f"max_frequency must be an integer >= 0, got {max_frequency!r}")
    if degree is not None and (isinstance(degree, bool) or not isinstance(degree, int) or not 0 <= degree <= MAX_DEGREE):
        raise ValueError(f"degree must be None or an integer from 0 to {MAX_DEGREE}, got {degree!r}")
    if not max_amplification > 0:
        raise ValueError(f"max_amplification must be positive, got {max_amplification!r}")
