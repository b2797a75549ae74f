"""The command line: results, exit statuses, one line for a bad file, help at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import trimesh

import gaugenet
from gaugenet.cli import main
from gaugenet.geometry import LocalGeometry
from tests.helpers.corpus import cases, moebius, sphere, torus

CASES = cases()
MODULE = [sys.executable, "-m", "gaugenet.cli"]


def write(path: Path, mesh) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    v, f = mesh[:2]
    path.write_text(
        "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in np.asarray(v, float).tolist())
        + "".join(f"f {a} {b} {c}\n" for a, b, c in (np.asarray(f) + 1).tolist())
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set of two classes with some bad files."""
    root = tmp_path_factory.mktemp("data")
    write(root / "round" / "ball.obj", sphere(2))
    write(root / "round" / "small.obj", (sphere(2)[0] * 1e-3, sphere(2)[1]))
    write(root / "holed" / "torus.obj", torus())
    write(root / "bad" / "bow_tie.obj", CASES["bow_tie"])
    write(root / "bad" / "nan.obj", CASES["nan"])
    (root / "bad" / "empty.stl").write_bytes(b"")
    (root / "notes.txt").write_text("not a mesh")
    return root


@pytest.fixture(scope="module")
def processed(folder, tmp_path_factory):
    """The data set preprocessed once, by the command, from a process of its own."""
    out = tmp_path_factory.mktemp("records")
    command = [*MODULE, "preprocess", str(folder), str(out), "--rings", "2", "--normalize", "--jobs", "2", "--json"]
    return out, subprocess.run(command, capture_output=True, text=True, timeout=300)


def visible(folder: Path) -> list[str]:
    """Extensions of what lies in a folder, the lock aside."""
    return sorted(p.suffix for p in folder.iterdir() if p.name != ".index.lock")


def test_preprocess_goes_past_bad_files(processed):
    out, run = processed
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    summary = json.loads(run.stdout)
    assert (summary["done"], summary["skipped"], summary["failed"], summary["interrupted"]) == (3, 0, 3, False)
    reasons = {m["source"]: m["reason"] for m in summary["failures"]}
    assert set(reasons) == {"bad/bow_tie.obj", "bad/nan.obj", "bad/empty.stl"}
    assert "non-manifold" in reasons["bad/bow_tie.obj"] and "empty" in reasons["bad/empty.stl"]
    assert "bad/nan.obj: failed" in run.stderr and "mesh" in run.stderr
    assert visible(out) == [".json", ".jsonl", ".safetensors", ".safetensors", ".safetensors"]


def test_index(processed):
    out, _ = processed
    index = json.loads((out / "index.json").read_text())
    assert index["parameters"]["rings"] == 2 and index["parameters"]["normalize"] is True
    entries = {m["source"]: m for m in index["meshes"]}
    assert list(entries) == sorted(entries) and len(entries) == 6
    ball = entries["round/ball.obj"]
    assert (ball["label"], ball["status"], ball["reason"], ball["nodes"]) == ("round", "done", None, 66)
    geometry = LocalGeometry.load(out / ball["record"])
    assert geometry.num_nodes == 66 and geometry.num_edges == ball["edges"]
    assert geometry.metadata["source"] == "ball.obj"
    # Normalized: the scale of the input does not matter.
    small = LocalGeometry.load(out / entries["round/small.obj"]["record"])
    np.testing.assert_allclose(np.linalg.norm(small.log, axis=1), np.linalg.norm(geometry.log, axis=1), rtol=1e-5)
    assert entries["bad/nan.obj"]["record"] is None and entries["bad/nan.obj"]["label"] == "bad"


