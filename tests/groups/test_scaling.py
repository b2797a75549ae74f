"""Dilations at a truncated set of scales."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.nn import FieldBias, FieldNorm, GroupPool, NormNonlinearity

G = groups.Scaling((1.0, 1.414, 2.0))


def dilation(s):
    return s * torch.eye(2, dtype=torch.float64)


def test_is_a_group_value():
    assert groups.Scaling([1, 1.414, 2]) == G != groups.Scaling() and hash(G) == hash(groups.Scaling((1, 1.414, 2)))
    assert eval(repr(G), {"Scaling": groups.Scaling}) == G and pickle.loads(pickle.dumps(G)) == G == copy.deepcopy(G)
    assert G.order is None and G.dim == 2 and groups.Scaling((1.0, 2.0), dim=3).truncation.shape == (2, 3, 3)
    with pytest.raises(ValueError, match="infinite"):
        G.elements  # noqa: B018
    with pytest.raises(ValueError, match="compact"):
        G.quadrature(1)
    for bad in ((), (0.0, 1.0), (2.0, 1.0), (1.0, 1.2, 3.0), 2.0, ("a",)):
        with pytest.raises(ValueError, match="Scaling"):
            groups.Scaling(bad)
    with pytest.raises(ValueError, match="dim=4"):
        groups.Scaling((1.0, 2.0), dim=4)


def test_elements():
    assert torch.equal(G.truncation[:, 0, 0], torch.tensor([1.0, 1.414, 2.0], dtype=torch.float64))
    assert bool(G.contains(G.truncation).all()) and bool(G.contains(G.sample(20)).all())
    assert G.sample(3, dtype=torch.float32).dtype == torch.float32
    factors = G.sample(500, torch.Generator().manual_seed(0))[:, 0, 0]
    assert 0.5 <= factors.min() < 0.55 and 1.9 < factors.max() <= 2.0
    assert not G.contains(-dilation(1.0)) and not G.contains(torch.diag(torch.tensor([1.0, 1.1])))
    assert abs(G.ratio - 2**0.5) < 1e-12


def test_regular_fields_move_up_to_truncation():
    rho = G.regular
    step = rho(dilation(1.414))
    assert torch.equal(step, torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64))
    assert torch.equal(rho(dilation(2.0)), step @ step)
    assert torch.equal(rho(dilation(1 / 1.414)), step.T)
    assert torch.equal(rho(dilation(1.0)), torch.eye(3, dtype=torch.float64))
    assert torch.equal(rho(dilation(4.0)), torch.zeros(3, 3, dtype=torch.float64))  # beyond the sequence
    assert not torch.equal(step.T @ step, torch.eye(3, dtype=torch.float64))  # what has left does not come back
    assert rho(G.truncation).shape == (3, 3, 3)
    with pytest.raises(ValueError, match="ratio"):
        rho(dilation(1.2))
    with pytest.raises(ValueError, match="dilation"):
        rho(torch.diag(torch.tensor([1.0, 2.0])))
    with pytest.raises(ValueError, match="steps"):
        rho.lie(dilation(1.0))
    assert groups.Scaling((3.0,)).regular(dilation(1.0)).item() == 1


def test_layers_for_nodes_take_its_fields():
    type = FieldType(G, "2x0 + 3xregular")
    x = torch.randn(5, type.dim, dtype=torch.float64)
    assert type.dim == 11 and str(type) == "2x0 + 3xregular"
    moved = type.transform(dilation(1.414), x)
    act = NormNonlinearity(type).double()
    assert torch.equal(act(moved), type.transform(dilation(1.414), act(x)))
    assert FieldBias(type).value.shape == (5,)
    assert FieldNorm(type).double()(x).shape == x.shape
    pooled = GroupPool(type)(x)
    assert torch.equal(pooled[:, 2:], x[:, 2:].view(5, 3, 3).amax(1))
    with pytest.raises(ValueError, match="no irrep"):
        FieldType(G, "1x1")
