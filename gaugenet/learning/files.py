"""A network as one safetensors file, or a folder with weights and config.json: no pickle, nothing executable."""

from __future__ import annotations

import importlib
import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MissingDependencyError
from ..io.durable import write_atomic
from .arguments import ModelFileError, decode, encode, given_arguments, public_name

FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
_KEY = "gaugenet"


def save_network(network: Any, path: str | os.PathLike) -> None:
    """Write weights, configuration and preparation; see :meth:`SavedNetwork.save`."""
    safetensors = _safetensors()
    state = network.state_dict()
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    config = _config(network, state)
    text = json.dumps(config, allow_nan=True)
    path = Path(path)
    if path.suffix == ".safetensors":
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, safetensors.save(tensors, metadata={_KEY: text}))
        return
    if path.exists() and not path.is_dir():
        raise ModelFileError(f"{path}: expected a folder, or a name that ends in .safetensors")
    path.mkdir(parents=True, exist_ok=True)
    write_atomic(path / WEIGHTS, safetensors.save(tensors, metadata={"format": "pt"}))
    write_atomic(path / CONFIG, json.dumps(config, indent=2, allow_nan=True).encode())


def load(path: str | os.PathLike, *, cls: type | None = None, device: str | torch.device = "cpu") -> Any:
    """A network that was saved with ``save``, ready to predict: in evaluation mode, with its preparation.

    Nothing in the file is executed. Only public classes of gaugenet are made from it; the class of a network of your own is
    given.

    Args:
        path: the file, or the folder.
        cls: the class of the network, where it is not one of :mod:`gaugenet.models`.
        device: where to put it.

    Raises:
        ModelFileError: not a saved network, damaged, or of another version. OSError: it cannot be read.
    """
    path = Path(path)
    tensors, config = _read(path)
    try:
        if config["format"] > FORMAT:
            raise ModelFileError(f"written by gaugenet {config['version']}, which is newer than this one")
        network = _class_of(config, cls)(**{name: decode(value) for name, value in config["arguments"].items()})
        network.to(getattr(torch, config["dtype"]) if config["dtype"] in ("float32", "float64") else torch.float32)
        state = OrderedDict(tensors)
        state._metadata = _metadata(config["settings"])  # type: ignore[attr-defined]
        network.load_state_dict(state)
        from ..data import Preparation  # brings torch_geometric, which networks themselves can do without

        preparation = config["preparation"]
        network.preparation = None if preparation is None else Preparation.from_dict(preparation)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(f"{path}: not a network of this version of gaugenet: {' '.join(reason.split())}") from error
    return network.eval().to(device)


def _config(network: Any, state: Any) -> dict[str, Any]:
    from .. import __version__

    cls = type(network)
    args, kwargs = network._constructed_with
    arguments = given_arguments(cls, args, kwargs)
    name = public_name(cls)
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    types = {key: repr(getattr(network, key)) for key in ("in_type", "out_type") if hasattr(network, key)}
    preparation = network.preparation
    return {
        "format": FORMAT,
        "version": __version__,
        "class": f"gaugenet.{name}" if name else f"{cls.__module__}.{cls.__qualname__}",
        "arguments": {key: encode(value, key) for key, value in arguments.items()},
        "dtype": str(dtype).removeprefix("torch."),
        "types": types,
        "preparation": None if preparation is None else preparation.to_dict(),
        "settings": {key: facts for key, facts in getattr(state, "_metadata", {}).items() if "settings" in facts},
    }


def _class_of(config: dict[str, Any], cls: type | None) -> type:
    if cls is not None:
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise ModelFileError(f"expected cls to be the class of a network, got {cls!r}")
        return cls
    name = str(config["class"])
    models = importlib.import_module("gaugenet.models")
    last = name.removeprefix("gaugenet.models.")
    if last == name or last not in models.__all__:
        raise ModelFileError(f"a network of class {name}, which is none of gaugenet.models: give it as cls=")
    return getattr(models, last)


def _metadata(settings: dict[str, Any]) -> OrderedDict:
    """The metadata of a state_dict; JSON has made lists of tuples."""
    return OrderedDict((key, {name: _tuples(value) for name, value in facts.items()}) for key, facts in settings.items())


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    safetensors = _safetensors()
    file = path / WEIGHTS if path.is_dir() else path
    data = file.read_bytes()
    try:
        tensors = safetensors.load(data)
        text = (path / CONFIG).read_text(encoding="utf-8") if path.is_dir() else _header(data)["__metadata__"][_KEY]
        config = json.loads(text)
    except OSError:
        raise
    except Exception as error:  # whatever safetensors and json raise on damaged bytes, the answer is the same
        raise ModelFileError(f"{path}: not a saved network: {error}") from None
    if not isinstance(config, dict):
        raise ModelFileError(f"{path}: not a saved network")
    return tensors, config


def _header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file, which was read whole before."""
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors.torch")
    except ImportError:
        raise MissingDependencyError("saving and loading networks needs safetensors: pip install safetensors") from None
