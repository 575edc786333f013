"""Sensors: triads of axes, by name, with the unit that each kind is kept in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt, listing

ACCELEROMETER: tuple[str, ...] = ("accel",)
"""What recordings hold where nothing else is said."""

UNIT_OF = {"accel": "g", "gyro": "rad/s", "magn": "uT"}
"""Kinds of sensors, and the unit of their values everywhere behind the readers."""


def sensor_kind(name: str) -> str:
    """The kind of a sensor: what stands last in its name, as in ``wrist.gyro``.

    Raises
    ------
    InputError
        If that is no kind of :data:`UNIT_OF`.
    """
    kind = name.rpartition(".")[2]
    if kind not in UNIT_OF:
        raise InputError(
            f"a sensor is called {', '.join(UNIT_OF)}, or by its place before that, as in "
            f"wrist.accel: not {excerpt(name)!r}"
        )
    return kind


def as_sensors(names: Sequence[str]) -> tuple[str, ...]:
    """Names of sensors, checked: at least one, each of a known kind, none twice."""
    for name in names:
        sensor_kind(name)
    if not names or len(set(names)) < len(names):
        raise InputError(f"sensors must be named, each once, not {listing(names, 'none')}")
    return tuple(names)


def placed(
    names: Sequence[str], kinds: Sequence[str], place: str, places: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Place and kind of each sensor of a set that has some in several places.

    Parameters
    ----------
    names
        Wanted: ``gyro`` is the one of `place`, ``wrist.gyro`` that of another; ``("all",)`` is
        every one of `place`.
    kinds
        There are.
    place, places
        Where those are whose names tell no place, and where else some are.

    Raises
    ------
    InputError
        If one is not there.
    """
    names = as_sensors(tuple(kinds) if tuple(names) == ("all",) else names)
    found = {}
    for name in names:
        told, _, kind = name.rpartition(".")
        if kind not in kinds or told not in ("", *places):
            known = listing([*kinds, *(f"{each}.{kind}" for each in places for kind in kinds)])
            raise InputError(f"there is no sensor {excerpt(name)!r}; there are: {known}")
        found[name] = (told or place, kind)
    return found


def axes_of(sensors: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Which channels of windows of `sensors`, three of each, are those of the `wanted` ones.

    Raises
    ------
    InputError
        If one is not there.
    """
    for name in wanted:
        if name not in sensors:
            raise InputError(f"there is no sensor {excerpt(name)!r}; there are: {listing(sensors)}")
    return np.array([3 * sensors.index(name) + axis for name in wanted for axis in range(3)])


def axis_names(sensors: Sequence[str]) -> list[str]:
    """A name for each channel: x, y and z of the accelerometer, ``gyro.x`` of others."""
    before = ["" if name == "accel" else f"{name}." for name in sensors]
    return [f"{name}{axis}" for name in before for axis in "xyz"]


def units_of(sensors: Sequence[str]) -> list[int]:
    """Which of them are in one unit, and turn together: a number for each place in their names."""
    places = [name.rpartition(".")[0] for name in sensors]
    return [list(dict.fromkeys(places)).index(place) for place in places]


def sensor_metadata(sensors: Sequence[str]) -> dict[str, Any]:
    """What a model says of its input: ``unit`` of an accelerometer, ``sensors`` in order of others.

    Each of ``sensors`` has its ``name`` and ``unit``.
    """
    if tuple(sensors) == ACCELEROMETER:
        return {"unit": UNIT_OF["accel"]}
    return {"sensors": [{"name": name, "unit": UNIT_OF[sensor_kind(name)]} for name in sensors]}


def require_accelerometer(sensors: Sequence[str], what: str) -> None:
    """Raise :class:`InputError` unless the accelerometer is the only sensor."""
    if tuple(sensors) != ACCELEROMETER:
        raise InputError(
            f"{what} takes the accelerometer alone so far, not {' and '.join(sensors)}"
        )
