"""Readers of weights on images and on the icosahedron: what their layers' formulas give, and errors.

Arrays that their code has made are in tests/nn/grid/test_planar_oracles.py and tests/nn/graph/oracles.
"""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.models import published
from gaugenet.nn import OnGrid

C4, D4 = groups.Cyclic(4), groups.Dihedral(4)


def their_norm(state, x, sizes, training):
    """InnerBatchNorm: one BatchNorm3d for the fields of every size, over their components too."""
    out, start = torch.empty_like(x), 0
    for s, count in sizes:
        norm = torch.nn.BatchNorm3d(count).double().train(training)
        norm.load_state_dict({n: state[f"batch_norm_[{s}].{n}"].clone() for n in norm.state_dict()})
        part = slice(start, start + s * count)
        out[:, part] = norm(x[:, part].unflatten(1, (count, s))).flatten(1, 2)
        start += s * count
    return out


@pytest.mark.parametrize("group", [C4, D4], ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_inner_batch_norm(group, training):
    torch.manual_seed(0)
    n = group.order
    type, state = published.escnn_type(group, ["regular"] * 3 + [f"irrep_0{',0' if n == 8 else ''}"] * 2), {}
    for s, count in ((n, 3), (1, 2)):
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"batch_norm_[{s}].{name}"] = torch.rand(count, dtype=torch.float64) + 0.5
        state[f"batch_norm_[{s}].num_batches_tracked"] = torch.tensor(9)
        state[f"indices_{s}"] = torch.tensor([0, 1])
    norm = OnGrid(published.escnn_inner_batch_norm(state, type)).double().train(training)
    x = torch.randn(5, type.dim, 6, 6, dtype=torch.float64)
    q = published.escnn_basis(type)
    turn = lambda y: torch.einsum("iI,bIyx->biyx", q, y)  # noqa: E731
    assert torch.allclose(norm(turn(x)), turn(their_norm(state, x, ((n, 3), (1, 2)), training)), rtol=1e-11, atol=1e-11)


def test_inner_batch_norm_goes_on_like_theirs():
    """The newest batch counts as much as there."""
    torch.manual_seed(0)
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"batch_norm_[4].{name}": torch.rand(2, dtype=torch.float64) + 0.5 for name in names}
    state["batch_norm_[4].num_batches_tracked"] = torch.tensor(3)
    theirs = torch.nn.BatchNorm3d(2).double()
    theirs.load_state_dict({name.removeprefix("batch_norm_[4]."): value.clone() for name, value in state.items()})
    type = FieldType(C4, "2xregular")
    ours = OnGrid(published.escnn_inner_batch_norm(state, type)).double()
    x, q = torch.randn(5, 8, 4, 4, dtype=torch.float64), published.escnn_basis(type)
    theirs(x.unflatten(1, (2, 4)))
    ours(torch.einsum("iI,bIyx->biyx", q, x))
    assert torch.allclose(ours.layer.running_mean, 2 * theirs.running_mean, rtol=1e-4)


def test_escnn_errors():
    types = published.escnn_type(C4, ["irrep_0"]), published.escnn_type(C4, ["regular", "regular"])
    with pytest.raises(ValueError, match=r"no 'filter' in the state.*module.eval\(\).state_dict\(\)"):
        published.escnn_conv({"weights": torch.zeros(9), "bias": torch.zeros(2)}, *types)
    with pytest.raises(ValueError, match="none of those that are equivariant"):
        published.escnn_conv({"filter": torch.randn(8, 1, 3, 3)}, *types)
    with pytest.raises(ValueError, match="not one that the group leaves"):
        published.escnn_conv({"filter": torch.zeros(8, 1, 3, 3), "expanded_bias": torch.randn(8)}, *types)
    with pytest.raises(ValueError, match="got 'nonsense'"):
        published.escnn_type(C4, ["nonsense"])
    with pytest.raises(ValueError, match="has no 'irrep_7'"):
        published.escnn_type(C4, ["irrep_7"])
    with pytest.raises(TypeError, match="InnerBatchNorm expected regular"):
        published.escnn_inner_batch_norm({}, FieldType(C4, "1x1"))
    with pytest.raises(ValueError, match="expected irreps, regular and quotient"):
        published.escnn_basis(FieldType(C4, [(1, C4.irrep(1) + C4.irrep(0))]))


