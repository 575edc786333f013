"""Encoders of the signals themselves: the one-dimensional networks that ours is compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..errors import InputError
from .config import EncoderConfig
from .weights import read_state_dict

DROPOUT = 0.1

LARGEST_AXES = 300
"""Of an encoder in a file, for which one is made to compare with."""


class WindowEncoder(nn.Module, ABC):
    """Windows (n, axes, samples) to one vector each, (n, `width`).

    Axes are normalised at the door by the mean and deviation of the windows of pre-training,
    which lie in the encoder's file with its weights.

    Parameters
    ----------
    axes
        Of the windows, three for each sensor.

    Attributes
    ----------
    width : int
        Features of a window.
    shortest : int
        Samples that a window must have.
    """

    width: int
    shortest: int
    # An image encoder keeps some frequency bands of each stage; here there is neither.
    stages: tuple[int, ...] = ()
    bands = 1
    mean: Tensor
    deviation: Tensor

    def __init__(self, axes: int = 3) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(axes, 1))
        self.register_buffer("deviation", torch.ones(axes, 1))

    def normalise_by(self, mean: ArrayLike, deviation: ArrayLike) -> None:
        """Take the mean and the deviation of each axis, in its unit."""
        for buffer, values in ((self.mean, mean), (self.deviation, deviation)):
            buffer.copy_(torch.as_tensor(values)[:, None])

    def normalise_by_windows(self, windows: NDArray[np.float32]) -> None:
        """Take the mean and the deviation of each axis over windows (n, axes, samples)."""
        mean = windows.mean((0, 2), dtype=np.float64)
        deviation = windows.std((0, 2), dtype=np.float64)
        # An axis that never moves stays where it is.
        self.normalise_by(mean, np.where(deviation > 0, deviation, 1.0))

    @abstractmethod
    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""

    def stage_features(self, windows: Tensor) -> list[Tensor]:
        """The features of windows, as of the only stage there is."""
        return [self(windows)]

    def require_length(self, samples: int) -> None:
        """Raise :class:`InputError` if windows of `samples` are too short to be read."""
        if samples < self.shortest:
            raise InputError(
                f"windows of {samples} samples are too short for this encoder, which needs "
                f"{self.shortest}"
            )

    def normalised(self, windows: Tensor) -> Tensor:
        """Windows of mean 0 and deviation 1 on each axis; InputError if they cannot be read."""
        self.require_axes(windows)
        return (windows - self.mean) / self.deviation

    def require_axes(self, windows: Tensor) -> None:
        """Raise :class:`InputError` if windows are too short, or of other axes."""
        axes = len(self.mean)
        if windows.ndim != 3 or windows.shape[1] != axes:
            raise InputError(
                f"this encoder reads windows (n, {axes}, samples), not {tuple(windows.shape)}"
            )
        self.require_length(windows.shape[2])


class Conv1d(WindowEncoder):
    """Three convolutions along time and the maximum over time (Haresamudram et al. 2022).

    The network of the assessment study (arXiv 2202.12938), after that of Saeed et al. 2019:
    32, 64 and 96 filters of 24, 16 and 8 samples.
    """

    width = 96
    shortest = 24 + 16 + 8 - 2

    def __init__(self, axes: int = 3) -> None:
        super().__init__(axes)
        self.layers = _convolutions(axes)

    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""
        features: Tensor = self.layers(self.normalised(windows)).amax(2)
        return features


class LateConv1d(WindowEncoder):
    """A :class:`Conv1d` for each sensor, their features side by side: late fusion.

    What methods train that read each sensor by itself. Files of ``conv1d`` tell which of the two
    they hold.
    """

    shortest = Conv1d.shortest

    def __init__(self, axes: int = 3) -> None:
        super().__init__(axes)
        self.parts = nn.ModuleList(_convolutions(3) for _ in range(axes // 3))
        self.width = Conv1d.width * len(self.parts)

    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""
        self.require_axes(windows)
        each = [self.read(k, one) for k, one in enumerate(windows.split(3, dim=1))]
        return torch.cat(each, dim=1)

    def read(self, number: int, windows: Tensor) -> Tensor:
        """The features of one sensor's windows (n, 3, samples)."""
        return self.over_time(number, windows).amax(2)

    def over_time(self, number: int, windows: Tensor) -> Tensor:
        """What :meth:`read` takes the maximum of, (n, features, steps)."""
        axes = slice(3 * number, 3 * number + 3)
        normalised = (windows - self.mean[axes]) / self.deviation[axes]
        maps: Tensor = self.parts[number](normalised)
        return maps

    def only(self, numbers: Sequence[int]) -> LateConv1d:
        """The encoder of some sensors, which shares their weights."""
        axes = [3 * number + axis for number in numbers for axis in range(3)]
        some = LateConv1d(len(axes))
        some.normalise_by(self.mean[axes, 0], self.deviation[axes, 0])
        some.parts = nn.ModuleList(self.parts[number] for number in numbers)
        return some.to(self.mean.device).train(self.training)

    def of_sensor(self, number: int) -> Conv1d:
        """The encoder of one sensor by itself, which shares its weights."""
        alone, axes = Conv1d(3), slice(3 * number, 3 * number + 3)
        alone.normalise_by(self.mean[axes, 0], self.deviation[axes, 0])
        part = self.parts[number]
        assert isinstance(part, nn.Sequential)
        alone.layers = part
        return alone.to(self.mean.device).train(self.training)


