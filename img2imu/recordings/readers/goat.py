"""Multi sensor-orientation movement data of goats (Kamminga 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..types import Piece
from .base import (
    STANDARD_GRAVITY,
    Reader,
    columns_to_g,
    find_files,
    require,
)
from .tables import CsvTable, require_columns
from .tabular import clean_labels

POSITIONS = ("A", "B", "C", "D", "E", "F")


class Goat(Reader):
    """Files ``G1/pos_A.csv``: five goats with six sensors each on the collar, 100 Hz.

    Of the named columns ``ax``, ``ay``, ``az`` (m/s²), ``label`` and, where there is one,
    ``timestamp_ms`` are read; without it a row's time is its number over 100 Hz. A file is one
    recording, the goat (the folder) its subject. Rows without acceleration are dropped, rows
    without a label stay, unlabelled.

    Parameters
    ----------
    path
        Folder that holds the goats' folders anywhere below it, or one file.
    position
        One of the sensors ``A`` to ``F``, which differ in orientation; ``all`` reads each as a
        recording of its own.
    """

    name = "goat"
    rate = 100.0

    def __init__(self, path: str | Path, position: str = "all") -> None:
        super().__init__(path)
        require({"position": position}, {"position": ("all", *POSITIONS)})
        self.position = position

    def _files(self) -> list[Path]:
        positions = "[A-F]" if self.position == "all" else self.position
        return find_files(self.path, f"pos_{positions}.csv", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        goat = path.resolve().parent.name
        table = CsvTable(path)
        chosen = {"x": "ax", "y": "ay", "z": "az", "label": "label"}
        chosen |= {"time": "timestamp_ms"} if "timestamp_ms" in table.names else {}
        require_columns(path, table.names, chosen.values())
        start, read = None, 0
        for rows in table.rows(chosen):
            self._count(rows)
            position, read = rows.index + read, read + rows.rows
            if not len(rows):
                continue
            stamps = rows.columns["time"] * 1e-3 if "time" in chosen else position / self.rate
            start = stamps[0] if start is None else start
            values = columns_to_g(rows, ("x", "y", "z"), STANDARD_GRAVITY)
            labels = clean_labels(rows.columns["label"])
            yield from self._pieces(goat, f"{goat}/{path.stem}", stamps - start, values, labels)
