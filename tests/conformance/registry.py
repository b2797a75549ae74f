"""Every public layer and network, in small cases."""

from __future__ import annotations

from functools import partial

from gaugenet import FieldType, groups, kernels, models, nn

from .recipes import DownAndUp, Recipe, TwoFields

ONE, FLIP, C4, C6, C8, D4, D6 = (
    groups.Trivial(), groups.Reflection(), groups.Cyclic(4), groups.Cyclic(6), groups.Cyclic(8), groups.Dihedral(4),
    groups.Dihedral(6),
)  # fmt: skip
SO2, O2, SO3, O3, OCTA = groups.SO2(), groups.O2(), groups.SO3(), groups.O3(), groups.Octahedral()
D4H = groups.point_group("D4h")
SCALES = groups.Scaling((1.0, 2.0), 2)
FRAMED = groups.Trivial(3)  # of Lie groups of dimension 3
SAMPLED = (1e-1, "the nonlinearity acts on samples of the circle: equivariant up to aliasing, see docs/nonlinearities.md")
BY_PIXEL = (float("inf"), "drops single pixels, so that symmetries hold in the mean only")
SCALE_ONLY = (float("inf"), "its group rescales images, which no grid does exactly: tests/nn/grid/test_scale.py")
NEEDS_DATA = "a graph's plan is made of its numbers"
SAME_BLOCKS = "made of the blocks that MeshClassifier and MeshUNet are compiled with"


def t(group, blocks) -> FieldType:
    return FieldType(group, blocks)


_PRODUCT = (t(SO2, "2x0 + 1x1"), t(SO2, "1x0 + 1x1"), t(SO2, "2x0 + 1x1 + 1x2"))
_PAIRED = (t(D4, "2x0 + 2x1"), t(D4, "2x0 + 2x1"), t(D4, "2x0 + 2x0- + 2x1"))


def _on_graph(cls, args, on, **more) -> Recipe:
    return Recipe(cls, args, on, **{"no_meta": NEEDS_DATA, **more})


_FIELDS = [
    Recipe(nn.GaugeLinear, (t(SO2, "2x0 + 2x1"), t(SO2, "3x0 + 1x1 + 1x2"))),
    Recipe(nn.GaugeLinear, (t(D4, "1xregular + 1x1"), t(D4, "1xregular")), note="D4"),
    Recipe(nn.FieldBias, (t(D4, "2x0 + 1x1 + 2xregular"),)),
    Recipe(nn.FieldDropout, (t(SO2, "3x0 + 3x1"), 0.4)),
    Recipe(nn.FieldNorm, (t(D4, "2x0 + 2x1 + 1xregular"), "batch")),
    Recipe(nn.FieldNorm, (t(O2, "3x0 + 2x0- + 2x1"), "layer"), note="layer"),
    Recipe(nn.NormNonlinearity, (t(O2, "2x0 + 1x0- + 2x1"), "relu")),
    Recipe(nn.GatedNonlinearity, (t(SO2, "2x0 + 2x1"), "silu")),
    Recipe(nn.GatedNonlinearity, (t(SO3, "2x0 + 2x1"), "silu"), "space", note="SO3"),
    Recipe(nn.RegularNonlinearity, (t(SO2, "2x0 + 2x1"), "silu", 16), symmetric=SAMPLED),
    Recipe(nn.RegularNonlinearity, (t(C6, "2x0 + 2x1 + 1xregular"),), note="C6"),
    Recipe(
        nn.RegularNonlinearity, (t(SO3, "1xregular(1) + 2x0 + 2x1"), "silu"), "space", note="space",
        symmetric=(2e-2, "the nonlinearity acts on samples of the sphere and of SO(3): equivariant up to aliasing"),
    ),
    Recipe(nn.RegularNonlinearity, (t(groups.O3(), "2x0 + 2x1"), "silu"), "volume", wrap=nn.OnGrid, note="volume"),
    Recipe(nn.PolynomialNonlinearity, (t(SO2, "2x0 + 2x1 + 2x2"),)),
    Recipe(nn.AngularMaxPool, (t(SO2, "2x0"), 3)),
    Recipe(nn.AngularMaxPool, (t(C6, "2x0"), 1, None), note="C6"),
    Recipe(nn.TensorNonlinearity, (t(SO2, "2x0 + 2x1 + 2x2"),)),
    Recipe(
        nn.TensorProduct, _PRODUCT,
        wrap=partial(TwoFields, first=_PRODUCT[0], second=_PRODUCT[1], out_type=_PRODUCT[2]),
    ),
    Recipe(
        nn.TensorProduct, (*_PAIRED, "uuu"), note="uuu",
        wrap=partial(TwoFields, first=_PAIRED[0], second=_PAIRED[1], out_type=_PAIRED[2]),
    ),
    Recipe(nn.GroupPool, (t(D4, "2xregular + 1x0"), "max")),
    Recipe(nn.ToScalars, (t(SO2, "2x0 + 2x1"),)),
    Recipe(nn.Restrict, (t(SO2, "1x0 + 1x1"), C4), in_type=t(C4, "1x0 + 1x1")),
]  # fmt: skip

