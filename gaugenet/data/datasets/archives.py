"""Unpacking of archives that may be hostile, and where computed files go."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from ...errors import GaugenetError
from ...pipeline.process import content_sha256


def cache_folder() -> Path:
    """The default folder of records and unpacked archives: $GAUGENET_CACHE, $XDG_CACHE_HOME/gaugenet or ~/.cache/gaugenet."""
    if folder := os.environ.get("GAUGENET_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaugenet"


def unpack(archive: str | os.PathLike, destination: str | os.PathLike | None = None, max_bytes: int = 2**32) -> Path:
    """Unpack a (compressed) .tar once, through tarfile's data filter; return the folder.

    The folder's name is the hash of the archive and appears when everything is there, so an unpacking that was cut off is done
    again.

    Args:
        archive: path of the archive.
        destination: parent of the folder, by default ``cache_folder() / "archives"``.
        max_bytes: most bytes to write.

    Raises:
        GaugenetError: not an archive, damaged, devices in it, names or links that lead elsewhere, too large.
        OSError: when files cannot be read or written.
    """
    archive = Path(archive)
    parent = cache_folder() / "archives" if destination is None else Path(destination)
    target = parent / content_sha256(archive)[:20]
    if target.is_dir():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    left = max_bytes

    def checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
        nonlocal left
        left -= member.size
        if left < 0:
            raise GaugenetError(f"{archive}: unpacks to more than {max_bytes} bytes")
        return tarfile.data_filter(member, folder)

    try:
        with tarfile.open(archive) as opened:
            opened.errorlevel = 2  # what the filter refuses is an error, and not left out
            opened.extractall(building, filter=checked)
        try:
            building.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster
                raise
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise GaugenetError(f"{archive}: damaged, hostile or not a tar archive: {error}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target
