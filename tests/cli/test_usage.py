"""Wrong usage is status 2 and one line; a bad file is status 1 and one line; help comes at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import trimesh

import gaugenet
from gaugenet.cli import main
from tests.helpers.corpus import sphere


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["preprocess"],
        ["preprocess", "a", "b"],
        ["preprocess", "a", "b", "--rings", "2", "--radius", "1"],
        ["preprocess", "a", "b", "--rings", "0"],
        ["preprocess", "a", "b", "--rings", "1.5"],
        ["preprocess", "a", "b", "--radius", "0"],
        ["preprocess", "a", "b", "--radius", "nan"],
        ["preprocess", "a", "b", "--rings", "2", "--jobs", "0"],
        ["preprocess", "a", "b", "--rings", "2", "--timeout", "-1"],
        ["preprocess", "a", "b", "--rings", "2", "--levels", "-1"],
        ["inspect"],
        ["check", "a.obj", "--order", "-1"],
        ["view", "a.obj"],
        ["view", "a.obj", "-o", "a.jpg"],
        ["view", "a.obj", "-o", "a.png", "--show", "frames,colour"],
        ["view", "a.obj", "-o", "a.png", "--show", ","],
        ["view", "a.obj", "-o", "a.png", "--path", "1,b"],
        ["view", "a.obj", "-o", "a.png", "--show", "frames", "--path", "1,2"],
        ["view", "a.obj", "-o", "a.png", "--show", "frames", "--field", "a.npy"],
        ["view", "a.obj", "-o", "a.png", "--up", "0,0,0"],
        ["view", "a.obj", "-o", "a.png", "--direction", "1,2"],
        ["view", "a.obj", "-o", "a.png", "--vertex", "-1"],
        ["view", "a.obj", "-o", "a.png", "--radius", "1", "--rings", "1"],
    ],
)
def test_wrong_usage(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "error" in captured.err


def test_usage_that_only_the_files_show(tmp_path, folder, capsys):
    out = str(tmp_path / "out")
    assert main(["preprocess", str(tmp_path / "none"), out, "--rings", "2"]) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "bare").mkdir()
    assert main(["preprocess", str(tmp_path / "bare"), out, "--rings", "2"]) == 2
    assert "no mesh files" in capsys.readouterr().err
    assert main(["preprocess", str(folder), out, "--rings", "2", "--features", "colour"]) == 2
    assert "unknown feature 'colour'" in capsys.readouterr().err
    assert main(["preprocess", str(folder), str(folder / "notes.txt"), "--rings", "2", "--quiet"]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["inspect", "check", "view"])
@pytest.mark.parametrize("name", ["empty.stl", "nan.obj", "none.obj", "a.xyz", "bad.safetensors"])
def test_bad_files_are_one_line(command, name, folder, tmp_path, capsys):
    path = folder / "bad" / name if (folder / "bad" / name).exists() else tmp_path / name
    if name in ("a.xyz", "bad.safetensors"):
        path.write_bytes(b"hello" * 10)
    output = ["-o", str(tmp_path / "out.html")] if command == "view" else []
    assert main([command, str(path), *output]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"gaugenet: error: {path}: ") and captured.err.count("\n") == 1
    assert main(["inspect", str(path), "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert not facts["ok"] and facts["error"]["message"]


def test_help_and_version_come_at_once(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gaugenet {gaugenet.__version__}\n"
    for arguments in (["--help"], ["preprocess", "--help"]):
        assert main(arguments) == 0
    assert "--rings" in capsys.readouterr().out
    code = (
        "import sys; from gaugenet.cli import main; main(['--help']);"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numba', 'numpy', 'scipy', 'trimesh')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_formats_are_found(tmp_path, capsys):
    for extension in ("obj", "off", "ply", "stl", "glb"):
        trimesh.Trimesh(*sphere(1), process=False).export(tmp_path / f"m.{extension}")
        assert main(["inspect", str(tmp_path / f"m.{extension}"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["vertices"] == 18


@pytest.mark.parametrize(
    "options, text",
    [
        (
            ["--channels", "100000"],
            "make a network of up to 1.4e[+]12 weights, .* take a smaller --channels or",
        ),
        (["--order", "100000"], "copies of the orders 0 to 100000"),
        (
            ["--seed", str(2**70)],
            "argument --seed: expected an integer of at most 9223372036854775807, got '118",
        ),
        (["--channels", "9" * 300], "argument --channels: expected an integer of at most"),
    ],
)
def test_check_refuses_numbers_that_nobody_means(options, text, tmp_path, capsys):
    mesh = tmp_path / "tetrahedron.off"
    mesh.write_text("OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n")
    assert main(["check", str(mesh), *options]) == 2
    printed = capsys.readouterr()
    assert re.search(text, printed.err) and "Traceback" not in printed.err and not printed.out
