"""gaugenet view."""

from __future__ import annotations

import json
import sys

import numpy as np

from gaugenet.cli import main


def test_view_writes_pictures_and_pages(folder, processed, tmp_path, capsys):
    from matplotlib.image import imread

    mesh, png, page = str(folder / "holed" / "torus.obj"), tmp_path / "a.png", tmp_path / "a.HTML"
    assert main(["view", mesh, "-o", str(png), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["output"] == str(png) and facts["bytes"] == png.stat().st_size and facts["levels"] == 2
    image = imread(png)
    assert image.shape[1] == 1200 and 0.2 < (image[..., :3].min(-1) < 0.99).mean() < 0.9
    assert main(["view", mesh, "-o", str(page), "--show", "log,levels", "--levels", "1"]) == 0
    assert f"{page}: " in capsys.readouterr().out
    text = page.read_text()
    assert "<title>torus.obj</title>" in text and "Log map at vertex" in text and "Level 1: 24 of 96" in text
    assert "Level 2" not in text and "Frames" not in text
    record = str(next(processed[0].glob("*.safetensors")))
    assert main(["view", record, "-o", str(png), "--show", "log,field"]) == 0
    assert main(["view", record, "-o", str(png), "--show", "levels"]) == 1
    assert "no coarser levels" in capsys.readouterr().err


def test_view_options(folder, tmp_path, capsys):
    mesh = str(folder / "round" / "ball.obj")

    def page(*options) -> str:
        out = tmp_path / "out.html"
        assert main(["view", mesh, "-o", str(out), *options]) == 0
        return out.read_text()

    np.save(tmp_path / "field.npy", np.zeros(66))
    field = ["--show", "field", "--field", str(tmp_path / "field.npy")]
    for base, changes in (
        (["--show", "frames"], (["--direction", "1,0,0"], ["--up", "z"], ["--up", "0,1,1"])),
        (["--show", "log"], (["--vertex", "3"], ["--radius", "0.9"], ["--rings", "1"])),
        (["--show", "transport"], (["--path", "0,1,2,0"], ["--vertex", "3"])),
        (["--show", "levels"], (["--levels", "1"],)),
        (["--show", "field"], (field, [*field, "--symmetry", "2"])),
    ):
        seen = {page(*base), *(page(*base, *change) for change in changes)}
        assert len(seen) == 1 + len(changes), base
    capsys.readouterr()
    (tmp_path / "short.npy").write_bytes(b"hello")
    np.save(tmp_path / "wrong.npy", np.zeros(5))
    bow_tie = str(folder / "bad" / "bow_tie.obj")
    for status, text, arguments in (
        (2, "vertex must lie between 0 and 65", [mesh, "--vertex", "66"]),
        (2, "a path needs", [mesh, "--path", "3"]),
        (2, "shape", [mesh, "--show", "field", "--field", str(tmp_path / "wrong.npy")]),
        (1, "short.npy: not a .npy file", [mesh, "--show", "field", "--field", str(tmp_path / "short.npy")]),
        (1, "none.npy", [mesh, "--show", "field", "--field", str(tmp_path / "none.npy")]),
        (1, "non-manifold", [bow_tie]),
    ):
        assert main(["view", *arguments, "-o", str(tmp_path / "bad.html")]) == status
        captured = capsys.readouterr()
        assert text in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert main(["view", mesh, "-o", str(tmp_path / "none" / "a.png"), "--show", "curvature"]) == 1
    assert main(["view", bow_tie, "-o", str(tmp_path / "a.png"), "--show", "curvature", "--repair"]) == 0
    assert not (tmp_path / "bad.html").exists()


def test_view_of_a_record_has_its_own_neighbourhoods(processed, tmp_path, capsys):
    record = str(next(processed[0].glob("*.safetensors")))
    for option in ("--rings", "--levels"):
        assert main(["view", record, "-o", str(tmp_path / "a.png"), option, "1"]) == 2
        assert f"{option} is for mesh files" in capsys.readouterr().err


def test_view_without_matplotlib(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    mesh = str(folder / "round" / "ball.obj")
    assert main(["view", mesh, "-o", str(tmp_path / "a.png")]) == 1
    captured = capsys.readouterr()
    assert "gaugenet[viz]" in captured.err and captured.err.count("\n") == 1
    assert main(["view", mesh, "-o", str(tmp_path / "a.html"), "--show", "frames"]) == 0
