"""Riemannian symmetric spaces whose points are features: the sphere, rotations, positive definite matrices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ...checks import check_int


class ValueSpace(ABC):
    """A Riemannian manifold that features take values in, as what a Newton step to a mean needs.

    Letters: k the dimension, ``shape`` the shape of a point, M the number of points of a mean.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def start(self, x: Tensor, weight: Tensor) -> Tensor:
        """A point near the weighted mean that moves with the isometries: x (..., M, *shape), weight (..., M)."""

    @abstractmethod
    def logs(self, m: Tensor, x: Tensor) -> Tensor:
        """log_m(x) in orthonormal coordinates at m: (..., *shape), (..., M, *shape) -> (..., M, k)."""

    @abstractmethod
    def hessian(self, logs: Tensor) -> Tensor:
        """Hessians of half the squared distances to the points with these logs, in their coordinates: (..., M, k, k)."""

    @abstractmethod
    def move(self, m: Tensor, v: Tensor) -> Tensor:
        """exp_m(v), in the coordinates of :meth:`logs`: (..., *shape), (..., k) -> (..., *shape)."""

    @abstractmethod
    def contains(self, x: Tensor) -> Tensor:
        """Which points are points of the space: (..., *shape) -> (...)."""

    def distance(self, m: Tensor, x: Tensor) -> Tensor:
        """Geodesic distance, (..., *shape), (..., M, *shape) -> (..., M)."""
        return _norm(self.logs(m, x))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.shape == getattr(other, "shape", None)

    def __hash__(self) -> int:
        return hash((type(self), self.shape))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class UnitSphere(ValueSpace):
    """The sphere S^2 of unit vectors (3,). Isometries: O(3). Means are unique for points within pi/2 of one of them."""

    shape = (3,)

    def start(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.nn.functional.normalize((weight.unsqueeze(-1) * x).sum(-2), dim=-1)

    def logs(self, m: Tensor, x: Tensor) -> Tensor:
        across = x @ _tangents(m)
        sine = _norm(across)
        angle = torch.atan2(sine, (x * m.unsqueeze(-2)).sum(-1))
        return across * _ratio(angle, sine).unsqueeze(-1)

    def hessian(self, logs: Tensor) -> Tensor:
        return _constant_curvature(logs, 1.0)

    def move(self, m: Tensor, v: Tensor) -> Tensor:
        r = _norm(v)
        along = (_tangents(m) @ v.unsqueeze(-1)).squeeze(-1)
        return torch.cos(r).unsqueeze(-1) * m + torch.sinc(r / torch.pi).unsqueeze(-1) * along

    def contains(self, x: Tensor) -> Tensor:
        return (x.norm(dim=-1) - 1).abs() < _tolerance(x)


class Rotations(ValueSpace):
    """SO(3) as matrices (3, 3), with the angle of p^T q for distance. Isometries: q -> a q b.

    Means are unique for points within pi/2 of one of them.
    """

    shape = (3, 3)

    def start(self, x: Tensor, weight: Tensor) -> Tensor:
        u, _, v = torch.linalg.svd((weight[..., None, None] * x).sum(-3))
        sign = torch.ones_like(u[..., 0, :])
        sign[..., 2] = torch.linalg.det(u @ v)
        return u @ (sign.unsqueeze(-1) * v)

    def logs(self, m: Tensor, x: Tensor) -> Tensor:
        turn = m.mT.unsqueeze(-3) @ x
        skew = (turn - turn.mT) / 2
        axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
        sine = _norm(axis)
        angle = torch.atan2(sine, (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2)
        return axis * _ratio(angle, sine).unsqueeze(-1)

    def hessian(self, logs: Tensor) -> Tensor:
        return _constant_curvature(logs, 0.5)

    def move(self, m: Tensor, v: Tensor) -> Tensor:
        zero = torch.zeros_like(v[..., 0])
        rows = [zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero]
        return m @ torch.linalg.matrix_exp(torch.stack(rows, -1).unflatten(-1, (3, 3)))

    def contains(self, x: Tensor) -> Tensor:
        near = (x.mT @ x - torch.eye(3, dtype=x.dtype, device=x.device)).abs().amax((-1, -2)) < _tolerance(x)
        return near & (torch.linalg.det(x) > 0)


class PositiveDefinite(ValueSpace):
    r"""Symmetric positive definite n x n matrices with the metric that no change of basis alters.

    :math:`d(p, q) = |\log(p^{-1/2} q\, p^{-1/2})|` (Pennec, Fillard, Ayache 2006). Isometries: q -> g q g^T for every
    invertible g, and q -> q^-1. It is negatively curved, so that means are always unique.
    """

    def __init__(self, n: int) -> None:
        self.n = check_int(self, "n", n)
        self.shape = (n, n)

    def start(self, x: Tensor, weight: Tensor) -> Tensor:
        return (weight[..., None, None] * x).sum(-3)

    def logs(self, m: Tensor, x: Tensor) -> Tensor:
        root = torch.linalg.cholesky(m).unsqueeze(-3)
        white = torch.linalg.solve_triangular(root, x, upper=False)
        white = torch.linalg.solve_triangular(root, white.mT, upper=False)
        return torch.einsum("aij,...ij->...a", self._basis(x), _SymmetricLog.apply((white + white.mT) / 2)[0])

    def hessian(self, logs: Tensor) -> Tensor:
        basis = self._basis(logs)
        value, vector = torch.linalg.eigh(torch.einsum("aij,...a->...ij", basis, logs))
        half = (value.unsqueeze(-1) - value.unsqueeze(-2)) / 2
        factor = torch.where(half.abs() < 1e-4, 1 + half.square() / 3, half / torch.tanh(half))
        turned = vector.mT.unsqueeze(-3) @ basis @ vector.unsqueeze(-3)  # (..., k, n, n)
        return torch.einsum("...aij,...ij,...bij->...ab", turned, factor, turned)

    def move(self, m: Tensor, v: Tensor) -> Tensor:
        root = torch.linalg.cholesky(m)
        moved = root @ torch.linalg.matrix_exp(torch.einsum("aij,...a->...ij", self._basis(v), v)) @ root.mT
        return (moved + moved.mT) / 2

    def contains(self, x: Tensor) -> Tensor:
        size = x.abs().amax((-1, -2))
        symmetric = (x - x.mT).abs().amax((-1, -2)) < _tolerance(x) * size
        return symmetric & (torch.linalg.cholesky_ex(x)[1] == 0)

    def _basis(self, like: Tensor) -> Tensor:
        """Orthonormal symmetric matrices: (n (n + 1) / 2, n, n)."""
        i, j = torch.triu_indices(self.n, self.n, device=like.device)
        number = torch.arange(len(i), device=like.device)
        basis = like.new_zeros(len(i), self.n, self.n)
        size = torch.where(i == j, 1.0, 0.5).to(like.dtype).sqrt()
        return basis.index_put((number, i, j), size).index_put((number, j, i), size)

    def __repr__(self) -> str:
        return f"PositiveDefinite({self.n})"


class _SymmetricLog(torch.autograd.Function):
    """log of symmetric positive definite matrices, whose derivative is finite where eigenvalues are equal (Daleckii-Krein)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value, vector = torch.linalg.eigh(x)
        return vector @ (value.log().unsqueeze(-1) * vector.mT), value, vector

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> Tensor:
        value, vector = ctx.saved_tensors
        difference = value.unsqueeze(-1) - value.unsqueeze(-2)
        total = value.unsqueeze(-1) + value.unsqueeze(-2)
        close = difference.abs() < 1e-6 * total
        # (log a - log b) / (a - b) = 2 artanh((a - b) / (a + b)) / (a - b)
        divided = 2 * torch.atanh(difference / total) / torch.where(close, torch.ones_like(difference), difference)
        slope = torch.where(close, 2 / total, divided)
        return vector @ (slope * (vector.mT @ grad @ vector)) @ vector.mT


def _tangents(m: Tensor) -> Tensor:
    """An orthonormal basis of the tangent plane of the sphere at m: (..., 3) -> (..., 3, 2)."""
    # The axis farthest from m.
    away = torch.nn.functional.one_hot(m.detach().abs().argmin(-1), 3).to(m.dtype)
    first = torch.nn.functional.normalize(torch.linalg.cross(m, away), dim=-1)
    return torch.stack([first, torch.linalg.cross(m, first)], -1)


def _constant_curvature(logs: Tensor, root: float) -> Tensor:
    """Hessians of half the squared distance where all planes through a radius have the curvature root^2."""
    r = _norm(logs)[..., None, None]
    angle = root * r
    across = torch.where(angle < 1e-4, 1 - angle.square() / 3, angle / torch.tan(angle.clamp_min(1e-6)))
    unit = logs / r.squeeze(-1).clamp_min(torch.finfo(logs.dtype).tiny)
    along = unit.unsqueeze(-1) * unit.unsqueeze(-2)
    return across * torch.eye(logs.shape[-1], dtype=logs.dtype, device=logs.device) + (1 - across) * along


def _norm(v: Tensor) -> Tensor:
    """|v| with the gradient 0 at 0."""
    square = v.square().sum(-1)
    zero = square == 0
    return torch.where(zero, torch.zeros_like(square), torch.where(zero, torch.ones_like(square), square).sqrt())


def _ratio(angle: Tensor, sine: Tensor) -> Tensor:
    """angle / sine, and 1 at 0."""
    zero = sine == 0
    return torch.where(zero, torch.ones_like(angle), angle / torch.where(zero, torch.ones_like(sine), sine))


def _tolerance(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps ** 0.5
