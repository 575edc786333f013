"""From an evaluation, or without one, to a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import cache_folder
from ..progress import Progress, silent
from ..recordings import UNLABELLED, Windows, few_shot, subject_folds
from .classifier import Img2ImuClassifier
from .config import FinetuneConfig, ProbeConfig
from .finetuning import FineTuning
from .transitions import transition_rates


def fit_classifier(
    windows: Windows,
    config: ProbeConfig,
    results: Sequence[dict[str, Any]] | None = None,
    *,
    training: FinetuneConfig | None = None,
    device: str = "cpu",
    cache: Path | None = None,
    progress: Progress = silent,
) -> Img2ImuClassifier:
    """Fit on the labelled windows, after an evaluation with the settings that most folds chose.

    Without one the first `C` is taken, and the weight of what came first in a window is chosen by
    leaving people out, or recordings of an only one.

    Parameters
    ----------
    windows
        Labelled windows; unlabelled ones tell how features vary.
    config
        Of the evaluation.
    results
        What :func:`~.evaluation.evaluate` reported; the scores stay with the classifier. None
        where nothing was evaluated.
    training
        Then, after an evaluation, tune the encoder, too, the subjects of one fold's validation part
        judging and not learnt from; None keeps it frozen.
    device, cache, progress
        As in :func:`~.evaluation.evaluate`.

    Returns
    -------
    Img2ImuClassifier
        With the logistic head; its `scores_` are those of the evaluation. Where no epoch was better
        than the probe, ``trained_on_["finetuned"]["epoch"]`` is 0 and the probe is what it is.

    Raises
    ------
    InputError
        If `results` hold no logistic probe of img2imu, or the windows do not suffice.
    """
    if results is None:
        return _with_transitions(_fit_plain(windows, config, device), windows)
    frozen = _records(results, "img2imu")
    if not frozen:
        raise InputError("a classifier needs the logistic probe of img2imu among the results")
    if training is None:
        classifier, scores = _fit_frozen(windows, config, frozen, device), frozen
    else:
        labelled = windows.select(windows.y != UNLABELLED)
        folder = (cache or cache_folder()) / "finetune"
        method = FineTuning("finetune", labelled, config, training, device, folder)
        classifier = _tune(method, progress)
        tuned = classifier.trained_on_["finetuned"]["epoch"] > 0
        scores = _records(results, "finetune") if tuned else frozen
    classifier.scores_ = {
        f"macro_f1_{r['shots'] or 'all'}_shots": {"mean": r["f1_mean"], "std": r["f1_std"]}
        for r in scores
    }
    return _with_transitions(classifier, windows)


def _with_transitions(classifier: Img2ImuClassifier, windows: Windows) -> Img2ImuClassifier:
    """The classifier, which then knows how often the labels of the recordings change."""
    classifier.transitions_ = transition_rates(windows, classifier.classes_.tolist())
    return classifier


def _records(results: Sequence[dict[str, Any]], method: str) -> list[dict[str, Any]]:
    return [r for r in results if (r["method"], r["probe"]) == (method, "logistic")]


def _fit_plain(windows: Windows, config: ProbeConfig, device: str) -> Img2ImuClassifier:
    labelled = windows.select(windows.y != UNLABELLED)
    alone = len(labelled.subjects) == 1
    views = config.drawing(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
    classifier = Img2ImuClassifier(
        windows.sampling_rate,
        views,
        config.encoder,
        config.C[0],
        device,
        sensors=windows.sensors,
    )
    classifier.fit(windows.X, windows.y, windows.recording if alone else windows.subject)
    classifier.trained_on_["subjects"] = len(labelled.subjects)
    return classifier


def _fit_frozen(
    windows: Windows, config: ProbeConfig, records: Sequence[dict[str, Any]], device: str
) -> Img2ImuClassifier:
    record = max(records, key=lambda r: r["shots"] or np.inf)
    chosen = Counter(tuple(sorted(setting.items())) for setting in record["chosen"])
    setting = dict(chosen.most_common(1)[0][0])
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
    if "nfft" in setting:
        drawings = [views for views in drawings if _is(views[0], setting)]
    classifier = Img2ImuClassifier(
        windows.sampling_rate,
        drawings[0],
        config.encoder,
        setting["C"],
        device,
        setting.get("order", 0.0),
        windows.sensors,
    )
    classifier.fit(windows.X, windows.y, windows.subject)
    labelled = windows.select(windows.y != UNLABELLED)
    classifier.trained_on_["subjects"] = len(labelled.subjects)
    return classifier


def _is(view: Any, setting: dict[str, Any]) -> bool:
    return (view.nfft, view.noverlap) == (setting["nfft"], setting["noverlap"])


def _tune(method: FineTuning, progress: Progress) -> Img2ImuClassifier:
    """Fit on the subjects who do not judge, and tune."""
    windows, config = method.windows, method.config
    folds = subject_folds(windows.subject, windows.y, config.folds, config.seed)
    held = np.isin(windows.subject, folds[0].validation)
    rows = few_shot(windows.y, ~held, None)
    judges = method.judges(np.flatnonzero(held))
    classifier = method.start(rows, rows)
    bar = progress("fine-tuning the classifier (epochs)", method.training.epochs)
    history = method.tune(classifier, rows, judges, config.seed, bar)
    method.forget(rows, judges, config.seed)
    bar.close()
    classifier.trained_on_ |= {
        "subjects": len(windows.subjects) - len(folds[0].validation),
        "finetuned": {
            "epoch": history.best,
            "validation_subjects": len(folds[0].validation),
            "validation_f1": [history.validation_f1[0], history.validation_f1[history.best]],
        },
    }
    return classifier
