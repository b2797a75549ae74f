"""Batches of as many nodes as memory holds, shared out over the processes of a distributed training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import distributed
from torch.utils.data import Sampler

from ...checks import check_int, check_ints


class NodeBudget(Sampler[list[int]]):
    """Batches of meshes with at most so many nodes together; meshes of all sizes then take about the same memory.

    A ``batch_sampler`` of any DataLoader. Of R processes each takes every R-th batch; when their number is no multiple of R,
    the first ones are taken again, so that all processes do as many steps. A mesh larger than the budget is a batch of its own.

    Args:
        sizes: number of nodes of every mesh.
        nodes: most nodes of a batch.
        shuffle: another order in every epoch. Every iteration is an epoch, in all processes alike;
            ``set_epoch`` sets its number.
        seed: of the order.
        rank, ranks: of this process, and how many there are; by default those of torch.distributed, where it is running.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        nodes: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        self.sizes, self.nodes = check_ints(self, "sizes", sizes, 0), check_int(self, "nodes", nodes)
        running = distributed.is_available() and distributed.is_initialized()
        self.ranks = check_int(self, "ranks", (distributed.get_world_size() if running else 1) if ranks is None else ranks)
        self.rank = check_int(
            self, "rank", (distributed.get_rank() if running else 0) if rank is None else rank, 0, self.ranks - 1
        )
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is this epoch."""
        self.epoch = epoch

    def batches(self) -> list[list[int]]:
        """The batches of all processes in this epoch."""
        count = len(self.sizes)
        order = list(range(count))
        if self.shuffle:
            generator = torch.Generator("cpu").manual_seed(self.seed + self.epoch)
            order = torch.randperm(count, generator=generator, device="cpu").tolist()
        found: list[list[int]] = []
        total = 0
        for i in order:
            if not found or total + self.sizes[i] > self.nodes:
                found.append([])
                total = 0
            found[-1].append(i)
            total += self.sizes[i]
        return found

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._shared_out()
        self.epoch += 1
        return iter(batches)

    def __len__(self) -> int:
        return len(self._shared_out())

    def _shared_out(self) -> list[list[int]]:
        batches = self.batches()
        missing = -len(batches) % self.ranks
        while missing > 0:  # fewer batches than processes: several times over
            batches += batches[:missing]
            missing = -len(batches) % self.ranks
        return batches[self.rank :: self.ranks]
