"""The training loop, from packed images or windows to an encoder on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import InputError
from ..models import AnyBackbone, checkpoints
from ..models.conv1d import LateConv1d
from ..progress import Progress, silent
from . import checkpoint
from .config import PretrainConfig
from .distributed import World
from .method_config import MMBindConfig, RandomConfig
from .methods.images import Measures
from .methods.mmbind import bind
from .monitors import CsvLog, Number, Row, TensorBoardLog, collapse_warning
from .runs import require_readable, require_same_run, run_folder
from .sources.sensors import SensorSource
from .trainer import (
    ROWS,
    AnySource,
    Trainer,
    averaged,
    learning_rate,
    random_numbers_kept,
    untrained_encoder,
)

LOG_STEPS = 50
CHECKPOINT_SECONDS = 120.0
AfterEpoch = Callable[[int, AnyBackbone], dict[str, Number]]
"""``after_epoch(epoch, encoder)``: more numbers for the epoch's row."""


def pretrain(
    config: PretrainConfig,
    source: AnySource,
    out: Path,
    world: World,
    *,
    compile: bool = False,
    progress: Progress = silent,
    after_epoch: AfterEpoch | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Number]:
    """Train an encoder, or go on where an interrupted run of the same settings stopped.

    Parameters
    ----------
    config
        Settings of the run.
    source
        Images, a packed store or procedural ones; or windows, for the methods that take them.
    out
        Folder of the run. It gets ``encoder.safetensors`` (a timm one's under timm's names),
        ``config.json``, ``steps.csv``, ``epochs.csv``, ``tensorboard/`` where that is installed,
        and ``checkpoint.pt``.
    world
        This process among all, from :func:`join_world`.
    compile
        Compile the encoders, on CUDA with CUDA graphs.
    progress
        Opens a progress bar with a description and a total.
    after_epoch
        Measures the encoder after each epoch, in the first process.
    say
        Takes warnings.

    Returns
    -------
    dict
        The last epoch's row: ``step``, ``epoch``, ``loss``, ``knn`` and so on.

    Raises
    ------
    InputError
        If the encoder cannot read the source, the settings differ from those of the run in `out`,
        the loss is no longer finite, the disk or the GPU's memory is full.
    """
    require_readable(config, source)
    require_same_run(out, config, source)
    if isinstance(config.method, RandomConfig):
        backbone = untrained_encoder(config, source)
        with run_folder(out, config, source, world):
            if world.first:
                checkpoint.save_encoder(out / "encoder.safetensors", backbone)
        return {"step": 0, "epoch": 0}
    if isinstance(config.method, MMBindConfig):
        assert isinstance(source, SensorSource), "require_readable has compared them"
        shown = progress if world.first else silent
        source = bind(source, untrained_encoder(config, source), world.device, shown)
    trainer = Trainer(config, source, world, compile)
    path = out / checkpoint.FILE
    with run_folder(out, config, source, world), _memory_as_input_error(config):
        begun = path.is_file()
        saved = checkpoints.load(path) if begun else {name: [] for name in ROWS}
        start = trainer.load_state(saved, path) if begun else trainer.begin()
        meter, logs = Meter(trainer, saved["readings"]), Logs(out, start, world, saved)
        bar = (progress if world.first else silent)("pre-training", trainer.steps)
        bar.update(start)
        last = _run(trainer, start, path, meter, logs, bar, after_epoch, say)
        bar.close()
        if world.first:
            _save_encoder(out, averaged(trainer), source)
    return last


def _save_encoder(out: Path, encoder: AnyBackbone, source: AnySource) -> None:
    """Write what was learnt; of an encoder with a network for each sensor these, too."""
    checkpoint.save_encoder(out / "encoder.safetensors", encoder)
    if isinstance(encoder, LateConv1d) and isinstance(source, SensorSource):
        for number, name in enumerate(source.sensors):
            part = encoder.of_sensor(number)
            checkpoint.save_encoder(out / f"encoder-{name}.safetensors", part)


