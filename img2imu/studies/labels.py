"""How many windows somebody has to label who is asked for them one by one.

Simulated on data whose labels are known: the windows of a fold's training subjects, in the
proportions in which they were recorded, are labelled as ``img2imu label`` proposes them, in the
order of a random draw, or drawn from each class, which only somebody can do who has the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..convert import view_to_dict
from ..fewshot import FeatureCache, ProbeConfig
from ..fewshot.config import READINGS
from ..fewshot.features import laid_out
from ..fewshot.metrics import confusion_matrix, macro_f1
from ..label import Learning, Proposer
from ..models import DEFAULT_ENCODER, EncoderConfig, build_encoder
from ..progress import Progress, silent
from ..report.charts import draw_curves
from ..report.tables import difference, score
from .cells import FEW_SHOT, Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .publishing import begin, protocol, publish
from .results import Missing, Result, compare, require_any, write_scores
from .rows import Row, identity
from .shots import BAND, build_table, curves

CODE = (
    *FEW_SHOT,
    "img2imu.label.learning",
    "img2imu.label.proposals",
    "img2imu.studies.labels",
)
"""What computes a cell."""

WAYS = {
    "proposed": "proposed windows",
    "random": "random windows",
    "per-class": "random windows of each class",
}
"""Titles of the ways to choose what is labelled."""

KEPT = 2 / 3
"""Part of the training subjects' windows that a draw has, so that draws of proposals differ."""

Rows = NDArray[np.intp]


def rows_of(preset: str, stages: Sequence[int] | None = None) -> list[Row]:
    """A row for each of :data:`WAYS`, all with the toolkit's own encoder."""
    reading = {**READINGS[preset], **({"stages": tuple(stages)} if stages else {})}
    fields = {**asdict(DEFAULT_ENCODER), **reading}
    return [Row(way, "image", title, EncoderConfig(**fields), way) for way, title in WAYS.items()]


