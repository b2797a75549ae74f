"""Rotated digits on Lie groups: LieConv and B-spline networks beside those of examples/rotated_digits.py.

    python examples/rotated_mnist_lie.py                                  # scikit-learn's digits
    python examples/rotated_mnist_lie.py --data MNIST --sizes 10000 --test 5000 --seeds 1 --parameters 30000 \\
        --steps 4000 --dropout 0.1 --out runs/rotated_mnist.json

LieConv (Finzi et al. 2020) lifts the pixels in the disc to a group and takes a net of log(u_p^-1 u_q) for the kernel; "trivial"
sees the coordinates of both pixels instead, and no group. B-spline networks (Bekkers 2020) are PlanarCNN with the kernels of
``kernels.Spline``. Training, options and results file are those of the planar example: with its results file and settings the
table has all of them.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import rotated_digits
from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.data import StaticGraph
from gaugenet.models import LieConvNet, PlanarCNN
from gaugenet.nn import GridConv


class LieConvImages(nn.Module):
    """LieConvNet on the pixels of images, lifted to a group of the plane: (B, 1, n, n) -> (B, num_classes).

    Args:
        group: name of the group. samples: lifts of a pixel.
        widths: of the layers of the planar networks. The first, third and last are the channels of one, two and two blocks, on
            levels with a quarter of the elements each.
        by_place: let the kernel see the places of both pixels, which no group leaves as they are.
        neighbours: of every element. dropout: of channels in the blocks.
    """

    def __init__(
        self,
        group: str,
        samples: int = 1,
        *,
        widths: tuple[int, ...],
        by_place: bool = False,
        neighbours: int = 25,
        dropout: float = 0.0,
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.group, self.samples, self.neighbours, self.by_place = group, samples, neighbours, by_place
        scalars = FieldType(groups.Trivial(geometry.LieGroup.of(group).dim), "1x0")
        self.net = LieConvNet(
            scalars,
            num_classes,
            channels=(widths[0], widths[2], widths[4]),
            blocks=(1, 2, 2),
            dropout=dropout,
            kernel=kernels.MLP(orbit=2 if by_place else 0),
        )
        self._lifted: tuple[int, Tensor, StaticGraph] | None = None

    def lifted(self, size: int, device: torch.device) -> tuple[Tensor, StaticGraph]:
        """Pixels of the elements, and their graph: made once for images of a size."""
        if self._lifted is None or self._lifted[0] != size:
            lift = geometry.lift_image(self.group, (size, size), self.samples, spacing=2 / size)
            if self.by_place:
                lift = lift._replace(orbit=geometry.LieGroup.of(self.group).log(lift.elements))
            geom = geometry.lie_group(self.group, lift, neighbours=self.neighbours, alpha=0.2, levels=2)
            self._lifted = size, torch.from_numpy(lift.point), StaticGraph(geom.to_graph(torch.float32))
        _, point, graph = self._lifted
        if point.device != device:
            self._lifted = size, point.to(device), graph.to(device)
        return self._lifted[1:]

    def forward(self, images: Tensor) -> Tensor:
        point, graph = self.lifted(images.shape[-1], images.device)
        return self.net(images.flatten(1)[:, point, None], graph)


def splines(**options) -> partial:
    """PlanarCNN over C_8 with B-spline kernels."""
    conv = partial(GridConv, kernel_size=5, padding=None, kernel=kernels.Spline(**options))
    return partial(PlanarCNN, groups.Cyclic(8), reduce="mean", basis=conv)


#: as rotated_digits.MODELS
MODELS = {
    "LieConv, trivial": (partial(LieConvImages, "T2", by_place=True), False),
    "LieConv, T(2)": (partial(LieConvImages, "T2"), False),
    "LieConv, SE(2)": (partial(LieConvImages, "SE2", 4), False),
    "B-spline SE(2)": (splines(), False),
    "B-spline SE(2), localised": (splines(fibre_size=3), False),
    "B-spline SE(2), atrous": (splines(size=3, spacing=2.0, fibre_size=4, fibre_spacing=2.0), False),
}
rotated_digits.MODELS.update(MODELS)

if __name__ == "__main__":
    rotated_digits.main(list(MODELS), __doc__)
