"""The folder of a study: what is known before anything is computed, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..environment import environment
from ..errors import InputError
from ..files import require_folder, write_json, write_text
from .config import StudyConfig
from .data import DataSet
from .results import Missing
from .rows import Row, identity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..report.tables import Table

SETTINGS = "settings.json"

_DRAWN = {True: "evenly over subjects and classes", False: "at random"}


def begin_folder(folder: Path, study: str, settings: Mapping[str, Any]) -> None:
    """Make the folder of a study, or go on in it; write ``settings.json`` and ``environment.json``.

    Raises
    ------
    InputError
        If the folder is a file or holds another study.
    """
    require_folder(folder)
    other = _study_of(folder)
    if other not in (None, study):
        raise InputError(f"{folder} holds the study {other!r}: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, {"study": study, "img2imu": __version__, **settings})
    write_json(folder / "environment.json", environment())


def begin(
    out: Path,
    study: str,
    config: StudyConfig,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    missing: Sequence[Missing],
) -> None:
    """Write settings, environment and splits."""
    settings = {
        "settings": {
            **config.shared(),
            "windows": config.windows,
            "reference": config.reference,
            "untouched": list(config.untouched),
        },
        "data": {data.name: data.describe() for data in sets},
        "rows": {row.name: identity(row.encoder) for row in rows},
        "missing": [vars(entry) for entry in missing],
    }
    begin_folder(out, study, settings)
    (out / "splits").mkdir(exist_ok=True)
    for data in sets:
        data.manifest.save(out / "splits" / f"{data.name}.json")


def publish(
    out: Path,
    study: str,
    sets: Sequence[DataSet],
    config: StudyConfig,
    *,
    title: str,
    lead: str,
    tables: Mapping[str, Table],
    figures: Mapping[str, tuple[str, Figure]],
    missing: Sequence[Missing],
    findings: Sequence[str] = (),
    pictures: str | None = None,
    raster: bool = False,
) -> str:
    """Write ``table.md``, ``table.html`` and the figures; the tables as Markdown come back.

    Parameters
    ----------
    out, study, sets, config
        As of :func:`begin`.
    title, lead
        The main result, and what it says in a sentence or two.
    tables
        By heading.
    figures
        By what is seen on them, the name of the file and the figure.
    missing
        What could not be computed.
    findings
        Sentences below the tables.
    pictures
        What the encoders were shown, where it is not the preset's views.
    raster
        Whether the figures have too many points for SVG.
    """
    from ..report.figures import png_uri, save_png, svg_uri
    from ..report.tables import Page, markdown, markdown_notes, write_page

    notes = list(map(str, missing))
    text = "\n".join(f"## {heading}\n\n{markdown(table)}" for heading, table in tables.items())
    text += "".join(f"\n- {finding}" for finding in findings)
    text += ("\n" if findings else "") + markdown_notes(notes)
    write_text(out / "table.md", text)
    for name, figure in figures.values():
        save_png(out / name, figure)
    uri = png_uri if raster else svg_uri
    page = Page(
        eyebrow=f"img2imu study {study} · {', '.join(data.name for data in sets)}",
        title=title,
        lead=lead,
        figures={caption: uri(figure) for caption, (_, figure) in figures.items()},
        tables=tables,
        notes=notes,
        settings=facts(sets, config, pictures),
        environment=environment(),
    )
    write_page(out / "table.html", page)
    return text


def _study_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


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
    return f"stage{'s' if len(stages) > 1 else ''} {' and '.join(map(str, stages))}"


def facts(
    sets: Sequence[DataSet], config: StudyConfig, pictures: str | None = None
) -> list[tuple[str, str]]:
    """Settings in words, for a page; `pictures` are those of the preset where not told."""
    probe = config.probe
    described = [(data.name, _describe(data)) for data in sets]
    limit = f"at most {config.windows:,} of each data set" if config.windows else "all"
    return [
        *described,
        ("windows", f"{limit}, drawn {_DRAWN[config.balanced]}"),
        ("folds", f"{probe.folds} by subject: one part tests, one validates, the others train"),
        ("draws", f"{probe.seeds} in each fold"),
        ("pictures", pictures or f"preset {probe.preset}"),
        ("penalty", f"C among {', '.join(f'{C:g}' for C in probe.C)}, standardised features"),
        ("compared with", config.reference),
    ]


def _describe(data: DataSet) -> str:
    windows = data.windows
    return (
        f"{len(windows):,} windows of {data.seconds:g} s at "
        f"{windows.sampling_rate:g} Hz, {len(windows.subjects)} subjects, "
        f"{len(windows.classes)} classes"
    )
