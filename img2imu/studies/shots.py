"""How many labels it takes: every method from 1 to 50 windows per class (paper Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, silent
from ..report.charts import Curve, draw_curves
from ..report.tables import Entry, Line, Table
from .config import StudyConfig
from .data import DataSet
from .few_shot import probe_rows
from .publishing import begin, protocol, publish, reading
from .results import Missing, Result, compare, require_any, write_scores
from .rows import GROUPS, Row
from .table2 import legend_of_marks, score_entry, spreads

DASHES = {
    "sensor": "dotted",
    "image": "solid",
    "usual": "dashed",
    "vote": "dashed",
    "ceiling": "dotted",
}

BAND = "95 % bootstrap intervals of the mean over folds and draws"


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
    """Compute the curves, or what of them `out` lacks, and write them.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png``.
    sets, rows, missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`, with any number of shots.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    begin(out, "shots", config, sets, rows, missing)
    results, failed = probe_rows(out, sets, rows, config, jobs, progress)
    missing = [*missing, *failed]
    require_any(results, missing)
    results = compare(results, config.reference)
    tables = {data.name: build_table(data, results, rows, config) for data in sets}
    titles = {row.name: row.title for row in rows}
    panels = {data.name: curves(data, results, rows, config) for data in sets}
    figure = draw_curves(panels, titles.get(config.reference, ""), BAND)
    write_scores(out / "table.csv", results, missing)
    return publish(
        out,
        "shots",
        sets,
        config,
        title="How many labelled windows it takes",
        lead=f"Macro-F1 on test subjects, {protocol(config)}. Bands: {BAND}.",
        tables=tables,
        figures={"Macro-F1 over labelled windows per class": ("figure.png", figure)},
        missing=missing,
        findings=spreads(results, rows),
    )


def build_table(
    data: DataSet, results: Sequence[Result], rows: Sequence[Row], config: StudyConfig
) -> Table:
    """Rows by group, a column for each number of shots, and one for all labels."""
    results = [result for result in results if result.dataset == data.name]
    columns: list[int | None] = [*data.shots]
    if any(result.shots is None for result in results):
        columns.append(None)
    groups: dict[str, list[Line]] = {}
    for row in rows:
        for probe in dict.fromkeys(r.probe for r in results if r.row == row.name):
            entries = [
                score_entry(row.name, probe, [r for r in results if r.shots == shots])
                for shots in columns
            ]
            line = Line(row.title, [Entry(probe), *entries], row.name == config.reference)
            groups.setdefault(GROUPS[row.group], []).append(line)
    caption = (
        f"Macro-F1 on test subjects of {data.name} by labelled windows per class, "
        f"{protocol(config)}. {reading(rows)} {legend_of_marks(results, rows, config.reference)}"
    )
    return Table(["method", "probe", *(str(k or "all") for k in columns)], groups, caption)


def bootstrap(each: Sequence[float], draws: int, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean: folds are drawn with replacement, and in each its draws.

    Parameters
    ----------
    each
        Of every fold, in it every draw.
    draws
        In each fold.
    resamples
        Means of which the percentiles are taken.
    """
    low, high = np.percentile(resampled(each, draws, resamples), (2.5, 97.5))
    return float(low), float(high)


def resampled(
    each: Sequence[float], draws: int, resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """The means of :func:`bootstrap`, drawn from `seed`."""
    values = np.reshape(each, (-1, draws))
    rng = np.random.default_rng(seed)
    folds = rng.integers(len(values), size=(resamples, len(values), 1))
    within = rng.integers(draws, size=(resamples, len(values), draws))
    means: NDArray[np.float64] = values[folds, within].mean((1, 2))
    return means


def curves(
    data: DataSet, results: Sequence[Result], rows: Sequence[Row], config: StudyConfig
) -> dict[str, Curve]:
    """The curve of each row on a data set, by its first probe."""
    curves = {}
    for row in rows:
        found = [r for r in results if (r.dataset, r.row) == (data.name, row.name)]
        points = [result for result in found if result.probe == found[0].probe]
        if not points:
            continue
        draws = 1 if points[0].shots is None else config.probe.seeds
        bands = [bootstrap(point.each, draws) for point in points]
        curves[row.title] = Curve(
            [point.shots for point in points if point.shots],
            [point.mean for point in points],
            [low for low, _ in bands],
            [high for _, high in bands],
            DASHES[row.group],
        )
    return curves
