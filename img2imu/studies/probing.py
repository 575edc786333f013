"""Few-shot cells, which several studies share: a row on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..convert import view_to_dict
from ..errors import InputError
from ..probe.config import ProbeConfig
from ..progress import Progress, silent
from .cells import Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .folder import begin_folder
from .results import Missing, Result
from .rows import TRAINED, Row, identity

LEAST_FINETUNED = 10
"""Labelled windows per class from which on a row is fine-tuned."""

FROM_SCRATCH: dict[str, Any] = {"stages_trained": None, "lr": 1e-3, "epochs": 60, "policy": None}
"""Settings of fine-tuning under which a 1-D network starts from random weights."""


def begin(
    out: Path,
    study: str,
    config: StudyConfig,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    missing: Sequence[Missing],
) -> None:
    """Write what is known before anything is computed: settings, environment, splits."""
    settings = {
        "settings": {
            **config.shared(),
            "windows": config.windows,
            "reference": config.reference,
        },
        "data": {data.name: data.describe() for data in sets},
        "rows": {row.name: identity(row.encoder) for row in rows},
        "missing": [vars(entry) for entry in missing],
    }
    begin_folder(out, study, settings)
    (out / "splits").mkdir(exist_ok=True)
    for data in sets:
        data.manifest.save(out / "splits" / f"{data.name}.json")


def probe_rows(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    config: StudyConfig,
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[list[Result], list[Missing]]:
    """Every row on every data set, in the cells of ``out/cells``."""
    pairs = [(data, bundle) for bundle in _bundles(rows) for data in sets]
    cells = [_cell(data, bundle, config) for data, bundle in pairs]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    results, missing = [], []
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
    votes = any(row.group == "vote" for row in rows)
    together = [row for row in rows if votes and row.group in ("usual", "vote")]
    alone = [[row] for row in rows if row not in together]
    return [together, *alone] if together else alone


def _cell(data: DataSet, bundle: Sequence[Row], config: StudyConfig) -> Cell:
    methods = [row.method for row in bundle]
    encoder = next((row.encoder for row in bundle if row.encoder), None)
    probe = replace(config.probe, shots=data.shots, encoder=encoder or config.probe.encoder)
    if len(bundle) > 1:
        # Of an encoder's probes only the first votes.
        probe = replace(probe, probes=probe.probes[:1])
    drawings = probe.drawings(data.windows.sampling_rate, data.windows.X.shape[-1])
    settings = {
        "methods": methods,
        "encoder": identity(encoder),
        "views": [[view_to_dict(view) for view in views] for views in drawings],
        "probe": replace(config, probe=probe).shared(),
        "data": data.identity,
    }
    name = bundle[0].name if len(bundle) == 1 else "votes"
    if methods == ["all-labels"]:
        compute = _all_labels
    else:
        compute = _trained if methods[0] in TRAINED else _few_shot
    return Cell(f"{data.name}--{name}", settings, partial(compute, data, methods, probe))


def _few_shot(data: DataSet, methods: Sequence[str], config: ProbeConfig) -> list[dict[str, Any]]:
    from ..probe import evaluate

    outcome = evaluate(data.windows, config, methods, name=data.name, jobs=1)
    results: list[dict[str, Any]] = outcome["results"]
    return results


def _all_labels(data: DataSet, methods: Sequence[str], config: ProbeConfig) -> list[dict[str, Any]]:
    """The logistic probe on all labelled windows of the training subjects."""
    from ..probe.evaluation import encoder_features
    from ..probe.features import FeatureCache
    from ..probe.methods import LogisticLearner, Method
    from ..probe.protocol import Task, choose, score_method, summarize
    from ..recordings import SplitManifest

    [name] = methods
    cache = FeatureCache()
    features = encoder_features(data.windows, config, cache, silent, name)
    manifest = SplitManifest.create(
        data.name, data.windows, (None,), range(1), config.folds, config.seed
    )
    task = Task.from_manifest(data.windows, manifest)
    method = Method(name, "logistic", features, [LogisticLearner(C) for C in config.C])
    return summarize(task, choose(task, method, score_method(task, method, jobs=1)))


def _trained(data: DataSet, methods: Sequence[str], config: ProbeConfig) -> list[dict[str, Any]]:
    """A network that learns as a whole: from the few labels, or one draw a fold of all."""
    from ..finetune import FinetuneConfig, evaluate

    [name] = methods
    few = name == "finetune"
    shots = tuple(k for k in config.shots if k and k >= LEAST_FINETUNED) if few else (None,)
    if not shots:
        raise InputError(f"fine-tuning takes at least {LEAST_FINETUNED} windows per class")
    settings = FinetuneConfig(
        config.preset,
        config.encoder,
        config.C[0],
        shots=shots,
        folds=config.folds,
        seeds=config.seeds if few else 1,
        seed=config.seed,
    )
    if name == "supervised-1d":
        settings = replace(settings, **FROM_SCRATCH)
    outcome = evaluate(data.windows, settings, name=data.name)
    results = [record for record in outcome["results"] if record["method"] == "finetune"]
    return [
        {**record, "method": name, "shots": record["shots"] if few else None} for record in results
    ]


def _result(data: DataSet, bundle: Sequence[Row], record: dict[str, Any]) -> Result:
    [row] = [row for row in bundle if row.method == record["method"]]
    return Result(
        data.name,
        row.name,
        record["probe"],
        record["shots"],
        tuple(record["f1_each"]),
        record["validation_f1"],
        tuple(chosen["stage"] for chosen in record["chosen"] if "stage" in chosen),
    )


def protocol(config: StudyConfig) -> str:
    """How it was tested, in words."""
    probe = config.probe
    limit = f", at most {config.windows:,} windows of each data set" if config.windows else ""
    return (
        f"mean ± standard deviation over {probe.folds} subject-disjoint folds × {probe.seeds} "
        f"draws{limit}"
    )


def reading(rows: Sequence[Row]) -> str:
    """A sentence on the stages at which image encoders are read; empty without any."""
    titles: dict[tuple[int, ...], list[str]] = {}
    for row in rows:
        if row.group == "image" and row.encoder is not None:
            titles.setdefault(row.encoder.stages, []).append(row.title)
    if not titles:
        return ""
    # What most are read at needs no names.
    common = max(titles, key=lambda stages: len(titles[stages]))
    others = [f"{_stages(s)} ({', '.join(names)})" for s, names in titles.items() if s != common]
    return f"Image encoders are read at {', '.join([_stages(common), *others])}."


def _stages(stages: Sequence[int]) -> str:
    return f"stage{'s' if len(stages) > 1 else ''} {' or '.join(map(str, stages))}"


def facts(
    sets: Sequence[DataSet], config: StudyConfig, pictures: str | None = None
) -> list[tuple[str, str]]:
    """Settings in words, for a page; `pictures` are those of the preset where not told."""
    probe = config.probe
    described = [(data.name, _describe(data)) for data in sets]
    limit = f"at most {config.windows:,} of each data set" if config.windows else "all"
    return [
        *described,
        ("windows", f"{limit}, drawn evenly over subjects and classes"),
        ("folds", f"{probe.folds} by subject: one part tests, one validates, the others train"),
        ("draws", f"{probe.seeds} in each fold"),
        ("pictures", pictures or f"preset {probe.preset}"),
        ("penalty", f"C among {', '.join(f'{C:g}' for C in probe.C)}, standardised features"),
        ("compared with", config.reference),
    ]


def _describe(data: DataSet) -> str:
    windows = data.windows
    return (
        f"{len(windows):,} windows of {windows.X.shape[-1] / windows.sampling_rate:g} s at "
        f"{windows.sampling_rate:g} Hz, {len(windows.subjects)} subjects, "
        f"{len(windows.classes)} classes"
    )
