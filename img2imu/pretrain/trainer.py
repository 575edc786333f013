"""One step of training, and what it is made of: encoder, method, loader, optimiser."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..augment import POLICIES, AugmentationError, KorniaPolicy, MoCoDefaultConfig, create_policy
from ..errors import InputError
from ..images import Batch, Loader, Source
from ..models import (
    AnyBackbone,
    Backbone,
    EncoderConfig,
    TokenBackbone,
    WindowEncoder,
    create_backbone,
    create_token_backbone,
    create_window_encoder,
)
from ..models.weights import fold_batch_norm
from . import checkpoint
from .config import PretrainConfig
from .distributed import World
from .method_config import AIMConfig, SupervisedConfig
from .methods.aim import AIM
from .methods.images import Measures, Method, create_method, parameter_groups
from .methods.sensors import create_sensor_method
from .methods.signals import create_window_method
from .sources.pictures import PictureLoader, PictureSource
from .sources.sensors import SensorLoader, SensorSource
from .sources.sets import SetsLoader, WindowSets
from .sources.tokens import TokenLoader, TokenSource
from .sources.windows import WindowsLoader, WindowsSource
from .watch import Watch, watch_images, watch_windows

REVIVAL = 256
"""Images from which batch norm is measured that initial weights have folded away."""

ROWS = ("readings", "steps", "epochs")
"""Numbers that a checkpoint holds: of the epoch it is in, and all those of the two logs."""

AnySource = Source | WindowsSource | PictureSource | SensorSource | TokenSource
AnyLoader = Loader | WindowsLoader | SetsLoader


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
        with random_numbers_kept(self.world):
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


@contextmanager
def random_numbers_kept(world: World) -> Iterator[None]:
    with torch.random.fork_rng([world.device] if world.device.type == "cuda" else []):
        yield


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
