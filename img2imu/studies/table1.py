"""Table I: what each augmentation does for robustness to changes of the signal (paper §III-B).

Every data set is altered as a whole, the windows that are learnt from and those that are tested
(the paper's "synthetic datasets"), so that a drop tells how far an encoder can read such signals at
all, not how badly it takes a change that its classifier has never seen.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..files import write_csv, writing
from ..hashing import code_hash, content_hash
from ..progress import Progress, silent
from ..report.charts import Heat, draw_heats
from ..report.tables import Entry, Line, Table, score
from .cells import Cell, run_cells
from .config import StudyConfig
from .data import DataSet
from .few_shot import probe_rows
from .publishing import begin, begin_folder, protocol, publish
from .results import Missing, Result, require_any, signed_rank
from .rows import Row

if TYPE_CHECKING:
    from torch import Generator, Tensor

ALL = "sensor-aware"
"""The policy with all four augmentations."""

TITLES = {
    ALL: "T+P+H+J, all four",
    "sensor-aware-no-translate-x": "P+H+J, without TranslateX",
    "sensor-aware-no-permute-x": "T+H+J, without PermuteX",
    "sensor-aware-no-jitter": "T+P+H, without Jitter",
    "sensor-aware-no-hue": "T+P+J, without Hue",
}
"""The policies of the table, in the paper's order."""

ORIGINAL = "original"

ALTERATIONS = ("time-shifted", "masked", "noised", "rotated")
"""By up to half a window, left or right; a quarter of it set to zero; with uniform noise of ±0.3 g;
turned about any axis. The paper tells no strengths: these are the defaults of ``augment.signals``.
"""

COPIES = (ORIGINAL, *ALTERATIONS)

EXPECTED = {
    "time-shifted": ("sensor-aware-no-translate-x", "sensor-aware-no-permute-x"),
    "masked": ("sensor-aware-no-permute-x",),
    "noised": ("sensor-aware-no-jitter",),
    "rotated": ("sensor-aware-no-hue",),
}
"""Policies that the paper found to drop most, for each alteration."""

PAPER = {
    ALL: (0.754, 0.545, 0.534, 0.580, 0.695),
    "sensor-aware-no-translate-x": (0.686, 0.434, 0.468, 0.627, 0.684),
    "sensor-aware-no-permute-x": (0.687, 0.435, 0.387, 0.533, 0.661),
    "sensor-aware-no-jitter": (0.749, 0.540, 0.502, 0.562, 0.695),
    "sensor-aware-no-hue": (0.704, 0.559, 0.548, 0.622, 0.539),
}
"""Macro-F1 of the paper's Table I, on WISDM v1.1, by policy and copy."""

PRETRAINING = ("img2imu.augment", "img2imu.images", "img2imu.models", "img2imu.pretrain")
"""What computes an encoder."""

NEAR = 0.01
"""Drops this near to the largest are marked with it, as in the paper."""

COLUMNS = (
    "dataset", "copy", "row", "probe", "shots", "f1_mean", "f1_std", "f1_each", "drop", "p",
    "missing",
)  # fmt: skip


@dataclass(frozen=True)
class Drop:
    """A row on one copy of a data set.

    Attributes
    ----------
    dataset, copy
        Names.
    result
        Macro-F1.
    drop
        Relative change of the mean from the original, -0.2 being a fifth less.
    p
        Of Wilcoxon's signed-rank test of the changes of macro-F1, draw by draw, against those of
        :data:`ALL`; None where there is nothing to compare with.
    """

    dataset: str
    copy: str
    result: Result
    drop: float
    p: float | None


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
    """Compute the table on the original and four altered copies of every data set.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``table.md``, ``table.html`` and ``figure.png``.
    sets, rows, missing, config, jobs, progress
        As in :func:`img2imu.studies.table2.run`; of the probes the first is used, and of the shots
        of a data set.

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
    rows = in_order(rows)
    named = {row.name for row in rows} | {gap.row for gap in missing}
    missing = [
        *missing,
        *(
            Missing("", policy, f"no encoder given (--encoders {policy}=FILE, or --source STORE)")
            for policy in TITLES
            if policy not in named
        ),
    ]
    begin(out, "table1", config, sets, rows, missing)
    copies = [alter(data, copy) for data in sets for copy in COPIES]
    results, failed = probe_rows(out, copies, rows, config, jobs, progress)
    missing = [*missing, *failed]
    drops = measure(sets, results)
    require_any(drops, missing)
    tables = {data.name: build_table(data.name, drops, rows, config) for data in sets}
    tables["the paper, WISDM v1.1"] = paper_table()
    findings = verdicts(drops)
    write_csv(out / "table.csv", COLUMNS, _csv_rows(drops, missing))
    figure = draw_heats(_heats(sets, drops, rows), "–: not shown, see the notes")
    return publish(
        out,
        "table1",
        sets,
        config,
        title="What each augmentation does for robustness",
        lead=" ".join(findings),
        tables=tables,
        figures={"Macro-F1, and its relative change from the original": ("figure.png", figure)},
        missing=missing,
        findings=findings,
    )


def pretrain_policies(
    out: Path,
    source: str,
    epochs: int | None = None,
    given: Sequence[str] = (),
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Train an encoder by MoCo under each policy that is not `given`, all else being equal.

    Parameters
    ----------
    out
        Folder of the study; the runs lie in its ``encoders`` and go on where they were interrupted.
    source
        A packed store.
    epochs
        Of each; None takes the recommended recipe's.
    given
        Rows that have an encoder already.
    jobs, progress
        As in :func:`~.cells.run_cells`.

    Returns
    -------
    list of str
        ``POLICY=FOLDER``, as :func:`~.rows.read_encoders` takes them.

    Raises
    ------
    InputError
        If a run fails.
    """
    from ..images import ImageStore
    from ..pretrain import RECIPES
    from ..pretrain.runs import describe_source

    recipe = RECIPES["recommended"]["moco"]
    recipe = replace(recipe, epochs=epochs or recipe.epochs)
    identity = describe_source(ImageStore.open(source, verify=True))
    begin_folder(out, "table1", {"source": source})
    cells = []
    for policy in TITLES:
        if policy not in given:
            settings = replace(recipe, policy=policy)
            folder = out / "encoders" / policy
            cells.append(
                Cell(
                    policy,
                    {"pretrain": settings.to_dict(), "source": identity},
                    partial(_pretrain, settings, source, folder),
                    PRETRAINING,
                )
            )
    outcomes = run_cells(out / "encoders", cells, jobs, progress)
    for policy, outcome in outcomes.items():
        if outcome.reason:
            raise InputError(f"pre-training with {policy} failed: {outcome.reason}")
    return [f"{policy}={out / 'encoders' / policy}" for policy in outcomes]


