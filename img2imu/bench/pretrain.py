"""How fast MoCo is trained, and what its step consists of, beside lightly's MoCo.

Everybody takes the same images, bytes in memory, and trains the same encoder with the same queue.
One call of a contestant is an epoch: nothing is prepared before its time starts or after it ends.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..augment import KorniaPolicy
from ..environment import environment
from ..errors import InputError
from ..images import ProceduralImages
from ..models import create_backbone
from ..pretrain.config import PretrainConfig
from ..pretrain.distributed import World
from ..pretrain.method_config import MoCoConfig
from ..pretrain.methods.images import MoCo
from ..pretrain.recipes import RECIPES
from ..pretrain.trainer import Trainer
from .timing import race, summary

OURS = "img2imu"
PEER, EXAMPLE = "lightly", "lightly, float32 as in its example"

TARGETS = {"cuda": 3.0, "cpu": 1.0}
"""Images per second we want over lightly, in our precision and in its example's."""
TARGET_RATE = 25_000
"""Images per second we want on one H200 with the settings by default."""
TARGET_AUGMENTATION = 0.10
"""Share of the step that augmentation may take on a GPU."""

STEPS = {"cuda": 64, "cpu": 2}
DRAWN_AT_ONCE = 1024

NOTE = (
    "lightly has no sensor-aware augmentations: it applies its own for MoCo v2 (crop, flip, "
    "colours, grey, blur), to PIL images in worker processes; its head has a hidden layer more, "
    "its optimiser is its example's SGD, ours the paper's Adam"
)
MISSING = "lightly is not installed and left out: pip install 'img2imu[baselines]'"

Bytes = NDArray[np.uint8]
Views = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ImagesInMemory:
    """Images that all contestants share: (n, height, width, 3), without labels."""

    images: Bytes

    @property
    def labels(self) -> NDArray[np.int32]:
        """-1: unknown."""
        return np.full(len(self), -1, np.int32)

    @property
    def width(self) -> int:
        """Of each image, in pixels."""
        return self.images.shape[2]

    @property
    def height(self) -> int:
        """Of each image, in pixels."""
        return self.images.shape[1]

    def __len__(self) -> int:
        return len(self.images)


