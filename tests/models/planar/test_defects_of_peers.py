"""What users of other libraries suffer from, shown to be absent from every planar model and layer.

A net in double precision that breaks others, a state_dict that depends on the mode, weights that count in training only,
networks that do not pickle, copy, compile or export, an output that depends on the rest of the batch.
"""

from __future__ import annotations

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from gaugenet import FieldType, groups
from gaugenet.models import (
    HarmonicConv,
    HarmonicNetwork,
    InterpolatedConv,
    MagnitudeNonlinearity,
    MobiusCNN,
    PlanarCNN,
    ScaleConv,
    Scattering,
    StripCNN,
)
from gaugenet.nn import GridBlur, GridConv, GridConvTranspose, GridMask, GridPadding, GridPool, GridUpsample
from tests.helpers.images import SMALL
from tests.helpers.networks import stirred

C8, D4, O2, SCALES = groups.Cyclic(8), groups.Dihedral(4), groups.O2(), groups.Scaling((1.0, 1.5))
FIELDS, IRREPS = FieldType(D4, "1x0 + 1x1 + 1xregular"), FieldType(O2, "1x0 + 1x0- + 1x1")
LIMITED = {"basis": "band_limited"}
MODELS = {
    "p4m": lambda: PlanarCNN(D4, **SMALL),
    "C8": lambda: PlanarCNN(C8, **LIMITED, **SMALL),
    "O2": lambda: PlanarCNN(O2, "1x0 + 1x0- + 1x1", **LIMITED, **SMALL),
    "O2 on samples": lambda: PlanarCNN(O2, "1x0 + 1x1", nonlinearity="regular", **LIMITED, **SMALL),
    "SO2 polynomials": lambda: PlanarCNN(groups.SO2(), "1x0 + 1x1", nonlinearity="polynomial", **LIMITED, **SMALL),
    "interpolated": lambda: PlanarCNN(C8, basis="interpolated", **SMALL),
    "scales": lambda: PlanarCNN(SCALES, "1xregular", basis=partial(ScaleConv, kernel_size=5, effective_size=2), **SMALL),
    "harmonic": lambda: HarmonicNetwork(3, channels=(2, 2, 3)),
    "strip": lambda: MobiusCNN("mixed", 3, widths=(2, 2)),
    "plain strip": lambda: StripCNN(3, widths=(2, 2)),
}
LAYERS = {
    "complete": lambda: GridConv(FIELDS, FIELDS, 3, 1),
    "band-limited": lambda: GridConv(IRREPS, IRREPS, 5, 2, **LIMITED),
    "transposed": lambda: GridConvTranspose(FIELDS, FIELDS, 4, 1, stride=2),
    "padding": lambda: GridPadding(FIELDS, 1, "moebius"),
    "pool": lambda: GridPool(FIELDS, 3, stride=2, padding=1),
    "blur": lambda: GridBlur(IRREPS),
    "mask": lambda: GridMask(FIELDS, "disc", sigma=1.0),
    "upsample": lambda: GridUpsample(IRREPS),
    "interpolated": lambda: InterpolatedConv(FieldType(C8, "1xregular"), FieldType(C8, "2xregular"), 5),
    "harmonic": lambda: HarmonicConv(1, 2, 5, out_order=2, padding=2),
    "magnitude": lambda: MagnitudeNonlinearity(2, 1),
    "scales": lambda: ScaleConv(*[FieldType(SCALES, "1xregular")] * 2, 5, effective_size=2, scale_size=2),
    "scattering": lambda: Scattering((12, 12), 2, 4),
}
ALL = [*((f"model {k}", v) for k, v in MODELS.items()), *((f"layer {k}", v) for k, v in LAYERS.items())]


@pytest.fixture(params=[make for _, make in ALL], ids=[name for name, _ in ALL])
def net(request) -> nn.Module:
    torch.manual_seed(0)
    net = request.param()
    return (stirred(net) if hasattr(net, "features") or isinstance(net, HarmonicNetwork) else net).eval()


def images(net: nn.Module, count: int = 3) -> torch.Tensor:
    channels = net.in_type.dim if hasattr(net, "in_type") else 1
    return torch.randn(count, channels, 12, 12, generator=torch.Generator().manual_seed(1))


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def test_another_net_in_double_precision(net):
    x, twin, single = images(net), copy.deepcopy(net), type(net).__name__
    before = net(x)
    fine = twin.double()(x.double())
    assert fine.dtype == torch.float64 and close(fine.float(), before)
    assert torch.equal(net(x), before), single
    # Through single precision and back constants are as exact as ever; parameters came from single precision.
    assert close(copy.deepcopy(net).double().float().double()(x.double()), fine, 1e-12)


def test_one_state_dict_which_is_all(net):
    keys = list(net.train().state_dict())
    assert list(net.eval().state_dict()) == keys
    fresh = copy.deepcopy(net)
    with torch.no_grad():
        for p in fresh.parameters():
            p.normal_()
    fresh.train().load_state_dict(net.eval().state_dict(), strict=True)
    assert torch.equal(fresh.eval()(images(net)), net(images(net)))


def test_weights_edited_in_evaluation_count(net):
    x, parameters = images(net), [p for p in net.parameters() if p.numel()]
    if not parameters:
        pytest.skip("a fixed transform: there are no weights to edit or to train")
    before = net(x)
    with torch.no_grad():
        parameters[0].add_(0.5)
    assert not close(net(x), before)
    with torch.no_grad():
        parameters[0].sub_(0.5)
    assert close(net(x), before)
    with torch.inference_mode():  # nothing that is made here stays
        net(x)
    net(x).square().sum().backward()
    assert parameters[0].grad.abs().max() > 0


def test_copies_are_nets_of_their_own(net):
    x, expected, buffer = images(net), net(images(net)), io.BytesIO()
    torch.save(net, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), expected) and repr(twin) == repr(net)
        with torch.no_grad():
            for p in twin.parameters():
                p.zero_()
    assert torch.equal(net(x), expected)


def test_compiles_without_breaks_and_exports(net):
    torch._dynamo.reset()
    x, expected = images(net), net(images(net))
    assert close(torch.compile(net, fullgraph=True, backend="eager")(x), expected)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    assert close(program.module()(x[:2]), expected[:2])
    torch._dynamo.reset()


def test_an_image_does_not_see_its_batch(net):
    x = images(net)
    assert close(net(x)[:1], net(x[:1]))


def test_two_steps_of_training_are_repeatable(net):
    """No state but parameters and running averages: from the same start the same steps end alike."""
    if not any(p.numel() for p in net.parameters()):
        pytest.skip("a fixed transform: there are no weights to edit or to train")
    ends = []
    for twin in (net, copy.deepcopy(net)):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD(twin.train().parameters(), 0.01)
        for _ in range(2):
            optimizer.zero_grad()
            twin(images(net)).square().mean().backward()
            optimizer.step()
        ends.append(twin.eval()(images(net)))
    assert torch.equal(*ends)
