"""The one exception that means "your input, not our bug"."""

from collections.abc import Iterable

LONGEST = 40
"""Characters that an error repeats of one thing in a file."""

LISTED = 20
"""Things of a file that an error lists."""


class InputError(ValueError):
    """Bad input, told in one clear sentence; the command line prints it and exits with code 2."""


def excerpt(value: object) -> str:
    """What a file says, as a sentence may repeat it: on one line, and not the whole file."""
    text = str(value)
    line = "".join(char if char.isprintable() else " " for char in text[:LONGEST]).strip()
    return line if len(text) <= LONGEST else f"{line}…"


def listing(values: Iterable[object], otherwise: str = "none") -> str:
    """What a file holds, as a sentence may list it."""
    values = list(values)
    shown = [excerpt(value) for value in values[:LISTED]]
    if len(values) > LISTED:
        shown.append(f"and {len(values) - LISTED:,} more")
    return ", ".join(shown) or otherwise