def _convolutions(axes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, filters, kernel in ((axes, 32, 24), (32, 64, 16), (64, Conv1d.width, 8)):
        layers += [nn.Conv1d(channels, filters, kernel), nn.ReLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers)


class CausalConv1d(WindowEncoder):
    """The network of enhanced contrastive predictive coding (Haresamudram et al. 2023).

    After arXiv 2211.06173: strided convolutions make a latent vector every fourth sample, causal
    ones of growing kernels a context of each from those up to it. What is read is the mean and
    the deviation of the context over time.

    Notes
    -----
    Layers and channels are our choice, of the size of :class:`Conv1d`. A context is normalised
    step by step: a norm over time would let it see what comes.
    """

    channels = 96
    width = 2 * channels
    shortest = 10

    def __init__(self, axes: int = 3) -> None:
        super().__init__(axes)
        self.latent = nn.Sequential(
            nn.Conv1d(axes, 32, 4, stride=2),
            nn.ReLU(),
            nn.Conv1d(32, 64, 4, stride=2),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Conv1d(64, self.channels, 1),
        )
        self.context = nn.Sequential(*(CausalBlock(self.channels, k) for k in (2, 3, 4, 5)))

    def forward(self, windows: Tensor) -> Tensor:
        """The features of windows."""
        _, context = self.sequences(windows)
        return torch.cat([context.mean(2), context.std(2, correction=0)], dim=1)

    def sequences(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Latent vectors and their contexts, (n, channels, steps) each."""
        latent = self.latent(self.normalised(windows))
        return latent, self.context(latent)

    @staticmethod
    def steps(samples: int) -> int:
        """Latent vectors of windows of `samples`."""
        halved = (samples - 4) // 2 + 1
        return (halved - 4) // 2 + 1


class CausalBlock(nn.Module):
    """A convolution that sees no future, with a way around it; (n, channels, steps) both sides."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, kernel)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, steps: Tensor) -> Tensor:
        """The steps and what is learnt from those up to each."""
        past = F.pad(steps, (self.conv.kernel_size[0] - 1, 0))
        change = self.norm(self.conv(past).mT).mT
        return steps + self.dropout(change.relu())


ARCHITECTURES: dict[str, type[WindowEncoder]] = {"conv1d": Conv1d, "cpc1d": CausalConv1d}
"""By the names in :data:`~.config.WINDOW_ENCODERS`."""


def create_window_encoder(
    config: EncoderConfig, axes: int = 3, late: bool = False
) -> WindowEncoder:
    """Build an encoder of windows with so many axes, to be trained or, in evaluation mode, read.

    Parameters
    ----------
    config
        Name, seed, and the file of weights where there is one, which tells its own form.
    axes
        Of the windows, three for each sensor.
    late
        Whether ``conv1d`` is to be a network for each sensor, as none other can.

    Raises
    ------
    InputError
        If the checkpoint is missing, damaged, of something else or of other axes.
    """
    kind = LateConv1d if late else ARCHITECTURES[config.name]
    state = read_state_dict(Path(config.checkpoint)) if config.checkpoint else {}
    if state and config.name == "conv1d":
        kind = LateConv1d if any(name.startswith("parts.") for name in state) else Conv1d
    if late and kind is not LateConv1d:
        raise InputError(
            f"{config.checkpoint} reads all sensors of a window together, and each is to be read "
            "by itself"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = kind(axes)
    if config.checkpoint:
        has = {name: value.shape for name, value in state.items()}
        if has != _shapes(kind, axes):
            trained = has["mean"].numel() if "mean" in has else 0
            if 0 < trained <= LARGEST_AXES and has == _shapes(kind, trained):
                raise InputError(
                    f"{config.checkpoint} reads windows of {trained} axes, and these have {axes}"
                )
            raise InputError(f"{config.checkpoint} does not hold an encoder {config.name}")
        encoder.load_state_dict(state)
    return encoder


def _shapes(kind: type[WindowEncoder], axes: int) -> dict[str, torch.Size]:
    """Of the tensors in a file of that encoder."""
    with torch.device("meta"):  # whatever number of axes a file tells takes no memory
        tensors = kind(axes).state_dict()
    return {key: value.shape for key, value in tensors.items()}
