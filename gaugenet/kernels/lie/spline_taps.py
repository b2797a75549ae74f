"""B-splines on R^d x H at the taps of an array, H rotations or dilations."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...groups import Cyclic, Scaling, Trivial
from ..published.sampled import SampledExpansion, single_block
from ..radial import cardinal_spline

if TYPE_CHECKING:
    from .splines import Spline


class SplineExpansion(SampledExpansion):
    """The matrices of :class:`Spline` kernels. Its parameters are "weight" (K, out, in) and "centres", where these are learnt.

    K counts the centres of the plane, and at each of them those of H; "centres" (K, d) when lifting, (K, d + 1) otherwise:
    pixels, and steps of the samples of H.

    Raises:
        TypeError, ValueError: as :meth:`Spline.on_taps`.
    """

    points: Tensor
    first: Tensor
    measure: Tensor
    basis: Tensor

    def __init__(self, in_type: FieldType, out_type: FieldType, taps: np.ndarray, family: Spline) -> None:
        super().__init__(in_type, out_type)
        group, dim = in_type.group, taps.shape[1]
        if not isinstance(group, Cyclic | Trivial | Scaling) or group.dim != dim or out_type.group != group:
            raise TypeError(
                f"Spline expected on arrays fields over one groups.Cyclic(N), groups.Scaling or groups.Trivial, got {group} "
                f"and {out_type.group}"
            )
        regular = {"regular": group.regular} | ({"scalar": group.trivial} if group.order == 1 else {})
        copies_in = single_block(in_type, {"scalar": group.trivial, "regular": group.regular}, "Spline")
        copies_out = single_block(out_type, regular, "Spline")
        self.lifting = in_type.blocks[0][1] == group.trivial
        self.degree, self.stretch = family.degree, family.stretch
        self._fibre_width = family.fibre_spacing * family.stretch
        scales = np.array(group.scales) if isinstance(group, Scaling) else np.ones(1)
        elements = (group.truncation if isinstance(group, Scaling) else group.elements).numpy()
        side = 2 * np.abs(taps).max() + 1
        size, spacing = cast(int, family.size), cast("float | None", family.spacing)
        self.spacing = float(side / size / scales.max()) if spacing is None else float(spacing)
        #: samples of H, and whether they go round the circle
        self.count, self.closed = len(elements), not isinstance(group, Scaling)
        pixels = _centres(family, self.spacing, dim)
        if not len(pixels):
            raise ValueError(f"{family} has no centres on {len(taps)} taps: take disk=False, or a larger size")
        fibre = np.zeros((1, 0)) if self.lifting else _fibre(family, self.count, self.closed)
        first = np.array([np.concatenate(pair) for pair in product(pixels, fibre)])
        self.register_constant("points", torch.from_numpy(np.linalg.solve(elements[:, None], taps[None, :, :, None])[..., 0]))
        self.register_constant("measure", torch.from_numpy(1 / np.abs(np.linalg.det(elements))))
        self.register_constant("first", torch.from_numpy(first))
        exact = self._splines(*(self._exact[name] for name in ("points", "measure", "first")))
        self.register_constant("basis", None if family.learn_centres else exact)
        self.parameter_shapes = {"weight": (len(first), copies_out, copies_in)}
        if family.learn_centres:
            self.parameter_shapes["centres"] = tuple(first.shape)
        energy = float(exact.square().sum((1, 2, 3)).mean())
        self._std = (energy * copies_in) ** -0.5 if energy else 1.0

    def initial_parameters(self) -> dict[str, Tensor]:
        """Normal weights that about keep the variance, centres on the grid."""
        found = {"weight": torch.randn(self.parameter_shapes["weight"], device="cpu") * self._std}
        if "centres" in self.parameter_shapes:
            found["centres"] = self._exact["first"].to(found["weight"])
        return found

    def forward(self, weight: Tensor, centres: Tensor | None = None) -> Tensor:
        basis = self.basis if centres is None else self._splines(self.points, self.measure, centres)
        kernels = (basis.flatten(0, 2) @ weight.flatten(1)).view(*basis.shape[:3], *weight.shape[1:])  # (n, t, m, out, in)
        return kernels.permute(1, 2, 4, 0, 3).flatten(3).flatten(1, 2)

    def _splines(self, points: Tensor, measure: Tensor, centres: Tensor) -> Tensor:
        """The functions at h^-1 x and h^-1 h': (N, T, M, K)."""
        dim, width = points.shape[-1], self.spacing * self.stretch
        plane = cardinal_spline((points.unsqueeze(2) - centres[:, :dim]) / width, self.degree).prod(-1)
        plane = plane * measure[:, None, None]
        if self.lifting:
            return plane.unsqueeze(2)
        place = torch.arange(self.count, dtype=points.dtype, device=points.device)
        steps = (place - place[:, None]).unsqueeze(2) - centres[:, dim]  # (N, M, K)
        if self.closed:
            steps = torch.remainder(steps + self.count / 2, self.count) - self.count / 2
        fibre = cardinal_spline(steps / self._fibre_width, self.degree)
        return plane.unsqueeze(2) * fibre.unsqueeze(1)


def _centres(family: Spline, spacing: float, dim: int) -> np.ndarray:
    """(K, d) in pixels, in the order of conv2d: rows from the top, columns from the left."""
    size = cast(int, family.size)
    axes = [np.arange(size) - (size - 1) / 2] * dim
    grid = np.array(list(product(*axes)))
    order = [grid[:, 1], -grid[:, 0]] if dim == 2 else [grid[:, 2], -grid[:, 1], grid[:, 0]]
    centres = np.stack(order, 1) * spacing
    if family.disk:
        centres = centres[np.linalg.norm(centres, axis=1) <= spacing * (size - 1) / 2 + 0.5 + 1e-9]
    return centres


def _fibre(family: Spline, count: int, closed: bool) -> np.ndarray:
    """(K, 1) in steps of the samples."""
    number = count if family.fibre_size is None else family.fibre_size
    whole = closed and abs(number * family.fibre_spacing - count) < 1e-9
    return ((np.arange(number) - (0 if whole else (number - 1) // 2)) * family.fibre_spacing)[:, None]
