"""Convolutions of irreps on the GPU whose combinations never leave the chip: tables for the kernel, and its launch.

Not what "auto" takes: which of the two loops is faster on a GPU has not been measured.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from ..mixing import Layout, kept_with
from ..plan import EdgeList
from ..precision import WORKING
from . import driver as cuda

# Nodes to a program, and at most so many combinations, combinations x channels and columns of the result at a time.
_NODES, _COMBINATIONS, _INNER, _COLUMNS = 16, 16, 128, 128
# Parts of the result that a program makes from one pass over the edges.
_PARTS = 4


def supported(x: Tensor, *layouts: Layout) -> bool:
    """Whether the loop takes these features: where :mod:`gaugenet.ops.cuda.driver` does, irreps alone, in at most 32 bits."""
    irreps = not any(layout.permutations.numel() for layout in layouts)
    return irreps and x.itemsize <= 4 and cuda.supported(x, *layouts)


def convolve(x: Tensor, bias: Tensor, weight: Tensor, edges: EdgeList, layout: Layout) -> Tensor:
    """(N, D) -> (N, D_out); see :func:`gaugenet.ops.operator.convolve`."""
    import triton
    import triton.language as tl

    from . import kernels as cuda_kernels

    x, columns = x.contiguous(), edges.node_table.shape[1]
    runs, parts, terms, factors, channels, wide = _tables(layout, columns, x.device)
    count = min(_PARTS, len(parts))
    out = x.new_empty(x.shape[0], bias.shape[0])
    turn, det, table, node_table = (t.contiguous() for t in (edges.turn, edges.det, edges.table, edges.node_table))
    cuda_kernels.mix_on_chip[(triton.cdiv(x.shape[0], _NODES), len(parts) // count)](
        x,
        edges.rowptr,
        edges.source,
        turn,
        det,
        table,
        node_table,
        runs,
        parts,
        terms,
        factors,
        weight.to(x.dtype).contiguous(),
        bias.contiguous(),
        out,
        x.shape[0],
        node_table.shape[0],
        x.shape[1],
        columns,
        bias.shape[0],
        len(runs),
        NODES=_NODES,
        CHANNELS=channels,
        COMBINATIONS=terms.shape[2],
        COLUMNS=wide,
        PARTS=count,
        REFLECTS=det.numel() > 0,
        # Triton's interpreter takes the bits of a bfloat16 for an integer.
        PRODUCT=getattr(tl, str(x.dtype).removeprefix("torch.")) if x.is_cuda else tl.float32,
        # Three products of TF32 have the accuracy of one in float32; for 16 bits it says nothing.
        PRECISION="tf32x3",
        num_warps=8,
    )
    return out


def convolve_backward(
    grad: Tensor, x: Tensor, weight: Tensor, edges: EdgeList, layout: Layout, need_x: bool, need_w: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the weight; the latter needs the combinations of all nodes, in memory."""
    if need_w or not need_x:
        return cuda.convolve_backward(grad, x, weight, edges, layout, need_x, need_w)
    return convolve(grad, grad.new_zeros(layout.width), weight, edges, layout), x.new_empty(0, dtype=WORKING[x.dtype])


def _tables(layout: Layout, columns: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
    """Runs (S, 6), parts (P, 5), terms, factors, channels to a run and columns to a part: made once, and kept on the device."""

    def make() -> tuple[Tensor, Tensor, Tensor, Tensor, int, int]:
        import triton

        runs, parts, terms, factors, channels = tables(layout, columns)
        wide = max(16, min(_COLUMNS, triton.next_power_of_2(max(part[1] for part in parts))))
        rows = (torch.tensor(r, dtype=torch.int64, device="cpu").reshape(-1, n) for r, n in ((runs, 6), (parts, 5)))
        return *(t.to(device) for t in (*rows, terms, factors)), channels, wide

    return kept_with(layout.blocks, ("on chip", columns, device, _NODES, _COMBINATIONS, _INNER, _COLUMNS, _PARTS), make)


def tables(layout: Layout, columns: int) -> tuple[list, list, Tensor, Tensor, int]:
    """Runs and parts of :func:`gaugenet.ops.cuda.kernels.mix_on_chip`, its terms and factors, and channels to a run.

    A run is one block of the input, so many of its channels and so many of the combinations made of it; a part is so many
    columns of one block of the result. Empty parts fill the last program.
    """
    import triton

    groups, blocks = layout.groups.tolist(), layout.blocks.tolist()
    pairs = _combinations(layout, columns)
    parts, group_of = [], []
    for number, (_, _, to, wide, offset) in enumerate(groups):
        for start in range(0, wide, _COLUMNS):
            parts.append((start, min(_COLUMNS, wide - start), wide, offset, to + start))
            group_of.append(number)
    most = max((len(found) for found in pairs.values()), default=1)
    room = min(_COMBINATIONS, triton.next_power_of_2(most))
    widest = max((mul for _, _, mul, _, _ in blocks), default=1)
    channels = max(16, triton.next_power_of_2(min(_INNER // room, widest)))
    runs, rows = [], []
    for block, (kind, order, mul, first, dim) in enumerate(blocks):
        for neighbours in (1, 0):
            longest = max((len(pairs.get((block, g, neighbours), ())) for g in range(len(groups))), default=0)
            for begin, channel in product(range(0, longest, room), range(0, mul, channels)):
                a = first + channel
                runs.append((kind, order, a, a + mul * (dim - 1), min(channels, mul - channel), neighbours))
                rows.append((block, neighbours, begin, channel))
    fill = -len(parts) % min(_PARTS, len(parts))
    parts, group_of = parts + [(0, 0, 0, 0, 0)] * fill, group_of + [-1] * fill
    nothing = (-1, (0, 0), (0.0, 0.0))
    columns_of, factors_of = [], []
    for block, neighbours, begin, channel in rows:
        for group in group_of:
            found = pairs.get((block, group, neighbours), [])[begin : begin + room]
            for row, j, factor in found + [nothing] * (room - len(found)):
                columns_of.append((*j, row + channel if row >= 0 else -1))
                factors_of.append(factor)
    shape = len(runs), len(parts), room
    terms = torch.tensor(columns_of, dtype=torch.int64, device="cpu").view(*shape, 3)
    factors = torch.tensor(factors_of, dtype=torch.float32, device="cpu").view(*shape, 2)
    return runs, parts, terms, factors, channels


def _combinations(layout: Layout, columns: int) -> dict[tuple[int, int, int], list]:
    """(block of the input, group, whether of neighbours): [(row of the matrix, columns (2,) of the table, factors (2,))]."""
    found: dict[tuple[int, int, int], dict] = {}
    starts = {number: first for number, (first, size, *_) in enumerate(layout.groups.tolist()) if size}
    blocks = layout.blocks.tolist()
    for (z, ja, ca, jb, cb, mul, _), two in zip(layout.entries.tolist(), layout.factors.tolist()):
        group = max(number for number, first in starts.items() if first <= z)
        for j, c, factor in ((ja, ca, two[0]), (jb, cb, two[1])):
            if not factor:
                continue
            block = next(n for n, (_, _, own, first, dim) in enumerate(blocks) if first <= c < first + own * dim)
            place = found.setdefault((block, group, int(j < columns)), {}).setdefault(z - starts[group], ([0, 0], [0.0, 0.0]))
            component = (c - blocks[block][3]) // mul
            if place[1][component]:
                raise ValueError("the kernel on the chip takes one term for a component of a combination")
            place[0][component], place[1][component] = j, factor
    return {key: [(row, *pair) for row, pair in sorted(value.items())] for key, value in found.items()}
