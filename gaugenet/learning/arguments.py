"""Constructor arguments as JSON and back, without pickle: nothing but public names of the library can be made from a file."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import GaugenetError
from ..fields import FieldType
from ..groups import Group
from ..groups.structures import group_of, name_of


class ModelFileError(GaugenetError, ValueError):
    """A model that cannot be saved, or a file that holds none."""


# Where classes are looked for, by their public names.
_ROOMS = ("models", "nn", "kernels", "groups")
# Of torch, functions that an argument may be.
_FUNCTIONS = ("torch.nn.functional", "torch")


def given_arguments(cls: type, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name; those not given are written out as well, since a later version may have others."""
    bound = inspect.signature(cls).bind(*args, **kwargs)
    if bound.arguments.get("options") is None:
        bound.apply_defaults()
        bound.arguments.pop("options", None)
    out: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            raise ModelFileError(f"{cls.__name__} takes any number of arguments: it cannot be saved with its configuration")
        out.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return out


def encode(value: Any, where: str) -> Any:
    """A value as JSON.

    Raises:
        ModelFileError: naming the argument, for what cannot be written down, such as a function of the user's.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, FieldType):
        return {"$type": str(value), **_group(value.group, where, lambda group: FieldType(group, str(value)) == value)}
    if isinstance(value, Group):
        return _group(value, where, lambda group: group == value)
    if isinstance(value, np.ndarray):
        return {"$array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, tuple | list):
        return [encode(part, where) for part in value]
    if isinstance(value, Mapping):
        return {"$dict": [[encode(k, where), encode(v, where)] for k, v in value.items()]}
    if isinstance(value, functools.partial) and not value.args:
        keywords = {name: encode(part, f"{where}.{name}") for name, part in value.keywords.items()}
        return {"$partial": _name_of(value.func, where), "arguments": keywords}
    if isinstance(value, type) or inspect.isroutine(value):
        return {"$name": _name_of(value, where)}
    if dataclasses.is_dataclass(value):
        fields = {f.name: encode(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value) if f.init}
        return {"$object": _name_of(type(value), where), "arguments": fields}
    if isinstance(value, nn.Module):
        names = [p for p in inspect.signature(type(value)).parameters if hasattr(value, p)]
        return {
            "$object": _name_of(type(value), where),
            "arguments": {name: encode(getattr(value, name), f"{where}.{name}") for name in names},
        }
    raise ModelFileError(f"{where}={value!r} cannot be written into a file")


def decode(value: Any) -> Any:
    """The inverse of :func:`encode`; lists become tuples.

    Raises:
        ModelFileError: for names that the library does not have.
    """
    if isinstance(value, list):
        return tuple(decode(part) for part in value)
    if not isinstance(value, dict):
        return value
    if "$group" in value:
        group = group_of(value["$group"], value["dim"])
        return FieldType(group, value["$type"]) if "$type" in value else group
    if "$array" in value:
        array = np.array(value["$array"], dtype=np.dtype(value["dtype"]))
        if array.dtype.kind not in "biuf":
            raise ModelFileError(f"expected an array of numbers, got {array.dtype}")
        return array
    if "$dict" in value:
        return {decode(k): decode(v) for k, v in value["$dict"]}
    if "$name" in value:
        return _found(value["$name"])
    if "$partial" in value:
        keywords = {name: decode(part) for name, part in value["arguments"].items()}
        return functools.partial(_found(value["$partial"]), **keywords)
    if "$object" in value:
        arguments = {name: decode(part) for name, part in value["arguments"].items()}
        return _found(value["$object"])(**arguments)
    raise ModelFileError(f"unknown entry {sorted(value)} in the configuration")


def public_name(cls: type) -> str | None:
    """ "models.MeshClassifier", or None for a class that is not one of the library's public ones."""
    for room in _ROOMS:
        module = importlib.import_module(f"gaugenet.{room}")
        if cls.__name__ in module.__all__ and getattr(module, cls.__name__) is cls:
            return f"{room}.{cls.__name__}"
    return None


def _group(group: Group, where: str, same: Any) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = {"$group": name_of(group), "dim": group.dim}
        if same(group_of(facts["$group"], facts["dim"])):
            return facts
    except (ValueError, TypeError):
        pass
    raise ModelFileError(f"{where} over {group} has no name by which it could be found again")


def _name_of(value: Any, where: str) -> str:
    if isinstance(value, type):
        name = public_name(value)
        if name is not None:
            return name
    for module in _FUNCTIONS:
        name = getattr(value, "__name__", "")
        if name and getattr(importlib.import_module(module), name, None) is value:
            return f"{module}.{name}"
    raise ModelFileError(
        f"{where}={getattr(value, '__name__', value)} is neither a public class of gaugenet nor a function of torch: "
        "it cannot be written into a file"
    )


def _found(name: Any) -> Any:
    """A public class of the library, or a pointwise function of torch; nothing else can be reached by a name."""
    room, _, last = str(name).rpartition(".")
    if room in _ROOMS:
        module = importlib.import_module(f"gaugenet.{room}")
        if last in module.__all__:
            return getattr(module, last)
    if room in _FUNCTIONS and last in _ACTIVATIONS:
        return getattr(importlib.import_module(room), last)
    raise ModelFileError(f"this version of gaugenet has no {name!r}")


_ACTIVATIONS = frozenset(
    name
    for name in ("relu", "gelu", "silu", "elu", "celu", "selu", "tanh", "sigmoid", "softplus", "leaky_relu", "mish", "hardtanh",
                 "relu6", "sin", "cos", "abs", "square")
    if hasattr(torch, name) or hasattr(nn.functional, name)
)  # fmt: skip
