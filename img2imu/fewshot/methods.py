"""Methods on features that stay as they are: a frozen encoder's, and what one would use otherwise.

Each has candidate settings, among which validation subjects choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import starmap
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..convert import View, picture_names, traces
from ..errors import InputError
from ..models import (
    AnyEncoder,
    EncoderConfig,
    WindowEncoder,
    build_encoder,
    build_token_encoder,
)
from ..progress import Progress
from ..recordings import Windows
from .config import ProbeConfig
from .features import FeatureCache, laid_out
from .handmade import handmade_features
from .learners import Background, Features, ForestLearner, Learner, LogisticLearner, Problem
from .protocol import Answer, Method, Outcome, Task, mean_validation_f1
from .quant import ExtraTreesLearner, quant_features

UNLABELLED_SAMPLE = 1000
"""Windows of the training subjects that tell how features vary; more hardly tell it better."""

ROCKETS = {
    "minirocket": ("MiniRocketMultivariate", 0.01),
    "multirocket": ("MultiRocketMultivariate", 0.002),
}
"""sktime's transformations, and inverse penalties of the regressions on their 9,996 and 49,728
features: the same for each feature."""

MARGIN = 0.01
"""What a weight of order has to gain on validation subjects: of many, one gains less by chance."""


class FeatureSet(Protocol):
    """Features of every window under one setting."""

    @property
    def settings(self) -> dict[str, Any]:
        """What a result says of these features."""
        ...

    @property
    def widths(self) -> Sequence[int] | None:
        """How many features belong to each view; None if they are all of one kind."""
        ...

    @property
    def trends(self) -> Sequence[bool]:
        """Which of the widths are of trends over time; empty where none are."""
        ...

    def of_fold(self, training: NDArray[np.intp]) -> Features:
        """All windows' features, (n, d); `training` may be learnt from, without labels."""
        ...


@dataclass(frozen=True)
class FixedFeatures:
    """Features that learn nothing from the data: the same in every fold."""

    settings: dict[str, Any]
    array: Features
    widths: Sequence[int] | None = None
    trends: Sequence[bool] = ()

    def of_fold(self, training: NDArray[np.intp]) -> Features:
        """The features as they are."""
        return self.array


@dataclass(frozen=True)
class RocketFeatures:
    """Features of random kernels, whose biases come from the fold's unlabelled training windows.

    Attributes
    ----------
    kind
        Name of the class in sktime. It compiles at its first use, MultiRocket for a minute, and
        keeps the result on disk.
    """

    settings: dict[str, Any]
    windows: NDArray[np.float32]
    kind: str
    widths: None = None
    trends: tuple[bool, ...] = ()

    def of_fold(self, training: NDArray[np.intp]) -> Features:
        """Fit the kernels' biases on the training windows and transform all."""
        from sktime.transformations.panel import rocket

        # More than a thousand windows do not sharpen the quantiles the biases are drawn from.
        sample = np.random.default_rng(0).permutation(training)[:1000]
        transform = getattr(rocket, self.kind)(random_state=0)
        transform.fit(self.windows[sample].astype(np.float64))
        return np.asarray(transform.transform(self.windows.astype(np.float64)), np.float32)


@dataclass(frozen=True)
class NormalisedFeatures:
    """An untrained encoder of windows, which takes mean and deviation from the training windows."""

    settings: dict[str, Any]
    windows: NDArray[np.float32]
    encoder: EncoderConfig
    cache: FeatureCache
    device: str
    widths: None = None
    trends: tuple[bool, ...] = ()

    def of_fold(self, training: NDArray[np.intp]) -> Features:
        """Normalise the windows by those of the training subjects, and read all."""
        encoder = build_encoder(self.encoder, axes=self.windows.shape[1])
        assert isinstance(encoder, WindowEncoder)
        encoder.normalise_by_windows(self.windows[training])
        return self.cache.get(self.windows, (), encoder, device=self.device)[0]


@dataclass(frozen=True)
class FeatureMethod(Method):
    """Features × learners; in each fold, for each number of shots, validation subjects choose."""

    name: str
    probe: str
    feature_sets: Sequence[FeatureSet]
    learners: Sequence[Learner]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """Of every pair of features and learner, in the order of their numbers."""
        return [
            {**features.settings, **learner.settings}
            for features in self.feature_sets
            for learner in self.learners
        ]

    def run(self, task: Task, progress: Progress, jobs: int | None = None) -> Outcome:
        """Every pair of features and learner on every draw, and of these what is chosen."""
        from joblib import cpu_count  # those this process may use, where os counts the machine's

        count = len(self.learners)
        calls = [
            (task, fold, features, self.learners, index * count)
            for index, features in enumerate(self.feature_sets)
            for fold in dict.fromkeys(draw.fold for draw in task.manifest.draws)
        ]
        workers = min(jobs or cpu_count(), len(calls))
        parts = _in_processes(calls, workers) if workers > 1 else starmap(learn_fold, calls)
        bar = progress(f"{self.name} ({self.probe})", len(calls))
        tried: list[tuple[int, Answer]] = []
        for part in parts:
            tried += part
            bar.update(1)
        bar.close()
        return choose(task, self.settings, tried)


