"""A training's whole state on disk: written whole or not at all, read without running code."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..files import writing
from ..settings import require

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a disk says that takes no more, or no more of somebody, or of a file."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` by `state`; the old one stays until the new one is complete.

    Raises
    ------
    InputError
        If the disk is full.
    """
    with full_disk_told(path.parent), writing(path) as partial, partial.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Tell in one sentence that `folder` can take no more.

    Raises
    ------
    InputError
        If the disk or somebody's share of it is full, or a file as large as one may be.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        # torch's writer raises an error of its own while it handles that of the disk.
        while cause and getattr(cause, "errno", None) not in FULL:
            cause = cause.__context__
        if cause is None:
            raise
        raise InputError(
            f"the disk of {folder} is full: the last checkpoint is kept, free some space and "
            "repeat the command"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """What :func:`save` wrote, on the CPU; nothing but tensors and plain values is read.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        _require_whole(path)
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        # zipfile, the unpickler and torch each have exceptions of their own for damage.
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InputError(f"{path} cannot be read as a checkpoint: {reason}") from None


def _require_whole(path: Path) -> None:
    """Compare every record with its checksum, which torch does not."""
    with zipfile.ZipFile(path) as archive:
        packed = [info for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        # None of torch's own is, and what a packed one grows to nobody knows.
        require(not packed, "a record is compressed")
        damaged = archive.testzip()
        require(damaged is None, f"{damaged} differs from its checksum")