_LIE = t(FRAMED, "2x0")
_GRAPH = [
    _on_graph(nn.GaugeConv, (t(SO2, "2x0 + 2x1"), t(SO2, "1x0 + 1x1 + 1x2"), 2), "sphere"),
    _on_graph(nn.GaugeConv, (t(O2, "2x0 + 1x0-"), t(O2, "1x0 + 1x1"), 2), "sphere", options={"quadrature": None}, note="O2"),
    _on_graph(nn.GaugeConv, (t(FLIP, "1x0 + 1x0-"), t(FLIP, "1xregular"), 2), "strip", note="Reflection"),
    _on_graph(nn.GaugeConv, (t(D4, "1x0 + 1x1"), t(D4, "1xregular"), 2), "plane", note="D4"),
    _on_graph(nn.GaugeConv, (t(SO3, "1x0 + 1x1"), t(SO3, "1x0 + 1x1"), 2), "space", note="SO3"),
    _on_graph(nn.GaugeConv, (t(groups.Trivial(1), "2x0"), t(groups.Trivial(1), "3x0")), "circle", note="circle"),
    _on_graph(
        nn.GaugeConv, (t(SO2, "1x0 + 1x1"), t(SO2, "1x0 + 1x1"), kernels.RadialMLP(2, 6, 4)), "sphere", note="learnt profile",
    ),
    _on_graph(nn.GaugeAttention, (t(SO2, "2x0 + 2x1"), t(SO2, "1x0 + 1x1 + 1x2")), "sphere"),
    _on_graph(nn.GaugeAttention, (t(C6, "1x0 + 1xregular"), t(C6, "1xregular"), 1), "icosahedron", note="C6"),
    _on_graph(nn.HarmonicSurfaceConv, (t(SO2, "2x0 + 2x1"), t(SO2, "1x0 + 1x1 + 1x2"), 2), "sphere"),
    _on_graph(
        nn.HarmonicSurfaceConv, (t(O2, "2x0 + 1x0-"), t(O2, "1x0 + 1x1")), "sphere", options={"quadrature": None}, note="O2",
    ),
    _on_graph(nn.FieldConv, (t(SO2, "2x0 + 2x1"), t(SO2, "1x0 + 1x1 + 1x2"), 2), "sphere"),
    _on_graph(nn.FieldConv, (t(O2, "1x0- + 2x1"), t(O2, "1x0 + 1x1"), 2, 2), "sphere", note="O2"),
    _on_graph(nn.FieldDiffusion, (t(SO2, "2x0 + 1x1 + 1x2"),), "sphere", options={"pairs": 20}),
    _on_graph(nn.FieldDiffusion, (t(O2, "1x0 + 1x0- + 2x1"), "implicit"), "sphere", note="implicit"),
    _on_graph(nn.FieldDiffusion, (t(C6, "1x1 + 1xregular"),), "icosahedron", note="C6"),
    _on_graph(nn.FieldDiffusion, (t(D4, "1x1 + 1xregular"),), "plane", note="D4, without faces"),
    _on_graph(nn.FieldDiffusion, (t(FLIP, "1x0 + 1x0-"),), "strip", note="Reflection"),
    _on_graph(nn.PoissonSolve, (t(SO2, "2x0 + 1x1 + 1x2"),), "sphere"),
    _on_graph(nn.PoissonSolve, (t(C6, "1x1 + 1xregular"), 2.0), "icosahedron", note="C6"),
    _on_graph(nn.GaugeMessagePassing, (t(SO2, "2x0 + 2x1"), t(SO2, "1x0 + 1x1 + 1x2")), "sphere"),
    _on_graph(
        nn.GaugeMessagePassing, (t(O2, "1x0 + 1x0- + 1x1"), t(O2, "1x0 + 1x0-")), "sphere",
        options={"nonlinearity": "norm"}, note="O2, norm",
    ),
    _on_graph(nn.GaugeMessagePassing, (t(C6, "1x0 + 1xregular"), t(C6, "1xregular + 1x1")), "icosahedron", note="C6"),
    _on_graph(nn.Gradient, (t(SO2, "2x0 + 1x1 + 1x2"),), "sphere"),
    _on_graph(nn.Gradient, (t(O2, "1x0 + 2x1"),), "sphere", note="O2"),
    _on_graph(nn.Divergence, (t(SO2, "2x1 + 1x2"),), "sphere"),
    _on_graph(nn.Curl, (t(O2, "2x1 + 1x0-"),), "sphere"),
    _on_graph(nn.Laplacian, (t(SO2, "2x0 + 1x1 + 1x2"),), "sphere"),
    _on_graph(
        nn.GaugeConv, (t(O2, "2x0 + 1x1"), t(O2, "1x0 + 1x0- + 1x1 + 1x2")), "sphere",
        options={"kernel": kernels.Derivatives()}, note="derivatives",
    ),
    _on_graph(nn.GaugeConv, (_LIE, _LIE), "motions", options={"kernel": kernels.MLP(4, 5)}, note="MLP"),
    _on_graph(nn.GaugeConv, (_LIE, _LIE), "rotations", options={"kernel": kernels.MLP(4, (5, 5), 1)}, note="MLP, orbits"),
    _on_graph(nn.GaugeConv, (_LIE, _LIE), "motions", options={"kernel": kernels.Spline(3)}, note="Spline"),
    _on_graph(
        nn.GaugeConv, (_LIE, _LIE), "motions", options={"kernel": kernels.Spline(3, learn_centres=True)}, note="Spline, moving",
    ),
    _on_graph(nn.EdgeFrameConv, (t(SO3, "1x0 + 2x1"), t(SO3, "2x0 + 1x1 + 1x2"), 2), "space"),
    _on_graph(nn.LatticeConv, (t(C6, "1x0 + 1x1"), t(C6, "2xregular")), "icosahedron"),
    _on_graph(nn.LatticeConv, (t(D4, "1x0 + 1x1"), t(D4, "1xregular"), kernels.square_taps(3)), "plane", note="D4"),
    _on_graph(nn.ConePoints, (t(C6, "1x0 + 1x1 + 1xregular"), "average"), "icosahedron"),
    _on_graph(nn.LatticePool, (t(C6, "1x0 + 1xregular"), "max"), "icosahedron", out_level=1),
    _on_graph(nn.GaugePool, (t(SO2, "1x0 + 1x1"), "mean"), "sphere", out_level=1),
    _on_graph(nn.GaugePool, (t(SO2, "1x0 + 1x1"), "max"), "sphere", out_level=1, note="max"),
    _on_graph(nn.GaugeUnpool, (t(SO2, "1x0 + 1x1"),), "sphere", wrap=DownAndUp),
    _on_graph(nn.ConvBlock, (t(SO2, "2x0 + 1x1"), t(SO2, "2x0 + 2x1")), "sphere"),
    _on_graph(nn.ResidualBlock, (t(SO2, "2x0 + 1x1"), t(SO2, "2x0 + 2x1")), "sphere"),
    _on_graph(nn.BottleneckBlock, (t(SO2, "2x0 + 1x1"), t(SO2, "8x0 + 8x1")), "sphere", options={"dropout": 0.3}),
    _on_graph(
        nn.BottleneckBlock, (t(O2, "2x0 + 1x1"), t(O2, "2x0 + 1x1")), "sphere",
        options={"norm": "layer", "nonlinearity": "gated"}, note="layer, gated",
    ),
    _on_graph(nn.BottleneckBlock, (_LIE, _LIE), "motions", options={"kernel": kernels.MLP(4, 5)}, note="MLP"),
    _on_graph(
        nn.ResidualBlock, (t(O2, "2x0 + 1x1"), t(O2, "2x0 + 1x1")), "sphere",
        options={"norm": "layer", "nonlinearity": "gated", "dropout": 0.3}, note="layer, gated",
    ),
]  # fmt: skip

