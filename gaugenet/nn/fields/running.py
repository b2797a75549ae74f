"""Running averages of batch statistics: free of their initial values, and taken anew over a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def newest_share(momentum: float | None, count: Tensor, dtype: torch.dtype) -> Tensor:
    r"""How much the newest of ``count`` batches counts in a running average.

    .. math:: m / (1 - (1 - m)^t)

    with m the momentum and t the count: 1 for the first batch, so that the initial values are forgotten at once, and m in the
    end. That is the bias correction of Kingma & Ba 2015 (Adam), kept in the average itself. Without a momentum 1 / t, the mean.
    """
    t = count.to(dtype)
    share = 1 / t if momentum is None else momentum / (1 - (1 - momentum) ** t)
    return torch.where(count > 1, share, 1.0)  # exactly


class InvariantBatchNorm(nn.BatchNorm1d):
    """Batch norm of rows of invariants (B, C), one a graph, with running averages that are free of their initial values.

    A batch of one row has no variance: it is normalised by the running averages. The state is that of ``torch.nn.BatchNorm1d``.
    """

    # Of the class above, which says that they may be None.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.shape[0] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        with torch.no_grad():
            var, mean = torch.var_mean(x, 0)
            self.num_batches_tracked += 1
            share = newest_share(self.momentum, self.num_batches_tracked, mean.dtype)
            self.running_mean.lerp_(mean.to(self.running_mean), share)
            self.running_var.lerp_(var.to(self.running_var), share)
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)


@torch.no_grad()
def refresh_norms(net: nn.Module, loader: Iterable, call: Callable[[nn.Module, Any], Any] | None = None) -> None:
    """Take the running averages of all batch norms anew: the plain mean of the statistics of the batches of a loader.

    For networks with ``norm="batch"`` (and torch's own batch norms) before they are evaluated: running averages lag behind
    weights that were just trained, and those of a few steps are noisy. Everything but the norms runs in evaluation mode (no
    dropout); afterwards every module is in the mode that it was in. A network without running averages is left alone.

    Args:
        net: any network.
        loader: batches, of the size that it was trained with: graphs with features ``x``, tensors, or tuples whose first
            member is one of these.
        call: how the network is called with a batch, where that is not ``net(batch.x, batch)`` or ``net(tensor)``; for example
            ``lambda net, batch: net(batch[0], sphere)``.

    Raises:
        ValueError: a loader without batches.
    """
    norms: list[Any] = [m for m in net.modules() if getattr(m, "num_batches_tracked", None) is not None]
    if not norms:
        return
    call = _call if call is None else call
    modes, momenta = [(m, m.training) for m in net.modules()], [m.momentum for m in norms]
    count = 0
    try:
        net.eval()
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain mean
        for batch in loader:
            if count == 0:
                for norm in norms:
                    norm.num_batches_tracked.zero_()
            call(net, batch)
            count += 1
    finally:
        for module, mode in modes:
            module.training = mode
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
    if count == 0:
        raise ValueError("refresh_norms expected a loader with batches, got none (an iterator that was used up?)")


def _call(net: nn.Module, batch: Any) -> Any:
    first = batch[0] if isinstance(batch, list | tuple) else batch
    device = next((p.device for p in net.parameters()), None)
    first = first if device is None else first.to(device)
    return net(first) if isinstance(first, Tensor) else net(first.x, first)
