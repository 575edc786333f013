"""Table II: every method on every data set, few labelled windows per class (paper §IV-B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..progress import Progress, silent
from ..report.charts import Dot, draw_scores
from ..report.tables import Entry, Line, Table, difference, score
from . import paper
from .config import StudyConfig
from .data import DataSet
from .few_shot import probe_rows
from .publishing import begin, protocol, publish, reading
from .results import (
    Missing,
    Opponent,
    Overall,
    Result,
    best_opponents,
    compare,
    over_sets,
    require_any,
    write_scores,
)
from .rows import GROUPS, Row

SIGNIFICANT = 0.05
"""Below this p a difference from the reference row is marked."""

SEEN = "†"
"""Marks scores of an encoder that has learnt from the data set."""

ALL_SETS = "mean"

KINDS = {
    "main": "logistic probe or forest",
    "paper": "the paper's probe",
    "knn": "nearest neighbours",
    "published": "published",
}
"""Kinds of dots in the figure."""


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
    """Compute the table, or what of it `out` lacks, and write it.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png`` beside
        settings, environment, splits and cells.
    sets, rows, missing
        From :func:`~.data.load_sets` and :func:`~.rows.build_rows`.
    config
        With one number of shots.
    jobs, progress
        As in :func:`~.cells.run_cells`.

    Returns
    -------
    str
        The table as Markdown.

    Raises
    ------
    InputError
        If there are several numbers of shots, or nothing could be computed.
    """
    if len(config.probe.shots) != 1:
        raise InputError(f"table2 takes one number of shots, not {config.probe.shots}")
    unknown = set(config.untouched) - {data.name for data in sets}
    if unknown:
        raise InputError(f"untouched names {min(unknown)!r}, which is not among the windows files")
    held = {paper.dataset_of(data.name) for data in sets}
    absent = [
        Missing(title, "", "a data set of the paper, not among the windows files")
        for name, title in paper.DATASETS.items()
        if name not in held
    ]
    missing = [*absent, *missing]
    begin(out, "table2", config, sets, rows, missing)
    results, failed = probe_rows(out, sets, rows, config, jobs, progress)
    missing += failed
    require_any(results, missing)
    results = compare(results, config.reference)
    means = _means(results, config)
    table = build_table(results, means, rows, config)
    titles = {row.name: row.title for row in rows}
    reference = titles.get(config.reference, "")
    figure = draw_scores(_panels(results, titles), _shown(results, rows), reference, KINDS)
    write_scores(out / "table.csv", results, missing, means)
    shown = "Mean and deviation of every method on every data set"
    return publish(
        out,
        "table2",
        sets,
        config,
        title=f"Macro-F1 from {config.probe.shots[0]} labelled windows per class",
        lead=_lead(means.get(ALL_SETS, ()), titles, config),
        tables={"Every method on every data set": table},
        figures={shown: ("figure.png", figure)},
        missing=missing,
        findings=[*_against_the_best(results, rows, config), *spreads(results, rows)],
    )


def _means(results: Sequence[Result], config: StudyConfig) -> dict[str, list[Overall]]:
    """Every row over all data sets, and over those that took no part in any choice, by title."""
    sets = {result.dataset for result in results}
    untouched = [result for result in results if result.dataset in config.untouched]
    means = {ALL_SETS: over_sets(results, config.reference)} if len(sets) > 1 else {}
    if config.untouched:
        means["mean of the untouched"] = over_sets(untouched, config.reference)
    return means


def build_table(
    results: Sequence[Result],
    means: Mapping[str, Sequence[Overall]],
    rows: Sequence[Row],
    config: StudyConfig,
) -> Table:
    """Rows by group; a column for each data set, the paper's beside it, and their means."""
    sets = list(dict.fromkeys(result.dataset for result in results))
    columns = ["method", "probe"]
    for name in sets:
        columns += [name, "paper"] if paper.dataset_of(name) else [name]
    columns += means
    groups: dict[str, list[Line]] = {}
    for row in rows:
        for probe in dict.fromkeys(r.probe for r in results if r.row == row.name):
            entries = [Entry(probe)]
            for name in sets:
                entries.append(
                    score_entry(row.name, probe, [r for r in results if r.dataset == name])
                )
                if paper.dataset_of(name):
                    entries.append(_published(row, name, config))
            entries += [_mean(row, probe, overall) for overall in means.values()]
            line = Line(row.title, entries, row.name == config.reference)
            groups.setdefault(GROUPS[row.group], []).append(line)
    best = best_opponents(results, config.reference, _usual(rows))
    if best:
        groups[GROUPS["usual"]].append(_best_line(best, sets, list(means), config))
    return Table(columns, groups, _caption(results, rows, config))


