"""Unpacking: what is in the archive and nothing else, once; nothing hostile gets through."""

from __future__ import annotations

import io
import tarfile

import pytest

from gaugenet.data.datasets import archives
from gaugenet.data.datasets.archives import unpack
from gaugenet.errors import GaugenetError


def packed(path, *members: tuple[str, bytes] | tarfile.TarInfo):
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            info, data = (member, b"") if isinstance(member, tarfile.TarInfo) else (tarfile.TarInfo(member[0]), member[1])
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_once(tmp_path, monkeypatch):
    archive = packed(tmp_path / "a.tar.gz", ("shrec/cat/1.obj", b"v 0 0 0"), ("shrec/2.obj", b"2" * 5000))
    folder = unpack(archive, tmp_path / "out")
    assert (folder / "shrec/cat/1.obj").read_bytes() == b"v 0 0 0" and (folder / "shrec/2.obj").stat().st_size == 5000
    assert [p.name for p in (tmp_path / "out").iterdir()] == [folder.name]
    (folder / "mark").touch()
    assert unpack(archive, tmp_path / "out") == folder and (folder / "mark").exists()
    monkeypatch.setattr(archives, "cache_folder", lambda: tmp_path / "cache")
    assert unpack(archive).parent == tmp_path / "cache" / "archives"


HOSTILE = {
    "above": ("../a.obj", b"x"),
    "soft link": special("a.obj", tarfile.SYMTYPE, "../../secret"),
    "hard link": special("a.obj", tarfile.LNKTYPE, "../secret"),
    "device": special("a.obj", tarfile.CHRTYPE),
    "pipe": special("a.obj", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile(kind, tmp_path):
    archive = packed(tmp_path / "a.tar.gz", ("good.obj", b"v"), HOSTILE[kind])
    with pytest.raises(GaugenetError, match=r"a\.tar\.gz: damaged, hostile or not"):
        unpack(archive, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir()) and sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "out"]


def test_too_large_and_damaged(tmp_path):
    archive = packed(tmp_path / "a.tar.gz", ("a", b"x" * 600), ("b", b"x" * 600))
    with pytest.raises(GaugenetError, match="more than 1000 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=1000)
    assert not any((tmp_path / "out").iterdir())
    data = archive.read_bytes()
    for damaged in (b"", b"no archive" * 100, data[: len(data) // 2], data[:30] + bytes([data[30] ^ 255]) + data[31:]):
        archive.write_bytes(damaged)
        with pytest.raises(GaugenetError, match=r"a\.tar\.gz: damaged"):
            unpack(archive, tmp_path / "out")
