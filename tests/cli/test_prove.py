"""gaugenet prove: any module in a script; what a user gets wrong is one line and status 2."""

from __future__ import annotations

import json
import re

import pytest

from gaugenet.cli import main
from tests.cli.files import write
from tests.helpers.corpus import sphere

SCRIPT = """
import torch
from torch import nn
from gaugenet import FieldType, geometry, groups
from gaugenet.nn import GaugeConv

print("reading")
FT = FieldType(groups.SO2(), "2x0 + 2x1")
good = GaugeConv(FT, FT)

class Biased(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(6))
    def forward(self, x, graph):
        return x + self.bias

def make():
    net = Biased()
    net.in_type = net.out_type = FT
    return net

class Raises(nn.Module):
    def forward(self, x, graph):
        raise RuntimeError("no\\nluck")

number = 5
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(SCRIPT)
    return str(path)


def test_good_and_bad(script, capsys):
    assert main(["prove", f"{script}:good"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("GaugeConv (") and "gauge" in printed.out and "reading" not in printed.out
    assert main(["prove", f"{script}:make"]) == 1
    assert "BROKEN" in capsys.readouterr().out
    assert main(["prove", f"{script}:make", "--stir", "0"]) == 0
    capsys.readouterr()
    assert main(["prove", f"{script}:make", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"].endswith(":make") and not facts["ok"] and facts["checks"][0]["verdict"] == "BROKEN"
    assert main(["prove", f"{script}:make", "--tolerance", "10"]) == 0


def test_types_come_as_options_or_from_the_script(script, tmp_path, capsys):
    assert main(["prove", f"{script}:Biased"]) == 2
    assert "has no in_type: give --in-type" in capsys.readouterr().err
    assert main(["prove", f"{script}:Biased", "--in-type", "6x0", "--out-type", "6x0"]) == 0
    assert main(["prove", f"{script}:Biased", "--in-type", "6x0"]) == 0
    assert main(["prove", f"{script}:Biased", "--in-type", "6x0-", "--out-type", "6x0-", "--structure", "O2"]) == 1
    capsys.readouterr()
    assert main(["prove", f"{script}:Biased", "--in-type", "6xvector"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("gaugenet: error: --in-type: ")
    (tmp_path / "nets.py").write_text(SCRIPT + "in_type = out_type = FT\ngraph = geometry.icosphere(1).to_graph()\n")
    assert main(["prove", f"{script}:Biased"]) == 1
    assert "on 42 nodes" in capsys.readouterr().out


def test_on_a_mesh_with_levels(script, tmp_path, capsys):
    mesh = write(tmp_path / "ball.obj", sphere(2))
    assert main(["prove", f"{script}:good", "--mesh", str(mesh), "--rings", "1", "--levels", "2", "--seed", "3"]) == 0
    assert "on 66 nodes and 384 edges, 3 levels" in capsys.readouterr().out
    assert main(["prove", f"{script}:good", "--mesh", str(tmp_path / "none.obj")]) == 1
    assert "none.obj" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("{script}", "expected SCRIPT.py:NAME"),
        ("none.py:net", "none.py: no such file"),
        ("no_such_module_at_all:net", "ModuleNotFoundError"),
        ("{script}:nothing", "has no 'nothing': its modules are good"),
        ("{script}:number", "is a int, expected a torch.nn.Module or a function"),
        ("{script}:Raises", r"RuntimeError: no luck \(nets.py, line 25\)"),
        ("{folder}/broken.py:net", r"NameError: name 'undefined' is not defined \(broken.py, line 2\)"),
        ("{folder}/syntax.py:net", r"SyntaxError: .* \(syntax.py, line 1\)"),
        ("{folder}/leaves.py:net", "leaves.py: SystemExit"),
        ("{folder}/makes.py:make", r"ZeroDivisionError: division by zero \(makes.py, line 2\)"),
    ],
)
def test_mistakes_are_one_line(model, text, script, tmp_path, capsys):
    (tmp_path / "broken.py").write_text("import torch\nundefined\n")
    (tmp_path / "syntax.py").write_text("def\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "makes.py").write_text("def make():\n    return 1 / 0\n")
    arguments = ["prove", model.format(script=script, folder=tmp_path), "--in-type", "6x0"]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("gaugenet: error: ") and re.search(text, last), printed.err
    assert "Traceback" not in printed.err and printed.out == ""


def test_levels_are_hinted_at(tmp_path, capsys):
    (tmp_path / "deep.py").write_text(
        "from gaugenet import FieldType, groups, models\n"
        "net = models.MeshClassifier(FieldType(groups.SO2(), '1x0'), 2, channels=2, blocks=(1, 1, 1))\n"
    )
    assert main(["prove", f"{tmp_path}/deep.py:net"]) == 2
    assert "--levels N gives the graph N coarser levels" in capsys.readouterr().err
    assert main(["prove", f"{tmp_path}/deep.py:net", "--levels", "2"]) == 0
