"""The transform of whole features: any sum of irreps of SO(2) or O(2) on the points of a sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_int
from ..fields import FieldType, check_field_types
from ..groups import O2, SO2
from .transform import SphericalTransform
from .wigner import rotate_coefficients


class FieldTransform(nn.Module):
    """`SphericalTransform` of features (..., N, dim) of a field type, block by block.

    Args:
        sampling, lmax, weights, frames, method, structure: see `SphericalTransform`; one of it is made for each order.
        field_type: irreps of SO(2) or O(2) ("0", "0-", "1", "2", ...), of orders up to lmax.

    Raises:
        TypeError: a group or representations of another kind. For these there is `rotate_field` by permutation.
        ValueError: as of `SphericalTransform`.

    Shapes:
        coefficients: a list with one tensor a block: (..., mul, K) for order 0, (..., mul, K, 2) for order s > 0.
    """

    def __init__(
        self,
        sampling,
        lmax: int,
        field_type: FieldType,
        *,
        weights: np.ndarray | Tensor | None = None,
        frames: np.ndarray | Tensor | None = None,
        method: str = "least_squares",
        structure: str = "auto",
    ) -> None:
        check_field_types(self, field_type=field_type)
        check_int(self, "lmax", lmax, 0)
        super().__init__()
        self.field_type = field_type
        self.spins = [_spin(field_type, rep) for _, rep in field_type.blocks]
        options: dict[str, Any] = {"weights": weights, "frames": frames, "method": method, "structure": structure}
        self.transforms = nn.ModuleDict({str(s): SphericalTransform(sampling, lmax, s, **options) for s in set(self.spins)})

    def _transform(self, spin: int) -> SphericalTransform:
        return self.transforms[str(spin)]  # type: ignore[return-value]

    def analysis(self, x: Tensor) -> list[Tensor]:
        """Features (..., N, dim) to the coefficients of every block."""
        parts = []
        for spin, block in zip(self.spins, self.field_type.split(x)):
            block = block.movedim(-1, -3)  # (..., N, n, mul) to (..., mul, N, n)
            parts.append(self._transform(spin).analysis(block if spin else block.squeeze(-1)))
        return parts

    def synthesis(self, coefficients: list[Tensor]) -> Tensor:
        """The inverse of `analysis`."""
        parts = []
        for spin, c in zip(self.spins, coefficients):
            values = self._transform(spin).synthesis(c)
            parts.append((values if spin else values.unsqueeze(-1)).movedim(-3, -1))
        return self.field_type.join(parts)

    def rotate(self, coefficients: list[Tensor], rotation: Tensor) -> list[Tensor]:
        """The coefficients of the turned field, see `rotate_coefficients`; rotation (..., 3, 3) with the leading shape of x.

        Raises:
            ValueError: a reflection of fields of SO(2).
        """
        reflected = torch.linalg.det(rotation.detach()) < 0
        if self.field_type.group == SO2() and not torch.compiler.is_compiling() and bool(reflected.any()):
            raise ValueError("fields of SO(2) have no reflections: take irreps of O(2)")
        sign = torch.where(reflected, -1, 1).to(rotation)[..., None, None]
        parts = []
        for (_, rep), spin, c in zip(self.field_type.blocks, self.spins, coefficients):
            turned = rotate_coefficients(c, rotation.unsqueeze(-3), spin)
            parts.append(turned * sign if rep.is_sign else turned)
        return parts

    def forward(self, x: Tensor) -> list[Tensor]:
        """The same as `analysis`."""
        return self.analysis(x)


def _spin(field_type: FieldType, rep) -> int:
    order = 0 if rep.is_trivial or rep.is_sign else rep.rotation_order
    if field_type.group not in (SO2(), O2()) or order is None:
        raise TypeError(f"expected field_type to consist of irreps of SO(2) or O(2), got {rep!r} of {field_type.group}")
    return order
