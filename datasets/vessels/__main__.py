"""Make the data set: ``python -m datasets.vessels --count 300 --out FOLDER --jobs 2``; what exists is not computed again."""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from .record import Settings, make, write_manifest


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="vessels in the folder when it is done")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1, help="vessels at a time, each on one core")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--segments", type=int, default=Settings.segments, help="edges around the wall, a multiple of 4")
    parser.add_argument("--spacing", type=float, default=Settings.spacing, help="of the sections, in radii")
    args = parser.parse_args(arguments)
    settings = Settings(seed=args.seed, segments=args.segments, spacing=args.spacing)
    args.out.mkdir(parents=True, exist_ok=True)
    manifest = args.out / "manifest.json"
    if manifest.is_file():
        before = json.loads(manifest.read_text(encoding="utf-8"))["settings"]
        if before != json.loads(json.dumps(asdict(settings))):
            raise SystemExit(f"{args.out} holds vessels of other settings: {before}; give those, or another --out")
    write_manifest(args.out, settings)
    missing = [i for i in range(args.count) if not (args.out / f"vessel_{i:04d}.npz").is_file()]
    print(f"{args.count - len(missing)} of {args.count} vessels are there", flush=True)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")  # read by the processes below
    context = get_context("spawn")
    with ProcessPoolExecutor(args.jobs, mp_context=context) as pool, tqdm(total=len(missing), mininterval=1) as progress:
        for job in as_completed([pool.submit(make, number, settings, args.out) for number in missing]):
            facts = job.result()
            progress.update()
            size = f"{facts['kind']}, {facts['vertices']} vertices, Re {facts['reynolds']:.0f}"
            progress.write(f"{facts['file']}: {size}, {facts['steps']} steps, {facts['seconds']:.0f} s")
            write_manifest(args.out, settings)
    vessels = write_manifest(args.out, settings)
    if vessels:
        seconds = [facts["seconds"] for facts in vessels]
        print(f"{len(vessels)} vessels, {sum(seconds) / len(seconds):.1f} s each (longest {max(seconds):.1f} s)")


if __name__ == "__main__":
    main()
