"""Options as keywords: what signatures show is what constructors take, and the defaults shown are those used."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
from dataclasses import dataclass

import pytest

from gaugenet import FieldType, data, geometry, groups, kernels, models, nn, spectral, testing, viz
from gaugenet.data.datasets.cortex import CorticalSurface
from gaugenet.data.datasets.polarization import SkyMap
from gaugenet.models.encoder import EncoderKeywords, EncoderOptions, GaugeEncoder
from gaugenet.nn.graph.blocks import BlockKeywords, BlockOptions
from gaugenet.options import TakesOptions

TYPE = FieldType(groups.SO2(), "2x0 + 1x1")
PRESETS = [made for made in vars(models).values() if isinstance(made, type) and issubclass(made, GaugeEncoder)]
BLOCKS = [nn.ConvBlock, nn.ResidualBlock, nn.BottleneckBlock]
PUBLIC = {f"{room.__name__}.{name}": getattr(room, name) for room in (nn, models, spectral) for name in room.__all__}
PUBLIC |= {f"gaugenet.testing.{name}": made for name, made in vars(testing).items() if inspect.isfunction(made)}
PUBLIC["gaugenet.data.MeshToGauge"] = data.MeshToGauge


def make(model, **options):
    in_type = FieldType(groups.Trivial(), "2x0") if model in (models.UGSCNN, models.LieConvNet) else TYPE
    if model is GaugeEncoder:
        return model(in_type, **options)
    out_type = FieldType(groups.SO2(), "2x0") if model is models.GeodesicCNN else TYPE
    return model(in_type, out_type if issubclass(model, models.GaugeUNet) else 5, **options)


def keywords(made) -> dict:
    return {p.name: p.default for p in inspect.signature(made).parameters.values() if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("name", PUBLIC)
def test_signatures_name_every_argument(name):
    if callable(PUBLIC[name]):
        kinds = {p.name: p.kind for p in inspect.signature(PUBLIC[name]).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds.values(), kinds


@pytest.mark.parametrize("options, typed", [(BlockOptions, BlockKeywords), (EncoderOptions, EncoderKeywords)])
def test_type_checkers_see_the_same(options, typed):
    hints = {name: hint.__forward_arg__ for name, hint in typed.__annotations__.items()}
    assert hints == {field.name: field.type for field in dataclasses.fields(options)}
    assert not typed.__required_keys__
    for field in dataclasses.fields(options):
        assert f"        {field.name}: " in options.__doc__ + BlockOptions.__doc__


@pytest.mark.parametrize("model", PRESETS)
def test_defaults_shown_are_those_used(model):
    shown = keywords(model)
    assert shown.pop("options") is None
    used = [vars(made.options) for made in (make(model), make(model, **shown))]
    assert shown == used[0] == used[1]
    text = pydoc.render_doc(model, renderer=pydoc.plaintext)
    assert f"channels: 'int | Sequence[int]' = {shown['channels']!r}" in text.split("|  Methods")[0]
    assert "overrides: 'Unpack" not in text


def test_presets_differ():
    assert keywords(models.SphericalCNN)["channels"] == (8, 16, 32) and keywords(models.ZonalCNN)["order"] == 0
    assert keywords(models.MeshClassifier)["blocks"] == (2,) and keywords(models.DeepSphere)["pool"] == "max"
    assert list(keywords(models.SphericalCNN))[:3] == ["channels", "order", "blocks"]


@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_take_options(block):
    assert list(keywords(block)) == [*(field.name for field in dataclasses.fields(BlockOptions)), "options"]
    options = BlockOptions(radial=3, norm=None, dropout=0.5)
    by_options, by_keywords = block(TYPE, TYPE, options=options), block(TYPE, TYPE, radial=3, norm=None, dropout=0.5)
    assert str(by_options) == str(by_keywords) != str(block(TYPE, TYPE))
    assert str(block(TYPE, TYPE, options=options, norm="layer")) == str(block(TYPE, TYPE, radial=3, norm="layer", dropout=0.5))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_option_of_a_block_matters(block):
    others = {
        "radial": 3,
        "max_frequency": 1,
        "quadrature": None,
        "norm": "layer",
        "nonlinearity": "gated",
        "activation": "silu",
        "dropout": 0.5,
        "kernel": kernels.Polar(5),
    }
    assert others.keys() == {field.name for field in dataclasses.fields(BlockOptions)}
    seen = [str(block(TYPE, TYPE)), *(str(block(TYPE, TYPE, **{name: value})) for name, value in others.items())]
    assert len(set(seen)) == len(seen)


def test_options_replace_the_defaults_and_keywords_win():
    options = EncoderOptions(channels=3, blocks=(1,))
    net = models.SphericalCNN(TYPE, 5, options=options, order=1)
    assert net.options == dataclasses.replace(options, order=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.options.order = 2


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: models.SphericalCNN(TYPE, 5, chanels=3), TypeError, "SphericalCNN .*'chanels': did you mean 'channels'"),
        (lambda: nn.ConvBlock(TYPE, TYPE, order=1), TypeError, "ConvBlock .*'order': its options are radial, max_frequency"),
        (lambda: models.MeshUNet(TYPE, TYPE, options={"order": 1}), TypeError, "MeshUNet expected options of .*EncoderOptions"),
        (lambda: models.MeshUNet(TYPE, TYPE, options=BlockOptions()), TypeError, "EncoderOptions, got BlockOptions"),
    ],
)  # fmt: skip
def test_errors_name_the_class(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_subclasses():
    """Own defaults, own arguments, and the dict of former versions."""

    class Small(models.SphericalCNN):
        defaults = dataclasses.replace(models.SphericalCNN.defaults, channels=4)

    class Binary(models.GaugeClassifier):
        def __init__(self, in_type: FieldType) -> None:
            super().__init__(in_type, 2, channels=3)

    assert keywords(Small)["channels"] == 4 and Small(TYPE, 3).options.channels == 4
    assert list(inspect.signature(Binary).parameters) == ["in_type"] and Binary(TYPE).options.channels == 3
    with pytest.warns(DeprecationWarning, match="dict"):

        class Former(models.GaugeClassifier):
            defaults = {"channels": 5}  # noqa: RUF012

    assert Former.defaults == EncoderOptions(channels=5) == Former(TYPE, 3).options


def test_any_dataclass():
    @dataclass(frozen=True)
    class Colours:
        hue: int = 1

    class Painter(TakesOptions):
        defaults = Colours()

        def __init__(self, wall, *, options=None, **overrides):
            self.wall, self.options = wall, self._settle(options, overrides)

    assert str(inspect.signature(Painter)) == "(wall, *, hue: 'int' = 1, options=None)"
    assert Painter(0, hue=3).options == Colours(3) and Painter(0).options == Colours()


@pytest.mark.parametrize("function", [viz.plot_overview, viz.save_html])
def test_pictures_name_their_options(function):
    """As select_views does, with its defaults."""
    own, views = (inspect.signature(f).parameters for f in (function, viz.select_views))
    assert all(own[name].default == p.default and own[name].kind == p.kind for name, p in views.items())


@pytest.mark.parametrize(
    "method, maker",
    [(SkyMap.sphere, geometry.healpix), (CorticalSurface.sphere, geometry.sphere), (CorticalSurface.surface, geometry.mesh)],
)
def test_loaders_name_their_options(method, maker):
    own, wanted = inspect.signature(method).parameters, inspect.signature(maker).parameters
    assert inspect.Parameter.VAR_KEYWORD not in {p.kind for p in own.values()} and "radius" in own
    assert all(p.default == wanted[name].default for name, p in own.items() if name in wanted)
