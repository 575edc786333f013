"""Whole recordings of held-out people: windows by themselves, smoothed, and smoothed online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fewshot import FeatureCache, ProbeConfig
from ..fewshot.learners import Background, LogisticLearner, Problem
from ..fewshot.methods import UNLABELLED_SAMPLE, FixedFeatures, encoder_features
from ..fewshot.metrics import confusion_matrix, macro_f1
from ..fewshot.transitions import transition_rates
from ..files import cache_folder
from ..progress import Progress, silent
from ..recordings import UNLABELLED, Windows
from ..recordings.splits import Draw
from ..report.tables import Entry, Line, Table, difference, score
from ..timeline.events import EventCounts, count_events
from ..timeline.smoothing import Chain, Smoother, evidence, learn_dwell, most_likely_path
from .cells import FEW_SHOT, Cell
from .config import StudyConfig
from .data import DataSet
from .each import run_each
from .few_shot import cell_settings
from .publishing import protocol
from .results import Missing

LAGS = (0, 2, 6)
"""Windows that the online form waits for."""

SINGLE = "windows by themselves"
"""The row that the others are compared with."""

COLUMNS = ("shots", "row", "f1_mean", "f1_std", "f1_each", *EventCounts().__dict__)


@dataclass(frozen=True)
class Recording:
    """The windows of one recording in their order: their rows, starts, and what parts these."""

    rows: NDArray[np.intp]
    start: NDArray[np.float64]
    stride: float


def run(
    out: Path,
    sets: Sequence[DataSet],
    config: StudyConfig,
    missing: Sequence[Missing] = (),
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> str:
    """Run the study; the tables as Markdown come back.

    Parameters
    ----------
    out
        Folder of the study.
    sets
        All windows of each, unlabelled ones too: they are smoothed over and not scored.
    config
        Of the probe and its encoder.
    missing
        What is known to be missing.
    jobs, progress
        As in :func:`.cells.run_cells`.
    """
    return run_each(
        out,
        "timeline",
        sets,
        [_cell(data, config) for data in sets],
        config,
        missing,
        title="Labels over time",
        lead=f"Whole recordings of test subjects, {protocol(config)}.",
        columns=COLUMNS,
        shown=lambda data, result: (_table(data, result, config), [_flat(each) for each in result]),
        jobs=jobs,
        progress=progress,
    )


def recordings(windows: Windows) -> Iterator[Recording]:
    """Each recording of some windows, in the order of the file, which is that of its time."""
    keys = np.char.add(np.char.add(windows.subject, "\0"), windows.recording)
    for key in dict.fromkeys(keys.tolist()):
        rows = np.flatnonzero(keys == key)
        start = windows.start[rows]
        later = np.diff(start)
        ahead = later[later > 0]
        stride = float(np.median(ahead)) if len(ahead) else 1.0
        yield Recording(rows, start, stride)


def _cell(data: DataSet, config: StudyConfig) -> Cell:
    probe = config.probe
    settings = cell_settings(data, probe, probe.encoder)
    code = (*FEW_SHOT, "img2imu.timeline.smoothing", "img2imu.timeline.events", __name__)
    return Cell(data.name, settings, partial(compute, data, probe, config.device), code)


def compute(data: DataSet, probe: ProbeConfig, device: str) -> list[dict[str, Any]]:
    """A record for each number of shots and way of smoothing."""
    cache = FeatureCache(cache_folder() / "features")
    [features, *_] = encoder_features(data.windows, probe, cache, silent, device, data.name)
    assert isinstance(features, FixedFeatures)
    found: dict[tuple[int | None, str], list[tuple[float, EventCounts]]] = {}
    for draw in data.manifest.draws:
        probability = _learnt(data, draw, features, probe.C[0])
        for row, outcome in _scored(data, draw, probability).items():
            found.setdefault((draw.shots, row), []).append(outcome)
    return [
        {
            "shots": shots,
            "row": row,
            "f1_each": [round(f1, 4) for f1, _ in outcomes],
            "events": vars(sum((events for _, events in outcomes), EventCounts())),
        }
        for (shots, row), outcomes in found.items()
    ]


def _learnt(data: DataSet, draw: Draw, features: FixedFeatures, C: float) -> NDArray[np.floating]:
    """Probabilities of all windows, by what one draw teaches."""
    windows = data.windows
    known = data.manifest.folds[draw.fold].windows("train", windows.subject)
    sample = np.random.default_rng(0).permutation(known)[:UNLABELLED_SAMPLE]
    background = Background(features.array[np.sort(sample)], features.widths, features.trends)
    rows = list(draw.windows)
    labels = np.searchsorted(windows.classes, windows.y[rows])
    problem = Problem(features.array[rows], labels, draw.seed)
    [predict] = LogisticLearner(C, 0.0, whiten=True).fit([problem], background)
    return predict(np.asarray(features.array))


def _scored(
    data: DataSet, draw: Draw, probability: NDArray[np.floating]
) -> dict[str, tuple[float, EventCounts]]:
    """Macro-F1 and events of the test subjects by each way of smoothing."""
    windows = data.windows
    fold = data.manifest.folds[draw.fold]
    rates = None
    if draw.shots is None:
        # A few windows drawn at random follow nothing.
        training = windows.select(fold.windows("train", windows.subject))
        rates = transition_rates(training, windows.classes)
    counts = np.bincount(np.searchsorted(windows.classes, windows.y[list(draw.windows)]))
    rows = fold.windows("test", windows.subject)
    tested, own = windows.select(rows), probability[rows]
    code = np.searchsorted(windows.classes, tested.y)
    truths = np.where(tested.y == UNLABELLED, -1, code)
    confusion: dict[str, NDArray[np.int_]] = {}
    events: dict[str, EventCounts] = {}
    for each in recordings(tested):
        truth = truths[each.rows]
        smoother = Smoother(each.stride, rates, counts / counts.sum())
        for row, code in smoothings(smoother, each.start, own[each.rows]).items():
            scored = truth >= 0
            matrix = confusion_matrix(truth[scored], code[scored], len(windows.classes))
            confusion[row] = confusion.get(row, 0) + matrix
            events[row] = events.get(row, EventCounts()) + count_events(truth, code)
    return {row: (macro_f1(matrix), events[row]) for row, matrix in confusion.items()}


def smoothings(
    smoother: Smoother, start: NDArray[np.float64], probability: NDArray[np.floating]
) -> dict[str, NDArray[np.intp]]:
    """The classes of a recording's windows, (n,), by each way of smoothing."""
    given = evidence(probability, start, smoother.stride, smoother.prior)
    chain = learn_dwell(given) if smoother.rates is None else Chain(smoother.rates)
    rows = {
        SINGLE: probability.argmax(1),
        "mean of three windows": _mean_of_three(probability, start).argmax(1),
        "smoothed": smoother.smoothed(start, probability).argmax(1),
        "likeliest path": most_likely_path(given, chain),
    }
    for lag in LAGS:
        online = smoother.online(lag)
        due = [each for row in zip(start, probability, strict=True) for each in online.push(*row)]
        name = f"online, {lag} windows later" if lag else "online, at once"
        rows[name] = np.array(due + online.finish()).argmax(1)
    return rows


