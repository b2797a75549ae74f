"""Weights of icoCNN (github.com/DavidDiazGuerra/icoCNN), Cohen et al. 2019 on the icosahedron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...checks import check_choice
from ...fields import FieldType
from ...groups import Cyclic
from ...nn import FieldNorm, LatticeConv
from .reading import State, bias_value, loaded, tap_weight

_CONV, _NORM = "ConvIco", "LNormIco"
#: ``smooth_vertices`` False and True
_CORNERS = ("zero", "average")


def icosahedral_conv(state: Mapping[str, Any], corners: str = "zero", *, prefix: str = "") -> LatticeConv:
    r"""ConvIco (Cohen et al. 2019, arXiv 1902.04615) as a :class:`gaugenet.nn.LatticeConv` of regular fields of C_6.

    The weight 0 is that of the centre, the weight j = 1..6 that of the neighbour at 180 - 60 j degrees from the direction in
    which a chart runs along its columns. Their output channel r has the filter turned by -60 r degrees, ours by +60 r, so that
    component r of a field of ours is the component -r of theirs, in frames along the columns of their charts.

    Args:
        state: "weight" (out, in, 1 or 6, 7), "bias" (out,) unless there is none.
        corners: "zero" for ``smooth_vertices=False``, "average" for True.
        prefix: of their names.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    check_choice(_CONV, "corners", corners, _CORNERS)
    found = State(state, prefix, _CONV)
    weight = found.take("weight", (None, None, None, 7))
    c_out, c_in, components, _ = weight.shape
    if components not in (1, 6):
        raise ValueError(f"{_CONV}: expected 'weight' (out, in, 1 or 6, 7), got {tuple(weight.shape)}")
    bias = found.take("bias", (c_out,)) if "bias" in found else None
    found.skip("kernel_expansion_idx", "process_vertices.", "padding.")
    found.finish()
    group = Cyclic(6)
    in_type = FieldType(group, [(c_in, group.trivial if components == 1 else group.regular)])
    conv = LatticeConv(in_type, FieldType(group, [(c_out, group.regular)]), bias=bias is not None, corners=corners)
    matrices = torch.zeros(len(conv.taps), components, c_in, 6, c_out, dtype=torch.float64)
    taps = torch.as_tensor(conv.taps, dtype=torch.float64)
    steps = (torch.atan2(taps[:, 1], taps[:, 0]) / (torch.pi / 3)).round().long()  # of 60 degrees
    for t, middle in enumerate(taps.norm(dim=1) < 0.5):
        for theirs in range(6):
            # Turned back by +60 degrees times the channel.
            number = 0 if middle else int((2 - steps[t] - theirs) % 6) + 1
            for r in range(components):
                matrices[t, -r % components, :, -theirs % 6] = weight[:, :, (r - theirs) % components, number].T
    values = {"weight": tap_weight(conv, matrices.flatten(3).flatten(1, 2), _CONV)}
    if bias is not None and conv.bias is not None:
        values["bias.value"] = bias_value(conv.bias, bias.repeat(6), _CONV)
    return loaded(conv, values, found.dtype)


def icosahedral_norm(state: Mapping[str, Any], *, prefix: str = "") -> FieldNorm:
    """LNormIco as a :class:`gaugenet.nn.FieldNorm` over the channels and components at every point.

    Args:
        state: "weight" (C, 1), "bias" (C, 1). prefix: of their names.

    Raises:
        ValueError: names that are missing or too many, arrays of another shape.
    """
    found = State(state, prefix, _NORM)
    weight = found.take("weight", (None, 1))
    bias = found.take("bias", (len(weight), 1))
    found.finish()
    norm = FieldNorm(FieldType(Cyclic(6), f"{len(weight)}xregular"), "layer")
    values = {"gamma": weight[:, 0]}
    if norm.beta is not None:
        values["beta.value"] = bias_value(norm.beta, bias[:, 0].repeat(6), _NORM)
    return loaded(norm, values, found.dtype)
