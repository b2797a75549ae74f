"""The example of shallow water runs from end to end; what it says of turned globes and of the other networks is so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import gaugenet
from examples import shallow_water, sphere_nets
from gaugenet import geometry
from gaugenet.spectral import FieldTransform
from gaugenet.testing import equivariance_error
from tests.helpers.extras import library


def random_states(first: int, count: int, hours: int, folder: Path) -> torch.Tensor:
    """In place of the simulations: smooth fields, with the true Coriolis parameter."""
    generator = torch.Generator().manual_seed(first)
    grid = FieldTransform(geometry.latlon(shallow_water.ROWS, 2 * shallow_water.ROWS), 6, shallow_water.STATE).float()
    coefficients = [torch.randn(count, hours + 1, *c, generator=generator) for c in ((2, 49), (1, 49, 2))]
    states = grid.synthesis(coefficients)
    states[..., 1] = torch.from_numpy(geometry.latlon(shallow_water.ROWS, 2 * shallow_water.ROWS).positions[:, 2])
    return states


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shallow_water, "simulate", random_states)

    def run(*arguments: str) -> list[dict]:
        small = "--train", "6", "--test", "3", "--steps", "2", "--seeds", "1", "--batch-size", "2"
        monkeypatch.setattr(sys, "argv", ["shallow_water.py", *small, *arguments])
        shallow_water.main()
        return json.loads(Path("runs/shallow_water.json").read_text())["runs"]

    return run


def test_from_end_to_end(call, capsys):
    runs = call("--models", "no change", "gauge", "pointwise")
    assert [run["model"] for run in runs] == ["no change", "gauge", "pointwise"]
    assert call("--models", "gauge") == runs  # not repeated
    nothing, gauge, pointwise = runs
    assert nothing["errors"]["wind 1 h"] == pytest.approx(nothing["errors, turned"]["wind 1 h"], rel=1e-3)
    # On an icosphere turned inputs give turned answers up to what the points cost; of components in frames they do not.
    assert gauge["change under rotations"] < 2 < 50 < pointwise["change under rotations"]
    told = capsys.readouterr().out
    assert f"| gauge | {gauge['parameters']} |" in told and "wind 12 h" in told


def test_weights_give_the_same_row(call, capsys):
    *_, trained = call("--models", "gauge", "--save", "weights")
    capsys.readouterr()
    call("--weights", "weights/shallow_water-gauge-0.safetensors")
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.endswith(shallow_water.told("", trained))


def test_shipped_weights():
    """In one line; the row of the table needs the simulations: examples/shallow_water.py --weights."""
    file = Path(shallow_water.__file__).parent / "weights" / "shallow_water.safetensors"
    net = gaugenet.load(file)
    assert file.stat().st_size < 5e6 and net.in_type == shallow_water.STATE and net.out_type == shallow_water.CHANGE
    sphere = shallow_water.Sphere(False, 3)
    calm = torch.zeros(1, sphere.graph.num_nodes, 4)
    calm[..., 1] = torch.from_numpy(geometry.icosphere(3).positions[:, 2])
    storm = calm + torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert sphere.mean_square(net(calm, sphere.graph)) < 0.1 * sphere.mean_square(net(storm, sphere.graph))


def test_validation_takes_training_pairs(call):
    (run,) = call("--models", "no change", "--validation")
    assert list(run["errors"]) == ["geopotential 1 h", "wind 1 h"] and len(run["errors"]["wind 1 h"]) == 1


def test_simulations(tmp_path):
    library("torch_harmonics")
    states = shallow_water.simulate(0, 1, 1, tmp_path)
    assert torch.equal(shallow_water.simulate(0, 1, 1, tmp_path), states)  # kept
    height = torch.from_numpy(geometry.latlon(shallow_water.ROWS, 2 * shallow_water.ROWS).positions[:, 2]).float()
    assert states.shape == (1, 2, 2048, 4) and torch.allclose(states[0, 0, :, 1], height, atol=1e-6)


def test_components_of_the_solver():
    """Its winds are to the east and north of our frames: of a divergence alone they are the gradient, and nothing turned."""
    rows = shallow_water.ROWS
    solver = library("torch_harmonics.examples").ShallowWaterSolver(rows, 2 * rows, 1.0, grid="legendre-gauss").double()
    spectrum = torch.zeros(2, solver.lmax, solver.mmax, dtype=torch.complex128)
    spectrum[1, 3, 2], spectrum[1, 4, 1] = 1 + 2j, 0.5j
    east, north = solver.getuv(spectrum)
    field = torch.stack([solver.spec2grid(spectrum[1]), east, north], -1).flatten(0, 1)
    transform = FieldTransform(geometry.latlon(rows, 2 * rows), 4, shallow_water.CHANGE).double()
    divergence, wind = (c[0] for c in transform.analysis(field))
    assert wind[:, 1].abs().max() < 1e-10 * wind.abs().max()
    for degree in (3, 4):  # div grad is -l (l + 1) on the unit sphere, and gradients are normalised by the root of it
        part = slice(degree**2, (degree + 1) ** 2)
        root = (degree * (degree + 1)) ** 0.5
        assert torch.allclose(divergence[part] * float(solver.radius), -root * wind[part, 0], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("name", ["gauge", "two potentials", "O(2)", "O(2), gates", "O(2), mirror-blind"])
def test_gauge_equivariance(name):
    net, graph = shallow_water.MODELS[name]().double(), geometry.icosphere(2).to_graph()
    change = getattr(net, "out_type", shallow_water.CHANGE)
    state = getattr(net, "in_type", shallow_water.STATE)

    class OnOne(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x, graph):
            return self.net(x[None], graph)[0]

    for training in (False, True):
        assert equivariance_error(OnOne(), graph, state, change, training=training) < 1e-10


@pytest.mark.parametrize("make", [sphere_nets.disco, sphere_nets.spectral])
def test_networks_of_torch_harmonics(make):
    library("torch_harmonics")
    net = make(4, 3, 8, 5000)
    assert abs(sum(p.numel() for p in net.parameters()) - 5000) < 1500
    x = torch.randn(2, 128, 4)
    image = x.view(2, 8, 16, 4).permute(0, 3, 1, 2)
    assert torch.equal(net(x, None), net.network(image.contiguous()).permute(0, 2, 3, 1).reshape(2, 128, 3))


def test_without_torch_harmonics(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch_harmonics.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    with pytest.raises(SystemExit, match="pip install 'gaugenet\\[bench\\]'"):
        sphere_nets.disco(4, 3, 8, 5000)
