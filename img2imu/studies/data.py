"""The data sets of a study: windows files, thinned, split, and what is missing of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..hashing import content_hash
from ..recordings import UNLABELLED, SplitManifest, Subjects, Windows, load_windows
from ..recordings.plausible import require_testable
from ..recordings.sensors import ACCELEROMETER, require_accelerometer
from ..recordings.splits import fingerprint
from .config import StudyConfig
from .results import Missing

EVERYBODY = Subjects()


@dataclass(frozen=True)
class DataSet:
    """A windows file as the study uses it.

    Attributes
    ----------
    name
        Of the file, without its ending.
    windows
        Labelled, at most as many as the study takes.
    manifest
        Folds and draws.
    identity
        What the windows are, for the keys of the cells.
    """

    name: str
    windows: Windows
    manifest: SplitManifest
    identity: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.windows.X.shape[-1] / self.windows.sampling_rate

    @property
    def shots(self) -> tuple[int, ...]:
        """Shots that every class has windows for."""
        return tuple(dict.fromkeys(draw.shots for draw in self.manifest.draws if draw.shots))

    def describe(self) -> dict[str, Any]:
        """Numbers of windows, subjects and classes."""
        X, y = self.windows.X, self.windows.y
        return {
            "windows": len(X),
            "samples": X.shape[-1],
            "sampling_rate": self.windows.sampling_rate,
            "subjects": len(self.windows.subjects),
            "classes": {name: int((y == name).sum()) for name in self.windows.classes},
            "shots": list(self.shots),
            **({} if self.windows.sensors == ACCELEROMETER else {"sensors": self.windows.sensors}),
            **self.identity,
        }


def load_sets(
    paths: Sequence[str | Path],
    config: StudyConfig,
    sampling_rate: float | None = None,
    subjects: Subjects = EVERYBODY,
    several: bool = True,
    incomplete: bool = False,
) -> tuple[list[DataSet], list[Missing]]:
    """Read the windows files; those that cannot take part are named with the reason.

    Parameters
    ----------
    paths
        Windows files, or folders of arrays.
    config
        How they are thinned and split.
    sampling_rate
        Of folders of arrays, which do not tell their own, in Hz.
    subjects
        Whose windows take part; each must be in one of the files.
    several
        Whether files of other sensors than the accelerometer alone may take part.
    incomplete
        Whether files may in which samples are missing.

    Raises
    ------
    InputError
        If two files have one name, none can take part, or somebody is in none.
    """

    def prepared(name: str, windows: Windows) -> tuple[DataSet, list[Missing]]:
        if not several:
            require_accelerometer(windows.sensors, "this study")
        return prepare(name, windows, config)

    return _load(paths, prepared, sampling_rate, subjects, incomplete)


def load_recordings(
    paths: Sequence[str | Path],
    config: StudyConfig,
    sampling_rate: float | None = None,
    subjects: Subjects = EVERYBODY,
) -> tuple[list[DataSet], list[Missing]]:
    """All windows of the files, unlabelled ones too, split by subject: as :func:`load_sets`."""
    return _load(
        paths, lambda name, windows: (_whole(name, windows, config), []), sampling_rate, subjects
    )


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """Of the data sets in these files.

    Raises
    ------
    InputError
        If two are the same.
    """
    names = [Path(path).name.removesuffix(".npz") for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two windows files are called {twice[0]}: rename one")
    return names


def _load(
    paths: Sequence[str | Path],
    prepared: Callable[[str, Windows], tuple[DataSet, list[Missing]]],
    sampling_rate: float | None,
    subjects: Subjects,
    incomplete: bool = False,
) -> tuple[list[DataSet], list[Missing]]:
    names = names_of(paths)
    sets: list[DataSet] = []
    missing: list[Missing] = []
    known: set[str] = set()
    for name, path in zip(names, paths, strict=True):
        try:
            windows = load_windows(path, sampling_rate, incomplete=incomplete)
            known |= set(windows.subjects)
            data, lacking = prepared(name, subjects.of(windows))
        except InputError as error:
            missing.append(Missing(name, "", str(error)))
        else:
            sets.append(data)
            missing += lacking
    if known:
        subjects.require_among(known, "the windows files")
    if not sets:
        raise InputError(missing[0].reason if missing else "a study needs windows files")
    return sets, missing


def _whole(name: str, windows: Windows, config: StudyConfig) -> DataSet:
    from ..fewshot.evaluation import require_live_axes

    labelled = windows.select(windows.y != UNLABELLED)
    require_testable(labelled)
    require_live_axes(labelled)
    probe = config.probe
    seeds = range(probe.seed, probe.seed + probe.seeds)
    manifest = SplitManifest.create(name, windows, probe.shots, seeds, probe.folds, probe.seed)
    return DataSet(name, windows, manifest, _identity(windows))


def _identity(windows: Windows) -> dict[str, str]:
    return {"fingerprint": fingerprint(windows), "samples_sha256": content_hash(windows.X)}


def prepare(name: str, windows: Windows, config: StudyConfig) -> tuple[DataSet, list[Missing]]:
    """Thin and split; numbers of shots that a class has too few windows for are missing.

    Raises
    ------
    InputError
        If subjects, classes or windows do not suffice for any number of shots.
    """
    from ..fewshot.evaluation import require_live_axes

    windows = windows.select(windows.y != UNLABELLED)
    require_testable(windows)
    require_live_axes(windows)
    windows = (thin if config.balanced else sample)(windows, config.windows)
    probe = config.probe
    possible, missing = [], []
    for shots in probe.shots:
        try:
            SplitManifest.create(name, windows, (shots,), range(1), probe.folds, probe.seed)
            possible.append(shots)
        except InputError as error:
            missing.append(Missing(name, "", f"{shots} shots: {error}"))
    if not possible:
        raise InputError(missing[0].reason)
    seeds = range(probe.seed, probe.seed + probe.seeds)
    manifest = SplitManifest.create(name, windows, possible, seeds, probe.folds, probe.seed)
    return DataSet(name, windows, manifest, _identity(windows)), missing


def thin(windows: Windows, count: int | None, seed: int = 0) -> Windows:
    """At most `count` windows, drawn evenly over all pairs of a subject and a class.

    Every pair gives its first drawn window before any gives its second, and so on; a pair that
    runs out leaves its share to the others.
    """
    if count is None or len(windows) <= count:
        return windows
    pairs = np.char.add(np.char.add(windows.subject, "\0"), windows.y)
    rng = np.random.default_rng(seed)
    turn = np.empty(len(windows), np.intp)
    for pair in np.unique(pairs):
        members = np.flatnonzero(pairs == pair)
        turn[members] = rng.permutation(len(members))
    first = np.lexsort((rng.random(len(windows)), turn))[:count]
    return windows.select(np.sort(first))


def sample(windows: Windows, count: int | None, seed: int = 0) -> Windows:
    """At most `count` windows, drawn at random: classes keep their proportions."""
    if count is None or len(windows) <= count:
        return windows
    return windows.select(np.sort(np.random.default_rng(seed).permutation(len(windows))[:count]))
