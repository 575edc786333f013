"""Which method of pre-training helps: each learns alike, and all are probed beside no training.

Either whole data sets are left out in turn and the others are learnt from, or the training subjects
of a data set's folds are. Nothing that is tested has been learnt from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..fewshot import READINGS
from ..fewshot.networks import averaged
from ..files import sha256_of
from ..hashing import content_hash
from ..models import WINDOW_ENCODERS, EncoderConfig, build_encoder
from ..models.config import TOKENS
from ..progress import Progress, silent
from ..recordings import Subjects, Windows, load_windows
from ..report.charts import draw_curves
from .cells import Cell, Outcome, run_cells
from .config import SelfsupConfig, StudyConfig
from .data import EVERYBODY, DataSet
from .few_shot import few_shot_cell
from .publishing import begin, publish
from .results import Missing, Result, compare, require_any
from .rows import Row
from .scale import ENCODERS
from .selfsup_tables import (
    MEASURES,
    SCHEMES,
    START,
    TITLES,
    Measured,
    best_each,
    collapsed,
    differences,
    panels,
    tables,
    verdicts,
    write_scores,
    write_trainings,
)
from .shots import BAND
from .table1 import PRETRAINING, run_pretraining

if TYPE_CHECKING:
    from ..pretrain import PretrainConfig


CODE = (*PRETRAINING, "img2imu.convert", "img2imu.recordings.windows", "img2imu.studies.selfsup")
"""What computes an encoder."""


BEGUN = "start.safetensors"
"""Of a run's folder: what an encoder of windows started from."""


@dataclass(frozen=True)
class Files:
    """Windows files by name, and whose windows are taken.

    Attributes
    ----------
    paths
        By name, without ending.
    sampling_rate
        Of folders of arrays.
    subjects
        Who takes part.
    """

    paths: Mapping[str, str]
    sampling_rate: float | None = None
    subjects: Subjects = EVERYBODY

    def load(self) -> dict[str, Windows]:
        """All windows by name, unlabelled and incomplete ones too; no files without any."""
        each = {
            name: self.subjects.of(load_windows(path, self.sampling_rate, incomplete=True))
            for name, path in self.paths.items()
        }
        return {name: windows for name, windows in each.items() if len(windows)}

    def only(self, names: Sequence[str], subjects: Subjects | None = None) -> Files:
        """Some of the files, of some subjects where these are given."""
        paths = {name: self.paths[name] for name in names}
        return replace(self, paths=paths, subjects=subjects or self.subjects)


@dataclass(frozen=True)
class Training:
    """One pre-training.

    Attributes
    ----------
    scheme
        Key of :data:`SCHEMES`.
    tested
        Data sets on which its encoder may be probed.
    fold
        The only fold of them in which it may; None where it may in all.
    method, run
        What learns, and the seed.
    settings
        Of the training.
    files
        Learnt from.
    """

    scheme: str
    tested: tuple[str, ...]
    fold: int | None
    method: str
    run: int
    settings: PretrainConfig
    files: Files

    @property
    def name(self) -> str:
        """Of its cell and folder."""
        fold = "" if self.fold is None else f"--fold{self.fold}"
        return f"{self.scheme}--{self.tested[0]}{fold}--{self.method}--{self.run}"

    def missing(self, reason: str) -> Missing:
        """That there is no such encoder, and why."""
        return Missing(", ".join(self.tested), f"{self.method}, {self.scheme}", reason)


