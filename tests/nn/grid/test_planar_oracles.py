"""The layers on images against published networks: p4, p4m, p6, p6m, cyclic pooling, E(2)-steerable convolutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.kernels import Lattice
from gaugenet.models import published
from gaugenet.nn import GridConv, GroupPool, OnGrid
from gaugenet.testing import transform_image
from tests.helpers.networks import set_kernel

C4, D4, C6, D6 = groups.Cyclic(4), groups.Dihedral(4), groups.Cyclic(6), groups.Dihedral(6)
CASES = [
    ("groupy/groupy_p4_p4m", "p4_", C4, "square"),
    ("groupy/groupy_p4_p4m", "p4m_", D4, "square"),
    *[("hexaconv/hexaconv_p6_p6m", f"p6_k{k}_", C6, "hexagonal") for k in (3, 5)],
    *[("hexaconv/hexaconv_p6_p6m", f"p6m_k{k}_", D6, "hexagonal") for k in (3, 5)],
]
TOLERANCES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def oracle_arrays(shared, name, prefix):
    arrays = np.load(shared / "oracles" / "seeds" / f"{name}.npz")
    return {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}


def element_order(group, lattice, mats) -> np.ndarray:
    """Their number of each of our elements: both act on (row, column) by integer matrices."""
    ours = Lattice.of(lattice).symmetries(group)[1]
    return np.array([int(np.flatnonzero((mats == m).all((1, 2)))[0]) for m in ours])


def ours(x, order=None) -> torch.Tensor:
    """(B, fields, elements, H, W) to (B, elements * fields, H, W), our elements in our order."""
    x = x if order is None else x[:, :, order]
    return torch.from_numpy(np.ascontiguousarray(x.swapaxes(1, 2))).flatten(1, 2)


def our_filter(bank, order, order_in=None) -> torch.Tensor:
    """(O, elements, I, elements or 1, k, k) to the weight of conv2d of our channels."""
    bank = bank[:, order] if order_in is None else bank[:, order][:, :, :, order_in]
    return torch.from_numpy(np.ascontiguousarray(bank.transpose(1, 0, 3, 2, 4, 5))).flatten(0, 1).flatten(1, 2)


def network(arrays, group, lattice):
    """Lifting and group convolution with the oracle's weights."""
    order = element_order(group, lattice, arrays["mats"])
    kernels = our_filter(arrays["tw0"], order), our_filter(arrays["tw1"], order, order)
    muls = arrays["tw0"].shape[2], arrays["tw0"].shape[0], arrays["tw1"].shape[0]
    types = [FieldType(group, f"{mul}x{name}") for mul, name in zip(muls, ("0", "regular", "regular"))]
    size = kernels[0].shape[-1]
    padding = size // 2 if lattice == "square" else size - 1
    biases = [False, "b1" in arrays]
    convs = [GridConv(a, b, size, padding, lattice=lattice, bias=bias).double() for a, b, bias in zip(types, types[1:], biases)]
    for conv, kernel in zip(convs, kernels):
        set_kernel(conv, kernel)
    if "b1" in arrays:
        with torch.no_grad():  # the invariant vector of a regular field has unit norm
            convs[1].bias.value.copy_(torch.from_numpy(arrays["b1"]) * group.order**0.5)
    return convs, types, order


@pytest.mark.parametrize(("name", "prefix", "group", "lattice"), CASES, ids=[c[1] for c in CASES])
def test_group_convolutions(shared, name, prefix, group, lattice):
    arrays = oracle_arrays(shared, name, prefix)
    convs, _, order = network(arrays, group, lattice)
    for dtype, tolerance in TOLERANCES:
        lift, conv = (c.to(dtype) for c in convs)
        y0 = lift(ours(arrays["x"]).to(dtype))
        expected = ours(arrays["y0"], order), ours(arrays["y1"], order)
        assert y0.shape == expected[0].shape
        assert float((y0 - expected[0]).detach().abs().max() / expected[0].abs().max()) < tolerance
        y1 = conv(torch.relu(y0))
        assert float((y1 - expected[1]).detach().abs().max() / expected[1].abs().max()) < tolerance


@pytest.mark.parametrize(("prefix", "count"), [("p4_", 4), ("p4m_", 8)], ids=["p4", "p4m"])
def test_published_group_convolutions(shared, prefix, count):
    """GrouPy's own weights, those of one filter."""
    arrays, order = oracle_arrays(shared, "groupy/groupy_p4_p4m", prefix), published.groupy_order(count)
    assert np.array_equal(published.groupy_elements(count), arrays["mats"])
    lift = published.groupy_conv({"weight": arrays["w0"]}, order=count, padding=1).double()
    conv = published.groupy_conv({"weight": arrays["w1"], "bias": arrays["b1"]}, order=count, padding=1).double()
    y0 = lift(ours(arrays["x"]))
    assert torch.allclose(y0, ours(arrays["y0"], order), rtol=1e-12, atol=1e-12)
    assert torch.allclose(conv(torch.relu(y0)), ours(arrays["y1"], order), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("prefix", "group"), [("p4_", C4), ("p4m_", D4)], ids=["p4", "p4m"])
