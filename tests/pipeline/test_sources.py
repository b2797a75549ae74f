"""Finding meshes: folders, links, patterns, archives; nothing is left out silently, nothing hostile gets through."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from gaugenet.errors import MeshError
from gaugenet.io import archives
from gaugenet.io.archives import ArchiveReader
from gaugenet.pipeline.batch import preprocess
from gaugenet.pipeline.process import ProcessParams
from gaugenet.pipeline.run_report import read_index
from gaugenet.pipeline.sources import find_meshes, parse_shard
from tests.helpers.corpus import sphere
from tests.helpers.pathological import obj, tree

posix = pytest.mark.skipif(sys.platform == "win32", reason="makes links, file names and deep folders that Windows refuses")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(*sources) -> list[str]:
    return list(find_meshes(sources))


def problems(*sources) -> dict[str, str]:
    return {name: source.problem for name, source in find_meshes(sources).items() if source.problem}


def test_patterns(tmp_path):
    touch(tmp_path, "a.off", "a.obj", "x/b.off", "x/y/c.off", "x/y/d.ply", "x/.hidden/e.off", "z/y/f.OFF", "x/readme.txt")
    assert names(tmp_path / "**" / "*.off") == ["a.off", "x/b.off", "x/y/c.off"]
    assert names(tmp_path / "*.off") == ["a.off"]
    assert names(tmp_path / "*" / "*.off") == ["x/b.off"]
    assert names(tmp_path / "x" / "**" / "*") == ["b.off", "y/c.off", "y/d.ply"]
    assert names(tmp_path / "*" / "y") == ["x/y/c.off", "x/y/d.ply", "z/y/f.OFF"]  # folders count with what is below
    assert names(tmp_path / "[xz]" / "y" / "[a-c].*") == ["x/y/c.off"]
    assert names(tmp_path / "x" / "?.off", tmp_path / "a.obj") == ["x/b.off", "a.obj"]
    assert names(tmp_path / "*.stl") == []
    with pytest.raises(FileNotFoundError, match="no folder"):
        names(tmp_path / "none" / "*.off")
    # A file whose name has wildcards in it is that file.
    touch(tmp_path, "odd[1]*.off")
    assert names(tmp_path / "odd[1]*.off") == ["odd[1]*.off"]


@posix
def test_links(tmp_path):
    touch(tmp_path, "real/a.obj", "elsewhere/b.obj")
    root = touch(tmp_path / "root", "c.obj")
    (root / "folder").symlink_to(tmp_path / "real")
    (root / "file.obj").symlink_to(tmp_path / "elsewhere" / "b.obj")
    (root / "loop").symlink_to(root)
    (root / "sub").mkdir()
    (root / "sub" / "up").symlink_to("..")
    (root / "dangling.obj").symlink_to("nowhere.obj")
    (root / "itself.obj").symlink_to("itself.obj")
    os.mkfifo(root / "pipe.obj")
    assert names(root) == ["c.obj", "dangling.obj", "file.obj", "folder/a.obj", "itself.obj"]
    assert names(root / "**" / "*.obj") == names(root)
    found = problems(root)
    assert found.keys() == {"dangling.obj", "itself.obj"} and "No such file" in found["dangling.obj"]
    # Two links to one folder are two sets of names.
    (root / "twin").symlink_to(tmp_path / "real")
    assert {"folder/a.obj", "twin/a.obj"} <= set(names(root))


@posix
def test_names_of_all_kinds(tmp_path):
    odd = [
        "größe/日本語.obj",
        "e\u0301/é.obj",
        "new\nline.obj",
        "sp ace/'quote\".obj",
        os.fsdecode(b"bytes\xff.obj"),
        "-rf.obj",
    ]
    for k, name in enumerate(odd):
        obj(tmp_path / "data" / name, sphere(1), scale=1.0 + k)
    summary = preprocess([tmp_path / "data"], tmp_path / "out", ProcessParams(rings=1), jobs=1)
    assert (summary.done, summary.failed) == (6, 0)
    index = read_index(tmp_path / "out")[1]
    assert sorted(index) == sorted(odd) and index[odd[0]]["label"] == "größe"
    assert preprocess([tmp_path / "data"], tmp_path / "out", ProcessParams(rings=1), jobs=1).skipped == 6


@pytest.fixture
def abyss(tmp_path):
    """A folder for trees so deep that pytest cannot remove them."""
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


@posix
def test_deep_trees(abyss):
    """Deeper than Python's recursion, and deeper than a path may be long."""
    here = os.getcwd()
    os.chdir(abyss)
    try:
        for _ in range(2100):
            os.mkdir("d")
            os.chdir("d")
        Path("lost.obj").write_text("x")
    finally:
        os.chdir(here)
    deep = abyss.joinpath(*["d"] * 1100)
    touch(deep, "a.obj")
    found = find_meshes([abyss])
    assert found["/".join(["d"] * 1100 + ["a.obj"])].problem is None
    # What cannot be reached is told, not passed over.
    assert [source.problem for source in found.values() if source.problem] == ["File name too long"]


