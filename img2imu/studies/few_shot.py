"""Few-shot cells, which several studies share: a row on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..convert import view_to_dict
from ..errors import InputError
from ..fewshot import VOTES, ProbeConfig
from ..models import EncoderConfig
from ..progress import Progress, silent
from .cells import Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .results import Missing, Result, averaged
from .rows import ALL_LABELS, Row, identity, lacking

LEAST_FINETUNED = 10
"""Labelled windows per class from which on a row is fine-tuned."""


def probe_rows(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[list[Result], list[Missing]]:
    """Every row on every data set, in the cells of ``out/cells``."""
    networks = {row.name: row.networks() for row in rows}
    each = [network for row in rows for network in networks[row.name]]
    results, missing = _probe_each(out, sets, each, config, jobs, progress)
    for name, members in networks.items():
        if len(members) > 1:
            results, missing = _as_one(name, [row.name for row in members], results, missing)
    return results, missing


def _as_one(
    name: str, members: Sequence[str], results: Sequence[Result], missing: Sequence[Missing]
) -> tuple[list[Result], list[Missing]]:
    """Put the mean of the rows `members` under one name."""
    groups: dict[tuple[str, str, int | None], list[Result]] = {}
    for result in results:
        if result.row in members:
            groups.setdefault((result.dataset, result.probe, result.shots), []).append(result)
    means = [
        replace(averaged(group), row=name)
        for group in groups.values()
        if len(group) == len(members)
    ]
    gaps = [replace(gap, row=name) if gap.row in members else gap for gap in missing]
    others = [result for result in results if result.row not in members]
    return [*others, *means], list(dict.fromkeys(gaps))


def _probe_each(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    jobs: int | None,
    progress: Progress,
) -> tuple[list[Result], list[Missing]]:
    absent = [
        Missing(data.name, row.name, reason)
        for row in rows
        for data in sets
        if (reason := lacking(row, data))
    ]
    without = {(entry.dataset, entry.row) for entry in absent}
    pairs = [
        (data, bundle)
        for bundle in _bundles(rows)
        for data in sets
        if not any((data.name, row.name) in without for row in bundle)
    ]
    cells = [_cell(data, bundle, config) for data, bundle in pairs]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    results, missing = [], absent
    for (data, bundle), cell in zip(pairs, cells, strict=True):
        outcome = outcomes[cell.name]
        results += [_result(data, bundle, record) for record in outcome.result or []]
        if outcome.reason:
            missing += [Missing(data.name, row.name, outcome.reason) for row in bundle]
    return results, missing


def _bundles(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that one cell computes: those who vote and their votes, so that nobody learns twice.

    They take longest, so they start first.
    """
    votes = [row for row in rows if row.group == "vote"]
    voters = {member for row in votes for member in VOTES[row.method]}
    together = [row for row in rows if row.group == "usual" and row.method in voters] + votes
    alone = [[row] for row in rows if row not in together]
    return [together, *alone] if together else alone


def _cell(data: DataSet, bundle: Sequence[Row], config: StudyConfig) -> Cell:
    encoder = next((row.encoder_for(data) for row in bundle if row.encoder), None)
    probe = replace(config.probe, shots=data.shots, encoder=encoder or config.probe.encoder)
    if len(bundle) > 1:
        # Of an encoder's probes only the first votes.
        probe = replace(probe, probes=probe.probes[:1])
    if bundle[0].name in ALL_LABELS:
        probe = replace(probe, shots=(None,), probes=("logistic",))
    if bundle[0].name == "finetune":
        probe = replace(probe, shots=tuple(k for k in data.shots if k >= LEAST_FINETUNED) or (1,))
    name = bundle[0].name if len(bundle) == 1 else "votes"
    methods = [row.method for row in bundle]
    return few_shot_cell(f"{data.name}--{name}", data, methods, probe, encoder, config.device)


def few_shot_cell(
    name: str,
    data: DataSet,
    methods: Sequence[str],
    probe: ProbeConfig,
    encoder: EncoderConfig | None,
    device: str,
    fold: int | None = None,
) -> Cell:
    """A cell whose result is the records of :func:`img2imu.fewshot.evaluate`.

    Parameters
    ----------
    name
        Of the cell.
    data
        What is learnt and tested.
    methods
        Of :func:`img2imu.fewshot.evaluate`.
    probe
        Their settings.
    encoder
        That of the settings; None where no method reads one.
    device
        Where networks run.
    fold
        Number of the only one; None takes all.
    """
    settings = {"methods": list(methods), "fold": fold, **cell_settings(data, probe, encoder)}
    return Cell(name, settings, partial(_score, data, methods, probe, device, fold))


def cell_settings(
    data: DataSet, probe: ProbeConfig, encoder: EncoderConfig | None
) -> dict[str, Any]:
    """What a probe of a data set depends on, as JSON values for :class:`.cells.Cell`."""
    windows = data.windows
    drawings = probe.drawings(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
    return {
        "encoder": identity(encoder),
        "views": [[view_to_dict(view) for view in views] for views in drawings],
        "probe": {k: v for k, v in asdict(probe).items() if k not in ("encoder", "views")},
        "data": data.identity,
    }


def _score(
    data: DataSet, methods: Sequence[str], probe: ProbeConfig, device: str, fold: int | None
) -> list[dict[str, Any]]:
    from ..fewshot import evaluate

    if "finetune" in methods and any(k and k < LEAST_FINETUNED for k in probe.shots):
        raise InputError(f"fine-tuning takes at least {LEAST_FINETUNED} windows per class")
    folds = None if fold is None else [fold]
    outcome = evaluate(
        data.windows, probe, methods, name=data.name, device=device, jobs=1, folds=folds
    )
    results: list[dict[str, Any]] = outcome["results"]
    return results


def _result(data: DataSet, bundle: Sequence[Row], record: dict[str, Any]) -> Result:
    [row] = [row for row in bundle if row.method == record["method"]]
    return Result(
        data.name,
        row.name,
        record["probe"],
        record["shots"],
        tuple(record["f1_each"]),
        record["validation_f1"],
        row.has_seen(data.name),
    )
