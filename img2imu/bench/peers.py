"""What a millisecond buys: latency and few-shot macro-F1 of what one would take otherwise."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..export import end_to_end, export_onnx, quantize_onnx
from ..export.latency import time_in_turns
from ..fewshot.config import PresetName
from ..fewshot.handmade import handmade_features
from ..fewshot.learners import Background, ForestLearner, LogisticLearner, Problem
from ..fewshot.methods import ROCKETS
from ..fewshot.metrics import confusion_matrix, macro_f1
from ..fewshot.training import Labelled
from ..progress import Progress, silent
from ..recordings import UNLABELLED, SplitManifest, Windows
from ..studies.data import thin
from .networks import NETWORKS, learn
from .quantized import TEST, Answer, answer_all, fit, open_answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOTS = 10
"""Labelled windows of each class."""

FOLDS = 5

BACKGROUND = 500
"""Unlabelled windows of the training subjects, at most: what calibrates and normalises."""

JUDGES = 105
"""Windows of the validation subjects on which the 1-D networks choose their epoch, at most."""

OURS: tuple[PresetName, ...] = ("recommended", "fast")


@dataclass(frozen=True)
class Trial:
    """What one fold gives to learn from, and what it tests.

    Attributes
    ----------
    known
        The labelled windows.
    background
        Windows of the same subjects, whose labels nobody reads.
    judges, test
        Windows of validation and of test subjects.
    """

    known: Windows
    background: Windows
    judges: Windows
    test: Windows

    def numbers(self, windows: Windows) -> NDArray[np.int_]:
        """Labels as numbers of the classes."""
        return np.searchsorted(self.known.classes, windows.y)

    def score(self, answer: Answer) -> float:
        """Macro-F1 on the test windows."""
        found = answer_all(answer, self.test.X).argmax(1)
        return macro_f1(confusion_matrix(self.numbers(self.test), found, len(self.known.classes)))


Peer = Callable[[Trial, Path], dict[str, Answer]]
"""Learns from a trial, and gives answers by name; files may lie in the folder."""


def trials(windows: Windows) -> list[Trial]:
    """One for each fold of the labelled windows, ten shots drawn once.

    Raises
    ------
    InputError
        If subjects or windows do not suffice.
    """
    windows = windows.select(windows.y != UNLABELLED)
    manifest = SplitManifest.create("peers", windows, (SHOTS,), (0,), FOLDS)
    found = []
    for fold in manifest.folds:
        training, judges, test = (
            windows.select(fold.windows(part, windows.subject))
            for part in ("train", "validation", "test")
        )
        known = windows.select(manifest.draw(fold.index, 0, SHOTS))
        found.append(
            Trial(known, thin(training, BACKGROUND), thin(judges, JUDGES), thin(test, TEST))
        )
    return found


def forest(trial: Trial, folder: Path) -> dict[str, Answer]:
    """Hand-made features in NumPy and scikit-learn's forest."""
    rate = trial.known.sampling_rate
    features = partial(handmade_features, sampling_rate=rate)
    problem = Problem(features(trial.known.X), trial.numbers(trial.known), 0)
    [predict] = ForestLearner().fit([problem], Background(problem.features, None))
    return {"hand-made features + forest": lambda windows: predict(features(windows))}


