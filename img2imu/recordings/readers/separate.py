"""Which files are one recording, where each sensor has a file of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ..sensors import UNIT_OF
from .columns import plain, sensor_of


def recordings_of(
    names: Mapping[Path, str], pattern: re.Pattern[str]
) -> dict[str, dict[str, Path]]:
    """The file of each sensor, by recording: the names without what `pattern` takes for a sensor.

    Of an accelerometer, files with gravity rather than without. Those of other sensors than
    :data:`UNIT_OF` are left out.

    Parameters
    ----------
    names
        Of the files, below the folder.
    pattern
        Has a group ``sensor``; all names match.

    Raises
    ------
    InputError
        If a recording has several files of a sensor.
    """
    found: dict[str, dict[str, tuple[int, Path]]] = {}
    for path, name in names.items():
        match = pattern.search(name)
        assert match is not None
        sensor, rank = _sensor(match["sensor"])
        if sensor is None:
            continue
        files = found.setdefault(
            f"{name[: match.start('sensor')]}*{name[match.end('sensor') :]}", {}
        )
        before = files.get(sensor, (rank + 1, path))
        if before[0] == rank:
            raise InputError(
                f"{before[1]} and {path} are both of {sensor}, in one recording: tell them apart "
                "by --path-pattern"
            )
        files[sensor] = min(before, (rank, path))
    return {
        recording: {sensor: path for sensor, (_, path) in files.items()}
        for recording, files in found.items()
    }


def _sensor(text: str) -> tuple[str | None, int]:
    """The sensor that a part of a path stands for, and after how many others it is taken."""
    if text.rpartition(".")[2] in UNIT_OF:
        return text, 0
    kind, _ = sensor_of(plain(text)) or ("other", 0)
    if kind == "linear":
        return "accel", 2
    return (kind if kind in UNIT_OF else None), int("total" not in text.lower())
