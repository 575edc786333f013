"""Table II: every method on every data set, few labelled windows per class (paper §IV-B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from ..progress import Progress, silent
from ..report.charts import Dot, draw_scores
from ..report.tables import Entry, Line, Table, score
from . import paper
from .config import StudyConfig
from .data import DataSet
from .few_shot import probe_rows
from .publishing import begin, protocol, publish, reading
from .results import Missing, Overall, Result, compare, over_sets, require_any, write_scores
from .rows import GROUPS, Row

SIGNIFICANT = 0.05
"""Below this p a difference from the reference row is marked."""

KINDS = {"main": "logistic probe or forest", "paper": "the paper's probe", "published": "published"}
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
    overall = over_sets(results, config.reference)
    table = build_table(results, overall, rows, config)
    titles = {row.name: row.title for row in rows}
    reference = titles.get(config.reference, "")
    figure = draw_scores(_panels(results, titles), _shown(table), reference, KINDS)
    write_scores(out / "table.csv", results, missing, overall)
    shown = "Mean and deviation of every method on every data set"
    return publish(
        out,
        "table2",
        sets,
        config,
        title=f"Macro-F1 from {config.probe.shots[0]} labelled windows per class",
        lead=_lead(overall, titles, config),
        tables={"Every method on every data set": table},
        figures={shown: ("figure.png", figure)},
        missing=missing,
    )


def build_table(
    results: Sequence[Result], overall: Sequence[Overall], rows: Sequence[Row], config: StudyConfig
) -> Table:
    """Rows by group; a column for each data set, the paper's beside it, and their mean."""
    sets = list(dict.fromkeys(result.dataset for result in results))
    columns = ["method", "probe"]
    for name in sets:
        columns += [name, "paper"] if paper.dataset_of(name) else [name]
    if len(sets) > 1:
        columns.append("mean")
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
            if len(sets) > 1:
                entries.append(_mean(row, probe, overall))
            line = Line(row.title, entries, row.name == config.reference)
            groups.setdefault(GROUPS[row.group], []).append(line)
    return Table(columns, groups, _caption(rows, config))


def score_entry(row: str, probe: str, column: Sequence[Result]) -> Entry:
    """The score of a row among all of one data set and number of shots."""
    found = [r for r in column if (r.row, r.probe) == (row, probe)]
    if not found:
        return Entry()
    [result] = found
    best = max(r.mean for r in column if r.shots == result.shots)
    small = f"± {score(result.std)} {_mark(result)}".rstrip()
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
    return Entry(score(entry.mean), _mark(entry), bool(entry.shots) and entry.mean == best)


def _mark(entry: Result | Overall) -> str:
    if entry.p is None or entry.gain is None or entry.p >= SIGNIFICANT:
        return ""
    return "↑" if entry.gain > 0 else "↓"


def legend_of_marks(rows: Sequence[Row], reference: str) -> str:
    """What arrows and bold numbers mean, in sentences."""
    title = next((row.title for row in rows if row.name == reference), reference)
    return (
        f"↑ and ↓: better or worse than {title} by Wilcoxon's signed-rank test over pairs of fold "
        f"and draw, p < {SIGNIFICANT:g}; p is not corrected for the number of comparisons, and "
        "optimistic, since the draws of a fold share their test subjects. The best is in bold."
    )


def _caption(rows: Sequence[Row], config: StudyConfig) -> str:
    return (
        f"Macro-F1 on test subjects from {config.probe.shots[0]} labelled windows per class, "
        f"{protocol(config)}. {reading(rows)} {legend_of_marks(rows, config.reference)}"
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


def _shown(table: Table) -> dict[str, list[str]]:
    """Titles of the table's lines by group, each once."""
    return {
        group: list(dict.fromkeys(line.title for line in lines))
        for group, lines in table.groups.items()
    }


def _panels(
    results: Sequence[Result], titles: Mapping[str, str]
) -> dict[str, dict[str, list[Dot]]]:
    """The dots of each row by data set, the paper's among them."""
    panels: dict[str, dict[str, list[Dot]]] = {}
    for result in results:
        dots = panels.setdefault(result.dataset, {}).setdefault(titles[result.row], [])
        kind = "paper" if result.probe == "paper" else "main"
        dots.append(Dot(kind, result.mean, result.std))
        known = paper.table_ii(result.row, result.dataset, result.shots)
        if known and not any(dot.kind == "published" for dot in dots):
            dots.append(Dot("published", *known))
    return panels