def run(
    out: Path,
    files: Files,
    sets: Sequence[DataSet],
    plan: SelfsupConfig,
    config: StudyConfig,
    missing: Sequence[Missing] = (),
    stages: Sequence[int] | None = None,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = print,
) -> str:
    """Train every method, probe all encoders, and write tables and figure.

    Parameters
    ----------
    out
        Folder; gets ``table.csv``, ``trainings.csv``, ``table.md``, ``table.html``,
        ``figure.png`` and ``differences.png``. The runs lie in its ``encoders`` and go on where
        they were interrupted.
    files
        Learnt from: all that there are, whether they can be tested or not.
    sets, missing
        Those that are tested, from :func:`~.data.load_sets`.
    plan, config
        Methods, and how they are probed.
    stages
        Read, and trained up to; None takes the recommended preset's.
    jobs, progress
        As in :func:`~.cells.run_cells`.
    say
        Takes what this will cost, and what was found of the files.

    Returns
    -------
    str
        The tables as Markdown.

    Raises
    ------
    InputError
        If a method is unknown or does not fit the encoder, or nothing could be computed.
    """
    read = _reading(plan.encoder, stages)
    # What cannot be is better known before the first training.
    recipes = {method: settings_of(plan, method, read) for method in plan.methods}
    _require_one_start(plan, recipes)
    if plan.init and not read.reads_windows:
        build_encoder(_start(plan, read, 0))
    if all(map(_reads_tokens, recipes.values())):
        # Nothing else is trained: what has not been trained is read by its tokens, too.
        read = _of_tokens(read, next(iter(recipes.values())))
    config = replace(config, reference=START)
    windows = files.load()
    _require_complete(windows, recipes)
    families = families_of(windows)
    trainings, unread = _readable(plan_trainings(plan, recipes, files, families, sets), windows)
    missing = [*missing, *unread]
    for sentence in (*_told(families), _cost(trainings, plan)):
        say(sentence)
    rows = [_row(name, read, plan) for name in (START, *plan.methods)]
    begin(out, "selfsup", config, sets, rows, missing)
    outcomes = _train(out, trainings, windows, jobs, progress)
    missing += [
        each.missing(outcomes[each.name].reason) for each in trainings if outcomes[each.name].reason
    ]
    done = [each for each in trainings if not outcomes[each.name].reason]
    probings = _probings(out, sets, done, plan, read)
    results, failed = _probe(out, probings, config, jobs, progress)
    missing = list(dict.fromkeys([*missing, *failed]))
    require_any([result for each in results.values() for result in each], missing)
    compared = {scheme: compare(each, START) for scheme, each in results.items()}
    measured = [(each, outcomes[each.name].result) for each in done]
    findings = [*_told(families), *collapsed(measured)]
    return _show(out, sets, rows, compared, measured, plan, config, missing, findings)


def _show(
    out: Path,
    sets: Sequence[DataSet],
    rows: Sequence[Row],
    compared: Mapping[str, Sequence[Result]],
    measured: Measured,
    plan: SelfsupConfig,
    config: StudyConfig,
    missing: Sequence[Missing],
    findings: Sequence[str],
) -> str:
    """Write what :func:`run` found; the tables as Markdown."""
    write_scores(out / "table.csv", compared, missing)
    write_trainings(out / "trainings.csv", measured)
    titles = {row.name: row.title for row in rows}
    figure, gains = (
        draw_curves(panels(each, rows, config), titles[START], BAND, label)
        for each, label in (
            (compared, "macro-F1 on test subjects"),
            (differences(compared), "macro-F1 less that of no training"),
        )
    )
    return publish(
        out,
        "selfsup",
        sets,
        config,
        title="Which pre-training helps",
        lead=" ".join(verdicts(compared, titles)) or "No method could be run on every data set.",
        tables=tables(sets, compared, rows, measured, plan, config),
        figures={
            "Macro-F1 over labelled windows per class": ("figure.png", figure),
            "The difference to no training": ("differences.png", gains),
        },
        missing=missing,
        findings=[*best_each(compared, titles), *findings],
    )


def _reading(encoder: str, stages: Sequence[int] | None) -> EncoderConfig:
    """The encoder without weights, read where it is probed."""
    if encoder in WINDOW_ENCODERS:
        return EncoderConfig(encoder)
    read = {**READINGS["recommended"], **({"stages": tuple(stages)} if stages else {})}
    return EncoderConfig(encoder, **read)


