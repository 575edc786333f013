"""Timestamps as people's files have them: numbers of some unit, dates, times of the day."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt

Kind = Literal["float", "int", "datetime", "zoned", "clock"]
"""How timestamps are read; ``clock`` by a `ClockFormat`, dates in ISO 8601 faster than that."""

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "days": 86_400.0}
"""Seconds in one of a unit."""

NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?")
"""A number with either decimal sign."""

_EXACT_IN_FLOAT = 15  # digits
_SECOND, _DAY = 1_000_000_000, 86_400 * 1_000_000_000  # in ns
_EPOCH_SECONDS = (9.4e8, 4.1e9)  # years 2000 to 2099
_SPREADSHEET_DAYS = (25_569, 73_050)  # years 1970 to 2099
_SPREADSHEET_ORIGIN = datetime(1899, 12, 30)
_RATE_STEPS = 8  # fewest from which a rate is told
_SHARED = 0.1  # of the timestamps, from which on a clock is too coarse

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(?P<z>Z|[+-]\d\d(:?\d\d)?)?|\d{4}-\d\d-\d\d"
)
_DATES = {
    "year-month-day": r"(?P<Y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
    "day.month.year": r"(?P<d>\d{1,2})[-.](?P<m>\d{1,2})[-.](?P<Y>\d{4}|\d{2})",
    "month/day/year": r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<Y>\d{4}|\d{2})",
    "day/month/year": r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<Y>\d{4}|\d{2})",
}
_TIME = (
    r"(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,:](?P<f>\d{1,9}))?)?"
    r"(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?(?: ?(?P<z>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
)
_BETWEEN = r"(?:[Tt_]|,? +)"
_DIRECTIVES = {
    **{"Y": r"(?P<Y>\d{4})", "y": r"(?P<Y>\d{2})", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})"},
    **{"H": r"(?P<H>\d{1,2})", "I": r"(?P<H>\d{1,2})", "M": r"(?P<M>\d{1,2})"},
    **{"S": r"(?P<S>\d{1,2})", "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>[AaPp])\.?[Mm]\.?"},
    **{"z": r"(?P<z>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)", "%": "%"},
}


@dataclass(frozen=True)
class ClockFormat:
    """How dates and times are written.

    Attributes
    ----------
    name
        For people.
    pattern
        Regular expression with the groups Y, m, d, H, M, S, f (fraction), p (A or P) and z (zone),
        of which some may be missing.
    """

    name: str
    pattern: str

    @property
    def period(self) -> int | None:
        """After how many ns the clock begins again: a day or an hour where there is no date."""
        if "(?P<d>" in self.pattern:
            return None
        return _DAY if "(?P<H>" in self.pattern else 3600 * _SECOND

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)

    def zone(self, cell: str) -> int | None:
        """Minutes ahead of UTC that a cell tells."""
        found = self._compiled.fullmatch(cell.strip())
        return zone_minutes(found.groupdict().get("z") or "") if found else None

    def matches(self, cell: str) -> bool:
        """Whether a cell is written so, and is a moment that there is."""
        try:
            self.parse(cell)
        except ValueError:
            return False
        return True

    def parse(self, cell: str) -> int:
        """Nanoseconds since 1970, or since midnight, of one cell; raises ValueError."""
        found = self._compiled.fullmatch(cell.strip())
        if found is None:
            raise ValueError(cell)
        parts = found.groupdict(default="")
        numbers = {name: int(parts.get(name) or 0) for name in "YmdHMS"}
        hour = _hour_of_day(numbers["H"], parts.get("p", ""))
        fraction = int((parts.get("f") or "0").ljust(9, "0"))
        offset = zone_minutes(parts.get("z", "")) or 0
        if self.period is None:
            year = numbers["Y"] + 2000 * (numbers["Y"] < 100)
            day = datetime(year, numbers["m"], numbers["d"], tzinfo=UTC)
            days = (day - datetime(1970, 1, 1, tzinfo=UTC)).days
        else:
            days = 0
        if hour > 23 or numbers["M"] > 59 or numbers["S"] > 59:
            raise ValueError(cell)
        seconds = days * 86_400 + (hour * 60 + numbers["M"] - offset) * 60 + numbers["S"]
        return seconds * _SECOND + fraction

    def parse_all(self, column: Any) -> NDArray[np.int64] | None:
        """The same of a whole pyarrow column; None if any cell is not written so."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.extract_regex(pc.utf8_trim_whitespace(column), f"^(?:{self.pattern})$")
        if found.null_count:
            return None
        names = {found.type.field(place).name for place in range(found.type.num_fields)}

        def texts(name: str) -> Any:
            part = found.field(name)
            return pc.if_else(pc.equal(part, ""), "0", part)

        def numbers(name: str) -> NDArray[np.int64]:
            if name not in names:
                return np.zeros(len(column), np.int64)
            values: NDArray[np.int64] = texts(name).cast(pa.int64()).to_numpy(zero_copy_only=False)
            return values

        hour, minute, second = numbers("H"), numbers("M"), numbers("S")
        if "p" in names:
            halves = pc.utf8_lower(found.field("p")).to_numpy(zero_copy_only=False)
            hour = np.where(halves == "", hour, hour % 12 + 12 * (halves == "p"))
        days = _days(numbers("Y"), numbers("m"), numbers("d")) if self.period is None else 0
        if days is None or (hour > 23).any() or (minute > 59).any() or (second > 59).any():
            return None
        total = (days * 86_400 + hour * 3600 + minute * 60 + second) * _SECOND
        if "f" in names:
            digits = pc.utf8_slice_codeunits(pc.utf8_rpad(texts("f"), 9, "0"), 0, 9)
            total += digits.cast(pa.int64()).to_numpy(zero_copy_only=False)
        if "z" in names:
            zones = pc.dictionary_encode(found.field("z"))
            minutes = [zone_minutes(zone) or 0 for zone in zones.dictionary.to_pylist()]
            total -= np.array(minutes)[zones.indices.to_numpy(zero_copy_only=False)] * 60 * _SECOND
        return np.asarray(total, dtype=np.int64)


