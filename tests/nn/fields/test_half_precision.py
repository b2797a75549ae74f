"""float16, as in mixed precision on older GPUs: norms of zero and of large features are finite, and near those of float32."""

from __future__ import annotations

import copy

import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.models import HarmonicNetwork, MagnitudeNonlinearity, PlanarCNN
from gaugenet.nn import (
    FieldNorm,
    GatedNonlinearity,
    GridPool,
    NormNonlinearity,
    OnGrid,
    PolynomialNonlinearity,
    RegularNonlinearity,
    TensorNonlinearity,
    ToScalars,
)
from tests.helpers.networks import randomise

TYPE = FieldType(groups.O2(), "2x0 + 2x1 + 2x2")
LAYERS = {
    "norms": lambda: NormNonlinearity(TYPE),
    "published norms": lambda: NormNonlinearity(TYPE, smooth=False, eps=1e-8),
    "polynomial": lambda: PolynomialNonlinearity(TYPE),
    "cubic": lambda: PolynomialNonlinearity(TYPE, degree=3),
    "regular": lambda: RegularNonlinearity(TYPE),
    "gates": lambda: GatedNonlinearity(TYPE),
    "tensor": lambda: TensorNonlinearity(TYPE),
    "scalars": lambda: ToScalars(TYPE),
    "batch norm": lambda: FieldNorm(TYPE),
    "layer norm": lambda: FieldNorm(TYPE, "layer"),
    "published magnitudes": lambda: MagnitudeNonlinearity(2, 2),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, training):
    layer = randomise(LAYERS[name]()).train(training)
    half = copy.deepcopy(layer).half()
    generator = torch.Generator().manual_seed(0)
    for scale in (0.0, 1e-3, 1.0, 300.0):
        x = scale * torch.randn(20, layer.in_type.dim, generator=generator)
        x[:5] = 0.0
        x = x.half().requires_grad_()
        out = half(x)
        out.sum().backward()
        assert out.dtype == torch.float16 and out.isfinite().all()
        assert x.grad.isfinite().all() or "published" in name  # those jump at zero
        expected = layer(x.detach().float())
        assert (out.float() - expected).abs().max() < 0.02 * expected.abs().max().clamp_min(1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", [
    lambda: PlanarCNN(groups.O2(), "1x0 + 1x1", basis="band_limited", nonlinearity="norm", widths=(2, 2, 2)),
    lambda: PlanarCNN(groups.SO2(), "1x0 + 1x1", basis="band_limited", nonlinearity="polynomial", widths=(2, 2, 2)),
    lambda: PlanarCNN(groups.Dihedral(4), widths=(2, 2, 2)), lambda: HarmonicNetwork(channels=(2, 2)),
])  # fmt: skip
def test_networks_under_autocast(make, dtype):
    """An image that is black but for a stroke, in training, in evaluation, and then in training again."""
    torch.manual_seed(0)
    net, x = make(), torch.zeros(4, 1, 16, 16)
    x[:, :, 4:6, 3:10] = torch.rand(4, 1, 2, 7)
    for mode in (True, False, True):
        net.train(mode)
        with torch.autocast("cpu", dtype=dtype):
            loss = net(x).float().square().mean()
        loss.backward()
        assert loss.isfinite() and all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    with torch.no_grad():
        net.eval()
        expected = net(x)
        with torch.autocast("cpu", dtype=dtype):
            assert (net(x).float() - expected).abs().max() < 0.05 * expected.abs().max().clamp_min(1.0)


def test_pooling():
    pool = GridPool(TYPE)
    x = torch.full((1, TYPE.dim, 4, 4), 300.0).half()
    assert pool(x).isfinite().all() and torch.equal(pool(0 * x), torch.zeros(1, TYPE.dim, 2, 2).half())
    assert OnGrid(NormNonlinearity(TYPE).half())(0 * x).isfinite().all()
