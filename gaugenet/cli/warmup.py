"""``gaugenet warmup``"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from . import EXIT_OK


def run(arguments: argparse.Namespace) -> int:
    """Compile into the cache; the number of functions and the seconds on stdout."""
    from numba.core import event

    class Count(event.Listener):
        compiled = 0

        def on_start(self, _: Any) -> None:
            if not self.compiled:
                print("gaugenet: compiling once (about a minute)", file=sys.stderr)
            self.compiled += 1

        def on_end(self, _: Any) -> None: ...

    start, count = time.perf_counter(), Count()
    with event.install_listener("numba:compile", count):
        _geometry()
        if not arguments.no_layers:
            _layers(arguments.double)
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps({"compiled": count.compiled, "seconds": round(seconds, 3)}))
    elif count.compiled:
        print(f"compiled {count.compiled} functions in {seconds:.1f} s")
    else:
        print(f"nothing left to compile ({seconds:.1f} s)")
    return EXIT_OK


def _geometry() -> None:
    """The ways that meshes and point clouds take."""
    from ..geometry import mesh, point_cloud
    from ..geometry.spheres.icospheres import icosphere_mesh

    vertices, faces = icosphere_mesh(2)
    mesh(vertices, faces, rings=2, levels=1)
    mesh(vertices, faces, radius=0.6)
    point_cloud(vertices)


def _layers(double: bool) -> None:
    """Tables, and the forward and the backward pass of a convolution and of a pooling."""
    import torch

    from .. import FieldType, groups
    from ..geometry import icosphere
    from ..nn import GaugeConv, GaugePool

    geometry = icosphere(2, rings=1, levels=1)
    hidden = FieldType(groups.SO2(), "2x0 + 2x1")
    for dtype in (torch.float32, *([torch.float64] if double else [])):
        graph = geometry.to_graph(dtype)
        conv, pool = GaugeConv(hidden, hidden).to(dtype), GaugePool(hidden)
        x = torch.ones(graph.num_nodes, hidden.dim, dtype=dtype, requires_grad=True)
        pool(conv(x, graph), graph).sum().backward()
