"""The landscape over nfft and noverlap: one spectrogram per window (paper §IV-A2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..convert import SpectrogramConfig, paper_grid
from ..files import write_csv
from ..progress import Progress, silent
from ..report.charts import Heat, draw_heats
from ..report.tables import Entry, Line, Table, score
from .cells import Cell, Outcome, run_cells
from .config import StudyConfig
from .data import DataSet
from .few_shot import few_shot_cell
from .publishing import begin, protocol, publish, reading
from .results import Missing, require_any
from .rows import Row

COLUMNS = (
    "dataset", "row", "nfft", "noverlap", "probe", "shots", "validation_f1", "f1_mean", "f1_std",
    "f1_each", "missing",
)  # fmt: skip


@dataclass(frozen=True)
class Landscape:
    """A row on a data set: what became of each spectrogram of the grid."""

    data: DataSet
    row: Row
    places: dict[SpectrogramConfig, Outcome]

    @property
    def title(self) -> str:
        """Row and data set."""
        return f"{self.row.title}, {self.data.name}"

    def scores(self, field: str) -> dict[SpectrogramConfig, float]:
        """``validation_f1`` or ``f1_mean`` of the places that have one."""
        return {
            view: float(_record(outcome)[field])
            for view, outcome in self.places.items()
            if not outcome.reason
        }


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
    """Compute the landscapes, or what of them `out` lacks, and write them.

    Every place is one spectrogram of the paper's kind, read and learnt from as elsewhere.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png``.
    sets, rows, missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`. Rows without an image encoder are named as
        missing; of the probes the first is used, and of the shots of a data set.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    missing = [
        *missing,
        *(Missing("", r.name, "it reads no spectrograms") for r in rows if r.group != "image"),
    ]
    rows = [row for row in rows if row.group == "image"]
    begin(out, "grid", config, sets, rows, missing)
    landscapes = compute(out, sets, rows, config, jobs, progress)
    missing += _gaps(landscapes)
    require_any(
        [score for landscape in landscapes for score in landscape.scores("f1_mean")], missing
    )
    tables = {landscape.title: build_table(landscape, config) for landscape in landscapes}
    write_csv(out / "table.csv", COLUMNS, _csv_rows(landscapes, missing))
    reasons = {o.reason for landscape in landscapes for o in landscape.places.values()}
    foot = "\n".join(f"–: {reason}" for reason in sorted(reasons - {""}))
    figure = draw_heats([_heats(landscape) for landscape in landscapes], foot)
    return publish(
        out,
        "grid",
        sets,
        config,
        title="Macro-F1 by nfft and noverlap",
        lead=" ".join(map(_verdict, landscapes)),
        tables=tables,
        figures={"Macro-F1 by nfft and noverlap": ("figure.png", figure)},
        missing=missing,
        pictures="one spectrogram of 128×96, each axis by its own range",
    )


def compute(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Landscape]:
    """Every row on every data set; each place is a cell in ``out/cells``."""
    landscapes = [
        Landscape(data, row, dict.fromkeys(paper_grid(data.windows.sampling_rate), Outcome()))
        for row in rows
        for data in sets
    ]
    cells = [
        _cell(landscape, view, config)
        for landscape in landscapes
        for view in landscape.places
        if not view.degenerate(landscape.data.windows.X.shape[-1])
    ]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    for landscape in landscapes:
        samples = landscape.data.windows.X.shape[-1]
        for view in landscape.places:
            degenerate = Outcome(reason=view.degenerate(samples))
            landscape.places[view] = outcomes.get(_name(landscape, view), degenerate)
    return landscapes


def _name(landscape: Landscape, view: SpectrogramConfig) -> str:
    return f"{landscape.data.name}--{landscape.row.name}--{view.nfft}-{view.noverlap}"


def _cell(landscape: Landscape, view: SpectrogramConfig, config: StudyConfig) -> Cell:
    data, row = landscape.data, landscape.row
    assert row.encoder is not None
    probe = replace(
        config.probe,
        views=(view,),
        encoder=row.encoder,
        probes=config.probe.probes[:1],
        shots=data.shots[:1],
    )
    name = _name(landscape, view)
    return few_shot_cell(name, data, ["img2imu"], probe, row.encoder, config.device)


def _record(outcome: Outcome) -> dict[str, Any]:
    """The one record of a place; empty where it has none."""
    return dict(outcome.result[0]) if outcome.result else {}


def build_table(landscape: Landscape, config: StudyConfig) -> Table:
    """Validation and test scores, nfft down and hops across."""
    chosen = landscape.scores("validation_f1")
    best = max(chosen, key=chosen.__getitem__) if chosen else None
    lines, hops = [], _axis(landscape, "hop")
    for nfft in _axis(landscape, "nfft"):
        entries = []
        for view, outcome in landscape.places.items():
            if view.nfft == nfft:
                entries.append(_entry(outcome, view == best))
        lines.append(Line(f"nfft {nfft}", entries))
    caption = (
        f"Macro-F1 on validation subjects, and in brackets on test subjects, from "
        f"{landscape.data.shots[0]} labelled windows per class, {protocol(config)}. "
        f"{reading([landscape.row])} Columns: noverlap is nfft less so much. Best on validation "
        "subjects in bold."
    )
    return Table(["", *(f"− {hop}" for hop in hops)], {"": lines}, caption)


def _entry(outcome: Outcome, best: bool) -> Entry:
    if outcome.reason:
        return Entry()
    record = _record(outcome)
    return Entry(score(record["validation_f1"]), f"({score(record['f1_mean'])})", best)


def _axis(landscape: Landscape, name: str) -> list[int]:
    return list(dict.fromkeys(getattr(view, name) for view in landscape.places))


def _heats(landscape: Landscape) -> list[Heat]:
    nffts, hops = _axis(landscape, "nfft"), _axis(landscape, "hop")
    heats = []
    for part, field in (("validation", "validation_f1"), ("test", "f1_mean")):
        scores = landscape.scores(field)
        values = [scores.get(view, np.nan) for view in landscape.places]
        heats.append(
            Heat(
                f"{landscape.title}: {part} subjects",
                "noverlap: nfft less",
                [f"nfft {nfft}" for nfft in nffts],
                [str(hop) for hop in hops],
                np.reshape(values, (len(nffts), len(hops))).tolist(),
            )
        )
    return heats


def _verdict(landscape: Landscape) -> str:
    """What validation subjects choose, and what it is worth on test subjects."""
    validation, test = landscape.scores("validation_f1"), landscape.scores("f1_mean")
    if not test:
        return f"{landscape.title}: nothing could be computed."
    chosen = max(validation, key=validation.__getitem__)
    values = sorted(test.values())
    return (
        f"{landscape.title}: validation subjects prefer nfft {chosen.nfft}, noverlap "
        f"{chosen.noverlap}, with {score(test[chosen])} on test subjects, where the grid spans "
        f"{score(values[0])} to {score(values[-1])}."
    )


def _gaps(landscapes: Sequence[Landscape]) -> list[Missing]:
    """The places without a score; those of one reason together."""
    gaps: dict[tuple[str, str, str], list[str]] = {}
    for landscape in landscapes:
        for view, outcome in landscape.places.items():
            if outcome.reason:
                key = (landscape.data.name, landscape.row.name, outcome.reason)
                gaps.setdefault(key, []).append(f"{view.nfft}/{view.noverlap}")
    return [
        Missing(data, row, f"nfft/noverlap {', '.join(places)}: {reason}")
        for (data, row, reason), places in gaps.items()
    ]


def _csv_rows(landscapes: Sequence[Landscape], missing: Sequence[Missing]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"dataset": gap.dataset, "row": gap.row, "missing": gap.reason}
        for gap in missing
        if not any(gap.row == landscape.row.name for landscape in landscapes)
    ]
    for landscape in landscapes:
        for view, outcome in landscape.places.items():
            place = {
                "dataset": landscape.data.name,
                "row": landscape.row.name,
                "nfft": view.nfft,
                "noverlap": view.noverlap,
                "missing": outcome.reason,
            }
            record = _record(outcome)
            each = " ".join(f"{value:.4f}" for value in record.get("f1_each", ()))
            rows.append({**_only(record, COLUMNS), **place, "f1_each": each})
    return rows


def _only(record: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name in columns}