def settings_of(plan: SelfsupConfig, method: str, read: EncoderConfig) -> PretrainConfig:
    """The method's recipe with the plan's steps and start; pictures up to the last stage read.

    Raises
    ------
    InputError
        If the method is unknown or does not fit the encoder.
    """
    from ..pretrain import recipe_of_windows

    settings = replace(
        recipe_of_windows(method, plan.encoder), steps=plan.steps, held=0, init=plan.init
    )
    if settings.reads_windows or _reads_tokens(settings):
        return settings
    average = plan.average if plan.init else 0.0
    return replace(settings, average=average, stages=(max(read.stages),))


def _reads_tokens(settings: PretrainConfig) -> bool:
    """Whether what is trained reads windows patch by patch, those that lack samples, too."""
    from ..pretrain.method_config import AIMConfig

    return isinstance(settings.method, AIMConfig)


def _require_complete(
    windows: Mapping[str, Windows], recipes: Mapping[str, PretrainConfig]
) -> None:
    """Raise :class:`InputError` if a file lacks samples and a method reads complete windows."""
    lacking = next((name for name, each in windows.items() if each.incomplete.any()), None)
    others = [method for method, each in recipes.items() if not _reads_tokens(each)]
    if lacking and others:
        raise InputError(
            f"{others[0]} learns from complete windows, and in {lacking} samples are missing: "
            "--methods aim alone can be compared on them"
        )


def _require_one_start(plan: SelfsupConfig, recipes: Mapping[str, PretrainConfig]) -> None:
    """Raise :class:`InputError` if methods would start from networks of different forms."""
    from ..pretrain.method_config import SensorMethodConfig

    apart = {
        name: isinstance(each.method, SensorMethodConfig)
        for name, each in recipes.items()
        if each.reads_windows
    }
    if len(set(apart.values())) > 1:
        each = next(name for name in apart if apart[name])
        one = next(name for name in apart if not apart[name])
        raise InputError(
            f"{each} trains a {plan.encoder} for each sensor and {one} one for all: they do not "
            "start alike, so give them a study each"
        )


def families_of(windows: Mapping[str, Windows]) -> list[tuple[str, ...]]:
    """Files by data set: those that have a recording of a subject in common, by their names.

    The same recordings cut into windows of another length are so told to be the same. Names that
    only happen to be equal put two data sets together, which costs windows to learn from, and
    never lets any be learnt that are tested.
    """
    names = {
        name: set(zip(each.subject.tolist(), each.recording.tolist(), strict=True))
        for name, each in windows.items()
    }
    families: list[tuple[str, ...]] = []
    for name, pairs in names.items():
        alike = [each for each in families if any(pairs & names[other] for other in each)]
        others = [each for each in families if each not in alike]
        families = [*others, (*(member for each in alike for member in each), name)]
    return families


def plan_trainings(
    plan: SelfsupConfig,
    recipes: Mapping[str, PretrainConfig],
    files: Files,
    families: Sequence[tuple[str, ...]],
    sets: Sequence[DataSet],
) -> list[Training]:
    """All trainings of the study.

    Raises
    ------
    InputError
        If there is a single data set, and others are to be learnt from.
    """
    if "left-out" in plan.scheme and len(families) < 2:
        raise InputError(
            f"all files are of one data set ({', '.join(families[0])}): there is no other to learn "
            "from, give more, or --scheme within"
        )
    names = {data.name for data in sets}
    parts: list[tuple[str, tuple[str, ...], int | None, Files]] = []
    for scheme in plan.scheme:
        if scheme == "left-out":
            for family in families:
                tested = tuple(name for name in family if name in names)
                others = [name for each in families if each != family for name in each]
                if tested:
                    parts.append((scheme, tested, None, files.only(others)))
        else:
            for data in sets:
                for fold in data.manifest.folds[: plan.within_folds]:
                    own = files.only([data.name], Subjects(fold.train))
                    parts.append((scheme, (data.name,), fold.index, own))
    return [
        Training(scheme, tested, fold, method, run, replace(settings, seed=run), some)
        for scheme, tested, fold, some in parts
        for method, settings in recipes.items()
        for run in range(plan.runs)
    ]