def _mean_of_three(
    probability: NDArray[np.floating], start: NDArray[np.float64]
) -> NDArray[np.floating]:
    """With the window before and the one after, where the clock does not step back."""
    total, count = probability.copy(), np.ones((len(start), 1))
    follows = (np.diff(start) > 0)[:, None]
    total[1:] += probability[:-1] * follows
    total[:-1] += probability[1:] * follows
    count[1:] += follows
    count[:-1] += follows
    return total / count


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    each = record["f1_each"]
    return {
        "shots": record["shots"] or "all",
        "row": record["row"],
        "f1_mean": round(float(np.mean(each)), 4),
        "f1_std": round(float(np.std(each)), 4),
        "f1_each": " ".join(map(str, each)),
        **record["events"],
    }


def _table(data: DataSet, records: Sequence[dict[str, Any]], config: StudyConfig) -> Table:
    groups: dict[str, list[Line]] = {}
    for record in records:
        shots = record["shots"]
        single = next(r for r in records if (r["shots"], r["row"]) == (shots, SINGLE))
        gain = float(np.mean(record["f1_each"]) - np.mean(single["f1_each"]))
        events = EventCounts(**record["events"])
        shares = [events.correct, events.fragmented, events.merged, events.both, events.deleted]
        entries = [
            Entry(score(np.mean(record["f1_each"])), f"± {score(np.std(record['f1_each']))}"),
            Entry("" if record is single else difference(gain)),
            *(Entry(f"{count / events.true:.0%}") for count in shares),
            Entry(f"{events.inserted / events.true:.2f}"),
        ]
        title = f"{shots} windows per class" if shots else "all labels of the training subjects"
        line = Line(record["row"], entries, record["row"] == "smoothed")
        groups.setdefault(title, []).append(line)
    columns = [
        "labels over time", "macro-F1", "gain", "correct", "fragmented", "merged", "both",
        "deleted", "inserted",
    ]  # fmt: skip
    caption = (
        f"Whole recordings of the test subjects of {data.name}, {protocol(config)}. Events as of "
        "Ward et al., 2011: shares of the true segments, and inserted ones for each of these."
    )
    return Table(columns, groups, caption)
