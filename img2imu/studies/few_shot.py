"""Few-shot cells, which several studies share: a row on a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..convert import view_to_dict
from ..errors import InputError
from ..fewshot import VOTES, ProbeConfig
from ..fewshot.networks import averaged
from ..models import EncoderConfig
from ..progress import Progress, silent
from .cells import Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .results import Missing, Result
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
    owners = {network.name: row for row in rows for network in row.networks()}
    networks = [network for row in rows for network in row.networks()]
    records, missing = _probe_each(out, sets, networks, config, jobs, progress)
    groups: dict[tuple[str, str, str, int | None], list[dict[str, Any]]] = {}
    for dataset, network, record in records:
        key = dataset, owners[network].name, record["probe"], record["shots"]
        groups.setdefault(key, []).append(record)
    counts = Counter(row.name for row in owners.values())
    by_name = {row.name: row for row in rows}
    results = [
        Result.of(dataset, row, averaged(group), by_name[row].has_seen(dataset))
        for (dataset, row, *_), group in groups.items()
        if len(group) == counts[row]
    ]
    gaps = [replace(gap, row=owners[gap.row].name) for gap in missing]
    return results, list(dict.fromkeys(gaps))


def _probe_each(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    jobs: int | None,
    progress: Progress,
) -> tuple[list[tuple[str, str, dict[str, Any]]], list[Missing]]:
    """Records by data set and row, and what is missing."""
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
    records, missing = [], absent
    for (data, bundle), cell in zip(pairs, cells, strict=True):
        outcome = outcomes[cell.name]
        by_method = {row.method: row.name for row in bundle}
        records += [
            (data.name, by_method[record["method"]], record) for record in outcome.result or []
        ]
        if outcome.reason:
            missing += [Missing(data.name, row.name, outcome.reason) for row in bundle]
    return records, missing


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
