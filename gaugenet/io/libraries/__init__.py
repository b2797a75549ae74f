"""Files and objects of other libraries, read and written through them; each is imported when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from ...errors import MissingDependencyError

# The extra of gaugenet that brings a library.
_EXTRAS = {
    "meshio": "formats",
    "pyvista": "formats",
    "polyscope": "viewers",
    "nibabel": "medical",
    "xarray": "weather",
    "healpy": "weather",
}


def needed(library: str, what: str) -> Any:
    """The library, imported.

    Args:
        library: its name.
        what: what needs it, to be told: ``".gii files"``.

    Raises:
        MissingDependencyError: it is not there; the message says which extra brings it.
    """
    try:
        return importlib.import_module(library)
    except ImportError:
        text = f"{what} need {library}, which is not installed: pip install 'gaugenet[{_EXTRAS[library]}]'"
        raise MissingDependencyError(text) from None
