"""Plain CSV, Parquet and NPZ files with named columns, and sensors' own binary forms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt, listing
from ..archives import unpack
from ..joining import join
from ..sensors import ACCELEROMETER, UNIT_OF, as_sensors, axis_names, sensor_kind
from ..types import UNLABELLED, Piece, Reading, RowReport
from .base import Reader, SubjectRuns, map_labels, per_sensor
from .clock import (
    TIME_UNITS,
    Clock,
    TimeColumn,
    create_clock,
    format_of,
    guess_time_unit,
    nominal_rate,
    read_time,
    stated_moment,
)
from .columns import (
    Sensor,
    Triad,
    choose_named,
    choose_time,
    choose_triad,
    plain,
    sensor_of,
    time_unit,
    triads,
)
from .dialect import DELIMITERS
from .separate import recordings_of
from .tables import KINDS, SUFFIXES, Table, is_table, open_table, require_columns
from .text import MISSING, Rows
from .units import OF_KIND, UNITS, doubt_of_unit, guess_unit, magnitude_of, units_per

_RATE_TOLERANCE = 0.2
_FIRST_ROWS = 3
_APART = re.compile(rf"(?:^|/)(?P<sensor>{'|'.join(UNIT_OF)})\.csv$")
"""Files of a folder by which recordings of the toolkit's app are known, a sensor in each."""

_NO_RATE = "too few different timestamps to tell the rate (--rate HZ)"


