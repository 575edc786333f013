"""The training loop, from packed images or windows to an encoder on disk."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..augment import POLICIES, AugmentationError, KorniaPolicy, MoCoDefaultConfig, create_policy
from ..errors import InputError
from ..files import locked, require_folder
from ..images import Batch, Loader, Source
from ..models import (
    AnyBackbone,
    Backbone,
    EncoderConfig,
    TokenBackbone,
    WindowEncoder,
    checkpoints,
    create_backbone,
    create_token_backbone,
    create_window_encoder,
)
from ..models.conv1d import LateConv1d
from ..models.weights import fold_batch_norm
from ..progress import Progress, silent
from ..settings import read_sealed, write_sealed
from . import checkpoint
from .config import (
    AIMConfig,
    MMBindConfig,
    PretrainConfig,
    RandomConfig,
    SensorMethodConfig,
    SimCLRConfig,
    SupervisedConfig,
)
from .distributed import World
from .masking import AIM, TokenLoader, TokenSource
from .methods import Measures, Method, create_method, parameter_groups
from .mmbind import bind
from .monitors import (
    CsvLog,
    Number,
    Row,
    TensorBoardLog,
    collapse_warning,
)
from .pictures import PictureLoader, PictureSource
from .sensor_methods import create_sensor_method
from .sensors import SensorLoader, SensorSource
from .sets import SetsLoader, WindowSets
from .watch import Watch, watch_images, watch_windows
from .window_methods import create_window_method
from .windows import WindowsLoader, WindowsSource

LOG_STEPS = 50
CHECKPOINT_SECONDS = 120.0
REVIVAL = 256
"""Images from which batch norm is measured that initial weights have folded away."""

SETTINGS = "config.json"

ROWS = ("readings", "steps", "epochs")
"""Numbers that a checkpoint holds: of the epoch it is in, and all those of the two logs."""

AnySource = Source | WindowsSource | PictureSource | SensorSource | TokenSource
AnyLoader = Loader | WindowsLoader | SetsLoader
AfterEpoch = Callable[[int, AnyBackbone], dict[str, Number]]
"""``after_epoch(epoch, encoder)``: more numbers for the epoch's row."""