def test_folders_without_permission(tmp_path, monkeypatch):
    touch(tmp_path, "open/a.obj", "shut/b.obj")
    plain = os.listdir

    def listdir(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert problems(tmp_path) == {"shut": "cannot be listed: Permission denied"}
    summary = preprocess([tmp_path / "shut"], tmp_path / "out", ProcessParams(rings=1))
    assert summary.failed == 1 and "Permission denied" in summary.meshes[0]["reason"]


def packed(folder: Path, target: Path) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder).as_posix())
    else:
        kind = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz", ".tar": ""}[target.suffix]
        with tarfile.open(target, f"w:{kind}") as archive:
            archive.add(folder, ".")
    return target


@pytest.fixture(scope="module")
def meshes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("meshes") / "set"
    for k in range(4):
        obj(root / f"class{k % 2}" / f"{k}.obj", sphere(1), scale=1.0 + k)
    return touch(root, "notes.txt", "class0/.hidden.obj")


@pytest.mark.parametrize("extension", archives.ARCHIVES)
def test_archives_are_read_in_place(meshes, tmp_path, extension):
    archive = packed(meshes, tmp_path / f"set{extension}")
    found, plain = find_meshes([archive]), find_meshes([meshes])
    assert sorted(found) == sorted(plain)
    reader = pickle.loads(pickle.dumps(ArchiveReader()))
    for name in [*found, *reversed(found)]:
        assert found[name].read(reader) == found[name].read() == plain[name].read()
    reader.close()
    assert sorted(find_meshes([archive, meshes])) == sorted(f"{top}/{name}" for top in (archive.name, "set") for name in plain)
    assert sorted(find_meshes([tmp_path / "*"])) == sorted(f"set{extension}/{name}" for name in plain)
    assert names(tmp_path) == []  # an archive inside of a folder does not count: it may be the folder's own source


@pytest.mark.parametrize("extension", [".zip", ".tar.gz"])
def test_records_of_an_archive(meshes, tmp_path, extension):
    archive = packed(meshes, tmp_path / f"set{extension}")
    before = tree(tmp_path)
    out, params = tmp_path / "out", ProcessParams(rings=1)
    assert preprocess([archive], out, params, jobs=2).done == 4
    assert before.items() <= tree(tmp_path).items() and {p.name for p in tmp_path.iterdir()} == {archive.name, "out"}
    index = read_index(out)[1]
    assert index["class1/3.obj"]["label"] == "class1"
    # By content they are the files of the folder.
    assert preprocess([meshes], out, params, jobs=1).skipped == 4


def test_label_of_an_archive_of_one_class(meshes, tmp_path):
    (tmp_path / "in").mkdir()
    packed(meshes / "class0", tmp_path / "in" / "cats.tar.gz")
    preprocess([tmp_path / "in" / "*"], tmp_path / "out", ProcessParams(rings=1), jobs=1)
    assert {entry["label"] for entry in read_index(tmp_path / "out")[1].values()} == {"cats"}


def with_members(target: Path, *members: tuple[str, bytes] | tarfile.TarInfo) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
    else:
        with tarfile.open(target, "w:gz") as archive:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                else:
                    info = tarfile.TarInfo(member[0])
                    info.size = len(member[1])
                    archive.addfile(info, io.BytesIO(member[1]))
    return target


