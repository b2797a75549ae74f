"""Which meshes there are: files, folders, quoted patterns and archives -> sources with names."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import re
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import MeshError
from ..io.archives import ArchiveReader, Member, archive_extension, list_members
from ..io.loading import mesh_format

__all__ = ["Source", "find_meshes", "parse_shard", "take_shard"]


@dataclass(frozen=True)
class Source:
    """A mesh file, or a member of an archive.

    Attributes:
        path: the file or the archive.
        member: which member of the archive, or None.
        problem: why it cannot be read, or None. Such sources are found as well: a mesh is never left out silently.
    """

    path: Path
    member: Member | None = None
    problem: str | None = None

    def __str__(self) -> str:
        return os.fspath(self.path if self.member is None else self.path / self.member.name)

    def read(self, reader: ArchiveReader | None = None) -> bytes:
        """The bytes of the mesh file.

        Args:
            reader: for many members of one archive, which stays open.

        Raises:
            MeshError: for a source with a problem, or a damaged archive.
            OSError: it cannot be read.
        """
        if self.problem is not None:
            raise MeshError(self.problem, kind="unreadable", path=str(self))
        if self.member is None:
            return self.path.read_bytes()
        if reader is not None:
            return reader.read(self.path, self.member)
        with contextlib.closing(ArchiveReader()) as reader:
            return reader.read(self.path, self.member)


def find_meshes(sources: Sequence[str | os.PathLike]) -> dict[str, Source]:
    """Name -> Source for mesh files, folders of them, patterns and archives; names are relative, with forward slashes.

    - A file given by itself counts whatever its extension.
    - A folder counts with all that is below it. Links to files and folders are followed; one that leads back to a folder that
      it lies in is not. Hidden files and folders do not count, nor do archives inside of a folder.
    - A pattern such as ``"meshes/**/*.off"`` (quoted, so that the shell leaves it alone) counts mesh files and archives that
      match it, and what is below folders that do. Its names start after the last folder without a wildcard.
    - An archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz) counts with the mesh files in it.

    With several sources the names start with the last part of each source. What is there but cannot be read (a dangling link,
    a folder without permission, a damaged archive) is a Source with a problem.

    Raises:
        FileNotFoundError: for a source that is not there.
        ValueError: for two files of one name.
    """
    found: dict[str, Source] = {}
    for given in sources:
        path = Path(given)
        prefix = path.resolve().name if len(sources) > 1 else ""
        if path.is_dir():
            entries = [(_joined(prefix, name), source) for name, source in _below(path)]
        elif path.exists() and archive_extension(path):
            entries = [(_joined(prefix, name), source) for name, source in _members(path)]
        elif path.exists():
            entries = [(path.name, Source(path))]
        elif set(os.fspath(given)) & set("*?["):
            base, pattern = _split_pattern(path)
            if not base.is_dir():
                raise FileNotFoundError(f"{given}: no such file or folder, and no folder {base} for a pattern")
            prefix = base.resolve().name if len(sources) > 1 else ""
            entries = [(_joined(prefix, name), source) for name, source in _below(base, pattern)]
        else:
            raise FileNotFoundError(f"{given}: no such file or folder")
        for name, source in sorted(entries, key=_place):
            if name in found:
                raise ValueError(f"two files would have the name {name!r} in the index")
            found[name] = source
    return found


def take_shard(meshes: Mapping[str, Source], shard: tuple[int, int]) -> dict[str, Source]:
    """The part i of n of the meshes: those whose name's CRC-32 is i modulo n, whatever other files there are.

    Args:
        meshes: of find_meshes.
        shard: (i, n) with 0 <= i < n.

    Raises:
        ValueError: for any other shard.
    """
    i, n = shard
    if not 0 <= i < n:
        raise ValueError(f"there is no shard {i} of {n}: they count from 0 to {n - 1} (sbatch --array=0-{n - 1})")
    return {name: source for name, source in meshes.items() if zlib.crc32(os.fsencode(name)) % n == i}


def parse_shard(text: str) -> tuple[int, int]:
    """ "3/8" -> (3, 8): the fourth of eight shards, which count from 0 as SLURM's arrays do.

    Raises:
        ValueError: not of this form, or out of range.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or int(match[2]) == 0:
        raise ValueError(f"expected a shard I/N such as 0/8, got {text!r}")
    shard = int(match[1]), int(match[2])
    take_shard({}, shard)
    return shard


def _place(entry: tuple[str, Source]) -> tuple[Path, int]:
    """The order of reading: by path, in an archive as its members lie there."""
    source = entry[1]
    return source.path, 0 if source.member is None else source.member.offset


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _below(base: Path, pattern: tuple[str, ...] | None = None) -> Iterator[tuple[str, Source]]:
    """Mesh files below a folder, or those of them that match."""
    # A folder with the real folders that it lies in, by device and inode, so that a loop of links is noticed.
    stack: list[tuple[tuple[str, ...], frozenset]] = [((), frozenset())]
    while stack:
        parts, above = stack.pop()
        folder = base.joinpath(*parts)
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in above:
                continue
            names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        except OSError as error:
            yield "/".join(parts) or folder.name, Source(folder, problem=f"cannot be listed: {error.strerror}")
            continue
        above = above | {(facts.st_dev, facts.st_ino)}
        for name in names:
            path, here, problem = folder / name, (*parts, name), None
            mesh = mesh_format(path) is not None
            try:
                mode = os.stat(path).st_mode
            # A dangling link or one to itself; for other reasons (permission, a path too long) it may even be a folder.
            except OSError as error:
                mode, problem = stat.S_IFREG, error.strerror
                mesh = mesh or error.errno not in (errno.ENOENT, errno.ELOOP)
            if stat.S_ISDIR(mode):
                if pattern is None or _leads(here, pattern):
                    stack.append((here, above))
            # Not pipes and devices, which one could wait for.
            elif mesh and stat.S_ISREG(mode):
                if pattern is None or any(_matches(here[:k], pattern) for k in range(1, len(here) + 1)):
                    yield "/".join(here), Source(path, problem=problem)
            elif pattern is not None and archive_extension(path) and _matches(here, pattern):
                yield from ((f"{'/'.join(here)}/{inner}", source) for inner, source in _members(path))


def _members(path: Path) -> list[tuple[str, Source]]:
    """Mesh files in an archive."""
    try:
        members = list_members(path)
    except MeshError as error:
        return [(path.name, Source(path, problem=error.message))]
    except OSError as error:
        return [(path.name, Source(path, problem=str(error.strerror or error)))]
    chosen = []
    for member in members:
        name = PurePosixPath(member.name)
        if mesh_format(name) is not None and not any(part.startswith(".") and part != ".." for part in name.parts):
            chosen.append((member.name, Source(path, member, member.problem)))
    return chosen


def _split_pattern(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder before the first part with a wildcard, and the parts from there."""
    first = next(k for k, part in enumerate(path.parts) if set(part) & set("*?["))
    return Path(*path.parts[:first]), path.parts[first:]


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a relative path matches; "**" is any number of parts."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[k:], pattern[1:]) for k in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _leads(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether something below this folder could count."""
    if not parts or not pattern or pattern[0] == "**":
        return True
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _leads(parts[1:], pattern[1:])
