"""Exported planar networks: plain torch modules with the same numbers, through pickle of torch classes alone."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.models import (
    HarmonicConv,
    HarmonicNetwork,
    InterpolatedConv,
    MagnitudeNonlinearity,
    PlanarCNN,
    ScaleConv,
    Scattering,
)
from gaugenet.nn import NormNonlinearity, OnGrid, export
from tests.helpers.images import SMALL, image
from tests.helpers.networks import randomise, stirred

C8, O2, SCALES = groups.Cyclic(8), groups.O2(), groups.Scaling((1.0, 1.5))
NETWORKS = {
    "p4m": PlanarCNN(groups.Dihedral(4), **SMALL),
    "max": PlanarCNN(groups.Cyclic(4), readout="max", **SMALL),
    "hexagons": PlanarCNN(groups.Dihedral(6), lattice="hexagonal", pool=1, **SMALL),
    "interpolated": PlanarCNN(C8, basis="interpolated", **SMALL),
    "irreps": PlanarCNN(O2, "1x0 + 1x0- + 1x1", basis="band_limited", **SMALL),
    "induced": PlanarCNN(
        O2, [(1, groups.induced(groups.SO2().irrep(1), O2))], basis="band_limited", nonlinearity="norm", **SMALL
    ),
    "scales": PlanarCNN(SCALES, "1xregular", basis=partial(ScaleConv, kernel_size=5, effective_size=2, scale_size=1), **SMALL),
    "harmonic": HarmonicNetwork(3, channels=(2, 2, 3)),
}
LAYERS = {
    "HarmonicConv": HarmonicConv(1, 2, 5, out_order=2, stride=3, padding=1),
    "MagnitudeNonlinearity": MagnitudeNonlinearity(2, 1, "tanh"),
    "InterpolatedConv": InterpolatedConv(FieldType(C8, "2x0"), FieldType(C8, "2xregular"), 3, bias=False),
    "ScaleConv": ScaleConv(FieldType(SCALES, "2xregular"), FieldType(SCALES, "1xregular"), 5, effective_size=2, scale_size=2),
    "Scattering": Scattering((12, 12), 2, 4),
    "NormNonlinearity": OnGrid(
        NormNonlinearity(FieldType(O2, [(2, groups.induced(groups.SO2().irrep(1), O2)), (1, O2.irrep(1))]), "elu")
    ),
}


def is_plain(module) -> bool:
    return all(type(m).__module__.startswith("torch") for m in module.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    net = stirred(NETWORKS[name]).double().eval()
    x = image(size=13 if name == "hexagons" else 12)
    plain = net.export(x)
    assert is_plain(plain) and torch.allclose(plain(x), net(x), rtol=1e-12, atol=1e-12)
    program = torch.export.export(plain, (x,))
    assert torch.allclose(program.module()(x), net(x), rtol=1e-12, atol=1e-12)
    whole = export(net, x)  # keeps the class, with plain layers inside
    assert torch.allclose(whole(x), net(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer = randomise(copy.deepcopy(LAYERS[name])).double()
    plain, x = layer.export(), image(layer.in_type.dim)
    assert is_plain(plain) and torch.allclose(plain(x), layer(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*LAYERS, "harmonic", "scales"])
def test_onnx(name):
    pytest.importorskip("onnxscript", reason="writing ONNX needs the extra: pip install 'gaugenet[onnx]'")
    reference = pytest.importorskip("onnx.reference", reason="running ONNX needs the extra: pip install 'gaugenet[onnx]'")
    net = copy.deepcopy({**LAYERS, **NETWORKS}[name]).float()
    net, x = randomise(net).eval(), image(net.in_type.dim).float()
    x[0] = 0.0  # norms of zero
    program = torch.export.export(net.export(x), (x,))
    model = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    (y,) = reference.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x.numpy()})
    assert torch.allclose(torch.from_numpy(y), net(x), rtol=1e-4, atol=1e-4)
