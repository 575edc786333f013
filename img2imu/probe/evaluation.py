"""Few-shot evaluation of a windows file: every method, the same folds and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from .. import __version__
from ..convert import dead_axes, view_to_dict
from ..errors import InputError
from ..models import EncoderConfig, build_encoder
from ..progress import Progress, silent
from ..recordings.splits import SplitManifest, missing_classes
from ..recordings.windows import Windows
from .config import ProbeConfig
from .features import FeatureCache, view_widths
from .methods import (
    FixedFeatures,
    Learner,
    LogisticLearner,
    Method,
    PaperLearner,
    hand_forest,
    minirocket,
)
from .protocol import Outcome, Task, choose, score_method, summarize, vote

METHODS = ("img2imu", "random-2d", "hand-forest", "minirocket", "vote", "vote-no-images")
"""Rows of the result table, in order."""

VOTES = {
    "vote": {"img2imu": 0.6, "hand-forest": 0.2, "minirocket": 0.2},
    "vote-no-images": {"hand-forest": 0.5, "minirocket": 0.5},
}
"""Who votes with which weight; what the first has over the second is the images' share."""


def evaluate(
    windows: Windows,
    config: ProbeConfig,
    methods: Sequence[str] = METHODS,
    *,
    name: str = "windows",
    cache: FeatureCache | None = None,
    progress: Progress = silent,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Run the few-shot protocol.

    Parameters
    ----------
    windows
        Labelled windows; unlabelled ones are left out.
    config
        What is drawn, read and tested.
    methods
        Rows wanted, among :data:`METHODS`.
    name
        Of the data set, for the split manifest.
    cache
        Where features are kept.
    progress
        Opens a progress bar for each long step.
    jobs
        Worker processes; None takes all cores, 1 stays in this process.

    Returns
    -------
    dict
        ``settings`` and ``results``, one record per method, probe and number of shots: macro-F1
        mean and standard deviation over folds × seeds, each value, the settings chosen in each
        fold, and the confusion matrix summed over all draws.

    Raises
    ------
    InputError
        If subjects or windows do not suffice, or a method is unknown or not installed.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; known: {', '.join(METHODS)}")
    windows = windows.select(windows.y != "")
    require_live_axes(windows)
    manifest = SplitManifest.create(
        name, windows, config.shots, range(config.seeds), config.folds, config.seed
    )
    task = Task.from_manifest(windows, manifest)
    needed = dict.fromkeys(member for name in methods for member in VOTES.get(name, (name,)))
    cache = cache or FeatureCache()
    outcomes: dict[str, list[Outcome]] = {}
    for member in needed:
        outcomes[member] = []
        for method in _methods(member, windows, config, cache, progress):
            steps = len(method.feature_sets) * len(manifest.folds)
            bar = progress(f"{member} ({method.probe})", steps)
            outcomes[member].append(choose(task, method, score_method(task, method, bar, jobs)))
            bar.close()
    for wanted in methods:
        if wanted in VOTES:
            # The first probe asked for votes.
            members = [(outcomes[name][0], weight) for name, weight in VOTES[wanted].items()]
            outcomes[wanted] = [vote(wanted, members)]
    results = [
        record
        for wanted in methods
        for outcome in outcomes[wanted]
        for record in summarize(task, outcome)
    ]
    return {"settings": _settings(windows, config, task), "results": results}


def require_live_axes(windows: Windows) -> None:
    """Raise :class:`InputError` if an axis never changes in any window: a dead sensor."""
    dead = dead_axes(windows.X) if len(windows) else []
    if dead:
        raise InputError(
            f"axis {dead[0]} is constant in all {len(windows)} windows: "
            "a dead sensor axis or the wrong column"
        )


def _methods(
    name: str,
    windows: Windows,
    config: ProbeConfig,
    cache: FeatureCache,
    progress: Progress,
) -> list[Method]:
    if name == "hand-forest":
        return [hand_forest(windows)]
    if name == "minirocket":
        return [minirocket(windows)]
    if name == "random-2d":
        config = replace(config, encoder=_random(config.encoder))
    sets = encoder_features(windows, config, cache, progress, name)
    learners: dict[str, list[Learner]] = {
        "logistic": [LogisticLearner(C) for C in config.C],
        "paper": [PaperLearner()],
    }
    return [Method(name, probe, sets, learners[probe]) for probe in config.probes]


def _random(encoder: EncoderConfig) -> EncoderConfig:
    """The same network without training; a plain ResNet-18 where `encoder` reads windows."""
    if encoder.reads_windows:
        return EncoderConfig()
    return replace(encoder, pretrained=False, checkpoint=None)


def encoder_features(
    windows: Windows,
    config: ProbeConfig,
    cache: FeatureCache,
    progress: Progress,
    name: str,
) -> list[FixedFeatures]:
    """The features of every candidate drawing and stage."""
    encoder = build_encoder(config.encoder)
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1])
    bar = progress(f"{name} (features)", len(drawings) * len(windows))
    sets = []
    for views in drawings:
        for stage, array in zip(
            config.encoder.stages, cache.get(windows.X, views, encoder, bar.update), strict=True
        ):
            settings: dict[str, Any] = {"stage": stage} if views else {}
            if len(drawings) > 1:
                view = view_to_dict(views[0])
                settings |= {"nfft": view["nfft"], "noverlap": view["noverlap"]}
            sets.append(FixedFeatures(settings, array, view_widths(array.shape[1], len(views))))
    bar.close()
    return sets


def _settings(windows: Windows, config: ProbeConfig, task: Task) -> dict[str, Any]:
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1])
    return {
        "img2imu": __version__,
        "probe": asdict(config),
        "drawings": [[view_to_dict(view) for view in views] for views in drawings],
        "windows": {
            "count": len(windows),
            "samples": windows.X.shape[-1],
            "sampling_rate": windows.sampling_rate,
            "subjects": len(windows.subjects),
            "classes": task.classes,
            "per_class": np.bincount(task.labels).tolist(),
        },
        "missing_classes": [
            missing_classes(fold, windows.y, windows.subject) for fold in task.manifest.folds
        ],
        "splits": asdict(task.manifest),
    }
