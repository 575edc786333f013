"""What the columns of a table are, told from their names: triads of axes, units, times, labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import InputError, listing
from .clock import read_time

Sensor = Literal["accel", "linear", "gravity", "gyro", "magn", "other"]
"""What a triad measures; ``linear`` is acceleration without gravity."""

# Units as headers spell them, in brackets or at the end of a name.
_ACCELERATION = {
    "m/s2": r"m/s\^?2|m/s²|m/s/s|m\*s\^?-2|m\.?s-2|m s-2|ms\^?-?2|m_s_?2|mps2|meters?/second\^?2",
    "mg": r"mg|milli-?g",
    "g": r"gs?|g-?force",
}
_TIME = {
    "s": r"s|secs?|seconds?",
    "ms": r"ms|msecs?|milli(second)?s?",
    "us": r"us|µs|μs|usecs?|micro(second)?s?",
    "ns": r"ns|nsecs?|nano(second)?s?",
}
_SECOND = r" ?(/| per )? ?(s|secs?|seconds?)"
_ANGULAR = {
    "rad/s": rf"(rad|radians?){_SECOND}",
    "deg/s": rf"(deg|degrees?|°|d){_SECOND}|dps",
    "": r"rps",  # radians or revolutions
}
_MAGNETIC = {
    "uT": r"µt|μt|ut|microtesla",
    "mT": r"mtesla",
    "nT": r"ntesla",
    "T": r"tesla",
    "G": r"gauss",
    "mG": r"mgauss|mg auss",
}
_ANGLE = r"deg|degrees?|°|rad"

_BRACKETS = re.compile(r"[(\[{]\s*([^)\]}]*?)\s*[)\]}]")
_ENDING = re.compile(r"(?i)[\s_.](m_s_?2|ms-?2|mps2|m/s\^?2|mg|g|ms|us|ns|s|dps)$")

_WORDS: tuple[tuple[Sensor, int, str], ...] = (
    ("gyro", 3, r"gyro|gyr|angular|rotation|rotrate|omega|dps|(^|_)(as|w|g|rot)_?\*"),
    ("magn", 3, r"magn|mag|compass|(^|_)[mhb]_?\*"),
    ("other", 3, r"quat|angle|euler|orient|attitude|yaw|roll|pitch|veloc|displace|position|locat"),
    ("other", 3, r"light|pressure|temp|baro|gps|latit|^q\*|jerk|audio|microphone|pedometer|heart"),
    ("gravity", 3, r"gravit"),
    ("linear", 3, r"linear|user_?acc|lin_?acc|(^|_)lacc|without_?g"),
    ("accel", 3, r"acc|beschl|aceler|加速度|^gf|g_?force"),
    ("accel", 2, r"(^|_)a_?\*"),
    ("accel", 1, r"^\*$|^\*_?axis$|^axis_?\*$|^\*_?value$"),
)
"""By which words a sensor is known, and how plainly; of two that fit, the first."""

_TIME_NAME = re.compile(
    r"(date_?)?time(_?of_?day)?|time_?stamps?(_since.*)?|t|seconds_elapsed|elapsed(_time)?|epoch?"
    r"|unix(_?time(stamp)?)?|local_?time|milli(second)?s|micro(second)?s|seconds?|clock|uhrzeit"
    r"|zeit(_?stempel)?|chip_?time|logging_?time|sensor_?time|(header_|sample_|system_|utc_|)"
    r"time(_?stamp)?|time_since_start.*|accelerometer_?timestamp.*|datum(_?uhrzeit)?|tempo|temps"
)
_LABEL_NAME = re.compile(
    r"labels?|activity|activities|class|annotations?|behaviou?r|target|aktivit(ä|ae)t|klasse"
)
_SUBJECT_NAME = re.compile(
    r"(subject|user|participant|person|animal|proband|teilnehmer)(_?(id|name|nr))?|pid"
)


@dataclass(frozen=True)
class Triad:
    """Three columns of one sensor.

    Attributes
    ----------
    sensor
        What it measures.
    columns
        Names of x, y and z.
    unit
        One of `UNITS` of `units.py`, where the header says so.
    certainty
        How plainly the names say that it is this sensor: 3 by a word or a unit, 1 by bare axes.
    """

    sensor: Sensor
    columns: tuple[str, str, str]
    unit: str | None
    certainty: int


def split_unit(name: str) -> tuple[str, str]:
    """A column's name without its unit, and the unit as written, in small letters."""
    inside = [part for part in _BRACKETS.findall(name) if part]
    bare = _BRACKETS.sub(" ", name).strip(" :_")
    if inside:
        return bare, inside[-1].lower()
    if ending := _ENDING.search(name):
        return name[: ending.start()], ending[1].lower()
    return bare, ""


def plain(name: str) -> str:
    """A name in small letters, its words joined by _: ``gyroRotationX`` is gyro_rotation_x."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[a-z]{2})(?=[A-Z]$)", "_", name)
    return re.sub(r"[\W_]+", "_", words.lower()).strip("_")


def time_unit(name: str) -> str | None:
    """The unit that a time column's name states."""
    bare, unit = split_unit(name)
    for known, spelled in _TIME.items():
        if re.fullmatch(spelled, unit):
            return known
        if re.fullmatch(rf"(time_?since_?start_?in_?)?({spelled})(_elapsed)?", plain(bare)):
            return known if len(plain(bare)) > 1 else None
    return None


