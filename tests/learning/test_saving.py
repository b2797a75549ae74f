"""Networks in files: every ready network comes back with the same numbers, and nothing hostile gets in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import gaugenet
from gaugenet import FieldType, data, geometry, groups, kernels, learning, models
from gaugenet.geometry import ProcessParams
from gaugenet.learning import HubMixin, ModelFileError, SavedNetwork
from gaugenet.learning.arguments import decode, encode
from tests.conformance.registry import RECIPES
from tests.helpers.networks import randomise

SO2 = groups.SO2()
FT = FieldType(SO2, "2x0 + 2x1")
NETWORKS = [r for r in RECIPES if issubclass(r.cls, SavedNetwork)]


def same(a: nn.Module, b: nn.Module) -> None:
    one, other = a.state_dict(), b.state_dict()
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype and torch.equal(value, other[name]), name


@pytest.mark.parametrize("recipe", NETWORKS, ids=str)
def test_every_ready_network(recipe, tmp_path):
    net = randomise(recipe.cls(*recipe.args, **recipe.options).double())
    net.save(tmp_path / "net.safetensors")
    back = gaugenet.load(tmp_path / "net.safetensors")
    assert type(back) is type(net) and not back.training and back.preparation is None
    same(net, back)
    assert str(back) == str(net)


def test_all_networks_can_be_saved():
    assert {r.cls for r in NETWORKS} >= {getattr(models, n) for n in models.__all__} & {r.cls for r in RECIPES} - {
        models.EncoderOptions, models.HarmonicConv, models.InterpolatedConv, models.MagnitudeNonlinearity, models.ScaleConv,
        models.Scattering, models.GaugeEncoder,
    }  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"options": models.EncoderOptions(channels=2, dropout=0.25), "blocks": (1,)},
        {"channels": (2, 3), "blocks": (1, 1), "activation": torch.tanh, "nonlinearity": gaugenet.nn.NormNonlinearity},
        {"radial": kernels.BSpline(3), "channels": 2},
        {"kernel": kernels.Polar(2, max_frequency=1), "channels": 2, "activation": nn.functional.silu},
    ],
    ids=["options", "functions", "profile", "kernel"],
)
def test_arguments_of_all_kinds(options, tmp_path):
    net = randomise(models.MeshUNet(FT, FieldType(groups.SO2(), "1x1"), **options))
    net.save(tmp_path / "net")
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]
    back = gaugenet.load(tmp_path / "net")
    same(net, back)
    graph = geometry.icosphere(1, rings=2, levels=1).to_graph(torch.float32)
    x = torch.randn(graph.num_nodes, FT.dim)
    assert torch.equal(net.eval()(x, graph), back(x, graph))
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config["class"] == "gaugenet.models.MeshUNet" and config["version"] == gaugenet.__version__
    assert config["arguments"]["in_type"] == {"$type": "2x0 + 2x1", "$group": "SO2", "dim": 2}
    # what was not given is written down, too: a later version may have other defaults
    assert "options" in options or config["arguments"]["norm"] == "graph"


def test_values_round_trip():
    values = [
        None, True, 3, 0.5, "a", (1, (2, "b")), groups.Dihedral(6), groups.SO3(), FieldType(groups.O2(), "1x0- + 2x1"),
        FieldType(groups.Cyclic(4), "2xregular"), kernels.Rings((0.0, 1.0), (0.3, 0.3), (0, 2)), torch.relu, {"a": 1},
    ]  # fmt: skip
    for value in values:
        assert decode(json.loads(json.dumps(encode(value, "it")))) == value
    taps = kernels.hexagonal_taps()
    back = decode(json.loads(json.dumps(encode(taps, "taps"))))
    assert np.array_equal(back, taps) and back.dtype == taps.dtype


def test_what_cannot_be_saved(tmp_path):
    net = models.MeshClassifier(FT, 2, channels=2, activation=lambda x: x.relu())
    with pytest.raises(ModelFileError, match="activation=<lambda> is neither a public class of gaugenet nor a function"):
        net.save(tmp_path / "net")
    with pytest.raises(ModelFileError, match=r"it=.*cannot be written into a file"):
        encode(object(), "it")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="expected a folder, or a name that ends in"):
        models.MeshClassifier(FT, 2, channels=2).save(tmp_path / "file")


class Mine(SavedNetwork):
    """A network of a user's."""

    def __init__(self, in_type: FieldType, width: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(in_type.dim, width)

    def forward(self, x, graph):
        return self.linear(x)


class Many(SavedNetwork):
    def __init__(self, *types):
        super().__init__()


def test_a_network_of_ones_own(tmp_path):
    net = Mine(FT, width=5)
    net.save(tmp_path / "mine.safetensors")
    with pytest.raises(ModelFileError, match=r"Mine, which is none of gaugenet.models: give it as cls="):
        gaugenet.load(tmp_path / "mine.safetensors")
    for back in (gaugenet.load(tmp_path / "mine.safetensors", cls=Mine), Mine.load(tmp_path / "mine.safetensors")):
        same(net, back)
    with pytest.raises(ModelFileError, match="expected cls to be the class of a network"):
        gaugenet.load(tmp_path / "mine.safetensors", cls=int)
    with pytest.raises(ModelFileError, match="any number of arguments"):
        Many(FT).save(tmp_path / "many")


def test_copies_know_their_arguments(tmp_path):
    import copy
    import pickle

    net = Mine(FT, width=5)
    for other in (copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))):
        other.save(tmp_path / "net")
        assert Mine.load(tmp_path / "net").linear.out_features == 5


