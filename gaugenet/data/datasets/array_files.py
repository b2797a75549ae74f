"""Arrays from files that may be missing, damaged or hostile; nothing is ever unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...errors import GaugenetError
from ...io.libraries import needed

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, OverflowError)


def existing_file(path: str | os.PathLike, name: str) -> Path:
    """``path`` itself when it is a file, else the file ``name`` in the folder ``path``.

    Raises:
        FileNotFoundError: neither is there.
    """
    path = Path(path)
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file}: not there; expected the file {name} or the folder that holds it")
    return file


def read_npz(file: Path, ndim: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file.

    Args:
        file: the file.
        ndim: name -> number of dimensions that the array must have.

    Raises:
        GaugenetError: no npz file, damaged, arrays missing, pickled, of other dimensions, or with NaN or infinity.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            if not isinstance(data, np.lib.npyio.NpzFile):
                raise ValueError("one array, not an npz archive")
            missing = sorted(set(ndim) - set(data.files))
            if missing:
                raise ValueError(f"no array {', '.join(missing)}; it has {', '.join(sorted(data.files))}")
            arrays = {name: data[name] for name in ndim}
    except _DAMAGED as error:
        raise GaugenetError(f"{file}: not the expected npz file: {error}") from None
    _check_arrays(file, arrays, ndim)
    return arrays


def read_netcdf(file: Path, ndim: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The named variables of a netCDF file, unpacked (value x scale_factor + add_offset), through xarray.

    Raises:
        GaugenetError: as :func:`read_npz`. MissingDependencyError: xarray is not installed.
    """
    xarray = needed("xarray", "netCDF files")
    try:
        with open(file, "rb") as opened:
            classic = opened.read(3) == b"CDF"
        # netCDF's own library reads a classic file that was cut off as if nothing were missing; scipy's reader notices.
        with xarray.open_dataset(file, engine="scipy" if classic else None, decode_times=False) as data:
            missing = sorted(set(ndim) - set(data.variables))
            if missing:
                raise ValueError(f"no variable {', '.join(missing)}; it has {', '.join(sorted(map(str, data.variables)))}")
            arrays = {name: data[name].values for name in ndim}
    # xarray's errors and those of the libraries below it: the answer is the same.
    except Exception as error:
        raise GaugenetError(f"{file}: not the expected netCDF file: {' '.join(str(error).split())[:300]}") from None
    _check_arrays(file, arrays, ndim)
    return arrays


def _check_arrays(file: Path, arrays: Mapping[str, np.ndarray], ndim: Mapping[str, int]) -> None:
    for name, array in arrays.items():
        if array.ndim != ndim[name] or array.size == 0:
            raise GaugenetError(f"{file}: {name} expected {ndim[name]} dimensions and some entries, got shape {array.shape}")
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise GaugenetError(f"{file}: {name} holds NaN or infinity")


def check_shapes(file: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple]) -> None:
    """Raise a GaugenetError unless every named array has the shape given for it; None stands for any length."""
    for name, shape in shapes.items():
        got = arrays[name].shape
        if len(got) != len(shape) or any(want is not None and want != have for want, have in zip(shape, got)):
            raise GaugenetError(f"{file}: {name} expected shape {shape}, got {got}")


def labelled_images(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """images (N, H, W) and integer labels (N,); ValueError for other shapes or types."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(f"expected images (N, H, W) with labels (N,), got {images.shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"expected integer labels, got {labels.dtype}")
    return images, labels
