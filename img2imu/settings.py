"""What all classes of settings share: checks of their values, and safe ways to and from JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError
from .files import write_json

LARGEST_SEED = 2**32 - 1
"""What every library that draws random numbers takes."""

T = TypeVar("T")


def require(condition: bool, otherwise: str) -> None:
    """Raise :class:`InputError` unless `condition` holds."""
    if not condition:
        raise InputError(otherwise)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise :class:`InputError` unless `value` is one of `choices`."""
    require(value in choices, f"{name} must be one of {', '.join(choices)}, not {value!r}")


def require_positive(settings: object, *names: str) -> None:
    """Raise :class:`InputError` unless the fields named are finite and above 0."""
    for name in names:
        value = getattr(settings, name)
        require(0 < value < math.inf, f"{name} must be positive, not {value}")


def require_seed(seed: int) -> None:
    """Raise :class:`InputError` unless `seed` can start every random generator there is.

    One seed starts all that is random in a piece of work: folds, draws, weights, order.
    """
    require(0 <= seed <= LARGEST_SEED, f"seed must lie in [0, {LARGEST_SEED}], not {seed}")


def from_json(kind: type[T], values: object, origin: str) -> T:
    """Settings out of plain values, each of the type that its field says.

    Parameters
    ----------
    kind
        A dataclass; fields may be dataclasses again.
    values
        What :func:`json.loads` gave.
    origin
        Where they come from, for the error.

    Raises
    ------
    InputError
        If a field is missing, unknown, or of another type or range.
    """
    from pydantic import TypeAdapter, ValidationError

    if isinstance(values, Mapping):
        unknown = values.keys() - {each.name for each in fields(kind)}  # type: ignore[arg-type]
        require(not unknown, f"{origin} is damaged: {min(unknown, default='')!r} is unknown")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except (ValidationError, ValueError) as error:
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            reason = f"{place}: {first['msg']}" if place else first["msg"]
        else:
            reason = str(error)
        raise InputError(f"{origin} is damaged: {reason}") from None


def write_sealed(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` as JSON with a checksum of themselves."""
    write_json(path, {**values, "checksum": _checksum(values)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What :func:`write_sealed` wrote, to the letter.

    Raises
    ------
    InputError
        If the file is missing, damaged or was changed since.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        checksum = values.pop("checksum")
    except FileNotFoundError:
        raise InputError(
            f"{path.parent} is not what it should be: {path.name} is missing"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is damaged: it does not hold JSON with a checksum") from None
    if checksum != _checksum(values):
        raise InputError(f"{path} was changed or damaged since it was written")
    return dict(values)


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
