"""The largest value of a function of the direction."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...checks import check_int
from ...fields import FieldType, check_field_types
from ...kernels.constants import ConstantModule
from ...kernels.harmonics import circular_harmonics
from ...settings import KeepsSettings
from ..tensor_checks import check_features
from .nonlinearities import activation_function

_STEPS = 5  # of Newton's method: the error is squared in each


class AngularMaxPool(KeepsSettings, ConstantModule):
    r"""Angular max pooling: the maximum over all directions of functions on the circle (Masci et al. 2015, arXiv 1501.06297).

    .. math:: f \mapsto \sigma\Big(\max_a F(a)\Big), \qquad
              F(a) = f_0 + \sqrt 2 \sum_{l=1}^{L} \big(f_l^{\cos} \cos l a + f_l^{\sin} \sin l a\big)

    Behind a convolution of scalars it makes the best of all turns of a template. Over C_N and D_N the functions are regular
    fields, whose values are compared. Over SO(2) and O(2) the highest samples are where Newton's method begins, so that the
    maximum is one over all angles: no turn of the frame changes it, to rounding.

    Args:
        type: field type of the output, scalars; ``in_type`` has the functions.
        order: L, for SO(2) and O(2).
        activation: name or callable; None for none.

    Shapes:
        (N, in_type.dim) -> (N, type.dim).

    Raises:
        TypeError: a type with other fields than scalars. ValueError: groups of another dimension than 2.
    """

    samples: Tensor

    def __init__(self, type: FieldType, order: int = 2, activation: str | Callable[[Tensor], Tensor] | None = "relu") -> None:
        check_field_types(self, type=type)
        check_int(self, "order", order, 0)
        super().__init__()
        group = type.group
        if group.dim != 2:
            raise ValueError(f"AngularMaxPool is for groups of the plane, got {group}")
        if not all(rep.is_trivial for _, rep in type.blocks):
            raise TypeError(f"AngularMaxPool expected scalars as the output, got {type}")
        self.out_type, self.order, self.activation = type, order, activation
        self.act = None if activation is None else activation_function(activation)
        copies = type.dim
        functions = [(copies, group.regular)] if group.order else [(copies, str(l)) for l in range(order + 1)]
        self.in_type = FieldType(group, functions)
        # A function of order L has at most L maxima; as many samples that each shows.
        angle = torch.arange(16 * max(order, 1), dtype=torch.float64, device="cpu") * (torch.pi / (8 * max(order, 1)))
        self.register_constant("samples", circular_harmonics(torch.stack([angle.cos(), angle.sin()], -1), order))

    def forward(self, x: Tensor) -> Tensor:
        check_features(x, self.in_type, None, "AngularMaxPool")
        fields = x.unflatten(-1, (-1, self.out_type.dim))
        top = fields.amax(-2) if self.in_type.group.order else self._top(fields)
        return top if self.act is None else self.act(top)

    def _top(self, f: Tensor) -> Tensor:
        """The maxima of functions (N, 2 L + 1, C)."""
        if self.order == 0:
            return f.squeeze(-2)
        f = torch.cat([f[..., :1, :], 2**0.5 * f[..., 1:, :]], -2)
        angle = self._angle(f.detach())
        # One step with gradients: the angle as a function of f, for second derivatives.
        return _value(f, angle + self._step(f, angle), 0)

    def _angle(self, f: Tensor) -> Tensor:
        """(N, C), where the functions are largest."""
        values = self.constant("samples", f) @ f
        peak = (values >= values.roll(1, -2)) & (values >= values.roll(-1, -2))
        start = torch.where(peak, values, torch.full_like(values, -torch.inf)).topk(self.order, -2).indices
        angle = start * (2 * torch.pi / values.shape[-2])
        for _ in range(_STEPS):
            angle = angle + torch.stack([self._step(f, a) for a in angle.unbind(-2)], -2)
        best = torch.stack([_value(f, a, 0) for a in angle.unbind(-2)], -2).argmax(-2, keepdim=True)
        return angle.gather(-2, best).squeeze(-2)

    def _step(self, f: Tensor, angle: Tensor) -> Tensor:
        """Newton's, no farther than the next sample; none where the function does not bend down."""
        slope, bend = _value(f, angle, 1), _value(f, angle, 2)
        bent = bend < -torch.finfo(f.dtype).eps * f.abs().amax(-2)
        step = torch.where(bent, -slope / torch.where(bent, bend, -torch.ones_like(bend)), torch.zeros_like(bend))
        reach = 2 * torch.pi / self.samples.shape[0]
        return step.clamp(-reach, reach)

    def extra_repr(self) -> str:
        return f"{self.out_type}, order={self.order}, activation={self.activation!r}"


def _value(f: Tensor, angle: Tensor, derivative: int) -> Tensor:
    """The functions (N, 2 L + 1, C), or their first or second derivatives, at angles (N, C)."""
    found = f[..., 0, :] if derivative == 0 else torch.zeros_like(angle)
    for l in range(1, (f.shape[-2] + 1) // 2):
        cos, sin = (l * angle).cos(), (l * angle).sin()
        a, b = f[..., 2 * l - 1, :], f[..., 2 * l, :]
        term = l * (b * cos - a * sin) if derivative == 1 else a * cos + b * sin
        found = found - l**2 * term if derivative == 2 else found + term
    return found
