"""Every public constructor says what it wanted: which class, which argument, what came."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

import gaugenet.models.planar
from gaugenet import FieldType, checks, groups, kernels, models, nn, spectral
from gaugenet.fields import check_field_types

SO2, C4, C6, R = groups.SO2(), groups.Cyclic(4), groups.Cyclic(6), groups.Reflection()
IRREPS, REGULAR, HEXAGONS = FieldType(SO2, "2x0 + 2x1"), FieldType(C4, "2xregular"), FieldType(C6, "2xregular")
SCALES = FieldType(groups.Scaling((1.0, 2.0)), "2xregular")
POINTS = torch.nn.functional.normalize(
    torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), dim=1
)
TAPS, RINGS = kernels.square_taps(3), kernels.Rings.of(3)

TYPES = (16, "16x0", None, SO2)  # what is no field type
COUNTS = (0, -1, "3", 2.5, True)  # what is no positive integer
ORDERS = (-1, "3", 2.5)
SEQUENCES = (2, "12", (), (0,), (1.5,))
NAMES = ("nonsense", 3)
NUMBERS = ("x", -1.0, float("nan"), float("inf"))
SHARES = (1.0, 2, -0.1, "x")
SHAPES = (3, (4,), (4, 0), "ab")

#: class -> (arguments that it takes, wrong values of its arguments)
CASES = {
    kernels.GaussianRings: ({"num": 2}, {"num": COUNTS, "width": (0, "x")}),
    kernels.RadialProfile: ({"num": 2}, {"num": COUNTS}),
    kernels.BSpline: ({"num": 4}, {"num": COUNTS, "degree": COUNTS}),
    kernels.RadialMLP: ({"num": 2}, {"num": COUNTS, "hidden": ((), "x", 0, (1.5,)), "embedding": COUNTS}),
    kernels.Lattice: ({"steps": ((1.0, 0.0), (0.0, 1.0))}, {"steps": (3, "square", ((1, 0), (2, 0)))}),
    kernels.Rings: (
        {"radii": (0.0, 1.0), "sigma": (0.5, 0.5), "max_frequency": (0, 2)},
        {"radii": ((), (1.0,), (-1.0, 0.0)), "sigma": ((0.0, 1.0),), "max_frequency": ((0, 1.5), (-1, 0))},
    ),
    kernels.SteerableBasis: (
        {"rep_in": SO2.irrep(1), "rep_out": SO2.irrep(0)},
        {"rep_in": (1, "1", C4.regular), "rep_out": (1, C4.regular), "max_frequency": ORDERS},
    ),
    kernels.TapBasis: (
        {"rep_in": C4.regular, "rep_out": C4.regular, "taps": TAPS},
        {"rep_in": (1, SO2.trivial), "rep_out": (1,), "taps": (np.zeros((2, 2)), np.zeros(3))}
        | {"period": (np.zeros((2, 2)), np.eye(3), np.ones(2))},
    ),
    kernels.RingBasis: (
        {"rep_in": C4.regular, "rep_out": C4.regular, "taps": TAPS, "rings": RINGS},
        {"rep_in": (1, SO2.trivial), "rep_out": (1,), "taps": (np.zeros(3),), "rings": (3, None)},
    ),
    kernels.Polar: ({}, {"radial": COUNTS, "max_frequency": ORDERS, "quadrature": (-1, "3", 9)}),
    kernels.Interpolated: ({}, {}),
    kernels.MLP: ({}, {"units": COUNTS, "hidden": (0, (), "x", (1.5,)), "orbit": ORDERS}),
    kernels.Spline: (
        {},
        {
            "size": (0, "x", (1.5,)),
            "degree": ORDERS,
            "spacing": (0.0, "x", (1.0, -1.0)),
            "stretch": (0.0, *NUMBERS),
            "fibre_size": COUNTS,
            "fibre_spacing": (0.0, *NUMBERS),
        },
    ),
    kernels.HermiteGaussian: ({}, {"effective_size": COUNTS, "scale_size": COUNTS}),
    kernels.CircularHarmonic: ({}, {"rings": COUNTS}),
    kernels.Taps: ({}, {"rings": (3, "x"), "period": (3, np.zeros((2, 2)), "x")}),
    kernels.FreeBasis: (
        {"rep_in": groups.Trivial().trivial, "rep_out": groups.Trivial().trivial, "size": 3},
        {"rep_in": (1, C4.trivial), "rep_out": (1,), "size": COUNTS},
    ),
    kernels.KernelExpansion: (
        {"in_type": IRREPS, "out_type": IRREPS, "basis": kernels.SteerableBasis},
        {"in_type": TYPES, "out_type": (*TYPES, REGULAR)},
    ),
    nn.BlockOptions: ({}, {"norm": NAMES, "dropout": SHARES}),
    models.EncoderOptions: ({}, {"norm": NAMES, "dropout": SHARES}),
    nn.EdgeFrameConv: (
        {"in_type": FieldType(groups.SO3(), "1x0 + 1x1"), "out_type": FieldType(groups.SO3(), "1x1")},
        {"in_type": TYPES, "out_type": (32, REGULAR), "radial": (*COUNTS, torch.nn.ReLU()), "max_frequency": ORDERS},
    ),
    nn.GaugeConv: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {
            "in_type": TYPES,
            "out_type": (32, REGULAR),
            "radial": (*COUNTS, torch.nn.ReLU()),
            "max_frequency": ORDERS,
            "quadrature": (-1, "3", 9),
            "backend": NAMES,
        },
    ),
    nn.LatticeConv: ({"in_type": HEXAGONS, "out_type": HEXAGONS}, {"in_type": TYPES, "out_type": TYPES, "corners": NAMES}),
    nn.LatticePool: ({"type": HEXAGONS}, {"type": TYPES, "reduce": NAMES, "corners": NAMES}),
    nn.ConePoints: ({"type": HEXAGONS}, {"type": TYPES, "mode": NAMES}),
    nn.ConvBlock: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": TYPES, "radial": COUNTS, "max_frequency": ORDERS, "quadrature": (-1,), "norm": NAMES}
        | {"nonlinearity": NAMES, "activation": NAMES, "dropout": SHARES},
    ),
    nn.GaugePool: ({"type": IRREPS}, {"type": TYPES, "reduce": NAMES}),
    nn.GaugeUnpool: ({"type": IRREPS}, {"type": TYPES}),
    nn.GroupPool: ({"type": REGULAR}, {"type": (*TYPES, IRREPS), "reduce": NAMES}),
    nn.ToScalars: ({"type": IRREPS}, {"type": TYPES, "eps": NUMBERS}),
    nn.KernelTables: ({"network": nn.GaugeConv(IRREPS, IRREPS)}, {"network": (3, torch.nn.ReLU())}),
    nn.FieldBias: ({"type": IRREPS}, {"type": TYPES}),
    nn.FieldNorm: ({"type": IRREPS}, {"type": TYPES, "mode": NAMES, "eps": NUMBERS, "momentum": NUMBERS}),
    nn.FieldDropout: ({"type": IRREPS}, {"type": TYPES, "p": SHARES}),
    nn.GaugeLinear: ({"in_type": IRREPS, "out_type": IRREPS}, {"in_type": TYPES, "out_type": (*TYPES, REGULAR)}),
    nn.NormNonlinearity: ({"type": IRREPS}, {"type": TYPES, "activation": NAMES, "eps": NUMBERS}),
    nn.GatedNonlinearity: ({"type": IRREPS}, {"type": TYPES, "activation": NAMES, "gate": NAMES}),
    nn.RegularNonlinearity: ({"type": IRREPS}, {"type": TYPES, "activation": NAMES, "samples": COUNTS}),
    nn.PolynomialNonlinearity: ({"type": IRREPS}, {"type": TYPES, "activation": NAMES, "degree": COUNTS}),
    nn.Restrict: ({"type": IRREPS, "subgroup": C4}, {"type": TYPES, "subgroup": (4, "C4", groups.O2())}),
    nn.TensorProduct: (
        {"in_type1": IRREPS, "in_type2": IRREPS, "out_type": IRREPS},
        {"in_type1": TYPES, "in_type2": (3, REGULAR), "out_type": TYPES, "mode": NAMES},
    ),
    nn.TensorNonlinearity: ({"type": IRREPS}, {"type": TYPES, "eps": NUMBERS}),
    nn.GaugeAttention: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": (32, REGULAR), "heads": COUNTS, "key_type": (3, REGULAR), "value_type": (3, REGULAR)}
        | {"radial": COUNTS, "max_frequency": ORDERS, "quadrature": (-1, "3", 9), "backend": NAMES},
    ),
    nn.HarmonicSurfaceConv: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": (32, REGULAR), "rings": COUNTS, "quadrature": (-1, "3", 9), "backend": NAMES},
    ),
    nn.FieldConv: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": (32, REGULAR), "radial": COUNTS, "max_frequency": ORDERS, "quadrature": (-1, "3", 9)}
        | {"eps": (0, *NUMBERS), "backend": NAMES},
    ),
    nn.AngularMaxPool: ({"type": FieldType(SO2, "2x0")}, {"type": (*TYPES, IRREPS), "order": ORDERS, "activation": NAMES}),
    kernels.HarmonicRings: ({}, {"rings": COUNTS, "quadrature": (-1, "3", 9)}),
    kernels.LinearRings: ({"num": 2}, {"num": COUNTS}),
    nn.FieldDiffusion: (
        {"type": IRREPS},
        {"type": (*TYPES, FieldType(groups.SO3(), "1x0")), "method": NAMES, "pairs": COUNTS, "unit": NAMES},
    ),
    nn.PoissonSolve: ({"type": IRREPS}, {"type": TYPES, "shift": (0.0, *NUMBERS), "unit": NAMES}),
    models.DiffusionNet: (
        {"in_channels": 2, "out_channels": 3, "width": 4, "blocks": 1},
        {"in_channels": COUNTS, "out_channels": COUNTS, "width": COUNTS, "blocks": COUNTS, "hidden": SEQUENCES}
        | {"dropout": SHARES, "method": NAMES, "pairs": COUNTS, "pool": NAMES},
    ),
    models.PoissonNet: (
        {"in_channels": 2, "out_channels": 3, "width": 4, "blocks": 1},
        {"in_channels": COUNTS, "out_channels": COUNTS, "width": COUNTS, "blocks": COUNTS, "hidden": SEQUENCES}
        | {"dropout": SHARES, "shift": (0.0, *NUMBERS), "pool": NAMES},
    ),
    models.DeltaNet: (
        {"in_channels": 2, "out_channels": 3, "channels": (4,)},
        {"in_channels": COUNTS, "out_channels": COUNTS, "channels": SEQUENCES, "dropout": SHARES, "pool": NAMES},
    ),
    nn.GaugeMessagePassing: (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": (32, REGULAR), "message_type": (3, REGULAR), "radial": COUNTS, "max_frequency": ORDERS}
        | {"nonlinearity": NAMES, "activation": NAMES, "backend": NAMES},
    ),
    kernels.Derivatives: ({}, {"degree": (*COUNTS, 1, 4)}),
    nn.Gradient: ({"type": IRREPS}, {"type": (*TYPES, REGULAR), "degree": (1, 4, "3"), "backend": NAMES}),
    nn.Divergence: ({"type": FieldType(SO2, "2x1")}, {"type": (*TYPES, IRREPS), "degree": (1, 4), "backend": NAMES}),
    nn.Curl: ({"type": IRREPS}, {"type": TYPES, "degree": (1, 4), "backend": NAMES}),
    nn.Laplacian: ({"type": IRREPS}, {"type": TYPES, "degree": (1, 4), "backend": NAMES}),
    nn.FrechetMean: (
        {"space": nn.UnitSphere(), "in_points": 3, "out_points": 2},
        {"space": ("S2", 3), "in_points": COUNTS, "out_points": COUNTS},
    ),
    nn.FrechetDistances: ({"space": nn.Rotations()}, {"space": ("SO3", None)}),
    nn.UnitSphere: ({}, {}),
    nn.Rotations: ({}, {}),
    nn.PositiveDefinite: ({"n": 3}, {"n": COUNTS}),
    nn.GridConv: (
        {"in_type": REGULAR, "out_type": REGULAR, "kernel_size": 3},
        {"in_type": TYPES, "out_type": (*TYPES, IRREPS), "kernel_size": COUNTS, "groups": (*COUNTS, 3), "basis": NAMES}
        | {"padding": (-1, "x", (1,)), "stride": COUNTS, "dilation": COUNTS, "padding_mode": NAMES, "lattice": ("x", 3)},
    ),
    nn.GridConvTranspose: (
        {"in_type": REGULAR, "out_type": REGULAR, "kernel_size": 3},
        {"in_type": TYPES, "out_type": (*TYPES, IRREPS), "kernel_size": COUNTS, "groups": COUNTS, "basis": NAMES}
        | {"padding": (-1, "x"), "stride": COUNTS, "dilation": COUNTS, "padding_mode": NAMES},
    ),
    nn.GridPadding: ({"type": REGULAR, "padding": 1}, {"type": TYPES, "padding": (-1, "1", (1,)), "mode": NAMES}),
    nn.GridPool: (
        {"type": REGULAR},
        {"type": TYPES, "size": COUNTS, "reduce": NAMES, "stride": (0, 3, "1"), "padding": (-1, 2), "padding_mode": NAMES},
    ),
    nn.GridBlur: ({"type": REGULAR}, {"type": TYPES, "stride": COUNTS, "sigma": (0, -1.0, "x"), "padding_mode": NAMES}),
    nn.GridUpsample: ({"type": REGULAR}, {"type": TYPES, "scale": COUNTS, "mode": NAMES, "padding_mode": NAMES}),
    nn.GridDropout: ({"type": REGULAR}, {"type": TYPES, "p": SHARES}),
    nn.GridMask: ({"type": REGULAR}, {"type": TYPES, "region": NAMES, "margin": NUMBERS, "sigma": NUMBERS}),
    nn.OnGrid: ({"layer": nn.FieldBias(REGULAR)}, {"layer": (3, torch.nn.ReLU())}),
    nn.InterpolatedConv: (
        {"in_type": REGULAR, "out_type": REGULAR},
        {"in_type": (*TYPES, IRREPS), "out_type": TYPES, "kernel_size": (*COUNTS, 4), "padding": (-1,), "stride": COUNTS},
    ),
    nn.ScaleConv: (
        {"in_type": SCALES, "out_type": SCALES},
        {
            "in_type": (*TYPES, REGULAR),
            "out_type": TYPES,
            "kernel_size": COUNTS,
            "effective_size": COUNTS,
            "scale_size": (0, 9),
        },
    ),
    nn.Scattering: ({"shape": (32, 32)}, {"shape": SHAPES, "J": COUNTS, "L": COUNTS, "in_channels": COUNTS}),
    nn.HarmonicConv: (
        {"in_channels": 1, "out_channels": 2},
        {"in_channels": COUNTS, "out_channels": COUNTS, "kernel_size": (*COUNTS, 4), "in_order": ORDERS, "out_order": ORDERS}
        | {"rings": COUNTS},
    ),
    nn.MagnitudeNonlinearity: (
        {"channels": 2, "max_order": 1},
        {"channels": COUNTS, "max_order": ORDERS, "activation": NAMES, "eps": NUMBERS},
    ),
    models.GaugeEncoder: (
        {"in_type": IRREPS},
        {"in_type": TYPES, "channels": (0, "x", (1,)), "order": ORDERS, "blocks": (2, "12", (), (-1,)), "block": NAMES}
        | {"pool": NAMES, "radial": COUNTS, "norm": NAMES, "nonlinearity": NAMES, "activation": NAMES, "dropout": SHARES},
    ),
    models.IcosahedralCNN: (
        {"in_type": 2, "num_classes": 3},
        {"in_type": (0, "2x0", None), "num_classes": COUNTS, "channels": (3, ((0,),), ("x",)), "norm": NAMES, "pool": NAMES},
    ),
    models.ClebschGordanNet: (
        {"in_type": FieldType(SO2, "1x0 + 1x1"), "num_classes": 3},
        {"in_type": TYPES, "num_classes": COUNTS, "channels": SEQUENCES, "order": ORDERS, "norm": NAMES},
    ),
    models.TensorFieldNetwork: (
        {"in_type": FieldType(SO2, "1x0"), "out_type": FieldType(SO2, "1x0")},
        {
            "in_type": TYPES,
            "out_type": TYPES,
            "hidden": (3, ("1x0",)),
            "embedding": ("1x0", FieldType(C4, "1x0")),
            "pool": NAMES,
        }
        | {"radial": COUNTS, "max_frequency": ORDERS, "nonlinearity": NAMES, "activation": NAMES, "backend": NAMES},
    ),
    models.MobiusCNN: (
        {},
        {"fields": (3, "nonsense"), "num_classes": COUNTS, "in_channels": COUNTS, "widths": SEQUENCES, "kernel_size": COUNTS}
        | {"dropout": SHARES, "padding_mode": NAMES},
    ),
    models.StripCNN: (
        {},
        {"num_classes": COUNTS, "in_channels": COUNTS, "widths": SEQUENCES, "kernel_size": COUNTS, "dropout": SHARES},
    ),
    models.PlanarCNN: (
        {},
        {"group": (4, "C4"), "fields": (3, "nonsense", IRREPS), "num_classes": COUNTS, "in_channels": COUNTS}
        | {"widths": SEQUENCES, "kernel_size": COUNTS, "pool": COUNTS, "readout": NAMES, "norm": NAMES, "dropout": SHARES},
    ),
    models.HarmonicNetwork: (
        {},
        {"num_classes": COUNTS, "in_channels": COUNTS, "channels": SEQUENCES, "max_order": ORDERS, "kernel_size": COUNTS}
        | {"rings": COUNTS, "norm": NAMES, "pool": COUNTS},
    ),
    spectral.FieldTransform: (
        {"sampling": POINTS, "lmax": 3, "field_type": IRREPS},
        {"lmax": ORDERS, "field_type": (*TYPES, REGULAR)},
    ),
    spectral.SphericalTransform: (
        {"sampling": POINTS, "lmax": 3},
        {"lmax": ORDERS, "spin": ORDERS, "method": NAMES, "structure": NAMES},
    ),
    spectral.SpectralPool: (
        {"field_type": IRREPS, "source": POINTS, "target": POINTS, "lmax": 3},
        {"field_type": TYPES, "lmax": ORDERS, "source_lmax": (2, "4")},
    ),
    spectral.LatLonGrid: ({"colatitude": np.linspace(0.1, 3, 8), "nlon": 8}, {"nlon": COUNTS}),
}
for _name in ("EMANOptions", "GETOptions", "HermesOptions"):
    CASES[getattr(models, _name)] = {}, {"norm": NAMES, "dropout": SHARES}
CASES[nn.ResidualBlock] = CASES[nn.BottleneckBlock] = CASES[nn.ConvBlock]
_CLASSIFIERS = {"in_type": TYPES, "num_classes": COUNTS, "blocks": (2, "12"), "channels": (0, "x"), "dropout": SHARES}
for _name in ("GaugeClassifier", "MeshClassifier", "SphericalCNN", "SpinCNN", "ClebschGordanCNN", "EMAN", "GET"):
    CASES[getattr(models, _name)] = {"in_type": IRREPS, "num_classes": 3}, _CLASSIFIERS
_ZONAL = {"in_type": FieldType(groups.O2(), "2x0"), "num_classes": 3}
CASES |= {models.ZonalCNN: (_ZONAL, _CLASSIFIERS), models.DeepSphere: (_ZONAL, _CLASSIFIERS)}
CASES[models.UGSCNN] = CASES[models.LieConvNet] = (
    {"in_type": FieldType(groups.Trivial(), "2x0"), "num_classes": 3},
    _CLASSIFIERS,
)
for _name in ("GaugeUNet", "MeshUNet", "SphericalUNet", "GEMCNN", "HSN", "FieldConvNet", "MDGCNN", "GeodesicCNN", "Hermes"):
    CASES[getattr(models, _name)] = (
        {"in_type": IRREPS, "out_type": IRREPS},
        {"in_type": TYPES, "out_type": (3, REGULAR), "blocks": (2, "12"), "channels": (0, "x")},
    )
CASES[models.GeodesicCNN][0]["out_type"] = FieldType(IRREPS.group, "2x0")

_VOXELS = {"num_classes": COUNTS, "in_channels": COUNTS, "widths": SEQUENCES, "kernel_size": COUNTS, "pool": COUNTS}
_VOXELS |= {"readout": NAMES, "norm": NAMES, "reduce": NAMES, "dropout": SHARES, "spacing": (2.0, (1.0, 2.0), (1.0, 0.0, 1.0))}
CASES[models.SteerableCNN3D] = {}, {"fields": (3, "nonsense", IRREPS), **_VOXELS}
for _name in ("VoxelCNN", "CubeNet", "GCNN3D"):
    CASES[getattr(models, _name)] = {}, {"group": (4, "C4", C4), **_VOXELS}

_WRONG = [(kind, name, value) for kind, (_, wrong) in CASES.items() for name, values in wrong.items() for value in values]
# Protocols and bases, and tuples that the layers make.
_OTHERS = (kernels.Columns, kernels.KernelFamily, kernels.FixedColumns, nn.CoefficientTable, nn.LatticePlan)


def test_every_public_class_is_here():
    public = set()
    for module in (kernels, nn, models, gaugenet.models.planar, spectral):
        public |= {getattr(module, name) for name in module.__all__ if inspect.isclass(getattr(module, name))}
    assert public - set(_OTHERS) == set(CASES)


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_right_arguments_are_taken(kind):
    kind(**CASES[kind][0])


@pytest.mark.parametrize(("kind", "name", "value"), _WRONG, ids=lambda v: getattr(v, "__name__", str(v))[:40])
def test_wrong_arguments_are_named(kind, name, value):
    arguments = {**CASES[kind][0], name: value}
    with pytest.raises((TypeError, ValueError)) as caught:
        kind(**arguments)
    message = str(caught.value)
    assert "object has no attribute" not in message and "not supported between" not in message, message
    assert "unexpected keyword" not in message and "object is not" not in message, message
    shown = (name, repr(value), str(value), type(value).__name__)
    assert any(text in message for text in shown), message


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (
            nn.GaugeConv,
            (16, 32),
            'GaugeConv expected in_type to be a field type, such as FieldType(groups.SO2(), "16x0 + 16x1")',
        ),
        (models.MeshClassifier, (3, 10), "MeshClassifier expected in_type to be a field type"),
        (models.MeshClassifier, (IRREPS, 0), "MeshClassifier expected num_classes to be an integer of at least 1, got 0"),
        (models.GaugeEncoder, (16,), "GaugeEncoder expected in_type to be a field type"),
        (nn.GridConv, (REGULAR, REGULAR, "3"), "GridConv expected kernel_size to be an integer of at least 1, got '3'"),
        (nn.FieldDropout, (IRREPS, 2), "FieldDropout expected p to be a probability, 0 <= p < 1, got 2"),
        (nn.GaugeConv, (IRREPS, REGULAR), "GaugeConv expected in_type and out_type over one group, got SO2() and Cyclic(4)"),
        (nn.GaugePool, (IRREPS, "sum"), "GaugePool expected reduce to be one of 'mean', 'max', got 'sum'"),
    ],
    ids=str,
)
def test_messages(kind, arguments, text):
    with pytest.raises((TypeError, ValueError)) as caught:
        kind(*arguments)
    assert text in str(caught.value)


def test_bounds_and_kinds():
    assert checks.check_int("f", "n", np.int64(3)) == 3 and type(checks.check_int("f", "n", np.int64(3))) is int
    assert checks.check_int("f", "n", -5, None) == -5
    assert checks.check_ints("f", "n", range(1, 4)) == (1, 2, 3) and checks.check_ints("f", "n", [2, 0], 0, length=2) == (2, 0)
    assert checks.check_number("f", "x", np.float32(0.5)) == 0.5 and checks.check_probability("f", "p", 0) == 0.0
    assert checks.check_choice("f", "mode", None, ("a", None)) is None
    with pytest.raises(ValueError, match="f expected n to be an integer from 2 to 4, got 5"):
        checks.check_int("f", "n", 5, 2, 4)
    with pytest.raises(ValueError, match="f expected n to be a sequence of 2 integers of at least 1, got"):
        checks.check_ints("f", "n", (1, 2, 3), length=2)
    with pytest.raises(ValueError, match="f expected x to be a positive number, got 0"):
        checks.check_number("f", "x", 0, positive=True)
    with pytest.raises(TypeError, match="f expected x to be a number of at least 0, got True"):
        checks.check_number("f", "x", True)
    with pytest.raises(ValueError, match="f expected mode to be one of 'a', 'b', got"):
        checks.check_choice("f", "mode", ["a"], ("a", "b"))
    check_field_types("f", a=IRREPS, b=IRREPS)
    with pytest.raises(TypeError, match="f expected a and b over one group, got"):
        check_field_types("f", a=IRREPS, b=REGULAR)


def test_checks_are_free_of_torch(tmp_path):
    import subprocess
    import sys

    code = "import sys, gaugenet.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
