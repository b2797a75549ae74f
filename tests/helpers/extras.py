"""Libraries of the optional extras."""

from __future__ import annotations

from typing import Any

import pytest

EXTRAS = {
    "meshio": "formats",
    "pyvista": "formats",
    "polyscope": "viewers",
    "nibabel": "medical",
    "xarray": "weather",
    "netCDF4": "weather",
    "zarr": "weather",
    "healpy": "weather",
    "pytorch_lightning": "lightning",
    "potpourri3d": "heat",
    "fast_simplification": "examples",
    "gpytoolbox": "examples",
    "torch_harmonics": "bench",
}


def library(name: str) -> Any:
    """The library, or a skip that says which extra has it."""
    return pytest.importorskip(
        name, reason=f"{name} comes with the extra: pip install 'gaugenet[{EXTRAS[name.partition('.')[0]]}]'"
    )
