"""What is learnt from unlabelled windows: SimCLR, which transformation was applied, the future."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ...augment import signals
from ...errors import InputError
from ...models import WindowEncoder
from ...models.conv1d import CausalConv1d
from ...recordings.sensors import ACCELEROMETER, sensor_kind, units_of
from ..config import PretrainConfig
from ..method_config import CPCConfig, MultitaskConfig, SimCLRConfig
from .images import Measures, Method, geometry, nt_xent_logits, perceptron, projection

Transform = Callable[[Tensor, torch.Generator], Tensor]

NOISE = {"accel": 0.05, "gyro": 0.05, "magn": 2.5}
"""Deviation of the noise on each kind of sensor, in its unit; of gravity and of the earth's field
it is a twentieth."""


def view_transforms(sensors: Sequence[str] = ACCELEROMETER) -> tuple[Transform, ...]:
    """What a view of SimCLR may have gone through, in this order."""
    return (
        _rotate(sensors),
        signals.scale,
        signals.time_warp,
        signals.permute,
        _jitter(sensors),
    )


def task_transforms(sensors: Sequence[str] = ACCELEROMETER) -> tuple[Transform, ...]:
    """What the heads of multi-task learning recognise."""
    return (
        _jitter(sensors),
        signals.scale,
        _rotate(sensors),
        lambda windows, _: signals.negate(windows),
        lambda windows, _: signals.reverse(windows),
        signals.permute,
        signals.time_warp,
        signals.shuffle_axes,
    )


def _rotate(sensors: Sequence[str]) -> Transform:
    """Sensors of one place turn together."""
    return partial(signals.rotate, units=units_of(sensors))


def _jitter(sensors: Sequence[str]) -> Transform:
    return partial(signals.jitter, sigma=[NOISE[sensor_kind(name)] for name in sensors])


class WindowMethod(Method):
    """A method that takes windows as they are, and changes them itself.

    Random numbers come from torch's global generator of the device, whose state a checkpoint
    holds.
    """

    views = 1

    def forward(self, views: list[Tensor], labels: Tensor, step: int) -> Measures:
        """The loss and its companions, of the only view: windows (n, 3 * sensors, samples)."""
        return self.measure(views[0])

    @abstractmethod
    def measure(self, windows: Tensor) -> Measures:
        """The loss on windows and its companions."""


class WindowSimCLR(WindowMethod):
    """Two views of a window find each other among those of the batch (Tang et al. 2020).

    After arXiv 2011.11542. With several processes each compares within its own part of the batch.
    """

    def __init__(
        self, encoder: WindowEncoder, config: SimCLRConfig, n: int, sensors: Sequence[str]
    ) -> None:
        super().__init__()
        self.transforms = view_transforms(sensors)
        self.encoder = encoder
        self.head = projection("mlp", encoder.width, config.dim)
        self.temperature = config.temperature
        self.chance = math.log(2 * n - 1)

    def measure(self, windows: Tensor) -> Measures:
        """NT-Xent."""
        views = torch.cat([random_view(windows, self.transforms) for _ in range(2)])
        first, second = F.normalize(self.head(self.encoder(views)).float(), dim=1).chunk(2)
        logits, target = nt_xent_logits(first, second, self.temperature)
        with torch.no_grad():
            measures = {"top1": (logits.argmax(1) == target).float().mean()}
            measures |= geometry(first, second)
        return {"loss": F.cross_entropy(logits, target), **measures}


class Multitask(WindowMethod):
    """Eight heads, each of which tells whether its transformation was applied (Saeed et al. 2019).

    After arXiv 1907.11879. The windows of a batch take turns: an eighth is for each head, and
    half of that is transformed.
    """

    chance = math.log(2)

    def __init__(self, encoder: WindowEncoder, sensors: Sequence[str]) -> None:
        super().__init__()
        self.transforms = task_transforms(sensors)
        self.encoder = encoder
        self.heads = nn.ModuleList(perceptron(encoder.width, 256, 1) for _ in self.transforms)

    def measure(self, windows: Tensor) -> Measures:
        """Binary cross-entropy of each window's own head."""
        changed, task, applied = transformed(windows, self.transforms)
        features = self.encoder(changed)
        every = torch.cat([head(features) for head in self.heads], dim=1).float()
        logits = every.gather(1, task[:, None])[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits, applied)
        right = (logits > 0) == applied.bool()
        return {"loss": loss, "top1": right.float().mean()}


