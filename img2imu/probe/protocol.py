"""The few-shot protocol: subject-disjoint folds × draws, settings chosen on validation subjects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recordings.splits import Draw, SplitManifest
from ..recordings.windows import Windows
from .methods import FeatureSet, Learner, Method
from .metrics import confusion_matrix, macro_f1


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
    """One draw, learnt under one setting: macro-F1 on validation, confusion on test subjects."""

    draw: Draw
    setting: int
    validation_f1: float
    confusion: NDArray[np.int_]


def score_fold(
    task: Task, fold: int, features: FeatureSet, learners: Sequence[Learner], first: int
) -> list[Score]:
    """Learn every draw of one fold from one set of features by each learner.

    `first` is the number of the first learner's setting.
    """
    array = features.of_fold(task.training[fold])
    validation, test = array[task.validation[fold]], array[task.test[fold]]
    draws = [draw for draw in task.manifest.draws if draw.fold == fold]
    truth, wanted, classes = (
        task.labels[task.test[fold]],
        task.labels[task.validation[fold]],
        len(task.classes),
    )
    scores = []
    for setting, learner in enumerate(learners, start=first):
        for shots in dict.fromkeys(draw.shots for draw in draws):
            group = [draw for draw in draws if draw.shots == shots]
            rows = [np.array(draw.windows) for draw in group]
            predictors = learner.fit(
                [array[row] for row in rows],
                [task.labels[row] for row in rows],
                [draw.seed for draw in group],
            )
            for draw, predict in zip(group, predictors, strict=True):
                tried = macro_f1(confusion_matrix(wanted, predict(validation), classes))
                scores.append(
                    Score(draw, setting, tried, confusion_matrix(truth, predict(test), classes))
                )
    return scores


def score_method(task: Task, method: Method, progress: Any = None) -> list[Score]:
    """All folds and settings of a method, in parallel processes."""
    from joblib import Parallel, delayed, parallel_config

    count = len(method.learners)
    jobs = [
        delayed(score_fold)(task, fold, features, method.learners, index * count)
        for index, features in enumerate(method.feature_sets)
        for fold in range(len(task.manifest.folds))
    ]
    scores: list[Score] = []
    with parallel_config("loky", inner_max_num_threads=1):
        results: Iterable[list[Score]] = Parallel(
            n_jobs=min(os.cpu_count() or 1, len(jobs)), return_as="generator_unordered"
        )(jobs)
        for part in results:
            scores.extend(part)
            if progress is not None:
                progress.update()
    return scores


def summarize(task: Task, method: Method, scores: Sequence[Score]) -> list[dict[str, Any]]:
    """Choose each fold's setting by mean validation F1, and report its test scores by shots."""
    settings = [
        {**features.settings, **learner.settings}
        for features in method.feature_sets
        for learner in method.learners
    ]
    results = []
    for shots in dict.fromkeys(draw.shots for draw in task.manifest.draws):
        chosen, confusions, validation = [], [], []
        for fold in range(len(task.manifest.folds)):
            group = [s for s in scores if s.draw.fold == fold and s.draw.shots == shots]
            best = _best_setting(group, len(settings))
            chosen.append(settings[best])
            picked = sorted((s for s in group if s.setting == best), key=lambda s: s.draw.seed)
            confusions += [score.confusion for score in picked]
            validation += [score.validation_f1 for score in picked]
        each = [macro_f1(confusion) for confusion in confusions]
        results.append(
            {
                "method": method.name,
                "probe": method.probe,
                "shots": shots,
                "f1_mean": round(float(np.mean(each)), 4),
                "f1_std": round(float(np.std(each)), 4),
                "f1_each": [round(value, 4) for value in each],
                "validation_f1": round(float(np.mean(validation)), 4),
                "chosen": chosen,
                "confusion": np.sum(confusions, axis=0).tolist(),
            }
        )
    return results


def _best_setting(scores: Sequence[Score], settings: int) -> int:
    means = [
        np.mean([score.validation_f1 for score in scores if score.setting == setting])
        for setting in range(settings)
    ]
    return int(np.argmax(means))
