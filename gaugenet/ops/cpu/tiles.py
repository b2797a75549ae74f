"""Shapes of the register tiles of the CPU loop, by the vector registers of the processor.

A tile holds ``rows`` sums of :data:`~gaugenet.ops.cpu.vector.PANEL` numbers in registers; one more vector and a factor must fit
beside them, and about eight sums have to be under way to hide the latency of a multiplication (Goto & van de Geijn 2008,
"Anatomy of high-performance matrix multiplication"; Van Zee & van de Geijn 2015, BLIS, whose kernel for AVX2 is 6 x 16 too).
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple


class TileShapes(NamedTuple):
    """Numbers of rows to a tile.

    Attributes:
        product: of the matrix products, the larger and the smaller.
        sums: of the sums over neighbours, in falling order, down to 1.
        wide: panels of numbers, 1 or 2, that a tile of the products takes side by side where there are more than one: every
            factor serves both, so that fewer are loaded.
    """

    product: tuple[int, int]
    sums: tuple[int, ...]
    wide: int = 1


# In registers of float32: 32 of 16 numbers, 16 of 8, 32 of 4, 16 of 4.
SHAPES = {
    "avx512": TileShapes((12, 8), (9, 5, 3, 1), wide=2),
    "avx2": TileShapes((6, 4), (6, 5, 4, 3, 2, 1)),
    "neon": TileShapes((6, 4), (6, 5, 4, 3, 2, 1)),
    "sse": TileShapes((3, 2), (3, 2, 1)),
}


def instruction_set() -> str:
    """The key of SHAPES for the processor that numba compiles for, or that the environment variable GAUGENET_TILES names.

    Raises:
        ValueError: GAUGENET_TILES is no key of SHAPES.
    """
    name = os.environ.get("GAUGENET_TILES", "")
    if name:
        if name not in SHAPES:
            raise ValueError(f"unknown GAUGENET_TILES={name!r}: expected one of {', '.join(SHAPES)}")
        return name
    from numba.core.registry import cpu_target

    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    have = features.split(",")
    if "+avx512f" in have:
        return "avx512"
    if triple.startswith(("aarch64", "arm64")):
        return "neon"
    return "avx2" if "+avx2" in have and "+fma" in have else "sse"


NAME = instruction_set()
# Rows to a tile of the products, the larger and the smaller; numbers of rows for which there is a tile of the sums.
ROWS, FEWER = SHAPES[NAME].product
WIDE = SHAPES[NAME].wide
SUMS = SHAPES[NAME].sums
# Of every compiled function; those that Python calls are kept on the disk, with all that they call.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# Of parts that are called at every node.
HOT = OPTIONS | {"allocates": False}
# Of those with many arrays: to hand them over takes as long as the work on a few neighbours.
INLINED = HOT | {"forceinline": True}
ENTRY = OPTIONS | {"cache": True}
