"""Files and folders that appear whole or not at all, and where what can be redone is kept."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import InputError

AnyPath = str | os.PathLike[str]


def cache_folder() -> Path:
    """``$IMG2IMU_CACHE``, else ``img2imu`` in the user's cache folder.

    For what can be computed or downloaded again.
    """
    if os.environ.get("IMG2IMU_CACHE"):
        return Path(os.environ["IMG2IMU_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "img2imu"


def sha256_of(path: AnyPath) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def writing(path: AnyPath) -> Iterator[Path]:
    """A hidden name beside `path` to write to, which becomes `path` once all has worked.

    It keeps the ending, by which many libraries choose what they write. Killed before the end, a
    file that was there before stays as it was. A link stays a link, and a device such as
    ``/dev/null`` a device: what is no file is written to as it is.

    Raises
    ------
    InputError
        If no file can be written at `path`, or another process is writing one there.
    """
    target = writable(path)
    if _is_device(target):
        yield target
        return
    target = Path(os.path.realpath(target))
    partial = _partial(target)
    with partial.open("ab") as held:
        _require_alone(held, target)
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def writable(path: AnyPath) -> Path:
    """`path`, or :class:`InputError` if no file can be written there."""
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder, give the name of a file")
    if not _is_device(target):
        # Nobody but the system itself knows all reasons why not.
        real = Path(os.path.realpath(target))
        trial = real.with_name(f".partial-{os.getpid()}-{real.name}")
        try:
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}") from None
    return target


def _require_alone(held: IO[bytes], target: Path) -> None:
    """Lock the open file until it is closed, or raise :class:`InputError`."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another process is writing {target}: wait for it") from None
    except OSError:
        pass  # a file system that knows no locks
    held.truncate(0)  # what a killed process left


def _is_device(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _partial(target: Path) -> Path:
    return target.with_name(f".partial-{target.name}")


def write_text(path: AnyPath, text: str) -> None:
    """Write `text`, in UTF-8."""
    with writing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: AnyPath, value: Any) -> None:
    """Write `value` as JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: AnyPath, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as CSV; what a row lacks stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A hidden folder to write to, whose entries move to `folder` once all has worked.

    What a killed process left there is cleared by the next one.

    Raises
    ------
    InputError
        If `folder` is a file, or another process is writing to it.
    """
    with claimed(folder) as partial:
        scratch = partial / "new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        yield scratch
        folder.mkdir(exist_ok=True)
        for entry in scratch.iterdir():
            target = folder / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A hidden folder beside `folder`, which keeps other commands from writing there meanwhile.

    Raises
    ------
    InputError
        If `folder` is a file, cannot be written, or another process is writing to it.
    """
    require_folder(folder)
    # A name such as "." or ".." does not say where the folder lies.
    folder = Path(os.path.realpath(folder))
    partial = folder.parent / f".partial-{folder.name}"
    made = [parent for parent in partial.parents if not parent.exists()]
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with locked(partial, folder):
            try:
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    finally:
        for parent in made:
            with suppress(OSError):  # it holds something now
                parent.rmdir()


def require_folder(path: Path) -> None:
    """Raise :class:`InputError` if `path` is something else than a folder, or one to be made."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: give a folder to write to")


@contextmanager
def locked(folder: Path, told: Path | None = None) -> Iterator[None]:
    """Keep every other process out of `folder`, which must exist; a killed one lets go.

    `told` is what the error calls it.

    Raises
    ------
    InputError
        If another process is at work there.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout:
        raise InputError(
            f"another process is at work in {told or folder}: wait for it, or give another folder"
        ) from None
