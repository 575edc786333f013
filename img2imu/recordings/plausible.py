"""Windows that are not what they are taken for: told in a sentence before anything is learnt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt
from .readers.units import UNITS, guess_unit
from .sensors import ACCELEROMETER, axes_of, sensor_kind
from .windows import Windows

LOOKED_AT = 1000
"""Windows from which the unit is told."""

LEAST_TESTED = 5
"""Windows of a class below which a score of it says nothing: one error is a fifth of it."""


def require_g(
    X: NDArray[np.floating], what: str = "windows", sensors: Sequence[str] = ACCELEROMETER
) -> None:
    """Raise :class:`InputError` if gravity tells that acceleration is in another unit than g.

    Parameters
    ----------
    X
        Shape (n, 3 * sensors, samples).
    what
        Whose they are, for the error.
    sensors
        Of which the accelerometers are looked at.
    """
    if not len(X):
        return
    every = X[:: max(1, len(X) // LOOKED_AT)]
    for name in sensors:
        if sensor_kind(name) == "accel":
            _require_g(every[:, axes_of(sensors, (name,))], what)


def _require_g(some: NDArray[np.floating], what: str) -> None:
    rows = some.transpose(0, 2, 1).reshape(-1, 3).astype(np.float64)
    try:
        unit = guess_unit(Path(), rows[~np.isnan(rows).any(axis=1)])
    except InputError:
        return  # Nothing like gravity in any unit: a sensor that leaves it out.
    if unit != "g":
        raise InputError(
            f"{what} must be in g, but by gravity these are in {unit}: divide them by "
            f"{UNITS[unit]:g}, or convert the recordings with --unit {unit}"
        )


def require_different(X: NDArray[np.floating]) -> None:
    """Raise :class:`InputError` if all windows, shape (n, axes, samples), are the same."""
    if len(X) > 1 and np.array_equal(X[0], X[-1]) and (X[0] == X).all():
        raise InputError(f"all {len(X)} windows are alike: nothing can be learnt from them")


def require_testable(windows: Windows) -> None:
    """Raise :class:`InputError` if a score on these labelled windows would mean nothing.

    Too few classes, too few windows of one, all windows alike, or most of somebody's windows
    another's, too: what is learnt from one is then tested on its copy.
    """
    if not windows.classes:
        raise InputError("no window has a label")
    if len(windows.classes) == 1:
        raise InputError(
            f"there is one class only, {excerpt(windows.classes[0])!r}: two are needed"
        )
    for name in windows.classes:
        count = int(np.count_nonzero(windows.y == name))
        if count < LEAST_TESTED:
            raise InputError(
                f"class {excerpt(name)!r} has {count} windows: {LEAST_TESTED} are needed to say "
                "how well it is recognised (img2imu fit learns from fewer)"
            )
    require_g(windows.X, sensors=windows.sensors)
    require_different(windows.X)
    _require_own(windows)


def _require_own(windows: Windows) -> None:
    owners: dict[int, set[str]] = defaultdict(set)
    keys = [hash(window.tobytes()) for window in windows.X]
    for key, subject in zip(keys, windows.subject.tolist(), strict=True):
        owners[key].add(subject)
    shared = np.array([len(owners[key]) > 1 for key in keys])
    if 2 * np.count_nonzero(shared) <= len(windows):
        return
    first, other, *_ = sorted(owners[keys[int(np.argmax(shared))]])
    raise InputError(
        f"{np.count_nonzero(shared)} of {len(windows)} windows belong to more than one subject, "
        f"such as {excerpt(first)!r} and {excerpt(other)!r}: the same recordings under two names"
    )
