"""torch's default device: modules are built on it, whole, and forward follows the features, not it.

The meta device stands in for a GPU: what is made on it and meets a tensor of the CPU is an error, as it would be there.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models, nn, spectral, testing
from tests.helpers.graphs import icosphere_graph
from tests.helpers.networks import randomise

SO2, C4, C6, C8, FLIP = groups.SO2(), groups.Cyclic(4), groups.Cyclic(6), groups.Cyclic(8), groups.Reflection()
T, U, ONE = FieldType(SO2, "2x0 + 2x1 + 2x2"), FieldType(SO2, "3x0 + 1x1"), FieldType(SO2, "2x0")
REGULAR, HEXAGONAL = FieldType(C4, "2xregular + 1x0"), FieldType(C6, "1x0 + 1xregular")
ZOOM = groups.Scaling((1.0, 2.0))
SMALL = {"channels": 4, "blocks": (1, 1)}
SPATIAL = FieldType(groups.SO3(), "2x0 + 1x1")
CLOUD = geometry.points(torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).numpy(), neighbours=6).to_graph().float()
POSES = geometry.lie_group("SE2", geometry.lift_image("SE2", (4, 4), 2), neighbours=6).to_graph().float()
BALLS = [geometry.icosphere(level) for level in (2, 1)]

#: what forward takes, by the module
INPUTS = {
    "nodes": lambda module: (torch.randn(6, module.in_type.dim),),
    "image": lambda module: (torch.randn(2, module.in_type.dim, 12, 12),),
    "digit": lambda module: (torch.randn(2, 1, 32, 32),),
    "volume": lambda module: (torch.randn(2, 1, 6, 6, 6),),
    "sphere": lambda module: (torch.randn(162, module.in_type.dim), icosphere_graph(2, 2).float()),
    "coarse": lambda module: (torch.randn(42, module.in_type.dim), icosphere_graph(2, 2).float()),
    "framed": lambda module: (torch.randn(162, module.in_type.dim), icosphere_graph(2, 2, structure="e").float()),
    "flat": lambda module: (torch.randn(162, module.in_type.dim), geometry.icosahedron(2, levels=1).to_graph().float()),
    "directions": lambda module: (torch.nn.functional.normalize(torch.randn(5, 4, 3) + 2, dim=-1),),
    "cloud": lambda module: (torch.randn(20, module.in_type.dim), CLOUD),
    "poses": lambda module: (torch.randn(POSES.num_nodes, module.in_type.dim), POSES),
    "pairs": lambda module: (torch.randn(6, module.in_type1.dim), torch.randn(6, module.in_type2.dim)),
    "points": lambda module: (torch.randn(2, 162),),
    "fields": lambda module: (torch.randn(2, 162, T.dim),),
    "features": lambda module: (torch.randn(162, T.dim),),
}

CASES = {
    **dict.fromkeys(("GaugeConv", "ConvBlock", "ResidualBlock"), ((U, T), {}, "sphere")),
    "GaugePool": ((T,), {}, "sphere"),
    "BottleneckBlock": ((U, T), {}, "sphere"),
    "GaugeAttention": ((U, T), {}, "sphere"),
    **dict.fromkeys(("FieldDiffusion", "PoissonSolve"), ((T,), {}, "sphere")),
    "DiffusionNet": ((2, 3), {"width": 4, "blocks": 1}, "sphere"),
    "PoissonNet": ((2, 3), {"width": 4, "blocks": 1}, "sphere"),
    "DeltaNet": ((2, 3), {"channels": (4,)}, "sphere"),
    "GaugeMessagePassing": ((U, T), {}, "sphere"),
    **dict.fromkeys(("Gradient", "Laplacian"), ((T,), {}, "sphere")),
    **dict.fromkeys(("FieldConv", "HarmonicSurfaceConv"), ((U, T), {}, "sphere")),
    "AngularMaxPool": ((FieldType(T.group, "2x0"),), {}, "nodes"),
    **dict.fromkeys(("Curl", "Divergence"), ((FieldType(T.group, "2x1"),), {}, "sphere")),
    "FrechetMean": ((nn.UnitSphere(), 4, 2), {}, "directions"),
    "FrechetDistances": ((nn.UnitSphere(),), {}, "directions"),
    "EdgeFrameConv": ((SPATIAL, SPATIAL), {}, "cloud"),
    "TensorFieldNetwork": ((SPATIAL, SPATIAL), {}, "cloud"),
    "ClebschGordanNet": ((SPATIAL, 3), {}, "nodes"),
    "LieConvNet": ((FieldType(groups.Trivial(3), "2x0"), 3), {"channels": 4, "blocks": (1,)}, "poses"),
    "GaugeUnpool": ((T,), {}, "coarse"),
    "LatticeConv": ((HEXAGONAL, HEXAGONAL), {}, "flat"),
    **dict.fromkeys(("LatticePool", "ConePoints"), ((HEXAGONAL,), {}, "flat")),
    "GaugeLinear": ((T, U), {}, "nodes"),
    **{
        name: ((T,), {}, "nodes")
        for name in (
            "FieldBias", "FieldNorm", "FieldDropout", "GatedNonlinearity", "NormNonlinearity", "PolynomialNonlinearity",
            "RegularNonlinearity", "TensorNonlinearity", "ToScalars",
        )
    },
    "TensorProduct": ((T, T, T), {"mode": "uuu"}, "pairs"),
    "GroupPool": ((REGULAR,), {}, "nodes"),
    "Restrict": ((T, C8), {}, "nodes"),
    "OnGrid": ((nn.GroupPool(REGULAR),), {}, "image"),
    "GridConv": ((T, T, 5, 2), {"groups": 2, "basis": "band_limited"}, "image"),
    "GridConvTranspose": ((REGULAR, REGULAR, 3), {}, "image"),
    "GridPadding": ((FieldType(FLIP, "2xregular"), 2, "moebius"), {}, "image"),
    "GridMask": ((REGULAR, "disc"), {"sigma": 1.0}, "image"),
    **dict.fromkeys(("GridPool", "GridBlur", "GridUpsample", "GridDropout"), ((REGULAR,), {}, "image")),
    **dict.fromkeys(
        ("GaugeClassifier", "MeshClassifier", "SphericalCNN", "ZonalCNN", "SpinCNN", "ClebschGordanCNN", "DeepSphere"),
        ((ONE, 3), SMALL, "sphere"),
    ),
    **dict.fromkeys(("GEMCNN", "MDGCNN"), ((ONE, T), SMALL, "sphere")),
    **dict.fromkeys(("HSN", "FieldConvNet"), ((ONE, U), SMALL, "sphere")),  # of orders 0 and 1
    **dict.fromkeys(("GCNN", "GeodesicCNN"), ((ONE, ONE), SMALL, "sphere")),
    **dict.fromkeys(
        ("EMAN", "GET"),
        ((ONE, 3), SMALL, "sphere"),
    ),
    **dict.fromkeys(("GaugeUNet", "MeshUNet", "SphericalUNet", "Hermes"), ((U, T), SMALL, "sphere")),
    "UGSCNN": ((FieldType(groups.Trivial(), "2x0"), 3), SMALL, "framed"),
    "IcosahedralCNN": ((2, 3), {"channels": (2, 2)}, "flat"),
    **dict.fromkeys(("MobiusCNN", "StripCNN"), ((), {}, "digit")),
    "PlanarCNN": ((groups.Dihedral(4),), {"widths": (2, 2, 2)}, "digit"),
    "VoxelCNN": ((groups.SO3(), "1xregular(1) + 1x1"), {"widths": (1, 2), "nonlinearity": "regular"}, "volume"),
    **dict.fromkeys(("CubeNet", "GCNN3D"), ((), {"widths": (1, 1)}, "volume")),
    "SteerableCNN3D": ((), {"widths": (1, 1, 1)}, "volume"),
    "HarmonicNetwork": ((), {"channels": (2, 2)}, "digit"),
    "HarmonicConv": ((2, 3, 5), {}, "image"),
    "MagnitudeNonlinearity": ((2, 1), {}, "image"),
    "InterpolatedConv": ((FieldType(C8, "2x0"), FieldType(C8, "2xregular"), 5), {}, "image"),
    "ScaleConv": ((FieldType(ZOOM, "2x0"), FieldType(ZOOM, "2xregular"), 5), {}, "image"),
    "Scattering": (((32, 32), 2), {}, "digit"),
    "SphericalTransform": ((BALLS[0], 4), {}, "points"),
    "FieldTransform": ((BALLS[0], 4, T), {}, "fields"),
    "SpectralPool": ((T, *BALLS, 3), {}, "features"),
}  # fmt: skip
CLASSES = {
    name: made
    for room in (nn, models, spectral)
    for name, made in vars(room).items()
    if name in room.__all__ and isinstance(made, type) and issubclass(made, torch.nn.Module)
}


def case(name: str):
    """(constructor, a module in eval mode with random state, arguments of its forward)."""
    args, options, inputs = CASES[name]
    make = partial(CLASSES[name], *args, **options)
    torch.manual_seed(0)
    module = randomise(make())
    return make, module.eval(), INPUTS[inputs](module)


def flat(outputs) -> list[torch.Tensor]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def test_no_class_is_missing():
    assert CLASSES.keys() == CASES.keys() | {"GaugeEncoder"}  # a base without forward


@pytest.mark.parametrize("name", CASES)
def test_built_on_the_default_device(name):
    """All of it, and whole when it has come from the meta device and got its parameters."""
    make, expected, inputs = case(name)
    with torch.device("meta"):
        module = make()
    assert {t.device.type for t in [*module.parameters(), *module.buffers()]} <= {"meta"}
    module.to_empty(device="cpu").load_state_dict(expected.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(flat(module.eval()(*inputs)), flat(expected(*inputs)), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_forward_follows_the_features(name):
    _, module, inputs = case(name)
    expected = flat(module(*inputs))
    with torch.device("meta"):
        out = flat(module(*inputs))
    assert all(torch.equal(a, b) for a, b in zip(out, expected, strict=True))


@pytest.mark.parametrize("name", [name for name, made in CLASSES.items() if hasattr(made, "export")])
def test_export_follows_the_layer(name):
    _, module, (x,) = case(name)
    plain = module.export(x)
    with torch.device("meta"):
        again = module.export(x)
    assert torch.equal(again(x), plain(x))


def test_reset_after_the_meta_device():
    """Parameters of their own instead of loaded ones."""
    with torch.device("meta"):
        net = models.MeshClassifier(U, 3, **SMALL)
    net.to_empty(device="cpu").reset_parameters()
    graph = icosphere_graph(2, 2).float()
    assert net(torch.randn(162, U.dim), graph).isfinite().all()


def test_graphs_and_tests_stay_where_they_are():
    """A graph comes from numpy: on the CPU, whatever the default is, and so does what `testing` makes for it."""
    layer = randomise(nn.GaugeConv(U, T)).double()
    with torch.device("meta"):
        graph = icosphere_graph(2, 2)
        assert {value.device.type for _, value in graph if isinstance(value, torch.Tensor)} == {"cpu"}
        assert testing.equivariance_error(layer, graph, U, T) < 1e-10
