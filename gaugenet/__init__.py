"""Gauge-equivariant learning on meshes, spheres and manifolds.

Submodules are imported on first use, so that ``gaugenet.geometry`` and the command line do not pay for torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_SUBMODULES = (
    "cli",
    "data",
    "errors",
    "fields",
    "geometry",
    "groups",
    "io",
    "kernels",
    "learning",
    "metrics",
    "models",
    "nn",
    "ops",
    "pipeline",
    "sparse",
    "spectral",
    "testing",
    "viz",
)
_NAMES = {"FieldType": "fields", "GaugeGraph": "data", "load": "learning"}

__all__ = [*_SUBMODULES, *_NAMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module 'gaugenet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