def _usual(rows: Sequence[Row]) -> list[str]:
    """Names of the rows of what one would use otherwise."""
    return [row.name for row in rows if row.group == "usual"]


def _best_line(
    best: Mapping[str, Opponent], sets: Sequence[str], means: Sequence[str], config: StudyConfig
) -> Line:
    """The best opponent of each data set, and in brackets how far the reference is above it."""
    entries = [Entry()]
    for name in sets:
        entries.append(_led([best[name]] if name in best else []))
        if paper.dataset_of(name):
            entries.append(Entry())
    for title in means:
        wanted = sets if title == ALL_SETS else config.untouched
        found = [best[name] for name in wanted if name in best]
        entries.append(_led(found if len(found) == len(wanted) else []))
    return Line("the best of these", entries)


def _led(opponents: Sequence[Opponent]) -> Entry:
    if not opponents:
        return Entry()
    mean = float(np.mean([opponent.result.mean for opponent in opponents]))
    return Entry(score(mean), f"({difference(float(np.mean([each.lead for each in opponents])))})")


def _against_the_best(
    results: Sequence[Result], rows: Sequence[Row], config: StudyConfig
) -> list[str]:
    """How far the reference is above the best opponent of each data set, in a sentence."""
    best = best_opponents(results, config.reference, _usual(rows))
    if not best:
        return []
    title = next(row.title for row in rows if row.name == config.reference)
    titles = {row.name: row.title for row in rows}
    each = ", ".join(
        f"{difference(opponent.lead)} on {name} ({titles[opponent.result.row]})"
        for name, opponent in best.items()
    )
    mean = difference(float(np.mean([opponent.lead for opponent in best.values()])))
    return [
        f"{title} against the best of {', '.join(titles[name] for name in _usual(rows))} on each "
        f"data set, told by test subjects: {mean} in the mean; {each}."
    ]


def spreads(results: Sequence[Result], rows: Sequence[Row]) -> list[str]:
    """How far the networks of each random row lie apart, in sentences."""
    sentences = []
    for row in rows:
        for probe in dict.fromkeys(r.probe for r in results if r.row == row.name and r.networks):
            each = [r.networks for r in results if (r.row, r.probe) == (row.name, probe)]
            means = np.mean(each, axis=0)
            sentences.append(
                f"{row.title} ({probe}) is the mean of {len(means)} networks, which have "
                f"{score(means.min())} to {score(means.max())} in the mean of what is shown, with "
                f"a standard deviation of {score(means.std())}."
            )
    return sentences


def score_entry(row: str, probe: str, column: Sequence[Result]) -> Entry:
    """The score of a row among all of one data set and number of shots."""
    found = [r for r in column if (r.row, r.probe) == (row, probe)]
    if not found:
        return Entry()
    [result] = found
    best = max(r.mean for r in column if r.shots == result.shots)
    small = f"± {score(result.std)} {marks(result)}".rstrip()
    return Entry(score(result.mean), small, bool(result.shots) and result.mean == best)


def _published(row: Row, name: str, config: StudyConfig) -> Entry:
    known = paper.table_ii(row.name, name, config.probe.shots[0])
    return Entry(score(known[0]), f"± {score(known[1])}") if known else Entry()


