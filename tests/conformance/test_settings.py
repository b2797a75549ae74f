"""Weights load where they mean what they meant: whatever loads gives the same numbers."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gaugenet import FieldType, groups, kernels, models, nn
from tests.helpers.networks import randomise

from .recipes import Recipe
from .registry import RECIPES

SO2 = groups.SO2()
TYPE = FieldType(SO2, "2x0 + 2x1")
ONE_OF_EACH = list({r.cls: r for r in reversed(RECIPES)}.values())


def other_order(type: FieldType) -> FieldType:
    return FieldType(type.group, reversed(type.blocks)) if isinstance(type, FieldType) else type


_SO3 = groups.SO3()
_D4 = FieldType(groups.Dihedral(4), "2x0 + 1x1")
_RINGS = kernels.Rings((0.0, 1.0), (0.3, 0.3), (0, 2))
#: argument -> other values; a class that refuses one is left out
OTHERS = {
    **dict.fromkeys(("type", "in_type", "in_type1", "in_type2", "out_type"), other_order),
    "J": (2,), "L": (6,), "activation": ("tanh", "elu"), "affine": (False,), "backend": ("reference",),
    "basis": ("band_limited", "complete"), "bias": (False,), "block": ("plain",), "blocks": ((1, 2),),
    "channels": (3, (2, 3)), "corners": ("zero", "average"), "degree": (3, 1), "dilation": (2,), "disk": (False,),
    "dropout": (0.5,), "effective_size": (5,),
    "edge_frames": (True,),
    "embedding": (FieldType(_SO3, "2x0"),), "eps": (0.3, 0.01), "fields": ("regular", "1x0 + 1xregular"), "gate": ("tanh",),
    "gradient_features": (False,), "gradient_rotations": (False,), "method": ("implicit", "spectral"), "pairs": (7,),
    "shift": (0.5,), "unit": ("length",), "width": (5,),
    "heads": (1,), "key_type": (FieldType(groups.SO2(), "1x0"), FieldType(groups.Cyclic(6), "1x0")),
    "value_type": (FieldType(groups.SO2(), "2x0"), FieldType(groups.Cyclic(6), "1x0")),
    "group": (groups.Dihedral(4),), "group_pool": ("mean",), "groups": (2,),
    "hidden": ((), FieldType(_SO3, "2x1 + 2x0"), (FieldType(_SO3, "2x0 + 2x1"),) * 2), "in_channels": (2,), "in_order": (1,),
    "kernel": (kernels.Polar(2, 1), kernels.Rings.of(3, sigma=0.3)), "kernel_size": (3, 5), "kind": ("B",),
    "lattice": ("hexagonal",), "layer": (nn.FieldNorm(_D4, eps=1.0),), "lift": (False,), "margin": (1.0,),
    "max_frequency": (1, 4), "messages": ("norm",),
    "message_type": (FieldType(groups.SO2(), "1x0 + 1x2"), FieldType(groups.Cyclic(6), "1x0")),
    "max_order": (2, 3), "mode": ("layer", "zero", "uvu", "replicate", "linear"), "momentum": (0.5,),
    "nonlinearity": ("regular", "gated", "norm", "tensor"), "norm": ("layer", None), "num_classes": (4,), "options": (),
    "order": (2,), "out_channels": (3,), "out_order": (2,), "p": (0.1,), "padding": (0, 1, 2),
    "padding_mode": ("circular", "reflect"), "phase": (False,), "pool": ("max", "stride", 1, 3, "sum"), "quadrature": (None, 1),
    "radial": (kernels.BSpline(2, 2), kernels.GaussianRings(2, 1.0)), "readout": ("max",), "reduce": ("mean", "max", "blur"),
    "region": ("disc",), "rings": (3, _RINGS), "samples": (24,), "scale": (3,), "scale_size": (2,),
    "self_interaction": (False,), "shape": ((10, 10),), "shrink": (1.6,), "sigma": (0.4, 2.0), "size": (3,),
    "smooth": (False,), "spacing": ((2.0, 1.0, 1.0), (3.0, 1.0, 1.0)), "stride": (2, 1), "subgroup": (groups.Cyclic(2),),
    "taps": (np.roll(kernels.hexagonal_taps(1), 1, 0), kernels.hexagonal_taps(1)[::-1]), "weights": (False,),
    "widths": ((2, 3, 2),),
}  # fmt: skip


def variants(recipe: Recipe):
    """The layer made anew with one argument other: (argument, layer)."""
    parameters = inspect.signature(recipe.cls).parameters
    given = dict(zip(parameters, recipe.args)) | recipe.options
    for name in parameters:
        others = OTHERS[name]
        for value in (others(given[name]),) if callable(others) else others:
            try:
                layer = recipe.cls(**copy.deepcopy({**given, name: value}))
            except (TypeError, ValueError):
                continue
            yield name, layer if recipe.wrap is None else recipe.wrap(layer)


def test_every_argument_is_varied():
    names = {name for r in RECIPES for name in inspect.signature(r.cls).parameters}
    assert not names - OTHERS.keys()


@pytest.mark.parametrize("recipe", ONE_OF_EACH, ids=str)
def test_what_loads_gives_the_same_numbers(recipe: Recipe):
    net = recipe.make().double().eval()
    inputs = recipe.inputs(net)
    expected = net(*inputs)
    for name, other in variants(recipe):
        try:
            other.load_state_dict(net.state_dict())
        except RuntimeError as error:
            assert any(text in str(error) for text in ("saved with", "saved as", "key(s) in state_dict", "size mismatch"))
            continue
        try:
            out = other.double().eval()(*inputs)
        except ValueError:  # that does not fit its inputs: nothing silent
            continue
        assert out.shape == expected.shape and torch.allclose(out, expected, rtol=1e-10, atol=1e-10), name


def network(**options) -> torch.nn.Module:
    return models.MeshClassifier(TYPE, 3, **{"channels": 2, "order": 1, "blocks": (1,), **options})


@pytest.mark.parametrize(
    "options, text",
    [
        (
            {"nonlinearity": "regular"},
            "act1 is a RegularNonlinearity, but was saved as a PolynomialNonlinearity: b",
        ),
        ({"quadrature": None}, r"conv1 \(GaugeConv\) has quadrature=None, .* saved with quadrature=3: build it with that"),
        ({"activation": "elu"}, "activation='elu', .* activation='relu'"),
        ({"radial": kernels.GaussianRings(2, 0.5)}, "width=0.5, .* width=0.6"),
    ],
)
def test_the_error_names_the_argument(options, text):
    with pytest.raises(RuntimeError, match=text):
        network(**options).load_state_dict(network().state_dict())
    with pytest.raises(RuntimeError, match=text):
        network(**options).load_state_dict(network().state_dict(), strict=False)
    network(**options).load_state_dict(dict(network().state_dict()))  # on one's own responsibility


@pytest.mark.parametrize(
    "layer, text",
    [
        (lambda a, b: nn.GaugeConv(a, a), "in_type='2x1 . 2x0 over SO2.*in_type='2x0 . 2x1"),
        (lambda a, b: nn.FieldNorm(a), "in_type='2x1"),
        (lambda a, b: nn.RegularNonlinearity(a), "in_type='2x1"),
    ],
)
def test_the_order_of_blocks_matters(layer, text):
    other = other_order(TYPE)
    with pytest.raises(RuntimeError, match=text):
        layer(other, TYPE).load_state_dict(layer(TYPE, other).state_dict())


def test_a_change_after_the_constructor_counts():
    conv = nn.GaugeConv(TYPE, TYPE)
    conv.quadrature = None
    with pytest.raises(RuntimeError, match=r"quadrature=3, .* quadrature=None"):
        nn.GaugeConv(TYPE, TYPE).load_state_dict(conv.state_dict())


def test_equal_layers_in_other_words_load():
    conv = nn.GaugeConv(TYPE, TYPE, radial=2)
    nn.GaugeConv(TYPE, TYPE, kernel=kernels.Polar(2), backend="reference").load_state_dict(conv.state_dict())
    nn.GaugeConv(TYPE, TYPE, 2, conv.max_frequency).load_state_dict(conv.state_dict())
    act = nn.RegularNonlinearity(TYPE, "relu")
    nn.RegularNonlinearity(TYPE, torch.nn.functional.relu, act.samples).load_state_dict(act.state_dict())

    taps = nn.GridConv(_D4, _D4, 3).state_dict()
    nn.LatticeConv(_D4, _D4, kernels.square_taps(3)).load_state_dict(taps)
    with pytest.raises(RuntimeError, match="taps="):
        nn.LatticeConv(_D4, _D4, kernels.square_taps(3)[::-1].copy()).load_state_dict(taps)

    class Mine(nn.GroupPool):
        pass

    regular = FieldType(groups.Cyclic(4), "2xregular")
    Mine(regular).load_state_dict(nn.GroupPool(regular).state_dict())
    models.GaugeClassifier(TYPE, 3, channels=2, order=1, blocks=(1,)).load_state_dict(network().state_dict())


def saved_by_torch(state, folder):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def in_parallel(folder):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
    return torch.nn.parallel.DistributedDataParallel


@pytest.mark.parametrize(
    "carry",
    [saved_by_torch, lambda state, folder: pickle.loads(pickle.dumps(state)), lambda state, folder: copy.deepcopy(state)],
    ids=["torch.save", "pickle", "deepcopy"],
)
def test_settings_are_carried_along(carry, tmp_path):
    net = randomise(network())
    state = carry(net.state_dict(), tmp_path)
    assert state._metadata == net.eval().state_dict()._metadata == network().state_dict()._metadata
    network().load_state_dict(state)
    with pytest.raises(RuntimeError, match="quadrature"):
        network(quadrature=None).load_state_dict(state)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        copied.load_state_dict(state)
        assert copied.state_dict()._metadata == state._metadata


def test_in_wrappers(tmp_path):
    try:
        wrappers = torch.compile, in_parallel(tmp_path)
        for wrap in wrappers:
            state = saved_by_torch(wrap(network()).state_dict(), tmp_path)
            wrap(network()).load_state_dict(state)
            with pytest.raises(RuntimeError, match="quadrature"):
                wrap(network(quadrature=None)).load_state_dict(state)
    finally:
        torch.distributed.destroy_process_group()


def test_a_state_without_settings_loads(tmp_path):
    """As version 0.1.0 saved them, and as formats of tensors alone do."""
    net = randomise(network())
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    other = network()
    other.load_state_dict(load_file(tmp_path / "net.safetensors"), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    old = net.state_dict()
    for entry in old._metadata.values():
        entry.pop("settings", None)
    network(quadrature=None).load_state_dict(old)