def _hour_of_day(hour: int, half: str) -> int:
    return hour % 12 + 12 * (half.lower() == "p") if half else hour


def _days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Days since 1970; None where a date does not exist."""
    year = year + 2000 * (year < 100)
    if ((month < 1) | (month > 12) | (day < 1) | (year < 1)).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first, following = (
        (months + step).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        for step in (0, 1)
    )
    found = first + day - 1
    return None if (found >= following).any() else found


def zone_minutes(zone: str) -> int | None:
    """Minutes ahead of UTC of a zone such as +01:00; None without one."""
    if not zone:
        return None
    digits = re.sub(r"\D", "", zone)
    minutes = int(digits[:2] or 0) * 60 + int(digits[2:] or 0)
    return -minutes if zone.startswith("-") else minutes


def format_of(pattern: str) -> ClockFormat:
    """The `ClockFormat` of a pattern such as ``strptime`` takes.

    Raises
    ------
    InputError
        If a directive is not known, or there twice.
    """
    written = ""
    for part in re.findall(r"%.|[^%]+|%$", pattern, re.DOTALL):
        known = _DIRECTIVES.get(part[1:]) if part.startswith("%") else re.escape(part)
        if known is None:
            listed = " ".join(f"%{name}" for name in _DIRECTIVES)
            raise InputError(f"--time-format does not know {excerpt(part)} (known: {listed})")
        written += known
    try:
        groups = re.compile(written).groupindex
    except re.error:
        raise InputError(f"--time-format {excerpt(pattern)!r} has a directive twice") from None
    if not {"M", "S"} & set(groups) or ({"Y", "m", "d"} & set(groups)) not in (
        set(),
        {"Y", "m", "d"},
    ):
        raise InputError(
            f"--time-format {excerpt(pattern)!r} must tell minutes or seconds, and of a date the "
            "year, month and day: for example '%d.%m.%Y %H:%M:%S,%f'"
        )
    return ClockFormat(pattern, written)


@dataclass(frozen=True)
class TimeColumn:
    """How a column of timestamps is read.

    Attributes
    ----------
    kind
        Of its cells.
    format
        Where the kind is ``clock``.
    zone
        Minutes ahead of UTC that its first cell tells.
    doubt
        Another reading that the cells allow.
    """

    kind: Kind = "float"
    format: ClockFormat | None = None
    zone: int | None = None
    doubt: str | None = None

    @property
    def dates(self) -> bool:
        """Whether the timestamps become nanoseconds."""
        return self.kind in ("datetime", "zoned", "clock")

    @property
    def name(self) -> str:
        """For people, of timestamps that are no numbers."""
        if self.format is not None:
            return self.format.name
        return "dates in ISO 8601" + (" with zone" if self.kind == "zoned" else "")


def read_time(cells: Sequence[str], pattern: str | None = None) -> TimeColumn:
    """How a column is to be read, told from its first cells.

    Parameters
    ----------
    cells
        As the file has them.
    pattern
        How they are written, if that is known, in the form of ``strptime``.

    Raises
    ------
    InputError
        If none of the cells is written as `pattern` says.
    """
    cells = [cell.strip() for cell in cells if cell.strip()]
    if pattern is not None:
        format = format_of(pattern)
        if cells and not any(format.matches(cell) for cell in cells):
            raise InputError(f"no timestamp fits --time-format {pattern!r}: {excerpt(cells[0])!r}")
        return TimeColumn("clock", format, _zone(format, cells))
    most = len(cells) / 2
    if sum(bool(NUMBER.fullmatch(cell)) for cell in cells) > most:
        whole = [cell for cell in cells if re.fullmatch(r"[-+]?\d+", cell)]
        long = len(whole) > most and len(whole[0]) > _EXACT_IN_FLOAT
        return TimeColumn("int" if long else "float")
    iso = [found for cell in cells if (found := _ISO.fullmatch(cell))]
    if len(iso) > most and len({bool(found["z"]) for found in iso}) == 1:
        zone = zone_minutes(iso[0]["z"] or "")
        return TimeColumn("datetime" if zone is None else "zoned", zone=zone)
    fitting = [format for format in _FORMATS if sum(format.matches(cell) for cell in cells) > most]
    if not fitting:
        return TimeColumn()
    best = max(fitting, key=lambda format: sum(format.matches(cell) for cell in cells))
    equal = [format for format in fitting if all(map(format.matches, cells))]
    other = next((format.name for format in equal if format is not best), None)
    return TimeColumn("clock", best, _zone(best, cells), other if best in equal else None)


_FORMATS = (
    *(ClockFormat(name, date + _BETWEEN + _TIME) for name, date in _DATES.items()),
    ClockFormat("time of the day", _TIME),
    ClockFormat("minutes and seconds", r"(?P<M>\d{1,2}):(?P<S>\d{2})[.,](?P<f>\d{1,9})"),
)


def _zone(format: ClockFormat, cells: Sequence[str]) -> int | None:
    return next((format.zone(cell) for cell in cells if format.matches(cell)), None)


def time_of_day() -> ClockFormat:
    """The format of times without a date, such as 14:05:06.5."""
    return _FORMATS[-2]


def guess_time_unit(stated: str | None, stamps: NDArray[Any]) -> str:
    """Unit of numeric timestamps.

    What the column's name says; else that in which the first one is a date between 2000 and 2099;
    days where a spreadsheet counts them so; else by the median step: below 1 it is s, below 1,000
    ms, below a million us, and ns beyond.
    """
    if stated is not None:
        return stated
    step, first = _median_step(stamps) or 0.0, float(stamps[0])
    for unit in ("s", "ms", "us", "ns"):
        scale = TIME_UNITS[unit]
        if _EPOCH_SECONDS[0] <= first * scale <= _EPOCH_SECONDS[1] and step * scale <= 1:
            return unit
    if _SPREADSHEET_DAYS[0] <= first <= _SPREADSHEET_DAYS[1] and 0 < step * 86_400 <= 1.5:
        return "days"
    bounds = {"s": 1.0, "ms": 1e3, "us": 1e6}
    return next((unit for unit, bound in bounds.items() if step < bound), "ns")


def nominal_rate(measured: float) -> float:
    """The whole number of Hz within 2 % of a measured rate, or the rate to four digits."""
    whole = round(measured)
    return float(whole) if abs(measured - whole) <= 0.02 * measured else float(f"{measured:.4g}")


@dataclass
class Clock:
    """Turns recorded timestamps into seconds since the recording's first.

    Attributes
    ----------
    scale
        Seconds in one unit; None where rows are counted instead.
    rate
        Samples per second; where nothing tells, None.
    period
        Units after which the clock begins again.
    coarse
        Whether samples share timestamps, so that they have to be spread between them.
    moment
        Wall-clock time of a stamp, aware where the file tells the zone; None of those unknown.
    """

    scale: float | None
    rate: float | None = None
    period: float | None = None
    coarse: bool = False
    moment: Callable[[Any], datetime | None] = field(default=lambda stamp: None, repr=False)
    _origin: Any = 0
    _wraps: int = 0
    _last: Any = None
    _repeats: int = 0

    def start(self, stamp: Any) -> datetime | None:
        """Begin a recording at its first stamp; returns the moment."""
        self._origin, self._wraps, self._last, self._repeats = stamp, 0, None, 0
        return self.moment(stamp)

    def seconds(self, stamps: NDArray[Any]) -> NDArray[np.float64]:
        """Times of the next rows."""
        if self.scale is None:
            assert self.rate is not None
            return np.asarray((stamps - self._origin) / self.rate, dtype=np.float64)
        before = stamps[0] if self._last is None else self._last
        with np.errstate(over="ignore", invalid="ignore"):
            time = (stamps - self._origin) * self.scale
            if self.period is not None:
                back = np.diff(stamps, prepend=before) < -self.period / 2
                time = time + (self._wraps + np.cumsum(back)) * self.period * self.scale
                self._wraps += int(np.count_nonzero(back))
        if self.coarse and self.rate is not None:
            time = time + self._within(stamps) / self.rate
        self._last = stamps[-1]
        return np.asarray(time, dtype=np.float64)

    def _within(self, stamps: NDArray[Any]) -> NDArray[np.int64]:
        """Place of each row among those of its timestamp."""
        row = np.arange(len(stamps))
        new = np.append(True, stamps[1:] != stamps[:-1])
        place = row - np.maximum.accumulate(np.where(new, row, 0))
        if stamps[0] == self._last:
            place[: int(np.argmin(np.append(stamps == stamps[0], False)))] += self._repeats + 1
        self._repeats = int(place[-1])
        return place


def create_clock(
    column: TimeColumn,
    unit: str,
    stamps: NDArray[Any],
    values: NDArray[np.float64],
    given_rate: float | None = None,
) -> Clock:
    """The clock of a recording, told from its first rows.

    Parameters
    ----------
    column
        How the timestamps were read.
    unit
        Of timestamps that are numbers.
    stamps
        The first timestamps.
    values
        Shape (n, 3): what was measured then; two equal rows at one time are one sample, sent twice.
    given_rate
        The sampling rate in Hz, where it is known.
    """
    scale = TIME_UNITS["ns" if column.dates else unit]
    period: float | None = None
    if column.format is not None:
        period = column.format.period
    elif not column.dates and unit == "s" and _seconds_of_the_day(stamps):
        period = 86_400
    rate, coarse = measure_rate(stamps, values)
    measured = None if rate is None else rate / scale
    return Clock(scale, measured or given_rate, period, coarse, _moments(column, unit))


def _seconds_of_the_day(stamps: NDArray[Any]) -> bool:
    return bool(stamps.min() >= 0 and 3600 < stamps.max() < 86_400)


def measure_rate(
    stamps: NDArray[Any], values: NDArray[np.floating[Any]]
) -> tuple[float | None, bool]:
    """Samples per unit of time, and whether the clock is too coarse to tell them apart.

    Of the steps that are usual ones, so that samples lost or sent twice do not move the rate; None
    where there are too few timestamps.
    """
    usual = _median_step(stamps)
    if usual is None:
        return None, False
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(stamps)
    again = (steps == 0) & (values[1:] == values[:-1]).all(axis=1)
    steps = steps[~again & (steps >= 0) & (steps <= 1.5 * usual)]
    shared = np.count_nonzero(steps == 0)
    if shared > _SHARED * len(steps):
        # Of whole ticks, as the first and the last one may be cut, and without gaps.
        ends = np.flatnonzero(np.diff(stamps) > 0)
        counts, ticks = np.diff(ends), np.diff(stamps[ends]).astype(np.float64)
        whole = (ticks > 0) & (ticks <= 1.5 * usual)
        return (counts[whole].sum() / ticks[whole].sum() if whole.any() else None), True
    if shared < 0.02 * len(steps):  # a few collide where times are rounded
        steps = steps[steps > 0.5 * usual]
    mean = float(steps.mean()) if len(steps) else 0.0
    return (1 / mean if 0 < mean < np.inf else None), False


def _median_step(stamps: NDArray[Any]) -> float | None:
    """Median step forwards; None where there are too few to tell."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(stamps)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) >= _RATE_STEPS else None


