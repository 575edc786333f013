"""Plain CSV, Parquet and NPZ files with named columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, listing
from ..types import UNLABELLED, Piece
from .base import (
    STANDARD_GRAVITY,
    Reader,
    SubjectRuns,
    columns_to_g,
    find_files,
    map_labels,
)
from .tables import SUFFIXES, open_table, require_columns
from .text import MISSING, Rows

UNITS = {"g": 1.0, "m/s2": STANDARD_GRAVITY, "mg": 1000.0}
"""How many of a unit make one g."""

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in one of a unit."""

_TIME_NAME = re.compile(r"(date_?time|time_?stamps?|time|t|seconds_elapsed)(_(s|ms|us|ns))?")
_AXIS_NAME = r"(acc(el(eration|erometer)?)?_?|a)?{axis}(_?axis)?(_(g|mg|m_s_?2|ms2|mps2))?"
_LABEL_NAME = re.compile(r"labels?|activity|activities|class|annotation|behaviou?r|target")
_SUBJECT_NAME = re.compile(r"subject(_?id)?|user(_?id)?|participant(_?id)?|pid|animal(_?id)?")
_EPOCH_SECONDS = (9.4e8, 4.1e9)  # years 2000 to 2099
_RATE_TOLERANCE = 0.2


class Tabular(Reader):
    """Files with one sample per row and named columns.

    A file is one recording; where a subject column is given, each run of consecutive rows of one
    subject is one. Rows without a label stay, unlabelled.

    Parameters
    ----------
    path
        One file, or a folder whose CSV, TSV, Parquet and NPZ files are read.
    columns
        Names of the columns (time, x, y, z), or (x, y, z) for files without timestamps. Guessed
        from common names (``time`` or ``timestamp``; ``x``, ``acc_x``, ``accel_x``, ``ax``) if
        not given.
    label, subject
        Names of the columns with the class and the subject; guessed likewise. Without a subject
        column or a ``path_pattern``, every file counts as a subject of its own.
    rate
        Sampling rate in Hz; needed without timestamps, otherwise measured.
    unit
        ``g``, ``m/s2`` or ``mg``. If not given it is told from gravity: the median magnitude of
        the first rows must be near 1 in one of them.
    time_unit
        ``s``, ``ms``, ``us`` or ``ns``. If not given: from the name's ending (``time_ms``); from
        the size, if the first timestamp is a date between 2000 and 2099 in one of the units; from
        the median step otherwise (below 1: s, below 1,000: ms, below a million: us, else ns).
        ISO 8601 dates need no unit.
    path_pattern
        Regular expression with named groups ``label`` and ``subject``, searched in each file's
        path below the folder. Only files that match are read.

    Examples
    --------
    Cattle collars, the behaviour in the folder's name and the cow in the file's::

        Tabular(
            "CowWalking_WASP",
            columns=("Time", "BNO055_AX", "BNO055_AY", "BNO055_AZ"),
            unit="m/s2",
            path_pattern=r"(?P<label>\\w+)/\\d+_\\w+_(?P<subject>\\d+)_\\d+_\\d+\\.csv",
        )
    """

    name = "tabular"

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] | None = None,
        label: str | None = None,
        subject: str | None = None,
        rate: float | None = None,
        unit: str | None = None,
        time_unit: str | None = None,
        path_pattern: str | None = None,
    ) -> None:
        super().__init__(path)
        if columns is not None and len(columns) not in (3, 4):
            raise InputError("columns must name time, x, y, z, or x, y, z")
        if columns is not None and len(columns) == 3 and rate is None:
            raise InputError("Without a time column the sampling rate is needed: give rate")
        if rate is not None and not 0 < rate < np.inf:
            raise InputError(f"rate must be a positive number of Hz, not {rate}")
        for name, value, known in (("unit", unit, UNITS), ("time_unit", time_unit, TIME_UNITS)):
            if value is not None and value not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        self.columns = tuple(columns) if columns is not None else None
        self.label, self.subject = label, subject
        self.given_rate, self.unit, self.time_unit = rate, unit, time_unit
        self.pattern = _compile(path_pattern)

    def _files(self) -> list[Path]:
        files = find_files(self.path, tuple(f"*{suffix}" for suffix in SUFFIXES), self.name)
        if self.pattern:
            files = [file for file in files if self.pattern.search(self._relative(file))]
            if not files:
                raise InputError(
                    f"No file below {self.path} matches path_pattern {self.pattern.pattern!r}"
                )
        self._first: tuple[Path, float, float] | None = None  # file, rate, units per g
        return files

    def _relative(self, file: Path) -> str:
        return file.name if file == self.path else file.relative_to(self.path).as_posix()

    def _read_file(self, path: Path) -> Iterator[Piece]:
        table = open_table(path)
        names = self._choose(path, table.names)
        found = self.pattern.search(self._relative(path)) if self.pattern else None
        groups = found.groupdict() if found else {}
        clock: _Clock | None = None
        subjects, read = SubjectRuns(), 0
        for rows in table.rows(names):
            self._count(rows)
            if "subject" in names:
                rows = self._with_subject(rows)
            position, read = rows.index + read, read + rows.rows
            if not len(rows):
                continue
            if clock is None:
                clock = self._clock(names.get("time"), rows, table.dates)
                per_g = self._settle(path, rows, clock)
            values = columns_to_g(rows, ("x", "y", "z"), per_g)
            labels = self._labels(rows, groups.get("label"))
            owner = groups.get("subject") or _without_suffix(self._relative(path))
            owners = rows.columns.get("subject", np.full(len(rows), owner, dtype=object))
            stamps = rows.columns.get("time", position)
            for subject, new, run in subjects.split(owners):
                if new:
                    clock.start(stamps[run.start])
                recording = self._relative(path)
                if "subject" in names:
                    recording += f"#{subjects.number}"
                time = clock.seconds(stamps[run], self.rate)
                yield from self._pieces(
                    subject, recording, time, values[run], labels[run], clock.epoch
                )

    def _with_subject(self, rows: Rows) -> Rows:
        rows.columns["subject"] = clean_labels(rows.columns["subject"])
        return self._select(rows, rows.columns["subject"] != UNLABELLED, "no subject")

    @staticmethod
    def _labels(rows: Rows, constant: str | None) -> NDArray[np.object_]:
        if constant is None and "label" in rows.columns:
            return clean_labels(rows.columns["label"])
        return np.full(len(rows), constant or UNLABELLED, dtype=object)

    def _choose(self, path: Path, names: list[str]) -> dict[str, str]:
        """Which column plays which role (time, x, y, z, label, subject)."""
        roles: dict[str, str | None] = {"label": self.label, "subject": self.subject}
        if self.columns is not None:
            axes = ("time", "x", "y", "z")[-len(self.columns) :]
            roles.update(zip(axes, self.columns, strict=True))
        else:
            roles |= {axis: _guess(path, names, axis) for axis in ("x", "y", "z")}
            roles["time"] = _guess(path, names, "time", needed=self.given_rate is None)
        for role in ("label", "subject"):
            grouped = self.pattern and role in self.pattern.groupindex
            if roles[role] is None and not grouped:
                roles[role] = _guess(path, names, role, needed=False)
        chosen = {role: name for role, name in roles.items() if name is not None}
        require_columns(path, names, chosen.values())
        if len(set(chosen.values())) < len(chosen):
            listed = listing(f"{role}={name}" for role, name in chosen.items())
            raise InputError(f"One column of {path} is named for two things: {listed}")
        return chosen

    def _clock(self, name: str | None, rows: Rows, dates: bool) -> _Clock:
        if name is None:
            return _Clock(None)
        stamps = rows.columns["time"]
        unit = "ns" if dates else self.time_unit or guess_time_unit(name, stamps)
        return _Clock(TIME_UNITS[unit])

    def _settle(self, path: Path, rows: Rows, clock: _Clock) -> float:
        """Rate and unit from the first file, held against every other; returns units per g."""
        measured = clock.rate(rows)
        if self._first is None:
            rate = self.given_rate or (nominal_rate(measured) if measured else None)
            if rate is None:
                raise InputError(f"{path} has too few timestamps to tell its rate: give rate")
            unit = self.unit or guess_unit(path, columns_to_g(rows, ("x", "y", "z"), 1.0))
            self._first = (path, rate, UNITS[unit])
            self.rate = rate
        first, rate, per_g = self._first
        if measured and abs(measured / rate - 1) > _RATE_TOLERANCE:
            other = "as given" if self.given_rate else f"of {first}"
            raise InputError(
                f"Mixed sampling rates: {path} has about {measured:.4g} Hz, not the {rate:.4g} Hz "
                f"{other}; read files of one rate at a time"
            )
        return per_g


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"path_pattern is no valid regular expression: {error}") from error
    unknown = set(compiled.groupindex) - {"label", "subject"}
    if unknown or not compiled.groupindex:
        raise InputError("path_pattern needs the named groups label or subject, and no others")
    return compiled


