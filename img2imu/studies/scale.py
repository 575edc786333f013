"""What more unlabelled recordings and larger encoders are worth.

The question of Narayanswamy et al. 2024, "Scaling wearable foundation models", at the size of one
machine: encoders of several sizes learn from pictures of windows without labels, from random
weights, with as many steps each; then they are probed as in the other tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fewshot import READINGS
from ..models import EncoderConfig
from ..progress import Progress, silent
from ..recordings import Windows, load_windows, neighbours
from ..report.charts import Heat, draw_heats
from ..report.tables import Entry, Line, Table, score
from .cells import Cell, run_cells
from .config import ScaleConfig, StudyConfig
from .data import DataSet
from .few_shot import probe_rows
from .publishing import begin, begin_folder, protocol, publish
from .results import Missing, Result, require_any, write_scores
from .rows import Row
from .table1 import PRETRAINING, run_pretraining

if TYPE_CHECKING:
    from ..pretrain import PictureSource, PretrainConfig

CODE = (*PRETRAINING, "img2imu.convert", "img2imu.recordings.windows", "img2imu.studies.scale")
"""What computes an encoder."""

ENCODERS = "encoders"
"""Folder of the runs within that of the study."""


def pretrain_sizes(
    out: Path,
    sources: Sequence[str],
    plan: ScaleConfig,
    stages: Sequence[int] | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> dict[str, EncoderConfig]:
    """Train an encoder of each size on each number of hours.

    Parameters
    ----------
    out
        Folder of the study; the runs lie in its ``encoders`` and go on where they were interrupted.
    sources
        Windows files; labels in them are not used.
    plan
        Sizes, hours, and how long each learns.
    stages
        Read, and trained up to; None takes the recommended preset's.
    jobs, progress
        As in :func:`~.cells.run_cells`.

    Returns
    -------
    dict
        Encoders by the name of their row, such as ``resnet18-0.5h``.

    Raises
    ------
    InputError
        If the sources hold fewer hours, or a run fails.
    """
    reading = {**READINGS["recommended"], **({"stages": tuple(stages)} if stages else {})}
    begin_folder(out, "scale", {"source": list(sources)})
    encoders: dict[str, EncoderConfig] = {}
    cells = []
    for hours in sorted(set(plan.hours)):
        source = cut(sources, hours) if hours else None
        for architecture in plan.architectures:
            name = f"{architecture}-{hours:g}h"
            encoders[name] = EncoderConfig(architecture, **reading)
            if source is not None:
                folder = out / ENCODERS / name
                path = str(folder / "encoder.safetensors")
                encoders[name] = replace(encoders[name], checkpoint=path)
                settings = _settings(plan, architecture, max(reading["stages"]), len(source))
                cells.append(
                    Cell(
                        name,
                        {"pretrain": settings.to_dict(), "source": source.describe()},
                        partial(_pretrain, settings, sources, hours, folder),
                        CODE,
                    )
                )
    for name, outcome in run_cells(out / ENCODERS, cells, jobs, progress).items():
        if outcome.reason:
            raise InputError(f"pre-training of {name} failed: {outcome.reason}")
    return encoders


def _settings(plan: ScaleConfig, architecture: str, stage: int, windows: int) -> PretrainConfig:
    """The recipe for windows with as many epochs as make the steps; the last stage read learns."""
    from ..pretrain import RECIPES

    recipe = RECIPES["windows"][plan.method]
    epochs = math.ceil(plan.steps / max(1, windows // recipe.batch_size))
    return replace(recipe, encoder=architecture, stages=(stage,), epochs=epochs, held=0)


def _pretrain(
    settings: PretrainConfig, sources: Sequence[str], hours: float, folder: Path
) -> dict[str, Any]:
    return run_pretraining(settings, cut(sources, hours), folder)


def cut(sources: Sequence[str], hours: float) -> PictureSource:
    """So many hours of the sources, of each in proportion to what it has.

    Whole recordings are taken in an order drawn once, so that fewer hours are a part of more.

    Raises
    ------
    InputError
        If there are not so many.
    """
    from ..pretrain import PictureSource

    sets = {Path(source).stem: load_windows(source) for source in sources}
    if len(sets) < len(sources):
        raise InputError("two sources have the same name: rename one")
    seconds = {name: float(added_seconds(windows).sum()) for name, windows in sets.items()}
    share = hours * 3600 / max(1e-9, sum(seconds.values()))
    # What rounding adds to the sum of seconds is no want of windows.
    if share > 1 + 1e-6:
        total = sum(seconds.values()) / 3600
        raise InputError(f"the source has {total:.2f} hours, of which {hours:g} are wanted")
    return PictureSource(
        {name: first_seconds(each, share * seconds[name]) for name, each in sets.items()},
        held=False,
    )


def added_seconds(windows: Windows) -> NDArray[np.float64]:
    """Seconds of the recording that each window shows and the one before it does not."""
    seconds = np.full(len(windows), windows.X.shape[2] / windows.sampling_rate)
    one, other = neighbours(windows).T
    seconds[other] = windows.start[other] - windows.start[one]
    return seconds


def first_seconds(windows: Windows, seconds: float) -> Windows:
    """Windows of recordings, in an order drawn from seed 0, until they show so many seconds."""
    names = np.char.add(np.char.add(windows.subject, "\0"), windows.recording)
    recordings, number = np.unique(names, return_inverse=True)
    turn = np.random.default_rng(0).permutation(len(recordings))[number]
    order = np.lexsort((windows.start, turn))
    shown = np.cumsum(added_seconds(windows)[order])
    return windows.select(np.sort(order[shown <= seconds * (1 + 1e-9)]))


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
    """Probe the encoders of :func:`pretrain_sizes`, and write tables and figure.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png``.
    sets, rows, missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`; of the probes the first is used, and of the shots
        of a data set. Rows of other names are told in sentences.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If nothing could be computed.
    """
    config = replace(config, probe=replace(config.probe, probes=config.probe.probes[:1]))
    begin(out, "scale", config, sets, rows, missing)
    results, failed = probe_rows(out, sets, rows, config, jobs, progress)
    missing = [*missing, *failed]
    require_any(results, missing)
    sizes = {row.name: _size(row) for row in rows if _place(row.name)}
    places = _places(results)
    tables = {data.name: build_table(data, places, sizes, config) for data in sets}
    findings = [
        f"{row.title} on {result.dataset}: {score(result.mean)} ± {score(result.std)}."
        for row in rows
        for result in results
        if result.row == row.name and not _place(row.name)
    ]
    write_scores(out / "table.csv", results, missing)
    figure = draw_heats(_heats(sets, places, sizes), "–: not shown, see the notes")
    return publish(
        out,
        "scale",
        sets,
        config,
        title="What hours and size are worth",
        lead=f"Macro-F1 on test subjects, {protocol(config)}.",
        tables=tables,
        figures={"Macro-F1 by hours and size": ("figure.png", figure)},
        missing=missing,
        findings=findings,
    )


def _place(row: str) -> tuple[str, float] | None:
    """Architecture and hours of a row of :func:`pretrain_sizes`; None of another."""
    architecture, dash, hours = row.rpartition("-")
    try:
        return (architecture, float(hours.removesuffix("h"))) if dash else None
    except ValueError:
        return None


def _places(results: Sequence[Result]) -> dict[tuple[str, str, float], Result]:
    """By data set, architecture and hours, the result of the first number of shots."""
    places: dict[tuple[str, str, float], Result] = {}
    for result in results:
        place = _place(result.row)
        if place:
            places.setdefault((result.dataset, *place), result)
    return places


def _size(row: Row) -> int:
    """Parameters of what is read of an encoder."""
    from ..models import build_encoder

    assert row.encoder is not None
    bare = replace(row.encoder, checkpoint=None)
    return sum(parameter.numel() for parameter in build_encoder(bare).parameters())


def _axes(sizes: Mapping[str, int]) -> tuple[dict[str, str], list[float]]:
    """Architectures with their titles, small ones first, and hours."""
    places = {name: place for name in sizes if (place := _place(name))}
    ordered = sorted(places, key=lambda name: sizes[name])
    titles = {places[name][0]: f"{places[name][0]}, {sizes[name] / 1e6:.2g} M" for name in ordered}
    return titles, sorted({hours for _, hours in places.values()})


def build_table(
    data: DataSet,
    places: Mapping[tuple[str, str, float], Result],
    sizes: Mapping[str, int],
    config: StudyConfig,
) -> Table:
    """Sizes down, hours across."""
    titles, hours = _axes(sizes)
    found = [result for (name, *_), result in places.items() if name == data.name]
    best = max((result.mean for result in found), default=None)
    lines = []
    for architecture, title in titles.items():
        results = [places.get((data.name, architecture, each)) for each in hours]
        entries = [
            Entry(score(r.mean), f"± {score(r.std)}", r.mean == best) if r else Entry()
            for r in results
        ]
        lines.append(Line(title, entries))
    caption = (
        f"Macro-F1 on test subjects of {data.name} from {data.shots[0]} labelled windows per "
        f"class, {protocol(config)}, by hours of unlabelled recordings that an encoder has learnt "
        "from, and millions of parameters up to the stage that is read. 0 h: random weights. The "
        "best is in bold."
    )
    return Table(["", *(f"{each:g} h" for each in hours)], {"": lines}, caption)


def _heats(
    sets: Sequence[DataSet],
    places: Mapping[tuple[str, str, float], Result],
    sizes: Mapping[str, int],
) -> list[list[Heat]]:
    """A panel for each data set, three side by side."""
    titles, hours = _axes(sizes)
    panels = []
    for data in sets:
        values = [
            [
                places[data.name, architecture, each].mean
                if (data.name, architecture, each) in places
                else np.nan
                for each in hours
            ]
            for architecture in titles
        ]
        columns = [f"{each:g}" for each in hours]
        label = "hours of unlabelled recordings"
        panels.append(Heat(data.name, label, list(titles.values()), columns, values))
    return [panels[start : start + 3] for start in range(0, len(panels), 3)]
