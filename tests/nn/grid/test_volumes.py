"""Layers on volumes: as torch's where they are the same, exact under the symmetries of the voxels; spacing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gaugenet import FieldType, groups, kernels
from gaugenet.kernels import Lattice
from gaugenet.nn import (
    FieldNorm,
    GatedNonlinearity,
    GridBlur,
    GridConv,
    GridConvTranspose,
    GridDropout,
    GridMask,
    GridPool,
    GridUpsample,
    GroupPool,
    NormNonlinearity,
    OnGrid,
    RegularNonlinearity,
)
from gaugenet.testing import grid_symmetry_error, transform_image
from tests.helpers.networks import randomise, set_kernel, with_statistics

O, D4H, SO3, O3 = groups.Octahedral(), groups.point_group("D4h"), groups.SO3(), groups.O3()
MIXED, FLAT = FieldType(O, "1xA1 + 1xT1 + 1xregular"), FieldType(D4H, "1xA1g + 2xEu + 1xA2u + 1xregular")
SPHERE = FieldType(O3, "2x0 + 1x1 + 1x2")


def volume(type, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, type.dim, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("options", [(2, 2, 0), (2, 1, 1), (3, 2, 1), (3, 3, 1), (3, 1, (1, 1, 1))], ids=str)
def test_pools_scalars_like_torch(options):
    size, stride, padding = options
    type, pad = FieldType(O, "3xA1"), padding if isinstance(padding, int) else padding[0]
    sides = [2 * stride + size - 2 * pad + k * stride for k in range(3)]  # windows fit
    x, rest = volume(type, *sides), {"stride": stride, "padding": padding}
    assert torch.equal(GridPool(type, size, **rest)(x), F.max_pool3d(x, size, stride, pad))
    mean = F.avg_pool3d(x, size, stride, pad, count_include_pad=False)
    torch.testing.assert_close(GridPool(type, size, "mean", **rest)(x), mean, rtol=1e-12, atol=1e-12)
    for pool in (GridPool(type, size, **rest), GridPool(type, size, "mean", **rest)):
        torch.testing.assert_close(pool.export(x)(x), pool(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("options", [(2, 2, 0), (3, 2, 1), (3, 1, 0)], ids=str)
def test_pooling_keeps_the_symmetries_of_the_cube(options, reduce):
    """Whether or not windows fit, of norms too; round a torus."""
    size, stride, padding = options
    for side in (4, 5):
        pool = GridPool(MIXED, size, reduce, stride=stride, padding=padding)
        assert grid_symmetry_error(pool, (side,) * 3, MIXED, MIXED) < 1e-12
        x = volume(MIXED, side, side, side)
        torch.testing.assert_close(pool.export(x)(x), pool(x), rtol=1e-12, atol=1e-12)
    torus = GridPool(MIXED, 2, reduce, padding_mode="circular")
    assert grid_symmetry_error(torus, (4, 4, 4), MIXED, MIXED, periodic=True) < 1e-12


def test_largest_norm_in_a_block():
    type = FieldType(SO3, "1x1")
    x = volume(type, 2, 2, 2)
    best = x.square().sum(1).flatten(1).argmax(1)
    expected = torch.stack([x[b].flatten(1)[:, i] for b, i in enumerate(best)])
    assert torch.equal(GridPool(type)(x).flatten(1), expected)


LAYERS = [
    GridBlur(MIXED, 2), GridUpsample(MIXED, 2), GridUpsample(MIXED, 2, "nearest"), GridMask(MIXED, "disc", sigma=1.0),
    OnGrid(FieldNorm(MIXED)), OnGrid(FieldNorm(MIXED, "layer")), OnGrid(NormNonlinearity(MIXED)),
    OnGrid(GatedNonlinearity(MIXED)),
    OnGrid(GroupPool(FieldType(O, "2xregular"))), GridDropout(MIXED), OnGrid(NormNonlinearity(SPHERE)),
    OnGrid(RegularNonlinearity(SPHERE)), OnGrid(GatedNonlinearity(SPHERE)), OnGrid(FieldNorm(SPHERE)),
    GridConv(MIXED, MIXED, 3, 1), GridConv(SPHERE, SPHERE, 3, 1, basis="band_limited"),
    GridConvTranspose(MIXED, MIXED, 4, 1, stride=2),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(getattr(layer, "layer", layer)).__name__)
@pytest.mark.parametrize("side", [4, 5])
def test_layers_and_their_plain_forms(layer, side):
    torch.manual_seed(0)
    layer = with_statistics(randomise(layer)).double().eval()
    assert grid_symmetry_error(layer, (side,) * 3, layer.in_type, layer.out_type) < 1e-11
    x = volume(layer.in_type, side, side, side)
    plain = layer.export(x)
    assert all(type(m).__module__.startswith("torch") for m in plain.modules())
    torch.testing.assert_close(plain(x), layer(x), rtol=1e-11, atol=1e-11)


class TestSpacing:
    spacing = (2.5, 1.0, 1.0)
    box = Lattice.box(spacing)

    @pytest.mark.parametrize("basis", ["complete", "band_limited"])
    def test_exact_under_what_keeps_the_voxels(self, basis):
        conv = randomise(GridConv(FLAT, FLAT, 3, 1, basis=basis, spacing=self.spacing)).double()
        assert grid_symmetry_error(conv, (3, 4, 4), FLAT, FLAT, lattice=self.box) < 1e-12
        pool = GridPool(FLAT, 2, lattice=self.box)
        assert grid_symmetry_error(pool, (3, 4, 4), FLAT, FLAT, lattice=self.box) < 1e-12

    def test_kernels_are_sampled_where_the_voxels_are(self):
        """A steerable kernel at voxels of half the height is that of twice as fine voxels, every other slice of them."""
        type = FieldType(SO3, "1x0 + 1x1")
        rings = kernels.Rings((0.0, 1.0, 2.0), (0.6, 0.6, 0.6), (0, 2, 2))
        fine = GridConv(type, type, 5, 2, kernel=rings).double()
        flat = GridConv(type, type, 3, 1, kernel=rings, spacing=(2.0, 2.0, 2.0)).double()
        assert fine.weight.shape == flat.weight.shape
        for a, b in zip(*(self.directions(conv) for conv in (fine, flat))):
            torch.testing.assert_close(a[:, :, ::2, ::2, ::2] / a.norm(), b / a.norm() * self.ratio(a, b), rtol=1e-9, atol=1e-9)

    @staticmethod
    def ratio(a, b):
        """Basis kernels have unit norm on their own taps."""
        return float((a[:, :, ::2, ::2, ::2] * b).sum() / (b * b).sum())

    @staticmethod
    def directions(conv):
        for k in range(conv.weight.numel()):
            with torch.no_grad():
                conv.weight.zero_()
                conv.weight[k] = 1.0
            yield conv.kernel().detach().clone()

    def test_default_rings_reach_the_farthest_voxel(self):
        type = FieldType(SO3, "1x0")
        conv = GridConv(type, type, 3, 1, basis="band_limited", spacing=self.spacing)
        assert conv.rings.radii == (0.5, 1.5, 2.5) and conv.spacing == self.spacing
        assert float(conv.taps[:, 2].max()) == 2.5
        assert GridConv(type, type, 3, 1, basis="band_limited", spacing=(1, 1, 1)).lattice.is_square

    def test_in_the_plane(self):
        type = FieldType(groups.Dihedral(2), "1x0 + 1x1 + 1xregular")
        conv = randomise(GridConv(type, type, 3, 1, spacing=(1.0, 3.0))).double()
        assert grid_symmetry_error(conv, (4, 5), type, type, lattice=Lattice.box((1.0, 3.0))) < 1e-12
        with pytest.raises(ValueError, match="turns axes into each other"):
            GridConv(FieldType(groups.Cyclic(4), "1x0"), FieldType(groups.Cyclic(4), "1x0"), 3, spacing=(1.0, 3.0))
        turned = FieldType(groups.Cyclic(4), "1x0")
        with pytest.raises(ValueError, match="does not map"):
            transform_image(volume(turned, 4, 4), turned, groups.Cyclic(4).elements[1], lattice=Lattice.box((1.0, 3.0)))

    @pytest.mark.parametrize(("match", "options"), [
        ("positive number for every axis", {"spacing": (1.0, 0.0, 1.0)}), ("positive number for every axis", {"spacing": 2.0}),
        ("3 numbers", {"spacing": (1.0, 2.0)}),
        ("spacing is that of", {"spacing": (1.0, 1, 2), "lattice": Lattice.box((1, 1, 2))}),
        ("turns axes into each other", {"spacing": (1.0, 1.0, 2.0)}),
        ("turns axes into each other", {"spacing": (1.0, 1.0, 2.0), "basis": "band_limited"}),
    ])  # fmt: skip
    def test_refused(self, match, options):
        with pytest.raises(ValueError, match=match):
            GridConv(FLAT, FLAT, 3, 1, **options)


def moved(w, m) -> np.ndarray:
    """Kernels (..., k, k, k) moved about their middle by an integer matrix of indices."""
    k = w.shape[-1]
    here = np.stack(np.meshgrid(*[np.arange(k)] * 3, indexing="ij"), -1) - k // 2
    there = (here @ np.linalg.inv(m).T.round()).astype(int) + k // 2
    return w[(..., there[..., 0], there[..., 1], there[..., 2])]


@pytest.mark.parametrize("key", ["V", "T4", "S4"])
def test_cubenet(shared, key):
    """Worrall & Brostow's lifting and group convolution, with their weights (O, I, elements, k, k, k) of the identity."""
    arrays = np.load(shared / "oracles" / "seeds" / "cubenet" / "cubenet.npz")
    a = {name.removeprefix(f"{key}_"): arrays[name] for name in arrays.files if name.startswith(f"{key}_")}
    group = {"V": groups.Klein(), "T4": groups.Tetrahedral(), "S4": O}[key]
    types = [FieldType(group, [(2, group.trivial)]), FieldType(group, "2xregular")]
    order, mats = element_order3d(group, a["mats"]), a["mats"]
    banks = []
    for h in order:
        back = [int(np.flatnonzero((mats == (np.linalg.inv(mats[h]) @ mats[g]).round()).all((1, 2)))[0]) for g in order]
        banks.append((moved(a["w0"], mats[h]), moved(a["w1"][:, :, back], mats[h])))
    x = torch.from_numpy(a["x"][:, :, 0])
    for stage, in_type in enumerate(types):
        conv = GridConv(in_type, types[1], 3, 1, bias=False).double()
        kernel = np.stack([bank[stage] for bank in banks])  # (elements, O, I, elements or 1, k, k, k)
        set_kernel(conv, torch.from_numpy(kernel.swapaxes(2, 3).copy()).flatten(0, 1).flatten(1, 2))
        expected = torch.from_numpy(a[f"y{stage}_ref"][:, :, order].swapaxes(1, 2).copy()).flatten(1, 2)
        exact = conv(x).detach()
        single = conv.float()(x.float()).detach()
        for out, tolerance in ((exact, 1e-10), (single, 1e-5)):
            assert float((out - expected).abs().max() / expected.abs().max()) < tolerance
        x = torch.relu(exact)


def element_order3d(group, mats) -> list[int]:
    ours = Lattice.of("square", 3).symmetries(group)[1]
    return [int(np.flatnonzero((mats == m).all((1, 2)))[0]) for m in ours]
