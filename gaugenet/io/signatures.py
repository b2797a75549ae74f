"""What the first bytes of a file say that it is, where that is not what its name says."""

from __future__ import annotations

_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_LFS, _ANNEX = b"version https://git-lfs", (b"/annex/objects/", b"../.git/annex/objects/", b".git/annex/objects/")
_BINARY = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "compressed with gzip",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}


def without_mark(data: bytes) -> bytes:
    """The bytes without the byte-order mark that some editors put before text."""
    return data[len(_UTF8) :] if data.startswith(_UTF8) else data


def stranger(data: bytes) -> str | None:
    """What to tell of a file that holds something else: a pointer to it, text in UTF-16, an archive; None of all others."""
    if data.startswith(_LFS):
        return "this is a Git LFS pointer, the file itself was not downloaded: run `git lfs pull` in its repository"
    if data.startswith(_ANNEX) and len(data) < 4096:
        return "this is a git-annex pointer, the file itself was not downloaded: run `git annex get` in its repository"
    if data.startswith(_UTF16):
        return "text in UTF-16: save it as UTF-8"
    return next((f"this is {what}, not what its name says" for mark, what in _BINARY.items() if data.startswith(mark)), None)
