"""Fine-tuning as a method of the protocol: each draw's network trained on from its probe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cache import used
from ..files import write_json
from ..hashing import code_hash, content_hash
from ..models import build_encoder
from ..progress import Progress
from ..recordings import UNLABELLED, Windows
from ..recordings.splits import Draw
from .classifier import Img2ImuClassifier
from .config import FinetuneConfig, ProbeConfig
from .features import fast_precision
from .methods import choose
from .protocol import Answer, Method, Outcome, Rows, Task
from .training import History, Labelled, confusion, finetune

JUDGES = 40
"""Windows of each class on which an epoch is judged, at most; with more it would cost more than
the training of a few shots."""

CODE = ("img2imu.augment", "img2imu.convert", "img2imu.models", "img2imu.fewshot")
"""What computes a training."""


@dataclass(frozen=True)
class FineTuning(Method):
    """Networks trained on from the probe of each draw, found again by what makes them.

    Parameters
    ----------
    name
        Of the row.
    windows
        Labelled windows.
    config
        What is read, and the penalty of the probe: the first `C`.
    training
        How the network is tuned.
    device
        Where it runs.
    folder
        Where finished draws and the state of an interrupted one are kept.
    """

    name: str
    windows: Windows
    config: ProbeConfig
    training: FinetuneConfig
    device: str
    folder: Path
    probe: str = "logistic"

    def run(self, task: Task, progress: Progress, jobs: int | None = None) -> Outcome:
        """Tune every draw; training takes all cores by itself."""
        bar = progress(f"{self.name} (epochs)", len(task.manifest.draws) * self.training.epochs)
        answers: list[Answer] = []
        chosen: dict[int | None, list[dict[str, Any]]] = {}
        for draw in task.manifest.draws:
            answer, epoch = self._answer(task, draw, bar)
            answers.append(answer)
            chosen.setdefault(draw.shots, []).append({"epoch": epoch})
        bar.close()
        return Outcome(answers, chosen)

    def start(self, rows: Rows, others: Rows) -> Img2ImuClassifier:
        """The classifier that training starts from: labels of `rows`, `others` without theirs."""
        windows = self.windows
        views = self.config.drawing(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
        classifier = Img2ImuClassifier(
            windows.sampling_rate,
            views,
            self.config.encoder,
            self.config.C[0],
            self.device,
            0.0,
            windows.sensors,
        )
        seen = np.concatenate([rows, np.setdiff1d(others, rows)])
        labels = np.where(np.arange(len(seen)) < len(rows), windows.y[seen], UNLABELLED)
        return classifier.fit(windows.X[seen], labels)

    def tune(
        self, classifier: Img2ImuClassifier, rows: Rows, judges: Rows, seed: int, bar: Any
    ) -> History:
        """Train the classifier's network on `rows`, judged on other subjects; see `finetune`."""
        state = self._path("pt", rows, judges, seed)
        history = finetune(
            classifier.network_,
            self._labelled(rows),
            self._labelled(judges),
            self.training,
            seed=seed,
            device=self.device,
            state=state,
            on_epoch=lambda score: _show(bar, score),
        )
        bar.update(self.training.epochs - len(history.loss))
        return history

    def forget(self, rows: Rows, judges: Rows, seed: int) -> None:
        """Remove the state of a training whose result is safe."""
        self._path("pt", rows, judges, seed).unlink(missing_ok=True)

    def judges(self, rows: Rows) -> Rows:
        """At most :data:`JUDGES` of the `rows` of each class."""
        labels = self._labels
        shuffled = np.random.default_rng(0).permutation(rows)
        each = [shuffled[labels[shuffled] == k][:JUDGES] for k in np.unique(labels)]
        return np.sort(np.concatenate(each))

    def _answer(self, task: Task, draw: Draw, bar: Any) -> tuple[Answer, int]:
        """One draw, from the disk or learnt now, and the epoch that was kept."""
        rows, others, test = np.array(draw.windows), task.training[draw.fold], task.test[draw.fold]
        judges = self.judges(task.validation[draw.fold])
        result = self._path("json", rows, others, judges, test, draw.seed)
        kept = _kept(result)
        if kept is None:
            classifier = self.start(rows, others)
            history = self.tune(classifier, rows, judges, draw.seed, bar)
            counts = confusion(classifier.network_, self._labelled(test), self.device)
            kept = {**asdict(history), "confusion": counts.tolist()}
            write_json(result, kept)
            self.forget(rows, judges, draw.seed)
        else:
            used(result)
            bar.update(self.training.epochs)
        history = History(kept["validation_f1"], kept["loss"])
        score = history.validation_f1[history.best]
        return Answer(draw, score, np.array(kept["confusion"])), history.best

    @cached_property
    def _labels(self) -> Rows:
        return np.searchsorted(self.windows.classes, self.windows.y)

    def _labelled(self, rows: Rows) -> Labelled:
        return Labelled(self.windows.X[rows], self._labels[rows])

    @cached_property
    def _content(self) -> str:
        """What tells these trainings from those of other windows, settings or code."""
        windows, config = self.windows, self.config
        views = config.drawing(windows.sampling_rate, windows.X.shape[-1], windows.sensors)
        precision = str(fast_precision(self.device))
        return content_hash(
            windows.X,
            self._labels,
            [code_hash(*CODE), windows.sampling_rate, windows.sensors, self.device, precision],
            [asdict(self.training), asdict(config.encoder), config.C[0]],
            [asdict(view) for view in views],
            *build_encoder(config.encoder, axes=windows.X.shape[1]).state_dict().values(),
        )

    def _path(self, suffix: str, *parts: Any) -> Path:
        """The file of a training, which `parts` tell from others."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{content_hash(self._content, *parts)}.{suffix}"


@dataclass(frozen=True)
class SearchedTuning(Method):
    """Fine-tuning with several learning rates, of which validation subjects choose one."""

    name: str
    candidates: Sequence[FineTuning]
    probe: str = "logistic"

    def run(self, task: Task, progress: Progress, jobs: int | None = None) -> Outcome:
        """Run each, and keep each fold's and number of shots' best."""
        outcomes = [each.run(task, progress, jobs) for each in self.candidates]
        tried = [
            (number, answer) for number, each in enumerate(outcomes) for answer in each.answers
        ]
        return choose(task, [{"lr": each.training.lr} for each in self.candidates], tried)


def _kept(path: Path) -> dict[str, Any] | None:
    """The result of an earlier run; None where there is none, or none that can be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: kept[name] for name in ("validation_f1", "loss", "confusion")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _show(bar: Any, score: float) -> None:
    bar.update(1)
    bar.set_postfix_str(f"validation F1 {score:.3f}")
