"""The transform on rings of latitude: FFT in longitude, then Legendre functions in colatitude."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..kernels.constants import ConstantModule
from .sampling import Rings
from .small_d import small_d
from .wigner import degree_slice, polar_turns, textbook_basis


class RingTransform(ConstantModule):
    r"""S (coefficients to values) and its adjoint on R rings of equally spaced points.

    A field is :math:`(-i)^s \sum_m e^{im\varphi} \sum_l T_m(\theta, l)\, a_{lm}`, over all m for spin s > 0, and the real part
    of the sum over m >= 0 for scalars. Complex a_lm about the z axis become real coefficients of SO(3) in two orthogonal steps:
    two terms each to real harmonics about z, then Q_l of `polar_turns`.

    Args:
        rings: R rings with N points in all. lmax, spin: see `SphericalTransform`.
    """

    def __init__(self, rings: Rings, lmax: int, spin: int) -> None:
        super().__init__()
        self.lmax, self.spin = lmax, spin
        self.size = len(rings.order)
        m = np.arange(-lmax if spin else 0, lmax + 1)
        self.num_orders = len(m)
        #: (points of a ring, number of rings) of each group of like rings
        self.groups = [(int(n), int(k)) for n, k in zip(*np.unique(rings.count, return_counts=True))]
        for n, _ in self.groups:
            self.register_constant(f"bin_{n}", torch.from_numpy(m % n))
        inverse = np.argsort(rings.order)
        self.sorted = bool((inverse == np.arange(self.size)).all())
        self.register_constant("order", torch.from_numpy(rings.order.copy()))
        self.register_constant("place", torch.from_numpy(inverse))
        phase = (-1j) ** spin * np.exp(1j * m * rings.phi[:, None])
        self.register_constant("phase", torch.view_as_real(torch.from_numpy(phase)))
        self.register_constant("legendre", torch.from_numpy(legendre_table(rings.theta, m, lmax, spin)))
        self.register_constant("turn", torch.from_numpy(np.concatenate([q.ravel() for q in polar_turns(lmax)])))
        for name, matrix in zip(("out", "in"), _two_terms(lmax, spin, m)):
            self.register_constant(f"term_{name}", torch.from_numpy(matrix[0]))
            self.register_constant(f"factor_{name}", torch.from_numpy(matrix[1]))

    def adjoint(self, values: Tensor) -> Tensor:
        """S^T: values (B, N, C) to (B, K, C), C = 2 for spin > 0, otherwise 1."""
        return self.from_orders(self.legendre.mT @ self.fourier(values))

    def synthesis(self, coefficients: Tensor) -> Tensor:
        """S: coefficients (B, K, C) to (B, N, C)."""
        return self.inverse_fourier(self.legendre @ self.to_orders(coefficients))

    def fourier(self, values: Tensor) -> Tensor:
        """(B, N, C) -> (M, R, 2B): sums over each ring with exp(-i m phi), real and imaginary parts last."""
        values = values if self.sorted else values.index_select(1, self.order)
        values = torch.view_as_complex(values.contiguous()) if self.spin else values.squeeze(-1)
        parts, start = [], 0
        for n, rings in self.groups:
            ring = values[:, start : start + n * rings].unflatten(1, (rings, n))
            parts.append(torch.fft.fft(ring, dim=-1).index_select(-1, getattr(self, f"bin_{n}")))
            start += n * rings
        sums = torch.cat(parts, 1) * torch.view_as_complex(self.phase).conj()
        return torch.view_as_real(sums).permute(2, 1, 0, 3).flatten(2)

    def inverse_fourier(self, sums: Tensor) -> Tensor:
        """The adjoint of `fourier`: (M, R, 2B) -> (B, N, C)."""
        sums = torch.view_as_complex(sums.unflatten(2, (-1, 2)).permute(2, 1, 0, 3).contiguous())
        sums = sums * torch.view_as_complex(self.phase)
        parts, start = [], 0
        for n, rings in self.groups:
            bins = sums.new_zeros(len(sums), rings, n)
            bins = bins.index_add(-1, getattr(self, f"bin_{n}"), sums[:, start : start + rings])
            parts.append(torch.fft.ifft(bins, dim=-1, norm="forward").flatten(1))
            start += rings
        values = torch.cat(parts, 1)
        values = torch.view_as_real(values) if self.spin else values.real.unsqueeze(-1)
        return values if self.sorted else values.index_select(1, self.place)

    def from_orders(self, a: Tensor) -> Tensor:
        """Complex a_lm (M, lmax + 1, 2B) to real coefficients (B, K, C), by the adjoint of `to_orders`."""
        channels = 2 if self.spin else 1
        slots = a.unflatten(2, (-1, 2)).permute(0, 1, 3, 2).flatten(0, 2)  # (M (lmax + 1) 2, B)
        mixed = _mix(slots, self.term_in, self.factor_in).unflatten(0, (-1, channels))
        parts = [torch.tensordot(q, mixed[degree_slice(l)], ([0], [0])) for l, q in enumerate(self._turns())]
        return torch.cat(parts).permute(2, 0, 1)

    def to_orders(self, coefficients: Tensor) -> Tensor:
        """Real coefficients (B, K, C) to complex a_lm (M, lmax + 1, 2B)."""
        coefficients = coefficients.permute(1, 2, 0)
        parts = [torch.tensordot(q, coefficients[degree_slice(l)], ([1], [0])) for l, q in enumerate(self._turns())]
        slots = _mix(torch.cat(parts).flatten(0, 1), self.term_out, self.factor_out)
        return slots.unflatten(0, (self.num_orders, self.lmax + 1, 2)).permute(0, 1, 3, 2).flatten(2)

    def _turns(self) -> list[Tensor]:
        sizes = [(2 * l + 1) ** 2 for l in range(self.lmax + 1)]
        return [q.unflatten(0, (2 * l + 1, 2 * l + 1)) for l, q in enumerate(self.turn.split(sizes))]


def legendre_table(theta: np.ndarray, m: np.ndarray, lmax: int, spin: int) -> np.ndarray:
    """T, (M, R, lmax + 1): sqrt((2l + 1) / 4 pi) d^l_{m,-s}; for scalars times sqrt(2) where m > 0."""
    table = np.zeros((len(m), len(theta), lmax + 1))
    for l, d in enumerate(small_d(lmax, -spin, theta)):
        inside = np.abs(m) <= l
        table[inside, :, l] = np.sqrt((2 * l + 1) / (4 * np.pi)) * d[m[inside] + l]
    if spin == 0:
        table[m > 0] *= np.sqrt(2)
    return table


def _two_terms(lmax: int, spin: int, m: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The change between real harmonics about z and complex ones as pairs of (terms, factors) for `_mix`.

    First from coefficients (K C, B) to complex a_lm, flat (m, l, real or imaginary part), then back. For scalars a_lm is
    multiplied by sqrt(2) where m > 0, which makes the change orthogonal in both cases.
    """
    channels = 2 if spin else 1
    rows, columns, values = [], [], []
    for i, order in enumerate(m):
        l = np.arange(abs(order), lmax + 1)
        slot = 2 * (i * (lmax + 1) + l)
        bar = textbook_basis(abs(order))[order + abs(order)].conj() * (np.sqrt(2) if spin == 0 and order else 1)
        for k in {order, -order}:
            z = bar[k + abs(order)]
            coefficient = channels * (l * l + l + k)
            # (re, im) of the sum gets z times (re, im) of the coefficient, which for scalars has no imaginary part
            terms = [(0, 0, z.real), (1, 0, z.imag)] + ([(0, 1, -z.imag), (1, 1, z.real)] if spin else [])
            for part, channel, value in terms:
                if value:
                    rows.append(slot + part)
                    columns.append(coefficient + channel)
                    values.append(np.full(len(l), value))
    row, column, entry = (np.concatenate(parts) for parts in (rows, columns, values))
    shape = (2 * len(m) * (lmax + 1), channels * (lmax + 1) ** 2)
    return [_pairs(row, column, entry, shape[0]), _pairs(column, row, entry, shape[1])]


def _pairs(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A sparse matrix with at most two entries a row as (count, 2) columns and values."""
    order = np.argsort(rows, kind="stable")
    rows, columns, values = rows[order], columns[order], values[order]
    second = np.diff(rows, prepend=-1) == 0
    term, factor = np.zeros((count, 2), np.int64), np.zeros((count, 2))
    term[rows, second.astype(int)] = columns
    factor[rows, second.astype(int)] = values
    return term, factor


def _mix(x: Tensor, term: Tensor, factor: Tensor) -> Tensor:
    """Rows of x (A, B) added in pairs: factor[:, 0] x[term[:, 0]] + factor[:, 1] x[term[:, 1]]."""
    first, second = (x.index_select(0, term[:, k]) * factor[:, k, None] for k in (0, 1))
    return first + second