def _readable(
    trainings: Sequence[Training], windows: Mapping[str, Windows]
) -> tuple[list[Training], list[Missing]]:
    """Trainings whose method can read their windows; of the others why it cannot."""
    from ..pretrain import source_of_windows

    readable, missing = [], []
    for each in trainings:
        some = {name: each.files.subjects.of(windows[name]) for name in each.files.paths}
        try:
            source_of_windows(some, each.settings)
            readable.append(each)
        except InputError as error:
            missing.append(each.missing(str(error)))
    return readable, list(dict.fromkeys(missing))


def _told(families: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"{' and '.join(family)} have recordings of the same names: they are one data set, left "
        "out together."
        for family in families
        if len(family) > 1
    ]


def _cost(trainings: Sequence[Training], plan: SelfsupConfig) -> str:
    counts = [
        f"{sum(each.scheme == scheme for each in trainings)} {SCHEMES[scheme]}"
        for scheme in plan.scheme
    ]
    return f"{len(trainings)} trainings of {plan.steps:,} steps: {', '.join(counts)}"


def _row(name: str, read: EncoderConfig, plan: SelfsupConfig) -> Row:
    group = "sensor" if read.reads_windows else "image"
    return Row(name, group, TITLES.get(name, name), _start(plan, read, 0), "img2imu")


def _start(plan: SelfsupConfig, read: EncoderConfig, run: int) -> EncoderConfig:
    """What the run's training starts from."""
    from ..pretrain.recipes import start_of

    return start_of(replace(read, seed=run), plan.init)


def _folder(out: Path, training: Training) -> Path:
    """Of a run: other weights to start from, by their content, have folders of their own."""
    init, sha256 = training.settings.init, _weights(training.settings)
    start = "random" if init is None else Path(init).name
    return out / ENCODERS / (start if sha256 is None else f"{start}-{sha256[:8]}") / training.name


def _weights(settings: PretrainConfig) -> str | None:
    """SHA-256 of the file that training starts from."""
    init = settings.init
    return sha256_of(Path(init)) if init is not None and Path(init).is_file() else None


def _train(
    out: Path,
    trainings: Sequence[Training],
    windows: Mapping[str, Windows],
    jobs: int | None,
    progress: Progress,
) -> dict[str, Outcome]:
    @cache
    def described(name: str, subjects: Subjects) -> dict[str, Any]:
        own = subjects.of(windows[name])
        names = [each.tolist() for each in (own.y, own.subject, own.recording, own.start)]
        return {
            "windows_sha256": content_hash(own.X, *names),
            "sampling_rate": own.sampling_rate,
            "sensors": list(own.sensors),
        }

    cells = []
    for each in trainings:
        settings = {
            "pretrain": each.settings.to_dict(),
            "init": _weights(each.settings),
            "source": {name: described(name, each.files.subjects) for name in each.files.paths},
        }
        cells.append(Cell(each.name, settings, partial(train, each, _folder(out, each)), CODE))
    return run_cells(out / ENCODERS, cells, jobs, progress)


def train(training: Training, folder: Path) -> dict[str, Any]:
    """Train as one process; what was measured, without what the method does not tell.

    Time is that of the steps, over all calls that it took.
    """
    from ..pretrain import source_of_windows
    from ..pretrain.checkpoint import save_encoder
    from ..pretrain.monitors import collapse_warning, read_columns
    from ..pretrain.trainer import untrained_encoder

    settings = training.settings
    source = source_of_windows(training.files.load(), settings)
    run_pretraining(settings, source, folder, CODE, say=lambda _: None)
    if settings.reads_windows or _reads_tokens(settings):
        # By its name alone it would have neither its statistics nor a network for each sensor, nor
        # what a transformer has of its own for each sensor and view.
        save_encoder(folder / BEGUN, untrained_encoder(settings, source))
    log = read_columns(folder / "steps.csv")
    images = np.diff([0, *log["step"]]) * settings.batch_size
    seconds = float(np.sum(images / np.array(log["images_per_second"])))
    last = {name: log[name][-1] for name in MEASURES if name in log}
    warning = collapse_warning(last)
    return {
        "seconds": round(seconds, 1),
        "steps_per_second": round(log["step"][-1] / seconds, 3),
        **last,
        **({"warning": warning} if warning else {}),
    }


