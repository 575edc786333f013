"""CAPTURE-24 (Chan et al. 2024): wrist accelerometer over a day of free living."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError, excerpt, listing
from ..types import UNLABELLED, Piece
from .base import Reader, columns_to_g, find_files, map_labels
from .clock import read_time
from .tables import CsvTable, require_columns

DICTIONARY = "annotation-label-dictionary.csv"


class Capture24(Reader):
    """Files ``P001.csv.gz`` of 151 people: time, x, y, z in g, annotation; 100 Hz.

    A file is one recording. Rows without an annotation stay, unlabelled.

    Parameters
    ----------
    path
        Folder that holds the files and ``annotation-label-dictionary.csv`` anywhere below it, or
        one file with the dictionary beside it.
    scheme
        Column of the dictionary that turns annotations into classes, without its ``label:``
        (``Willetts2018``, ``WillettsSpecific2018``, ``WillettsMET2018``, ``Doherty2018``,
        ``DohertySpecific2018``, ``Walmsley2020``), or ``annotation`` for the annotations.
    """

    name = "capture24"
    rate = 100.0

    def __init__(self, path: str | Path, scheme: str = "Willetts2018") -> None:
        super().__init__(path)
        self.scheme = scheme

    def _files(self) -> list[Path]:
        patterns = ("P[0-9][0-9][0-9].csv.gz", "P[0-9][0-9][0-9].csv")
        files = find_files(self.path, patterns, self.name)
        self._names = None if self.scheme == "annotation" else self._dictionary()
        return files

    def _dictionary(self) -> dict[str, str]:
        folder = self.path.parent if self.path.is_file() else self.path
        (path, *_) = find_files(folder, DICTIONARY, "CAPTURE-24 dictionary")
        with path.open(encoding="utf-8", errors="replace", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            rows = list(csv.DictReader(stream, delimiter="\t" if "\t" in header else ","))
        columns = list(rows[0]) if rows else []
        if f"label:{self.scheme}" not in columns or "annotation" not in columns:
            schemes = listing(name[6:] for name in columns if name.startswith("label:"))
            raise InputError(f"{path} has no scheme {self.scheme} (schemes: {schemes})")
        return {row["annotation"]: row[f"label:{self.scheme}"] or UNLABELLED for row in rows}

    def _read_file(self, path: Path) -> Iterator[Piece]:
        table = CsvTable(path)
        chosen = {"time": "time", "x": "x", "y": "y", "z": "z", "label": "annotation"}
        require_columns(path, table.names, chosen.values())
        start, clock = None, read_time(table.head("time"))
        for rows in table.rows(chosen, clock):
            self._count(rows)
            if not len(rows):
                continue
            stamps = rows.columns["time"]
            start = stamps[0] if start is None else start
            time = (stamps - start) * (1e-9 if clock.dates else 1.0)
            labels = rows.columns["label"]
            if self._names is not None:
                labels = self._classes(path, labels, self._names)
            values = columns_to_g(rows, ("x", "y", "z"), 1.0)
            yield from self._pieces(path.name[:4], path.name[:4], time, values, labels)

    def _classes(self, path: Path, annotations: np.ndarray, names: dict[str, str]) -> np.ndarray:
        labels = map_labels(annotations, {"": UNLABELLED} | names)
        unknown = labels == np.array(None)
        if unknown.any():
            raise InputError(
                f"{path} has the annotation {excerpt(annotations[unknown][0])!r}, "
                f"which {DICTIONARY} lacks"
            )
        return labels