_LIMITED = {"basis": "band_limited"}
_GRID = [
    Recipe(nn.GridConv, (t(C4, "1x0 + 1x1"), t(C4, "1xregular"), 3, 1), "image"),
    Recipe(nn.GridConv, (t(D4, "1xregular"), t(D4, "1x0- + 1x1"), 3, 1), "image", {"stride": 2}, note="stride"),
    Recipe(nn.GridConv, (t(O2, "1x0 + 1x0-"), t(O2, "1x0 + 1x1"), 3, 1), "image", _LIMITED, note="O2"),
    Recipe(
        nn.GridConv, (t(FLIP, "1x0 + 1x0-"), t(FLIP, "1xregular"), 3, None), "rectangle", {"padding_mode": "moebius"},
        note="strip",
    ),
    Recipe(nn.GridConv, (t(OCTA, "1x0"), t(OCTA, "1xregular"), 3, 1), "volume", note="volume"),
    Recipe(nn.GridConv, (t(SO3, "1x0 + 1x1"), t(SO3, "1x0 + 1x1"), 3, 1), "volume", _LIMITED, note="SO3"),
    Recipe(
        nn.GridConv, (t(D4H, "1xregular"), t(D4H, "1xA2u + 1xEu"), 3, 1), "volume",
        {**_LIMITED, "spacing": (2.0, 1.0, 1.0)}, note="spacing", lattice=((0, 0, 2.0), (0, -1.0, 0), (1.0, 0, 0)),
    ),
    Recipe(nn.GridConv, (t(C8, "2x0"), t(C8, "1xregular"), 5, 2), "image", {"kernel": kernels.Spline()}, note="Spline"),
    Recipe(
        nn.GridConv, (t(C4, "1xregular"), t(C4, "1xregular"), 5, 2), "image",
        {"kernel": kernels.Spline(3, learn_centres=True, fibre_size=3)}, note="Spline, moving",
    ),
    Recipe(
        nn.GridConv, (t(SCALES, "1xregular"), t(SCALES, "1xregular"), 5, 2), "image", {"kernel": kernels.Spline(3)},
        symmetric=SCALE_ONLY, note="Spline, scales",
    ),
    Recipe(nn.GridConvTranspose, (t(C4, "1xregular"), t(C4, "1x0 + 1x1"), 4, 1), "image", {"stride": 2}),
    Recipe(nn.GridPadding, (t(FLIP, "1x0 + 1x0-"), 1, "moebius"), "rectangle"),
    Recipe(nn.GridPool, (t(D4, "1x0 + 1x1"), 2, "max"), "even image"),
    Recipe(nn.GridPool, (t(OCTA, "1xT1 + 1xregular"), 3, "max"), "volume", {"stride": 2}, note="volume"),
    Recipe(nn.GridBlur, (t(D4, "1x0 + 1x1"), 2), "even image"),
    Recipe(nn.GridUpsample, (t(D4, "1x0 + 1x1"), 2), "image"),
    Recipe(nn.GridDropout, (t(D4, "2x0 + 2x1"), 0.4), "image"),
    Recipe(nn.GridMask, (t(C8, "1x0 + 1x1"), "disc"), "image"),
    Recipe(nn.GridMask, (t(D6, "1x0 + 1x1"),), "large image", {"lattice": "hexagonal"}, lattice="hexagonal", note="hexagons"),
    Recipe(nn.OnGrid, (nn.FieldNorm(t(D4, "2x0 + 1x1")),), "image"),
    Recipe(nn.OnGrid, (nn.FieldDropout(t(D4, "2x0 + 1x1")),), "image", train_symmetric=BY_PIXEL, note="dropout"),
    Recipe(nn.HarmonicConv, (1, 2, 5), "image"),
    Recipe(nn.MagnitudeNonlinearity, (2, 1), "image"),
    Recipe(nn.InterpolatedConv, (t(C8, "2x0"), t(C8, "1xregular"), 5), "image"),
    Recipe(nn.ScaleConv, (t(SCALES, "1x0"), t(SCALES, "2xregular"), 7), "image", {"effective_size": 3}, symmetric=SCALE_ONLY),
    Recipe(
        nn.Scattering, ((9, 9), 1, 4), "large image",
        symmetric=(float("inf"), "turns have their centre on a sampled pixel: tests/nn/grid/test_scattering.py"),
    ),
]  # fmt: skip

