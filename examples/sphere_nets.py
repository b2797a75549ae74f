"""What the examples on the sphere share: networks of torch-harmonics on a grid of latitudes and longitudes, other controls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import common
from gaugenet import FieldType, groups
from gaugenet.nn import Gradient

#: Learning rates that a network does better with, in units of that of the others (chosen on training pairs of shallow water).
_RATES = {"SFNO": 2.0}


def rate_of(name: str, lr: float) -> float:
    """The learning rate of a network."""
    return lr * _RATES.get(name, 1.0)


class PointwiseNet(nn.Module):
    """No neighbourhoods: a perceptron on the numbers at each point."""

    def __init__(self, inputs: int, outputs: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a in (inputs, width, width):
            layers += [nn.Linear(a, width), nn.ReLU()]
        self.point = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, x: Tensor, sphere: Any) -> Tensor:
        return self.point(x)


class FromPotentials(nn.Module):
    """The last two scalars of a network's answer as a tangent vector, grad a + J grad b (Helmholtz), J a turn by a right angle.

    Slopes are taken over 1/4 of the sphere's radius, so that the answer of an untrained network is of the size of its scalars.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.gradient = network, Gradient(FieldType(groups.SO2(), "2x0"))

    def forward(self, x: Tensor, sphere: Any) -> Tensor:
        y = self.network(x, sphere)
        slopes = self.gradient(y[..., -2:].flatten(0, 1), sphere).view(*y.shape[:2], 2, 2) / 4  # by coordinate, by scalar
        (a, b), (c, d) = (part.unbind(-1) for part in slopes.unbind(-2))
        return torch.cat([y[..., :-2], torch.stack([a - d, b + c], -1)], -1)


class OnGrid(nn.Module):
    """A network on images (B, C, rows, columns) as one on the nodes (B, N, C) of :func:`gaugenet.geometry.latlon`."""

    on_grid = True

    def __init__(self, network: nn.Module, rows: int) -> None:
        super().__init__()
        self.network, self.rows = network, rows

    def forward(self, x: Tensor, sphere: Any) -> Tensor:
        return self.network(x.mT.unflatten(-1, (self.rows, -1)).contiguous()).flatten(2).mT


def disco(inputs: int, outputs: int, rows: int, parameters: int, layers: int = 3) -> nn.Module:
    """torch-harmonics' network of local convolutions alone (DISCO; Ocampo et al. 2023, Liu-Schiaffini et al. 2024)."""
    return _of_torch_harmonics(
        "lsno", "LocalSphericalNeuralOperator", inputs, outputs, rows, parameters, layers, sfno_block_frequency=99
    )


def spectral(inputs: int, outputs: int, rows: int, parameters: int, layers: int = 3) -> nn.Module:
    """torch-harmonics' spherical Fourier neural operator (SFNO; Bonev et al. 2023)."""
    return _of_torch_harmonics("sfno", "SphericalFourierNeuralOperator", inputs, outputs, rows, parameters, layers)


def _of_torch_harmonics(
    module: str, name: str, inputs: int, outputs: int, rows: int, parameters: int, layers: int, **options: Any
) -> nn.Module:
    models = torch_harmonics(f"examples.models.{module}")
    options |= {"img_size": (rows, 2 * rows), "grid": "legendre-gauss", "scale_factor": 1, "num_layers": layers}

    def make(widths: tuple[int, ...]) -> nn.Module:
        return getattr(models, name)(in_chans=inputs, out_chans=outputs, embed_dim=widths[0], **options)

    return OnGrid(common.with_parameters(make, parameters, (1,)), rows)


def torch_harmonics(part: str) -> Any:
    """A module of torch-harmonics, which comes with the extra ``bench``."""
    try:
        return __import__(f"torch_harmonics.{part}", fromlist=["_"])
    except ImportError as error:
        raise SystemExit(f"this needs torch-harmonics: pip install 'gaugenet[bench]' ({error})") from error