class CPC(WindowMethod):
    """The context of every step predicts the latent vectors of the next ones.

    The enhanced form of contrastive predictive coding (Haresamudram et al. 2023, arXiv
    2211.06173). The others to choose from are the latent vectors of the batch's other windows at
    the same step.
    """

    encoder: CausalConv1d

    def __init__(self, encoder: CausalConv1d, config: CPCConfig, n: int, samples: int) -> None:
        super().__init__()
        steps = encoder.steps(samples)
        if steps <= config.horizon:
            raise InputError(
                f"horizon must be less than {steps}, the steps in windows of {samples} samples, "
                f"not {config.horizon}"
            )
        self.encoder = encoder
        self.predictors = nn.ModuleList(
            nn.Linear(encoder.channels, encoder.channels) for _ in range(config.horizon)
        )
        self.chance = math.log(n)

    def measure(self, windows: Tensor) -> Measures:
        """InfoNCE over all steps and all futures."""
        latent, context = (part.permute(2, 0, 1) for part in self.encoder.sequences(windows))
        predicted = [
            predictor(context[:-ahead]) for ahead, predictor in enumerate(self.predictors, 1)
        ]
        return predictive_info_nce(predicted, latent)


def create_window_method(
    config: PretrainConfig,
    encoder: WindowEncoder,
    n: int,
    samples: int,
    sensors: Sequence[str] = ACCELEROMETER,
) -> Method:
    """The method that `config` names, around an encoder.

    Parameters
    ----------
    config
        Settings of the run.
    encoder
        Reads windows.
    n
        Windows of a batch that this process takes.
    samples
        Of each window.
    sensors
        Of the windows.

    Raises
    ------
    InputError
        If windows are too short.
    """
    encoder.require_length(samples)
    if isinstance(config.method, SimCLRConfig):
        return WindowSimCLR(encoder, config.method, n, sensors)
    if isinstance(config.method, MultitaskConfig):
        return Multitask(encoder, sensors)
    assert isinstance(config.method, CPCConfig) and isinstance(encoder, CausalConv1d)
    return CPC(encoder, config.method, n, samples)


def random_view(windows: Tensor, transforms: Sequence[Transform]) -> Tensor:
    """Windows each of which went through about half of the `transforms`."""
    generator = global_generator(windows.device)
    with torch.autocast(windows.device.type, enabled=False):
        for transform in transforms:
            gate = torch.rand(len(windows), 1, 1, device=windows.device) < 0.5
            windows = torch.where(gate, transform(windows, generator), windows)
    return windows


def transformed(windows: Tensor, transforms: Sequence[Transform]) -> tuple[Tensor, Tensor, Tensor]:
    """Every other eight windows, each changed by one of the eight `transforms`.

    Returns
    -------
    windows
        (n, 3 * sensors, samples).
    task
        (n,) int64, the head that is asked.
    applied
        (n,), 1 where its transformation was applied and 0 where not.
    """
    generator, count = global_generator(windows.device), len(transforms)
    number = torch.arange(len(windows), device=windows.device)
    changed = windows.clone()
    with torch.autocast(windows.device.type, enabled=False):
        for task, transform in enumerate(transforms):
            rows = slice(count + task, None, 2 * count)
            changed[rows] = transform(windows[rows], generator)
    return changed, number % count, (number // count % 2).float()


def predictive_info_nce(predicted: Sequence[Tensor], latent: Tensor) -> Measures:
    """How well predictions find their future among those of the other windows.

    Parameters
    ----------
    predicted
        From each step the next one, (steps − 1, n, channels), the one after it,
        (steps − 2, n, channels), and so on.
    latent
        (steps, n, channels).

    Returns
    -------
    dict
        ``loss``, the mean over windows, steps and futures that lie in the window, and ``top1``.
    """
    window = torch.arange(latent.shape[1], device=latent.device)
    losses, hits = [], []
    for ahead, query in enumerate(predicted, 1):
        logits = (query @ latent[ahead:].mT).float().flatten(0, 1)
        target = window.repeat(len(query))
        losses.append(F.cross_entropy(logits, target, reduction="none"))
        hits.append(logits.detach().argmax(1) == target)
    return {"loss": torch.cat(losses).mean(), "top1": torch.cat(hits).float().mean()}


def global_generator(device: torch.device) -> torch.Generator:
    """The generator that ``torch.manual_seed`` seeds on a device."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index]
    return torch.default_generator
