from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

import gaugenet.nn.fields.tensor_product as module
from gaugenet import FieldType, groups
from gaugenet.kernels import clebsch_gordan
from gaugenet.nn import TensorNonlinearity, TensorProduct
from tests.helpers.networks import randomise

SO2, SO3 = groups.SO2(), groups.SO3()
TYPES = [
    (SO2, "3x0 + 3x1 + 3x2"),
    (groups.O2(), "3x0 + 3x0- + 3x1"),
    (groups.Cyclic(4), "3xregular + 3x1"),
    (groups.Dihedral(3), "3x0- + 3x1 + 3xregular"),
    (SO3, "3x0 + 3x1"),
    (groups.Octahedral(), "3xT1 + 3xE"),
]


@pytest.mark.parametrize("group", [case[0] for case in TYPES], ids=str)
def test_coefficients_are_all_equivariant_products(group):
    """Orthonormal, equivariant, and as many as the characters say."""
    g = group.sample(40, generator=torch.Generator().manual_seed(0))
    reps = group.irreps(2)
    for triple in itertools.product(reps, repeat=3):
        c = clebsch_gordan(*triple)
        (r1, r2, out), k = (rep(g) for rep in triple), len(c)
        assert torch.allclose(torch.einsum("koab,loab->kl", c, c), torch.eye(k, dtype=c.dtype), rtol=1e-12, atol=1e-12)
        moved = torch.einsum("koab,gax,gby->gkoxy", c, r1, r2)
        assert torch.allclose(moved, torch.einsum("gop,kpxy->gkoxy", out, c), rtol=1e-12, atol=1e-12)
        elements, weights = group.quadrature(sum(rep.degree for rep in triple))
        traces = torch.stack([rep(elements).diagonal(dim1=-2, dim2=-1).sum(-1) for rep in triple]).prod(0)
        assert k == round(float(weights @ traces))


def test_planar_orders_add_and_subtract():
    """As complex numbers: z w and i z w, and z times the conjugate of w."""
    for l, m in itertools.product(range(1, 4), repeat=2):
        for n in range(7):
            count = len(clebsch_gordan(SO2.irrep(l), SO2.irrep(m), SO2.irrep(n)))
            assert count == 2 * (n in (l + m, abs(l - m)))
        z, w = torch.randn(2, 10, dtype=torch.complex128)
        for order, product in ((l + m, z * w), (abs(l - m), z * w.conj() if l >= m else z.conj() * w)):
            c = clebsch_gordan(SO2.irrep(l), SO2.irrep(m), SO2.irrep(order))
            ours = torch.einsum("koab,ra,rb->kro", c, torch.view_as_real(z), torch.view_as_real(w))
            theirs = torch.stack([torch.view_as_real(product), torch.view_as_real(1j * product)])
            theirs = theirs if order else torch.stack([product.real, product.imag])[..., None]
            both = torch.cat([ours, theirs]).flatten(1)
            assert torch.linalg.matrix_rank(ours.flatten(1)) == torch.linalg.matrix_rank(both, atol=1e-9) == 2


@pytest.mark.parametrize("key", ["C3", "C4", "C8", "SO2"])
def test_against_escnn(shared, key):
    """Their products are among ours, which also hold those followed by a quarter turn (D_N, O(2): they have another axis)."""
    oracle = np.load(shared / "oracles" / "escnn" / "irreps_cg.npz")
    group = SO2 if key == "SO2" else groups.Cyclic(int(key[1:]))
    names = [name for name in oracle.files if name.startswith(f"{key}/cg/")]
    for name in names:
        a, b, c = (part.removeprefix("irrep_") for part in name.split("/")[-1].replace("->", "*").split("*"))
        theirs = torch.from_numpy(oracle[name]).permute(2, 3, 0, 1).double()
        ours = clebsch_gordan(*(group.irrep(part) for part in (a, b, c)))
        _lie_in(theirs, ours)
    assert names


