"""WISDM smartphone and smartwatch activity and biometrics data set (2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..types import Piece
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
from .text import Layout

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


class Wisdm2019(Reader):
    """Accelerometer files ``data_1600_accel_phone.txt`` of 51 subjects and 18 activities.

    Lines are ``1600,A,252207666810782,-0.36,8.79,1.05;``: subject, activity, ns, m/s². A file is
    one recording; its timestamps jump where the activity changes.

    Parameters
    ----------
    path
        Folder that holds the files anywhere below it, or one file.
    device
        ``phone`` (trouser pocket) or ``watch`` (dominant wrist).
    """

    name = "wisdm-2019"
    rate = 20.0

    def __init__(self, path: str | Path, device: str = "phone") -> None:
        super().__init__(path)
        require({"device": device}, {"device": ("phone", "watch")})
        self.device = device

    def _files(self) -> list[Path]:
        return find_files(self.path, f"data_*_accel_{self.device}.txt", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        own = re.match(r"data_(\d+)_", path.name)
        start: int | None = None
        for rows in self._rows(path, _LAYOUT, prepare=_records):
            if own:
                mine = rows.columns["subject"] == int(own[1])
                rows = self._select(rows, mine, "subject is not the file's")
            labels = map_labels(rows.columns["activity"], ACTIVITIES)
            known = labels != np.array(None)
            rows, labels = self._select(rows, known, UNKNOWN_LABEL), labels[known]
            if not len(rows):
                continue
            start = int(rows.columns["time"][0]) if start is None else start
            time = (rows.columns["time"] - start) * 1e-9
            values = columns_to_g(rows, ("x", "y", "z"), STANDARD_GRAVITY)
            for run in runs(rows.columns["subject"]):
                subject = str(rows.columns["subject"][run.start])
                recording = path.stem if own else f"{path.stem}/{subject}"
                yield from self._pieces(subject, recording, time[run], values[run], labels[run])


def _records(block: bytes) -> bytes:
    """One record per line, without the closing semicolon."""
    return block.replace(b";", b"\n")
