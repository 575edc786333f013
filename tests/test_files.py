"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from img2imu.errors import InputError
from img2imu.files import appearing, claimed, writable, write_text, writing


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


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with writing(path) as partial:
        partial.write_text("first")
        with pytest.raises(InputError, match=r"another process is writing .*report\.json"):
            write_text(path, "second")
        writable(path)  # looks, and touches nothing
    assert path.read_text() == "first"
    write_text(path, "third")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_what_a_killed_process_wrote_of_a_file_is_gone(tmp_path: Path) -> None:
    (tmp_path / ".partial-log.txt").write_text("half of a long line")
    with writing(tmp_path / "log.txt") as partial, partial.open("a") as stream:
        stream.write("new")
    assert (tmp_path / "log.txt").read_text() == "new"


def test_a_failure_leaves_no_folders_above(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(ZeroDivisionError), appearing(tmp_path / "kept" / "a" / "b" / "out"):
        raise ZeroDivisionError
    assert [entry.name for entry in tmp_path.rglob("*")] == ["kept"]
    with claimed(tmp_path / "new" / "model"):
        (tmp_path / "new" / "model").mkdir()
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["model"]


@pytest.mark.parametrize(
    "command",
    [
        ["convert", "{data}", "-o", "{out}"],
        ["predict", "model", "{data}", "-o", "{out}"],
        ["fit", "{data}", "-o", "{out}"],
        ["probe", "{data}", "--model", "{out}"],
        ["finetune", "{data}", "--model", "{out}"],
        ["study", "table2", "{data}", "-o", "{out}"],
        ["quickstart", "-o", "{out}"],
    ],
    ids=lambda command: command[0],
)
def test_the_second_of_two_commands_is_told(tmp_path, refused, command):  # type: ignore[no-untyped-def]
    places = {"data": tmp_path / "none.npz", "out": tmp_path / "out"}
    words = [word.format(**places) for word in command]
    with claimed(tmp_path / "out"):
        said = refused(*words)
        assert f"another process is at work in {tmp_path / 'out'}" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["nowhere/file", ".", "/proc/self/mem"])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_text(tmp_path / place, "text")