class Trainer:
    """Everything that training changes, and one step of it.

    Parameters
    ----------
    config
        Settings of the run.
    source
        Images or windows.
    world
        This process among all.
    compile
        Compile the encoders, on CUDA with CUDA graphs.
    """

    def __init__(
        self, config: PretrainConfig, source: AnySource, world: World, compile: bool = False
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.source, self.world = config, source, world
        held, training = split_rows(source, config)
        encoder = untrained_encoder(config, source)
        method, self.loader, self.policy = _assembled(config, source, encoder, training, world)
        self.policy.to(world.device)
        self.watch = _watch(config, source, held, self.loader.rows, world)
        self.method: Method = method.to(world.device).to(memory_format=torch.channels_last)
        if config.average and isinstance(encoder, Backbone):
            _folded(encoder)  # what cannot be is better known before training
        self.optimizer = create_optimizer(config, self.method)
        if compile:
            mode = "reduce-overhead" if world.device.type == "cuda" else "default"
            for name in ("encoder", "key_encoder"):
                if hasattr(self.method, name):
                    getattr(self.method, name).compile(mode=mode)
        self.network: nn.Module = self.method
        if world.size > 1:
            # Buffers are the same everywhere by themselves: sending the queue around is idle work.
            self.network = DistributedDataParallel(self.method, broadcast_buffers=False)
        self.steps = config.steps or config.epochs * self.loader.steps
        self.epochs = math.ceil(self.steps / self.loader.steps)
        # From here on each process draws augmentations of its own.
        torch.manual_seed(config.seed + 1 + world.rank)

    def step(self, batch: Batch, step: int) -> Measures:
        """Learn from one batch; `step` counts from the beginning of training."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, step, self.loader.steps)
        # Windows are drawn anew for each view; an image is read once.
        drawn = isinstance(self.loader, SetsLoader)
        images = batch.images if drawn else [batch.images] * self.method.views
        views = [self.policy(each) for each in images]
        with torch.autocast(self.world.device.type, torch.bfloat16):
            measures: Measures = self.network(views, batch.labels, step)
        self.optimizer.zero_grad(set_to_none=True)
        measures["loss"].backward()
        self.optimizer.step()
        self.method.after_step((step + 1) / self.steps)
        return {name: value.detach() for name, value in measures.items()}

    def state(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds; every process must call this."""
        return {
            "step": step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": checkpoint.random_states(self.world),
        }

    def begin(self) -> int:
        """Watch the encoder before its first step; returns the step to begin with."""
        with _random_numbers_kept(self.world):
            self.watch.begin(self.method.encoder)
        return 0

    def load_state(self, state: Mapping[str, Any], path: Path) -> int:
        """Go on from the checkpoint that lay at `path`; returns the step to begin with.

        Raises
        ------
        InputError
            If it is not of this run, or of another number of processes.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        own = {**self.state(0), **{name: [] for name in ROWS}}
        checkpoint.require_alike(state, own, parameters, path)
        step = int(state["step"])
        # The last epoch may be cut short.
        epochs = self.epochs if step == self.steps else step // self.loader.steps
        if not 0 < step <= self.steps or len(state["epochs"]) != epochs:
            raise InputError(f"{path} is not the checkpoint of this run: it is of step {step}")
        if step < self.steps:
            self.begin()  # the encoder is still what training has started from
        checkpoint.restore_random_states(state["random"], self.world)
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        return step


def _watch(
    config: PretrainConfig,
    source: AnySource,
    held: NDArray[np.int64],
    learnt: NDArray[np.int64],
    world: World,
) -> Watch:
    """What is watched of the encoder, in the first process."""
    if not world.first:
        return Watch()
    if isinstance(source, WindowsSource | WindowSets):
        return watch_windows(source, config.seed, world.device)
    return watch_images(source, held, learnt, config.seed, world.device)


def _assembled(
    config: PretrainConfig,
    source: AnySource,
    encoder: AnyBackbone,
    training: NDArray[np.int64],
    world: World,
) -> tuple[Method, AnyLoader, nn.Module]:
    """The method around its encoder, what feeds it, and what images go through before."""
    batch, seed = config.batch_size, config.seed
    if isinstance(source, TokenSource):
        assert isinstance(encoder, TokenBackbone) and isinstance(config.method, AIMConfig)
        masked = AIM(encoder, config.method, source.views[0])
        return masked, TokenLoader(source, batch, seed, world, training), nn.Identity()
    if isinstance(source, SensorSource):
        method = create_sensor_method(config, encoder, source, world)
        plain = KorniaPolicy(nn.Identity(), dtype=torch.bfloat16)
        loader = SensorLoader(
            source, batch, seed, world, method.views, method.sequence, method.paired
        )
        return method, loader, plain if source.pictures else nn.Identity()
    if isinstance(source, WindowsSource):
        assert isinstance(encoder, WindowEncoder), "pretrain has compared them"
        share, samples = batch // world.size, source.windows.shape[2]
        of_windows = create_window_method(config, encoder, share, samples, source.sensors)
        return of_windows, WindowsLoader(source, batch, seed, world), nn.Identity()
    assert isinstance(encoder, Backbone), "pretrain has compared them"
    of_images = create_method(config, encoder, groups_of(source, config), world)
    policy = _policy(config.policy, source)
    return of_images, _image_loader(config, source, world, training, of_images.views), policy


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


def averaged(trainer: Trainer) -> AnyBackbone:
    """The trained encoder, averaged with its start where that is wanted.

    Batch norm is folded into the convolutions on either side first: two norms with statistics of
    their own cannot be averaged.
    """
    config, encoder = trainer.config, trainer.method.encoder
    if not config.average:
        return encoder
    start = untrained_encoder(config, trainer.source)
    assert isinstance(encoder, Backbone) and isinstance(start, Backbone)
    mean, trained = (_folded(each) for each in (start, encoder))
    before = mean.state_dict()
    state = {
        name: value.lerp(before[name], config.average)
        for name, value in trained.state_dict().items()
    }
    mean.load_state_dict(state)
    return Backbone(mean, encoder.bands)


def _folded(encoder: Backbone) -> nn.Module:
    """The network without batch norm.

    Raises
    ------
    InputError
        If it has some that cannot be folded away.
    """
    folded = fold_batch_norm(copy.deepcopy(encoder.body).cpu())
    if any(isinstance(part, nn.BatchNorm2d) for part in folded.modules()):
        raise InputError("batch norm of this encoder does not follow its convolutions: no average")
    return folded


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
    with _random_numbers_kept(trainer.world):
        measures = trainer.watch.measures(encoder, due)
        if after_epoch is not None:
            measures |= after_epoch(epoch, encoder)
    return measures


@contextmanager
def _random_numbers_kept(world: World) -> Iterator[None]:
    with torch.random.fork_rng([world.device] if world.device.type == "cuda" else []):
        yield


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


def require_readable(config: PretrainConfig, source: AnySource) -> None:
    """Raise :class:`InputError` for windows where images are wanted, or the other way round."""
    if isinstance(source, TokenSource) != isinstance(config.method, AIMConfig):
        raise InputError(
            "aim learns from windows files (.npz)"
            if isinstance(config.method, AIMConfig)
            else f"{config.method_name} learns from complete windows"
        )
    kinds = ("images", "windows")
    signals = isinstance(source, WindowsSource) or (
        isinstance(source, SensorSource) and not source.pictures
    )
    has, wants = kinds[signals], kinds[config.reads_windows]
    if has != wants:
        raise InputError(
            f"{config.method_name} with the encoder {config.encoder} learns from {wants}, "
            f"and the source holds {has}"
        )
    if isinstance(config.method, SensorMethodConfig) and not isinstance(source, SensorSource):
        raise InputError(f"{config.method_name} learns from the sensors of windows: a SensorSource")
    if config.neighbours and not isinstance(source, PictureSource):
        raise InputError("neighbours are windows next in time: they need windows files (.npz)")
    # A picture of a window is drawn anew for each view; an image is read once.
    same = config.policy == "none" and not isinstance(source, WindowsSource | WindowSets)
    if same and isinstance(config.method, SimCLRConfig):
        raise InputError("two views of an image would be the same: simclr wants a policy")


def require_same_run(out: Path, config: PretrainConfig, source: AnySource) -> None:
    """Raise :class:`InputError` if the folder holds something else than this very run."""
    require_folder(out)
    path = out / SETTINGS
    if not path.is_file():
        if out.is_dir() and any(not _passing(each.name) for each in out.iterdir()):
            raise InputError(f"{out} is not empty and holds no run: choose another folder")
        return
    before = read_sealed(path)
    differing = config.differences(PretrainConfig.from_dict(before.get("pretrain"), str(path)))
    if before.get("source") != describe_source(source):
        differing.append("source")
    if differing:
        raise InputError(
            f"{out} holds a run with other settings ({', '.join(differing)}): "
            "repeat it as it was, or choose another folder"
        )


def _passing(name: str) -> bool:
    """Whether a file is what a run leaves that was killed before it began."""
    return name == ".lock" or name.startswith(".partial-")


@contextmanager
def run_folder(
    out: Path, config: PretrainConfig, source: AnySource, world: World
) -> Iterator[None]:
    """The folder of a run, which is its own meanwhile, with the settings in it.

    Made only now that all settings have proved possible.

    Raises
    ------
    InputError
        If another run is at work there, or has been; if the disk is full.
    """
    with ExitStack() as held:
        if world.first:
            held.enter_context(checkpoints.full_disk_told(out))
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(out))
            # Another process may have been quicker.
            require_same_run(out, config, source)
            if not (out / SETTINGS).is_file():
                described = {"pretrain": config.to_dict(), "source": describe_source(source)}
                write_sealed(out / SETTINGS, described)
        if dist.is_initialized():
            dist.barrier()
        yield


def describe_source(source: AnySource) -> dict[str, Any]:
    """What identifies the images or windows of a run."""
    if isinstance(source, WindowsSource | WindowSets):
        return source.describe()
    manifest = getattr(source, "manifest", None)
    if manifest is not None:
        pixels = hashlib.sha256("".join(block["sha256"] for block in manifest["blocks"]).encode())
        shape = {name: manifest[name] for name in ("count", "width", "height", "labels_sha256")}
        return {**shape, "blocks_sha256": pixels.hexdigest()}
    names = ("name", "width", "height")
    return {"count": len(source), **{name: getattr(source, name, None) for name in names}}


def split_rows(
    source: AnySource, config: PretrainConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows held out for the neighbours' test, and rows to train on, each in rising order.

    The former have labels, and so do the latter where labels are what is learnt.
    """
    labels = getattr(source, "labels", None)
    known = np.zeros(len(source), bool) if labels is None else np.asarray(labels) >= 0
    order = np.random.default_rng(config.seed).permutation(len(source))
    # Of windows whole subjects are held out, and those the source has set aside.
    most = 0 if isinstance(source, WindowSets) else min(config.held, int(known.sum()) // 10)
    held = order[known[order]][:most]
    training = (
        known.copy() if isinstance(config.method, SupervisedConfig) else ~np.zeros_like(known)
    )
    training[held] = False
    return np.sort(held), np.flatnonzero(training)


def groups_of(source: Source | PictureSource, config: PretrainConfig) -> list[int]:
    """How many classes the labels have, by group; a supervised run cannot do without."""
    labels = getattr(source, "labels", None)
    groups = [int(np.max(labels)) + 1 if labels is not None else 0]
    if isinstance(source, PictureSource):
        groups = source.groups
    if isinstance(config.method, SupervisedConfig) and max(groups) < 2:
        raise InputError("supervised pre-training needs labels of two or more classes")
    return groups


def _image_loader(
    config: PretrainConfig,
    source: Source | PictureSource,
    world: World,
    rows: NDArray[np.int64],
    views: int,
) -> Loader | PictureLoader:
    if isinstance(source, PictureSource):
        return PictureLoader(
            source, config.batch_size, config.seed, world, rows, views, config.neighbours
        )
    return Loader(
        source, config.batch_size, config.seed, world.device, world.rank, world.size, rows
    )


def untrained_encoder(config: PretrainConfig, source: AnySource) -> AnyBackbone:
    """What training starts from; an encoder of windows knows their mean and deviation."""
    if config.reads_windows:
        assert isinstance(source, WindowsSource | SensorSource), "pretrain has compared them"
        encoder = create_window_encoder(
            EncoderConfig(config.encoder, checkpoint=config.init, seed=config.seed),
            3 * len(source.sensors),
            late=isinstance(source, SensorSource),
        )
        if config.init is None:
            encoder.normalise_by(source.mean, source.deviation)
        return encoder
    if isinstance(source, TokenSource):
        return create_token_backbone(
            config.encoder,
            source.names,
            stages=config.stages,
            init=config.init,
            seed=config.seed,
        )
    assert not isinstance(source, WindowsSource), "pretrain has compared them"
    return create_backbone(
        config.encoder,
        stages=config.stages,
        bands=config.bands,
        init=config.init,
        seed=config.seed,
        images=_revival_images(config, source) if config.init else None,
    )


def create_optimizer(config: PretrainConfig, method: Method) -> torch.optim.Optimizer:
    """The optimiser of the settings, in one pass over the weights."""
    groups = parameter_groups([method], config.weight_decay)
    if config.optimizer == "adam":
        return torch.optim.AdamW(groups, lr=config.lr, fused=True)
    return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True, fused=True)


def learning_rate(config: PretrainConfig, step: int, steps_per_epoch: int) -> float:
    """Of step `step`: a linear rise, then constant or half a cosine down to 0."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.lr_schedule == "constant":
        return config.lr
    steps = config.steps or config.epochs * steps_per_epoch
    share = (step - warmup) / max(1.0, steps - warmup)
    return config.lr * (1 + math.cos(math.pi * share)) / 2


def _revival_images(
    config: PretrainConfig, source: Source | PictureSource | SensorSource
) -> Tensor:
    """Images of the run from which folded batch norm is measured, the same in each process.

    No policy augments them, as the statistics that were lost are those of plain photographs.
    """
    _, rows = split_rows(source, config)
    count = min(REVIVAL, len(rows))
    if isinstance(source, PictureSource | SensorSource):
        generator = torch.Generator().manual_seed(config.seed)
        drawn = np.random.default_rng(config.seed).choice(rows, count, p=source.weights(rows))
        if isinstance(source, SensorSource):
            each, trust = source.draw(drawn, generator)
            images = each[trust > 0]
        else:
            images, _ = source.draw(drawn, 0.0, generator)
    else:
        images = next(Loader(source, count, config.seed, "cpu", rows=rows).epoch(0)).images
    return KorniaPolicy(nn.Identity())(images)


def _policy(name: str, source: Source | PictureSource) -> nn.Module:
    """The policy, from bytes to what the encoder takes; crops come out in the images' size."""
    if name == "none":
        return KorniaPolicy(nn.Identity(), dtype=torch.bfloat16)
    if name not in POLICIES:
        raise AugmentationError(f"unknown policy {name!r}; known: none, {', '.join(POLICIES)}")
    policy = POLICIES[name]
    if isinstance(policy, MoCoDefaultConfig):
        policy = replace(policy, width=source.width, height=source.height)
    return create_policy(policy, dtype=torch.bfloat16)


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