def change(path: Path, **facts) -> None:
    config = json.loads((path / "config.json").read_text())
    config.update(facts)
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda p: change(p, **{"class": "os.system"}), "none of gaugenet.models"),
        (lambda p: change(p, **{"class": "gaugenet.models.encoder"}), "none of gaugenet.models"),
        (lambda p: change(p, arguments={"in_type": {"$name": "os.system"}, "num_classes": 2}), "has no 'os.system'"),
        (lambda p: change(p, arguments={"in_type": {"$object": "builtins.eval", "arguments": {}}}), "has no 'builtins.eval'"),
        (lambda p: change(p, arguments={"in_type": {"$name": "torch.load"}}), "has no 'torch.load'"),
        (lambda p: change(p, arguments={"in_type": {"$array": [["x"]], "dtype": "O"}}), "expected an array of numbers"),
        (lambda p: change(p, arguments={"in_type": {"$what": 1}}), "unknown entry"),
        (lambda p: change(p, arguments={"speed": 2}), "not a network of this version"),
        (lambda p: change(p, arguments={}), "not a network of this version"),
        (lambda p: change(p, format=99, version="9.9"), "written by gaugenet 9.9, which is newer"),
        (lambda p: change(p, preparation={"params": {}}), "not a network of this version"),
        (lambda p: (p / "config.json").write_text("{}"), "not a network of this version of gaugenet: no 'format'"),
        (lambda p: (p / "config.json").write_text("[]"), "not a saved network"),
        (lambda p: (p / "config.json").write_text("{"), "not a saved network"),
        (lambda p: (p / "model.safetensors").write_bytes(b"\x80\x04}"), "not a saved network"),
        (lambda p: save_file({"a": torch.zeros(2)}, p / "model.safetensors"), "not a network of this version.*[Mm]issing"),
    ],
)
def test_hostile_and_damaged_files(damage, match, tmp_path):
    models.MeshClassifier(FT, 2, channels=2).save(tmp_path / "net")
    damage(tmp_path / "net")
    with pytest.raises(ModelFileError, match=match) as caught:
        gaugenet.load(tmp_path / "net")
    assert str(caught.value).startswith(str(tmp_path / "net"))


def test_other_settings_are_noticed(tmp_path):
    """A file whose weights belong to another nonlinearity than its configuration says."""
    models.MeshClassifier(FT, 2, channels=2).save(tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config["arguments"]["quadrature"] = 1
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFileError, match="quadrature"):
        gaugenet.load(tmp_path / "net")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        gaugenet.load(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(ModelFileError, match="not a saved network"):
        gaugenet.load(tmp_path / "plain.safetensors")


def test_the_weights_are_plain_safetensors(tmp_path):
    net = models.MeshClassifier(FT, 2, channels=2)
    net.save(tmp_path / "net.safetensors")
    assert load_file(tmp_path / "net.safetensors").keys() == net.state_dict().keys()


class Shared(HubMixin, models.MeshClassifier):
    """A network for the hub."""


def test_the_hub_by_a_local_folder(tmp_path, monkeypatch):
    net = randomise(Shared(FT, 2, channels=2))
    net.save_pretrained(tmp_path / "user" / "model")
    back = Shared.from_pretrained(tmp_path / "user" / "model")
    assert type(back) is Shared
    same(net, back)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(gaugenet.errors.MissingDependencyError, match="pip install huggingface_hub"):
        Shared.from_pretrained("user/model")
    with pytest.raises(gaugenet.errors.MissingDependencyError, match="pip install huggingface_hub"):
        net.push_to_hub("user/model")


def test_the_hub_through_its_library(tmp_path, monkeypatch):
    """What is asked of huggingface_hub, by a stand-in that keeps a repository in a folder."""
    import shutil
    import types

    store = tmp_path / "hub"
    asked = []

    def upload_folder(*, repo_id, folder_path, commit_message):
        shutil.copytree(folder_path, store / repo_id, dirs_exist_ok=True)
        asked.append(commit_message)

    def create_repo(name, *, private, exist_ok):
        asked.append((name, private, exist_ok))

    def hf_hub_download(name, file, *, revision):
        asked.append(revision)
        return str(store / name / file)

    stand_in = types.SimpleNamespace(upload_folder=upload_folder, create_repo=create_repo, hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    net = randomise(Shared(FT, 2, channels=2))
    net.push_to_hub("user/model", private=True, message="first")
    same(net, Shared.from_pretrained("user/model", revision="v1"))
    assert asked == [("user/model", True, True), "first", "v1", "v1"]


def test_preparation_and_another_process(tmp_path):
    from tests.helpers.tables import ellipsoids

    table = ellipsoids(tmp_path)
    shapes = data.MeshDataset.from_table(table, ProcessParams(rings=1, features=("hks",)), records=tmp_path / "records")
    net = learning.network(shapes, channels=2)
    net.save(tmp_path / "net.safetensors")
    answer = net.predict(table.parent / "meshes" / "e3.obj")
    code = "import gaugenet, sys; print(gaugenet.load(sys.argv[1]).predict(sys.argv[2]).probabilities)"
    command = [sys.executable, "-c", code, str(tmp_path / "net.safetensors"), answer.name]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(answer.probabilities)
    back = gaugenet.load(tmp_path / "net.safetensors").preparation
    assert back.to_dict() == net.preparation.to_dict() and back.task.classes == ("long", "short")
