"""Daphnet freezing of gait data set (2010)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..types import UNLABELLED, Piece
from .base import (
    UNKNOWN_LABEL,
    Reader,
    columns_to_g,
    find_files,
    map_labels,
    require,
)
from .text import Layout

LABELS = {0: UNLABELLED, 1: "no freeze", 2: "freeze"}
"""Annotation codes; 0 is outside the experiment."""

POSITIONS = ("ankle", "thigh", "trunk")
MILLI_G = 1000.0


class Daphnet(Reader):
    """Files ``S01R01.txt`` of ten people with Parkinson's disease, 64 Hz.

    Lines are eleven integers: ms, acceleration in mg of ankle, thigh and trunk, annotation. A
    file (run) is one recording. Rows before the chosen sensor started, where all its three
    channels are 0, are dropped.

    Parameters
    ----------
    path
        Folder that holds the files anywhere below it, or one file.
    position
        Which of the three sensors to read: ``ankle``, ``thigh`` or ``trunk``.
    """

    name = "daphnet"
    rate = 64.0

    def __init__(self, path: str | Path, position: str = "ankle") -> None:
        super().__init__(path)
        require({"position": position}, {"position": POSITIONS})
        self.position = position

    def _files(self) -> list[Path]:
        return find_files(self.path, "S[0-9][0-9]R[0-9][0-9].txt", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        axes = tuple(f"{place}_{axis}" for place in POSITIONS for axis in "xyz")
        x, y, z = (f"{self.position}_{axis}" for axis in "xyz")
        layout = Layout(
            ("time", *axes, "label"),
            {"time": "int", x: "float", y: "float", z: "float", "label": "int"},
            delimiter=" ",
        )
        start: int | None = None
        for rows in self._rows(path, layout):
            if start is None:
                running = np.maximum.accumulate(columns_to_g(rows, (x, y, z), 1).any(axis=1))
                rows = self._select(rows, running, "sensor not started")
            labels = map_labels(rows.columns["label"], LABELS)
            known = labels != np.array(None)
            rows, labels = self._select(rows, known, UNKNOWN_LABEL), labels[known]
            if not len(rows):
                continue
            start = int(rows.columns["time"][0]) if start is None else start
            time = (rows.columns["time"] - start) * 1e-3
            values = columns_to_g(rows, (x, y, z), MILLI_G)
            yield from self._pieces(path.stem[:3], path.stem, time, values, labels)
