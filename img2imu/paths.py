"""Where the toolkit keeps and puts things."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


def cache_folder() -> Path:
    """``$IMG2IMU_CACHE``, else ``img2imu`` in the user's cache folder.

    For what can be computed or downloaded again.
    """
    if os.environ.get("IMG2IMU_CACHE"):
        return Path(os.environ["IMG2IMU_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "img2imu"


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A hidden folder to write to, whose entries move to `folder` once all has worked.

    Raises
    ------
    InputError
        If `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder to write to")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        yield Path(scratch)
        folder.mkdir(exist_ok=True)
        for entry in Path(scratch).iterdir():
            target = folder / entry.name
            if target.is_dir():
                shutil.rmtree(target)
            entry.replace(target)
