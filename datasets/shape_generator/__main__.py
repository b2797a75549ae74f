"""Write the embedded data set: ``cd datasets && python -m shape_generator [--out shapes]``."""

from __future__ import annotations

import argparse
import hashlib
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from .build import build
from .families import FAMILIES

PER_CLASS = 20
SPLIT_SEEDS = {10: 1000, 16: 2000}  # as for SHREC'11 in MeshCNN's version


def ply_bytes(vertices: np.ndarray, faces: np.ndarray) -> bytes:
    """Binary PLY: float32 positions, 16-bit vertex indices."""
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar ushort vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), dtype=[("n", "u1"), ("v", "<u2", 3)])
    rows["n"], rows["v"] = 3, faces
    return header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes()


def split(names: dict[str, list[str]], num_train: int, seed: int) -> dict[str, dict[str, list[str]]]:
    """`num_train` random shapes of every class to train on, the others to test."""
    rng = np.random.default_rng(seed)
    out = {}
    for label in sorted(names):
        order = rng.permutation(len(names[label]))
        chosen = {
            k: sorted(names[label][i] for i in part) for k, part in (("train", order[:num_train]), ("test", order[num_train:]))
        }
        out[label] = chosen
    return out


def _job(job: tuple[str, int]) -> bytes:
    return ply_bytes(*build(*job))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "shapes")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    jobs = [(family, seed) for family in sorted(FAMILIES) for seed in range(PER_CLASS)]
    with Pool(args.processes) as pool:
        files = pool.map(_job, jobs, chunksize=4)
    names: dict[str, list[str]] = {}
    sums = []
    for (family, seed), data in zip(jobs, files):
        path = args.out / family / f"{family}_{seed:02d}.ply"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        names.setdefault(family, []).append(path.name)
        sums.append(f"{hashlib.sha256(data).hexdigest()}  {path.relative_to(args.out)}")
    splits = {f"split{n}_{i}": split(names, n, seed + i) for n, seed in SPLIT_SEEDS.items() for i in range(3)}
    (args.out / "splits.json").write_text(json.dumps(splits, indent=0) + "\n")
    (args.out / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print(f"{len(files)} shapes, {sum(map(len, files))} bytes, in {args.out}")


if __name__ == "__main__":
    main()