def _moments(column: TimeColumn, unit: str) -> Callable[[Any], datetime | None]:
    """What tells the wall-clock time of a timestamp."""
    zone = None if column.zone is None else timezone(timedelta(minutes=column.zone))
    scale = TIME_UNITS["ns" if column.dates else unit]

    def moment(stamp: Any) -> datetime | None:
        try:
            if column.dates:
                if column.format is not None and column.format.period is not None:
                    return None
                naive = datetime(1970, 1, 1) + timedelta(microseconds=int(stamp) // 1000)
                return naive if zone is None else naive.replace(tzinfo=UTC).astimezone(zone)
            if unit == "days":
                in_range = _SPREADSHEET_DAYS[0] <= stamp <= _SPREADSHEET_DAYS[1]
                return _SPREADSHEET_ORIGIN + timedelta(days=float(stamp)) if in_range else None
            seconds = float(stamp) * scale
            in_range = _EPOCH_SECONDS[0] <= seconds <= _EPOCH_SECONDS[1]
            return datetime.fromtimestamp(seconds, UTC) if in_range else None
        except (OverflowError, ValueError):
            return None

    return moment


def moment_of(number: float, unit: str) -> float | datetime:
    """Seconds; or the wall-clock time of a number that counts from 1970."""
    dated = _moments(TimeColumn(), unit)(number)
    if dated is None and unit == "s":
        dated = _moments(TimeColumn(), "ms")(number)
    return number * TIME_UNITS[unit] if dated is None else dated


def stated_moment(start: str | None) -> datetime | None:
    """The moment that a file states outside its columns: a date and time, or seconds since 1970."""
    if start is None:
        return None
    column = read_time([start])
    if column.kind == "float":
        return _moments(column, "s")(float(start)) if NUMBER.fullmatch(start) else None
    parse = column.format.parse if column.format is not None else None
    return None if parse is None else _moments(column, "ns")(parse(start))
