"""The moment-matched table by compiled code: on the CPU, where nobody asks for gradients."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from ...ops.backend import transformed
from ...ops.cpu.driver import HAS_NUMBA
from ..harmonics import harmonic_frequencies, harmonics
from .moments import area_element_series, flat_moment_series, polynomial_basis, profile_values, volume_series

# Edges whose profile is evaluated at a time, which should stay in the cache.
_EDGES = 1 << 14
# Nodes to a slice, of which each thread takes the next.
_NODES = 128


def supported(dtype: torch.dtype, *tensors: Tensor | None) -> bool:
    """Whether compiled code may make the table from these tensors, in this dtype."""
    if not HAS_NUMBA or torch.compiler.is_compiling() or transformed() or dtype not in (torch.float32, torch.float64):
        return False
    given = [t for t in tensors if t is not None]
    plain = all(type(t) in (Tensor, nn.Parameter) and t.device.type == "cpu" for t in given)
    return plain and not (torch.is_grad_enabled() and any(t.requires_grad for t in given))


def as_numpy(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The arrays of tensors, as compiled code takes them."""
    return tuple(t.detach().contiguous().numpy() for t in tensors)


def build(
    log: Tensor,
    weight: Tensor,
    centre: Tensor,
    kappa: Tensor,
    radius: Tensor,
    target: Tensor,
    profile: nn.Module,
    moments: Tensor | None,
    max_frequency: int,
    degree: int | None,
    limits: tuple[float, float],
    dtype: torch.dtype,
) -> tuple[Tensor, ...]:
    """The fields of a :class:`~gaugenet.kernels.quadrature.matching.Quadrature`, of edges that are sorted by their targets.

    Args:
        log (E, d), weight (E,), centre (N,), kappa (N,), radius (N,): float64. target: (E,).
        moments: of :func:`~gaugenet.kernels.quadrature.moments.radial_moments`, None for plain area weights.
        limits: largest amplification, and largest condition number of moments that are matched.
        dtype: of the table, float32 or float64.
    """
    dim, num_nodes = log.shape[1], radius.shape[0]
    rule = _rule(moments, dim, max_frequency, degree, limits)
    num_radial = profile_values(profile, log.new_zeros(1)).shape[1]
    columns = num_radial * rule.frequency.size
    results = [torch.empty(n, columns, dtype=dtype, device="cpu") for n in (log.shape[0], num_nodes)]
    scalars = [torch.empty(num_nodes, dtype=t, device="cpu") for t in (torch.int64, torch.float64, torch.float64)]
    unused = [torch.empty(0, columns, dtype=t, device="cpu") for t in (torch.float32, torch.float64) for _ in range(2)]
    tables = [*results, *unused[2:]] if dtype == torch.float32 else [*unused[:2], *results]
    rowptr = torch.searchsorted(target, torch.arange(num_nodes + 1, device="cpu"))
    largest = max(max_frequency, degree or 0)  # of the harmonics that the rule asks for
    for start, stop in _chunks(rowptr.numpy()):
        low, high = int(rowptr[start]), int(rowptr[stop])
        x = log.new_zeros(high - low + 1, dim)  # the last is a centre
        torch.div(log[low:high], radius[target[low:high], None], out=x[:-1])
        r = torch.linalg.vector_norm(x, dim=1)
        values = x, r, profile_values(profile, r), x.new_zeros(0, 0) if dim == 2 else harmonics(x, largest)
        nodes, edges = slice(start, stop), slice(low, high)
        graph = rowptr[start : stop + 1] - low, weight[edges], centre[nodes], kappa[nodes]
        parts = [t[rows] for t, rows in zip(tables, (edges, nodes) * 2)]
        bounds = np.append(np.arange(0, stop - start, _NODES), stop - start)
        arguments = as_numpy(*graph), as_numpy(*values), rule, as_numpy(*parts, *(t[nodes] for t in scalars)), bounds
        _run(arguments, bounds.size - 1)
    return (*results, *scalars)


def _rule(moments: Tensor | None, dim: int, max_frequency: int, degree: int | None, limits: tuple[float, float]):
    from . import nodes

    frequency = harmonic_frequencies(dim, max_frequency).numpy()
    if degree is None or moments is None:
        nothing, sizes = np.zeros(0), np.zeros(1, np.int64)
        polynomials = nothing, sizes[:0], sizes, frequency, frequency.size
        return nodes.Rule(*polynomials, nothing[None], nothing, nothing, np.array(limits))
    basis = polynomial_basis(dim, degree)
    num_m, num_y = basis.degree.numel(), max(frequency.size, int(basis.harmonic.max()) + 1)
    polynomial = np.zeros((degree + 1, nodes.padded(num_m)))
    polynomial[:, :num_m] = basis.radial.T
    sizes = np.searchsorted(basis.degree.numpy(), np.arange(degree + 1), side="right")
    goal = flat_moment_series(moments, dim, max_frequency, degree).flatten(1)
    series = area_element_series(dim).abs().numpy()[1:]
    with np.errstate(divide="ignore"):  # on a line the series ends at once
        reach = (2.0**-60 / series) ** (1 / np.arange(1, 1 + series.size))
    polynomials = polynomial.ravel(), basis.harmonic.numpy(), sizes, frequency, num_y
    return nodes.Rule(*polynomials, goal.detach().numpy(), volume_series(dim).numpy(), reach, np.array(limits))


def _chunks(rowptr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of nodes with about ``_EDGES`` edges."""
    start, nodes = 0, len(rowptr) - 1
    while start < nodes:
        stop = int(np.searchsorted(rowptr, rowptr[start] + _EDGES, side="right")) - 1
        stop = min(max(stop, start + 1), start + _EDGES, nodes)
        yield start, stop
        start = stop


def _run(arguments: tuple, count: int) -> None:
    from ...ops.cpu import team
    from .nodes import match_nodes

    threads, fork = min(torch.get_num_threads(), count), team.fork_address()
    if threads == 1 or fork:
        failed = match_nodes(fork, threads, 0, count, arguments)
    else:  # no OpenMP to be had: threads of our own
        with ThreadPoolExecutor(threads) as own:
            failed = sum(own.map(lambda i: match_nodes(0, 1, i, i + 1, arguments), range(count)))
    if failed:
        raise MemoryError(f"moment matching found no memory for its work space ({failed} of {count} slices)")
