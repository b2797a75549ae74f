"""CPU seconds of the heat kernel signature (128 eigenpairs, 16 times), and of the finest HEALPix sphere.

    OMP_NUM_THREADS=1 python benchmarks/heat_kernel.py [--healpix 256]

Meshes: the tori of benchmarks/geometry.py, vertices in random order.
"""

from __future__ import annotations

import argparse
import resource
import time

from geometry import torus_mesh

from gaugenet.geometry import healpix
from gaugenet.geometry.meshes.features import heat_kernel_signature


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2500, 10000, 40000], help="numbers of vertices")
    parser.add_argument("--healpix", type=int, help="nside of a sphere to build as well")
    args = parser.parse_args()
    for size in args.sizes:
        vertices, faces, _ = torus_mesh(size)
        start = time.process_time()
        heat_kernel_signature(vertices, faces)
        print(f"| {len(vertices)} | {time.process_time() - start:.2f} |", flush=True)
    if args.healpix:
        start = time.process_time()
        sphere = healpix(args.healpix)
        seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"HEALPix {args.healpix}: {sphere.num_nodes} nodes, {sphere.num_edges} edges, {seconds:.1f} CPU s, {peak:.2f} GB")


if __name__ == "__main__":
    main()
