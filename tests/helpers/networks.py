"""Networks with other weights than the initial ones, and their error under the group."""

from __future__ import annotations

import torch


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random values in every parameter, biases included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * 0.3)
    return module


def with_statistics(module: torch.nn.Module) -> torch.nn.Module:
    """Running averages that are not the initial ones."""
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=torch.Generator().manual_seed(1))
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(2))
    return module


def stirred(net: torch.nn.Module) -> torch.nn.Module:
    """Initial weights, which are random and keep the signal, with other biases, factors and running averages."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if any(word in name for word in ("bias", "beta", "gamma")):
                p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return with_statistics(net)


def relative_error(act, dtype=torch.float64, nodes: int = 500) -> float:
    """Of a layer for nodes, under a random element of the group at every node."""
    act = act.to(dtype)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, act.in_type.dim, generator=generator, dtype=torch.float64).to(dtype)
    h = act.in_type.group.sample(nodes, generator=generator).to(dtype)
    with torch.no_grad():
        before, after = act(x), act(act.in_type.transform(h, x))
        return float((after - act.out_type.transform(h, before)).abs().max() / before.abs().max())


def set_kernel(conv: torch.nn.Module, kernel: torch.Tensor) -> None:
    """Gives a layer with an orthonormal basis the weights of a kernel, which must lie in it."""
    weight = torch.zeros_like(conv.weight, requires_grad=True)
    plain = conv.weight
    with torch.enable_grad():
        del conv.weight
        conv.weight = weight
        (conv.kernel() * kernel).sum().backward()
    del conv.weight
    conv.weight = torch.nn.Parameter(weight.grad.to(plain))
    assert torch.allclose(conv.kernel(), kernel, rtol=1e-12, atol=1e-12)