def _pretrain(settings: Any, source: str, folder: Path) -> dict[str, Any]:
    from ..images import ImageStore

    return run_pretraining(settings, ImageStore.open(source), folder)


def run_pretraining(
    settings: Any,
    source: Any,
    folder: Path,
    code: Sequence[str] = PRETRAINING,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Pre-train as one process, on CUDA where there is one; the numbers of the last epoch.

    Parameters
    ----------
    settings, source, folder
        As in :func:`img2imu.pretrain.pretrain`. A run in the folder, finished or not, goes on
        where the same code began it, and gives way where that was other code: so does its cell.
    code
        Modules and packages that compute it.
    say
        Takes warnings.
    """
    import torch

    from ..pretrain import World, pretrain

    stamp, own = folder.with_name(f"{folder.name}.code"), code_hash(*code)
    if not stamp.is_file() or stamp.read_text(encoding="ascii") != own:
        if folder.is_dir():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with writing(stamp) as partial_stamp:
            partial_stamp.write_text(own, encoding="ascii")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return dict(pretrain(settings, source, folder, World(device), say=say))


def alter(data: DataSet, copy: str) -> DataSet:
    """The data set with all its windows altered, under a name of its own.

    Random numbers are the windows' own, drawn from seed 0: every row sees the same copy.
    """
    import torch

    from ..augment import signals

    alterations: dict[str, Callable[[Tensor, Generator], Tensor]] = {
        ORIGINAL: lambda windows, generator: windows,
        "time-shifted": signals.shift,
        "masked": signals.mask,
        "noised": signals.uniform_noise,
        "rotated": signals.rotate,
    }
    windows = torch.tensor(data.windows.X)
    X = alterations[copy](windows, torch.Generator().manual_seed(0)).numpy()
    identity = {**data.identity, "samples_sha256": content_hash(X)}
    return replace(
        data, name=f"{data.name}.{copy}", windows=replace(data.windows, X=X), identity=identity
    )


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The policies of the table first and under their titles, then what else was asked for."""
    named = {row.name: row for row in rows}
    policies = [replace(named[name], title=TITLES[name]) for name in TITLES if name in named]
    return [*policies, *(row for row in rows if row.name not in TITLES)]


def measure(sets: Sequence[DataSet], results: Sequence[Result]) -> list[Drop]:
    """Each result beside that of the same row on the original; at the first number of shots."""
    found: dict[tuple[str, str], Result] = {}
    for result in results:
        found.setdefault((result.dataset, result.row), result)
    drops = []
    for name, copy in product((data.name for data in sets), COPIES):
        standard = _changes(found, name, copy, ALL)
        for row in dict.fromkeys(result.row for result in results):
            changes = _changes(found, name, copy, row)
            if changes is None:
                continue
            result, original = found[f"{name}.{copy}", row], found[f"{name}.{ORIGINAL}", row]
            drop = result.mean / original.mean - 1 if original.mean else 0.0
            own = row == ALL or copy == ORIGINAL
            p = None if own or standard is None else signed_rank(changes, standard)
            drops.append(Drop(name, copy, result, drop, p))
    return drops


def _changes(
    found: Mapping[tuple[str, str], Result], name: str, copy: str, row: str
) -> list[float] | None:
    """Change of macro-F1 from the original, draw by draw; None where a copy has no result."""
    original, altered = found.get((f"{name}.{ORIGINAL}", row)), found.get((f"{name}.{copy}", row))
    if original is None or altered is None:
        return None
    return np.subtract(altered.each, original.each).tolist()


def build_table(
    name: str, drops: Sequence[Drop], rows: Sequence[Row], config: StudyConfig
) -> Table:
    """The paper's Table I on one data set."""
    of_set = [drop for drop in drops if drop.dataset == name]
    lines = []
    for row in rows:
        group = {drop.copy: drop for drop in of_set if drop.result.row == row.name}
        if not group:
            continue
        entries = []
        for copy in COPIES:
            drop = group.get(copy)
            entries.append(_f1_entry(drop))
            if copy != ORIGINAL:
                column = [d.drop for d in of_set if d.copy == copy and d.result.row in TITLES]
                entries.append(_drop_entry(drop, column))
        lines.append(Line(row.title, entries, row.name == ALL))
    caption = (
        f"Macro-F1 on test subjects of {name}, {protocol(config)}, and its relative change from "
        "the original. Bold: the largest drop among the policies, within one percentage point."
    )
    return Table(_columns(), {"": lines}, caption)


def paper_table() -> Table:
    """The paper's numbers in the same shape."""
    lines = []
    for policy, values in PAPER.items():
        entries = [Entry(score(values[0]))]
        for place, value in enumerate(values[1:], 1):
            column = [other[place] / other[0] - 1 for other in PAPER.values()]
            drop = value / values[0] - 1
            entries += [Entry(score(value)), Entry(_percent(drop), "", drop <= min(column) + NEAR)]
        lines.append(Line(TITLES[policy], entries, policy == ALL))
    return Table(_columns(), {"": lines}, "Table I of the paper, pre-trained on ImageNet.")


def verdicts(drops: Sequence[Drop]) -> list[str]:
    """For each alteration, in how many data sets leaving out what the paper names drops most."""
    sentences = []
    for copy, expected in EXPECTED.items():
        hits = []
        for name in dict.fromkeys(drop.dataset for drop in drops):
            column = [
                d for d in drops if (d.dataset, d.copy) == (name, copy) and d.result.row in TITLES
            ]
            if len(column) == len(TITLES):
                hits.append(min(column, key=lambda d: d.drop).result.row in expected)
        if hits:
            titles = " or ".join(TITLES[policy].split(", ")[1] for policy in expected)
            sentences.append(
                f"{copy.capitalize()}: the largest drop is {titles}, as in the paper, on "
                f"{sum(hits)} of {len(hits)} data sets."
            )
    return sentences


def _columns() -> list[str]:
    altered = [column for copy in ALTERATIONS for column in (copy, "drop")]
    return ["pre-trained with", ORIGINAL, *altered]


def _f1_entry(drop: Drop | None) -> Entry:
    return Entry(score(drop.result.mean), f"± {score(drop.result.std)}") if drop else Entry()


def _drop_entry(drop: Drop | None, column: Sequence[float]) -> Entry:
    """`column` holds the drops of all policies; a single one is no largest."""
    if drop is None:
        return Entry()
    among = drop.result.row in TITLES and len(column) > 1
    return Entry(_percent(drop.drop), "", among and drop.drop <= min(column) + NEAR)


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %".replace("-", "−")


def _heats(sets: Sequence[DataSet], drops: Sequence[Drop], rows: Sequence[Row]) -> list[list[Heat]]:
    """Macro-F1 above, relative changes below, a panel for each data set, three side by side."""
    found = {(drop.dataset, drop.copy, drop.result.row): drop for drop in drops}
    titles = [row.title for row in rows]
    columns = [copy.replace("-", "-\n") for copy in COPIES]
    above, below = [], []
    for data in sets:
        places = [[found.get((data.name, copy, row.name)) for copy in COPIES] for row in rows]
        f1 = [[drop.result.mean if drop else np.nan for drop in line] for line in places]
        change = [[drop.drop if drop else np.nan for drop in line[1:]] for line in places]
        above.append(Heat(f"{data.name}: macro-F1", "", titles, columns, f1))
        title = f"{data.name}: relative change"
        below.append(Heat(title, "", titles, columns[1:], change))
    starts = range(0, len(sets), 3)
    return [line[start : start + 3] for start in starts for line in (above, below)]


def _csv_rows(drops: Sequence[Drop], missing: Sequence[Missing]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "dataset": drop.dataset,
            "copy": drop.copy,
            "row": drop.result.row,
            "probe": drop.result.probe,
            "shots": drop.result.shots,
            "f1_mean": f"{drop.result.mean:.4f}",
            "f1_std": f"{drop.result.std:.4f}",
            "f1_each": " ".join(f"{value:.4f}" for value in drop.result.each),
            "drop": f"{drop.drop:.4f}",
            "p": "" if drop.p is None else f"{drop.p:.3g}",
        }
        for drop in drops
    ]
    gaps = [{"dataset": gap.dataset, "row": gap.row, "missing": gap.reason} for gap in missing]
    return [*rows, *gaps]