def test_what_is_done_is_skipped(processed, folder, capsys):
    out, _ = processed
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    arguments = ["preprocess", str(folder / "round"), str(folder / "holed"), str(out), "--normalize", "--rings"]
    assert main([*arguments, "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("0 done, 3 skipped, 0 failed")
    assert before == {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    # A damaged record is made again.
    victim = sorted(out.glob("*.safetensors"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-5])
    assert main([*arguments, "2", "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["done"] == 1 and captured.err == ""
    assert victim.read_bytes() == whole
    # Other parameters, other records; the index tells of the last parameters only.
    assert main([*arguments, "1", "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("3 done, 0 skipped")
    assert len(list(out.glob("*.safetensors"))) == 6
    assert len(json.loads((out / "index.json").read_text())["meshes"]) == 3


def test_options_reach_the_records(folder, tmp_path, capsys):
    arguments = [
        "preprocess",
        str(folder / "bad" / "bow_tie.obj"),
        str(tmp_path / "a"),
        "--radius",
        "1.5",
        "--repair",
        "--quiet",
    ]
    assert main([*arguments, "--jobs", "1"]) == 0
    geometry = LocalGeometry.load(next((tmp_path / "a").glob("*.safetensors")))
    assert geometry.num_nodes == 8 and geometry.metadata["record"]["parameters"]["radius"] == 1.5
    arguments = ["preprocess", str(folder / "round" / "ball.obj"), str(tmp_path / "b"), "--rings", "2", "--quiet"]
    assert main([*arguments, "--features", "hks:4,curvature", "--levels", "1"]) == 0
    geometry = LocalGeometry.load(next((tmp_path / "b").glob("*.safetensors")))
    assert geometry.features["hks"].values.shape == (66, 4) and "curvature" in geometry.features
    assert len(geometry.levels()) == 2
    capsys.readouterr()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(p) for p in text.split()]


def spawn_workers(pid: int) -> list[int]:
    """Worker processes of a preprocess command (the resource tracker aside)."""
    found = []
    for child in children(pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            found.append(child)
    return found


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches the workers in /proc, which only Linux has")


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Path:
    """A quick mesh, a bad one, and one that takes minutes."""
    root = tmp_path_factory.mktemp("slow")
    write(root / "a_quick.obj", sphere(2))
    write(root / "b_bad.obj", CASES["nan"])
    write(root / "c_slow.obj", sphere(6))
    return root


SLOW = ["--rings", "40", "--jobs", "1", "--json"]


def start(slow: Path, out: Path) -> subprocess.Popen:
    """The command, caught when the first two meshes are settled and the slow one is up."""
    command = [*MODULE, "preprocess", str(slow), str(out), *SLOW]
    # A shell starts what it runs in the background, these tests perhaps, with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    watchdog = threading.Timer(240, run.kill)
    watchdog.start()
    for line in run.stderr:
        if "b_bad.obj: failed" in line:
            break
    watchdog.cancel()
    assert run.poll() is None
    return run


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_whole_files(slow, tmp_path, number):
    run = start(slow, tmp_path)
    workers = spawn_workers(run.pid)
    host = socket.gethostname().replace(".", "_")
    (tmp_path / f".half.safetensors.{host}-{workers[0]}-0123abcd.tmp").write_bytes(b"as if killed while writing")
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "Traceback" not in err
    summary = json.loads(out)
    assert summary["interrupted"] and (summary["done"], summary["failed"]) == (1, 1)
    assert visible(tmp_path) == [".json", ".jsonl", ".safetensors"] and not list(tmp_path.glob(".*.tmp"))
    index = json.loads((tmp_path / "index.json").read_text())
    assert [m["source"] for m in index["meshes"]] == ["a_quick.obj", "b_bad.obj"]
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


@linux
def test_a_killed_worker_costs_one_mesh(slow, tmp_path):
    run = start(slow, tmp_path)
    os.kill(spawn_workers(run.pid)[0], signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 1 and "Traceback" not in err
    bad, killed = json.loads(out)["failures"]
    assert (bad["source"], bad["status"]) == ("b_bad.obj", "failed")
    assert (killed["source"], killed["status"]) == ("c_slow.obj", "crashed") and "SIGKILL" in killed["reason"]


def test_timeout_costs_one_mesh(slow, tmp_path, capsys):
    assert main(["preprocess", str(slow), str(tmp_path), *SLOW, "--timeout", "4", "--quiet"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["done"] == 1
    late = summary["failures"][1]
    assert (late["source"], late["status"], late["reason"]) == ("c_slow.obj", "timeout", "took longer than 4 s")


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
