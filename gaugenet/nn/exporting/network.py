"""Trained networks in plain torch: on images as modules of torch.nn, on graphs as programs that take the graph as tensors."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from .exportable import Exportable, Pixelwise, Seen
from .graphs import GraphProgram, graph_inputs


@torch.no_grad()
def export(network: nn.Module, example: Tensor | tuple[Tensor, Any] | None = None) -> nn.Module:
    """A copy of a network in eval mode for deployment, of plain torch operations with the same numbers.

    **On images** the layers of gaugenet become torch modules: Conv2d with the expanded kernel, norms BatchNorm2d, pointwise
    nonlinearities ReLU and so on, and what torch has no layer for a ``torch.fx.GraphModule`` of torch functions. Containers
    stay what they are: an nn.Sequential of layers becomes one of torch modules alone, which loads where gaugenet is not
    installed; a class of yours keeps its forward. The result goes through ``torch.export`` and ONNX.

    **On graphs** the network is called with ``(x, graph)``, and the result with ``(x, graph_inputs(network, graph))``: of it
    ``torch.export`` and ONNX make a program that has the graph for an input, of any size (:func:`gaugenet.nn.graph_inputs`,
    :func:`gaugenet.nn.dynamic_shapes`; docs/deployment.md).

    Args:
        network: a layer, or a module that contains layers for images, or one that is called with features and a graph.
        example: an input (B, in_type.dim, H, W), or a pair of features and a graph. Layers that treat the ends of an image by
            its size (:class:`GridPool` where blocks do not fit, :class:`GridBlur`, :class:`GridMask`) are exported for the size
            that they get from it, and the result is compared with the network.

    Raises:
        TypeError: a layer that has no plain form (one for graphs, in a network that takes none).
        ValueError: without an example, for layers that need one; a layer used on images of several sizes.
        RuntimeError: when the exported network gives other numbers for the example.
    """
    image: Any = example
    if takes_graph(network):
        return _on_graphs(network, example)
    seen: dict[str, set[Seen]] = {}
    training = network.training
    network.eval()
    try:
        expected = None if example is None else _record(network, image, seen)
    finally:
        network.train(training)
    tensors = [*network.parameters(), *network.buffers(), *([] if example is None else [image])]
    with torch.device(tensors[0].device if tensors else torch.get_default_device()):  # where new tensors are made
        result = _convert(copy.deepcopy(network).eval(), "", seen).eval()
    if expected is not None:
        _compare(result(image), expected)
    return result


def _on_graphs(network: nn.Module, example: Tensor | tuple[Tensor, Any] | None) -> GraphProgram:
    program = GraphProgram(network)
    if example is not None:
        if not isinstance(example, tuple) or len(example) != 2:
            raise TypeError(f"{type(network).__name__} takes a graph: an example is (x, graph), got {type(example).__name__}")
        x, graph = example
        _compare(program(x, graph_inputs(program, graph)), program.network(x, graph))
    return program


def _compare(out: Tensor, expected: Tensor) -> None:
    tolerance = 1e-9 if expected.dtype == torch.float64 else 1e-3
    if out.shape != expected.shape or (out - expected).abs().max() > tolerance * expected.abs().max().clamp_min(1e-30):
        raise RuntimeError("the exported network gives other numbers than the network (is its forward random?)")


def _record(network: nn.Module, example: Tensor, seen: dict[str, set[Seen]]) -> Tensor:
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, Exportable):
            keep = seen.setdefault(name, set())
            hooks.append(
                module.register_forward_pre_hook(lambda _, x, keep=keep: keep.add(Seen(tuple(x[0].shape[2:]), x[0].dtype)))
            )
    try:
        return network(example)
    finally:
        for hook in hooks:
            hook.remove()


def _convert(module: nn.Module, name: str, seen: dict[str, set[Seen]]) -> nn.Module:
    if isinstance(module, Exportable):
        return module.plain(seen.get(name, set()))
    if isinstance(module, Pixelwise) or takes_graph(module):
        raise TypeError(f"{name or 'the network'}: {type(module).__name__} is no layer for images and has no plain form")
    for child, part in module.named_children():
        setattr(module, child, _convert(part, f"{name}.{child}" if name else child, seen))
    return module


def takes_graph(module: nn.Module) -> bool:
    """Whether a module is called with features and a graph."""
    try:
        return list(inspect.signature(module.forward).parameters)[:2] == ["x", "graph"]
    except (TypeError, ValueError):  # not written in Python
        return False