def test_escnn_options():
    """Of another basis: a cut-off as they had it."""
    from gaugenet.nn import GridConv

    types = FieldType(C4, "1x0"), FieldType(C4, "1xregular")
    made = GridConv(*types, 5, basis="band_limited", bias=False, max_frequency=1, rings=(0.0, 1.5), sigma=0.7).double()
    q = published.escnn_basis(types[1])
    state = {"net.filter": torch.einsum("oO,oiyx->Oiyx", q, made.kernel())}
    bounds = {"max_frequency": 1, "rings": (0.0, 1.5), "sigma": 0.7}
    read = published.escnn_conv(state, *types, padding=2, stride=2, prefix="net.", **bounds).double()
    assert torch.allclose(read.kernel(), made.kernel(), rtol=1e-10, atol=1e-10)
    assert read.padding == (2, 2) and read.stride == (2, 2)
    with pytest.raises(ValueError, match="none of those"):
        published.escnn_conv(state, *types, prefix="net.", max_frequency=0, rings=(0.0, 1.5), sigma=0.7)


def test_groupy_options_and_errors():
    state = {"conv.weight": torch.randn(3, 2, 1, 2, 2), "conv.bias": torch.randn(3)}
    conv = published.groupy_conv(state, stride=2, padding=1, prefix="conv.")
    assert conv.stride == (2, 2) and conv.padding == (1, 1) and conv.out_type == FieldType(C4, "3xregular")
    with pytest.raises(ValueError, match="order 4"):
        published.groupy_conv(state, order=6, prefix="conv.")
    with pytest.raises(ValueError, match=r"1 or 8, k, k\)"):
        published.groupy_conv({"weight": torch.randn(3, 2, 4, 3, 3)}, order=8)
    with pytest.raises(ValueError, match="expected no 'inds'"):
        published.groupy_conv({"weight": torch.randn(3, 2, 4, 3, 3), "inds": torch.zeros(3)})


def test_icosahedral_norm_scales_and_shifts():
    weight, bias = torch.rand(3, 1, dtype=torch.float64), torch.rand(3, 1, dtype=torch.float64)
    norm = published.icosahedral_norm({"weight": weight, "bias": bias}).double()
    x = torch.randn(7, 18, dtype=torch.float64)
    plain = torch.nn.functional.layer_norm(x, (18,))
    assert torch.allclose(norm(x), (plain.view(-1, 6, 3) * weight[:, 0] + bias[:, 0]).flatten(1), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="no 'bias'"):
        published.icosahedral_norm({"weight": weight})


def test_icosahedral_errors():
    state = {"weight": torch.randn(2, 3, 6, 7)}
    assert published.icosahedral_conv(state).bias is None
    assert published.icosahedral_conv(state, "average").corners_in.mode == "average"
    with pytest.raises(ValueError, match="corners"):
        published.icosahedral_conv(state, "cone")
    with pytest.raises(ValueError, match="1 or 6, 7"):
        published.icosahedral_conv({"weight": torch.randn(2, 3, 5, 7)})


def test_moebius_errors():
    with pytest.raises(ValueError, match="odd number of columns"):
        published.moebius_conv({}, (1, 0, 0), (1, 0, 0))
    state = {"weights_triv2triv": torch.randn(2, 1, 3, 5), "bias_triv": torch.randn(2)}
    conv = published.moebius_conv(state, (1, 0, 0), (2, 0, 0))
    assert torch.allclose(conv.bias.row(), state["bias_triv"])
    with pytest.raises(ValueError, match="no 'weights_triv2sign'"):
        published.moebius_conv(state, (1, 0, 0), (2, 1, 0))
    with pytest.raises(ValueError, match="expected no 'bias_sign'"):
        published.moebius_conv({**state, "bias_sign": torch.zeros(1)}, (1, 0, 0), (2, 0, 0))
    with pytest.raises(ValueError, match="mode"):
        published.moebius_cnn(state, "trivial")
