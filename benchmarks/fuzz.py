"""Byte-mutated mesh files and records against the loaders, each in a worker with a time and a memory limit.

    python benchmarks/fuzz.py --count 10000 --out benchmarks/results/fuzz.md

A mesh that loads is checked too (check_mesh), a record validated. The mutations are those of tests/helpers/mutations.py.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import platform
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from gaugenet.errors import MeshError, RecordError  # noqa: E402
from gaugenet.geometry.triangles.checks import check_mesh  # noqa: E402
from gaugenet.io.loading import parse_mesh  # noqa: E402
from gaugenet.io.records import load_record  # noqa: E402
from gaugenet.pipeline.supervisor import supervise  # noqa: E402
from tests.helpers.mutations import mutated, samples  # noqa: E402

SECONDS = 10.0
MEGABYTES = 2048
BATCH = 50


def limit_memory() -> None:
    """In a new worker: what it may use in all, the libraries loaded first."""
    import trimesh  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES * 2**20,) * 2)


def attempt(kind: str, data: bytes, folder: Path) -> str:
    """What became of it, parsed or refused; any other exception than the documented ones comes out."""
    if kind == "safetensors":
        path = folder / "a.safetensors"
        path.write_bytes(data)
        try:
            load_record(path)
        except RecordError:
            return "refused"
        return "parsed"
    try:
        mesh = parse_mesh(data, f".{kind}", "a")
    except MeshError:
        return "refused"
    with contextlib.suppress(MeshError):
        check_mesh(mesh.vertices, mesh.faces)
    return "parsed"


def one_batch(item: tuple[str, int, int]) -> dict:
    """Outcomes of the mutations seed .. seed + count of one file type; in a worker."""
    import time

    kind, seed, count = item
    files = samples(kind)
    out = {"parsed": 0, "refused": 0, "wrong": [], "slowest": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(seed, seed + count):
            rng = np.random.default_rng([k, len(kind)])
            data = mutated(files[k % len(files)], rng)
            start = time.perf_counter()
            try:
                out[attempt(kind, data, Path(folder))] += 1
            except Exception as error:
                out["wrong"].append((k, f"{type(error).__name__}: {error}"[:200]))
            out["slowest"] = max(out["slowest"], time.perf_counter() - start)
    out["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return out


KINDS = ("obj", "off", "ply", "stl", "glb", "safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10000, help="mutated files of all types together")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    each = -(-options.count // len(KINDS))
    items = [(kind, k, min(BATCH, each - k)) for kind in KINDS for k in range(0, each, BATCH)]
    empty = {"parsed": 0, "refused": 0, "crashed": 0, "slowest": 0.0, "peak": 0.0}
    table: dict[str, dict] = {kind: {**empty, "wrong": []} for kind in KINDS}
    # A batch is one item for the supervisor: one hanging file overruns it, and shows.
    for outcome in supervise(one_batch, items, jobs=options.jobs, timeout=SECONDS * BATCH, warm_up=limit_memory):
        row = table[outcome.item[0]]
        if outcome.status != "done":
            row["crashed"] += 1
            print(outcome.item, outcome.status, outcome.reason, file=sys.stderr)
            continue
        for name in ("parsed", "refused", "wrong"):
            row[name] += outcome.value[name]
        for name in ("slowest", "peak"):
            row[name] = max(row[name], outcome.value[name])
    names = ("file", "files", "parsed", "refused", "other exception", "crashed or hung", "slowest s", "peak MiB")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for kind in KINDS:
        row = table[kind]
        for k, text in row["wrong"]:
            print(f"{kind} {k}: {text}", file=sys.stderr)
        total = row["parsed"] + row["refused"] + len(row["wrong"])
        lines.append(
            f"| {kind} | {total} | {row['parsed']} | {row['refused']} | {len(row['wrong'])} | {row['crashed']} "
            f"| {row['slowest']:.3f} | {row['peak']:.0f} |"
        )
    text = "\n".join(lines)
    print(text)
    if options.out:
        where = f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, one worker at a time with"
        head = (
            "# Mutated files against the loaders\n\n`python benchmarks/fuzz.py`: whole files, changed in one to four places.\n"
        )
        limits = f"{where} at most {MEGABYTES} MiB of address space. The peak is that of the process, libraries included."
        options.out.write_text(f"{head}{limits}\n\n{text}\n")
    return int(any(row["wrong"] or row["crashed"] for row in table.values()))


if __name__ == "__main__":
    sys.exit(main())
