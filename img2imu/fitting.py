"""From an evaluation to a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .classifier import Img2ImuClassifier
from .errors import InputError
from .probe import ProbeConfig
from .recordings import UNLABELLED, Windows


def fit_classifier(
    windows: Windows, config: ProbeConfig, results: Sequence[dict[str, Any]]
) -> Img2ImuClassifier:
    """Fit on all labelled `windows` with the settings that most folds chose.

    Parameters
    ----------
    windows
        Labelled windows; unlabelled ones help to standardise the features.
    config
        Of the evaluation.
    results
        What :func:`evaluate` reported; the scores stay with the classifier.

    Returns
    -------
    Img2ImuClassifier
        With the logistic head; its `scores_` are those of the evaluation.

    Raises
    ------
    InputError
        If `results` hold no logistic probe of ours.
    """
    ours = [r for r in results if r["method"] == "img2imu" and r["probe"] == "logistic"]
    if not ours:
        raise InputError("a classifier needs the logistic probe of img2imu among the results")
    record = max(ours, key=lambda r: r["shots"])
    chosen = Counter(tuple(sorted(setting.items())) for setting in record["chosen"])
    setting = dict(chosen.most_common(1)[0][0])
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1])
    if "nfft" in setting:
        drawings = [views for views in drawings if _is(views[0], setting)]
    encoder = config.encoder
    if "stage" in setting:
        encoder = replace(encoder, stages=(setting["stage"],))
    classifier = Img2ImuClassifier(
        windows.sampling_rate,
        drawings[0],
        encoder,
        setting["C"],
    ).fit(windows.X, windows.y)
    labelled = windows.select(windows.y != UNLABELLED)
    classifier.trained_on_["subjects"] = len(labelled.subjects)
    classifier.scores_ = {
        f"macro_f1_{r['shots']}_shots": {"mean": r["f1_mean"], "std": r["f1_std"]} for r in ours
    }
    return classifier


def _is(view: Any, setting: dict[str, Any]) -> bool:
    return (view.nfft, view.noverlap) == (setting["nfft"], setting["noverlap"])
