"""What more unlabelled recordings and larger encoders are worth.

The question of Narayanswamy et al. 2024, "Scaling wearable foundation models", at the size of one
machine: encoders of several sizes learn from pictures of windows without labels, from random
weights, with as many steps each; then they are probed as in the other tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from ..pretrain import PretrainConfig

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
    """Train an encoder of each size by each method on each number of hours.

    Parameters
    ----------
    out
        Folder of the study; the runs lie in its ``encoders`` and go on where they were interrupted.
    sources
        Windows files; labels in them are not used.
    plan
        Methods, sizes, hours, and how long each learns.
    stages
        Read, and trained up to; None takes the recommended preset's.
    jobs, progress
        As in :func:`~.cells.run_cells`.

    Returns
    -------
    dict
        Encoders by the name of their row, such as ``resnet18-moco-0.5h``.

    Raises
    ------
    InputError
        If the sources hold fewer hours, a method is unknown, or a run fails.
    """
    from ..pretrain import source_of_windows

    reading = {**READINGS["recommended"], **({"stages": tuple(stages)} if stages else {})}
    begin_folder(out, "scale", {"source": list(sources)})
    encoders: dict[str, EncoderConfig] = {}
    cells = []
    for hours in sorted(set(plan.hours)):
        some = cut(sources, hours) if hours else {}
        for architecture, method in product(plan.architectures, plan.methods):
            bare = EncoderConfig(architecture, **reading)
            if not hours:
                encoders[f"{architecture}-0h"] = bare
                continue
            name = f"{architecture}-{method}-{hours:g}h"
            folder = out / ENCODERS / name
            encoders[name] = replace(bare, checkpoint=str(folder / "encoder.safetensors"))
            settings = _settings(plan, method, architecture, max(reading["stages"]))
            source = source_of_windows(some, settings)
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


def _settings(plan: ScaleConfig, method: str, architecture: str, stage: int) -> PretrainConfig:
    """The recipe for pictures of windows, by steps; the last stage read learns."""
    from ..pretrain import recipe_of_windows

    recipe = recipe_of_windows(method, architecture)
    return replace(recipe, stages=(stage,), steps=plan.steps, held=0)


def _pretrain(
    settings: PretrainConfig, sources: Sequence[str], hours: float, folder: Path
) -> dict[str, Any]:
    from ..pretrain import source_of_windows

    source = source_of_windows(cut(sources, hours), settings)
    return run_pretraining(settings, source, folder, CODE)


def cut(sources: Sequence[str], hours: float) -> dict[str, Windows]:
    """So many hours of the sources, of each in proportion to what it has.

    Whole recordings are taken in an order drawn once, so that fewer hours are a part of more.

    Raises
    ------
    InputError
        If there are not so many.
    """
    sets = {Path(source).stem: load_windows(source) for source in sources}
    if len(sets) < len(sources):
        raise InputError("two sources have the same name: rename one")
    seconds = {name: float(added_seconds(windows).sum()) for name, windows in sets.items()}
    share = hours * 3600 / max(1e-9, sum(seconds.values()))
    # What rounding adds to the sum of seconds is no want of windows.
    if share > 1 + 1e-6:
        total = sum(seconds.values()) / 3600
        raise InputError(f"the source has {total:.2f} hours, of which {hours:g} are wanted")
    return {name: first_seconds(each, share * seconds[name]) for name, each in sets.items()}


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


class Place(NamedTuple):
    """Where a row of :func:`pretrain_sizes` stands; without hours there is no method."""

    architecture: str
    method: str
    hours: float


def _place(row: str) -> Place | None:
    """Of a row of :func:`pretrain_sizes`; None of another."""
    try:
        architecture, *method, hours = row.split("-")
        return Place(architecture, "-".join(method), float(hours.removesuffix("h")))
    except ValueError:
        return None


def _places(results: Sequence[Result]) -> dict[tuple[str, Place], Result]:
    """By data set and place the result of the first number of shots."""
    places: dict[tuple[str, Place], Result] = {}
    for result in results:
        place = _place(result.row)
        if place:
            places.setdefault((result.dataset, place), result)
    return places


def _size(row: Row) -> int:
    """Parameters of what is read of an encoder."""
    from ..models import build_encoder

    assert row.encoder is not None
    bare = replace(row.encoder, checkpoint=None)
    return sum(parameter.numel() for parameter in build_encoder(bare).parameters())


def _axes(sizes: Mapping[str, int]) -> tuple[list[str], dict[str, str], list[float]]:
    """Methods, architectures with their titles, small ones first, and hours."""
    places = {name: place for name in sizes if (place := _place(name))}
    ordered = sorted(places, key=lambda name: sizes[name])
    titles = {
        places[name].architecture: f"{places[name].architecture}, {sizes[name] / 1e6:.2g} M"
        for name in ordered
    }
    methods = list(dict.fromkeys(each.method for each in places.values() if each.method))
    return methods or [""], titles, sorted({each.hours for each in places.values()})


def _found(
    data: DataSet,
    places: Mapping[tuple[str, Place], Result],
    architecture: str,
    method: str,
    hours: Sequence[float],
) -> list[Result | None]:
    """By hours; without any, no method has learnt."""
    each = (Place(architecture, method if value else "", value) for value in hours)
    return [places.get((data.name, place)) for place in each]


def build_table(
    data: DataSet,
    places: Mapping[tuple[str, Place], Result],
    sizes: Mapping[str, int],
    config: StudyConfig,
) -> Table:
    """Sizes down, a group for each method, and hours across."""
    methods, titles, hours = _axes(sizes)
    means = [result.mean for (name, _), result in places.items() if name == data.name]
    groups: dict[str, list[Line]] = {}
    for method, (architecture, title) in product(methods, titles.items()):
        entries = [
            Entry(score(r.mean), f"± {score(r.std)}", r.mean == max(means)) if r else Entry()
            for r in _found(data, places, architecture, method, hours)
        ]
        groups.setdefault(method, []).append(Line(title, entries))
    caption = (
        f"Macro-F1 on test subjects of {data.name} from {data.shots[0]} labelled windows per "
        f"class, {protocol(config)}, by hours of unlabelled recordings that an encoder has learnt "
        "from, and millions of parameters up to the stage that is read. 0 h: random weights, the "
        "same for all methods. The best is in bold."
    )
    return Table(["", *(f"{each:g} h" for each in hours)], groups, caption)


def _heats(
    sets: Sequence[DataSet],
    places: Mapping[tuple[str, Place], Result],
    sizes: Mapping[str, int],
) -> list[list[Heat]]:
    """A panel for each data set and method, three side by side."""
    methods, titles, hours = _axes(sizes)
    columns, label = [f"{each:g}" for each in hours], "hours of unlabelled recordings"
    panels = []
    for data, method in product(sets, methods):
        values = [
            [r.mean if r else np.nan for r in _found(data, places, architecture, method, hours)]
            for architecture in titles
        ]
        title = ", ".join(filter(None, (data.name, method)))
        panels.append(Heat(title, label, list(titles.values()), columns, values))
    return [panels[start : start + 3] for start in range(0, len(panels), 3)]
