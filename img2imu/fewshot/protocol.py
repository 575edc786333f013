"""The few-shot protocol: subject-disjoint folds × draws, the same for every method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress
from ..recordings import UNLABELLED, SplitManifest, Windows
from ..recordings.splits import Draw
from .metrics import confusion_matrix, macro_f1

Rows = NDArray[np.intp]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Task:
    """What is learnt and tested, the same in all methods: labels as numbers, rows by fold.

    `known` are the rows that a fold may learn from without labels: those of its training subjects,
    and unlabelled windows of anybody but its validation and test subjects.
    """

    labels: NDArray[np.int_]
    classes: list[str]
    manifest: SplitManifest
    training: list[Rows]
    validation: list[Rows]
    test: list[Rows]
    known: list[Rows]

    @classmethod
    def from_manifest(cls, windows: Windows, manifest: SplitManifest) -> Task:
        """The rows of `windows` that each part of each fold holds; unlabelled ones stand last."""
        labelled = windows.y != UNLABELLED
        count = int(labelled.sum())
        rows = {
            part: [fold.windows(part, windows.subject[:count]) for fold in manifest.folds]
            for part in ("train", "validation", "test")
        }
        others = [
            np.flatnonzero(~labelled & ~np.isin(windows.subject, [*fold.validation, *fold.test]))
            for fold in manifest.folds
        ]
        return cls(
            np.searchsorted(windows.classes, windows.y[:count]),
            windows.classes,
            manifest,
            rows["train"],
            rows["validation"],
            rows["test"],
            [np.concatenate(pair) for pair in zip(rows["train"], others, strict=True)],
        )


@dataclass(frozen=True)
class Answer:
    """What a method learnt from one draw.

    Attributes
    ----------
    draw
        The labelled windows.
    validation_f1
        Macro-F1 on validation subjects, by which settings are chosen.
    confusion
        Counts on the test subjects, shape (classes, classes): rows are the truth.
    votes
        Probabilities (n, classes) of the validation and the test windows; None of a method that
        takes part in no vote.
    """

    draw: Draw
    validation_f1: float
    confusion: NDArray[np.int_]
    votes: tuple[Probabilities, Probabilities] | None = None

    @classmethod
    def of_votes(cls, task: Task, draw: Draw, votes: tuple[Probabilities, Probabilities]) -> Answer:
        """The answer of a method that gave these probabilities of validation and test windows."""
        rows = task.validation[draw.fold], task.test[draw.fold]
        validation, test = (
            confusion_matrix(task.labels[part], each.argmax(1), len(task.classes))
            for part, each in zip(rows, votes, strict=True)
        )
        return cls(draw, macro_f1(validation), test, votes)


@dataclass(frozen=True)
class Outcome:
    """A method's answers to every draw, in the task's order, and what it chose on the way.

    Attributes
    ----------
    answers
        One for each draw.
    chosen
        By number of shots, the settings of each fold, or of each draw where each has its own.
    """

    answers: list[Answer]
    chosen: dict[int | None, list[dict[str, Any]]]


class Method(ABC):
    """A row of the result table.

    Attributes
    ----------
    name
        Of the row.
    probe
        What learns from the labels, such as ``"logistic"``.
    """

    name: str
    probe: str

    @abstractmethod
    def run(self, task: Task, progress: Progress, jobs: int | None = None) -> Outcome:
        """Learn from every draw, and answer for the validation and test subjects of its fold.

        Parameters
        ----------
        task
            Folds and draws.
        progress
            Opens a progress bar.
        jobs
            Worker processes; None takes all cores, 1 stays in this process.
        """


def summarize(method: Method, outcome: Outcome) -> list[dict[str, Any]]:
    """One record for each number of shots: macro-F1 on test subjects, and what was chosen."""
    records = []
    for shots in dict.fromkeys(answer.draw.shots for answer in outcome.answers):
        answers = [answer for answer in outcome.answers if answer.draw.shots == shots]
        each = [macro_f1(answer.confusion) for answer in answers]
        records.append(
            {
                "method": method.name,
                "probe": method.probe,
                "shots": shots,
                "f1_mean": round(float(np.mean(each)), 4),
                "f1_std": round(float(np.std(each)), 4),
                "f1_each": [round(value, 4) for value in each],
                "validation_f1": round(mean_validation_f1(answers), 4),
                "chosen": outcome.chosen[shots],
                "confusion": np.sum([answer.confusion for answer in answers], axis=0).tolist(),
            }
        )
    return records


def mean_validation_f1(answers: Sequence[Answer]) -> float:
    """Over draws."""
    return float(np.mean([answer.validation_f1 for answer in answers]))
