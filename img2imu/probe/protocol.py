"""The few-shot protocol: subject-disjoint folds × draws, settings chosen on validation subjects."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..recordings.splits import Draw, SplitManifest
from ..recordings.windows import Windows
from .methods import Background, FeatureSet, Learner, Method, Probabilities, Problem
from .metrics import confusion_matrix, macro_f1

UNLABELLED_SAMPLE = 1000
"""Windows of the training subjects that tell a feature's mean and deviation; more hardly do."""


@dataclass(frozen=True)
class Task:
    """What is learnt and tested, the same in all methods: labels as numbers, rows by fold."""

    labels: NDArray[np.int_]
    classes: list[str]
    manifest: SplitManifest
    training: list[NDArray[np.int_]]
    validation: list[NDArray[np.int_]]
    test: list[NDArray[np.int_]]

    @classmethod
    def from_manifest(cls, windows: Windows, manifest: SplitManifest) -> Task:
        """The rows of `windows` that each part of each fold holds."""
        rows = {
            part: [fold.windows(part, windows.subject) for fold in manifest.folds]
            for part in ("train", "validation", "test")
        }
        labels = np.searchsorted(windows.classes, windows.y)
        return cls(labels, windows.classes, manifest, *rows.values())


@dataclass(frozen=True)
class Score:
    """One draw, learnt under one setting: probabilities (n, classes) for each part's windows."""

    draw: Draw
    setting: int
    validation: Probabilities
    test: Probabilities


def score_fold(
    task: Task, fold: int, features: FeatureSet, learners: Sequence[Learner], first: int
) -> list[Score]:
    """Learn every draw of one fold from one set of features by each learner.

    `first` is the number of the first learner's setting.
    """
    array = features.of_fold(task.training[fold])
    validation, test = array[task.validation[fold]], array[task.test[fold]]
    sample = np.random.default_rng(0).permutation(task.training[fold])[:UNLABELLED_SAMPLE]
    background = Background(array[np.sort(sample)], features.widths)
    draws = [draw for draw in task.manifest.draws if draw.fold == fold]
    scores = []
    for setting, learner in enumerate(learners, start=first):
        for shots in dict.fromkeys(draw.shots for draw in draws):
            group = [draw for draw in draws if draw.shots == shots]
            rows = [np.array(draw.windows) for draw in group]
            problems = [
                Problem(array[row], task.labels[row], draw.seed)
                for row, draw in zip(rows, group, strict=True)
            ]
            for draw, predict in zip(group, learner.fit(problems, background), strict=True):
                scores.append(Score(draw, setting, predict(validation), predict(test)))
    return scores


def score_method(
    task: Task, method: Method, progress: Any = None, jobs: int | None = None
) -> list[Score]:
    """All folds and settings of a method, in `jobs` processes: None takes all cores, 1 this one."""
    count = len(method.learners)
    calls = [
        (task, fold, features, method.learners, index * count)
        for index, features in enumerate(method.feature_sets)
        for fold in range(len(task.manifest.folds))
    ]
    workers = min(jobs or os.cpu_count() or 1, len(calls))
    parts = _in_processes(calls, workers) if workers > 1 else (score_fold(*call) for call in calls)
    scores: list[Score] = []
    for part in parts:
        scores.extend(part)
        if progress is not None:
            progress.update()
    return scores


def _in_processes(calls: Sequence[tuple[Any, ...]], workers: int) -> Iterator[list[Score]]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        yield from Parallel(workers, return_as="generator_unordered")(
            delayed(score_fold)(*call) for call in calls
        )


@dataclass(frozen=True)
class Outcome:
    """What a method says under the settings it chose: a score of each draw, in the task's order."""

    name: str
    probe: str
    scores: list[Score]
    chosen: dict[tuple[int, int | None], dict[str, Any]]
    """Settings by fold and shots."""


def choose(task: Task, method: Method, scores: Sequence[Score]) -> Outcome:
    """Keep each fold's and number of shots' setting with the best mean validation F1."""
    settings = [
        {**features.settings, **learner.settings}
        for features in method.feature_sets
        for learner in method.learners
    ]
    tried: dict[tuple[int, int | None], dict[int, list[float]]] = {}
    for score in scores:
        group = tried.setdefault((score.draw.fold, score.draw.shots), {})
        f1 = macro_f1(_confusion(task, score.draw.fold, "validation", score.validation))
        group.setdefault(score.setting, []).append(f1)
    # The first of equals, whatever order the processes finished in.
    best = {
        key: max(sorted(group), key=lambda setting: np.mean(group[setting]))
        for key, group in tried.items()
    }
    kept = {
        (score.draw.fold, score.draw.seed, score.draw.shots): score
        for score in scores
        if score.setting == best[score.draw.fold, score.draw.shots]
    }
    return Outcome(
        method.name,
        method.probe,
        [kept[draw.fold, draw.seed, draw.shots] for draw in task.manifest.draws],
        {key: settings[number] for key, number in best.items()},
    )


def vote(name: str, members: Sequence[tuple[Outcome, float]]) -> Outcome:
    """Average the probabilities of several methods, each with its weight."""
    scores = [
        replace(
            parts[0],
            validation=_weighted([part.validation for part in parts], members),
            test=_weighted([part.test for part in parts], members),
        )
        for parts in zip(*(outcome.scores for outcome, _ in members), strict=True)
    ]
    return Outcome(name, "vote", scores, {key: {} for key in members[0][0].chosen})


def summarize(task: Task, outcome: Outcome) -> list[dict[str, Any]]:
    """One record for each number of shots: macro-F1 on test subjects, and what was chosen."""
    records = []
    for shots in dict.fromkeys(draw.shots for draw in task.manifest.draws):
        scores = [score for score in outcome.scores if score.draw.shots == shots]
        confusions = [_confusion(task, s.draw.fold, "test", s.test) for s in scores]
        validation = [
            macro_f1(_confusion(task, s.draw.fold, "validation", s.validation)) for s in scores
        ]
        each = [macro_f1(confusion) for confusion in confusions]
        records.append(
            {
                "method": outcome.name,
                "probe": outcome.probe,
                "shots": shots,
                "f1_mean": round(float(np.mean(each)), 4),
                "f1_std": round(float(np.std(each)), 4),
                "f1_each": [round(value, 4) for value in each],
                "validation_f1": round(float(np.mean(validation)), 4),
                "chosen": [outcome.chosen[fold, shots] for fold in range(len(task.manifest.folds))],
                "confusion": np.sum(confusions, axis=0).tolist(),
            }
        )
    return records


def _weighted(
    parts: Sequence[Probabilities], members: Sequence[tuple[Outcome, float]]
) -> Probabilities:
    return np.sum([part * weight for part, (_, weight) in zip(parts, members, strict=True)], axis=0)


def _confusion(
    task: Task, fold: int, part: Literal["validation", "test"], probabilities: Probabilities
) -> NDArray[np.int_]:
    truth = task.labels[getattr(task, part)[fold]]
    return confusion_matrix(truth, probabilities.argmax(1), len(task.classes))
