"""Unpacking of archives that may be hostile, and where computed files go."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ...errors import GaugenetError
from ...pipeline.process import content_sha256


def cache_folder() -> Path:
    """The default folder of records and unpacked archives: $GAUGENET_CACHE, $XDG_CACHE_HOME/gaugenet or ~/.cache/gaugenet."""
    if folder := os.environ.get("GAUGENET_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gaugenet"


def unpack(archive: str | os.PathLike, destination: str | os.PathLike | None = None, max_bytes: int = 2**32) -> Path:
    """Unpack a .zip or a (compressed) .tar once; return the folder.

    Only regular files with relative names that stay below the folder are written, with default permissions. The folder's name
    is the hash of the archive and appears when everything is there, so an unpacking that was cut off is done again.

    Args:
        archive: path of the archive.
        destination: parent of the folder, by default ``cache_folder() / "archives"``.
        max_bytes: most bytes to write.

    Raises:
        GaugenetError: not an archive, damaged, links or devices in it, names that lead elsewhere, too large.
        OSError: when files cannot be read or written.
    """
    archive = Path(archive)
    parent = cache_folder() / "archives" if destination is None else Path(destination)
    target = parent / content_sha256(archive)[:20]
    if target.is_dir():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=parent))
    try:
        left = max_bytes
        for name, file in _members(archive):
            path = building / _safe(name, archive)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as out:
                while piece := file.read(2**20):
                    left -= len(piece)
                    if left < 0:
                        raise GaugenetError(f"{archive}: unpacks to more than {max_bytes} bytes")
                    out.write(piece)
        try:
            building.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster
                raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, FileExistsError, ValueError, RuntimeError) as error:
        if isinstance(error, GaugenetError):
            raise
        raise GaugenetError(f"{archive}: damaged or not an archive: {error}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, open file) of the regular files; anything but files and folders is refused."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise GaugenetError(f"{archive}: {entry.filename!r} is a link or a device")
                if not entry.is_dir():
                    with opened.open(entry) as file:
                        yield entry.filename, file
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            found = tar.extractfile(member) if member.isreg() else None
            if found is None:
                raise GaugenetError(f"{archive}: {member.name!r} is a link or a device")
            yield member.name, found


def _safe(name: str, archive: Path) -> Path:
    """The name as a path below the folder; absolute names, drives and ".." are refused."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        raise GaugenetError(f"{archive}: the name {name!r} leads out of the folder")
    return Path(*path.parts)
