"""Pointwise nonlinearities on functions over a circle, a sphere or a group: Fourier to samples, pointwise, back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...checks import check_int
from ...fields import FieldType, check_field_types
from ...groups import BandLimited
from ...kernels.constants import ConstantModule
from ...ops.backend import transformed
from ...ops.nodes.squares import TINY, nodes_of, rows_of, squared_functions
from ..exporting.exportable import Pixelwise
from ..exporting.plain import Functions, Polynomial, traced
from ..precision import no_autocast, room_for_squares
from ..tensor_checks import check_features
from .function_spaces import function_spaces, is_sphere, largest_order, rotations_of, sphere_rule
from .nonlinearities import activation_function, activation_module

# Bytes of samples held at a time: they should stay in the cache between the transforms.
_CHUNK_BYTES = 1 << 20


class _FunctionNonlinearity(ConstantModule, Pixelwise):
    """Shared part: which blocks are functions, and the isometric transform to their values at S samples and back."""

    #: whether it acts on functions of norm one
    _scaled = False

    def __init__(self, type: FieldType, activation: str | Callable, samples: int | None, name: str) -> None:
        super().__init__()
        check_field_types(self, type=type)
        self.in_type = self.out_type = type
        self._type = type.irreducible()
        self.activation, self.act, self.name = activation, activation_function(activation), name
        samples = None if samples is None else check_int(self, "samples", samples)
        self.samples = self._number_of_samples(samples)
        spaces = function_spaces(type, self.samples, name)
        for k, space in enumerate(spaces):
            self.register_constant(f"synthesis_{k}", space.synthesis)
            if space.weights is not None:
                self.register_constant(f"analysis_{k}", space.analysis())
        #: (rows, width) of every function space
        self._spaces = [(space.rows, space.width) for space in spaces]
        # One block for every irrep, all as wide, and nothing else: then x is the array of coefficients as it lies.
        self._plain = len(spaces) == 1 and [blocks for _, blocks in spaces[0].rows] == [
            [(b, spaces[0].width)] for b in range(len(self._type.blocks))
        ]

    def _number_of_samples(self, samples: int | None) -> int:
        raise NotImplementedError

    def _act_on_coefficients(self, coefficients: Tensor, k: int) -> Tensor:
        """(N, n, width) Fourier coefficients of the k-th function space -> the same shape."""
        raise NotImplementedError

    def _transforms(self, k: int) -> tuple[Tensor, Tensor]:
        """(S, n) and (n, S): to the samples and back."""
        synthesis, analysis = getattr(self, f"synthesis_{k}"), getattr(self, f"analysis_{k}", None)
        return synthesis, synthesis.t() / synthesis.shape[0] if analysis is None else analysis

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, self.name)
        if self._plain:
            return self._act_on_coefficients(x.unflatten(1, (-1, self._spaces[0][1])), 0).flatten(1)
        blocks = self._type.split(x)
        out = list(blocks)
        in_functions = {b for rows, _ in self._spaces for _, merged in rows for b, _ in merged}
        for b, block in enumerate(blocks):
            if b not in in_functions:
                out[b] = self.act(block)
        for k, (rows, width) in enumerate(self._spaces):
            parts = []
            for _, merged in rows:
                part = torch.cat([blocks[b] for b, _ in merged], -1)
                parts.append(torch.nn.functional.pad(part, (0, width - part.shape[-1])))
            coefficients = self._act_on_coefficients(torch.cat(parts, 1), k)
            start = 0
            for rep, merged in rows:
                channel = 0
                for b, mul in merged:
                    out[b] = coefficients[:, start : start + rep.dim, channel : channel + mul]
                    channel += mul
                start += rep.dim
        return self._type.join(out)

    def pixelwise(self) -> nn.Module:
        pointwise = activation_module(self.activation)
        if not self._spaces:
            return pointwise
        type, dim = self._type, self.in_type.dim
        columns = [torch.arange(s.start, s.stop).view(rep.dim, mul) for s, (mul, rep) in zip(type.slices, type.blocks)]
        places = []
        for rows, width in self._spaces:
            parts = []
            for _, merged in rows:
                part = torch.cat([columns[b] for b, _ in merged], 1)
                parts.append(torch.nn.functional.pad(part, (0, width - part.shape[1]), value=dim))
            places.append(torch.cat(parts))
        place = torch.cat([p.flatten() for p in places])
        back = place.numel() + torch.arange(dim)  # where nothing else is said: what the activation made of the channel
        there = place < dim
        back[place[there]] = torch.arange(place.numel())[there]
        transforms = [self._transforms(k) for k in range(len(self._spaces))]
        return traced(Functions(places, back, transforms, self._on_samples(), pointwise, self._scaled))

    def _on_samples(self) -> nn.Module:
        """What acts on the values of the functions, as a plain module."""
        return activation_module(self.activation)

    def extra_repr(self) -> str:
        return f"{self.in_type}, activation={self.activation!r}, samples={self.samples}"


class RegularNonlinearity(_FunctionNonlinearity):
    r"""Reads irreps as Fourier coefficients of functions and applies a pointwise function to their values.

    .. math:: F(x_s) = \sum_\psi \sqrt{d_\psi}\, \langle \psi(g_s) v_\psi, f_\psi\rangle, \qquad
              f_\psi \mapsto \sqrt{d_\psi} \sum_s w_s\, \sigma(F(x_s))\, \psi(g_s) v_\psi

    (de Haan et al. 2021, arXiv 2003.05425, section 4, on the circle; Cesa, Lang & Weiler 2022 in space; the transform is
    isometric). Copy c of every order makes one function; orders of lower multiplicity are missing from the last ones.
    Representations that permute their components (regular, quotient) are acted on pointwise, and
    :class:`gaugenet.groups.BandLimited` ones, functions on a group or on its cosets, at samples of those.

    **In the plane** the functions are on the circle, at S equal steps. Exact under C_N and D_N, whose functions have N values.
    Under SO(2) and O(2) exact for turns by multiples of 2 pi / S, and for others equivariant up to aliasing, which falls with
    S; docs/nonlinearities.md has the measured error against S. :class:`PolynomialNonlinearity` is exact for them.

    **In space** finite groups have the pointwise case alone. The irreps of SO(3) and O(3) are functions on the sphere
    (spherical harmonics), at the S nodes of a Lebedev rule; functions on the group are sampled at every node with 12, 24, ...
    turns about it. The symmetries of the cube permute the nodes, so that the layer is exact under them; under other rotations
    the aliasing is below 1e-2 of the output with ReLU, the hardest of the named activations, for the default S: 50, 110, 194,
    302 for orders up to L = 1, 2, 3, 4; twice as many halve it. Of groups about an axis (SO(2), O(2), C_inf v, ...) the irreps
    are functions on the circle about it, as in the plane.

    Args:
        type: field type of input and output.
        activation: name or callable.
        samples: number S of samples; by default N for C_N and D_N, and for SO(2) and O(2) with orders up to L the multiple
            48 L + 12 of 12: exact for the quarter turns of square pixels and turns by 60 degrees of hexagons, and for
            others a relative equivariance error below 1e-3 with ReLU. Of SO(3) and O(3) the number of directions: that of the
            smallest Lebedev rule with as many, by default of the rule of degree 6 L + 5.

    Shapes:
        (N, type.dim) -> (N, type.dim).

    Raises:
        TypeError: for an irrep that is no function on the circle or sphere (the sign representation "0-", the twisted "0o" and
            "1e" of O(3)), or of a finite group of space.
        ValueError: samples that the rotations of C_N or D_N do not permute, or too few for the orders.
    """

    def __init__(self, type: FieldType, activation: str | Callable = "relu", samples: int | None = None) -> None:
        super().__init__(type, activation, samples, "RegularNonlinearity")
        if is_sphere(type.group):
            return
        rotations, least = rotations_of(type.group), 2 * largest_order(type) + 1
        if rotations and self.samples % rotations and self._spaces:
            raise ValueError(
                f"RegularNonlinearity over {type.group} expected samples to be a multiple of its {rotations} rotations, which "
                f"then permute them, got {self.samples}: with others it is not equivariant"
            )
        if not rotations and self.samples < least and self._spaces:
            raise ValueError(
                f"RegularNonlinearity expected at least 2 L + 1 = {least} samples for orders up to L = {(least - 1) // 2}, "
                f"got {self.samples}: fewer do not tell the functions apart"
            )

    def _number_of_samples(self, samples: int | None) -> int:
        group, order = self.in_type.group, largest_order(self.in_type)
        if is_sphere(group):
            return sphere_rule(samples, order)[1]
        return samples or rotations_of(group) or 48 * order + 12

    def _act_on_coefficients(self, coefficients: Tensor, k: int) -> Tensor:
        synthesis, analysis = self._transforms(k)
        node = synthesis.shape[0] * max(coefficients.shape[2], 1) * coefficients.element_size()
        step = max(16, _CHUNK_BYTES // node)
        learnt = isinstance(self.act, nn.Module) and any(p.requires_grad for p in self.act.parameters())

        def through_samples(coefficients: Tensor) -> Tensor:
            # Few long products instead of a small one for each node; the mean before the sum, which float16 may not hold.
            return nodes_of(analysis @ self.act(synthesis @ rows_of(coefficients)), coefficients)

        # In this order: sizes may be symbols.
        if torch.compiler.is_compiling() or learnt or transformed() or coefficients.shape[0] <= step:
            return through_samples(coefficients)
        return _Chunked.apply(coefficients, through_samples, step)


class _Chunked(torch.autograd.Function):
    """A function of single nodes, some at a time: the samples stay in the cache, and the backward pass makes them anew."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], step: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.function, ctx.step = function, step
        return torch.cat([function(part) for part in x.split(step)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            return torch.autograd.grad(ctx.function(x), x, grad, create_graph=True)[0], None, None
        parts = []
        for part, upstream in zip(x.split(ctx.step), grad.split(ctx.step)):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                parts.append(torch.autograd.grad(ctx.function(leaf), leaf, upstream)[0])
        return torch.cat(parts), None, None


class PolynomialNonlinearity(_FunctionNonlinearity):
    r"""The regular nonlinearity with the activation's Hermite polynomial: *exactly* equivariant under SO(2) and O(2).

    .. math:: F \mapsto \|F\|\, p(F / \|F\|), \qquad p = \sum_{k \le D} \mathbb{E}[\sigma\, He_k]\, He_k / k!

    A polynomial of degree D of a function with orders up to L has orders up to D L, so S > (D + 1) L samples leave no
    aliasing. Dividing by the power :math:`\|F\|` (an invariant) keeps the layer homogeneous, as ReLU is, and its values near
    unit variance, where p is close to the activation.

    Args:
        type: field type of input and output over a planar group.
        activation: name or callable.
        degree: degree D of the polynomial.

    Shapes:
        (N, type.dim) -> (N, type.dim).

    Raises:
        TypeError: for an irrep that is no function on the circle (the sign representation "0-").
    """

    _scaled = True

    def __init__(self, type: FieldType, activation: str | Callable = "relu", degree: int = 2) -> None:
        self.degree = degree = check_int(self, "degree", degree)
        check_field_types(self, type=type)
        if type.group.dim != 2 or any(isinstance(rep, BandLimited) for _, rep in type.blocks):
            found = type.group if type.group.dim != 2 else type
            raise TypeError(
                f"PolynomialNonlinearity samples functions on the circle: expected irreps of a planar group, got {found}"
            )
        super().__init__(type, activation, None, "PolynomialNonlinearity")
        self.register_constant("polynomial", hermite_projection(self.act, degree))
        # What a constant function becomes: 1 at the trivial irrep.
        exact = self._exact["synthesis_0"] if self._spaces else torch.zeros(self.samples, 0, dtype=torch.float64)
        self.register_constant("unit", exact.mean(0)[:, None])
        gram = exact.t() @ exact / self.samples
        # With orthogonal samples the constant and the linear term need none.
        self._orthogonal = bool((gram - torch.eye(len(gram), dtype=gram.dtype)).abs().max() < 1e-12) if len(gram) else False

    def _number_of_samples(self, samples: int | None) -> int:
        return rotations_of(self.in_type.group) or (self.degree + 1) * largest_order(self.in_type) + 1

    def _act_on_coefficients(self, coefficients: Tensor, k: int) -> Tensor:
        if coefficients.dtype == torch.float16:
            return self._act_on_coefficients(room_for_squares(coefficients), k).to(coefficients.dtype)
        if self._orthogonal and self.degree == 2:
            constants = (t.to(coefficients.dtype) for t in (self.synthesis_0, self.polynomial, self.unit))
            with no_autocast(coefficients):  # as the backward pass, which knows of none
                return squared_functions(coefficients, *constants)
        norm = (coefficients.square().sum(1, keepdim=True) + TINY).sqrt()
        synthesis = self.synthesis_0.to(coefficients.dtype)
        values = _horner(synthesis @ (coefficients / norm), self.polynomial) * norm
        return synthesis.t() @ values / self.samples

    def _on_samples(self) -> nn.Module:
        return Polynomial(self.polynomial)

    def extra_repr(self) -> str:
        return f"{self.in_type}, activation={self.activation!r}, degree={self.degree}"


def hermite_projection(act: Callable[[Tensor], Tensor], degree: int) -> Tensor:
    """Monomial coefficients (degree + 1,) of the L2 projection of an activation under the standard normal law."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    values = act(torch.from_numpy(nodes)).double().numpy()
    weights = weights / weights.sum()
    series, factorial = [], 1.0
    for k in range(degree + 1):
        factorial *= max(k, 1)
        basis = np.polynomial.hermite_e.hermeval(nodes, [0.0] * k + [1.0])
        series.append(float((weights * values * basis).sum() / factorial))
    monomials = np.polynomial.hermite_e.herme2poly(series)
    return torch.from_numpy(np.pad(monomials, (0, degree + 1 - len(monomials))))


def _horner(x: Tensor, coefficients: Tensor) -> Tensor:
    out = coefficients[-1].expand_as(x)
    for c in coefficients.flip(0)[1:]:
        out = out * x + c
    return out