def test_every_transformed_pair(shared, prefix, group):
    arrays = oracle_arrays(shared, "groupy/groupy_p4_p4m", prefix)
    (lift, conv), types, order = network(arrays, group, "square")
    x = ours(arrays["x"])[:1]
    for k, element in zip(order, group.elements):
        moved = transform_image(x, types[0], element)
        assert torch.equal(moved, ours(arrays[f"gx_{k}"]))
        y = conv(torch.relu(lift(moved)))
        expected = ours(arrays[f"gy_{k}"], order)
        assert torch.allclose(y, expected, rtol=1e-10, atol=1e-10)
        assert torch.allclose(transform_image(conv(torch.relu(lift(x))), types[2], element), expected, rtol=1e-10, atol=1e-10)


def turned_filters(w, lifting: bool) -> np.ndarray:
    """(O, I, [elements of the input,] k, k) of the identity to the whole bank (O, 4, I, elements, k, k) of p4."""
    if lifting:
        return np.stack([np.rot90(w[:, :, None], h, (-2, -1)) for h in range(4)], 1)
    return np.stack([np.rot90(np.roll(w, h, 2), h, (-2, -1)) for h in range(4)], 1)


def test_cyclic_slicing_and_pooling(shared):
    """Dieleman et al. 2016: a plain network on four turned copies, turned back, is our p4 network at the four rotations."""
    arrays = np.load(shared / "oracles" / "seeds" / "dieleman" / "dieleman.npz")
    order = element_order(C4, "square", arrays["mats"])
    scalars, hidden, out = FieldType(C4, "2x0"), FieldType(C4, "3xregular"), FieldType(C4, "4xregular")
    lift, conv = GridConv(scalars, hidden, 3, 1, bias=False).double(), GridConv(hidden, out, 3, 1, bias=False).double()
    set_kernel(lift, our_filter(turned_filters(arrays["w0"], True), order))
    set_kernel(conv, our_filter(turned_filters(arrays["w1"], False), order, order))
    y = conv(torch.relu(lift(torch.from_numpy(arrays["x"]))))
    assert torch.allclose(y, ours(arrays["aligned"], order), rtol=1e-10, atol=1e-10)
    components = y.unflatten(1, (4, 4))
    for k, element in enumerate(C4.elements):  # a path saw the image turned back by its element
        path = transform_image(components[:, k], FieldType(C4, "4x0"), element.T)
        assert torch.allclose(path, torch.from_numpy(arrays["paths"][:, :, order[k]]), rtol=1e-10, atol=1e-10)
    assert torch.allclose(OnGrid(GroupPool(out, "mean"))(y), torch.from_numpy(arrays["pooled"]), rtol=1e-10, atol=1e-10)


E2_CASES = ["C4_lift_k3", "C4_reg_k3", "C4_reg_k5", "C8_reg_k5", "C6_reg_k5", "D4_reg_k5", "D4_mixed_k5", "SO2_irreps_k5"]
E2_CASES += ["SO2_irreps_k7_s2", "O2_irreps_k5"]


@pytest.mark.parametrize("case", E2_CASES)
def test_steerable_convolutions(shared, case):
    """escnn's R2Conv in its defaults: its filters lie in our band-limited basis in its defaults, and give the same numbers."""
    arrays = np.load(shared / "oracles" / "escnn" / "r2conv.npz")
    a = {key.removeprefix(f"{case}/"): arrays[key] for key in arrays.files if key.startswith(f"{case}/")}
    name, g = case.split("_")[0], torch.from_numpy(a["basespace"])
    group = groups.group_of(name)
    in_type, out_type = (published.escnn_type(group, a[f"{end}_reps"]) for end in ("in", "out"))
    q_in, q_out = published.escnn_basis(in_type), published.escnn_basis(out_type)
    for type, q, rho in ((in_type, q_in, a["rho_in"]), (out_type, q_out, a["rho_out"])):
        assert torch.allclose(type(g), q @ torch.from_numpy(rho) @ q.T, rtol=0, atol=1e-12)
    options = {"padding": int(a["padding"]), "stride": int(a["stride"])}
    state = {"weights": a["weights"], "filter": a["filter"], "expanded_bias": a["bias"]}
    conv = published.escnn_conv(state, in_type, out_type, **options).double()
    assert conv.weight.numel() == int(a["basis_dim"])
    wanted = torch.einsum("oO,OIyx,iI->oiyx", q_out, torch.from_numpy(a["filter"]), q_in)
    # Theirs was expanded in single precision.
    assert float((conv.kernel() - wanted).detach().norm() / wanted.norm()) < 1e-6
    x, y = (torch.from_numpy(a[key]) for key in ("x", "y"))
    expected = torch.einsum("oO,bOyx->boyx", q_out, y)
    out = conv(torch.einsum("iI,bIyx->biyx", q_in, x))
    assert float((out - expected).detach().abs().max() / expected.abs().max()) < 1e-5
    for k, element in enumerate(torch.from_numpy(a.get("exact_basespace", np.zeros((0, 2, 2))))):
        for image, moved, type, q in ((x, "x", in_type, q_in), (y, "y", out_type, q_out)):
            mine = transform_image(torch.einsum("iI,bIyx->biyx", q, image), type, element)
            theirs = torch.einsum("iI,bIyx->biyx", q, torch.from_numpy(a[f"exact_{moved}_transformed"][k]).double())
            assert float((mine - theirs).abs().max() / theirs.abs().max()) < 1e-5