def test_against_e3nn_symbols(shared):
    oracle = np.load(shared / "oracles" / "escnn" / "e3nn_so3.npz")
    names = [name for name in oracle.files if name.startswith("w3j/")]
    for name in names:
        a, b, c = name.removeprefix("w3j/").split(",")
        theirs = torch.from_numpy(oracle[name].copy()).permute(2, 0, 1)[None]
        ours = clebsch_gordan(*(SO3.irrep(int(l)) for l in (a, b, c)))
        assert len(ours) == 1
        _lie_in(theirs, ours)
    assert names


def _lie_in(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    rows = theirs.flatten(1)
    assert rows.norm() > 0.9
    inside = rows @ ours.flatten(1).T @ ours.flatten(1)
    assert torch.allclose(inside, rows, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", module.MODES)
@pytest.mark.parametrize("case", TYPES, ids=lambda c: str(c[0]))
def test_product_is_equivariant(case, mode):
    group, ft = case[0], FieldType(*case)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        layer = randomise(TensorProduct(ft, ft, ft, mode)).to(dtype)
        x, y = torch.randn(2, 50, ft.dim, dtype=dtype)
        h = group.sample(50).to(dtype)
        out = layer(x, y)
        error = layer(ft.transform(h, x), ft.transform(h, y)) - ft.transform(h, out)
        assert out.abs().max() > 0 and error.abs().max() < tolerance * out.abs().max()


@pytest.mark.parametrize("mode", module.MODES)
def test_product_is_the_sum_over_paths(mode):
    a, b, out = FieldType(SO2, "2x1 + 2x0"), FieldType(SO2, "2x1 + 2x2"), FieldType(SO2, "2x1 + 2x0 + 2x3")
    layer = TensorProduct(a, b, out, mode).double()
    x, y = torch.randn(5, a.dim, dtype=torch.float64), torch.randn(5, b.dim, dtype=torch.float64)
    expected = [torch.zeros(5, rep.dim, mul, dtype=torch.float64) for mul, rep in out.blocks]
    for i, j, o, start, stop in layer.paths:
        c = clebsch_gordan(a.blocks[i][1], b.blocks[j][1], out.blocks[o][1])
        weight = layer.weight[start:stop].view(len(c), *[2] * len({"uvw": "uvw", "uvu": "uv", "uuu": "u"}[mode]))
        form = {"uvw": "koab,nau,nbv,kuvw->now", "uvu": "koab,nau,nbv,kuv->nou", "uuu": "koab,nau,nbu,ku->nou"}[mode]
        expected[o] += torch.einsum(form, c, a.split(x)[i], b.split(y)[j], weight)
    assert torch.allclose(layer(x, y), out.join(expected), rtol=1e-12, atol=1e-12)


def test_against_e3nn_fully_connected(shared):
    """The same network layer for the same weights, their normalisation and signs put in."""
    oracle = np.load(shared / "oracles" / "escnn" / "e3nn_so3.npz")
    types = [FieldType(groups.O3(), str(text)) for text in oracle["tp/irreps"]]
    layer = TensorProduct(*types).double()
    weight = torch.from_numpy(oracle["tp/weight"].copy())
    x, y, expected = (torch.from_numpy(oracle[f"tp/{name}"].copy()) for name in ("x1", "x2", "y"))
    flat, start = torch.zeros_like(layer.weight), 0
    paths = {path[:3]: path[3:] for path in layer.paths}
    for text in oracle["tp/instructions"]:
        scale = float(re.search(r"path_weight=([^,]+)", str(text))[1])
        i, j, o = (int(n) for n in re.findall(r"i_\w+=(\d+)", str(text)))
        degrees = [int(type.blocks[b][1].name.rstrip("eo")) for type, b in zip(types, (i, j, o))]
        theirs = torch.from_numpy(oracle["w3j/{},{},{}".format(*degrees)].copy()).permute(2, 0, 1)
        sign = (theirs * clebsch_gordan(*(type.blocks[b][1] for type, b in zip(types, (i, j, o))))[0]).sum()
        first, last = paths[i, j, o]
        flat[first:last] = weight[start : start + last - first] * scale * sign
        start += last - first
    with torch.no_grad():
        layer.weight.copy_(flat)
        ours = layer(_to_ours(types[0], x), _to_ours(types[1], y))
    assert start == len(weight) == len(flat)
    assert torch.allclose(ours, _to_ours(types[2], expected), rtol=1e-10, atol=1e-10)


def _to_ours(type: FieldType, x: torch.Tensor) -> torch.Tensor:
    """Copy-major to component-major blocks."""
    parts = [x[:, s].view(-1, mul, rep.dim).transpose(1, 2) for s, (mul, rep) in zip(type.slices, type.blocks)]
    return type.join(parts)


@pytest.mark.parametrize("mode", module.MODES)
def test_chunks_do_not_matter(mode, monkeypatch):
    ft = FieldType(SO2, "2x0 + 2x1")
    layer = TensorProduct(ft, ft, ft, mode).double()
    x = torch.randn(100, ft.dim, dtype=torch.float64, requires_grad=True)

    def run():
        out = layer(x, x)
        return out.detach(), *torch.autograd.grad(out.square().sum(), [x, layer.weight])

    whole = run()
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1)
    for a, b in zip(run(), whole):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_arguments_matter():
    ft, wide = FieldType(SO2, "2x0 + 2x1"), FieldType(SO2, "3x0 + 3x1")
    sizes = {mode: TensorProduct(ft, ft, ft, mode).weight.numel() for mode in module.MODES}
    assert sizes["uvw"] == 2 * sizes["uvu"] == 4 * sizes["uuu"]
    assert TensorProduct(ft, wide, ft, "uvu").weight.numel() == 3 * sizes["uvu"] // 2
    fixed = TensorProduct(ft, ft, ft, "uuu", weights=False)
    assert not list(fixed.parameters()) and not fixed.state_dict()
    assert torch.equal(fixed(torch.ones(1, ft.dim), torch.ones(1, ft.dim)), fixed(*torch.ones(2, 1, ft.dim)))
    for arguments, options, error, text in (
        ((ft, ft, ft, "uv"), {}, ValueError, "unknown mode"),
        ((ft, ft, ft), {"weights": False}, ValueError, "uuu"),
        ((ft, wide, ft, "uuu"), {}, ValueError, "equal multiplicities"),
        ((ft, ft, wide, "uvu"), {}, ValueError, "equal multiplicities"),
        ((ft, ft, FieldType(SO3, "1x0")), {}, TypeError, "one group"),
    ):
        with pytest.raises(error, match=text):
            TensorProduct(*arguments, **options)
    with pytest.raises(ValueError, match="as many nodes"):
        fixed(torch.ones(2, ft.dim), torch.ones(1, ft.dim))


@pytest.mark.parametrize("mode", module.MODES)
def test_unit_inputs_give_unit_outputs(mode):
    torch.manual_seed(0)
    ft = FieldType(SO3, "8x0 + 8x1 + 8x2")
    layers = [TensorProduct(ft, ft, ft, mode) for _ in range(5)]
    out = torch.cat([layer(*torch.randn(2, 500, ft.dim)) for layer in layers])
    for block in ft.split(out):
        assert 0.5 < block.square().mean() < 2


@pytest.mark.parametrize("case", TYPES, ids=lambda c: str(c[0]))
def test_nonlinearity_is_equivariant_and_homogeneous(case):
    ft = FieldType(*case)
    act = randomise(TensorNonlinearity(ft)).double()
    x, h = torch.randn(50, ft.dim, dtype=torch.float64), case[0].sample(50)
    assert torch.allclose(act(ft.transform(h, x)), ft.transform(h, act(x)), rtol=1e-10, atol=1e-10)
    assert torch.allclose(act(1e3 * x), 1e3 * act(x), rtol=1e-4)
    assert not torch.allclose(act(-x), -act(x))
    zero = torch.zeros(1, ft.dim, dtype=torch.float64, requires_grad=True)
    act(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()
    rough = TensorNonlinearity(ft, eps=1.0).double()
    rough.load_state_dict(dict(act.state_dict()))
    assert not torch.allclose(rough(x), act(x))
    before = act(x)
    act.reset_parameters()
    assert not torch.allclose(act(x), before)
