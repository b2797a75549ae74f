"""Dilations of the plane, seen at a truncated set of scales."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real

import numpy as np
import torch

from .group import Group
from .representation import Representation

# How far (in the logarithm) the ratios of sampled scales may be from one number: published ones are 1, 1.414, 2.
_TOLERANCE = 1e-2


@dataclass(frozen=True, repr=False)
class Scaling(Group):
    r"""The dilations :math:`x \mapsto s x`, s > 0, of which fields keep the values at S scales in a geometric sequence.

    The group is not compact, and the sampled scales are no subgroup: dilations move fields over the ends of the sequence, where
    they are lost (Worrall & Welling 2019, arXiv 1905.11697; Sosnovik, Szmaja & Smeulders 2020, arXiv 1910.11093). So it is only
    in part what the compact groups are:

    - The irrep is "0" (scalars), and :attr:`regular` the functions on the sampled scales, moved by *truncated* shifts:
      rho(s) rho(t) = rho(s t) only as far as nothing leaves the sequence.
    - There is no invariant mean (``quadrature`` refuses all but constants), hence no general kernel solver: the kernels are
      sampled from one profile at every scale (:class:`gaugenet.models.ScaleConv`). ``elements`` are refused as for every
      infinite group; :attr:`truncation` holds the sampled ones.
    - ``sample`` draws the logarithm of s uniformly between those of the smallest and of the largest ratio of scales.

    Args:
        scales: increasing positive numbers with one ratio (up to one percent).
        dim: of the space, 2 or 3.

    Raises:
        ValueError: scales that are no such sequence.
    """

    scales: tuple[float, ...] = (1.0, 2**0.5, 2.0)
    dim: int = 2

    def __post_init__(self) -> None:
        values = self.scales
        if not isinstance(values, tuple | list) or not values or not all(isinstance(s, Real) and s > 0 for s in values):
            raise ValueError(f"Scaling expected a tuple of positive scales, got {values!r}")
        object.__setattr__(self, "scales", tuple(float(s) for s in values))
        steps = np.diff(np.log(self.scales))
        if len(steps) and (steps.min() <= 0 or not np.isfinite(steps).all() or np.ptp(steps) > _TOLERANCE):
            raise ValueError(f"Scaling expected increasing scales with one ratio, got {self.scales}")
        if isinstance(self.dim, bool) or not isinstance(self.dim, Integral) or self.dim not in (2, 3):
            raise ValueError(f"Scaling acts on the plane or on space, got dim={self.dim!r}")

    @property
    def ratio(self) -> float:
        """Of neighbouring scales; 1 where there is one scale only."""
        count = len(self.scales)
        return (self.scales[-1] / self.scales[0]) ** (1 / (count - 1)) if count > 1 else 1.0

    @property
    def truncation(self) -> torch.Tensor:
        """The dilations by the sampled scales: (S, d, d) float64."""
        eye = torch.eye(self.dim, dtype=torch.float64, device="cpu")
        return torch.tensor(self.scales, dtype=torch.float64, device="cpu")[:, None, None] * eye

    @property
    def lie_generators(self) -> torch.Tensor:
        return torch.eye(self.dim, dtype=torch.float64, device="cpu")[None]

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        span = float(np.log(self.scales[-1] / self.scales[0]))
        exponent = (2 * torch.rand(n, generator=generator, dtype=torch.float64, device="cpu") - 1) * span
        return (exponent.exp()[:, None, None] * torch.eye(self.dim, dtype=torch.float64, device="cpu")).to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        factor = g.diagonal(dim1=-2, dim2=-1).mean(-1)
        multiple = factor[..., None, None] * torch.eye(self.dim, dtype=g.dtype, device=g.device)
        return (factor > 0) & ((g - multiple).abs().amax((-2, -1)) <= tol)

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        if degree > 0:
            raise ValueError(f"{self} is not compact: there is no mean over it that does not change under dilations")
        return torch.eye(self.dim, dtype=torch.float64, device="cpu")[None], torch.ones(1, dtype=torch.float64, device="cpu")

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        return ("0",)

    def canonical_name(self, name: str | int) -> str | None:
        return "0" if str(name) == "0" else None

    def irrep_dim(self, name: str) -> int:
        return 1

    def irrep_degree(self, name: str) -> int:
        return 0

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        return torch.ones(*g.shape[:-2], 1, 1, dtype=g.dtype, device=g.device)

    def _functions(self, subgroup: Group | None, max_order: int) -> Representation:
        raise ValueError(f"{self} is not compact: its fields keep the values at the sampled scales, regular")

    @property
    def regular(self) -> Representation:
        """Functions on the sampled scales, the smallest first: :class:`TruncatedRegular`."""
        return TruncatedRegular(self)


@dataclass(frozen=True, repr=False)
class TruncatedRegular(Representation):
    r"""Functions on the S sampled scales of :class:`Scaling`.

    .. math:: (\rho(s) f)(\sigma_i) = f(\sigma_i / s), \quad 0 \text{ beyond the ends}

    A shift by k for s = ratio^k, which loses what leaves the sequence: a representation up to this truncation. Pointwise
    functions that keep 0, and pooling over the scales where nothing leaves, commute with it.

    Raises:
        ValueError: (when called) a matrix that is no dilation by a power of the ratio, up to one percent.
    """

    group: Scaling

    name = "regular"
    degree = 0
    is_permutation = True  # up to truncation: what acts on every scale alike is as equivariant as the field itself
    is_trivial = is_sign = False  # nor asked of its derivative, which it does not have

    @property
    def dim(self) -> int:
        return len(self.group.scales)

    def _matrix(self, g: torch.Tensor) -> torch.Tensor:
        if not bool(self.group.contains(g.detach(), 1e-3).all()):
            raise ValueError(f"not a dilation: an element of {self.group} is a positive multiple of the identity")
        log, step = g.detach()[..., 0, 0].log(), float(np.log(self.group.ratio))
        shift = (log / step).round() if step else torch.zeros_like(log)
        if not bool(((log - shift * step).abs() <= _TOLERANCE).all()):
            raise ValueError(
                f"fields of {self.group} are moved by powers of the ratio {self.group.ratio:.4g} of its scales only"
            )
        place = torch.arange(self.dim, device=g.device)
        return (place[:, None] - place == shift[..., None, None]).to(g.dtype)

    def lie(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError(f"fields on the sampled scales of {self.group} are moved in steps: there is no derivative")

    def invariant_vectors(self) -> torch.Tensor:
        """The constant function: what a bias adds to every scale alike."""
        return torch.from_numpy(_constant(self.dim).copy())


@lru_cache(maxsize=32)
def _constant(count: int) -> np.ndarray:
    return np.full((1, count), count**-0.5)
