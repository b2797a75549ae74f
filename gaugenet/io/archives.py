"""Mesh files inside of .zip and .tar archives, read in place: nothing is unpacked to disk.

A member's name is only ever a name in the index, so that it cannot lead out of a folder. Sizes are bounded: by what the archive
declares before anything is unpacked, and by that number of bytes while it is.
"""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import MeshError

__all__ = ["ARCHIVES", "ArchiveReader", "Member", "list_members"]

_OPENERS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
ARCHIVES = (".zip", *_OPENERS)

# One mesh: far above any that fits into memory with its geometry.
_MOST_BYTES = 4 * 2**30
# The whole: text compresses 3 to 20 times, a bomb a thousand times and more. Small archives may be of any ratio.
_MOST_RATIO, _SMALL = 200, 2**28
_MOST_MEMBERS = 10**7
_MOST_HEADER = 2**24


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: relative, with forward slashes.
        size: bytes when unpacked.
        offset: where they start in the unpacked tar, 0 in a zip.
        problem: why it cannot be used, or None.
    """

    name: str
    size: int = 0
    offset: int = 0
    problem: str | None = None


def archive_extension(path: PurePath) -> str | None:
    """The extension of an archive that we read, or None."""
    return next((e for e in ARCHIVES if path.name.lower().endswith(e)), None)


def _opener(path: PurePath) -> Callable[..., Any]:
    return _OPENERS[archive_extension(path) or "none"]


def list_members(path: Path) -> list[Member]:
    """All files in an archive, in its order; those that cannot be used, such as links, have their problem.

    Raises:
        MeshError: the archive is damaged, or would unpack to an absurd size.
        OSError: it cannot be opened.
    """
    entries = _zip_entries(path) if archive_extension(path) == ".zip" else _tar_entries(path)
    members: dict[str, Member] = {}
    total = 0
    most = max(_SMALL, _MOST_RATIO * path.stat().st_size)
    with _errors_name(path):
        for entry in entries:
            total += entry.size
            if total > most or len(members) >= _MOST_MEMBERS:
                text = f"refused: it unpacks to more than {most} bytes or {_MOST_MEMBERS} files"
                raise MeshError(text, kind="archive_too_large", path=str(path))
            # Of two members of one name the later one counts, as when they are unpacked.
            member = _judged(entry)
            members[member.name] = member
    return list(members.values())


def _zip_entries(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                # The upper half of the attributes is a Unix mode, where there is one.
                link = (info.external_attr >> 28) == 0o12
                problem = "encrypted" if info.flag_bits & 1 else "a link" if link else None
                yield Member(info.filename, info.file_size, 0, problem)


def _tar_entries(path: Path) -> Iterator[Member]:
    with contextlib.ExitStack() as stack:
        bounded: Any = _Bounded(stack.enter_context(_opener(path)(path, "rb")))
        archive = stack.enter_context(tarfile.open(fileobj=bounded, mode="r:"))
        for info in archive:
            if not info.isdir():
                plain = info.isreg() and not info.issparse()
                yield Member(info.name, info.size, info.offset_data, None if plain else "not a plain file (a link?)")


def _judged(member: Member) -> Member:
    """The member with a tidy name, and with a problem where it has one."""
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    problem = member.problem
    if not parts or parts[0].startswith("/") or ".." in parts or ":" in parts[0]:
        problem = "refused: its name leads out of the archive"
    elif member.size > _MOST_BYTES:
        problem = f"refused: it unpacks to {member.size} bytes, more than {_MOST_BYTES}"
    return Member("/".join(part for part in parts if part.strip("/")) or member.name, member.size, member.offset, problem)


class ArchiveReader:
    """Reads members; the archive stays open in between.

    Compressed tars are streams: reading their members in order takes one pass, going back another.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._open: Any = None
        self._names: dict[str, zipfile.ZipInfo] = {}

    def __getstate__(self) -> dict:
        return {"_path": None, "_open": None, "_names": {}}

    def read(self, path: Path, member: Member) -> bytes:
        """The member's bytes.

        Raises:
            MeshError: the archive is damaged, or not what list_members saw.
            OSError: it cannot be opened.
        """
        try:
            with _errors_name(path / member.name):
                if path != self._path:
                    self._switch(path)
                if isinstance(self._open, zipfile.ZipFile):
                    with self._open.open(self._names[member.name]) as file:
                        data = file.read(member.size + 1)
                else:
                    self._open.seek(member.offset)
                    data = self._open.read(member.size)
                if len(data) != member.size:
                    raise EOFError(f"expected {member.size} bytes, got {len(data)}")
                return data
        except BaseException:
            self.close()
            raise

    def _switch(self, path: Path) -> None:
        self.close()
        if archive_extension(path) == ".zip":
            self._open = zipfile.ZipFile(path)
            self._names = {_judged(Member(info.filename)).name: info for info in self._open.infolist()}
        else:
            self._open = _opener(path)(path, "rb")
        self._path = path

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
        self._path, self._open = None, None


class _Bounded:
    """A stream from which tarfile reads headers only: those of a hostile file may claim to be gigabytes."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


@contextlib.contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Whatever the standard library raises on damaged bytes becomes a MeshError that names the file."""
    try:
        yield
    except (MeshError, MemoryError):
        raise
    # Not only its own errors: a flipped bit makes tarfile raise OverflowError, KeyError, RuntimeError, ...
    except Exception as error:
        # gzip and bz2 report bad bytes by an OSError without a number; an absurd offset is an invalid argument of seek.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        text = f"damaged or not an archive of its kind: {type(error).__name__}: {error}"
        raise MeshError(text, kind="unreadable", path=str(path)) from None
