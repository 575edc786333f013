"""What the study of pre-training shows: tables, curves, and which method helps in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_csv
from ..report.charts import Curve
from ..report.tables import Entry, Line, Table, difference, score
from .config import SelfsupConfig, StudyConfig
from .data import DataSet
from .publishing import protocol, reading
from .results import Missing, Overall, Result, over_sets
from .rows import Row
from .shots import DASHES, build_table, resampled
from .table2 import legend_of_marks, marks

if TYPE_CHECKING:
    from .selfsup import Training

START = "start"
"""Row of the encoder that all trainings start from."""

TITLES = {
    START: "no training",
    "moco": "MoCo",
    "simsiam": "SimSiam",
    "simclr": "SimCLR",
    "supervised": "supervised",
    "multitask": "multi-task",
    "cpc": "CPC",
    "focal": "FOCAL",
    "semicmt": "SemiCMT",
    "infomae": "InfoMAE",
    "mmbind": "MMBind",
    "aim": "AIM",
}
"""Of rows whose methods are spelled otherwise."""

SCHEMES = {
    "left-out": "learnt from the other data sets",
    "within": "learnt from the fold's training subjects",
}

COLUMNS = (
    "scheme", "dataset", "row", "probe", "shots", "f1_mean", "f1_std", "f1_each",
    "validation_f1", "gain", "p", "missing",
)  # fmt: skip

MEASURES = ("seconds", "steps_per_second", "loss", "chance", "top1", "spread")
"""Of a training; the last four of its last steps, and not every method has all."""


Measured = Sequence[tuple["Training", Mapping[str, Any]]]
"""Trainings and what was measured of each, by :data:`MEASURES`; a ``warning`` where it failed."""


def differences(compared: Mapping[str, Sequence[Result]]) -> dict[str, list[Result]]:
    """The same results less those of no training, fold by fold, draw by draw.

    What is hard for all, such as a subject, is no part of what is left.
    """
    less: dict[str, list[Result]] = {}
    for scheme, results in compared.items():
        start = {(r.dataset, r.probe, r.shots): r.each for r in results if r.row == START}
        less[scheme] = [
            replace(r, each=tuple(np.subtract(r.each, start[r.dataset, r.probe, r.shots]).tolist()))
            for r in results
        ]
    return less


def panels(
    compared: Mapping[str, Sequence[Result]], rows: Sequence[Row], config: StudyConfig
) -> dict[str, dict[str, Curve]]:
    """Curves over the shots that all data sets have, means over these, by scheme and probe."""
    drawn: dict[str, dict[str, Curve]] = {}
    for scheme, results in compared.items():
        sets = list(dict.fromkeys(result.dataset for result in results))
        of = f"mean of {len(sets)} data sets" if len(sets) > 1 else sets[0]
        for probe in dict.fromkeys(result.probe for result in results):
            curves = {}
            for row in rows:
                found: dict[int, list[Result]] = {}
                for result in results:
                    if (result.row, result.probe) == (row.name, probe) and result.shots:
                        found.setdefault(result.shots, []).append(result)
                whole = {k: each for k, each in found.items() if len(each) == len(sets)}
                if whole:
                    curves[row.title] = _curve(whole, config.probe.seeds, DASHES[row.group])
            drawn[f"{scheme}, {probe}\n{of}"] = curves
    return drawn


def _curve(found: Mapping[int, Sequence[Result]], draws: int, dash: str) -> Curve:
    means, lows, highs = [], [], []
    for results in found.values():
        # Data sets are drawn from independently.
        each = [resampled(r.each, draws, seed=number) for number, r in enumerate(results)]
        low, high = np.percentile(np.mean(each, axis=0), (2.5, 97.5))
        means.append(float(np.mean([result.mean for result in results])))
        lows.append(float(low))
        highs.append(float(high))
    return Curve(list(found), means, lows, highs, dash)


def tables(
    sets: Sequence[DataSet],
    compared: Mapping[str, Sequence[Result]],
    rows: Sequence[Row],
    measured: Measured,
    plan: SelfsupConfig,
    config: StudyConfig,
) -> dict[str, Table]:
    """By scheme the means over data sets and each data set; last what the trainings cost."""
    shown: dict[str, Table] = {}
    for scheme, results in compared.items():
        overall = over_sets(results, START)
        if len({result.dataset for result in results}) > 1:
            shown[f"{scheme}: mean"] = _mean_table(scheme, overall, results, rows, plan, config)
        for data in sets:
            own = [replace(r, dataset=f"{r.dataset}, {scheme}") for r in results]
            named = replace(data, name=f"{data.name}, {scheme}")
            if any(result.dataset == named.name for result in own):
                shown[f"{scheme}: {data.name}"] = build_table(named, own, rows, config)
    shown["trainings"] = _trainings_table(measured, rows, plan)
    return shown


def _mean_table(
    scheme: str,
    overall: Sequence[Overall],
    results: Sequence[Result],
    rows: Sequence[Row],
    plan: SelfsupConfig,
    config: StudyConfig,
) -> Table:
    """Rows and probes down, shots across, in small the difference to no training."""
    shots = sorted({entry.shots for entry in overall if entry.shots})
    found = {(entry.row, entry.probe, entry.shots): entry for entry in overall}
    best = {k: max(entry.mean for entry in overall if entry.shots == k) for k in shots}
    lines = []
    for row in rows:
        for probe in dict.fromkeys(e.probe for e in overall if e.row == row.name):
            entries = [_mean_entry(found.get((row.name, probe, k)), best[k]) for k in shots]
            lines.append(Line(row.title, [Entry(probe), *entries], row.name == START))
    count = len({result.dataset for result in results})
    start = Path(plan.init).name if plan.init else "random weights"
    mean = f", then averaged with it by {plan.average:g}" if plan.init and plan.average else ""
    named = any(row.name == "supervised" for row in rows)
    labels = "; supervised alone was shown their labels" if named else ""
    caption = (
        f"Macro-F1 on test subjects by labelled windows per class, mean of {count} data sets, "
        f"{protocol(config)}. Every method has {SCHEMES[scheme]}, {plan.steps:,} steps from the "
        f"same start ({start}){mean}{labels}. {reading(rows)} In small the difference to no "
        f"training. {legend_of_marks(results, rows, START)}"
    )
    return Table(["method", "probe", *map(str, shots)], {"": lines}, caption)


def _mean_entry(entry: Overall | None, best: float) -> Entry:
    if entry is None:
        return Entry()
    gain = "" if entry.gain is None else difference(entry.gain)
    return Entry(score(entry.mean), f"{gain} {marks(entry)}".strip(), entry.mean == best)


def _trainings_table(
    measured: Measured,
    rows: Sequence[Row],
    plan: SelfsupConfig,
) -> Table:
    """What the trainings of each method cost, and where their losses came to, in the mean."""
    groups: dict[str, list[Line]] = {}
    for scheme in plan.scheme:
        for row in rows:
            found = [
                measures
                for training, measures in measured
                if (training.scheme, training.method) == (scheme, row.name)
            ]
            if found:
                entries = [Entry(str(len(found))), *(_measure(found, m) for m in MEASURES)]
                groups.setdefault(scheme, []).append(Line(row.title, entries))
    caption = (
        f"Trainings of {plan.steps:,} steps each, their means: seconds and steps per second in one "
        "process; of their last steps the loss, the loss of a guess (chance), how often the right "
        "one of the batch or queue, or the label, came first (top1), and how far embeddings "
        "spread, 1 when even and 0 when collapsed."
    )
    heads = [name.replace("_per_", "/").replace("second", "s") for name in MEASURES[1:]]
    return Table(["method", "trainings", "seconds", *heads], groups, caption)


def _measure(found: Sequence[Mapping[str, Any]], name: str) -> Entry:
    values = [measures[name] for measures in found if name in measures]
    return Entry(f"{np.mean(values):.3g}") if values else Entry()


def _shown(results: Sequence[Result] | Sequence[Overall]) -> int | None:
    """Labels of which a sentence speaks: ten per class, or the most there are below."""
    shots = sorted({result.shots for result in results if result.shots})
    return max((k for k in shots if k <= 10), default=shots[0] if shots else None)


def verdicts(compared: Mapping[str, Sequence[Result]], titles: Mapping[str, str]) -> list[str]:
    """For each scheme which method helps most, over all data sets."""
    sentences = []
    for scheme, results in compared.items():
        overall = over_sets(results, START)
        found = _best(overall)
        if found:
            best, shots = found
            sentences.append(
                f"{SCHEMES[scheme].capitalize()}, {shots} labels per class: "
                f"{_helped(best, titles)}."
            )
    return sentences


def best_each(compared: Mapping[str, Sequence[Result]], titles: Mapping[str, str]) -> list[str]:
    """For each data set which method helps most."""
    sentences = []
    for scheme, results in compared.items():
        for name in dict.fromkeys(result.dataset for result in results):
            found = _best([result for result in results if result.dataset == name])
            if found:
                best, shots = found
                sentences.append(
                    f"{name}, {scheme}, {shots} labels per class: {_helped(best, titles)}."
                )
    return sentences


def _best(results: Sequence[Result] | Sequence[Overall]) -> tuple[Result | Overall, int] | None:
    """The trained row of the first probe with the highest score, and its labels."""
    shots = _shown(results)
    probe = results[0].probe if results else None
    found = [r for r in results if (r.shots, r.probe) == (shots, probe) and r.gain is not None]
    return (max(found, key=lambda r: r.mean), shots) if found and shots else None


def _helped(best: Result | Overall, titles: Mapping[str, str]) -> str:
    gain, p = difference(best.gain or 0.0), best.p if best.p is not None else math.nan
    name = titles[best.row]
    told = f"{name} helps most" if (best.gain or 0) > 0 else f"none helps; the best is {name}"
    return (
        f"{told}, told by test subjects: {gain} over no training by the {best.probe} probe "
        f"(p {p:.2g})"
    )


def collapsed(measured: Measured) -> list[str]:
    """Which trainings have collapsed, in sentences."""
    return [
        f"{TITLES.get(training.method, training.method)} for {', '.join(training.tested)}: "
        f"{measures['warning']}."
        for training, measures in measured
        if "warning" in measures
    ]


def write_scores(
    path: Path, compared: Mapping[str, Sequence[Result]], missing: Sequence[Missing]
) -> None:
    """Write one row for each result, each mean over data sets, and each thing missing."""
    lines: list[dict[str, Any]] = []
    for scheme, results in compared.items():
        for result in results:
            lines.append(
                {
                    "dataset": result.dataset,
                    "f1_std": f"{result.std:.4f}",
                    "f1_each": " ".join(f"{value:.4f}" for value in result.each),
                    "validation_f1": f"{result.validation:.4f}",
                    **_shared(scheme, result),
                }
            )
        lines += [{"dataset": "mean", **_shared(scheme, e)} for e in over_sets(results, START)]
    lines += [{"dataset": m.dataset, "row": m.row, "missing": m.reason} for m in missing]
    write_csv(path, COLUMNS, lines)


def _shared(scheme: str, entry: Result | Overall) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "row": entry.row,
        "probe": entry.probe,
        "shots": entry.shots,
        "f1_mean": f"{entry.mean:.4f}",
        "gain": "" if entry.gain is None else f"{entry.gain:.4f}",
        "p": "" if entry.p is None else f"{entry.p:.3g}",
    }


def write_trainings(path: Path, measured: Measured) -> None:
    lines = [
        {
            "scheme": training.scheme,
            "tested": " ".join(training.tested),
            "fold": "" if training.fold is None else training.fold,
            "method": training.method,
            "run": training.run,
            **{name: measures.get(name, "") for name in MEASURES},
        }
        for training, measures in measured
    ]
    write_csv(path, ("scheme", "tested", "fold", "method", "run", *MEASURES), lines)