class Tabular(Reader):
    """Files with one sample per row and named columns.

    A file is one recording; where a subject column is given, each run of consecutive rows of one
    subject is one. Rows without a label stay, unlabelled. Separators, dates, columns and units are
    told from the data and the header, and `report.readings` says what was found.

    Parameters
    ----------
    path
        One file, or a folder whose CSV, TSV, TXT, Parquet, NPZ, .gt3x and .cwa files are read, and
        those in its ZIP archives. Files of a folder without an accelerometer are left out.
    columns
        Names of the columns (time, x, y, z), or (x, y, z) for files without timestamps; places
        from 1 where the file names none. Three more are a gyroscope's, the next three a
        magnetometer's. With `triads`, time alone. Guessed from names if not given.
    label, subject
        Names of the columns with the class and the subject; guessed likewise. Without a subject
        column or a ``path_pattern``, every file counts as a subject of its own.
    rate
        Sampling rate in Hz; needed without timestamps, otherwise measured, file by file.
    unit
        Of acceleration: ``g``, ``m/s2`` or ``mg``, or how many counts make one g. If not given it
        is read from the header, or else told from gravity: the median magnitude of the first rows
        must be near 1 in one of them.
    time_unit
        ``s``, ``ms``, ``us``, ``ns`` or ``days`` (of a spreadsheet). If not given: from the name
        (``time_ms``, ``Time (s)``); from the size, if the first timestamp is a date in one of the
        units; from the median step otherwise (below 1: s, below 1,000: ms, below a million: us,
        else ns). Dates need no unit.
    path_pattern
        Where class and subject stand in each file's path below the folder:
        ``{label}/{subject}_*.csv``, or a regular expression with groups of these names. Only files
        that match are read. With ``{sensor}``, as in ``{subject}/{sensor}.csv``, files whose paths
        differ in nothing else are one recording, a sensor in each, which are joined in time: by
        their dates, or else on a clock that they share. It stands for a sensor's name
        (``wrist.gyro``) or any word for one (``Gyroscope``, ``acc``). Folders with ``accel.csv``,
        ``gyro.csv`` or ``magn.csv``, as the toolkit's app writes them, are read so unasked.
    delimiter, decimal
        Between cells, and within numbers; told from the data if not given.
    time_format
        How dates are written, as ``strptime`` takes it; told from the data if not given.
    sensors
        Which are read: ``accel``, ``gyro``, ``magn``, or ``all`` that the first file has. If not
        given, those that `columns` or `triads` name, those that all recordings of the toolkit's
        app have, else the accelerometer alone. Files of a folder that lack one of them are left
        out.
    triads
        Sensors by name, each with its columns (x, y, z) or (x, y, z, unit): of gyroscopes
        ``rad/s`` or ``deg/s``, of magnetometers ``uT``, ``mT``, ``nT``, ``T``, ``G`` or ``mG``,
        where the header does not say it. Names such as ``wrist.gyro`` tell several of a kind apart.
        A row counts only where every sensor has a value.
    require_sensors
        Refuse a folder in which a recording lacks a sensor.
    incomplete
        Of sensors in files of their own, hand on what one recorded while another was missing, as
        :func:`~img2imu.recordings.joining.join` does.

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
        delimiter: str | None = None,
        decimal: str | None = None,
        time_format: str | None = None,
        sensors: Sequence[str] | None = None,
        triads: Mapping[str, Sequence[str]] | None = None,
        require_sensors: bool = False,
        incomplete: bool = False,
    ) -> None:
        super().__init__(path)
        self.require_sensors, self.incomplete = require_sensors, incomplete
        self._given, self._per_unit = _given_triads(columns, triads)
        self.pattern = _compile(path_pattern)
        self._asked = sensors is not None
        self._names: dict[Path, str] = {}
        self._seek(sensors)
        if columns is not None and len(columns) % 3 == 0 and rate is None:
            raise InputError("Without a time column the sampling rate is needed: give --rate HZ")
        if rate is not None and not 0 < rate < np.inf:
            raise InputError(f"rate must be a positive number of Hz, not {rate}")
        if time_unit is not None and time_unit not in TIME_UNITS:
            raise InputError(
                f"time_unit must be one of {', '.join(TIME_UNITS)}, not {excerpt(time_unit)!r}"
            )
        if time_format is not None:
            format_of(time_format)
        self.columns = tuple(columns) if columns is not None else None
        self.label, self.subject = label, subject
        self.given_rate, self.time_unit, self.time_format = rate, time_unit, time_format
        self.unit, self._given_per_g = unit, None if unit is None else units_per("accel", unit)
        self.delimiter, self.decimal = _delimiter(delimiter), _decimal(decimal)

    def _seek(self, sensors: Sequence[str] | None) -> None:
        """Settle which sensors are read: `sensors`, or those whose columns are given."""
        self._all = sensors is not None and tuple(sensors) == ("all",)
        if sensors is None or self._all:
            self.sensors = tuple(self._given) or ACCELEROMETER
        else:
            self.sensors = as_sensors(sensors)
        unknown = [name for name in self.sensors if name not in (self._given or UNIT_OF)]
        if unknown and not (self._apart and not self._given):
            raise InputError(
                f"the columns of {unknown[0]} must be named: --sensor {unknown[0]}=X,Y,Z:UNIT"
            )
        self._given = {name: self._given[name] for name in self.sensors if self._given}
        self._all = self._all and not self._given

    def pieces(self) -> Iterator[Piece]:
        """Yield every recording from the start, piece by piece, filling `report` on the way."""
        self._recognise()
        return self._joined() if self._apart else super().pieces()

    def _recognise(self) -> None:
        """Take a folder for the toolkit's app's where its files are named as that names them."""
        if self.pattern is None and not self._given and self.path.is_dir():
            self._names = {}
            self._found(self.path, "")
            if any(map(_APART.search, self._names.values())):
                self.pattern = _APART

    @property
    def _apart(self) -> re.Pattern[str] | None:
        """Tells each file's sensor, where each has a file of its own."""
        apart = self.pattern is not None and "sensor" in self.pattern.groupindex
        return self.pattern if apart else None

    def _joined(self) -> Iterator[Piece]:
        """Every recording that has all sensors, joined from their files."""
        self.report = RowReport()
        files = self._files()
        assert self._apart is not None
        recordings = recordings_of({file: self._names[file] for file in files}, self._apart)
        if self._apart is _APART:
            recordings = {_folder_of(name): tracks for name, tracks in recordings.items()}
            if not self._asked:
                common = [s for s in UNIT_OF if all(s in each for each in recordings.values())]
                self.sensors = tuple(common) or self.sensors
                self.report.sought = " and ".join(self.sensors)
        if self._all and recordings:
            self.sensors, self._all = tuple(next(iter(recordings.values()))), False
        taken = {file for tracks in recordings.values() for file in tracks.values()}
        self.report.skipped += [self._names[file] for file in files if file not in taken]
        for recording, tracks in recordings.items():
            lacking = [name for name in self.sensors if name not in tracks]
            if not lacking:
                pieces = {
                    name: self._read_file(tracks[name], name, recording) for name in self.sensors
                }
                yield from join(pieces, self.report, self.incomplete)
            elif self.require_sensors:
                raise InputError(f"{self.path} has no file of {lacking[0]} for {recording}")
            else:
                self.report.warn(f"no file of {' and none of '.join(lacking)}: left out", recording)
        self._require_used()

    def _files(self) -> list[Path]:
        if self.sensors != ACCELEROMETER:
            self.report.sought = " and ".join(self.sensors)
        self._names = {}
        files = self._found(self.path, "")
        if self.pattern:
            if self.pattern is _APART:
                others = [name for name in self._names.values() if not _APART.search(name)]
                self.report.skipped += others
            files = [file for file in files if self.pattern.search(self._names[file])]
            if not files:
                raise InputError(
                    f"No file below {self.path} matches path_pattern {self.pattern.pattern!r}"
                )
        self._units: dict[tuple[str, ...], float] = {}
        return self._without_doubles(files)

    def _found(self, path: Path, before: str) -> list[Path]:
        """Files below a path, and in its ZIP archives; `before` stands before their names."""
        if path.is_file():
            self._names[path] = before + path.name
            return [path]
        below = sorted(
            file for file in path.rglob("*") if file.is_file() and not file.name.startswith("._")
        )
        files = [file for file in below if is_table(file)]
        archives = [] if before else [file for file in below if file.suffix.lower() == ".zip"]
        if not (files or archives or before):
            raise InputError(f"{path} holds no files of a kind known here ({', '.join(KINDS)})")
        for file in files:
            self._names[file] = before + file.relative_to(path).as_posix()
        for archive in archives:
            files += self._found(unpack(archive), f"{archive.relative_to(path).as_posix()}/")
        return files

    def _without_doubles(self, files: list[Path]) -> list[Path]:
        """Without the files that are another sensor's by their names, where there are several."""
        if len(files) < 2 or self._given or self._apart:
            return files
        whole = {file.parent for file in files if "total" in file.stem.lower()}
        kept = []
        for file in files:
            sensor, _ = sensor_of(plain(file.stem)) or ("accel", 0)
            double = file.parent in whole and "total" not in file.stem.lower()
            kind = "accel" if sensor == "linear" else sensor
            if kind in self.sensors and not (double and sensor_of(plain(file.stem))):
                kept.append(file)
            else:
                self.report.skipped.append(self._names[file])
        return kept

    def _read_file(
        self, path: Path, sensor: str | None = None, recording: str | None = None
    ) -> Iterator[Piece]:
        """Read a file; of one `sensor` of a `recording`, on a clock that the others share."""
        name = self._names[path]
        table = open_table(path, self.delimiter, self.decimal)
        sensors = self._triads(path, table, self.sensors if sensor is None else (sensor,))
        if sensors is None:
            self.report.skipped.append(name)
            return
        names = self._choose(path, table, sensors)
        time = self._time_column(table, names.get("time"))
        found = self.pattern.search(name) if self.pattern else None
        groups = found.groupdict() if found else {}
        plan = _Plan(path, name, recording or name, table, names, sensors, time, groups)
        clock: Clock | None = None
        subjects, read = SubjectRuns(), 0
        for rows in table.rows(names, time):
            self._count(rows)
            if "subject" in names:
                rows = self._with_subject(rows)
            position, read = rows.index + read, read + rows.rows
            if not len(rows):
                continue
            if clock is None:
                clock = self._clock(plan, rows)
                if clock.rate is None:
                    self.report.drop(_NO_RATE, len(rows))
                    clock = None
                    continue
                per_unit = self._settle(plan, rows, clock)
            values = per_sensor(rows, per_unit)
            labels = self._labels(rows, plan.groups.get("label"))
            stamps = rows.columns.get("time", position)
            for subject, new, run in subjects.split(self._owners(plan, rows)):
                if new:
                    began = clock.start(stamps[run.start])
                    if sensor is not None and began is None:
                        clock.start(stamps.dtype.type(0))
                if sensor is not None and subjects.number > 1:
                    raise InputError(
                        f"{path} is of several subjects: sensors in files of their own are joined "
                        "of one"
                    )
                run_name = plan.recording + (f"#{subjects.number}" if "subject" in names else "")
                seconds = clock.seconds(stamps[run])
                yield from self._pieces(subject, run_name, seconds, values[run], labels[run], began)

    def _owners(self, plan: _Plan, rows: Rows) -> NDArray[Any]:
        owner = plan.groups.get("subject") or _without_suffix(plan.recording)
        owners: NDArray[Any] = rows.columns.get("subject", np.full(len(rows), owner, dtype=object))
        return owners

    def _with_subject(self, rows: Rows) -> Rows:
        rows.columns["subject"] = clean_labels(rows.columns["subject"])
        return self._select(rows, rows.columns["subject"] != UNLABELLED, "no subject")

    @staticmethod
    def _labels(rows: Rows, constant: str | None) -> NDArray[np.object_]:
        if constant is None and "label" in rows.columns:
            return clean_labels(rows.columns["label"])
        return np.full(len(rows), constant or UNLABELLED, dtype=object)

    def _triads(
        self, path: Path, table: Table, sensors: tuple[str, ...]
    ) -> dict[str, Triad] | None:
        """Every sensor's columns; None of a file in a folder that has not all."""
        if self._given:
            return _named_triads(path, table, {name: self._given[name] for name in sensors})
        found = {}
        for name in UNIT_OF if self._all else sensors:
            kind = sensor_kind(name)
            triad = choose_triad(path, table.names, kind)
            if triad is None and self._apart:
                triad = _bare(choose_triad(path, table.names, "accel"), kind)
            if triad is None and kind == "accel" and not table.header:
                triad = _after_time(table)
            if triad is not None:
                found[name] = triad
        if self._all and found:
            sensors = self.sensors = tuple(found)
            self._all = False
            self.report.sought = " and ".join(sensors)
        missing = [name for name in sensors if name not in found]
        if not missing:
            return found
        if self.path.is_dir() and not self.require_sensors:
            return None
        hint = "" if table.header else ", by places from 1 as it has no header"
        what, option = "an accelerometer", "--columns T,X,Y,Z"
        if missing[0] != "accel":
            unit = UNIT_OF[sensor_kind(missing[0])]
            what, option = missing[0], f"--sensor {missing[0]}=X,Y,Z:{unit}"
        raise InputError(
            f"{path} has no column known as x, y and z of {what}: name them with "
            f"{option}{hint} (found: {listing(table.names)})"
        )

    def _choose(self, path: Path, table: Table, sensors: dict[str, Triad]) -> dict[str, str]:
        """Which column plays which role (time, x, y, z, gyro.x ..., label, subject)."""
        columns = [column for triad in sensors.values() for column in triad.columns]
        axes = axis_names(tuple(sensors))
        roles: dict[str, str | None] = dict(zip(axes, columns, strict=True))
        if self.columns is not None:
            roles["time"] = self.columns[0] if len(self.columns) % 3 else None
        else:
            roles["time"] = choose_time(table.names, table.head)
            if roles["time"] is None and not (self.given_rate or table.rate):
                raise InputError(
                    f"{path} has no column known as time: name it with --columns T,X,Y,Z, or give "
                    f"--rate HZ (found: {listing(table.names)})"
                )
        given = {"label": self.label, "subject": self.subject}
        for role in ("label", "subject"):
            grouped = self.pattern and role in self.pattern.groupindex
            roles[role] = given[role]
            if given[role] is None and not grouped:
                roles[role] = choose_named(path, table.names, role)
        order = ("time", *axes, "label", "subject")
        chosen = {role: name for role in order if (name := roles[role]) is not None}
        require_columns(path, table.names, chosen.values())
        if len(set(chosen.values())) < len(chosen):
            listed = listing(f"{role}={name}" for role, name in chosen.items())
            raise InputError(f"One column of {path} is named for two things: {listed}")
        return chosen

    def _time_column(self, table: Table, name: str | None) -> TimeColumn:
        return TimeColumn() if name is None else read_time(table.head(name), self.time_format)

    def _clock(self, plan: _Plan, rows: Rows) -> Clock:
        """The clock of a file, whose rate is the given or the nominal one; None if unknown."""
        given = self.given_rate
        if "time" not in plan.columns:
            return Clock(
                None, given or plan.table.rate, moment=lambda row: stated_moment(plan.table.start)
            )
        stamps = rows.columns["time"]
        values = per_sensor(rows, dict.fromkeys(plan.sensors, 1.0))
        unit = self.time_unit or guess_time_unit(time_unit(plan.columns["time"]), stamps)
        clock = create_clock(plan.time, unit, stamps, values, given or plan.table.rate)
        plan.clock = plan.time.name if plan.time.dates else _of_numbers(unit, clock, stamps)
        if clock.rate is None:
            return clock
        if given and abs(clock.rate / given - 1) > _RATE_TOLERANCE:
            raise InputError(
                f"{plan.path} has about {clock.rate:.4g} Hz by its timestamps, not the "
                f"{given:.4g} Hz as given: leave out --rate, or give --time-unit, or count rows by "
                "--columns X,Y,Z"
            )
        clock.rate = given or nominal_rate(clock.rate)
        return clock

    def _settle(self, plan: _Plan, rows: Rows, clock: Clock) -> dict[str, float]:
        """Set the rate and tell what the file was taken for; returns how many of each sensor's
        units make one of ours.
        """
        assert clock.rate is not None
        self.rate = clock.rate
        per_unit, told = {}, {}
        for name, triad in plan.sensors.items():
            raw = per_sensor(rows, {name: 1.0})
            per_unit[name], told[name] = self._unit(plan, name, raw)
            self._warn(plan, doubt_of_unit(raw / per_unit[name], told[name], triad.sensor))
        self._warn_of_time(plan, clock)
        alone = tuple(told) == ACCELEROMETER
        units = (
            told["accel"] if alone else "; ".join(f"{name} {unit}" for name, unit in told.items())
        )
        reading = self._reading(plan, units)
        reading.files += 1
        rate = f"{clock.rate:.6g}"
        reading.rates[rate] = reading.rates.get(rate, 0) + 1
        if reading.files > 1:
            return per_unit
        stamps = rows.columns.get("time")
        began = clock.moment(0 if stamps is None else stamps[0])
        reading.began = began.isoformat(timespec="milliseconds") if began else None
        values = per_sensor(rows, per_unit)
        reading.magnitude = magnitude_of(values[:, :3])
        reading.regular = None if stamps is None else _regular(clock, stamps)
        labels = self._labels(rows, plan.groups.get("label"))
        time = np.arange(len(rows)) / clock.rate
        if stamps is not None:
            clock.start(stamps[0])
            time = clock.seconds(stamps[:_FIRST_ROWS])
        for row in range(min(_FIRST_ROWS, len(rows))):
            shown = [round(float(value), 4) for value in values[row]]
            reading.rows.append([round(float(time[row]), 4), *shown, str(labels[row])])
        return per_unit

    def _reading(self, plan: _Plan, unit: str) -> Reading:
        """The report's entry of files of this form."""
        form = plan.table.form
        for reading in self.report.readings:
            same = (reading.form, reading.columns, reading.unit, reading.clock)
            if same == (form, plan.columns, unit, plan.clock):
                return reading
        used = set(plan.columns.values())
        ignored = [name for name in plan.table.names if name and name not in used]
        reading = Reading(
            plan.name, 0, form, plan.columns, ignored, unit, clock=plan.clock,
            labels=self._source(plan, "label", "none: name them by --label COLUMN, --labels FILE "
                                "or --path-pattern '{label}/*'"),
            subjects=self._source(plan, "subject", "one for each file, unless named by "
                "--subject COLUMN or --path-pattern '{subject}/*'"),
            sensors=tuple(plan.sensors),
        )  # fmt: skip
        self.report.readings.append(reading)
        return reading

    @staticmethod
    def _source(plan: _Plan, role: str, otherwise: str) -> str:
        if plan.groups.get(role) is not None:
            return f"the file's path, {plan.groups[role]} in {plan.name}"
        return f"column {plan.columns[role]}" if role in plan.columns else otherwise

    def _unit(self, plan: _Plan, name: str, raw: NDArray[np.float64]) -> tuple[float, str]:
        """Units per one of ours, and how that was told: given, stated, the header, or gravity."""
        unit, kind = plan.sensors[name].unit, sensor_kind(name)
        if name in self._per_unit:
            return self._per_unit[name], f"{unit}, as given"
        if kind != "accel":
            if unit is None:
                listed = " or ".join(OF_KIND[kind])
                raise InputError(
                    f"the header of {plan.path} does not tell the unit of {name}: give --sensor "
                    f"{name}={','.join(plan.sensors[name].columns)}:UNIT ({listed})"
                )
            return OF_KIND[kind][unit], f"{unit}, by the header"
        if self._given_per_g is not None:
            return self._given_per_g, f"{self.unit}, as given"
        if plan.table.unit is not None:
            return units_per(kind, plan.table.unit), f"{plan.table.unit}, by the form of the file"
        if unit is not None:
            return UNITS[unit], f"{unit}, by the header"
        key = (*plan.table.names, plan.table.form, name)
        if key not in self._units:
            self._units[key] = UNITS[guess_unit(plan.path, raw)]
        per_g = self._units[key]
        unit = next(name for name, value in UNITS.items() if value == per_g)
        return per_g, f"{unit}, by gravity in the data"

    def _warn(self, plan: _Plan, doubt: str | None) -> None:
        """Warn of what is plausible, and may be wrong."""
        if doubt:
            self.report.warn(doubt, plan.name)

    def _warn_of_time(self, plan: _Plan, clock: Clock) -> None:
        if plan.time.doubt:
            self._warn(
                plan,
                f"dates are read as {plan.time.name}, and may be {plan.time.doubt}: --time-format "
                "settles it",
            )
        if clock.coarse:
            self._warn(
                plan,
                "several samples share each timestamp: they are spread evenly; if the sensor's "
                "clock is no good, count rows by --columns X,Y,Z --rate HZ",
            )


