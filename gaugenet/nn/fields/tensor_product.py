"""Products of fields: bilinear, equivariant, for every group."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...checks import check_number
from ...fields import FieldType, check_field_types
from ...kernels.clebsch_gordan import clebsch_gordan
from ...kernels.constants import ConstantModule
from ..exporting.exportable import Pixelwise
from ..exporting.plain import Products, traced
from ..precision import room_for_squares
from ..tensor_checks import check_features

MODES = ("uvw", "uvu", "uuu")
# Bytes of products held at a time: they should stay in the cache between the steps.
_CHUNK_BYTES = 1 << 21


class TensorProduct(ConstantModule, Pixelwise):
    r"""Equivariant product of two fields, with Clebsch-Gordan coefficients (Kondor et al. 2018, arXiv 1806.09231, section 4).

    .. math:: out_w(p) = \sum_{paths} \sum_{k, u, v} W_{kuvw}\, C_k(x_u(p), y_v(p))

    over all triples of blocks whose product has equivariant maps :math:`C_k` (:func:`gaugenet.kernels.clebsch_gordan`), u, v, w
    numbering the copies. The modes have e3nn's names for what the copies do:

    - "uvw": every pair of copies into every copy; a weight (K, mul1, mul2, mul_out) per path.
    - "uvu": the copies of x are kept, those of y summed; (K, mul1, mul2). The blocks of x and of the output have equal mul.
    - "uuu": copy by copy (Cobb et al. 2021, arXiv 2010.11661); (K, mul). All blocks have equal mul.

    The flat weight holds the paths (block of x, block of y, block of the output) in order.

    Args:
        in_type1, in_type2: field types of x and y. out_type: of the output; a block that no product reaches is zero.
        mode: see above.
        weights: learn the weights; without them (mode "uuu") every path has the same constant one.

    Shapes:
        x (N, in_type1.dim), y (N, in_type2.dim) -> (N, out_type.dim).

    Raises:
        TypeError: types over different groups. ValueError: an unknown mode, or multiplicities that do not fit it.
    """

    def __init__(
        self, in_type1: FieldType, in_type2: FieldType, out_type: FieldType, mode: str = "uvw", *, weights: bool = True
    ) -> None:
        check_field_types(self, in_type1=in_type1, in_type2=in_type2, out_type=out_type)
        super().__init__()
        _check_mode(in_type1, in_type2, out_type, mode, weights)
        self.in_type1, self.in_type2, self.out_type, self.mode = in_type1, in_type2, out_type, mode
        #: (block of x, block of y, block of the output, start, stop) in the flat weight
        self.paths: list[tuple[int, int, int, int, int]] = []
        start, found = 0, {}
        for i, (mul1, rep1) in enumerate(in_type1.blocks):
            for j, (mul2, rep2) in enumerate(in_type2.blocks):
                for o, (mul, rep) in enumerate(out_type.blocks):
                    coefficients = clebsch_gordan(rep1, rep2, rep)
                    if len(coefficients):
                        shape = {"uvw": (mul1, mul2, mul), "uvu": (mul1, mul2), "uuu": (mul1,)}[mode]
                        count = len(coefficients) * torch.Size(shape).numel()
                        found[i, j, o] = coefficients
                        self.paths.append((i, j, o, start, start + count))
                        start += count
        self._counts = [len(coefficients) for coefficients in found.values()]
        if mode == "uuu":
            self._register_by_copy(found)
        else:
            for path, coefficients in found.items():
                self.register_constant("coefficients_{}_{}_{}".format(*path), coefficients)
        if weights:
            self.weight = nn.Parameter(torch.empty(start))
            self.reset_parameters()
        else:
            self.register_constant("weight", self._scale())

    def _scale(self) -> Tensor:
        """Standard deviations of the weights for which unit inputs give unit outputs: (number of weights,)."""
        fan = [0] * len(self.out_type.blocks)
        for (i, j, o, *_), count in zip(self.paths, self._counts):
            copies = {"uvw": self.in_type1.blocks[i][0] * self.in_type2.blocks[j][0], "uvu": self.in_type2.blocks[j][0]}
            fan[o] += count * copies.get(self.mode, 1)
        scale = torch.empty(sum(stop - start for *_, start, stop in self.paths), dtype=torch.float64, device="cpu")
        for _, _, o, start, stop in self.paths:
            scale[start:stop] = (self._dim(o) / fan[o]) ** 0.5
        return scale

    def _dim(self, o: int) -> int:
        return self.out_type.blocks[o][1].dim

    def reset_parameters(self) -> None:
        if isinstance(self.weight, nn.Parameter):
            with torch.no_grad():
                self.weight.copy_(torch.randn_like(self.weight) * self._scale().to(self.weight))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        check_features(x, self.in_type1, self.weight, "TensorProduct")
        check_features(y, self.in_type2, self.weight, "TensorProduct")
        if x.shape[0] != y.shape[0]:
            raise ValueError(f"TensorProduct expected as many nodes of both fields, got {x.shape[0]} and {y.shape[0]}")
        step = max(16, _CHUNK_BYTES // max(1, self._width() * x.element_size()))
        if torch.compiler.is_compiling() or x.shape[0] <= step:  # in this order: sizes may be symbols
            return self._product(x, y)
        recompute = torch.is_grad_enabled() and any(t.requires_grad for t in (x, y, self.weight))
        # The products of all nodes would be many times the features: the backward pass makes them anew.
        parts = [
            checkpoint(self._product, a, b, use_reentrant=False) if recompute else self._product(a, b)
            for a, b in zip(x.split(step), y.split(step))
        ]
        return torch.cat(parts)

    def _width(self) -> int:
        """Numbers per node of the widest product."""
        if self.mode == "uuu":
            return (len(self.pairs[0]) + self.coefficients.shape[1]) * self.in_type1.blocks[0][0] if self.paths else 0
        widest = 0
        for i, j, o, *_ in self.paths:
            (mul1, rep1), (mul2, rep2) = self.in_type1.blocks[i], self.in_type2.blocks[j]
            pairs = mul1 * mul2 if self.mode == "uvw" else mul1
            widest = max(widest, pairs * (rep1.dim * rep2.dim + self._dim(o)))
        return widest

    def _register_by_copy(self, found: dict[tuple[int, int, int], Tensor]) -> None:
        """The coefficients of all paths in one tensor (K, n_out, Q), for the Q pairs of components that any of them uses."""
        starts = [_starts(type) for type in (self.out_type, self.in_type1, self.in_type2)]
        sizes = [start[-1] for start in starts]
        whole = torch.zeros(sum(self._counts), *sizes, dtype=torch.float64)
        row = 0
        for (i, j, o), part in found.items():
            out, a, b = (slice(start[k], start[k + 1]) for start, k in zip(starts, (o, i, j)))
            whole[row : row + len(part), out, a, b] = part
            row += len(part)
        pairs = whole.abs().amax((0, 1)).nonzero() if row else torch.zeros(0, 2, dtype=torch.int64)
        self.register_constant("coefficients", whole[:, :, pairs[:, 0], pairs[:, 1]])
        self.register_constant("pairs", pairs.t().contiguous())

    def _by_copy(self, x: Tensor, y: Tensor) -> Tensor:
        """Mode "uuu": for every copy one matrix from the products of components to the output, nodes last."""
        mul = self.in_type1.blocks[0][0]
        a, b = (t.unflatten(1, (-1, mul)).permute(2, 1, 0).contiguous() for t in (x, y))
        products = a[:, self.pairs[0]] * b[:, self.pairs[1]]
        maps = torch.einsum("koq,km->moq", self.coefficients.to(x.dtype), self.weight.view(-1, mul))
        return (maps @ products).permute(2, 1, 0).flatten(1)

    def _product(self, x: Tensor, y: Tensor) -> Tensor:
        if self.mode == "uuu":
            return self._by_copy(x, y)
        first, second = self.in_type1.split(x), self.in_type2.split(y)
        out: list[Tensor | None] = [None] * len(self.out_type.blocks)
        for i, j, o, start, stop in self.paths:
            coefficients, weight = getattr(self, f"coefficients_{i}_{j}_{o}").to(x.dtype), self.weight[start:stop]
            a, b = first[i], second[j]
            shape = len(coefficients), a.shape[2], b.shape[2]
            if self.mode == "uvw":
                products = torch.einsum("koab,nau,nbv->nokuv", coefficients, a, b)
                part = products.flatten(2) @ weight.view(shape[0] * shape[1] * shape[2], -1)
            else:
                mixed = torch.einsum("nbv,kuv->nkbu", b, weight.view(shape))
                part = torch.einsum("koab,nau,nkbu->nou", coefficients, a, mixed)
            before = out[o]
            out[o] = part if before is None else before + part
        zeros = [x.new_zeros(x.shape[0], rep.dim, mul) for mul, rep in self.out_type.blocks]
        return self.out_type.join([zero if part is None else part for part, zero in zip(out, zeros)])

    def extra_repr(self) -> str:
        return f"{self.in_type1} * {self.in_type2} -> {self.out_type}, mode={self.mode!r}"


class TensorNonlinearity(Pixelwise):
    r"""Adds the product of a field with itself, copy by copy (after Kondor et al. 2018; Cobb et al. 2021).

    .. math:: f_c \mapsto a_c f_c + \frac{1}{|f_c|} \sum_k w_{kc}\, C_k(f_c, f_c), \qquad
              |f_c|^2 = \frac{1}{n} \sum_\rho |f_{\rho c}|^2 + \epsilon^2

    with f_c the c-th copy of every representation, n their dimension, and learnt a (at first 1) and w. Unlike the published
    product it is divided by the (invariant) size of the field: a network of many layers stays homogeneous and trains as with
    ReLU. Exactly equivariant for every group. The quadratic :class:`PolynomialNonlinearity` is the planar case with fixed w.

    Args:
        type: field type of input and output; all blocks have one multiplicity.
        eps: smooths the size at zero.

    Shapes:
        (N, type.dim) -> (N, type.dim).

    Raises:
        ValueError: for blocks of different multiplicities.
    """

    def __init__(self, type: FieldType, eps: float = 1e-4) -> None:
        check_field_types(self, type=type)
        check_number(self, "eps", eps)
        super().__init__()
        self.in_type = self.out_type = type
        self.eps = eps
        self.product = TensorProduct(type, type, type, "uuu")
        self.copies = type.blocks[0][0]
        self.gain = nn.Parameter(torch.ones(self.copies))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.gain)
        self.product.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, self.gain, "TensorNonlinearity")
        copies = x.unflatten(1, (-1, self.copies))  # equal multiplicities: one row for every component
        size = (room_for_squares(copies).square().mean(1, keepdim=True) + self.eps**2).sqrt()
        return torch.addcmul(self.product((copies / size).to(x.dtype).flatten(1), x), x, self.gain.repeat(copies.shape[1]))

    def pixelwise(self) -> nn.Module:
        product = self.product
        maps = torch.einsum("koq,km->moq", product.coefficients, product.weight.view(-1, self.copies))
        return traced(Products(maps, product.pairs, self.gain, self.eps))


def _starts(type: FieldType) -> list[int]:
    """First component of every block, copies not counted, and their number."""
    return [0, *accumulate(rep.dim for _, rep in type.blocks)]


def _check_mode(in_type1: FieldType, in_type2: FieldType, out_type: FieldType, mode: str, weights: bool) -> None:
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}: expected one of {', '.join(MODES)}")
    if not weights and mode != "uuu":
        raise ValueError(f'weights=False needs mode "uuu", where copies are not mixed, got {mode!r}')
    tied = {"uvw": (), "uvu": (in_type1, out_type), "uuu": (in_type1, in_type2, out_type)}[mode]
    muls = {mul for type in tied for mul, _ in type.blocks}
    if len(muls) > 1:
        raise ValueError(f"mode {mode!r} expected equal multiplicities in {' and '.join(map(str, tied))}")