class Ours:
    """An epoch of our training loop."""

    def __init__(
        self, config: PretrainConfig, source: ImagesInMemory, device: torch.device, compile: bool
    ) -> None:
        self.trainer = Trainer(config, source, World(device), compile)
        self.losses: list[float] = []

    def __call__(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Train for one epoch; `after_step` is told of each step."""
        trainer, epoch = self.trainer, len(self.losses)
        losses = []
        for index, batch in enumerate(trainer.loader.epoch(epoch)):
            losses.append(trainer.step(batch, epoch * trainer.loader.steps + index)["loss"])
            after_step()
        finish(trainer.world.device)
        self.losses.append(float(torch.stack(losses).mean()))


class Lightly:
    """An epoch of MoCo out of lightly's parts, in the order of its own example.

    Parameters
    ----------
    config
        Encoder, queue, temperature and momentum, the same as ours.
    views
        Gives an epoch of pairs of batches, each (n, 3, height, width).
    device
        To train on.
    dtype
        bfloat16 trains in mixed precision.
    layout
        Of images and weights in memory.
    """

    def __init__(
        self,
        config: PretrainConfig,
        views: Views,
        device: torch.device,
        dtype: torch.dtype,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import MoCoProjectionHead
        from lightly.models.utils import deactivate_requires_grad

        method = config.method
        assert isinstance(method, MoCoConfig), "lightly is compared in MoCo"
        self.views, self.device, self.layout, self.momentum = views, device, layout, method.momentum
        self.mixed = dtype == torch.bfloat16
        backbone = create_backbone(config.encoder, seed=config.seed)
        features = backbone.widths[-1]
        head = MoCoProjectionHead(features, features, method.dim)
        encoder = nn.Sequential(backbone, LastStage(), head)
        self.encoder = encoder.to(memory_format=layout).to(device)
        self.key_encoder = copy.deepcopy(self.encoder)
        deactivate_requires_grad(self.key_encoder)
        bank = (method.queue, method.dim)
        self.criterion = NTXentLoss(method.temperature, memory_bank_size=bank).to(device)
        self.optimizer = torch.optim.SGD(self.encoder.parameters(), lr=0.06)
        self.losses: list[float] = []

    def __call__(self) -> None:
        """Train for one epoch."""
        losses = [self.step(*views) for views in self.views]
        finish(self.device)
        self.losses.append(float(torch.stack(losses).mean()))

    def step(self, query: Tensor, key: Tensor) -> Tensor:
        """One step; gives its loss."""
        from lightly.models.utils import update_momentum

        query, key = (
            view.to(self.device, memory_format=self.layout, non_blocking=True)
            for view in (query, key)
        )
        update_momentum(self.encoder, self.key_encoder, m=self.momentum)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            with torch.no_grad():
                keys = self.key_encoder(key)
            loss: Tensor = self.criterion(self.encoder(query), keys)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


class LastStage(nn.Module):
    """Of the features of all stages those of the last."""

    def forward(self, stages: list[Tensor]) -> Tensor:
        """(n, features)."""
        return stages[-1]


class PilImages:
    """The images as a data set of PIL images, each given to `transform`."""

    def __init__(self, images: Bytes, transform: Callable[[Any], Any]) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Any:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[row]))


def run(
    steps: int | None = None,
    rounds: int = 5,
    batch: int = 256,
    width: int = 128,
    height: int = 96,
    threads: int | None = None,
    device: str = "cpu",
    compile: bool = False,
    encoder: str = "resnet18",
) -> dict[str, Any]:
    """Train MoCo with the paper's settings, ours and lightly's in turn.

    Parameters
    ----------
    steps
        In an epoch, rounded up to a multiple of `threads`, so that lightly's workers get equal
        shares; by default 64 on CUDA, 2 on the CPU.
    rounds
        Each contestant trains for one epoch in each round.
    batch
        Images in a step; a multiple of 8, the splits of the paper's batch norm.
    width, height
        Of the images, in pixels.
    threads
        CPU threads torch may use, and workers of lightly's loader; by default as torch chooses.
    device
        ``"cpu"`` or ``"cuda"``.
    compile
        Compile our encoders.
    encoder
        A timm architecture.

    Returns
    -------
    dict
        ``rates`` in images per second, ``speedup`` over each contestant of lightly within the
        same round, ``losses`` (mean of each epoch, the untimed first one included), ``step``
        (see :func:`step_report`), ``notes``, ``environment``.

    Raises
    ------
    InputError
        If the device is not there, or a number or name does not fit.
    """
    before = torch.get_num_threads()
    threads = before if threads is None else threads
    steps = STEPS.get(device, 1) if steps is None else steps
    if min(steps, rounds, threads) < 1:
        raise InputError("steps, rounds and threads must be at least 1")
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"there is no device {device!r} here")
    steps = math.ceil(steps / threads) * threads
    config = replace(RECIPES["paper"]["moco"], batch_size=batch, encoder=encoder)
    torch.set_num_threads(threads)
    try:
        source = draw_images(steps * batch, width, height, device)
        entrants = contestants(config, source, torch.device(device, 0), threads, compile)
        rates = race({name: (each, len(source)) for name, each in entrants.items()}, rounds)
        step = step_report(entrants[OURS], summary(rates[OURS])["median"])
        facts = environment()
    finally:
        torch.set_num_threads(before)
    peers = [name for name in rates if name.startswith(PEER)]
    return {
        "benchmark": "pretrain",
        "settings": {
            "steps": steps,
            "rounds": rounds,
            "batch": batch,
            "width": width,
            "height": height,
            "threads": threads,
            "device": device,
            "compile": compile,
            "pretrain": config.to_dict(),
        },
        "rates": {name: {**summary(each), "each": each} for name, each in rates.items()},
        "speedup": {peer: _speedup(rates, peer) for peer in peers},
        "losses": {name: each.losses for name, each in entrants.items()},
        "step": step,
        "notes": [NOTE if peers else MISSING],
        "environment": facts,
    }


def draw_images(count: int, width: int, height: int, device: str) -> ImagesInMemory:
    """Dead leaves, as many as an epoch takes."""
    generator = torch.Generator(device).manual_seed(0)
    leaves = ProceduralImages("dead-leaves", count, width, height)
    images = np.empty((count, height, width, 3), np.uint8)
    for block in np.array_split(images, math.ceil(count / DRAWN_AT_ONCE)):
        block[:] = leaves.draw(len(block), generator).permute(0, 2, 3, 1).cpu().numpy()
    return ImagesInMemory(images)


def contestants(
    config: PretrainConfig,
    source: ImagesInMemory,
    device: torch.device,
    threads: int,
    compile: bool = False,
) -> dict[str, Any]:
    """Everybody who trains on the images of `source`; without lightly, only ours."""
    method = config.method
    assert isinstance(method, MoCoConfig), "this benchmark is of MoCo"
    whole = replace(config, method=replace(method, splits=1))
    ours = {
        OURS: whole,
        f"{OURS}, the paper's {method.splits} batch-norm splits": config,
        f"{OURS}, MoCo's augmentations": replace(whole, policy="moco-default"),
    }
    entrants: dict[str, Any] = {
        name: Ours(each, source, device, compile) for name, each in ours.items()
    }
    if not has_lightly():
        return entrants
    views = lightly_views(source, config.batch_size, threads, device)
    prepared = prepared_views(source, config.batch_size, device)
    precision, plain = entrants[OURS].trainer.policy.dtype, torch.contiguous_format
    return entrants | {
        PEER: Lightly(config, views, device, precision),
        EXAMPLE: Lightly(config, views, device, torch.float32, plain),
        f"{PEER}, augmentation left out": Lightly(config, prepared, device, precision),
    }


def has_lightly() -> bool:
    """Whether lightly can be imported; it is kept from asking its server for newer versions."""
    # Versions before 1.6 do so on import.
    os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")
    try:
        import lightly  # noqa: F401
    except ImportError:
        return False
    return True


def lightly_views(source: ImagesInMemory, batch: int, workers: int, device: torch.device) -> Views:
    """Pairs of batches as a user of lightly makes them, of the size of the images."""
    from lightly.transforms.moco_transform import MoCoV2Transform
    from torch.utils.data import DataLoader

    transform = MoCoV2Transform(input_size=(source.height, source.width))  # type: ignore[arg-type]
    images: Any = PilImages(source.images, transform)
    return DataLoader(
        images,
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )


def prepared_views(source: ImagesInMemory, batch: int, device: torch.device) -> Views:
    """As many pairs as :func:`lightly_views` gives: one batch, only normalised, on the device."""
    pixels = torch.from_numpy(source.images[:batch]).to(device).permute(0, 3, 1, 2)
    images = KorniaPolicy(nn.Identity()).to(device)(pixels)
    return [(images, images)] * (len(source) // batch)


class Stopwatch:
    """Seconds that each part of a step takes, the device having finished each.

    Hooks mark where parts of a step end: what has passed since the mark before belongs to that
    part.

    Attributes
    ----------
    steps : list of dict
        Seconds of each part, one dict for each step.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.steps: list[dict[str, float]] = []
        self._now: defaultdict[str, float] = defaultdict(float)
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """`part` ends here."""
        finish(self.device)
        now = time.perf_counter()
        self._now[part] += now - self._last
        self._last = now

    def end_step(self) -> None:
        """A step ends here."""
        self.lap("momentum and queue")
        self.steps.append(dict(self._now))
        self._now.clear()

    @contextmanager
    def watching(self, trainer: Trainer) -> Iterator[None]:
        """Have the trainer's modules call :meth:`lap`."""
        method, optimizer = trainer.method, trainer.optimizer
        assert isinstance(method, MoCo), "this benchmark is of MoCo"
        self._last = time.perf_counter()

        def ends(part: str) -> Any:
            return lambda *_: self.lap(part)

        # The encoders themselves may be compiled, which a hook of theirs would disturb.
        hooks = [
            trainer.policy.register_forward_pre_hook(ends("waiting for images")),
            trainer.policy.register_forward_hook(ends("augmentation")),
            method.head.register_forward_pre_hook(ends("query forward")),
            method.predictor.register_forward_hook(ends("heads and loss")),
            method.key_head.register_forward_pre_hook(ends("key forward")),
            method.register_forward_hook(ends("heads and loss")),
            optimizer.register_step_pre_hook(ends("backward")),
            optimizer.register_step_post_hook(ends("optimiser")),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def step_report(ours: Ours, rate: float) -> dict[str, Any]:
    """What a step consists of.

    Parameters
    ----------
    ours
        To train for an epoch or two more.
    rate
        Images per second, undisturbed.

    Returns
    -------
    dict
        ``parts``, median milliseconds of each; ``sum`` of them; ``whole``, milliseconds of a step
        that no stopwatch interrupts; ``augmentation``, its share of the sum; ``gpu_idle``, the
        share of the whole step in which the GPU has nothing to do (None without one).
    """
    device, batch = ours.trainer.world.device, ours.trainer.config.batch_size
    stopwatch = Stopwatch(device)
    with stopwatch.watching(ours.trainer):
        ours(stopwatch.end_step)
    parts = {
        part: 1000 * float(np.median([step[part] for step in stopwatch.steps]))
        for part in stopwatch.steps[0]
    }
    whole, total, cuda = 1000 * batch / rate, sum(parts.values()), device.type == "cuda"
    return {
        "parts": parts,
        "sum": total,
        "whole": whole,
        "augmentation": parts["augmentation"] / total,
        "gpu_idle": max(0.0, 1 - gpu_milliseconds(ours) / whole) if cuda else None,
    }


def gpu_milliseconds(ours: Ours) -> float:
    """Time in which the GPU works for a step, as CUDA's profiler tells."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        ours()
    microseconds = sum(
        event.self_device_time_total
        for event in profiler.key_averages()
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    )
    return float(microseconds) / 1000 / ours.trainer.loader.steps


def finish(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(report: dict[str, Any]) -> str:
    """The report for the eye."""
    settings, step = report["settings"], report["step"]
    cuda = settings["device"] == "cuda"
    size = f"{settings['width']}x{settings['height']}"
    lines = [
        f"MoCo {settings['pretrain']['encoder']}, {size}, batch {settings['batch']}, "
        f"{settings['device']}, {settings['threads']} threads",
        f"{'images per second':<44}{'median':>9}{'min':>9}{'max':>9}{'IQR':>9}{'loss':>8}",
    ]
    for name, rate in report["rates"].items():
        numbers = "".join(f"{rate[key]:>9,.0f}" for key in ("median", "min", "max", "iqr"))
        lines.append(f"{name:<44}{numbers}{report['losses'][name][-1]:>8.3f}")
    if cuda:
        lines.append(f"wanted on an H200 at 128x96, batch 256: {TARGET_RATE:,}")
    for peer, faster in report["speedup"].items():
        whole = peer in (PEER, EXAMPLE)
        wanted = f"; wanted {TARGETS[settings['device']]:.0f}" if whole else ""
        lines.append(
            f"ours: {faster['median']:.2f} times {peer} (rounds {faster['min']:.2f} to "
            f"{faster['max']:.2f}{wanted})"
        )
    lines += ["", f"{'parts of our step':<24}{'ms':>9}{'share':>8}"]
    for part, milliseconds in step["parts"].items():
        lines.append(f"{part:<24}{milliseconds:>9.2f}{milliseconds / step['sum']:>8.1%}")
    lines.append(f"{'sum':<24}{step['sum']:>9.2f}")
    lines.append(f"{'step, undisturbed':<24}{step['whole']:>9.2f}")
    if cuda:
        lines.append(f"augmentation wanted under {TARGET_AUGMENTATION:.0%}")
        lines.append(f"GPU idle for {step['gpu_idle']:.1%} of the undisturbed step")
    return "\n".join(lines + report["notes"])


def _speedup(rates: dict[str, list[float]], peer: str) -> dict[str, float]:
    pairs = zip(rates[OURS], rates[peer], strict=True)
    return summary([ours / theirs for ours, theirs in pairs])