@pytest.mark.parametrize("extension", [".zip", ".tar.gz"])
def test_names_that_lead_out(tmp_path, extension):
    hostile = ["../up.obj", "a/../../up.obj", "/abs.obj", "..\\win.obj", "C:\\win.obj"]
    archive = with_members(tmp_path / f"a{extension}", *[(name, b"x") for name in [*hostile, "good.obj"]])
    found = find_meshes([archive])
    assert len(found) == 6 and found["good.obj"].read() == b"x"
    bad = [source for name, source in found.items() if name != "good.obj"]
    assert all("leads out" in source.problem for source in bad)
    with pytest.raises(MeshError, match="leads out"):
        bad[0].read()
    assert [p.name for p in tmp_path.iterdir()] == [archive.name]


def test_links_inside_of_archives(tmp_path):
    members = []
    for kind, name in ((tarfile.SYMTYPE, "soft.obj"), (tarfile.LNKTYPE, "hard.obj"), (tarfile.CHRTYPE, "device.obj")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        members.append(info)
    assert set(problems(with_members(tmp_path / "a.tar.gz", *members))) == {"soft.obj", "hard.obj", "device.obj"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("soft.obj")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert "link" in problems(tmp_path / "a.zip")["soft.obj"]


@pytest.mark.parametrize("extension", [".zip", ".tar.gz", ".tar.xz"])
def test_bombs(tmp_path, monkeypatch, extension):
    """An archive that unpacks to a thousand times its size, with the limits brought down to what a test may take."""
    monkeypatch.setattr(archives, "_SMALL", 2**20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.obj").write_bytes(bytes(2**24))
    archive = packed(tmp_path / "in", tmp_path / f"bomb{extension}")
    assert archive.stat().st_size < 2**16
    ((name, problem),) = problems(archive).items()
    assert name == archive.name and "unpacks to more than" in problem
    monkeypatch.setattr(archives, "_SMALL", 2**30)
    monkeypatch.setattr(archives, "_MOST_BYTES", 2**20)
    assert "unpacks to 16777216 bytes" in problems(archive)["a.obj"]


def test_a_zip_that_lies_about_a_size(tmp_path):
    """The declared size is all that is ever unpacked."""
    archive = with_members(tmp_path / "a.zip", ("a.obj", b"v 0 0 0\n" * 1000))
    data = archive.read_bytes().replace((8000).to_bytes(4, "little"), (80).to_bytes(4, "little"))
    archive.write_bytes(data)
    with pytest.raises(MeshError, match=r"a\.zip"):
        find_meshes([archive])["a.obj"].read()


def test_a_tar_with_a_huge_header(tmp_path):
    info = tarfile.TarInfo("a.obj")
    info.type, info.size = tarfile.XHDTYPE, 2**40
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(2**12))
    assert problems(tmp_path / "a.tar").keys() == {"a.tar"}


@pytest.mark.parametrize("extension", archives.ARCHIVES)
def test_damaged_archives(meshes, tmp_path, extension):
    whole = packed(meshes, tmp_path / f"whole{extension}").read_bytes()
    path = tmp_path / f"a{extension}"
    for data in (b"", b"garbage" * 100, whole[: len(whole) // 2], whole[:-30] if extension == ".zip" else whole[:300]):
        path.write_bytes(data)
        for name, source in find_meshes([path]).items():
            try:
                source.read()
            except MeshError as error:
                assert str(path) in str(error), name
    # Flipped bits: another answer or an error of ours, never another exception.
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        broken = bytearray(whole)
        broken[at] ^= 0x55
        path.write_bytes(broken)
        for source in find_meshes([path]).values():
            try:
                source.read()
            except MeshError:
                continue


def test_encrypted_members(tmp_path):
    archive = with_members(tmp_path / "a.zip", ("a.obj", b"x"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert problems(archive) == {"a.obj": "encrypted"}


def test_the_later_of_two_members_counts(tmp_path):
    archive = with_members(tmp_path / "a.tar.gz", ("a.obj", b"old"), ("a.obj", b"new"))
    assert find_meshes([archive])["a.obj"].read() == b"new"


def test_shards():
    assert parse_shard("0/1") == (0, 1) and parse_shard("7/8") == (7, 8)
    with pytest.raises(ValueError, match=r"count from 0 to 7.*--array=0-7"):
        parse_shard("8/8")
