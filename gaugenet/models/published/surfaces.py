"""Weights of harmonic and of field convolutions (github.com/rubenwiersma/hsn, github.com/twmitchel/FieldConv)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...checks import check_int
from ...fields import FieldType
from ...groups import SO2
from ...kernels import LinearRings
from ...nn import FieldConv, HarmonicSurfaceConv, stream_type
from .reading import State, loaded, polar_weight

_HARMONIC, _FIELD = "HarmonicConv", "FieldConv"


def harmonic_conv(state: Mapping[str, Any], in_order: int, out_order: int, *, prefix: str = "") -> HarmonicSurfaceConv:
    r"""HarmonicConv (Wiersma et al. 2020, arXiv 2006.01570) on :func:`gaugenet.nn.stream_type`.

    .. math:: K_{mn} = \sum_b R_b\, \mu_b(r)\, e^{i (\beta + (m - n) \theta)}

    The numbers are theirs up to order 1. From order 2 on theirs turn like order 1 in transport; here order n turns n times as
    much. The centre is a neighbour at distance 0, as self-loops are there, and is seen by what has no direction; the
    weights of neighbours are those of the graph.

    Args:
        state: "radial_profile" (pairs, rings, out, in) and "phase_offset" (pairs, out, in) unless there is none; the pairs of
            orders (n, m) are numbered n (out_order + 1) + m (``separate_streams``), or are \|m - n\|, out_order + 1 of them.
        in_order, out_order: largest orders, ``prev_order`` and ``max_order`` there.
        prefix: of their names.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    check_int(_HARMONIC, "in_order", in_order, 0)
    check_int(_HARMONIC, "out_order", out_order, 0)
    found = State(state, prefix, _HARMONIC)
    profile = found.take("radial_profile", (None, None, None, None))
    pairs, rings, c_out, c_in = profile.shape
    separate = (in_order + 1) * (out_order + 1)
    if pairs not in (separate, out_order + 1) or (pairs < separate and in_order > out_order):
        raise ValueError(
            f"{_HARMONIC}: expected 'radial_profile' of {separate} pairs of orders 0..{in_order} and 0..{out_order}, or of "
            f"{out_order + 1} differences, got {pairs}"
        )
    phase = torch.zeros(pairs, c_out, c_in, dtype=torch.float64)
    if "phase_offset" in found:
        phase = found.take("phase_offset", (pairs, c_out, c_in))
    found.finish()
    types = stream_type(c_in, in_order), stream_type(c_out, out_order)
    conv = HarmonicSurfaceConv(*types, rings, bias=False, self_interaction=False, quadrature=None)
    values, phases = [], []
    for n, m, _, turned in conv.expansion.pairs:
        number = n * (out_order + 1) + m if pairs == separate else abs(m - n)
        r, beta = profile[number].transpose(1, 2), phase[number].T  # (rings, in, out), (in, out)
        if not turned:  # 0 to 0: real and imaginary parts of a complex product
            a, b = r * beta.cos(), r * beta.sin()
            values.append(torch.cat([torch.cat([a, b], 2), torch.cat([-b, a], 2)], 1))
            continue
        # An imaginary number is i times a real one; an imaginary part the real part of -i times the number.
        if n == 0:
            r, beta = torch.cat([r, r], 1), torch.cat([beta, beta + torch.pi / 2])
        if m == 0:
            r, beta = torch.cat([r, r], 2), torch.cat([beta, beta - torch.pi / 2], 1)
        norm = ((2 if n and m else 1) * (2 if n != m else 1)) ** 0.5  # of their kernel; ours has 1
        values.append(norm * r)
        phases.append(beta)
    parameters = {"radial_profile": values, "phase_offset": phases}
    return loaded(
        conv, {name: torch.cat([p.flatten() for p in part]) for name, part in parameters.items() if part}, found.dtype
    )


def field_conv(state: Mapping[str, Any], *, prefix: str = "") -> FieldConv:
    r"""FieldConv (Mitchel et al. 2021, arXiv 2104.03916), with the same numbers on a graph with their weights.

    .. math:: F_m(r) = \frac{1}{2 B + 1} \sum_b c_{bm}\, \mu_b(r), \qquad m = -B \ldots B

    Args:
        state: of their three types of filters. Real ones have "zonal" (out, in, rings), c_0, "spherical"
            (out, in, rings, B, 2), c_m for m > 0 as real and imaginary part, and "phase" (out, in, B + 1), which turns c_m by
            the entry \|m\| (zeros, a constant, in the type 0). Complex ones have "zonal" (out, in, rings, 2), "spherical"
            (out, in, rings, 2 B, 2) for m = -B..-1, 1..B, and the constant "phase".
        prefix: of their names.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    found = State(state, prefix, _FIELD)
    spherical = torch.view_as_complex(found.take("spherical", (None, None, None, None, 2)).contiguous())
    c_out, c_in, rings, number = spherical.shape
    if rings < 2:
        raise ValueError(f"{_FIELD}: expected 'spherical' of at least two rings, got {rings}")
    real = found.take("phase", (c_out, c_in, None)).shape[2] == number + 1
    if real:
        zonal = found.take("zonal", (c_out, c_in, rings))
        phase = found.take("phase", (c_out, c_in, number + 1))
        phase = torch.cat([phase.flip(2)[..., :-1], phase], 2)
        # As published: negative frequencies have the conjugates in the same order, not reversed.
        coefficients = torch.cat([spherical.conj(), zonal[..., None] + 0j, spherical], 3) * torch.exp(1j * phase)[:, :, None]
    else:
        zonal = torch.view_as_complex(found.take("zonal", (c_out, c_in, rings, 2)).contiguous())
        found.take("phase", (c_out, c_in, number // 2 + 1))
        low, high = spherical.chunk(2, 3)
        coefficients = torch.cat([low, zonal[..., None], high], 3)
    found.finish()
    largest = coefficients.shape[3] // 2
    in_type, out_type = (FieldType(SO2(), [(c, "1")]) for c in (c_in, c_out))
    radial = LinearRings(rings, equal_area=True, cutoff=False)
    conv = FieldConv(in_type, out_type, radial, largest, False, self_interaction=False, quadrature=None)

    def kernel(i: int, o: int, angle: Tensor) -> Tensor:
        l = conv.powers[0][i]  # the field |f| e^{i l arg f}, or its conjugate
        total = torch.zeros(rings, len(angle), c_out, 2, c_in, 1 if l == 0 else 2, dtype=torch.float64)
        for m, conjugate in ((1 - l, False), (1 + l, True)):
            if abs(m) > largest or (conjugate and l == 0):
                continue
            wave = (-1) ** m * torch.exp(1j * m * angle) / (2 * largest + 1)
            k = torch.einsum("t,ocr->rtoc", wave, coefficients[..., m + largest])
            columns = [torch.stack([k.real, k.imag], 3)]
            if l:
                sign = 1 if conjugate else -1
                columns.append(sign * torch.stack([k.imag, -k.real], 3))
            total += torch.stack(columns, -1)
        return total

    return loaded(conv, {"conv.weight": polar_weight(conv.conv.double(), kernel, _FIELD)}, found.dtype)
