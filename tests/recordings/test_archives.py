"""Unpacking: complete, once, and never outside its folder."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from img2imu.errors import InputError
from img2imu.files import sha256_of
from img2imu.recordings import archives
from img2imu.recordings.archives import unpack
from img2imu.recordings.registry import open_source
from tests.recordings import samples


def tar(path: Path, *members: tuple[tarfile.TarInfo | str, bytes]) -> Path:
    mode = "w:" + {".gz": "gz", ".xz": "xz", ".bz2": "bz2"}.get(path.suffix, "")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_tar(tmp_path: Path, suffix: str) -> None:
    path = tar(tmp_path / f"a{suffix}", ("sub/x.txt", b"one"), ("./y.txt", b"two"))
    assert files(unpack(path, tmp_path / "c")) == {"sub/x.txt": b"one", "y.txt": b"two"}


def test_unpacked_once_under_its_hash(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", x_dot_txt=b"one")
    folder = unpack(path, tmp_path / "c")
    assert folder.name == sha256_of(path)[:16]
    before = folder.stat().st_ino
    assert unpack(path, tmp_path / "c") == folder
    assert folder.stat().st_ino == before
    assert unpack(zipped(tmp_path / "b.zip", x_dot_txt=b"two"), tmp_path / "c") != folder


def damage(kind: str, folder: Path) -> None:
    victim = folder / "sub" / "x.csv"
    if kind == "deleted":
        victim.unlink()
    elif kind == "truncated":
        victim.write_bytes(victim.read_bytes()[:2])
    elif kind == "flipped":
        victim.write_bytes(b"onE")
    elif kind == "added":
        (folder / "sub" / "z.csv").write_bytes(b"more")
    elif kind == "emptied":
        shutil.rmtree(folder)
        folder.mkdir()
    elif kind == "no manifest":
        folder.with_suffix(".json").unlink()
    else:
        folder.with_suffix(".json").write_text('{"files": {}, "checksum": 1}')


@pytest.mark.parametrize(
    "kind",
    ["deleted", "truncated", "flipped", "added", "emptied", "no manifest", "damaged manifest"],
)
def test_what_was_damaged_since_is_unpacked_again(tmp_path: Path, kind: str) -> None:
    content = {"sub/x.csv": b"one", "y é.csv": b"two"}
    path = tar(tmp_path / "a.tar", *content.items())
    folder = unpack(path, tmp_path / "c")
    before = folder.stat().st_ino
    damage(kind, folder)
    assert files(unpack(path, tmp_path / "c")) == content
    assert folder.stat().st_ino != before
    again = folder.stat().st_ino
    assert unpack(path, tmp_path / "c").stat().st_ino == again
    # Nothing else stays beside them.
    assert sorted(entry.name for entry in folder.parent.iterdir()) == [
        folder.name, f"{folder.name}.json"
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
def test_names_that_are_no_text_are_listed_too(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", ("y\udce9.csv", b"two"))
    folder = unpack(path, tmp_path / "c")
    before = folder.stat().st_ino
    assert unpack(path, tmp_path / "c").stat().st_ino == before


def test_odd_names(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", ("07:22 é.csv", b"one"), ("a..b/c", b"two"))
    assert files(unpack(path, tmp_path / "c")) == {"07:22 é.csv": b"one", "a..b/c": b"two"}
    with pytest.raises(InputError, match=r"b\.tar cannot be unpacked"):
        unpack(tar(tmp_path / "b.tar", ("a", b"file"), ("a/b", b"below it")), tmp_path / "c")


def test_archives_inside_are_unpacked_too(tmp_path: Path) -> None:
    samples.write_wisdm_2019(tmp_path / "data")
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        for path in (tmp_path / "data").rglob("*.txt"):
            archive.write(path, path.relative_to(tmp_path / "data"))
    outer = zipped(
        tmp_path / "outer.zip", readme_dot_pdf=b"%PDF", wisdm_dataset_dot_zip=inner.read_bytes()
    )
    assert len(list(open_source(outer).pieces())) == 2


@pytest.mark.parametrize(
    "name", ["../escape.txt", "/escape.txt", "a/../../escape.txt", "C:\\escape.txt"]
)
def test_paths_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"escape\.txt.* leads outside"):
        unpack(tar(tmp_path / "a.tar", ("ok.txt", b""), (name, b"x")), tmp_path / "c")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match=r"escape\.txt.* leads outside"):
        unpack(tmp_path / "a.zip", tmp_path / "c")
    assert not list(tmp_path.rglob("escape.txt"))
    assert not list((tmp_path / "c" / "unpacked").iterdir())  # nothing half-written


def test_zip_with_backslashes_cannot_escape(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("..\\escape.txt", b"x")
    with pytest.raises(InputError, match="leads outside"):
        unpack(tmp_path / "a.zip", tmp_path / "c")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(InputError, match="refused"):
        unpack(tar(tmp_path / "a.tar", (info, b"")), tmp_path / "c")


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz", ".zip"])
def test_a_truncated_archive_is_named_and_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    content = bytes(range(256)) * 500
    if suffix == ".zip":
        path = zipped(tmp_path / "a.zip", x=content)
    else:
        path = tar(tmp_path / f"a{suffix}", ("x", content))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"a{suffix} is truncated or damaged"):
        unpack(path, tmp_path / "c")
    assert not list((tmp_path / "c" / "unpacked").iterdir())


def test_a_full_disk_is_told_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="Not enough disk space"):
        unpack(zipped(tmp_path / "a.zip", x=b"eleven bytes"), tmp_path / "c")
