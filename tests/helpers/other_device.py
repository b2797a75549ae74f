"""A device that counts what crosses its border: tensors on it live in main memory, and say that they are on "meta".

As with a GPU, operators refuse to mix them with tensors elsewhere (numbers of no axes apart), a copy between the devices is
counted, and so is every wait of the host for the device: reading a number, a boolean, or a shape that depends on values.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_AWAITED = ("_local_scalar_dense", "nonzero", "unique", "_unique2", "unique_dim", "masked_select", "equal", "item", "bincount")


class Elsewhere(Tensor):
    """A tensor of the other device; ``here`` is its content."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        out = Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=DEVICE
        )
        out.here = here
        return out

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        raise RuntimeError(f"{func} on the other device outside of Border()")


class Border(TorchDispatchMode):
    """Runs operators on either device and counts, in ``counts``, the copies between them and the waits for the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Border:
        self._lists = _Lists()
        self._lists.__enter__()
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._lists.__exit__(*exception)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = [t for t in tensors if isinstance(t, Elsewhere)]
        name = func._schema.name.split("::")[1]
        asked = kwargs.get("device")
        if asked is not None and torch.device(asked) == DEVICE:
            kwargs["device"] = torch.device("cpu")
        away = bool(there) if asked is None else torch.device(asked) == DEVICE
        if name in ("_to_copy", "copy_"):
            if name == "copy_":
                away = isinstance(args[0], Elsewhere)
                crosses = away != isinstance(args[1], Elsewhere)
            else:
                crosses = away != bool(there)
            if crosses:
                self.counts[f"copies {'to' if away else 'from'} the device"] += 1
        elif there:
            if name in _AWAITED or (name.startswith("index") and any(t.dtype == torch.bool for t in there)):
                self.counts[f"waits: {name}"] += 1
            strangers = [t for t in tensors if not isinstance(t, Elsewhere) and t.dim()]
            if strangers:
                raise RuntimeError(f"{func}: tensors on two devices")
        inner = tree_map(lambda t: t.here if isinstance(t, Elsewhere) else t, (args, kwargs))
        out = func(*inner[0], **inner[1])
        if not away:
            return out
        if func._schema.is_mutable and args and isinstance(args[0], Elsewhere) and out is inner[0][0]:
            return args[0]
        return tree_map(lambda t: Elsewhere(t) if isinstance(t, Tensor) else t, out)


class _Lists(TorchFunctionMode):
    """``torch.tensor`` of numbers for the other device makes them here and copies them, as for a GPU."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


class Launcher:
    """A Triton kernel whose tensors have to be on the other device, run by Triton's interpreter."""

    def __init__(self, kernel: Any) -> None:
        self.kernel, self.launches = kernel, 0

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*args: Any, **options: Any) -> None:
            tensors = [a for a in args if isinstance(a, Tensor)]
            assert all(isinstance(t, Elsewhere) for t in tensors), "a kernel got a tensor that is not on its device"
            self.launches += 1
            with _disable_current_modes():
                self.kernel[grid](*(a.here if isinstance(a, Elsewhere) else a for a in args), **options)

        return launch