def rocket(trial: Trial, folder: Path) -> dict[str, Answer]:
    """MiniRocket in sktime, compiled, and a logistic regression."""
    from sktime.transformations.panel import rocket

    kind, C = ROCKETS["minirocket"]
    transform = getattr(rocket, kind)(random_state=0)
    transform.fit(trial.background.X.astype(np.float64))

    def features(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(transform.transform(windows.astype(np.float64)), np.float32)

    problem = Problem(features(trial.known.X), trial.numbers(trial.known), 0)
    background = Background(features(trial.background.X), None)
    [predict] = LogisticLearner(C).fit([problem], background)
    return {"MiniRocket + linear": lambda windows: predict(features(windows))}


def network(name: str, trial: Trial, folder: Path) -> dict[str, Answer]:
    """A network of signals, trained on the labelled windows alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = NETWORKS[name](trial.known.X.shape[1])
    encoder.normalise_by_windows(trial.background.X)
    known, judges = (Labelled(part.X, trial.numbers(part)) for part in (trial.known, trial.judges))
    learnt = learn(encoder, len(trial.known.classes), known, judges, 0)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        # Of the tensors that torch's recurrent layers keep twice.
        warnings.filterwarnings("ignore", ".*_flat_weights.*", UserWarning)
        export_onnx(end_to_end(learnt, trial.known.X[:: SHOTS // 2]), path, {})
    return {name: open_answer(path)}


def ours(preset: PresetName, trial: Trial, folder: Path) -> dict[str, Answer]:
    """A preset's classifier as a float and an int8 file."""
    classifier = fit(trial.known, preset, unlabelled=trial.background.X)
    plain, smaller = folder / f"{preset}.onnx", folder / f"{preset}.int8.onnx"
    export_onnx(end_to_end(classifier.network_, classifier.check_windows_), plain, {})
    quantize_onnx(plain, smaller, "int8", trial.background.X)
    return {preset: open_answer(plain), f"{preset}, int8": open_answer(smaller)}


PEERS: dict[str, Peer] = {
    "forest": forest,
    "rocket": rocket,
    **{name: partial(network, name) for name in NETWORKS},
    **{preset: partial(ours, preset) for preset in OURS},
}


def compare(
    windows: Windows,
    others: Mapping[str, Callable[[], Any]],
    seconds: float,
    rounds: int,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Teach every peer ten windows of each class, in every fold, then time all in turn.

    Parameters
    ----------
    windows
        Labelled, of several subjects.
    others
        Calls for one window that are timed beside them and have learnt nothing.
    seconds, rounds
        That each is timed, on one thread, and in how many turns.
    progress
        Opens a bar.

    Returns
    -------
    list of dict
        ``name``, ``p50_ms``, ``p90_ms``, ``f1_mean``, ``f1_std`` and ``f1_each`` by fold (None
        where nothing was learnt), and ``front``: whether no other is both as fast and as good.
    """
    folds = trials(windows)
    scores: dict[str, list[float]] = {}
    calls: dict[str, Callable[[], Any]] = dict(others)
    bar = progress("peers", len(folds) * len(PEERS) + rounds)
    with tempfile.TemporaryDirectory() as folder:
        for number, trial in enumerate(folds):
            place = Path(folder, str(number))
            place.mkdir()
            for peer in PEERS.values():
                for title, answer in peer(trial, place).items():
                    scores.setdefault(title, []).append(trial.score(answer))
                    if number == 0:
                        calls[title] = partial(answer, trial.test.X[:1])
                bar.update(1)
        times = time_in_turns(calls, seconds, rounds, partial(bar.update, 1 / len(calls)))
    bar.close()
    rows = [_row(title, times[title], scores.get(title)) for title in calls]
    for row in rows:
        row["front"] = on_front(row, rows)
    return rows


def _row(title: str, times: NDArray[np.float64], scores: Sequence[float] | None) -> dict[str, Any]:
    p50, p90 = np.percentile(times, [50, 90]).tolist()
    row: dict[str, Any] = {"name": title, "p50_ms": p50, "p90_ms": p90}
    if scores is None:
        return row | dict.fromkeys(("f1_mean", "f1_std", "f1_each"))
    mean, std = float(np.mean(scores)), float(np.std(scores))
    return row | {"f1_mean": mean, "f1_std": std, "f1_each": list(scores)}


def on_front(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no other row is as fast and as good, and better in one of the two."""
    if row["f1_mean"] is None:
        return False
    mine = row["p50_ms"], -row["f1_mean"]
    theirs = [(each["p50_ms"], -each["f1_mean"]) for each in rows if each["f1_mean"] is not None]
    return not any(
        fast <= mine[0] and worse <= mine[1] and (fast, worse) != mine for fast, worse in theirs
    )


def format_peers(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows for the eye."""
    head = f"{SHOTS} labelled windows of each class"
    lines = [f"{head:<38}{'p50 ms':>8}{'p90 ms':>8}{'macro-F1':>10}{'std':>7}"]
    for row in rows:
        score = f"{row['f1_mean']:>10.3f}{row['f1_std']:>7.3f}" if row["f1_each"] else ""
        front = "  on the front" if row["front"] else ""
        lines.append(f"{row['name']:<38}{row['p50_ms']:>8.2f}{row['p90_ms']:>8.2f}{score}{front}")
    return "\n".join(lines)


def draw(rows: Sequence[Mapping[str, Any]], name: str) -> Figure:
    """Latency against macro-F1, and the front."""
    from ..report.charts import Trade, draw_trades

    trades = {
        row["name"]: Trade(row["p50_ms"], row["f1_mean"], row["front"], ours=_is_ours(row["name"]))
        for row in rows
        if row["f1_mean"] is not None
    }
    levels = {row["name"]: row["p50_ms"] for row in rows if row["f1_mean"] is None}
    return draw_trades(trades, levels, f"{name}, {SHOTS} labelled windows of each class")


def _is_ours(title: str) -> bool:
    return title.partition(",")[0] in OURS