def choose(
    task: Task, settings: Sequence[dict[str, Any]], tried: Sequence[tuple[int, Answer]]
) -> Outcome:
    """Keep each fold's and number of shots' setting with the best mean validation F1.

    Parameters
    ----------
    task
        What was learnt.
    settings
        By number.
    tried
        Answers with the number of their setting, in any order.
    """
    groups: dict[tuple[int, int | None], dict[int, list[Answer]]] = {}
    for setting, answer in tried:
        group = groups.setdefault((answer.draw.fold, answer.draw.shots), {})
        group.setdefault(setting, []).append(answer)
    best = {
        key: _best({n: mean_validation_f1(answers) for n, answers in group.items()}, settings)
        for key, group in groups.items()
    }
    kept = {
        (answer.draw.fold, answer.draw.seed, answer.draw.shots): answer
        for setting, answer in tried
        if setting == best[answer.draw.fold, answer.draw.shots]
    }
    chosen: dict[int | None, list[dict[str, Any]]] = {}
    for (_, shots), setting in sorted(best.items(), key=lambda item: item[0][0]):
        chosen.setdefault(shots, []).append(settings[setting])
    return Outcome([kept[d.fold, d.seed, d.shots] for d in task.manifest.draws], chosen)


def _best(scores: Mapping[int, float], settings: Sequence[dict[str, Any]]) -> int:
    """The setting with the best score, the first of equals.

    Of settings that differ in the weight of order only, another than the first has to be better by
    :data:`MARGIN`.
    """
    kinds: dict[str, list[int]] = {}
    for number in sorted(scores):
        kind = {name: value for name, value in settings[number].items() if name != "order"}
        kinds.setdefault(str(kind), []).append(number)
    kept = []
    for first, *others in kinds.values():
        best = max([first, *others], key=scores.__getitem__)
        kept.append(best if scores[best] > scores[first] + MARGIN else first)
    return max(kept, key=scores.__getitem__)


def learn_fold(
    task: Task, fold: int, features: FeatureSet, learners: Sequence[Learner], first: int
) -> list[tuple[int, Answer]]:
    """Learn every draw of one fold from one set of features by each learner.

    `first` is the number of the first learner's setting.
    """
    known = task.known[fold]
    array = features.of_fold(known)
    validation, test = array[task.validation[fold]], array[task.test[fold]]
    sample = np.random.default_rng(0).permutation(known)[:UNLABELLED_SAMPLE]
    unlabelled = array[np.sort(sample)]
    draws = [draw for draw in task.manifest.draws if draw.fold == fold]
    background = Background(unlabelled, features.widths, features.trends)
    answers = []
    for shots in dict.fromkeys(draw.shots for draw in draws):
        group = [draw for draw in draws if draw.shots == shots]
        background.heads.clear()
        problems = [
            Problem(array[list(draw.windows)], task.labels[list(draw.windows)], draw.seed)
            for draw in group
        ]
        for setting, learner in enumerate(learners, start=first):
            for draw, predict in zip(group, learner.fit(problems, background), strict=True):
                votes = predict(validation), predict(test)
                answers.append((setting, Answer.of_votes(task, draw, votes)))
    return answers


def _in_processes(
    calls: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[list[tuple[int, Answer]]]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1):
        yield from Parallel(workers, return_as="generator_unordered")(
            delayed(learn_fold)(*call) for call in calls
        )


def encoder_features(
    windows: Windows,
    config: ProbeConfig,
    cache: FeatureCache,
    progress: Progress,
    device: str,
    name: str,
) -> list[FeatureSet]:
    """The features of every candidate drawing."""
    if config.encoder.reads_windows and not config.encoder.checkpoint:
        return [NormalisedFeatures({}, windows.X, config.encoder, cache, device)]
    drawings = config.drawings(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
    bar = progress(f"{name} (features)", len(drawings) * len(windows))
    sets: list[FeatureSet] = []
    for views in drawings:
        encoder: AnyEncoder
        ordered: tuple[int, ...] = ()
        if config.encoder.reads_tokens:
            encoder = build_token_encoder(config.encoder, picture_names(views))
        else:
            ordered = traces(views)
            encoder = build_encoder(config.encoder, ordered, windows.X.shape[1])
        arrays = cache.get(
            windows.X,
            views,
            encoder,
            sensors=windows.sensors,
            device=device,
            on_batch=bar.update,
        )
        told = _spectrogram(views) if len(drawings) > 1 else {}
        sets.append(FixedFeatures(told, *laid_out(arrays, len(views), len(ordered))))
    bar.close()
    return sets


def _spectrogram(views: Sequence[View]) -> dict[str, Any]:
    """What tells the candidates of a search over spectrograms from each other."""
    return {name: getattr(views[0], name) for name in ("nfft", "noverlap")}


def hand_forest(windows: Windows) -> FeatureMethod:
    """Hand-made features with a random forest."""
    features = handmade_features(windows.X, windows.sampling_rate)
    return FeatureMethod("hand-forest", "forest", [FixedFeatures({}, features)], [ForestLearner()])


def quant(windows: Windows) -> FeatureMethod:
    """QUANT: quantiles of intervals with extremely randomised trees."""
    features = FixedFeatures({}, quant_features(windows.X))
    return FeatureMethod("quant", "forest", [features], [ExtraTreesLearner()])


def rocket(windows: Windows, name: str) -> FeatureMethod:
    """One of :data:`ROCKETS` with the same logistic regression as ours.

    Raises
    ------
    InputError
        If sktime is not installed.
    """
    if find_spec("sktime") is None:
        raise InputError(f"{name} needs sktime: pip install 'img2imu[baselines]'")
    kind, C = ROCKETS[name]
    features = RocketFeatures({}, windows.X, kind)
    return FeatureMethod(name, "logistic", [features], [LogisticLearner(C)])
