"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from img2imu.errors import InputError
from img2imu.files import appearing, write_text, writing


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), writing(path) as partial:
        partial.write_text("half of the new")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    """As ``/dev/null`` and ``/dev/stdout``, which the user of a container may replace."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "report")
    reader.join(timeout=10)
    assert read == ["report"]
    assert pipe.is_fifo()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link, file = tmp_path / "link", tmp_path / "kept" / "file"
    file.write_text("old")
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_what_others_may_do_is_up_to_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "file", "text")
        with appearing(tmp_path / "folder") as scratch:
            (scratch / "inner").write_text("text")
    finally:
        os.umask(before)
    for path in (tmp_path / "file", tmp_path / "folder" / "inner"):
        assert path.stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~mask


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    killed = """
import os, sys
from pathlib import Path
from img2imu.files import appearing
with appearing(Path(sys.argv[1])) as scratch:
    (scratch / "half").write_text("half")
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "out")])
    assert done.returncode == -9
    assert [entry.name for entry in tmp_path.iterdir()] == [".partial-out"]
    with appearing(tmp_path / "out") as scratch:
        (scratch / "whole").write_text("whole")
    assert [str(e.relative_to(tmp_path)) for e in sorted(tmp_path.rglob("*"))] == [
        "out", "out/whole",
    ]  # fmt: skip


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    with appearing(tmp_path / "out") as scratch:
        (scratch / "file").write_text("first")
        with (
            pytest.raises(InputError, match="another process"),
            appearing(tmp_path / "out") as second,
        ):
            (second / "file").write_text("second")
    assert (tmp_path / "out" / "file").read_text() == "first"


@pytest.mark.parametrize("place", ["nowhere/file", ".", "/proc/self/mem"])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / place, "text")
