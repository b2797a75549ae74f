"""The moment-matched table as one torch operator: what a compiler sees of a graph that has no plan yet."""

from __future__ import annotations

import ast

import torch
from torch import Tensor

from ..radial import RadialProfile
from .matching import coefficient_table


@torch.library.custom_op("gaugenet::coefficient_table", mutates_args=())
def compiled_table(
    log: Tensor,
    weight: Tensor,
    radius: Tensor,
    edge_index: Tensor,
    area: Tensor | None,
    curvature: Tensor | None,
    profile: str,
    columns: int,
    max_frequency: int,
    degree: int | None,
) -> tuple[Tensor, Tensor]:
    """:func:`gaugenet.kernels.quadrature.coefficient_table` with a fixed profile, which its key names: (E, J) and (N, J).

    The sizes of its pieces depend on the numbers of a graph, so that a compiler cannot look inside.
    """
    geometry = log, weight, radius, edge_index, profile_of(profile)
    return coefficient_table(*geometry, max_frequency, area=area, curvature=curvature, degree=degree)


@compiled_table.register_fake
def _(log, weight, radius, edge_index, area, curvature, profile, columns, max_frequency, degree):
    return log.new_empty(log.shape[0], columns), log.new_empty(radius.shape[0], columns)


def profile_of(key: str) -> RadialProfile:
    """The fixed profile with a key, such as ``"GaussianRings(num=4, width=0.6, cutoff=True)"``.

    Raises:
        ValueError: no class of this name.
    """
    call = ast.parse(key, mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    classes = list(RadialProfile.__subclasses__())
    for kind in classes:
        classes.extend(kind.__subclasses__())
        if kind.__name__ == call.func.id:
            return kind(**{str(word.arg): ast.literal_eval(word.value) for word in call.keywords})
    raise ValueError(f"no radial profile is called {call.func.id!r}: run the layer once before it is compiled")
