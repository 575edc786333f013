"""Where networks look (paper Fig. 8): Grad-CAM by class, random, pre-trained, fully supervised.

Every network reads one spectrogram, as in the paper: what several views share out among
themselves could not be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..convert import SpectrogramConfig, view_to_dict
from ..errors import InputError
from ..fewshot import READINGS, FinetuneConfig
from ..files import write_csv
from ..models import EncoderConfig
from ..progress import Progress, silent
from ..report.heatmaps import HeatMaps, draw_heatmaps
from ..report.tables import Entry, Line, Table, score
from .cells import FEW_SHOT, Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .heat import GRID, PARTS, agreement, grad_cam, pack, shares, unpack
from .publishing import begin, publish
from .results import Missing, require_any
from .rows import Row, identity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..fewshot import Img2ImuClassifier, Img2ImuNetwork

EXAMPLES = 20
"""Test windows of a class at most, over which the table averages; the figures show the first."""

SUPERVISED = "fully-supervised"
"""Row of the network that is trained from scratch on all labels of the training subjects."""

TRAINING = FinetuneConfig(stages_trained=None, lr=1e-3, decay=1.0, epochs=20, steps=50, patience=10)
"""How: all stages alike, fast, for a thousand steps or more."""

COLUMNS = ("dataset", "row", "class", "windows", "f1", "score", *PARTS, "agreement")


@dataclass(frozen=True)
class Looks:
    """Where one network looks in the examples of a data set.

    Attributes
    ----------
    f1
        Macro-F1 of the network on the test subjects.
    score
        Shape (n,): the probability of the true class.
    heat
        Shape (n, rows, columns), in [0, 1].
    """

    f1: float
    score: NDArray[np.floating]
    heat: NDArray[np.floating]


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
    """Draw heat maps of every network on every data set, on the subjects that fold 0 tests.

    Heads are learnt from the first draw of the fold; one more network is trained from scratch on
    all labels of its training subjects.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html``, and a PNG for each data set.
    sets, rows, missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`. Rows that read no pictures are named
        as missing; the others are read at the last of their stages.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    networks = [*(row for row in rows if row.group == "image"), _supervised()]
    missing = [
        *missing,
        *(Missing("", row.name, "it reads no pictures") for row in rows if row.group != "image"),
        *(gap for data in sets for gap in _unseen(data)),
    ]
    begin(out, "gradcam", config, sets, networks, missing)
    pairs = [(data, row) for data in sets for row in networks]
    cells = [_cell(data, row, config) for data, row in pairs]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    looks: dict[str, dict[str, Looks]] = {data.name: {} for data in sets}
    for (data, row), cell in zip(pairs, cells, strict=True):
        outcome = outcomes[cell.name]
        if outcome.reason:
            missing.append(Missing(data.name, row.name, outcome.reason))
        else:
            looks[data.name][row.name] = _looks(outcome.result)
    records = [record for data in sets for record in measure(data, looks[data.name])]
    require_any(records, missing)
    write_csv(out / "table.csv", COLUMNS, records)
    tables = {data.name: build_table(data, networks, records, config) for data in sets}
    figures = {
        data.name: (f"{data.name}.png", draw(data, networks, looks[data.name])) for data in sets
    }
    return publish(
        out,
        "gradcam",
        sets,
        config,
        title="Where the networks look",
        lead="Grad-CAM of the true class, one random window of a test subject for each class. "
        "Grey all over: nothing in the picture speaks for the class.",
        tables=tables,
        figures=figures,
        missing=missing,
        pictures="one spectrogram of 96×72, of fixed range",
        raster=True,
    )


def examples(data: DataSet) -> NDArray[np.intp]:
    """Up to :data:`EXAMPLES` random windows of each class that fold 0 tests, class by class."""
    windows = data.windows
    test = data.manifest.folds[0].windows("test", windows.subject)
    groups = []
    for number, name in enumerate(windows.classes):
        members = test[windows.y[test] == name]
        groups.append(np.random.default_rng([0, number]).permutation(members)[:EXAMPLES])
    return np.concatenate(groups)


def measure(data: DataSet, looks: Mapping[str, Looks]) -> list[dict[str, Any]]:
    """One record for each network and class: shares of the heat, and agreement.

    Shares are means over the class' windows with any heat. Agreement is the mean correlation of
    a window's heat with that of the fully supervised network.
    """
    shown = data.windows.y[examples(data)]
    reference = looks.get(SUPERVISED)
    records = []
    for row, look in looks.items():
        for name in dict.fromkeys(shown.tolist()):
            of_class = shown == name
            heat = look.heat[of_class]
            record: dict[str, Any] = {
                "dataset": data.name,
                "row": row,
                "class": name,
                "windows": int(of_class.sum()),
                "f1": round(look.f1, 4),
                "score": round(float(look.score[of_class].mean()), 4),
            }
            numbers = dict(zip(PARTS, shares(heat).tolist(), strict=True))
            if reference and row != SUPERVISED:
                numbers["agreement"] = agreement(heat, reference.heat[of_class])
            known = {key: round(value, 4) for key, value in numbers.items() if value == value}
            records.append(record | known)
    return records


def build_table(
    data: DataSet, rows: Sequence[Row], records: Sequence[Mapping[str, Any]], config: StudyConfig
) -> Table:
    """A line for each network: means over the classes."""
    lines = []
    for row in rows:
        group = [r for r in records if (r["dataset"], r["row"]) == (data.name, row.name)]
        if group:
            names = ("f1", "score", *PARTS, "agreement")
            entries = [_mean_entry([r[name] for r in group if name in r]) for name in names]
            lines.append(Line(row.title, entries, row.name == config.reference))
    caption = (
        f"Grad-CAM on {data.name}, mean over classes of up to {EXAMPLES} windows of the subjects "
        f"that fold 0 tests: macro-F1 on them, probability of the true class, shares of the heat "
        f"in thirds of frequency (of {data.windows.sampling_rate / 2:g} Hz, from low) and of "
        "time, and agreement: the correlation with the fully supervised network's heat."
    )
    return Table(["network", "macro-F1", "score", *PARTS, "agreement"], {"": lines}, caption)


def _cell(data: DataSet, row: Row, config: StudyConfig) -> Cell:
    settings = {
        "encoder": identity(row.encoder),
        "probe": {**config.shared(), "shots": data.shots[:1]},
        "data": data.identity,
        "view": view_to_dict(view_of(data)),
        "examples": [EXAMPLES, *GRID],
        "training": asdict(TRAINING) if row.name == SUPERVISED else None,
    }
    code = (*FEW_SHOT, "img2imu.studies.gradcam", "img2imu.studies.heat")
    return Cell(f"{data.name}--{row.name}", settings, partial(_look, data, row, config), code)


def _look(data: DataSet, row: Row, config: StudyConfig) -> dict[str, Any]:
    from ..fewshot.metrics import confusion_matrix, macro_f1

    windows, classes = data.windows, data.windows.classes
    classifier = _trained(data, row, config)
    assert classifier.encoder is not None
    test = data.manifest.folds[0].windows("test", windows.subject)
    labels = np.searchsorted(classes, windows.y)
    answers = classifier.decision_function(windows.X[test]).argmax(1)
    chosen = examples(data)
    probability = classifier.predict_proba(windows.X[chosen])
    network, stage = classifier.network_, classifier.encoder.stages[-1]
    heat = grad_cam(network, windows.X[chosen], labels[chosen], stage)
    return {
        "f1": macro_f1(confusion_matrix(labels[test], answers, len(classes))),
        "score": probability[np.arange(len(chosen)), labels[chosen]].tolist(),
        "heat": pack(heat[:, 0]),
    }


def _trained(data: DataSet, row: Row, config: StudyConfig) -> Img2ImuClassifier:
    """A classifier of the training subjects of fold 0: few-shot, or trained on all labels."""
    from ..fewshot import Img2ImuClassifier
    from ..recordings import few_shot

    assert row.encoder is not None
    windows = data.windows
    encoder = replace(row.encoder, stages=row.encoder.stages[-1:])
    classifier = Img2ImuClassifier(
        windows.sampling_rate, [view_of(data)], encoder, config.probe.C[0], config.device
    )
    if row.name != SUPERVISED:
        drawn = data.manifest.draw(0, config.probe.seed, data.shots[0])
        return classifier.fit(windows.X[drawn], windows.y[drawn])
    candidates = data.manifest.folds[0].windows("train", windows.subject)
    rows = few_shot(windows.y, candidates, None)
    _train(classifier.fit(windows.X[rows], windows.y[rows]).network_, data, rows, config.device)
    return classifier


def _train(network: Img2ImuNetwork, data: DataSet, rows: NDArray[np.intp], device: str) -> None:
    """Train all of the network on `rows`, until validation subjects gain no more.

    Raises
    ------
    InputError
        If it never becomes better than its random encoder with the head it starts from.
    """
    from ..fewshot.training import Labelled, finetune

    windows = data.windows
    labels = np.searchsorted(windows.classes, windows.y)
    judges = data.manifest.folds[0].windows("validation", windows.subject)
    history = finetune(
        network,
        Labelled(windows.X[rows], labels[rows]),
        Labelled(windows.X[judges], labels[judges]),
        TRAINING,
        device=device,
    )
    if not history.best:
        raise InputError(
            f"training from scratch on {len(rows)} windows did not become better than a random "
            "encoder with a head learnt from them"
        )


def _supervised() -> Row:
    # Other random weights than those of the random row: agreement must not come from the start.
    encoder = EncoderConfig(seed=1, **READINGS["recommended"])
    return Row(SUPERVISED, "ceiling", "fully supervised", encoder, SUPERVISED)


def _unseen(data: DataSet) -> list[Missing]:
    """Classes that no test subject of fold 0 shows."""
    seen = set(data.windows.y[examples(data)].tolist())
    return [
        Missing(data.name, "", f"class {name} has no window of the subjects that fold 0 tests")
        for name in data.windows.classes
        if name not in seen
    ]


def view_of(data: DataSet) -> SpectrogramConfig:
    """The spectrogram that all networks read: it keeps the amplitude.

    A frame is the largest power of two that takes at most a third of the window: nfft 64 for 5 s
    at 50 Hz.
    """
    third = max(4, data.windows.X.shape[-1] // 3)
    nfft = 1 << (third.bit_length() - 1)
    return SpectrogramConfig(
        data.windows.sampling_rate,
        nfft,
        nfft - max(1, nfft // 16),
        normalize="fixed",
        width=96,
        height=72,
    )


def draw(data: DataSet, rows: Sequence[Row], looks: Mapping[str, Looks]) -> Figure:
    """The first example of each class under the heat of each network."""
    chosen = examples(data)
    names, first = np.unique(data.windows.y[chosen], return_index=True)
    maps = {
        row.title: HeatMaps(looks[row.name].heat[first], looks[row.name].score[first])
        for row in rows
        if row.name in looks
    }
    return draw_heatmaps(data.windows.X[chosen[first]], names.tolist(), view_of(data), maps)


def _looks(result: Mapping[str, Any]) -> Looks:
    score = np.array(result["score"])
    return Looks(result["f1"], score, unpack(result["heat"], len(score)))


def _mean_entry(values: Sequence[float]) -> Entry:
    return Entry(score(float(np.mean(values)))) if values else Entry()
