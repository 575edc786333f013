"""Fine-tuning beside the probe on unseen subjects, and the classifier that comes out of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..classifier import Img2ImuClassifier
from ..convert import view_to_dict
from ..models import build_encoder
from ..files import cache_folder
from ..probe.evaluation import require_live_axes
from ..probe.features import content_hash, fast_precision
from ..probe.metrics import macro_f1
from ..probe.protocol import Task
from ..progress import Progress, silent
from ..recordings import UNLABELLED
from ..recordings.splits import Draw, SplitManifest, few_shot, missing_classes, subject_folds
from ..recordings.windows import Windows
from .config import FinetuneConfig
from .training import History, Labelled, confusion, finetune

Rows = NDArray[np.intp]

VALIDATION = 40
"""Windows of each class on which an epoch is judged, at most; with more it would cost more than
the training of a few shots."""

PROTOCOL = ("shots", "folds", "seeds", "seed")
"""Settings that say who learns from whom, not how."""


class Runs:
    """Trainings on one windows file, found again by the content of all that makes them.

    Parameters
    ----------
    windows
        Labelled windows.
    config
        How they are learnt.
    device
        Where the network runs.
    folder
        Of what is kept; in the user's cache when None.
    """

    def __init__(
        self, windows: Windows, config: FinetuneConfig, device: str, folder: Path | None
    ) -> None:
        self.windows, self.config, self.device = windows, config, device
        self.folder = folder or cache_folder() / "finetune"
        self.labels = np.searchsorted(windows.classes, windows.y)
        self.views = config.views(windows.sampling_rate, windows.X.shape[-1])
        how = {name: value for name, value in asdict(config).items() if name not in PROTOCOL}
        self._content = content_hash(
            windows.X,
            self.labels,
            [__version__, windows.sampling_rate, device, str(fast_precision()), how],
            *build_encoder(config.encoder).state_dict().values(),
        )

    def path(self, suffix: str, *parts: Any) -> Path:
        """The file of a training, which `parts` tell from others."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{content_hash(self._content, *parts)}.{suffix}"

    def labelled(self, rows: Rows) -> Labelled:
        """The windows of `rows` with their labels."""
        return Labelled(self.windows.X[rows], self.labels[rows])

    def judges(self, rows: Rows) -> Rows:
        """At most :data:`VALIDATION` of the `rows` of each class."""
        shuffled = np.random.default_rng(0).permutation(rows)
        each = [shuffled[self.labels[shuffled] == k][:VALIDATION] for k in np.unique(self.labels)]
        return np.sort(np.concatenate(each))

    def probe(self, rows: Rows, others: Rows) -> Img2ImuClassifier:
        """The classifier that training starts from: labels of `rows`, `others` without theirs."""
        rate, config = self.windows.sampling_rate, self.config
        classifier = Img2ImuClassifier(rate, self.views, config.encoder, config.C, self.device)
        seen = np.concatenate([rows, np.setdiff1d(others, rows)])
        labels = np.where(np.arange(len(seen)) < len(rows), self.windows.y[seen], UNLABELLED)
        return classifier.fit(self.windows.X[seen], labels)


