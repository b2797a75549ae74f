"""The page about tables: its code runs in a folder with a table, and the commands of a folder of VTP files after it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.helpers.extras import library
from tests.helpers.tables import ellipsoids

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def test_page(tmp_path, monkeypatch, capsys):
    pyvista, xarray = library("pyvista"), library("xarray")
    ellipsoids(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAUGENET_CACHE", str(tmp_path / "cache"))
    text, names = PAGE.read_text(encoding="utf-8"), {}
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for example in examples:
        exec(compile(example, "data.md", "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("['long', 'short']") and "confusion, a row for every true class" in printed
    for name in ("wss.safetensors", "weather.safetensors"):  # from files to a saved network and an answer
        (example,) = [e for e in examples if name in e]
        assert len([line for line in example.splitlines() if line.strip()]) <= 12
    # The vectors and the winds were learnt, and are written as such.
    assert float(re.search(r"relative_error: ([\d.]+)", printed)[1]) < 0.4
    assert float(printed.split("tensor(")[-1].strip().rstrip(")")) < 0.6
    mesh = pyvista.read("answer.vtp")
    assert _error(mesh["prediction"], mesh["wss"]) < 0.4
    with xarray.open_dataset("answer.nc") as answer, xarray.open_dataset("weather.nc") as truth:
        assert answer.u.dims == ("time", "lat", "lon") and answer.time.equals(truth.time[30:])
        assert _error(answer.v.values, truth.v[30:].values) < 0.6
    (commands,) = [block.splitlines() for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "train walls" in block]
    assert len(commands) == 3
    for line in commands:
        run = subprocess.run([sys.executable, "-m", *shlex.split(line)], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    mesh = pyvista.read("answers/bulb03.vtp")
    assert len(list(Path("answers").glob("*.vtp"))) == 12 and _error(mesh["prediction"], mesh["wss"]) < 0.4


def _error(found, truth) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
