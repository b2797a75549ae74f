"""Convolution with one matrix a tap: gather the carried neighbours of some nodes, one product, the next nodes."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from ..fields import FieldType
from .cpu import driver as cpu
from .mixing import FLIP, OTHER, carried_blocks

BACKENDS = ("auto", "reference", "gather", "cpu")
# Bytes of the gathered neighbours held at a time: on the CPU they should stay in the cache between the gather and the product.
_CHUNK_BYTES = {"cpu": 1 << 20, "cuda": 1 << 28}
_PERMUTE, _MATRIX = 0, 1


class TapTable(NamedTuple):
    """Neighbours by tap, of all nodes.

    Attributes:
        neighbour: (N, T) int32, the node at each tap of each node; 0 where there is none.
        element: (N, T) int32, the transporter from it, numbered as the elements of the group.
        share: (N, T), what its feature is multiplied with: 0 where there is none.
    """

    neighbour: Tensor
    element: Tensor
    share: Tensor


class TapPlan(NamedTuple):
    """The taps of all nodes, and those of the reversed edges: None when two of them share a tap."""

    forward: TapTable
    backward: TapTable | None


class TapLayout(NamedTuple):
    """How the features of a type are carried, block by block, as plain tensors.

    Attributes:
        blocks: (K, 6) kind, first column, dim n, copies, offset in `permutations` or `matrices`, order of the group.
        permutations: for representations by permutations, which component goes to each, (order, n) a block.
        matrices: for others, the matrices, (order, n, n) a block.
        carried, moves: blocks and permutations as the fused loop wants them, see :class:`gaugenet.ops.Layout`.
        turns: (order, 3) cosine, sine and determinant of the elements; zeros and the determinant in space.
        special: whether every block has a path in the fused loop.
    """

    blocks: Tensor
    permutations: Tensor
    matrices: Tensor
    carried: Tensor
    moves: Tensor
    turns: Tensor
    special: bool = True

    @property
    def tensors(self) -> list[Tensor]:
        """All fields that are tensors, in order."""
        return list(self[:-1])

    @classmethod
    def of(cls, type: FieldType) -> TapLayout:
        rows, permutations, matrices = [], [], []
        for (mul, rep), columns in zip(type.blocks, type.slices):
            matrix = rep(type.group.elements)
            kind = _PERMUTE if rep.is_permutation else _MATRIX
            flat = matrix.argmax(-1).flatten() if kind == _PERMUTE else matrix.flatten()
            store = permutations if kind == _PERMUTE else matrices
            rows.append((kind, columns.start, rep.dim, mul, sum(part.numel() for part in store), len(matrix)))
            store.append(flat)
        none = [torch.zeros(0, dtype=dtype, device="cpu") for dtype in (torch.int64, torch.float64)]
        blocks = torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, 6)
        parts = blocks, torch.cat([none[0], *permutations]), torch.cat([none[1], *matrices])
        carried, moves = carried_blocks(type)
        for block, (_, rep) in zip(carried, type.blocks):
            if block[0] == OTHER and rep.dim == 1:
                block[0], block[1] = FLIP, moves.numel()
                moves = torch.cat([moves, rep(type.group.elements).flatten().round().to(moves)])
        elements = type.group.elements
        turn = elements[:, :2, 0] if type.group.dim == 2 else elements.new_zeros(len(elements), 2)
        turns = torch.cat([turn, torch.linalg.det(elements)[:, None].round()], 1)
        return cls(*parts, carried, moves, turns, bool((carried[:, 0] != OTHER).all()))


def make_tap_plan(
    edge_index: Tensor,
    tap: Tensor,
    element: Tensor,
    share: Tensor,
    num_nodes: int,
    centre: int | None,
    tables: tuple[Tensor, Tensor],
) -> TapPlan:
    r"""The tables of a graph whose edges have taps.

    A kernel with :math:`K(g x) = \rho_{out}(g) K(x) \rho_{in}(g)^{-1}` satisfies
    :math:`\rho_{in}(g)^T K(x)^T = K(g^{-1} x)^T \rho_{out}(g^{-1})`, so the backward pass is the convolution over the reversed
    edges with transporters g^-1 at the taps g^-1 x, and transposed matrices.

    Args:
        edge_index: (2, E), every pair (target, tap) once. tap: (E,). element: (E,) number of the transporter g. share: (E,).
        num_nodes: N. centre: the tap of the node itself, or None.
        tables: (order,) the number of g^-1, and (order, T) the tap g x_t.
    """
    source, target = edge_index
    inverse, moved = tables
    number, count = moved.shape[1], num_nodes * moved.shape[1]

    def table(here: Tensor, there: Tensor, tap: Tensor, element: Tensor) -> TapTable:
        place = here * number + tap
        neighbour, elements = torch.zeros(2, count, dtype=torch.int32, device=here.device)
        shares = share.new_zeros(count)
        neighbour[place], elements[place], shares[place] = there.int(), element.int(), share
        filled = TapTable(*(part.view(num_nodes, number) for part in (neighbour, elements, shares)))
        if centre is not None:
            filled.neighbour[:, centre] = torch.arange(num_nodes, dtype=torch.int32, device=here.device)
            filled.share[:, centre] = 1
        return filled

    back = inverse[element]
    place = source * number + moved[back, tap]
    alone = place.unique().numel() == place.numel()
    reverse = table(source, target, moved[back, tap], back) if alone else None
    return TapPlan(table(target, source, tap, element), reverse)


def tap_convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    types: tuple[FieldType, FieldType],
    layouts: tuple[TapLayout, TapLayout],
    plan: TapPlan,
    backend: str = "auto",
) -> Tensor:
    r"""out[p] = sum_t share_pt rho(g_pt) x[q_t(p)] @ weight[t] + b.

    Args:
        x: (N, D_in). weight: (T, D_in, D_out), steerable: the gathering backward pass relies on it. bias: (D_out,) or None.
        types: field types of x and of the result. layouts: :meth:`TapLayout.of` them. plan: of :func:`make_tap_plan`.
        backend: "cpu" (fused numba loop), "gather" (torch in chunks of nodes, any device), "reference" (plain torch,
            differentiable for any weight), or "auto", which the environment variable GAUGENET_BACKEND overrides.

    Returns:
        (N, D_out).

    Raises:
        ValueError: an unknown backend, one that cannot take these features, or another than "reference" for a plan without
            reversed edges.
    """
    if backend == "auto":
        wanted = os.environ.get("GAUGENET_BACKEND", "auto")
        backend = wanted if wanted in BACKENDS else "auto"
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    if plan.backward is None and backend not in ("auto", "reference"):
        raise ValueError(f"backend {backend!r} needs reversed edges with a tap each; here some share one: use 'reference'")
    fused = cpu.supported(x, *layouts)
    if backend == "cpu" and not fused:
        raise ValueError(
            f"backend 'cpu' takes irreps of planar groups, regular and quotient fields in floating point on the CPU; "
            f"got {x.dtype} on {x.device} and {types[0]} -> {types[1]}"
        )
    bias = x.new_zeros(weight.shape[2]) if bias is None else bias.to(x.dtype)
    if backend == "reference" or plan.backward is None:
        return _reference(x, weight, bias, types[0], plan.forward)
    tables = [*plan.forward, *plan.backward]
    second = weight.transpose(1, 2) if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad) else None
    second = weight.new_empty(0) if second is None else second.contiguous()
    loop = "cpu" if fused and backend != "gather" else "gather"
    return _convolve(x.contiguous(), weight.contiguous(), second, bias, tables, *(part.tensors for part in layouts), loop)


def _reference(x: Tensor, weight: Tensor, bias: Tensor, type: FieldType, table: TapTable) -> Tensor:
    """The definition."""
    elements = type.group.elements.to(x)[table.element.long()]
    rows = table.share.to(x.dtype)[..., None] * type.transform(elements, x[table.neighbour.long()])
    return torch.einsum("ntd,tdo->no", rows, weight) + bias


_FIELDS = len(TapTable._fields)


@torch.library.custom_op("gaugenet::tap_convolve", mutates_args=())
def _convolve(
    x: Tensor,
    weight: Tensor,
    transposed_weight: Tensor,
    bias: Tensor,
    tables: list[Tensor],
    layout: list[Tensor],
    out_layout: list[Tensor],
    loop: str,
) -> Tensor:
    """Gradients to the weight arrive at ``transposed_weight`` (T, D_out, D_in), made from the same parameters."""
    if loop == "cpu":
        return cpu.tap_convolve(x, weight, bias, tables[:_FIELDS], layout[3:])
    out = x.new_empty(x.shape[0], weight.shape[2])
    matrices = _by_block(weight, layout[0])
    for start, stop, parts in _gathered(x, TapTable(*tables[:_FIELDS]), TapLayout(*layout)):
        into = out[start:stop]
        for k, (rows, matrix) in enumerate(zip(parts, matrices)):
            torch.addmm(into if k else bias, rows, matrix, out=into)
        if not matrices:
            into.copy_(bias.expand_as(into))
    return out


@_convolve.register_fake
def _(x, weight, transposed_weight, bias, tables, layout, out_layout, loop):
    return x.new_empty(x.shape[0], bias.shape[0])


@torch.library.custom_op("gaugenet::tap_convolve_backward", mutates_args=())
def _convolve_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    tables: list[Tensor],
    layout: list[Tensor],
    need_x: bool,
    need_w: bool,
    loop: str,
) -> tuple[Tensor, Tensor]:
    """Gradients to the features and to the transposed weight (T, D_out, D_in); an empty tensor for one not needed."""
    if loop == "cpu":
        grad_x, grad_w = cpu.tap_convolve_backward(grad, x, weight, tables, layout[3:], need_x, need_w)
        return grad_x, grad_w.to(weight.dtype)
    grad_x = x.new_empty(x.shape if need_x else (0, x.shape[1]))
    matrices = _by_block(weight, layout[0])
    working = torch.promote_types(x.dtype, torch.float32)
    sums = [matrix.new_zeros(matrix.shape, dtype=working) for matrix in matrices] if need_w else []
    for start, stop, parts in _gathered(grad, TapTable(*tables), TapLayout(*layout)):
        for k, (rows, matrix) in enumerate(zip(parts, matrices)):
            if need_x:
                torch.mm(rows, matrix, out=grad_x[start:stop]) if k == 0 else grad_x[start:stop].addmm_(rows, matrix)
            if need_w and working == x.dtype:
                sums[k].addmm_(rows.t(), x[start:stop])
            elif need_w:
                sums[k] += rows.t() @ x[start:stop]
    if not matrices:
        grad_x.zero_()
    grad_w = _from_blocks(sums, weight, layout[0]) if need_w else weight.new_empty(0)
    return grad_x, grad_w


@_convolve_backward.register_fake
def _(grad, x, weight, tables, layout, need_x, need_w, loop):
    return x.new_empty(x.shape if need_x else (0, x.shape[1])), weight.new_empty(weight.shape if need_w else 0)


def _setup(ctx, inputs, output):
    x, _, transposed, _, tables, layout, out_layout, ctx.loop = inputs
    ctx.sizes = len(tables), len(layout), len(out_layout)
    ctx.save_for_backward(x, transposed, *tables, *out_layout)


def _backward(ctx, grad):
    x, transposed, *rest = ctx.saved_tensors
    n = ctx.sizes[0]
    tables, out_layout = rest[:n], rest[n:]
    need_x, need_w, need_t, need_bias = ctx.needs_input_grad[:4]
    need_w = need_w or need_t
    nothing = (*([None] * size for size in ctx.sizes), None)
    grad_bias = grad.sum(0) if need_bias else None
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # create_graph: let plain torch be differentiated
        rows = _carried(grad, TapLayout(*out_layout), TapTable(*tables[_FIELDS:]))
        grad_x = torch.einsum("ntd,tdo->no", rows, transposed) if need_x else None
        return grad_x, None, torch.einsum("ntd,no->tdo", rows, x) if need_w else None, grad_bias, *nothing
    grad_x, grad_w = _convolve_backward(
        grad.contiguous(), x, transposed, tables[_FIELDS:], out_layout, need_x, need_w, ctx.loop
    )
    return grad_x if need_x else None, None, grad_w if need_w else None, grad_bias, *nothing


_convolve.register_autograd(_backward, setup_context=_setup)


def _carried(x: Tensor, layout: TapLayout, table: TapTable) -> Tensor:
    """share_pt rho(g_pt) x[q_t(p)] of all nodes and taps in plain torch: (N, T, D)."""
    rows = table.share.to(x.dtype)[..., None] * x[table.neighbour.long()]
    parts = []
    for kind, first, n, mul, offset, order in layout.blocks.tolist():
        block = rows[..., first : first + n * mul].unflatten(-1, (n, mul))
        if kind == _PERMUTE:
            places = layout.permutations[offset : offset + order * n].view(order, n).to(x.device)[table.element.long()]
            parts.append(block.gather(-2, places[..., None].expand_as(block)).flatten(-2))
        else:
            matrices = _matrices(layout, offset, n, table.element).to(x)[table.element.long()]
            parts.append((matrices @ block).flatten(-2))
    return torch.cat(parts, -1)


def _matrices(layout: TapLayout, offset: int, n: int, element: Tensor) -> Tensor:
    """(up to the largest element in use, n, n)."""
    count = int(element.max()) + 1 if element.numel() else 0
    return layout.matrices[offset : offset + count * n * n].view(count, n, n)


def _gathered(x: Tensor, table: TapTable, layout: TapLayout):
    """(start, stop, carried neighbours (nodes, T n mul) block by block) of one chunk of nodes after the other."""
    num_nodes, number = table.neighbour.shape
    sources, widest = [], 1
    for kind, first, n, mul, offset, order in layout.blocks.tolist():
        block = x[:, first : first + n * mul]
        widest = max(widest, number * n * mul)
        if kind == _PERMUTE:  # one row a component
            features = block.reshape(-1, mul)
            places = layout.permutations[offset : offset + order * n].view(order, n).to(table.element)
            sources.append((features, places, n))
        else:  # every feature as carried by every element in use
            matrices = _matrices(layout, offset, n, table.element).to(x)
            carried = torch.einsum("gij,ajc->agic", matrices, block.unflatten(1, (n, mul)))
            features = carried.flatten(2).flatten(0, 1)
            places = torch.arange(len(matrices), device=x.device, dtype=table.element.dtype)[:, None]
            sources.append((features, places, len(matrices)))
    step = max(16, _CHUNK_BYTES.get(x.device.type, 1 << 28) // (widest * x.element_size()))
    step = min(step, max(1, num_nodes))
    buffers = [x.new_empty(step * number * places.shape[1], features.shape[1]) for features, places, _ in sources]
    for start in range(0, num_nodes, step):
        stop = min(start + step, num_nodes)
        neighbour, element = table.neighbour[start:stop, :, None], table.element[start:stop]
        node, tap = (table.share[start:stop] != 1).nonzero(as_tuple=True)
        factor = table.share[start:stop][node, tap, None].to(x.dtype)
        parts = []
        for (features, places, stride), buffer in zip(sources, buffers):
            index = torch.add(places[element], neighbour, alpha=stride).view(-1)
            rows = buffer[: index.numel()]
            torch.index_select(features, 0, index, out=rows)
            rows = rows.view(stop - start, number, -1)
            rows[node, tap] *= factor
            parts.append(rows.flatten(1))
        yield start, stop, parts


def _by_block(weight: Tensor, blocks: Tensor) -> list[Tensor]:
    """(T, D, O) -> for every block (T n mul, O)."""
    spans = [slice(first, first + n * mul) for _, first, n, mul, _, _ in blocks.tolist()]
    return [weight[:, span].reshape(-1, weight.shape[2]) for span in spans]


def _from_blocks(parts: list[Tensor], weight: Tensor, blocks: Tensor) -> Tensor:
    """The inverse of :func:`_by_block`: (T, D, O)."""
    out = torch.zeros_like(weight)
    for part, (_, first, n, mul, _, _) in zip(parts, blocks.tolist()):
        out[:, first : first + n * mul] = part.view(weight.shape[0], n * mul, -1)
    return out