def evaluate(
    windows: Windows,
    config: FinetuneConfig,
    *,
    name: str = "windows",
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Probe and fine-tune every draw of every fold, and test both on the same subjects.

    Parameters
    ----------
    windows
        Labelled windows; unlabelled ones are left out.
    config
        What is trained and tested.
    name
        Of the data set, for the split manifest.
    device
        Where the network runs.
    folder
        Where finished draws and the state of an interrupted one are kept; in the user's cache when
        None.
    progress
        Opens a progress bar.

    Returns
    -------
    dict
        ``settings`` and ``results`` as those of :func:`img2imu.probe.evaluate`: methods ``probe``
        and ``finetune``, ``chosen`` of the latter being the epoch kept in each draw (0 is the
        probe). ``shots`` is ``"all"`` where all labels were learnt.

    Raises
    ------
    InputError
        If subjects or windows do not suffice.
    """
    windows = windows.select(windows.y != "")
    require_live_axes(windows)
    manifest = SplitManifest.create(
        name, windows, config.shots, range(config.seeds), config.folds, config.seed
    )
    task, runs = Task.from_manifest(windows, manifest), Runs(windows, config, device, folder)
    bar = progress("fine-tuning", len(manifest.draws) * config.epochs)
    cells = {draw: _cell(runs, task, draw, bar) for draw in manifest.draws}
    bar.close()
    results = [
        _record(method, shots, [cells[draw] for draw in manifest.draws if draw.shots == shots])
        for method in ("probe", "finetune")
        for shots in config.shots
    ]
    return {"settings": _settings(runs, task), "results": results}


def fit_classifier(
    windows: Windows,
    config: FinetuneConfig,
    results: Sequence[dict[str, Any]],
    target: Path,
    *,
    device: str = "cpu",
    folder: Path | None = None,
    progress: Progress = silent,
) -> History:
    """Fit on all labelled windows but those of one fold's validation subjects, and save.

    Parameters
    ----------
    windows, config, device, folder, progress
        As in :func:`evaluate`.
    results
        What :func:`evaluate` reported; the scores stay with the classifier.
    target
        The classifier's folder.

    Returns
    -------
    History
        Of the training; where its best epoch is 0 the classifier is the probe.
    """
    windows = windows.select(windows.y != "")
    runs = Runs(windows, config, device, folder)
    held = subject_folds(windows.subject, windows.y, config.folds, config.seed)[0].validation
    rows = few_shot(windows.y, ~np.isin(windows.subject, held), None)
    judges = runs.judges(np.flatnonzero(np.isin(windows.subject, held)))
    classifier = runs.probe(rows, rows)
    state = runs.path("pt", rows, judges)
    bar = progress("fine-tuning the classifier", config.epochs)
    history = finetune(
        classifier.network_,
        runs.labelled(rows),
        runs.labelled(judges),
        config,
        device=device,
        state=state,
        on_epoch=lambda score: _show(bar, score),
    )
    bar.close()
    classifier.trained_on_ |= {
        "subjects": len(windows.subjects) - len(held),
        "validation_subjects": len(held),
        "finetuned": history.best > 0,
    }
    method = "finetune" if history.best else "probe"
    classifier.scores_ = {
        f"macro_f1_{r['shots']}_shots": {"mean": r["f1_mean"], "std": r["f1_std"]}
        for r in results
        if r["method"] == method
    }
    classifier.save(target)
    state.unlink(missing_ok=True)
    return history


def _cell(runs: Runs, task: Task, draw: Draw, bar: Any) -> dict[str, Any]:
    """One draw, from the disk or learnt now: scores of probe and fine-tuned network."""
    rows, others, test = np.array(draw.windows), task.training[draw.fold], task.test[draw.fold]
    judges = runs.judges(task.validation[draw.fold])
    result = runs.path("json", rows, others, judges, test, draw.seed)
    if result.is_file():
        bar.update(runs.config.epochs)
        return dict(json.loads(result.read_text()))
    network, state = runs.probe(rows, others).network_, result.with_suffix(".pt")
    before = confusion(network, runs.labelled(test), runs.device)
    history = finetune(
        network,
        runs.labelled(rows),
        runs.labelled(judges),
        runs.config,
        seed=draw.seed,
        device=runs.device,
        state=state,
        on_epoch=lambda score: _show(bar, score),
    )
    bar.update(runs.config.epochs - len(history.loss))
    after = confusion(network, runs.labelled(test), runs.device) if history.best else before
    cell = {**asdict(history), "probe": before.tolist(), "finetune": after.tolist()}
    partial = result.with_suffix(".partial")
    partial.write_text(json.dumps(cell) + "\n")
    partial.replace(result)
    state.unlink(missing_ok=True)
    return cell


def _show(bar: Any, score: float) -> None:
    bar.update(1)
    bar.set_postfix_str(f"validation F1 {score:.3f}")


def _record(method: str, shots: int | None, cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table, in the form of the probe's."""
    histories = [History(cell["validation_f1"], cell["loss"]) for cell in cells]
    epochs = [history.best if method == "finetune" else 0 for history in histories]
    judged = [h.validation_f1[epoch] for h, epoch in zip(histories, epochs, strict=True)]
    each = [macro_f1(np.array(cell[method])) for cell in cells]
    return {
        "method": method,
        "probe": "logistic",
        "shots": "all" if shots is None else shots,
        "f1_mean": round(float(np.mean(each)), 4),
        "f1_std": round(float(np.std(each)), 4),
        "f1_each": [round(value, 4) for value in each],
        "validation_f1": round(float(np.mean(judged)), 4),
        "chosen": [{"epoch": epoch} for epoch in epochs],
        "confusion": np.sum([cell[method] for cell in cells], axis=0).tolist(),
    }


def _settings(runs: Runs, task: Task) -> dict[str, Any]:
    windows = runs.windows
    return {
        "img2imu": __version__,
        "finetune": asdict(runs.config),
        "drawing": [view_to_dict(view) for view in runs.views],
        "windows": {
            "count": len(windows),
            "samples": windows.X.shape[-1],
            "sampling_rate": windows.sampling_rate,
            "subjects": len(windows.subjects),
            "classes": task.classes,
            "per_class": np.bincount(task.labels).tolist(),
        },
        "missing_classes": [
            missing_classes(fold, windows.y, windows.subject) for fold in task.manifest.folds
        ],
        "splits": asdict(task.manifest),
    }
