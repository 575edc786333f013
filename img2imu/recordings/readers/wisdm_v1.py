"""WISDM activity prediction data set v1.1 (2012)."""

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
    SubjectRuns,
    columns_to_g,
    find_files,
    map_labels,
)
from .text import Layout

ACTIVITIES = ("Walking", "Jogging", "Upstairs", "Downstairs", "Sitting", "Standing")

_LAYOUT = Layout(
    ("subject", "activity", "time", "x", "y", "z"),
    {"subject": "int", "activity": "text", "time": "int", "x": "float", "y": "float", "z": "float"},
)
_STRAY_COMMA = re.compile(rb"^((?:[^,\n]*,){5}[^,\n]+),[ \t\r]*$", re.MULTILINE)


class WisdmV1(Reader):
    """``WISDM_ar_v1.1_raw.txt``: 36 users, 6 activities, phone in the trouser pocket.

    Records are ``33,Jogging,49105962326000,-0.69,12.68,0.50;``: user, activity, ns, m/s². Several
    may share a line, and some are broken: an empty z, a comma too many, timestamp 0. Consecutive
    records of one user are one recording.
    """

    name = "wisdm-v1.1"
    rate = 20.0

    def _files(self) -> list[Path]:
        return find_files(self.path, "WISDM_ar_v1.1_raw.txt", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        users, start = SubjectRuns(), 0
        names = {activity: activity.lower() for activity in ACTIVITIES}
        for rows in self._rows(path, _LAYOUT, prepare=_records):
            rows = self._select(rows, rows.columns["time"] != 0, "timestamp 0")
            labels = map_labels(rows.columns["activity"], names)
            known = labels != np.array(None)
            rows, labels = self._select(rows, known, UNKNOWN_LABEL), labels[known]
            values = columns_to_g(rows, ("x", "y", "z"), STANDARD_GRAVITY)
            for user, new, run in users.split(rows.columns["subject"]):
                stamps = rows.columns["time"][run]
                start = int(stamps[0]) if new else start
                time = (stamps - start) * 1e-9
                yield from self._pieces(user, f"run-{users.number}", time, values[run], labels[run])


def _records(block: bytes) -> bytes:
    """One record per line, without closing semicolons, stray commas and padding."""
    block = block.replace(b";", b"\n").replace(b", ", b",")
    return _STRAY_COMMA.sub(rb"\1", block)
