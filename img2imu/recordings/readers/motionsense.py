"""MotionSense (Malekzadeh et al. 2019): iPhone in the front trouser pocket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..sensors import ACCELEROMETER, as_sensors, axes_of
from ..types import Piece
from .base import Reader, columns_to_g, find_files
from .text import Layout, Rows

ACTIVITIES = {
    "dws": "downstairs",
    "ups": "upstairs",
    "wlk": "walking",
    "jog": "jogging",
    "sit": "sitting",
    "std": "standing",
}

RECORDED = ("accel", "gyro")
"""Sensors of the device-motion files."""

_ACCELERATION, _MOTION, _ROTATION = (
    "B_Accelerometer_data",
    "A_DeviceMotion_data",
    "C_Gyroscope_data",
)
_AXES = ("x", "y", "z")
_LAYOUT = Layout(("row", *_AXES), dict.fromkeys(_AXES, "float"))
_GRAVITY, _ROTATING, _OWN = (
    tuple(f"{what}.{axis}" for axis in _AXES)
    for what in ("gravity", "rotationRate", "userAcceleration")
)
_MOTION_LAYOUT = Layout(
    ("row", *(f"attitude.{a}" for a in ("roll", "pitch", "yaw")), *_GRAVITY, *_ROTATING, *_OWN),
    dict.fromkeys((*_GRAVITY, *_ROTATING, *_OWN), "float"),
)


class MotionSense(Reader):
    """Files ``B_Accelerometer_data/dws_1/sub_1.csv`` of 24 subjects and 6 activities, 50 Hz.

    Columns are an unnamed row number and x, y, z in g with gravity. There are no timestamps: a
    row's time is its number over 50 Hz. A file (trial) is one recording.

    With a gyroscope the files of ``A_DeviceMotion_data`` are read instead: acceleration is the sum
    of their ``gravity`` and ``userAcceleration`` in g, rotation their ``rotationRate`` in rad/s.

    Parameters
    ----------
    path
        A folder that holds the official folders anywhere below it, or one such file.
    sensors
        ``accel`` (the default), ``gyro``, both, or ``all``.
    """

    name = "motionsense"
    rate = 50.0

    def __init__(self, path: str | Path, sensors: Sequence[str] | None = None) -> None:
        super().__init__(path)
        wanted = ACCELEROMETER if sensors is None else tuple(sensors)
        self.sensors = RECORDED if wanted == ("all",) else as_sensors(wanted)
        self._axes = axes_of(RECORDED, self.sensors)

    def _files(self) -> list[Path]:
        wanted = _ACCELERATION if self.sensors == ACCELEROMETER else _MOTION
        others = {_ACCELERATION, _MOTION, _ROTATION} - {wanted}
        files = find_files(self.path, "???_*/sub_*.csv", self.name)
        files = [file for file in files if file.parent.parent.name not in others]
        if not files:
            raise InputError(f"{self.path} holds no files of {wanted}")
        return files

    def _read_file(self, path: Path) -> Iterator[Piece]:
        code, subject = path.parent.name[:3], re.fullmatch(r"sub_(\d+)", path.stem)
        if code not in ACTIVITIES or not subject:
            raise InputError(
                f"{path} is not named like a MotionSense file (dws_1/sub_1.csv; activities "
                f"{', '.join(ACTIVITIES)})"
            )
        read = 0
        layout = _LAYOUT if self.sensors == ACCELEROMETER else _MOTION_LAYOUT
        for rows in self._rows(path, layout, skip_lines=1):
            time = (rows.index + read) / self.rate
            read += rows.rows
            labels = np.full(len(rows), ACTIVITIES[code], dtype=object)
            values = columns_to_g(rows, _AXES, 1.0) if layout is _LAYOUT else self._motion(rows)
            recording = f"{path.parent.name}/{path.name}"
            yield from self._pieces(subject[1], recording, time, values, labels)

    def _motion(self, rows: Rows) -> NDArray[np.float64]:
        gravity, rotation, own = (
            columns_to_g(rows, names, 1.0) for names in (_GRAVITY, _ROTATING, _OWN)
        )
        return np.concatenate([gravity + own, rotation], axis=1)[:, self._axes]
