"""Units of acceleration: as given, as gravity tells them, and what is doubtful about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt
from .base import STANDARD_GRAVITY
from .columns import Sensor

UNITS = {"g": 1.0, "m/s2": STANDARD_GRAVITY, "mg": 1000.0}
"""How many of a unit make one g."""

OF_KIND: dict[str, dict[str, float]] = {
    "accel": UNITS,
    "gyro": {"rad/s": 1.0, "deg/s": np.degrees(1.0)},
    "magn": {"uT": 1.0, "mT": 1e-3, "nT": 1e3, "T": 1e-6, "G": 1e-2, "mG": 10.0},
}
"""How many of a unit make one of that in which a kind of sensor is kept."""

FASTEST = 40.0
"""Rotation in rad/s beyond the range of usual gyroscopes, 2,000 degrees a second."""

_OF_GRAVITY = (0.8, 1.25)
"""In g, the median magnitude of a recording that has gravity in it."""


def magnitude_of(values: NDArray[np.float64]) -> float:
    """Median magnitude of rows (n, 3)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.median(np.linalg.norm(values, axis=1)))


def units_per(kind: str, unit: str) -> float:
    """How many of a unit make one of a kind's own; a number is how many counts do.

    Raises
    ------
    InputError
        If it is neither a unit nor a positive number.
    """
    units = OF_KIND[kind]
    if unit in units:
        return units[unit]
    try:
        counts = float(unit.removeprefix("g/"))
    except ValueError:
        counts = 0.0
    if not 0 < counts < np.inf:
        raise InputError(
            f"unit must be one of {', '.join(units)}, or how many counts make one "
            f"{next(iter(units))}, not {excerpt(unit)!r}"
        )
    return counts


def guess_unit(path: Path, values: NDArray[np.float64]) -> str:
    """Unit in which the median magnitude of `values`, shape (n, 3), is that of gravity."""
    magnitude = magnitude_of(values)
    for unit, per_g in UNITS.items():
        if _like_gravity(magnitude / per_g):
            return unit
    raise InputError(
        f"The unit of {path} cannot be told from gravity (median magnitude {magnitude:.3g}; "
        "acceleration without gravity or raw counts?): "
        f"give --unit as one of {', '.join(UNITS)}, or how many counts make one g"
    )


def _like_gravity(magnitude: float) -> bool:
    return _OF_GRAVITY[0] < magnitude < _OF_GRAVITY[1]


def doubt_of_unit(values: NDArray[np.float64], told: str, sensor: Sensor) -> str | None:
    """What is doubtful about a unit, in a sentence; None if nothing is.

    Parameters
    ----------
    values
        Shape (n, 3): the first rows in g, rad/s or uT, if the unit is right.
    told
        The unit, a comma, and how it was told; of acceleration alone.
    sensor
        What the names of the columns say.
    """
    if sensor == "gyro":
        return _doubt_of_rotation(values)
    if sensor == "magn":
        return None
    unit = told.partition(",")[0]
    magnitude = magnitude_of(values)
    with np.errstate(over="ignore", invalid="ignore"):
        constant = float(np.linalg.norm(values.mean(axis=0)))
    if _like_gravity(magnitude):
        if "by gravity" in told and constant < 0.2 * magnitude:
            return (
                f"the unit may not be {unit}: nothing in it points one way as gravity does; --unit"
            )
        return None
    # Without gravity the mean is small beside the movement, in any unit.
    if sensor == "linear" or constant < 0.4 * magnitude:
        return (
            "there is no gravity in it: this is linear acceleration, and a classifier tells "
            "postures by gravity; record acceleration with g"
        )
    raw = magnitude * units_per("accel", unit)
    other = next((name for name, per_g in UNITS.items() if _like_gravity(raw / per_g)), None)
    if other is not None:
        return (
            f"the median magnitude is {magnitude:.2g} g by the unit {unit}, and would be 1 g by "
            f"{other}: --unit {other}?"
        )
    return (
        f"the median magnitude is {magnitude:.2g} g where gravity makes it 1: --unit, if it is "
        f"not {unit}"
    )


def _doubt_of_rotation(values: NDArray[np.float64]) -> str | None:
    with np.errstate(over="ignore", invalid="ignore"):
        fast = float(np.mean(np.linalg.norm(values, axis=1) > FASTEST))
    if fast < 0.01:
        return None
    return (
        f"{fast:.0%} of the rotation is faster than {FASTEST:g} rad/s, which gyroscopes do not "
        "measure: --sensor gyro=X,Y,Z:deg/s?"
    )