def sensor_of(text: str) -> tuple[Sensor, int] | None:
    """Which sensor a name speaks of, in which * stands for the axis, and how plainly."""
    found = ((sensor, sure) for sensor, sure, words in _WORDS if re.search(words, text))
    return next(found, None)


def triads(names: Sequence[str]) -> list[Triad]:
    """Every three columns whose names differ in one letter alone, x, y and z."""
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        bare, unit = split_unit(name)
        for place, letter in enumerate(bare):
            if letter in "xyzXYZ":
                key = f"{bare[:place]}*{bare[place + 1 :]}\0{unit}"
                groups[key].setdefault(letter.lower(), name)
    found = []
    for key, axes in groups.items():
        if set(axes) == {"x", "y", "z"}:
            bare, unit = key.split("\0")
            found.append(_triad(bare, unit, (axes["x"], axes["y"], axes["z"])))
    return found


def _triad(bare: str, unit: str, columns: tuple[str, str, str]) -> Triad:
    known = _spelled(_ACCELERATION, unit)
    turning, field = _spelled(_ANGULAR, unit), _spelled(_MAGNETIC, unit)
    sensor, certainty = sensor_of(_starred(bare)) or ("other", 0)
    if turning is not None:
        sensor, certainty = "gyro", 3
    elif field is not None:
        sensor, certainty = "magn", 3
    elif re.fullmatch(_ANGLE, unit):
        sensor, certainty = "other", 3
    elif known and sensor not in ("accel", "linear", "gravity"):
        sensor, certainty = "accel", 3
    elif known:
        certainty = max(certainty, 2)
    units = {"accel": known, "linear": known, "gyro": turning, "magn": field}
    return Triad(sensor, columns, units.get(sensor) or None, certainty)


def _spelled(units: Mapping[str, str], written: str) -> str | None:
    """The unit among these that a header's is."""
    return next((name for name, form in units.items() if re.fullmatch(form, written)), None)


def _starred(bare: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", bare).lower()
    return re.sub(r"[^\w*]+", "_", words).strip("_")


def choose_triad(path: Path, names: Sequence[str], kind: str) -> Triad | None:
    """The triad of an ``accel``, a ``gyro`` or a ``magn``; None where no column is one.

    Acceleration with gravity rather than without; the plainest name of several.

    Raises
    ------
    InputError
        If several are as plain.
    """
    every = triads(names)
    for sensor in ("accel", "linear") if kind == "accel" else (kind,):
        fitting = [triad for triad in every if triad.sensor == sensor]
        plainest = max((triad.certainty for triad in fitting), default=0)
        fitting = [triad for triad in fitting if triad.certainty == plainest]
        if len(fitting) > 1:
            listed = "; ".join(",".join(triad.columns) for triad in fitting[:5])
            option = "columns T,X,Y,Z" if kind == "accel" else f"sensor {kind}=X,Y,Z:UNIT"
            raise InputError(
                f"{path} has several columns for x: which sensor is meant? Give --{option} "
                f"(found: {listed})"
            )
        if fitting:
            _require_once(path, names, fitting[0])
            return fitting[0]
    return None


def _require_once(path: Path, names: Sequence[str], triad: Triad) -> None:
    for axis, column in zip("xyz", triad.columns, strict=True):
        if names.count(column) > 1:
            raise InputError(f"{path} has several columns for {axis}: {listing(names)}")


def choose_time(names: Sequence[str], head: Callable[[str], list[str]]) -> str | None:
    """The time column: of several, one that tells rows apart, and rather a wall clock.

    Parameters
    ----------
    names
        Of all columns.
    head
        Gives the first cells of a column.
    """
    named = [name for name in names if _TIME_NAME.fullmatch(plain(split_unit(name)[0]))]
    candidates = named or [name for name in names if read_time(head(name)).dates]
    if len(candidates) < 2:
        return candidates[0] if candidates else None

    def worth(name: str) -> tuple[bool, bool]:
        cells = [cell for cell in head(name) if cell.strip()]
        apart = len(set(cells)) > len(cells) / 2
        column = read_time(cells)
        dated = column.dates and (column.format is None or column.format.period is None)
        return apart, dated or column.kind == "int" or _is_epoch(cells)

    return max(candidates, key=worth)


def _is_epoch(cells: Sequence[str]) -> bool:
    return bool(cells) and bool(re.fullmatch(r"1[0-9]{9}([.,]\d+|\d{3}|\d{6}|\d{9})?", cells[0]))


def choose_named(path: Path, names: Sequence[str], role: Literal["label", "subject"]) -> str | None:
    """The one column whose name is usual for a role.

    Raises
    ------
    InputError
        If there are several.
    """
    usual = _LABEL_NAME if role == "label" else _SUBJECT_NAME
    found = [name for name in names if usual.fullmatch(plain(split_unit(name)[0]))]
    if len(found) > 1:
        raise InputError(
            f"{path} has several columns for {role}: name it with --{role} "
            f"(found: {listing(found)})"
        )
    return found[0] if found else None
