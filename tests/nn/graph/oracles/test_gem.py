"""Our layers against numbers computed by GEM-CNN's own code (oracles/gem); its convolution is in tests/models/published."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import RegularNonlinearity

SO2 = groups.SO2()


def component_major(x: np.ndarray) -> torch.Tensor:
    """The oracle's (V, C, 2L+1) as our (V, dim) of "Cx0 + Cx1 + ..."."""
    return torch.from_numpy(x).transpose(1, 2).reshape(x.shape[0], -1)


def rotations(angle: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)], -2)


@pytest.mark.parametrize("samples", [5, 7, 11, 21, 51, 101])
def test_regular_nonlinearity(shared, samples):
    case = np.load(shared / "oracles" / "gem" / "regular_nonlin.npz")
    act = RegularNonlinearity(FieldType(SO2, "16x0 + 16x1 + 16x2"), samples=samples).double()
    expected = component_major(case[f"y_{samples}"])
    assert torch.allclose(act(component_major(case["x"])), expected, rtol=1e-12, atol=1e-12)


def test_action_of_irreps(shared):
    case = np.load(shared / "oracles" / "gem" / "rep_act.npz")
    angle = torch.from_numpy(case["theta"])
    ft = FieldType(SO2, "3x0 + 3x1 + 3x2 + 3x3 + 3x4")
    assert torch.allclose(
        ft.transform(rotations(angle), component_major(case["x"])), component_major(case["y"]), rtol=1e-12, atol=1e-12
    )
