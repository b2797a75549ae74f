"""Fields of known eigenvalues on the icosphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gaugenet import GaugeGraph, geometry
from gaugenet.spectral.harmonics import tangent_harmonics


def sphere_case(level: int, order: int, lmax: int = 4) -> tuple[GaugeGraph, Callable[[Callable[[Tensor], Tensor]], Tensor]]:
    """A graph, and a random field of harmonics of degrees up to lmax: of a function of the eigenvalue l (l + 1) - order^2 the
    field with its coefficients times that function, (N, 1 or 2).
    """
    graph = geometry.icosphere(level, rings=1).to_graph()
    harmonics = tangent_harmonics(graph.pos.numpy(), lmax, order, graph.frame.numpy())
    degree = np.repeat(np.arange(lmax + 1), 2 * np.arange(lmax + 1) + 1)
    eigenvalue = torch.from_numpy(degree * (degree + 1.0) - order**2)
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal(len(degree)) * (degree >= order))

    def field(function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.einsum("nk...,k->n...", harmonics, weight * function(eigenvalue)).reshape(graph.num_nodes, -1)

    return graph, field
