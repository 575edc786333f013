"""What is kept to be found again: how large it is, what goes first, and what killed processes left.

Entries lie in folders of the cache by kind; each is a file or a folder, touched when it is used.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files import cache_folder

KINDS = ("features", "answers", "finetune", "unpacked", "downloads")
"""Folders of the cache; what was downloaded goes only when it is asked for."""

LIMIT = 20.0
"""GB that are kept where ``IMG2IMU_CACHE_LIMIT`` does not say otherwise."""

RECENT = 86400.0
"""Seconds without use before which nothing goes: another process may be at work with it."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache.

    Attributes
    ----------
    path
        Where it lies.
    size
        In bytes, with all that is in it.
    used
        When it was made or last used, in seconds since 1970.
    """

    path: Path
    size: int
    used: float

    @classmethod
    def at(cls, path: Path) -> Entry:
        """As it is now; what vanishes meanwhile counts as nothing."""
        size, used = 0, 0.0
        for each in (path, *path.rglob("*")):
            with suppress(OSError):
                found = each.lstat()
                size += found.st_size if not each.is_dir() else 0
                used = max(used, found.st_mtime)
        return cls(path, size, used)

    @property
    def left_over(self) -> bool:
        """Whether a process began it and did not end it; such names are hidden."""
        return self.path.name.startswith(".")

    def remove(self) -> None:
        """Away with it, as far as the system allows."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            with suppress(OSError):
                self.path.unlink()


def entries(kind: str) -> list[Entry]:
    """What the cache holds of a kind, by name."""
    folder = cache_folder() / kind
    return [Entry.at(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def used(path: Path) -> None:
    """Note that an entry was of use just now."""
    with suppress(OSError):
        os.utime(path)


def limit() -> float:
    """Bytes that may be kept.

    Raises
    ------
    InputError
        If ``IMG2IMU_CACHE_LIMIT`` is no number of GB.
    """
    text = os.environ.get("IMG2IMU_CACHE_LIMIT", "")
    try:
        wanted = float(text) if text else LIMIT
    except ValueError:
        wanted = -1.0
    if not wanted >= 0:
        raise InputError(f"IMG2IMU_CACHE_LIMIT must be a number of GB, not {text!r}")
    return wanted * 1e9


def tidy() -> list[Entry]:
    """Remove what is left over, and what was not used for longest while there is too much.

    Nothing goes that was used within the last day, and no download. What went is returned.
    """
    before = time.time() - RECENT
    found = [entry for kind in KINDS for entry in entries(kind)]
    going = [entry for entry in found if entry.left_over and entry.used < before]
    spare = sum(entry.size for entry in found) - sum(entry.size for entry in going) - limit()
    for entry in sorted(found, key=lambda entry: entry.used):
        kept = entry.left_over or entry.path.parent.name == "downloads" or entry.used >= before
        if spare > 0 and not kept:
            going.append(entry)
            spare -= entry.size
    for entry in going:
        entry.remove()
    return going


def clear(kinds: Sequence[str]) -> list[Entry]:
    """Remove all of some kinds, in use or not; what went is returned."""
    going = [entry for kind in kinds for entry in entries(kind)]
    for entry in going:
        entry.remove()
    return going
