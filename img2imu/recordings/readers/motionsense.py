"""MotionSense (Malekzadeh et al. 2019): iPhone in the front trouser pocket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..types import Piece
from .base import Reader, columns_to_g, find_files
from .text import Layout

ACTIVITIES = {
    "dws": "downstairs",
    "ups": "upstairs",
    "wlk": "walking",
    "jog": "jogging",
    "sit": "sitting",
    "std": "standing",
}

_OTHER_SENSORS = ("A_DeviceMotion_data", "C_Gyroscope_data")
_LAYOUT = Layout(("row", "x", "y", "z"), {"x": "float", "y": "float", "z": "float"})


class MotionSense(Reader):
    """Files ``B_Accelerometer_data/dws_1/sub_1.csv`` of 24 subjects and 6 activities, 50 Hz.

    Columns are an unnamed row number and x, y, z in g with gravity. There are no timestamps: a
    row's time is its number over 50 Hz. A file (trial) is one recording.
    """

    name = "motionsense"
    rate = 50.0

    def _files(self) -> list[Path]:
        files = find_files(self.path, "???_*/sub_*.csv", self.name)
        return [file for file in files if file.parent.parent.name not in _OTHER_SENSORS]

    def _read_file(self, path: Path) -> Iterator[Piece]:
        code, subject = path.parent.name[:3], re.fullmatch(r"sub_(\d+)", path.stem)
        if code not in ACTIVITIES or not subject:
            raise InputError(
                f"{path} is not named like a MotionSense file (dws_1/sub_1.csv; activities "
                f"{', '.join(ACTIVITIES)})"
            )
        read = 0
        for rows in self._rows(path, _LAYOUT, skip_lines=1):
            time = (rows.index + read) / self.rate
            read += rows.rows
            labels = np.full(len(rows), ACTIVITIES[code], dtype=object)
            values = columns_to_g(rows, ("x", "y", "z"), 1.0)
            recording = f"{path.parent.name}/{path.name}"
            yield from self._pieces(subject[1], recording, time, values, labels)
