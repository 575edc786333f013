"""PVS, passive vehicular sensors data sets (Menegazzo and von Wangenheim 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..sensors import ACCELEROMETER, axis_names, placed
from ..types import UNLABELLED, Piece
from .base import (
    Reader,
    find_files,
    per_sensor,
    require,
)
from .tables import CsvTable, require_columns
from .units import OF_KIND

PLACEMENTS = ("dashboard", "above_suspension", "below_suspension")
SIDES = ("left", "right")

MEASURED = {"accel": ("acc", "m/s2"), "gyro": ("gyro", "deg/s"), "magn": ("mag", "uT")}
"""Columns and unit of each kind of sensor; there is no magnetometer below the suspension."""

TASKS = {
    "surface": {"asphalt_road": "asphalt", "cobblestone_road": "cobblestone", "dirt_road": "dirt"},
    "pavement": {"paved_road": "paved", "unpaved_road": "unpaved"},
    "speed-bump": {
        "no_speed_bump": "none",
        "speed_bump_asphalt": "asphalt",
        "speed_bump_cobblestone": "cobblestone",
    },
    "quality": {"good_road_{side}": "good", "regular_road_{side}": "regular"}
    | {"bad_road_{side}": "bad"},
}
"""Columns of ``dataset_labels.csv`` by task, and the class each stands for."""


class Pvs(Reader):
    """Nine trips ``PVS 1`` to ``PVS 9`` of three drivers, each in a car of their own, 100 Hz.

    Reads ``dataset_gps_mpu_left.csv`` (or right; timestamps in s, acceleration in m/s², rotation in
    degrees per second, magnetic field in µT) and, row for row, ``dataset_labels.csv`` (one-hot). A
    trip is one recording, its driver the subject: ``driver-1`` drove PVS 1 to 3, and so on.

    Parameters
    ----------
    path
        Folder that holds the trips' folders anywhere below it.
    placement
        ``dashboard``, ``above_suspension`` or ``below_suspension``.
    side
        ``left`` or ``right`` end of the front axle.
    task
        ``surface`` (asphalt, cobblestone, dirt), ``pavement``, ``speed-bump`` or ``quality``.
    sensors
        ``accel`` (the default), ``gyro`` and ``magn`` of that placement, or of any, as in
        ``above_suspension.gyro``; ``all`` is the three. A row counts only where each has a value.
    """

    name = "pvs"
    rate = 100.0

    def __init__(
        self,
        path: str | Path,
        placement: str = "dashboard",
        side: str = "left",
        task: str = "surface",
        sensors: Sequence[str] | None = None,
    ) -> None:
        super().__init__(path)
        require(
            {"placement": placement, "side": side, "task": task},
            {"placement": PLACEMENTS, "side": SIDES, "task": tuple(TASKS)},
        )
        self.placement, self.side = placement, side
        places = placed(sensors or ACCELEROMETER, tuple(MEASURED), placement, PLACEMENTS)
        self.sensors, self._columns, self._per_unit = tuple(places), {}, {}
        for name, (place, kind) in places.items():
            column, unit = MEASURED[kind]
            self._per_unit[name] = OF_KIND[kind][unit]
            for role, axis in zip(axis_names((name,)), "xyz", strict=True):
                self._columns[role] = f"{column}_{axis}_{place}"
        self.classes = {column.format(side=side): name for column, name in TASKS[task].items()}

    def _files(self) -> list[Path]:
        return find_files(self.path, f"dataset_gps_mpu_{self.side}.csv", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        trip = re.fullmatch(r"PVS[ _-]?([1-9])", path.resolve().parent.name)
        if not trip:
            raise InputError(
                f"{path} must lie in a folder named PVS 1 to PVS 9: it tells the driver"
            )
        labels = self._labels(path.with_name("dataset_labels.csv"))
        table = CsvTable(path)
        chosen = self._columns | {"time": "timestamp"}
        require_columns(path, table.names, chosen.values())
        driver = f"driver-{(int(trip[1]) + 2) // 3}"
        start, read = None, 0
        for rows in table.rows(chosen):
            self._count(rows)
            position, read = rows.index + read, read + rows.rows
            if read > len(labels):
                break
            if not len(rows):
                continue
            start = rows.columns["time"][0] if start is None else start
            time = rows.columns["time"] - start
            values = per_sensor(rows, self._per_unit)
            yield from self._pieces(driver, f"PVS {trip[1]}", time, values, labels[position])
        if read != len(labels):
            raise InputError(f"{path} and dataset_labels.csv beside it differ in their rows")

    def _labels(self, path: Path) -> NDArray[np.object_]:
        """Class of every row of the trip; unlabelled where not exactly one column is set."""
        table = CsvTable(path)
        require_columns(path, table.names, self.classes)
        names = np.array([*self.classes.values(), UNLABELLED], dtype=object)
        parts = []
        for rows in table.rows({column: column for column in self.classes}):
            codes = np.full(rows.rows, len(self.classes))
            hot = np.stack([rows.columns[column] == 1 for column in self.classes], axis=1)
            single = hot.sum(axis=1) == 1
            codes[rows.index[single]] = hot[single].argmax(axis=1)
            parts.append(names[codes])
        return np.concatenate(parts)
