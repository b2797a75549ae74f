"""Driver of the GPU loop: the fused aggregation in chunks of nodes, combinations and matrix products after each chunk."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..mixing import FLIP, PERMUTE, ROTATE, Layout, kept_with
from ..plan import EdgeList
from ..precision import WORKING

if TYPE_CHECKING:
    from ..carrying import Carrier

# The sums of a chunk of nodes take this part of the memory of a GPU: a million nodes are few launches, and the rest is the
# network's.
_MEMORY_SHARE = 64
# Channels to a piece, and numbers that a warp of threads holds.
_CHANNELS, _WARP = 64, 512
# Nodes and combinations to a program of `combine`.
_NODES, _RESULTS = 8, 128
_TRITON = importlib.util.find_spec("triton") is not None


class Tables(NamedTuple):
    """What the kernels read of a layout, on their device.

    Attributes:
        pieces, inverses: see :func:`pieces`. channels: of the widest piece.
        places, factors: (T, Z) the terms of every combination.
    """

    pieces: Tensor
    inverses: Tensor
    channels: int
    places: Tensor
    factors: Tensor


def supported(x: Tensor, *layouts: Layout | Carrier) -> bool:
    """Whether the loop takes these features: on a GPU, or anywhere under Triton's interpreter (TRITON_INTERPRET=1)."""
    here = x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return _TRITON and here and x.dtype in WORKING and all(layout.special for layout in layouts)


