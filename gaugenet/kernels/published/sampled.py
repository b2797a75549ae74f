"""What the published families share: parameters of their own shapes, and matrices at the pixels of an odd square."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...fields import FieldType
from ...groups import Representation
from ..constants import ConstantModule
from ..taps import square_taps


class SampledExpansion(ConstantModule):
    """The map from the parameters of a published layer to its matrices, see :class:`gaugenet.kernels.kernel.TapExpansion`.

    Subclasses set ``parameter_shapes``, and map the parameters to (T, in_type.dim, out_type.dim) in ``forward``.
    """

    parameter_shapes: dict[str, tuple[int, ...]]
    parts = 1

    def __init__(self, in_type: FieldType, out_type: FieldType) -> None:
        super().__init__()
        self.in_type, self.out_type = in_type, out_type

    def initial_parameters(self) -> dict[str, Tensor]:
        """Random parameters that about keep the variance, by name."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, {self.parameter_shapes}"


def odd_square(taps: np.ndarray, family: str) -> int:
    """Pixels a side of the square of taps (T, 2) about a pixel. Else ValueError."""
    size = round(len(taps) ** 0.5)
    if size % 2 == 0 or taps.shape != (size**2, 2) or not np.allclose(taps, square_taps(size)):
        raise ValueError(
            f"{family} turns or stretches kernels about a pixel of the square lattice: kernel_size must be odd and "
            f'lattice="square", got {len(taps)} taps that are no such square'
        )
    return size


def single_block(type: FieldType, allowed: dict[str, Representation], family: str) -> int:
    """The copies in a type that is one block of an allowed representation ({name: representation}). Else TypeError."""
    if len(type.blocks) != 1 or type.blocks[0][1] not in allowed.values():
        raise TypeError(f"{family} expected one block of {' or '.join(allowed)} fields, got {type}")
    return type.blocks[0][0]


def no_graphs(family: str) -> TypeError:
    """What a family that is sampled on pixels answers on graphs."""
    return TypeError(
        f"kernels.{family} is sampled on the pixels of arrays: on graphs take kernels.Polar, or kernels.Taps where the log "
        "maps lie on a lattice"
    )
