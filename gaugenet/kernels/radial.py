"""Radial profiles: how a kernel depends on distance, r in units of the neighbourhood's radius."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn

from ..checks import check_int, check_ints, check_number, owner_name
from ..settings import KeepsSettings

#: a neighbour at distance exactly one radius must not be lost to rounding
_ROUNDING = 1e-5


def make_radial(radial: int | nn.Module, owner: object = "make_radial") -> nn.Module:
    """A profile from a number of radial functions (`GaussianRings`) or from a profile itself; errors name the ``owner``.

    A profile is any module with an attribute ``num`` that maps r (...) to (..., num) and vanishes beyond r = 1.

    Raises:
        TypeError: neither an integer nor a module with ``num``. ValueError: fewer than one function.
    """
    if isinstance(radial, nn.Module):
        if not isinstance(getattr(radial, "num", None), int):
            found = type(radial).__name__
            wanted = "a number or a profile with an integer attribute `num`"
            raise TypeError(f"{owner_name(owner)} expected radial to be {wanted}; {found} has none")
        return radial
    return GaussianRings(check_int(owner, "radial", radial))


def envelope(r: Tensor) -> Tensor:
    """(1 - r^4)^2 inside the unit ball, 0 outside: flat at the centre, with one continuous derivative at r = 1."""
    return (1 - r.clamp(max=1.0).square().square()).square()


def cox_de_boor(splines: Tensor, u: Tensor, degree: int) -> Tensor:
    """B-splines of a degree from those of degree 0 (..., n) on unit intervals, u from the start of each: (..., n - degree)."""
    for q in range(1, degree + 1):
        u = u[..., :-1]
        splines = (u * splines[..., :-1] + (q + 1 - u) * splines[..., 1:]) / q
    return splines


def cardinal_spline(x: Tensor, degree: int) -> Tensor:
    """The B-spline of a degree with knots of distance 1, about 0: (...) -> (...). Where one of degree 0 jumps, its mean."""
    u = x.unsqueeze(-1) + (degree + 1) / 2 - torch.arange(degree + 1, dtype=x.dtype, device=x.device)
    return cox_de_boor((u.sign() + (1 - u).sign()) / 2, u, degree).squeeze(-1)


class RadialProfile(KeepsSettings):
    """Base of the profiles.

    Args:
        num: B, the number of radial functions.
        cutoff: whether the functions go smoothly to zero at r = 1. If not they stop there; beyond r = 1 they are zero anyway.

    Attributes:
        num: B.
        key: a string that identifies the functions, None when they are learnt.
        breakpoints: radii between which the functions are smooth and vary slowly; integration rules cut there.
    """

    breakpoints: tuple[float, ...] = ()

    def __init__(self, num: int, cutoff: bool = True):
        super().__init__()
        self.num = check_int(self, "num", num)
        self.cutoff = bool(cutoff)

    @property
    def key(self) -> str | None:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        return f"num={self.num}, cutoff={self.cutoff}"

    def forward(self, r: Tensor) -> Tensor:
        """r (...) >= 0 to (..., B)."""
        values = self.functions(r.clamp(max=1.0))
        window = envelope(r) if self.cutoff and not self.vanishes_by_itself else (r <= 1 + _ROUNDING).to(r.dtype)
        return values * window[..., None]

    #: whether `functions` already go to zero at r = 1 when `cutoff` is set
    vanishes_by_itself = False

    def functions(self, r: Tensor) -> Tensor:
        """The functions on [0, 1], before the cut-off: (...) to (..., B)."""
        raise NotImplementedError


class GaussianRings(RadialProfile):
    """Gaussians on evenly spaced rings: exp(-(r - b / B)^2 / (2 s^2)), b = 0..B-1, times `envelope`.

    Args:
        num: B. The rings have radii 0, 1/B, ..., (B-1)/B.
        width: s in units of the spacing 1/B.
        cutoff: see `RadialProfile`.
    """

    def __init__(self, num: int, width: float = 0.6, cutoff: bool = True):
        super().__init__(num, cutoff)
        self.width = check_number(self, "width", width, positive=True)

    @property
    def breakpoints(self) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(b / self.num for b in range(1, self.num))

    def extra_repr(self) -> str:
        return f"num={self.num}, width={self.width!r}, cutoff={self.cutoff}"

    def functions(self, r: Tensor) -> Tensor:
        rings = torch.arange(self.num, dtype=r.dtype, device=r.device)
        return torch.exp(-0.5 * ((r[..., None] * self.num - rings) / self.width) ** 2)


class BSpline(RadialProfile):
    """Uniform B-splines of a degree p; piecewise polynomials with p - 1 continuous derivatives.

    With the cut-off they are the B splines on B intervals that vanish at r = 1 with p - 1 derivatives; without it all splines
    on B - p intervals, which sum to 1.

    Args:
        num: B.
        degree: p >= 1.
        cutoff: see `RadialProfile`. ValueError when False and B <= p.
    """

    vanishes_by_itself = True

    def __init__(self, num: int, degree: int = 3, cutoff: bool = True):
        super().__init__(num, cutoff)
        self.degree = check_int(self, "degree", degree)
        self.intervals = self.num if self.cutoff else self.num - self.degree
        if self.intervals < 1:
            raise ValueError(f"without cut-off B-splines of degree {degree} need num > degree, got num={num}")

    @property
    def breakpoints(self) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(b / self.intervals for b in range(1, self.intervals))

    def extra_repr(self) -> str:
        return f"num={self.num}, degree={self.degree}, cutoff={self.cutoff}"

    def functions(self, r: Tensor) -> Tensor:
        shifts = torch.arange(self.num + self.degree, dtype=r.dtype, device=r.device)
        u = (r * self.intervals + self.degree)[..., None] - shifts
        return cox_de_boor(((u >= 0) & (u < 1)).to(r.dtype), u, self.degree)


class LinearRings(RadialProfile):
    """Piecewise linear functions, each 1 on a ring of its own and 0 on the others: values on rings, interpolated.

    Args:
        num: B. Without the cut-off the rings have radii 0, 1/(B-1), ..., 1; with it 0, 1/B, ..., (B-1)/B, and the functions go
            to zero at r = 1.
        equal_area: between neighbouring rings equal areas, radii as the square roots of these, instead of equal distances.
        cutoff: see `RadialProfile`.
    """

    vanishes_by_itself = True

    def __init__(self, num: int, equal_area: bool = False, cutoff: bool = True):
        super().__init__(num, cutoff)
        self.equal_area = bool(equal_area)

    @property
    def knots(self) -> tuple[float, ...]:
        """Radii of the rings, with the cut-off 1 at the end."""
        last = max(self.num - (not self.cutoff), 1)
        return tuple((b / last) ** (0.5 if self.equal_area else 1) for b in range(self.num + self.cutoff))

    @property
    def breakpoints(self) -> tuple[float, ...]:  # type: ignore[override]
        return tuple(r for r in self.knots if 0 < r < 1)

    def extra_repr(self) -> str:
        return f"num={self.num}, equal_area={self.equal_area}, cutoff={self.cutoff}"

    def functions(self, r: Tensor) -> Tensor:
        knots = torch.tensor(self.knots, dtype=r.dtype, device=r.device)
        # How much of every interval lies behind: each function rises over one and falls over the next.
        done = ((r[..., None] - knots[:-1]) / (knots[1:] - knots[:-1])).clamp(0, 1)
        before = torch.cat([torch.ones_like(r[..., None]), done], -1)
        after = done if self.cutoff else torch.cat([done, torch.zeros_like(r[..., None])], -1)
        return before[..., : self.num] - after


class RadialMLP(RadialProfile):
    """Learnt profile: a small network (SiLU) of r seen through Gaussian rings, times `envelope`.

    Args:
        num: B.
        hidden: widths of the hidden layers, an integer for one layer.
        embedding: number of Gaussian rings that r is expanded in.
        cutoff: see `RadialProfile`.
    """

    key = None

    def __init__(self, num: int, hidden: int | Sequence[int] = (32,), embedding: int = 8, cutoff: bool = True):
        super().__init__(num, cutoff)
        self.hidden = check_ints(self, "hidden", (hidden,) if isinstance(hidden, Integral) else hidden)
        self.embedding = GaussianRings(check_int(self, "embedding", embedding), cutoff=False)
        sizes = (self.embedding.num, *self.hidden, self.num)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def reset_parameters(self) -> None:
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()

    def extra_repr(self) -> str:
        return f"num={self.num}, hidden={self.hidden}, cutoff={self.cutoff}"

    def functions(self, r: Tensor) -> Tensor:
        return self.layers(self.embedding(r))