def _without_suffix(name: str) -> str:
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name.removesuffix(suffix) or name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _guess(path: Path, names: list[str], role: str, needed: bool = True) -> str | None:
    """The one column whose name is usual for `role`."""
    usual = {"time": _TIME_NAME, "label": _LABEL_NAME, "subject": _SUBJECT_NAME}
    pattern = usual.get(role) or re.compile(_AXIS_NAME.format(axis=role))
    found = [name for name in names if pattern.fullmatch(_plain(name))]
    if len(found) == 1:
        return found[0]
    if found or needed:
        problem = f"several columns for {role}" if found else f"no column known as {role}"
        option = "columns" if role in ("time", "x", "y", "z") else role
        raise InputError(f"{path} has {problem}: name it with {option} (found: {listing(names)})")
    return None


def clean_labels(labels: NDArray[np.object_]) -> NDArray[np.object_]:
    """Labels without padding, and unlabelled where they only say that there is none."""
    stripped = {label: label.strip() for label in set(labels.tolist())}
    names = {label: UNLABELLED if text in MISSING else text for label, text in stripped.items()}
    return map_labels(labels, names)


def guess_unit(path: Path, values: NDArray[np.float64]) -> str:
    """Unit in which the median magnitude of `values`, shape (n, 3), is that of gravity."""
    with np.errstate(over="ignore"):
        magnitude = float(np.median(np.linalg.norm(values, axis=1)))
    for unit, per_g in UNITS.items():
        if 0.8 < magnitude / per_g < 1.25:
            return unit
    raise InputError(
        f"The unit of {path} cannot be told from gravity (median magnitude {magnitude:.3g}): "
        f"give unit as one of {', '.join(UNITS)}"
    )


