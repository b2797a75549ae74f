"""docs/extending.md: its three new files in a copy of the package, each with its line, and what it does with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_kernel_a_manifold_and_a_group_in_one_file_each(tmp_path):
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python (file|append|run)=?(\S*)\n(.*?)```", text, re.DOTALL)
    kinds = [kind for kind, *_ in blocks]
    assert kinds.count("file") == kinds.count("append") == 3 and kinds.count("run") == 1
    shutil.copytree(ROOT / "gaugenet", tmp_path / "gaugenet", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, name, code in blocks:
        if kind == "file":
            assert not (tmp_path / name).exists()
            (tmp_path / name).write_text(code, encoding="utf-8")
        if kind == "append":
            assert len(code.strip().splitlines()) == 1
            with (tmp_path / name).open("a", encoding="utf-8") as file:
                file.write(code)
    program = next(code for kind, _, code in blocks if kind == "run")
    # The loop of the CPU would be compiled anew for the copy.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "GAUGENET_BACKEND": "reference"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