def run(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    missing: Sequence[Missing] = (),
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> str:
    """Simulate, or go on with what `out` lacks, and write tables and figures.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png``.
    sets
        Data sets, thinned at random and not by class.
    rows
        From :func:`rows_of`.
    missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`, with any number of shots: so many windows per
        class are labelled in the mean.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    begin(out, "labels", config, sets, rows, missing)
    cells = [
        _cell(data, row, fold.index, config)
        for data in sets
        for fold in data.manifest.folds
        for row in rows
    ]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    results = []
    gaps = list(missing)
    estimates: list[list[float]] = []
    for data in sets:
        for row in rows:
            parts = [outcomes[_name(data, row, fold.index)] for fold in data.manifest.folds]
            reason = next((part.reason for part in parts if part.reason), "")
            if reason:
                gaps.append(Missing(data.name, row.name, reason))
                continue
            results += _results(data, row, [part.result["f1"] for part in parts])
            estimates += [each for part in parts for each in part.result["estimates"]]
    require_any(results, gaps)
    results = compare(results, config.reference)
    tables = {data.name: build_table(data, results, rows, config) for data in sets}
    panels = {data.name: curves(data, results, rows, config) for data in sets}
    figure = draw_curves(panels, WAYS[config.reference], BAND)
    write_scores(out / "table.csv", results, gaps)
    return publish(
        out,
        "labels",
        sets,
        config,
        title="How many windows to label",
        lead=f"Macro-F1 on test subjects, {protocol(config)}. Bands: {BAND}.",
        tables=tables,
        figures={"Macro-F1 over labelled windows per class in the mean": ("figure.png", figure)},
        missing=gaps,
        findings=[*_gains(results), *_honesty(estimates)],
    )


def _name(data: DataSet, row: Row, fold: int) -> str:
    return f"{data.name}--{row.name}--{fold}"


def _cell(data: DataSet, row: Row, fold: int, config: StudyConfig) -> Cell:
    assert row.encoder is not None
    probe = config.probe
    views = probe.drawing(data.windows.sampling_rate, data.windows.X.shape[-1])
    settings = {
        "way": row.name,
        "fold": fold,
        "encoder": identity(row.encoder),
        "views": [view_to_dict(view) for view in views],
        "shots": list(data.shots),
        "probe": {k: v for k, v in asdict(probe).items() if k in ("C", "folds", "seeds", "seed")},
        "data": data.identity,
    }
    compute = partial(simulate, data, row.name, fold, probe, row.encoder, config.device)
    return Cell(_name(data, row, fold), settings, compute, CODE)


def _results(data: DataSet, row: Row, folds: Sequence[Sequence[Sequence[float]]]) -> list[Result]:
    """One for each number of shots, of values by fold, draw and number of shots."""
    values = np.array(folds)
    return [
        Result(
            data.name,
            row.name,
            "logistic",
            shots,
            tuple(values[:, :, place].ravel().tolist()),
            float("nan"),
            seen=row.has_seen(data.name),
        )
        for place, shots in enumerate(data.shots)
    ]


def simulate(
    data: DataSet, way: str, fold: int, probe: ProbeConfig, encoder: EncoderConfig, device: str
) -> dict[str, Any]:
    """Label the windows of a fold's training subjects in one way, draw by draw.

    Returns
    -------
    dict
        ``f1``: by draw and number of shots, on test subjects. ``estimates``: of each of them the
        macro-F1 that the page would have shown with its bounds, and the true one; empty where
        it shows none, and for other ways than ``proposed``.
    """
    features, widths = _features(data, probe, encoder, device)
    windows = data.windows
    labels = np.searchsorted(windows.classes, windows.y)
    parts = data.manifest.folds[fold]
    training = parts.windows("train", windows.subject)
    test = parts.windows("test", windows.subject)
    scores: list[list[float]] = []
    estimates: list[list[float]] = []
    for seed in range(probe.seed, probe.seed + probe.seeds):
        rng = np.random.default_rng([seed, fold])
        pool = np.sort(rng.permutation(training)[: round(KEPT * len(training))])
        learning = Learning([features[pool]], widths, probe.C[0], seed)
        budget = max(data.shots) * len(windows.classes)
        chosen = _chosen(way, learning, labels[pool], _codes(windows.recording[pool]), budget, rng)
        line = []
        for shots in data.shots:
            rows = chosen(shots * len(windows.classes))
            f1 = _score(learning, rows, labels[pool], features[test], labels[test])
            line.append(round(f1, 4))
            if way == "proposed":
                told = np.unique(labels[pool][rows], return_inverse=True)[1]
                groups = _codes(windows.subject[pool][rows])
                estimate = learning.estimate(rows, told, groups)
                if estimate:
                    bounds = estimate.f1, estimate.low, estimate.high, f1
                    estimates.append([round(value, 4) for value in bounds])
        scores.append(line)
    return {"f1": scores, "estimates": estimates}


def _features(
    data: DataSet, probe: ProbeConfig, encoder: EncoderConfig, device: str
) -> tuple[NDArray[np.float32], list[int]]:
    windows = data.windows
    views = probe.drawing(windows.sampling_rate, windows.X.shape[-1])
    stages = FeatureCache().get(windows.X, views, build_encoder(encoder), device=device)
    features, widths, _ = laid_out(stages, len(views), 0)
    return features, widths


def _chosen(
    way: str, learning: Learning, labels: NDArray[np.int_], recording: Rows, budget: int,
    rng: np.random.Generator,
) -> Any:  # fmt: skip
    """A function from a number of windows to those that are labelled then."""
    if way == "per-class":
        order = rng.permutation(len(labels))
        turn = np.empty(len(labels), np.intp)
        for label in np.unique(labels):
            members = order[labels[order] == label]
            turn[members] = np.arange(len(members))
        # So many of each class, as far as there are.
        present = len(np.unique(labels))
        sequence = np.lexsort((labels, turn))
        return lambda count: np.sort(sequence[turn[sequence] < max(1, count // present)])
    if way == "random":
        sequence = rng.permutation(len(labels))
    else:
        sequence = asked(learning, labels, recording, min(budget, len(labels)))
    return lambda count: np.sort(sequence[:count])


def asked(learning: Learning, labels: NDArray[np.int_], recording: Rows, budget: int) -> Rows:
    """The windows that the page asks for, in their order, from somebody who knows all labels.

    As there, the next one is chosen before the head has learnt from the answer before.
    """
    proposer = Proposer(learning, recording)
    done = np.zeros(len(labels), bool)
    queue = proposer.propose(2, done, done)
    order: list[int] = []
    while queue and len(order) < budget:
        order.append(queue[0])
        done[queue[0]] = True
        numbers = np.array(order)
        known, codes = np.unique(labels[numbers], return_inverse=True)
        probability = None
        if len(known) > 1:
            probability = learning.probabilities(learning.fit(numbers, codes))
        following = queue[1:2]
        busy = done.copy()
        busy[following] = True
        queue = [*following, *proposer.propose(1, busy, busy, probability)]
    return np.array(order, dtype=np.intp)


def _score(
    learning: Learning,
    rows: Rows,
    labels: NDArray[np.int_],
    others: NDArray[np.float32],
    truth: NDArray[np.int_],
) -> float:
    """Macro-F1 of other people's windows; classes that were not met are never told."""
    known, codes = np.unique(labels[rows], return_inverse=True)
    told = np.zeros(len(others), np.intp)
    if len(known) > 1:
        told = learning.fit(rows, codes).logits(others).argmax(1)
    classes = int(max(labels.max(), truth.max())) + 1
    return macro_f1(confusion_matrix(truth, known[told], classes))


def _codes(names: NDArray[np.str_]) -> Rows:
    return np.unique(names, return_inverse=True)[1]


def _gains(results: Sequence[Result]) -> list[str]:
    """What proposals gain over each other way, in the mean over sets and numbers of windows."""
    sentences = []
    for way in list(WAYS)[1:]:
        gains = [
            -result.gain for result in results if result.row == way and result.gain is not None
        ]
        if gains:
            sentences.append(
                f"{WAYS['proposed']} against {WAYS[way]}: {difference(float(np.mean(gains)))} in "
                f"the mean over sets and numbers of windows, {difference(min(gains))} at the "
                f"least and {difference(max(gains))} at the most."
            )
    return sentences


def _honesty(estimates: Sequence[Sequence[float]]) -> list[str]:
    """How far what the page shows of macro-F1 is from what test subjects show."""
    if not estimates:
        return []
    f1, low, high, truth = np.array(estimates).T
    return [
        f"The macro-F1 that the page estimates is {difference(float(np.mean(f1 - truth)))} off in "
        f"the mean and {score(float(np.mean(np.abs(f1 - truth))))} in absolute value; its interval "
        f"holds that of the test subjects in {np.mean((low <= truth) & (truth <= high)):.0%} of "
        f"{len(truth)} cases."
    ]