def _mean(row: Row, probe: str, overall: Sequence[Overall]) -> Entry:
    found = [entry for entry in overall if (entry.row, entry.probe) == (row.name, probe)]
    if not found:
        return Entry()
    [entry] = found
    best = max(other.mean for other in overall if other.shots == entry.shots)
    return Entry(score(entry.mean), marks(entry), bool(entry.shots) and entry.mean == best)


def marks(entry: Result | Overall) -> str:
    """An arrow where it differs from the reference, a dagger where the encoder knows the set."""
    arrow = ""
    if entry.p is not None and entry.gain is not None and entry.p < SIGNIFICANT:
        arrow = "↑" if entry.gain > 0 else "↓"
    return f"{arrow}{SEEN if entry.seen else ''}"


def legend_of_marks(results: Sequence[Result], rows: Sequence[Row], reference: str) -> str:
    """What arrows, daggers and bold numbers mean, in sentences."""
    title = next((row.title for row in rows if row.name == reference), reference)
    seen = (
        f" {SEEN}: the encoder has learnt from windows of this data set, with their labels: that "
        "is no test of it."
    )
    return (
        f"↑ and ↓: better or worse than {title} by Wilcoxon's signed-rank test over pairs of fold "
        f"and draw, p < {SIGNIFICANT:g}; p is not corrected for the number of comparisons, and "
        "optimistic, since the draws of a fold share their test subjects. The best is in bold."
        f"{seen if any(result.seen for result in results) else ''}"
    )


def _caption(results: Sequence[Result], rows: Sequence[Row], config: StudyConfig) -> str:
    legend = legend_of_marks(results, rows, config.reference)
    best = (
        " The best of these: in brackets how far the row compared with is above it."
        if best_opponents(results, config.reference, _usual(rows))
        else ""
    )
    untouched = (
        f" Untouched, no part of any choice: {', '.join(config.untouched)}."
        if config.untouched
        else ""
    )
    return (
        f"Macro-F1 on test subjects from {config.probe.shots[0]} labelled windows per class, "
        f"{protocol(config)}. {reading(rows)} {legend}{best}{untouched}"
    )


def _lead(overall: Sequence[Overall], titles: Mapping[str, str], config: StudyConfig) -> str:
    """The best row and the reference, on the average of the data sets."""
    entries = [entry for entry in overall if entry.shots is not None]
    if not entries:
        return "No method could be run on every data set."
    best = max(entries, key=lambda entry: entry.mean)
    text = f"Best on average: {titles[best.row]} ({best.probe}) with {score(best.mean)}"
    ours = [entry for entry in entries if entry.row == config.reference]
    if not ours or best in ours:
        return f"{text}."
    mine = max(ours, key=lambda entry: entry.mean)
    return f"{text}; {titles[mine.row]} ({mine.probe}) reaches {score(mine.mean)}."


def _shown(results: Sequence[Result], rows: Sequence[Row]) -> dict[str, list[str]]:
    """Titles of the rows with a score, by group."""
    found = {result.row for result in results}
    shown: dict[str, list[str]] = {}
    for row in rows:
        if row.name in found:
            shown.setdefault(GROUPS[row.group], []).append(row.title)
    return shown


def _panels(
    results: Sequence[Result], titles: Mapping[str, str]
) -> dict[str, dict[str, list[Dot]]]:
    """The dots of each row by data set, the paper's among them."""
    panels: dict[str, dict[str, list[Dot]]] = {}
    for result in results:
        dots = panels.setdefault(result.dataset, {}).setdefault(titles[result.row], [])
        kind = result.probe if result.probe in KINDS else "main"
        dots.append(Dot(kind, result.mean, result.std))
        known = paper.table_ii(result.row, result.dataset, result.shots)
        if known and not any(dot.kind == "published" for dot in dots):
            dots.append(Dot("published", *known))
    return panels
