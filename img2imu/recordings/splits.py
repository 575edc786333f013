"""Who trains, who validates, who tests: subject-disjoint folds and few-shot draws, written down."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, excerpt, listing
from ..files import write_text
from .labels import as_labels, label_texts
from .types import UNLABELLED
from .windows import Windows

PARTS = ("train", "validation", "test")
MIN_FOLDS = 3
SHUFFLES = 200
"""Shuffles of the subjects among which the one that spreads the classes best is taken."""


@dataclass(frozen=True)
class Fold:
    """The subjects of one fold by part.

    Attributes
    ----------
    index
        Number of the fold.
    train, validation, test
        Subjects, sorted.
    """

    index: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def windows(self, part: str, subject: NDArray[np.str_]) -> NDArray[np.intp]:
        """Indices of the windows whose `subject`, shape (n,), belongs to the part named."""
        return np.flatnonzero(np.isin(subject, getattr(self, part)))


def subject_folds(
    subjects: Sequence[str] | NDArray[np.str_],
    y: NDArray[np.str_] | None = None,
    n_folds: int = 5,
    seed: int = 0,
) -> list[Fold]:
    """Subject-disjoint folds, 60:20:20 for five; every subject is tested in exactly one.

    The shuffled subjects are dealt into groups whose sizes differ by at most one. Fold `i` tests
    on group `i`, validates on the next group and trains on the others. Of 200 shuffles that one is
    taken in which the fewest classes are missing from training parts, then from any part.

    Parameters
    ----------
    subjects
        Of each window, or each once.
    y
        Labels of the same windows; without them the first shuffle is taken.
    n_folds
        At least 3. Fewer subjects make as many folds as there are subjects.
    seed
        Of the shuffles.

    Raises
    ------
    InputError
        If there are fewer than three subjects, or `n_folds` is less than three.
    """
    names, member = np.unique(np.asarray(subjects, dtype=np.str_), return_inverse=True)
    if n_folds < MIN_FOLDS:
        raise InputError(f"n_folds must be at least {MIN_FOLDS}, not {n_folds}")
    if len(names) < MIN_FOLDS:
        raise InputError(
            f"subject-disjoint folds need at least {MIN_FOLDS} subjects; there are {len(names)}: "
            f"{listing(names)} (img2imu fit takes any number, and measures nothing)"
        )
    n_folds = min(n_folds, len(names))
    shows = _shows(member, len(names), y)
    rng = np.random.default_rng(seed)
    deals = [np.array_split(rng.permutation(len(names)), n_folds) for _ in range(SHUFFLES)]
    deal = min(deals, key=lambda groups: _absences(groups, shows))
    groups = [set(names[group].tolist()) for group in deal]
    folds = []
    for i, test in enumerate(groups):
        validation = groups[(i + 1) % n_folds]
        train = set(names.tolist()) - test - validation
        folds.append(Fold(i, *(tuple(sorted(part)) for part in (train, validation, test))))
    assert_disjoint(folds)
    return folds


def assert_disjoint(folds: Iterable[Fold]) -> None:
    """Check that no subject is in two parts of a fold, and that each is tested exactly once.

    Raises
    ------
    InputError
        Naming the subject and the fold.
    """
    folds = list(folds)
    everyone = {name for fold in folds for part in PARTS for name in getattr(fold, part)}
    for fold in folds:
        members = [*fold.train, *fold.validation, *fold.test]
        for part in PARTS:
            if not getattr(fold, part):
                raise InputError(f"fold {fold.index} has no {part} subjects")
        for name in sorted(everyone):
            if members.count(name) != 1:
                raise InputError(
                    f"subject {excerpt(name)!r} occurs {members.count(name)} times in fold "
                    f"{fold.index}, not in exactly one part"
                )
    tested = [name for fold in folds for name in fold.test]
    for name in sorted(everyone):
        if tested.count(name) != 1:
            raise InputError(
                f"subject {excerpt(name)!r} is tested in {tested.count(name)} folds, not one"
            )


def missing_classes(
    fold: Fold, y: NDArray[np.str_], subject: NDArray[np.str_]
) -> dict[str, list[str]]:
    """Classes of `y` that a part's subjects never show, by part.

    A class missing from the test part can only be scored by what is wrongly taken for it: compute
    macro-F1 with all classes as ``labels`` and ``zero_division=nan`` (scikit-learn), so that it
    counts as zero when it is predicted and is left out of the mean when it is not.
    """
    classes = set(y.tolist()) - {UNLABELLED}
    return {part: sorted(classes - set(y[fold.windows(part, subject)])) for part in PARTS}


def few_shot(
    y: NDArray[np.str_],
    candidates: NDArray[Any],
    shots: int | None,
    seed: int = 0,
    *,
    where: str = "the candidates",
) -> NDArray[np.intp]:
    """Draw exactly `shots` windows of every class.

    Draws are nested: for one seed the windows of a smaller draw are among those of a larger one.

    Parameters
    ----------
    y
        Shape (n,), the labels of all windows; their classes are the classes to draw.
    candidates
        Mask of shape (n,), or indices, of the windows that may be drawn.
    shots
        Windows per class; None takes all labelled candidates.
    seed
        Of the draw.
    where
        What the candidates are, for the error.

    Returns
    -------
    ndarray of int
        Sorted indices into `y`.

    Raises
    ------
    InputError
        If a class has fewer than `shots` windows, or none, among the candidates.
    """
    if shots is not None and shots < 1:
        raise InputError(f"shots must be at least 1, not {shots}")
    y = as_labels(y)
    allowed = np.zeros(len(y), dtype=bool)
    allowed[candidates] = True
    drawn = []
    for number, label in enumerate(sorted(set(y.tolist()) - {UNLABELLED})):
        members = np.flatnonzero(allowed & (y == label))
        if len(members) < (shots or 1):
            raise InputError(
                f"class {excerpt(label)!r} has {len(members)} windows in {where}, "
                f"{shots or 1} are needed"
            )
        drawn.append(np.random.default_rng([seed, number]).permutation(members)[:shots])
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.intp)


@dataclass(frozen=True)
class Draw:
    """The training windows of one fold, seed and number of shots.

    Attributes
    ----------
    fold, seed, shots
        As in :func:`few_shot`; `fold` is a :class:`Fold`'s index, `shots` None means all.
    windows
        Indices of the windows drawn, sorted.
    """

    fold: int
    seed: int
    shots: int | None
    windows: tuple[int, ...]


@dataclass(frozen=True)
class SplitManifest:
    """Everything random about an evaluation, to be kept beside its results.

    Attributes
    ----------
    dataset
        Name of the data set.
    fingerprint
        Of the windows it splits: see :func:`fingerprint`.
    seed
        Of the folds.
    folds
        Subjects.
    draws
        Training windows, one entry for each fold, seed and number of shots.

    Raises
    ------
    InputError
        If the folds are not disjoint, or a draw is repeated, repeats a window or has no fold.
    """

    dataset: str
    fingerprint: str
    seed: int
    folds: tuple[Fold, ...]
    draws: tuple[Draw, ...]

    def __post_init__(self) -> None:
        assert_disjoint(self.folds)
        keys = [(draw.fold, draw.seed, draw.shots) for draw in self.draws]
        if len(set(keys)) != len(keys):
            raise InputError("a split manifest has two draws of the same fold, seed and shots")
        if not {draw.fold for draw in self.draws} <= {fold.index for fold in self.folds}:
            raise InputError("a split manifest has a draw of a fold that it does not have")
        if any(len(set(draw.windows)) != len(draw.windows) for draw in self.draws):
            raise InputError("a split manifest has a draw with a window twice")

    @staticmethod
    def create(
        dataset: str,
        windows: Windows,
        shots: Sequence[int | None],
        seeds: Sequence[int],
        n_folds: int = 5,
        seed: int = 0,
    ) -> SplitManifest:
        """Fold the subjects and draw the training windows of every fold, seed and shots.

        All windows (`shots` None) are drawn once in each fold, by the first seed.

        Raises
        ------
        InputError
            As :func:`subject_folds` and :func:`few_shot`, naming class and fold.
        """
        folds = subject_folds(windows.subject, windows.y, n_folds, seed)
        draws = []
        for fold, draw_seed, k in product(folds, seeds, shots):
            if k is None and draw_seed != seeds[0]:
                continue
            candidates = fold.windows("train", windows.subject)
            where = f"the training subjects of fold {fold.index}"
            chosen = few_shot(windows.y, candidates, k, draw_seed, where=where)
            draws.append(Draw(fold.index, draw_seed, k, tuple(chosen.tolist())))
        return SplitManifest(dataset, fingerprint(windows), seed, tuple(folds), tuple(draws))

    def of_folds(self, folds: Sequence[int]) -> SplitManifest:
        """The same folds, of which only those numbered have draws."""
        return replace(self, draws=tuple(draw for draw in self.draws if draw.fold in folds))

    def draw(self, fold: int, seed: int, shots: int | None) -> NDArray[np.intp]:
        """Indices of the training windows.

        Raises
        ------
        InputError
            If there is no such draw.
        """
        for draw in self.draws:
            if (draw.fold, draw.seed, draw.shots) == (fold, seed, shots):
                return np.array(draw.windows, dtype=np.intp)
        raise InputError(
            f"the split manifest has no draw of fold {fold}, seed {seed}, {shots} shots"
        )

    def verify(self, windows: Windows) -> None:
        """Check that the manifest was made from these windows, and draws from them as it says.

        Raises
        ------
        InputError
            Naming what differs.
        """
        named = {name for fold in self.folds[:1] for part in PARTS for name in getattr(fold, part)}
        if self.fingerprint != fingerprint(windows) or named != set(windows.subjects):
            raise InputError(f"the split manifest of {self.dataset} was made from other windows")
        candidates = {fold.index: fold.windows("train", windows.subject) for fold in self.folds}
        for draw in self.draws:
            name = f"the draw of fold {draw.fold}, seed {draw.seed} and {draw.shots} shots"
            if not set(draw.windows) <= set(candidates[draw.fold].tolist()):
                raise InputError(f"{name} has windows that are not of its training subjects")
            counts = Counter(windows.y[list(draw.windows)].tolist())
            wanted = dict.fromkeys(windows.classes, draw.shots)
            if draw.shots is not None and counts != wanted:
                raise InputError(f"{name} does not hold {draw.shots} windows of each class")

    def save(self, path: str | Path) -> None:
        """Write the manifest as JSON, whole or not at all."""
        write_text(path, json.dumps(asdict(self)) + "\n")

    @staticmethod
    def load(path: str | Path) -> SplitManifest:
        """Read a manifest and check that its folds are disjoint; see also :meth:`verify`.

        Raises
        ------
        InputError
            If the file is missing, is no split manifest, or its folds share subjects.
        """
        try:
            entries = json.loads(Path(path).read_text(encoding="utf-8"))
            folds = tuple(_fold(entry) for entry in entries.pop("folds"))
            draws = tuple(_draw(entry) for entry in entries.pop("draws"))
            return SplitManifest(**entries, folds=folds, draws=draws)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except FileNotFoundError:
            raise InputError(f"{path} does not exist") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InputError(f"{path} is not a split manifest, or it is damaged") from None


def fingerprint(windows: Windows) -> str:
    """SHA-256 of which windows these are: labels, subjects, recordings, starts, length and rate.

    The samples are left out, since they may differ in the last bit between machines.
    """
    start = [f"{seconds:.3f}" for seconds in windows.start]
    columns = [windows.y.tolist(), windows.subject.tolist(), windows.recording.tolist(), start]
    form = [*windows.X.shape, windows.sampling_rate]
    return hashlib.sha256(json.dumps([*columns, form]).encode()).hexdigest()


def _absences(groups: Sequence[NDArray[np.intp]], shows: NDArray[np.bool_]) -> tuple[int, int]:
    """How often a class is missing from a training part, and from a training or any other part.

    `shows`, shape (n_subjects, n_classes), says who shows what.
    """
    group_shows = np.stack([shows[group].any(axis=0) for group in groups])
    held_out = group_shows.astype(int) + np.roll(group_shows, -1, axis=0)
    train = int((group_shows.sum(axis=0) == held_out).sum())
    return train, train + 2 * int((~group_shows).sum())


def _shows(
    member: NDArray[np.intp], n_subjects: int, y: NDArray[np.str_] | None
) -> NDArray[np.bool_]:
    """Which subject shows which class, as (n_subjects, n_classes); no classes without labels."""
    if y is None:
        return np.zeros((n_subjects, 0), dtype=bool)
    if len(y) != len(member):
        raise InputError(f"there are {len(y)} labels for the subjects of {len(member)} windows")
    classes, label = np.unique(label_texts(y), return_inverse=True)
    shows = np.zeros((n_subjects, len(classes)), dtype=bool)
    shows[member, label] = True
    return shows[:, classes != UNLABELLED]


def _fold(entry: dict[str, Any]) -> Fold:
    parts = (tuple(_strings(entry[part])) for part in PARTS)
    return Fold(index(entry["index"]), *parts)


def _draw(entry: dict[str, Any]) -> Draw:
    shots = None if entry["shots"] is None else index(entry["shots"])
    windows = tuple(index(i) for i in entry["windows"])
    return Draw(index(entry["fold"]), index(entry["seed"]), shots, windows)


def _strings(entries: Any) -> list[str]:
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise TypeError("not a list of text")
    return entries
