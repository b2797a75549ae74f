"""Files that many processes write and that survive kill -9: whole files, appended lines, a lock."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["append_line", "locked", "sweep_temporary", "write_atomic"]

# A temporary file of another machine, whose processes we cannot see, is given up after so many seconds.
_ABANDONED = 86400.0


def write_atomic(path: str | os.PathLike, data: bytes | Sequence[bytes | memoryview]) -> None:
    """Write a file that is there whole or not at all, also across a crash: temporary name, fsync, rename, fsync of folder.

    Args:
        path: the file.
        data: its bytes, or pieces of them.
    """
    path = Path(path)
    # Machines with a common folder may have processes of equal number.
    temporary = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # "No space left on device" comes without the name of the file.
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = os.fspath(path)
        raise
    # Not every platform can open a folder; the rename is atomic all the same.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sweep_temporary(folder: str | os.PathLike, pid: int | None = None) -> None:
    """Remove what write_atomic left in a folder when its process was killed.

    Args:
        folder: where to look.
        pid: of a process of this machine that is known to have ended; by default files of all processes that have ended, and
            those of other machines that are a day old.
    """
    for path in Path(folder).glob(".*.tmp"):
        found = re.fullmatch(r"\..*\.([^.]+)-(\d+)-[0-9a-f]{8}\.tmp", path.name)
        if found is None:
            continue
        ours, owner = found[1] == _host(), int(found[2])
        with contextlib.suppress(OSError):
            if (ours and (owner == pid if pid is not None else not _alive(owner))) or (
                pid is None and not ours and time.time() - path.stat().st_mtime > _ABANDONED
            ):
                path.unlink()


def append_line(file: int, line: bytes) -> None:
    """Append a line to a file that other processes append to as well: one write, with flock for the sake of network folders.

    The file itself is what is locked, so that nothing new has to be made on a full disk.

    Args:
        file: descriptor opened with O_RDWR | O_APPEND.
        line: without its end. A half line that an earlier writer left (a full disk) is closed first.

    Raises:
        OSError: it could not be written whole.
    """
    with contextlib.suppress(ImportError, OSError):  # Windows, and file systems without locks
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        size = os.fstat(file).st_size
        torn = size > 0 and hasattr(os, "pread") and os.pread(file, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + line + b"\n"
        while data:
            data = data[os.write(file, data) :]
    finally:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Hold the lock of a file, by filelock; it is free when the process ends, in whatever way. The file may remain.

    Raises:
        OSError: the file cannot be opened for writing.
    """
    from filelock import FileLock

    lock = FileLock(path, mode=0o666)
    # Early versions of filelock refuse file systems without locks (some Lustre mounts), later ones do without them.
    with contextlib.suppress(NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _host() -> str:
    """This machine's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname()) or "host"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # It is there, but someone else's; or this platform does not know.
    except OSError:
        return True
    return True
