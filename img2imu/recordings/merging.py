"""Several windows files as one: who is the same person, and who only has the same name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt
from .types import UNLABELLED
from .windows import Windows, describe, form_of


def merge_windows(sets: Mapping[str, Windows], *, same_people: bool = False) -> Windows:
    """All windows of several sets, in their order.

    A subject or recording whose name occurs in several sets is told apart by the set's name, as in
    ``monday/ann``.

    Parameters
    ----------
    sets
        By name; of one length, sampling rate and list of sensors.
    same_people
        Subjects of one name are one person: their windows are never on two sides of a split.
        Recordings are told apart even so.

    Raises
    ------
    InputError
        If lengths, rates or sensors differ, or a window is in two sets.
    """
    (first, one), *others = sets.items()
    for name, windows in others:
        if form_of(windows) != form_of(one):
            raise InputError(
                f"{excerpt(name)} holds windows of {describe(form_of(windows))} and "
                f"{excerpt(first)} of {describe(form_of(one))}: convert the recordings with the "
                "same --seconds and --sampling-rate, and --sensors where they have several"
            )
    _require_apart(sets)
    subjects = [] if same_people else shared_subjects(sets)
    recordings = _shared({name: each.recording for name, each in sets.items()})
    return Windows.concatenate(
        [
            replace(
                windows,
                subject=_told_apart(windows.subject, subjects, name),
                recording=_told_apart(windows.recording, recordings, name),
            )
            for name, windows in sets.items()
        ]
    )


def with_unlabelled(windows: Windows, more: Windows) -> Windows:
    """`windows`, and behind them `more` without labels; subjects of one name are one person.

    Raises
    ------
    InputError
        As :func:`merge_windows`.
    """
    bare = replace(more, y=np.full(len(more), UNLABELLED))
    return merge_windows({"labelled": windows, "unlabelled": bare}, same_people=True)


def shared_subjects(sets: Mapping[str, Windows]) -> list[str]:
    """Names that occur in more than one set, sorted."""
    return _shared({name: windows.subject for name, windows in sets.items()})


def set_names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A short name for each file: what of its path no other one has.

    ``out/a/windows.npz`` and ``out/b/windows.npz`` are ``a`` and ``b``.

    Raises
    ------
    InputError
        If a file is named twice.
    """
    # Unlike Path.resolve, realpath takes links that lead in a circle.
    parts = [Path(os.path.realpath(path).removesuffix(".npz")).parts for path in paths]
    for path, count in Counter(parts).items():
        if count > 1:
            raise InputError(f"{Path(*path).name} is named twice")
    while len(parts) > 1 and len({path[-1] for path in parts}) == 1:
        parts = [path[:-1] for path in parts]
    length = 1
    while len({path[-length:] for path in parts}) < len(parts):
        length += 1
    return ["/".join(path[-length:]) for path in parts]


def _require_apart(sets: Mapping[str, Windows]) -> None:
    """Raise :class:`InputError` if a window is in two sets: it would be learnt from and tested."""
    seen: dict[int, str] = {}
    for name, windows in sets.items():
        keys = {hash(window.tobytes()) for window in windows.X if np.ptp(window)}
        for key in keys & seen.keys():
            raise InputError(
                f"{excerpt(name)} and {excerpt(seen[key])} hold the same windows: leave one out"
            )
        seen |= dict.fromkeys(keys, name)


def _shared(columns: Mapping[str, NDArray[np.str_]]) -> list[str]:
    counts = Counter(text for column in columns.values() for text in set(column.tolist()))
    return sorted(text for text, count in counts.items() if count > 1)


def _told_apart(column: NDArray[np.str_], shared: Sequence[str], name: str) -> NDArray[np.str_]:
    return np.where(np.isin(column, shared), np.char.add(f"{name}/", column), column)
