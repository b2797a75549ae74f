"""gaugenet inspect and check."""

from __future__ import annotations

import json

from gaugenet.cli import main
from gaugenet.geometry import LocalGeometry
from tests.cli.files import write
from tests.helpers.corpus import moebius


def test_inspect_mesh(folder, capsys):
    assert main(["inspect", str(folder / "holed" / "torus.obj")]) == 0
    assert "genus: 1" in capsys.readouterr().out
    assert main(["inspect", str(folder / "holed" / "torus.obj"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["genus"] == 1
    assert main(["inspect", str(folder / "bad" / "bow_tie.obj")]) == 1
    captured = capsys.readouterr()
    assert "non-manifold vertices" in captured.out and "repair: split" in captured.out and captured.err == ""


def test_inspect_record(processed, capsys):
    record = str(next(processed[0].glob("*.safetensors")))
    assert main(["inspect", record]) == 0
    assert "level 0: " in capsys.readouterr().out
    assert main(["inspect", record, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["levels"][0]["nodes"] > 0 and facts["parameters"]["normalize"] is True


def test_check_passes_on_sound_meshes(folder, processed, capsys):
    mesh = str(folder / "round" / "ball.obj")
    assert main(["check", mesh, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] and 0 < facts["equivariance_error"] < 1e-10 and facts["nodes"] == 66
    assert main(["check", str(next(processed[0].glob("*.safetensors")))]) == 0
    assert ": ok: gauge-equivariance error" in capsys.readouterr().out


def test_check_fails_on_what_is_not_equivariant(folder, capsys, monkeypatch):
    """A layer that adds a constant to the coordinates of a vector, the bug that the command is there to find."""
    from gaugenet.nn import ResidualBlock

    forward = ResidualBlock.forward
    monkeypatch.setattr(ResidualBlock, "forward", lambda self, *inputs, **more: forward(self, *inputs, **more) + 0.1)
    assert main(["check", str(folder / "round" / "ball.obj"), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["ok"] and facts["equivariance_error"] > 1e-3


def test_surfaces_without_orientation(tmp_path, capsys):
    path = write(tmp_path / "strip.obj", moebius(20, 4))
    assert main(["check", str(path)]) == 1
    assert "--structure O2" in capsys.readouterr().err
    assert main(["check", str(path), "--structure", "O2"]) == 0
    capsys.readouterr()
    assert main(["preprocess", str(path), str(tmp_path / "out"), "--rings", "2", "--structure", "O2", "--quiet"]) == 0
    (record,) = (tmp_path / "out").glob("*.safetensors")
    assert LocalGeometry.load(record).structure == "O2"
    assert main(["check", str(record)]) == 0  # the record knows its structure


def test_check_options(folder, capsys):
    mesh = str(folder / "round" / "ball.obj")

    def facts(*options):
        status = main(["check", mesh, "--json", *options])
        return status, json.loads(capsys.readouterr().out)

    first = facts()[1]
    assert facts()[1] == first
    assert facts("--rings", "1")[1]["edges"] < first["edges"]
    assert facts("--radius", "0.9")[1]["edges"] != first["edges"]
    for options in (["--seed", "1"], ["--order", "1"], ["--channels", "2"]):
        assert facts(*options)[1]["equivariance_error"] != first["equivariance_error"]
    status, found = facts("--tolerance", "1e-30")
    assert status == 1 and not found["ok"] and found["tolerance"] == 1e-30
    assert main(["check", str(folder / "bad" / "bow_tie.obj"), "--rings", "1"]) == 1
    assert "non-manifold" in capsys.readouterr().err
    assert main(["check", str(folder / "bad" / "bow_tie.obj"), "--rings", "1", "--repair"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith("gaugenet: warning: ") and "split vertices" in told[0]
