"""What a network was built with, kept beside its weights, so that loaded numbers mean what they meant."""

from __future__ import annotations

import dataclasses
import inspect
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import nn

from .fields import FieldType
from .groups import Group, Representation

#: arguments that may differ: they change how a map is computed or trained, not the map
FREE = frozenset({"self", "options", "backend", "momentum", "dropout", "p"})
# Longer arrays are no settings.
_LONGEST = 1000
_UNKNOWN = object()


class KeepsSettings(nn.Module):
    """Base of layers and networks: a state_dict says what they were built with, and loading it compares.

    Shapes alone do not tell weights of another nonlinearity, quadrature or order of blocks. The settings are in the *metadata*
    of a state_dict, where torch keeps the versions of modules: its keys and tensors are the same with and without, and
    ``torch.save``, pickle and DistributedDataParallel carry it along. Formats of tensors alone (safetensors, ``dict(state)``)
    drop it, and nothing is compared; so it is with states of version 0.1.0.
    """

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments that say what the layer computes, as plain data; those of submodules are theirs.

        By default the arguments that are attributes of the same name, numbers, words, field types, groups, names of functions
        and tuples of them, and the types of input and output. ``class`` is there where no weights tell layers apart.
        """
        family = getattr(self, "family", None)  # of kernels
        values = {name: getattr(self, name, _UNKNOWN) for name in (*_arguments(type(self)), "in_type", "out_type")}
        if dataclasses.is_dataclass(family):
            values["kernel"] = type(family).__name__
            for field in dataclasses.fields(family):
                value = getattr(family, field.name)  # None is for a default, which the layer may have filled in
                values[field.name] = getattr(self, field.name, _UNKNOWN if value is None else value)
        found = {name: plain for name, value in values.items() if (plain := _plain(value)) is not _UNKNOWN}
        kind, kept = type(self).__name__, self._buffers.keys() - self._non_persistent_buffers_set
        if not (self._modules or self._parameters or kept or kind.startswith("_")):
            found["class"] = kind
        return found

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:
            metadata.setdefault(prefix[:-1], {})["settings"] = self.settings()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        here, saved = self.settings(), local_metadata.get("settings", {})
        where, kind = prefix[:-1] or "it", type(self).__name__
        mend = "build it with that, or load dict(state_dict), whose numbers come without settings"
        if saved.get("class", kind) not in {base.__name__ for base in type(self).__mro__}:
            error_msgs.append(f"{where} is a {kind}, but was saved as a {saved['class']}: {mend}")
            return
        for name in sorted(here.keys() & saved.keys() - {"class"}):
            if here[name] != saved[name]:
                was, now = (f"{name}={settings[name]!r}" for settings in (saved, here))
                error_msgs.append(f"{where} ({kind}) has {now}, but its weights were saved with {was}: {mend}")


@lru_cache
def _arguments(cls: type) -> tuple[str, ...]:
    names = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return tuple(name for name in names if name not in FREE)


def _plain(value: Any) -> Any:
    """A setting as numbers, words and tuples of them, which torch.load(weights_only=True) reads; _UNKNOWN for anything else."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral | Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, FieldType):
        return f"{value} over {value.group}"
    if isinstance(value, Group | Representation):
        return str(value)
    if isinstance(value, np.ndarray):
        return _plain(np.round(value, 9).tolist()) if value.size <= _LONGEST else _UNKNOWN
    if isinstance(value, tuple | list):
        parts = tuple(_plain(part) for part in value)
        return _UNKNOWN if any(part is _UNKNOWN for part in parts) else parts
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return type(value).__name__, *((name, part) for name, part in fields.items() if part is not _UNKNOWN)
    if inspect.isroutine(value) and not inspect.ismethod(value) and value.__name__ != "<lambda>":
        return value.__name__
    return _UNKNOWN
