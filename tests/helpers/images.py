"""Images, and message passing on their pixels, for the tests of layers on grids."""

from __future__ import annotations

import torch

from gaugenet.nn import GridConv

SMALL = {"widths": (2, 2, 3), "kernel_size": 3, "num_classes": 4}


def image(channels=1, size=12, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, size, size, generator=generator, dtype=torch.float64).to(dtype)


class MessagePassing(torch.nn.Module):
    """The definition, an edge at a time: K(log) rho(g) f summed over the neighbours, K(0) f of the centre, the bias."""

    def __init__(self, conv: GridConv):
        super().__init__()
        self.conv = conv

    def forward(self, x, graph):
        k, kernel = self.conv.kernel_size, self.conv.kernel()  # (out, in, k, k) or with one axis more in front
        place = [k // 2 - graph.log[:, 1].round().long(), k // 2 + graph.log[:, 0].round().long()]
        if self.conv.spatial == 3:
            place = [k // 2 + graph.log[:, 2].round().long(), *place]
        at_edge = kernel[(slice(None), slice(None), *place)]  # (out, in, E)
        source, target = graph.edge_index
        carried = self.conv.in_type.transform(graph.transport, x[source])
        messages = torch.einsum("oie,ei->eo", at_edge, carried)
        centre = kernel[(slice(None), slice(None), *[k // 2] * self.conv.spatial)]
        out = (x @ centre.T).index_add(0, target, messages)
        return out if self.conv.bias is None else self.conv.bias(out)


def turned(x, type, g):
    """The image turned by an element g of D4 about its middle, and acted on by rho(g)."""
    height = x.shape[-1]
    axis = torch.arange(height, dtype=torch.float64) - (height - 1) / 2
    y, x_ = torch.meshgrid(-axis, axis, indexing="ij")
    back = torch.stack([x_, y], -1) @ g  # g^-1 applied to positions, as rows
    column = (back[..., 0] + (height - 1) / 2).round().long()
    row = ((height - 1) / 2 - back[..., 1]).round().long()
    return type.transform(g, x[:, :, row, column].movedim(1, -1)).movedim(-1, 1)