@dataclass(frozen=True)
class Probing:
    """An encoder on a data set; the fields are those of :class:`Training`."""

    scheme: str
    data: DataSet
    fold: int | None
    row: str
    run: int
    encoder: EncoderConfig

    def cell(self, config: StudyConfig) -> Cell:
        """Its cell."""
        fold = "" if self.fold is None else f"--fold{self.fold}"
        name = f"{self.data.name}--{self.scheme}{fold}--{self.row}--{self.run}"
        probe = replace(config.probe, shots=self.data.shots, encoder=self.encoder)
        data, device = self.data, config.device
        return few_shot_cell(name, data, ["img2imu"], probe, self.encoder, device, self.fold)


def _of_tokens(read: EncoderConfig, settings: PretrainConfig) -> EncoderConfig:
    """The encoder as it reads what it is trained on, token by token."""
    return replace(read, name=TOKENS + settings.encoder, stages=settings.stages, bands=1)


def _probings(
    out: Path,
    sets: Sequence[DataSet],
    trainings: Sequence[Training],
    plan: SelfsupConfig,
    read: EncoderConfig,
) -> list[Probing]:
    """What is trained on each data set, and before it what it has started from."""
    trained: list[Probing] = []
    starts: dict[tuple[str, str, int | None, int], Probing] = {}
    for each in trainings:
        folder = _folder(out, each)
        file = str(folder / "encoder.safetensors")
        # Given weights are the same whatever the seed; those of sensors and views are not given.
        run = 0 if plan.init and not read.reads_tokens else each.run
        start = _start(plan, read, run)
        if read.reads_windows or read.reads_tokens:
            start = replace(read, checkpoint=str(folder / BEGUN))
        for data in sets:
            if data.name in each.tested:
                place = each.scheme, data, each.fold
                own = _of_tokens(read, each.settings) if _reads_tokens(each.settings) else read
                encoder = replace(own, checkpoint=file)
                trained.append(Probing(*place, each.method, each.run, encoder))
                key = each.scheme, data.name, each.fold, run
                starts.setdefault(key, Probing(*place, START, run, start))
    return [*starts.values(), *trained]


def _probe(
    out: Path,
    probings: Sequence[Probing],
    config: StudyConfig,
    jobs: int | None,
    progress: Progress,
) -> tuple[dict[str, list[Result]], list[Missing]]:
    """Results by scheme: over all folds, and of several runs their mean."""
    cells = [each.cell(config) for each in probings]
    outcomes = run_cells(out / "cells", cells, jobs, progress)
    missing = []
    parts: dict[tuple[str, str, str, str, int], dict[int, list[Any]]] = {}
    for each, cell in zip(probings, cells, strict=True):
        outcome = outcomes[cell.name]
        if outcome.reason:
            missing.append(Missing(each.data.name, each.row, outcome.reason))
        for record in outcome.result or []:
            key = each.scheme, each.data.name, each.row, record["probe"], record["shots"]
            parts.setdefault(key, {}).setdefault(each.run, []).append(record)
    results: dict[str, list[Result]] = {}
    for (scheme, dataset, row, *_), runs in parts.items():
        record = averaged([_joined(records) for records in runs.values()])
        results.setdefault(scheme, []).append(Result.of(dataset, row, record))
    return {scheme: _whole(each) for scheme, each in results.items()}, missing


def _joined(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record of those of several folds."""
    return {
        **records[0],
        "f1_each": [value for record in records for value in record["f1_each"]],
        "validation_f1": float(np.mean([record["validation_f1"] for record in records])),
        "chosen": [setting for record in records for setting in record["chosen"]],
        "confusion": np.sum([record["confusion"] for record in records], axis=0).tolist(),
    }


def _whole(results: Sequence[Result]) -> list[Result]:
    """Without rows that have fewer folds than the start: pairs would not be of one fold."""
    counts = {r.dataset: len(r.each) for r in results if r.row == START}
    return [result for result in results if len(result.each) == counts.get(result.dataset)]
