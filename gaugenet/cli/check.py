"""``gaugenet check``"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

from . import EXIT_FAILED, EXIT_OK, UsageError

# In float64, with room for rounding on large meshes. A record's rounding to float32 does not break equivariance.
_TOLERANCE = 1e-10
# Of the network: about 2 GB in float64.
_MOST_WEIGHTS = 1 << 28


def run(arguments: argparse.Namespace) -> int:
    """Report the gauge-equivariance error; status 1 when it is above the tolerance."""
    # A block has two convolutions of 2 radial functions, with at most 4 kernels between two orders.
    weights = 2 * 2 * 4 * ((arguments.order + 1) * arguments.channels) ** 2
    if weights > _MOST_WEIGHTS:
        raise UsageError(
            f"check: {arguments.channels} copies of the orders 0 to {arguments.order} make a network of up to {weights:.2g} "
            f"weights, expected at most {_MOST_WEIGHTS:.2g}: take a smaller --channels or --order"
        )
    import numpy as np

    from ..geometry import LocalGeometry
    from ..io.records import load_record
    from ..pipeline.process import ProcessParams, process_one

    if Path(arguments.file).suffix == ".safetensors":
        geometry: LocalGeometry = load_record(arguments.file, np.float64)
    else:
        rings = 2 if arguments.radius is None and arguments.rings is None else arguments.rings
        params = ProcessParams(radius=arguments.radius, rings=rings, repair=arguments.repair, structure=arguments.structure)
        geometry = process_one(arguments.file, params)
    # Where transport is the identity, every group will do.
    structure = geometry.structure if geometry.structure != "e" else f"SO{geometry.dim}"
    error = _equivariance_error(geometry, structure, arguments.order, arguments.channels, arguments.seed)
    tolerance = arguments.tolerance or _TOLERANCE
    # A NaN does not pass.
    ok = bool(error <= tolerance)
    facts = {
        "path": arguments.file,
        "ok": ok,
        "equivariance_error": error if np.isfinite(error) else None,
        "tolerance": tolerance,
        "nodes": geometry.num_nodes,
        "edges": geometry.num_edges,
    }
    if arguments.json:
        print(json.dumps(facts))
    else:
        verdict = "ok" if ok else "FAILED"
        sizes = f"{geometry.num_nodes} nodes, {geometry.num_edges} edges"
        print(f"{arguments.file}: {verdict}: gauge-equivariance error {error:.3g} (tolerance {tolerance:g}; {sizes})")
    return EXIT_OK if ok else EXIT_FAILED


def _equivariance_error(geometry, structure: str, order: int, channels: int, seed: int) -> float:
    """Of a random residual network with vectors in and out, in float64, under random frames at every node."""
    import torch

    from .. import groups
    from ..fields import FieldType
    from ..nn import ResidualBlock
    from ..testing import equivariance_error

    class Network(torch.nn.Module):
        def __init__(self, *types):
            super().__init__()
            self.blocks = torch.nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(types))

        def forward(self, x, graph):
            for block in self.blocks:
                x = block(x, graph)
            return x

    group = groups.group_of(structure)
    # "C4", as geometry.cyclic_structure leaves it, is a group with irreps up to order N / 2 only.
    known = [k for k in range(max(order, 1) + 1) if group.order is None or str(k) in group.irrep_names()]
    ends = FieldType(group, " + ".join(f"1x{k}" for k in known[:2]))
    inside = FieldType(group, " + ".join(f"{channels}x{k}" for k in known if k <= order))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(ends, inside, ends).double()
        # Biases start at zero, and would hide a layer that puts one where it must not.
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    graph = geometry.to_graph(dtype=torch.float64)
    return equivariance_error(network, graph, ends, ends, seed=seed)