def convolve(x: Tensor, bias: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """(N, D) -> (N, D_out); see :func:`gaugenet.ops.operator.convolve`."""
    out = x.new_empty(x.shape[0], bias.shape[0])
    matrices, biases = layout.matrices(weight.to(x.dtype)), bias.to(x.dtype).split([n for _, n in layout.shapes])
    for start, stop, reduced in _chunks(x, edges, layout):
        parts = reduced.split(layout.sizes, 1), out[start:stop].split([n for _, n in layout.shapes], 1)
        for own, matrix, part, to in zip(biases, matrices, *parts):
            torch.addmm(own, part, matrix, out=to)
    return out


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the weight, from one aggregate of ``grad`` over the transposed edges."""
    grad_x = x.new_empty(x.shape if need_x else (0, x.shape[1]))
    grad_w = torch.zeros(weight.numel() if need_w else 0, dtype=WORKING[x.dtype], device=x.device)
    matrices, widths = layout.matrices(weight.to(x.dtype)), [n for _, n in layout.shapes]
    grads = layout.matrices(grad_w) if need_w else []
    for start, stop, reduced in _chunks(grad, edges, layout):
        parts = reduced.split(layout.sizes, 1)
        if need_x:
            for part, matrix, to in zip(parts, matrices, grad_x[start:stop].split(widths, 1)):
                torch.mm(part, matrix, out=to)
        if need_w:
            for total, part, features in zip(grads, parts, x[start:stop].split(widths, 1)):
                total += part.T @ features
    return grad_x, grad_w


def carry_sum(x: Tensor, copies: int, edges: EdgeList, blocks: Tensor, permutations: Tensor) -> Tensor:
    """(B N, D) -> (B M, D); see :func:`gaugenet.ops.carrying.carry_sum`. One program a target: no atomic additions."""
    nodes = edges.rowptr.numel() - 1
    out = x.new_empty(copies * nodes, 1, x.shape[1])
    tables = _carried_tables(blocks, permutations, x.device)
    _aggregate(x.contiguous(), edges, tables, out, 0, nodes, x.shape[0] // copies)
    return out.squeeze(1)


def pieces(blocks: Tensor, permutations: Tensor) -> tuple[list[tuple[int, ...]], Tensor]:
    """What the programs of a node do, two parts of at most 64 channels each, and the inverse permutations.

    A row is kind, order, first columns a and b of the parts, columns of their results, channels of each, places (of
    permutations where the component stands in the inverses, of signs where those of the elements do), of permutations
    the stride between components, dim. The parts are the components of what is rotated; of other blocks any two, the
    second empty where none is left.
    """
    rows: list[tuple[int, ...]] = []
    inverses = permutations.clone()
    kinds = blocks.tolist()
    for kind, order, mul, first, dim in kinds:
        if kind == PERMUTE:
            later = [o for k, o, *_ in kinds if k in (PERMUTE, FLIP) and o > order]
            table = permutations[order : min(later, default=permutations.numel())].view(-1, dim)
            inverses[order : order + table.numel()] = table.argsort(1).reshape(-1)
        channels = [(first + k, min(_CHANNELS, mul - k)) for k in range(0, mul, _CHANNELS)]
        if kind == ROTATE:
            rows += [(kind, order, at, at + mul, at, at + mul, count, count, 0, 0, 0, dim) for at, count in channels]
            continue
        parts = [(at, count, component) for component in range(dim) for at, count in channels]
        for (a, m, i), (b, n, k) in zip(parts[::2], [*parts[1::2], (first, 0, 0)]):
            here, there = (0, 0) if kind == PERMUTE else (i * mul, k * mul)
            place = (order + i, order + k) if kind == PERMUTE else (order, order)
            rows.append((kind, order, a + here, b + there, a + i * mul, b + k * mul, m, n, *place, mul, dim))
    return rows, inverses


def terms(layout: Layout) -> tuple[Tensor, Tensor]:
    """The combinations of the sums as places in a row of them and factors, (T, Z) each, T the most terms of one."""
    z, *places = layout.columns
    results, count = sum(layout.sizes), z.numel()
    order = torch.argsort(z.repeat(2), stable=True)
    z, place, factor = (t[order] for t in (z.repeat(2), torch.cat(places), layout.column_factors.flatten()))
    used = factor != 0
    z, place, factor = z[used], place[used], factor[used]
    number = torch.bincount(z, minlength=results)
    term = torch.arange(z.numel(), device="cpu") - (number.cumsum(0) - number)[z]
    most = max(int(number.max()), 1) if count else 1
    all_places = torch.zeros(most, results, dtype=torch.int64, device="cpu").index_put((term, z), place)
    return all_places, torch.zeros(most, results, dtype=torch.float64, device="cpu").index_put((term, z), factor)


def chunk_bytes(device: torch.device) -> int:
    """Bytes of the sums that are held at a time: of the environment variable GAUGENET_CHUNK_BYTES, or by the memory there is.

    Raises:
        ValueError: the variable is no positive integer.
    """
    given = os.environ.get("GAUGENET_CHUNK_BYTES", "")
    if given:
        if not given.isdecimal() or not int(given):
            raise ValueError(f"GAUGENET_CHUNK_BYTES expected a positive number of bytes, got {given!r}")
        return int(given)
    if device.type != "cuda":
        return 1 << 28
    return torch.cuda.get_device_properties(device).total_memory // _MEMORY_SHARE


def _carried_tables(blocks: Tensor, permutations: Tensor, device: torch.device) -> tuple[Tensor, Tensor, int]:
    """Pieces, inverses and channels of the widest piece."""

    def make() -> tuple[Tensor, Tensor, int]:
        import triton

        rows, inverses = pieces(blocks, permutations)
        channels = triton.next_power_of_2(max((max(row[6:8]) for row in rows), default=1))
        return _placed(rows, 12).to(device), inverses.to(device, torch.int32), channels

    return kept_with(blocks, ("pieces", device, _CHANNELS), make)


def _placed(rows: list[tuple[int, ...]], width: int) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32, device="cpu").reshape(-1, width)


def _tables(layout: Layout, device: torch.device, working: torch.dtype) -> Tables:
    def make() -> Tables:
        places, factors = terms(layout)
        carried = _carried_tables(layout.blocks, layout.permutations, device)
        return Tables(*carried, places.to(device, torch.int32), factors.to(device, working))

    return kept_with(layout.blocks, ("tables", device, working, _CHANNELS), make)


def _chunks(x: Tensor, edges: EdgeList, layout: Layout) -> Iterator[tuple[int, int, Tensor]]:
    """(start, stop, combinations (stop - start, Z) in the dtype of x) over all nodes."""
    import triton

    from . import kernels as cuda_kernels

    x, working = x.contiguous(), WORKING[x.dtype]
    tables = _tables(layout, x.device, working)
    (num_nodes, width), (nodes, columns) = x.shape, edges.node_table.shape
    most, results = tables.places.shape
    step = min(max(64, chunk_bytes(x.device) // ((columns + 1) * width * working.itemsize or 1)), num_nodes)
    sums = x.new_empty(step, columns + 1, width, dtype=working)
    reduced = x.new_empty(step, results)
    for start in range(0, num_nodes, step or 1):
        count = min(step, num_nodes - start)
        _aggregate(x, edges, tables[:3], sums[:count], start, nodes, nodes)
        if results:
            cuda_kernels.combine[(triton.cdiv(count, _NODES), triton.cdiv(results, _RESULTS))](
                sums,
                tables.places,
                tables.factors,
                reduced,
                count,
                (columns + 1) * width,
                results,
                TERMS=most,
                NODES=_NODES,
                RESULTS=_RESULTS,
                WORKING=_dtype(working),
            )
        yield start, start + count, reduced[:count]


def _aggregate(
    x: Tensor, edges: EdgeList, tables: tuple[Tensor, Tensor, int], out: Tensor, start: int, nodes: int, sources: int
) -> None:
    """The sums of the nodes from ``start`` on, as many as ``out`` has: with the centres where the edges have a node table."""
    import triton

    from . import kernels as cuda_kernels

    rows, inverses, channels = tables
    if not out.numel():
        return
    working, columns = WORKING[x.dtype], edges.table.shape[1]
    first = 1 << max(columns.bit_length() - 1, 0)
    rest = triton.next_power_of_2(columns - first) if columns > first else 0
    centres = edges.node_table.shape[0] > 0
    turn, det, table, node_table = (t.contiguous() for t in (edges.turn, edges.det, edges.table, edges.node_table))
    arguments = x, edges.rowptr, edges.source, turn, det, edges.element, table, node_table, rows, inverses, out
    kernel, options = cuda_kernels.aggregate, {}
    if os.environ.get("GAUGENET_AUTOTUNE") == "1" and x.is_cuda:
        kernel = cuda_kernels.tuned_aggregate
    else:
        options["num_warps"] = min(8, triton.next_power_of_2(max(1, 2 * (first + rest) * channels // _WARP)))
    kernel[(out.shape[0], rows.shape[0])](
        *arguments,
        start,
        nodes,
        sources,
        x.shape[1],
        columns,
        FIRST=first,
        REST=rest,
        CHANNELS=channels,
        REFLECTS=det.numel() > 0,
        CENTRES=centres,
        WORKING=_dtype(working),
        **options,
    )


def _dtype(dtype: torch.dtype) -> Any:
    """Triton's name of it."""
    import triton.language as tl

    return getattr(tl, str(dtype).removeprefix("torch."))