_MESH = {"channels": 2, "order": 1, "blocks": (1, 1)}
_BALL = {"channels": 2, "blocks": (1, 1)}


def _spherical(cls) -> Recipe:
    last = t(SO2, "1x0 + 1x1") if cls is models.SphericalUNet else 3
    group, on = (ONE, "framed spheres") if cls is models.UGSCNN else (SO2, "sphere")
    first = t(group, "1x0")
    return _on_graph(cls, (first, last), on, options=_BALL, no_compile=SAME_BLOCKS)


_SPATIAL = t(SO3, "2x0 + 2x1")
_IMAGES = {"num_classes": 3, "widths": (2, 2, 2), "kernel_size": 3}
NETWORKS = [
    _on_graph(models.MeshClassifier, (t(SO2, "2x0 + 1x1"), 3), "sphere", options=_MESH),
    _on_graph(
        models.GaugeClassifier, (t(O2, "2x0"), 3), "sphere", options={**_MESH, "norm": "layer", "pool": "max"},
        no_compile=SAME_BLOCKS,
    ),
    _on_graph(models.MeshUNet, (t(SO2, "2x0 + 1x1"), t(SO2, "1x0 + 1x1")), "sphere", options=_MESH),
    _on_graph(
        models.GaugeUNet, (t(SO2, "2x0"), t(SO2, "1x1")), "sphere", options={**_MESH, "block": "plain"}, no_compile=SAME_BLOCKS
    ),
    *(
        _spherical(cls)
        for cls in (
            models.SphericalCNN, models.ZonalCNN, models.DeepSphere, models.SpinCNN, models.ClebschGordanCNN, models.UGSCNN,
            models.SphericalUNet,
        )
    ),
    *(
        _on_graph(cls, (t(SO2, "2x0"), t(SO2, "1x0 + 1x1")), "sphere", options=_BALL, no_compile=SAME_BLOCKS)
        for cls in (models.GEMCNN, models.MDGCNN)
    ),
    _on_graph(models.HSN, (t(SO2, "2x0"), t(SO2, "1x0 + 1x1")), "sphere", options=_BALL),
    _on_graph(models.FieldConvNet, (t(SO2, "2x0"), t(SO2, "1x0 + 1x1")), "sphere", options=_BALL),
    _on_graph(models.GeodesicCNN, (t(SO2, "2x0"), t(SO2, "3x0")), "sphere", options=_BALL),
    _on_graph(models.DiffusionNet, (2, 3), "sphere", options={"width": 4, "blocks": 2, "pairs": 20}),
    _on_graph(
        models.DiffusionNet, (2, 3), "sphere", note="real, implicit, pooled",
        options={"width": 4, "blocks": 1, "gradient_rotations": False, "method": "implicit", "pool": "mean"},
    ),
    _on_graph(models.PoissonNet, (2, 3), "sphere", options={"width": 4, "blocks": 2}),
    _on_graph(models.DeltaNet, (2, 3), "sphere", options={"channels": (3, 4)}),
    _on_graph(
        models.TensorFieldNetwork, (t(SO3, "2x0"), t(SO3, "1x0 + 1x1")), "space", options={"hidden": _SPATIAL, "radial": 2},
    ),
    _on_graph(
        models.TensorFieldNetwork, (t(O3, "1x0 + 1x1"), t(O3, "3x0")), "space", out_type=None, note="O3, pooled",
        options={"hidden": t(O3, "2x0 + 2x1"), "embedding": t(O3, "2x0 + 1x1"), "pool": "mean", "nonlinearity": "gated"},
    ),
    _on_graph(
        models.LieConvNet, (_LIE, 3), "motions", options={"channels": (4, 8, 8), "kernel": kernels.MLP(4, 5)},
    ),
    _on_graph(
        models.LieConvNet, (_LIE, 3), "motions", options={"channels": 8, "blocks": (1,), "kernel": kernels.Spline(3)},
        note="Spline",
    ),
    _on_graph(models.EMAN, (t(SO2, "1x0 + 1x1"), 3), "sphere", options={**_MESH, "blocks": (1,)}),
    _on_graph(models.GET, (t(C6, "1x0"), 3), "icosahedron", options={"channels": 2, "order": 3, "blocks": (1,)}),
    _on_graph(models.GET, (t(SO2, "1x0"), 3), "sphere", options={**_MESH, "blocks": (1,)}, symmetric=SAMPLED, note="SO2"),
    _on_graph(models.Hermes, (t(SO2, "1x0 + 1x1"), t(SO2, "1x1")), "sphere", options={**_MESH, "blocks": (1,)}),
    _on_graph(models.IcosahedralCNN, (2, 3), "icosahedron", options={"channels": ((2, 2), 2)}),
    Recipe(models.ClebschGordanNet, (t(SO3, "2x0 + 2x1"), 3), options={"channels": (2, 2)}, out_type=None),
    Recipe(models.MobiusCNN, ("mixed", 3), "rectangle", {"widths": (1, 1), "kernel_size": 3, "dropout": 0.0}),
    Recipe(
        models.StripCNN, (3,), "rectangle", {"widths": (2, 2), "kernel_size": 3, "dropout": 0.0}, in_type=t(FLIP, "1x0"),
        symmetric=(float("inf"), "the plain CNN that MobiusCNN is compared with"),
    ),
    Recipe(models.PlanarCNN, (C4, "1xregular"), "even image", _IMAGES),
    Recipe(models.PlanarCNN, (D4, "1x0 + 1x1"), "image", {**_IMAGES, "norm": "layer", "reduce": "mean"}, note="gated"),
    Recipe(models.PlanarCNN, (O2, "1x0 + 1x1"), "image", {**_IMAGES, **_LIMITED}, note="O2"),
    Recipe(
        models.PlanarCNN, (C6,), "large image", {**_IMAGES, "lattice": "hexagonal"}, lattice="hexagonal", note="hexagons",
    ),
    Recipe(models.VoxelCNN, (OCTA, "1xregular"), "volume", _IMAGES),
    Recipe(models.VoxelCNN, (SO3,), "volume", {**_IMAGES, "nonlinearity": "regular", "norm": "layer"}, note="SO3"),
    Recipe(models.CubeNet, (groups.Klein(), 3), "volume", {"widths": (1, 2)}),
    Recipe(models.GCNN3D, (D4H, 3), "volume", {"widths": (1, 1)}),
    Recipe(models.SteerableCNN3D, ("1x0 + 1x1", 3), "volume", {"widths": (2, 2), "kernel_size": 3}),
    Recipe(models.HarmonicNetwork, (3,), "image", {"channels": (1, 2, 2), "kernel_size": 3}),
]  # fmt: skip

RECIPES = [*_FIELDS, *_GRAPH, *_GRID, *NETWORKS]
#: public classes of nn and models that are no layers or networks, and what they are
OTHERS = {
    nn.CoefficientTable: "what a table holds",
    nn.LatticePlan: "what a plan holds",
    nn.BlockOptions: "the options of the blocks",
    models.EMANOptions: "options: tests/models/meshes",
    models.GETOptions: "options: tests/models/meshes",
    models.HermesOptions: "options: tests/models/meshes",
    models.EncoderOptions: "the options of the encoder: tests/test_options.py",
    nn.FrechetMean: "values on manifolds: tests/nn/frechet",
    nn.FrechetDistances: "values on manifolds: tests/nn/frechet",
    nn.UnitSphere: "a manifold of values",
    nn.Rotations: "a manifold of values",
    nn.PositiveDefinite: "a manifold of values",
    nn.KernelTables: "a transform of graphs: tests/nn/graph/test_tables.py",
    models.GaugeEncoder: "the base of the networks; has no forward",
}
