"""WISDM smartphone and smartwatch activity and biometrics data set (2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..joining import join
from ..sensors import ACCELEROMETER, placed
from ..types import Piece, RowReport
from .base import (
    STANDARD_GRAVITY,
    UNKNOWN_LABEL,
    Reader,
    columns_to_g,
    find_files,
    map_labels,
    require,
    runs,
)
from .text import Layout, Rows
from .units import OF_KIND

ACTIVITIES = {
    "A": "walking",
    "B": "jogging",
    "C": "stairs",
    "D": "sitting",
    "E": "standing",
    "F": "typing",
    "G": "teeth",
    "H": "soup",
    "I": "chips",
    "J": "pasta",
    "K": "drinking",
    "L": "sandwich",
    "M": "kicking",
    "O": "catch",
    "P": "dribbling",
    "Q": "writing",
    "R": "clapping",
    "S": "folding",
}
"""Names of ``activity_key.txt``; there is no N."""

MEASURED = {"accel": "m/s2", "gyro": "rad/s"}
"""Unit of each kind of sensor, which phone and watch both have."""

DEVICES = ("phone", "watch")

_LAYOUT = Layout(
    ("subject", "activity", "time", "x", "y", "z"),
    {
        "subject": "int",
        "activity": "text",
        "time": "int",
        "x": "float",
        "y": "float",
        "z": "float",
    },
)


_OWN = re.compile(r"data_(\d+)_")
_Block = tuple[NDArray[np.int64], NDArray[np.float64]]


class Wisdm2019(Reader):
    """Accelerometer files ``data_1600_accel_phone.txt`` of 51 subjects and 18 activities.

    Lines are ``1600,A,252207666810782,-0.36,8.79,1.05;``: subject, activity, ns, m/s² (of a
    gyroscope rad/s). A file is one recording; its timestamps jump where the activity changes.

    Other sensors are in files of their own, which are joined in time: each activity of a subject
    is then one recording. Phone and watch have clocks that have nothing in common, so theirs are
    set by the beginning of each activity, on which the two agree to a second or so.

    Parameters
    ----------
    path
        Folder that holds the files anywhere below it, or one file.
    device
        ``phone`` (trouser pocket) or ``watch`` (dominant wrist).
    sensors
        ``accel`` (the default) and ``gyro`` of that device, or of any, as in ``watch.gyro``;
        ``all`` is the two.
    require_sensors
        Refuse the data if a subject lacks the file of a sensor; otherwise the subject is left out,
        and it is told.
    """

    name = "wisdm-2019"
    rate = 20.0

    def __init__(
        self,
        path: str | Path,
        device: str = "phone",
        sensors: Sequence[str] | None = None,
        require_sensors: bool = False,
        incomplete: bool = False,
    ) -> None:
        super().__init__(path)
        require({"device": device}, {"device": DEVICES})
        self.device, self.require_sensors = device, require_sensors
        self.incomplete = incomplete
        self._places = placed(sensors or ACCELEROMETER, tuple(MEASURED), device, DEVICES)
        self.sensors = tuple(self._places)

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start; of several sensors, subject by subject."""
        if self.sensors == ACCELEROMETER:
            return super().pieces()
        return self._joined()

    def _files(self) -> list[Path]:
        return self._files_of("accel", self.device)

    def _files_of(self, kind: str, device: str) -> list[Path]:
        return find_files(self.path, f"data_*_{kind}_{device}.txt", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        own = _OWN.match(path.name)
        start: int | None = None
        for rows, labels in self._blocks(path, own):
            start = int(rows.columns["time"][0]) if start is None else start
            time = (rows.columns["time"] - start) * 1e-9
            values = columns_to_g(rows, ("x", "y", "z"), STANDARD_GRAVITY)
            for run in runs(rows.columns["subject"]):
                subject = str(rows.columns["subject"][run.start])
                recording = path.stem if own else f"{path.stem}/{subject}"
                yield from self._pieces(subject, recording, time[run], values[run], labels[run])

    def _blocks(
        self, path: Path, own: re.Match[str] | None
    ) -> Iterator[tuple[Rows, NDArray[np.object_]]]:
        """Rows of the file's subject and known activities, with their labels."""
        for rows in self._rows(path, _LAYOUT, prepare=_records):
            if own:
                mine = rows.columns["subject"] == int(own[1])
                rows = self._select(rows, mine, "subject is not the file's")
            labels = map_labels(rows.columns["activity"], ACTIVITIES)
            known = labels != np.array(None)
            rows, labels = self._select(rows, known, UNKNOWN_LABEL), labels[known]
            if len(rows):
                yield rows, labels

    def _joined(self) -> Iterator[Piece]:
        """Every activity of every subject, of all sensors."""
        self.report = RowReport()
        files = {
            name: {_subject(path): path for path in self._files_of(kind, device)}
            for name, (device, kind) in self._places.items()
        }
        for subject in sorted(set().union(*files.values())):
            lacking = [name for name in self.sensors if subject not in files[name]]
            if not lacking:
                yield from self._join(subject, {name: files[name][subject] for name in files})
            elif self.require_sensors:
                raise InputError(f"{self.path} has no file of {lacking[0]} of subject {subject}")
            else:
                self.report.warn(f"no {' and no '.join(lacking)}: left out", subject)
        self._require_used()

    def _join(self, subject: str, paths: dict[str, Path]) -> Iterator[Piece]:
        """The activities of one subject: a file holds an hour of them, at most."""
        takes = {name: self._takes(name, path) for name, path in paths.items()}
        for activity in dict.fromkeys(key for each in takes.values() for key in each):
            origin: dict[str, int] = {}
            blocks = {name: each.get(activity, []) for name, each in takes.items()}
            for name, found in blocks.items():
                for stamps, _ in found[:1]:
                    device, first = self._places[name][0], int(stamps[0])
                    origin[device] = min(first, origin.get(device, first))
            tracks = {
                name: self._track(subject, activity, found, origin.get(self._places[name][0], 0))
                for name, found in blocks.items()
            }
            yield from join(tracks, self.report, self.incomplete)

    def _takes(self, name: str, path: Path) -> dict[str, list[_Block]]:
        """Time in ns and values by activity; of one done again, by its name and a number."""
        takes: dict[str, list[_Block]] = {}
        kind, last = self._places[name][1], None
        per = OF_KIND[kind][MEASURED[kind]]
        for rows, labels in self._blocks(path, _OWN.match(path.name)):
            values = columns_to_g(rows, ("x", "y", "z"), per)
            for run in runs(labels):
                label = labels[run.start]
                if label != last:
                    again = sum(key.partition("#")[0] == label for key in takes)
                    key = f"{label}#{again + 1}" if again else label
                    last = label
                takes.setdefault(key, []).append((rows.columns["time"][run], values[run]))
        return takes

    def _track(
        self, subject: str, activity: str, blocks: Sequence[_Block], origin: int
    ) -> Iterator[Piece]:
        """What one sensor recorded of an activity, timed since its device began."""
        label = activity.partition("#")[0]
        for stamps, values in blocks:
            time = (stamps - origin).astype(np.float64) * 1e-9
            labels = np.full(len(stamps), label, dtype=object)
            yield from self._pieces(subject, f"{subject}/{activity}", time, values, labels)


def _subject(path: Path) -> str:
    own = _OWN.match(path.name)
    return own[1] if own else path.stem


def _records(block: bytes) -> bytes:
    """One record per line, without the closing semicolon."""
    return block.replace(b";", b"\n")