@dataclass
class _Plan:
    """How one file is read."""

    path: Path
    name: str
    recording: str
    table: Table
    columns: dict[str, str]
    sensors: dict[str, Triad]
    time: TimeColumn
    groups: dict[str, str | None]
    clock: str = "rows, counted"


def _folder_of(name: str) -> str:
    """The recording that the files ``walk/*.csv`` are."""
    return name.rpartition("/")[0] or "recording"


def _given_triads(
    columns: Sequence[str] | None, triads: Mapping[str, Sequence[str]] | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """Columns by sensor, (x, y, z) and perhaps a unit, and how many of it make one of ours."""
    if triads:
        if not isinstance(triads, Mapping):
            raise InputError("columns of sensors are named by --sensor NAME=X,Y,Z:UNIT")
        as_sensors(list(triads))
        if columns is not None and len(columns) != 1:
            raise InputError("where sensors have their columns, columns names that of time alone")
        for name, parts in triads.items():
            if len(parts) not in (3, 4):
                raise InputError(f"sensor {name} needs columns for x, y and z, and perhaps a unit")
        given = {name: tuple(parts) for name, parts in triads.items()}
        units = {name: parts[3] for name, parts in given.items() if len(parts) == 4}
        return given, {name: units_per(sensor_kind(name), unit) for name, unit in units.items()}
    if columns is None:
        return {}, {}
    if len(columns) not in (3, 4, 6, 7, 9, 10):
        raise InputError(
            "columns must name time, x, y, z, or x, y, z; then those of a gyroscope and of a "
            "magnetometer"
        )
    axes = tuple(columns)[len(columns) % 3 :]
    return {name: axes[3 * n : 3 * n + 3] for n, name in enumerate(UNIT_OF) if axes[3 * n :]}, {}


def _named_triads(
    path: Path, table: Table, given: Mapping[str, tuple[str, ...]]
) -> dict[str, Triad]:
    """The sensors whose columns are given, with the units that the header tells."""
    known = {column: triad for triad in triads(table.names) for column in triad.columns}
    found = {}
    for name, (x, y, z, *unit) in given.items():
        kind, told = sensor_kind(name), known.get(x)
        if told and len(given) > 1 and told.sensor in UNIT_OF and told.sensor != kind:
            raise InputError(
                f"{path}: column {x} is a {told.sensor}'s by its name, and stands where {name}'s "
                f"is expected: name it by --sensor {told.sensor}={x},{y},{z}"
            )
        stated = told.unit if told and told.unit in OF_KIND[kind] else None
        found[name] = Triad(cast(Sensor, kind), (x, y, z), unit[0] if unit else stated, 3)
    return found


def _bare(triad: Triad | None, kind: str) -> Triad | None:
    """Columns x, y and z of which the file's name alone tells the sensor."""
    if triad is None or triad.certainty > 1:
        return None
    return replace(triad, sensor=cast(Sensor, kind))


def _after_time(table: Table) -> Triad | None:
    """The three columns of numbers that follow a date, where no line names them.

    So do OmGui and GENEActiv write, and both mean g.
    """
    if len(table.names) < 4 or not read_time(table.head("1")).dates:
        return None
    x, y, z = table.names[1:4]
    return Triad("accel", (x, y, z), None, 1)


def _of_numbers(unit: str, clock: Clock, stamps: NDArray[Any]) -> str:
    names = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
    if unit == "days":
        return "days of a spreadsheet"
    if clock.moment(stamps[0]) is not None:
        return f"{names[unit]} since 1970"
    return names[unit] + (" of the day" if clock.period else "")


def _regular(clock: Clock, stamps: NDArray[Any]) -> float | None:
    """Share of the steps within 10 % of the rate's."""
    if clock.scale is None or clock.rate is None or clock.coarse or len(stamps) < 2:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        periods = np.diff(stamps) * clock.scale * clock.rate
    return round(float(np.mean(np.abs(periods - 1) <= 0.1)), 4)


def _delimiter(given: str | None) -> str | None:
    """A delimiter by its character or its name."""
    names = {name: mark for mark, name in DELIMITERS.items()} | {"\\t": "\t"}
    mark = names.get(given or "", given)
    if mark is not None and (len(mark) != 1 or mark.isalnum()):
        raise InputError(
            f"delimiter must be one character or one of {', '.join(names)}, not {excerpt(given)!r}"
        )
    return mark


def _decimal(given: str | None) -> str | None:
    """A decimal sign by its character or its name."""
    sign = {"point": ".", "comma": ","}.get(given or "", given)
    if sign not in (None, ".", ","):
        raise InputError(f"decimal must be point or comma, not {excerpt(given)!r}")
    return sign


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    if re.search(r"(?<!P<)\{(label|subject|sensor)\}", pattern):
        pattern = _from_template(pattern)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"path_pattern is no valid regular expression: {error}") from error
    unknown = set(compiled.groupindex) - {"label", "subject", "sensor"}
    if unknown or not compiled.groupindex:
        raise InputError(
            "path_pattern needs {label}, {subject} or {sensor}, or named groups of these names and "
            "no others"
        )
    return compiled


def _from_template(template: str) -> str:
    """A pattern such as {label}/{subject}_*.csv as a regular expression."""
    parts = {f"{{{name}}}": rf"(?P<{name}>[^/]+?)" for name in ("label", "subject", "sensor")}
    written = (
        {**parts, "*": "[^/]*"}.get(part, re.escape(part))
        for part in re.split(r"(\{label\}|\{subject\}|\{sensor\}|\*)", template)
    )
    return rf"(?:^|/){''.join(written)}$"


def _without_suffix(name: str) -> str:
    fitting = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return name[: -len(max(fitting, key=len))] or name if fitting else name


def clean_labels(labels: NDArray[np.object_]) -> NDArray[np.object_]:
    """Labels without padding, and unlabelled where they only say that there is none."""
    stripped = {label: label.strip() for label in set(labels.tolist())}
    names = {label: UNLABELLED if text in MISSING else text for label, text in stripped.items()}
    if all(label == name for label, name in names.items()):
        return labels
    return map_labels(labels, names)
