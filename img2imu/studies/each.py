"""Studies with a cell and a table for each data set, without rows of encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_csv
from ..progress import Progress, silent
from ..report.tables import Table
from .cells import Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .publishing import begin, publish
from .results import Missing


def run_each(
    out: Path,
    study: str,
    sets: Sequence[DataSet],
    cells: Sequence[Cell],
    config: StudyConfig,
    missing: Sequence[Missing],
    *,
    title: str,
    lead: str,
    columns: Sequence[str],
    shown: Callable[[DataSet, Any], tuple[Table, list[dict[str, Any]]]],
    jobs: int | None = None,
    progress: Progress = silent,
) -> str:
    """Compute the cells, or what of them `out` lacks, and write tables.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md`` and ``table.html``.
    study
        Its name.
    sets, cells
        One cell for each set.
    config, missing
        Settings, and what is known to be missing.
    title, lead
        Of the page.
    columns
        Of the CSV file, behind ``dataset``.
    shown
        The table of a set, and its lines of the CSV file, from the cell's result.
    jobs, progress
        As in :func:`.cells.run_cells`.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    begin(out, study, config, sets, [], missing)
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    absent = [*missing]
    tables: dict[str, Table] = {}
    lines: list[dict[str, Any]] = []
    for data, cell in zip(sets, cells, strict=True):
        outcome = outcomes[cell.name]
        if outcome.reason:
            absent.append(Missing(data.name, "", outcome.reason))
            continue
        tables[data.name], records = shown(data, outcome.result)
        lines += [{"dataset": data.name, **record} for record in records]
    if not tables:
        raise InputError(f"nothing could be computed: {absent[0]}")
    write_csv(out / "table.csv", ("dataset", *columns), lines)
    return publish(
        out, study, sets, config, title=title, lead=lead, tables=tables, figures={}, missing=absent
    )
