"""Weighted Frechet means as layers (ManifoldNet). Not a linear field theory: the values are points of a manifold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...checks import check_instance, check_int
from ...settings import KeepsSettings
from .spaces import ValueSpace

# Newton steps: the error is squared by each, so that a handful reaches rounding from the start.
_STEPS = 12
# What a mean may be off by, in units of the rounding of the dtype.
_SETTLED = 1e5


def frechet_mean(x: Tensor, weight: Tensor, space: ValueSpace) -> Tensor:
    r"""The weighted Frechet mean, the point with the least sum of weighted squared distances.

    .. math:: m = \arg\min_p \sum_i w_i\, d(p, x_i)^2 \quad\Leftrightarrow\quad \sum_i w_i \log_m(x_i) = 0

    An isometry g of the space moves it along: m(g x) = g m(x) (Chakraborty, Bouza, Manton, Vemuri 2018, arXiv 1809.06211,
    section 2). It is found by Newton's method; gradients to x and w are those of the equation (implicit differentiation),
    derivatives of second order are not there.

    Args:
        x: (..., M, *space.shape), points of the space, and near each other where it is positively curved
            (:class:`UnitSphere`, :class:`Rotations`).
        weight: (..., M), not negative; only their ratios count.
        space: where the points lie.

    Returns:
        (..., *space.shape).

    Raises:
        ValueError: shapes that do not fit; points for which the method does not settle, because they lie too far apart. (Not
            under a compiler, which cannot ask.)
    """
    dims = len(space.shape)
    if x.ndim <= dims or tuple(x.shape[x.ndim - dims :]) != space.shape:
        raise ValueError(f"frechet_mean expected points (..., M, {', '.join(map(str, space.shape))}), got {tuple(x.shape)}")
    if weight.shape[-1:] != x.shape[x.ndim - dims - 1 : x.ndim - dims]:
        count = x.shape[x.ndim - dims - 1]
        raise ValueError(f"frechet_mean expected weights (..., {count}), one for each point, got {tuple(weight.shape)}")
    weight = weight / weight.sum(-1, keepdim=True)
    with torch.no_grad():
        m = space.start(x, weight)
        for _ in range(_STEPS):
            m, step, hessian = _newton(space, m, x, weight)
        if not torch.compiler.is_compiling():
            settled = step.norm(dim=-1) <= _SETTLED * torch.finfo(x.dtype).eps
            least = torch.linalg.cholesky_ex(hessian)[1] == 0
            off = ~(settled & least & space.contains(m))
            if bool(off.any()):
                raise ValueError(
                    f"frechet_mean of {int(off.sum())} of {off.numel()} sets of points over {space} does not settle: the "
                    "points must be points of the space, and lie within a ball in which the mean is unique"
                )
    # One more step from there has the derivatives of the solution.
    return _newton(space, m, x, weight)[0]


def _newton(space: ValueSpace, m: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    logs = space.logs(m, x)
    slope = (weight.unsqueeze(-1) * logs).sum(-2)
    hessian = (weight.detach()[..., None, None] * space.hessian(logs.detach())).sum(-3)
    step = torch.linalg.solve(hessian, slope)
    return space.move(m, step), step, hessian


class FrechetMean(KeepsSettings):
    r"""Convex combinations of points of a manifold, with learnt weights (ManifoldNet's wFM layer).

    .. math:: m_o = \arg\min_p \sum_i w_{oi}\, d(p, x_i)^2, \qquad w_o = \mathrm{softmax}(\theta_o)

    (Chakraborty, Bouza, Manton, Vemuri 2018, arXiv 1809.06211, section 3.1.) A window of pixels with several channels each is
    one set of points. The layer commutes with the isometries of the space that move all points at once. It is no convolution
    of fields: values are neither scaled nor added, no frames are involved, and nothing is carried between points.

    Args:
        space: :class:`UnitSphere`, :class:`Rotations` or :class:`PositiveDefinite`.
        in_points: M, points that a mean is taken of. out_points: number of means.

    Shapes:
        (..., M, *space.shape) -> (..., out_points, *space.shape).

    Raises:
        TypeError, ValueError: as :func:`frechet_mean`.
    """

    def __init__(self, space: ValueSpace, in_points: int, out_points: int) -> None:
        super().__init__()
        check_instance(self, "space", space, ValueSpace, "a space of values, such as nn.UnitSphere()")
        self.space = space
        self.in_points = check_int(self, "in_points", in_points)
        self.out_points = check_int(self, "out_points", out_points)
        self.weight = nn.Parameter(torch.empty(self.out_points, self.in_points))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)

    def settings(self) -> dict:
        return {**super().settings(), "space": repr(self.space)}

    def forward(self, x: Tensor) -> Tensor:
        dims = len(self.space.shape)
        if x.ndim <= dims or tuple(x.shape[x.ndim - dims - 1 :]) != (self.in_points, *self.space.shape):
            wanted = ", ".join(map(str, (self.in_points, *self.space.shape)))
            raise ValueError(f"FrechetMean expected points (..., {wanted}), got {tuple(x.shape)}")
        if x.dtype != self.weight.dtype:
            raise TypeError(f"FrechetMean has {self.weight.dtype} weights, got {x.dtype} points")
        return frechet_mean(x.unsqueeze(-dims - 2), self.weight.softmax(-1), self.space)

    def extra_repr(self) -> str:
        return f"{self.space}, {self.in_points}, {self.out_points}"


class FrechetDistances(KeepsSettings):
    """Distances of the points to their mean, which no isometry changes: the invariant last layer of ManifoldNet.

    (Chakraborty, Bouza, Manton, Vemuri 2018, arXiv 1809.06211, section 3.3.)

    Args:
        space: as of :class:`FrechetMean`.

    Shapes:
        (..., M, *space.shape) -> (..., M).
    """

    def __init__(self, space: ValueSpace) -> None:
        super().__init__()
        check_instance(self, "space", space, ValueSpace, "a space of values, such as nn.UnitSphere()")
        self.space = space

    def settings(self) -> dict:
        return {**super().settings(), "space": repr(self.space)}

    def forward(self, x: Tensor) -> Tensor:
        dims = len(self.space.shape)
        weight = x.new_ones(x.shape[: x.ndim - dims])
        return self.space.distance(frechet_mean(x, weight, self.space), x)

    def extra_repr(self) -> str:
        return f"{self.space}"