def _run(
    trainer: Trainer,
    start: int,
    path: Path,
    meter: Meter,
    logs: Logs,
    bar: Any,
    after_epoch: AfterEpoch | None,
    say: Callable[[str], None],
) -> dict[str, Number]:
    """Epoch upon epoch from step `start`; the last epoch's row."""
    world, steps = trainer.world, trainer.loader.steps
    row: dict[str, Number] = logs.last_epoch()  # of a run that is finished
    saved, warned = time.monotonic(), False
    watch, told = trainer.watch, any(map(trainer.watch.warning, logs.epochs()))
    for epoch in range(start // steps, trainer.epochs if start < trainer.steps else 0):
        meter.restart()
        first, last = start % steps, min(steps, trainer.steps - epoch * steps)
        batches = islice(trainer.loader.epoch(epoch, first), last - first)
        for index, batch in enumerate(batches, first):
            meter.add(trainer.step(batch, epoch * steps + index))
            done = epoch * steps + index + 1
            bar.update()
            if (index + 1) % LOG_STEPS and index + 1 < last:
                continue
            numbers = meter.read(done)
            said = f"loss {numbers['loss']:.3f}, chance {numbers['chance']:.3f}"
            bar.set_postfix_str(f"{said}{watch}")
            logs.step(numbers)
            warning = collapse_warning(numbers)
            if warning and not warned and world.first:
                say(f"step {done}: {warning}")
                warned = True
            late = time.monotonic() - saved > CHECKPOINT_SECONDS
            if index + 1 < last and _agree(late, world):
                _save(trainer, done, meter, logs, path)
                saved = time.monotonic()
        start = 0
        row = {"step": done, "epoch": epoch + 1, **meter.epoch()}
        if world.first:
            row |= epoch_measures(trainer, epoch + 1, after_epoch)
            logs.epoch(row)
            bar.set_postfix_str(f"{said}{watch}")
            if (warning := watch.warning(row)) and not told:
                say(f"epoch {epoch + 1}: {warning}")
                told = True
        meter.readings.clear()
        _save(trainer, done, meter, logs, path)
        saved = time.monotonic()
    return row


def epoch_measures(
    trainer: Trainer, epoch: int, after_epoch: AfterEpoch | None
) -> dict[str, Number]:
    """What is measured after an epoch, leaving the random numbers of training alone."""
    encoder, size = trainer.method.encoder, trainer.config.batch_size
    done = [size * min(trainer.steps, each * trainer.loader.steps) for each in (epoch - 1, epoch)]
    due = epoch == trainer.epochs or trainer.watch.due(*done)
    with random_numbers_kept(trainer.world):
        measures = trainer.watch.measures(encoder, due)
        if after_epoch is not None:
            measures |= after_epoch(epoch, encoder)
    return measures


class Meter:
    """Sums the measures of the steps on the device, and reads them once in a while."""

    def __init__(self, trainer: Trainer, readings: list[dict[str, Number]]) -> None:
        self.trainer = trainer
        self.readings = readings
        self.restart()

    def restart(self) -> None:
        """Begin to count and to time."""
        self.sums: dict[str, Tensor]
        self.sums, self.count = {}, 0
        self.trainer.loader.waited = 0.0
        self.began = time.perf_counter()

    def add(self, measures: Measures) -> None:
        """Count one step."""
        for name, value in measures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.count += 1

    def read(self, step: int) -> dict[str, Number]:
        """Means since the last reading, over all processes.

        Raises
        ------
        InputError
            If the loss is not finite.
        """
        sums = torch.stack(list(self.sums.values()))
        if dist.is_initialized():
            dist.all_reduce(sums)
        means = (sums / (self.count * self.trainer.world.size)).tolist()
        row: dict[str, Number] = dict(zip(self.sums, means, strict=True))
        if not math.isfinite(row["loss"]):
            raise InputError(
                f"the loss is {row['loss']} after step {step}: lower lr; the last good checkpoint "
                "is kept"
            )
        seconds, config = time.perf_counter() - self.began, self.trainer.config
        row |= {
            "chance": self.trainer.method.chance,
            "lr": learning_rate(config, step - 1, self.trainer.loader.steps),
            "images_per_second": self.count * config.batch_size / seconds,
            "waited": self.trainer.loader.waited / seconds,
        }
        self.restart()
        self.readings.append(row)
        return {"step": step, **row}

    def epoch(self) -> dict[str, Number]:
        """Means of the epoch's readings."""
        names = self.readings[-1].keys()
        return {name: float(np.mean([row[name] for row in self.readings])) for name in names}


class Logs:
    """The run's tables and curves; silent but in the first process.

    Parameters
    ----------
    out
        Folder of the run.
    step
        At which it goes on.
    world
        This process among all.
    rows
        ``steps`` and ``epochs`` so far.
    """

    def __init__(self, out: Path, step: int, world: World, rows: Mapping[str, Any]) -> None:
        self.writing = world.first
        if self.writing:
            self._steps, self._epochs = (
                CsvLog(out / f"{name}.csv", rows[name]) for name in ("steps", "epochs")
            )
            self._board = TensorBoardLog(out / "tensorboard", step)

    def step(self, row: dict[str, Number]) -> None:
        """Numbers of the last steps."""
        if self.writing:
            self._steps.append(row)
            self._board.append(row)

    def epoch(self, row: dict[str, Number]) -> None:
        """Numbers of an epoch."""
        if self.writing:
            self._epochs.append(row)
            self._board.append({k: v for k, v in row.items() if k in ("step", "knn", "transfer")})

    def rows(self) -> dict[str, Sequence[Row]]:
        """All rows so far, in the first process."""
        return {"steps": self._steps.rows, "epochs": self._epochs.rows}

    def epochs(self) -> Sequence[Row]:
        """Those of the epochs so far, none but in the first process."""
        return self._epochs.rows if self.writing else []

    def last_epoch(self) -> dict[str, Number]:
        """The row of the last epoch, empty without one."""
        return {**self.epochs()[-1]} if self.epochs() else {}


def _save(trainer: Trainer, step: int, meter: Meter, logs: Logs, path: Path) -> None:
    state = trainer.state(step)
    if trainer.world.first:
        checkpoints.save(path, {**state, "readings": meter.readings, **logs.rows()})


def _agree(flag: bool, world: World) -> bool:
    """What the first process says, in all of them."""
    if world.size == 1:
        return flag
    said = torch.tensor(int(flag), device=world.device)
    dist.broadcast(said, 0)
    return bool(said)


@contextmanager
def _memory_as_input_error(config: PretrainConfig) -> Iterator[None]:
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise InputError(
            f"the GPU's memory is full: lower batch_size ({config.batch_size}); "
            "the last checkpoint is kept"
        ) from None