def nominal_rate(measured: float) -> float:
    """The whole number of Hz within 2 % of a measured rate, or the rate to four digits."""
    whole = round(measured)
    return float(whole) if abs(measured - whole) <= 0.02 * measured else float(f"{measured:.4g}")


@dataclass
class _Clock:
    """Turns recorded timestamps into seconds since the recording's first."""

    scale: float | None  # seconds per unit; None where rows are counted instead
    origin: Any = 0

    def start(self, stamp: Any) -> None:
        self.origin = stamp

    @property
    def epoch(self) -> float | None:
        """When the recording began, in seconds since 1970; None where that is no date."""
        seconds = float(self.origin) * (self.scale or 0.0)
        return seconds if _EPOCH_SECONDS[0] <= seconds <= _EPOCH_SECONDS[1] else None

    def seconds(self, stamps: NDArray[Any], rate: float) -> NDArray[np.float64]:
        scale = 1 / rate if self.scale is None else self.scale
        with np.errstate(over="ignore"):
            time: NDArray[np.float64] = (stamps - self.origin) * scale
        return time

    def rate(self, rows: Rows) -> float | None:
        """Samples per second over the steps that are no gaps; None without enough timestamps."""
        if self.scale is None:
            return None
        stamps = rows.columns["time"]
        usual = _median_step(stamps)
        if usual is None:
            return None
        steps = np.diff(stamps)
        steps = steps[
            (steps >= 0) & (steps <= 5 * usual)
        ]  # coarse clocks repeat, gaps do not count
        return 1 / (float(steps.mean()) * self.scale)


def _median_step(stamps: NDArray[Any]) -> float | None:
    """Median step forwards; None where there are too few to tell."""
    with np.errstate(over="ignore"):
        steps = np.diff(stamps)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) >= 8 else None


def guess_time_unit(name: str, stamps: NDArray[Any]) -> str:
    """Unit of numeric timestamps, by the rule of `Tabular`."""
    match = _TIME_NAME.fullmatch(_plain(name))
    if match and match[3]:
        return match[3]
    step, first = _median_step(stamps) or 0.0, float(stamps[0])
    for unit, scale in TIME_UNITS.items():
        if _EPOCH_SECONDS[0] <= first * scale <= _EPOCH_SECONDS[1] and step * scale <= 1:
            return unit
    bounds = {"s": 1.0, "ms": 1e3, "us": 1e6}
    return next((unit for unit, bound in bounds.items() if step < bound), "ns")
