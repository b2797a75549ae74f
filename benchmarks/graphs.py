"""Graphs to time on: a flat torus of nodes with random frames, of any size and degree."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from gaugenet.groups.planar import rotations


def torus(size: int, degree: int, seed: int = 0, shuffled: bool = False) -> SimpleNamespace:
    """About ``size`` nodes on a square torus, each with its ``degree`` nearest ones, in Morton order (or shuffled)."""
    side = max(8, round(size**0.5))
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    code = sum(((x.flatten() >> b & 1) << 2 * b) | ((y.flatten() >> b & 1) << 2 * b + 1) for b in range(11))
    order = torch.randperm(side * side, generator=generator) if shuffled else torch.argsort(code)
    number = torch.empty_like(order)
    number[order] = torch.arange(side * side)
    span = torch.arange(-4, 5)
    dy, dx = (d.flatten() for d in torch.meshgrid(span, span, indexing="ij"))
    nearest = torch.argsort(dx.square() + dy.square() + 1e-3 * torch.atan2(dy.double(), dx.double()))[1 : degree + 1]
    dy, dx = dy[nearest], dx[nearest]
    row, column = order // side, order % side
    source = number[((row[:, None] + dy) % side) * side + (column[:, None] + dx) % side]
    target = torch.arange(side * side)[:, None].expand_as(source)
    log = torch.stack([dx, dy], -1).float().expand(side * side, degree, 2)
    inner = source.argsort(1)
    source, log = source.gather(1, inner), log.gather(1, inner.unsqueeze(2).expand_as(log))
    frame = torch.rand(side * side, generator=generator) * 2 * torch.pi
    turn = (frame[source] - frame[target]).flatten()
    frame_p = rotations(-frame)
    radius = 1.2 * log.norm(dim=2).max()
    return SimpleNamespace(
        edge_index=torch.stack([source.flatten(), target.flatten()]),
        log=torch.einsum("nij,nkj->nki", frame_p, log).reshape(-1, 2) / radius,
        transport=rotations(turn),
        turn=turn,
        weight=torch.full((source.numel(),), 1.0 / degree),
        radius=torch.ones(side * side),
        area=torch.full((side * side,), torch.pi / degree),
    )
