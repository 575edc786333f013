"""Settings of each method of pre-training; imported without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..settings import require, require_choice, require_positive

Head = Literal["linear", "mlp", "mlp-bn"]
Schedule = Literal["constant", "cosine"]

LARGEST_DIM = 2**14
"""Of an embedding: layers between two of these take 1 GB."""

LARGEST_QUEUE = 2**28
"""Numbers in a queue, keys times dimension: 1 GiB for each stage."""


@dataclass(frozen=True)
class MoCoConfig:
    """Momentum contrast (He et al. 2020, arXiv 1911.05722).

    Parameters
    ----------
    dim
        Dimension of the embeddings that are compared.
    queue
        Keys of earlier batches that serve as negatives.
    momentum
        Share of itself that the key encoder keeps in a step.
    momentum_schedule
        Course of that momentum: ``"constant"``, or ``"cosine"``, up to 1 at the end of training.
    temperature
        Temperature of InfoNCE.
    head
        Projection behind the encoder: ``"linear"`` (version 1), ``"mlp"`` with one hidden layer
        (version 2), or ``"mlp-bn"`` with batch norm and a predictor behind the query's
        (version 3).
    splits
        Groups of the batch with batch-norm statistics of their own, over all processes, of which
        they are a multiple or a divisor. With more than one, the keys are shuffled over the
        groups: ShuffleBN. The heads' statistics are of the whole batch.
    """

    dim: int = 64
    queue: int = 4096
    momentum: float = 0.999
    momentum_schedule: Schedule = "constant"
    temperature: float = 0.07
    head: Head = "linear"
    splits: int = 8

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        most = LARGEST_QUEUE // self.dim
        require(
            1 <= self.queue <= most,
            f"queue must lie in [1, {most}] where dim is {self.dim}, not {self.queue}",
        )
        require(0 <= self.momentum <= 1, f"momentum must lie in [0, 1], not {self.momentum}")
        require_choice("momentum_schedule", self.momentum_schedule, ("constant", "cosine"))
        require_positive(self, "temperature")
        require_choice("head", self.head, ("linear", "mlp", "mlp-bn"))
        require(self.splits >= 1, f"splits must be at least 1, not {self.splits}")


@dataclass(frozen=True)
class SimSiamConfig:
    """SimSiam (Chen & He 2021, arXiv 2011.10566): two views, no negatives.

    Parameters
    ----------
    dim
        Dimension of the projection.
    hidden
        Units of the predictor's hidden layer.
    """

    dim: int = 2048
    hidden: int = 512

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require_dim("hidden", self.hidden)


@dataclass(frozen=True)
class SupervisedConfig:
    """Cross-entropy on the labels of the images.

    Parameters
    ----------
    smoothing
        Label smoothing.
    """

    smoothing: float = 0.1

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, f"smoothing must lie in [0, 1), not {self.smoothing}")


@dataclass(frozen=True)
class RandomConfig:
    """No training: the encoder as it is initialised, a row of every table."""


@dataclass(frozen=True)
class SimCLRConfig:
    """SimCLR, on images (Chen et al. 2020, 2002.05709) or windows (Tang et al. 2020, 2011.11542).

    Parameters
    ----------
    dim
        Dimension of the embeddings that are compared.
    temperature
        Temperature of NT-Xent.
    """

    dim: int = 64
    temperature: float = 0.1

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require_positive(self, "temperature")


@dataclass(frozen=True)
class MultitaskConfig:
    """Which of eight transformations a window went through (Saeed et al. 2019, 1907.11879)."""


@dataclass(frozen=True)
class CPCConfig:
    """Contrastive predictive coding, enhanced (Haresamudram et al. 2023, arXiv 2211.06173).

    Parameters
    ----------
    horizon
        Steps of four samples that are predicted from each step.
    """

    horizon: int = 12

    def __post_init__(self) -> None:
        require(self.horizon >= 1, f"horizon must be at least 1, not {self.horizon}")


@dataclass(frozen=True)
class FocalConfig:
    """Factorised contrastive learning over sensors (Liu et al. 2023, arXiv 2310.20071).

    Parameters
    ----------
    dim
        Dimension of a sensor's embedding, half of which is shared with the other sensors.
    temperature
        Temperature of the contrastive losses.
    private, orthogonality, order
        Weights of the losses beside that between sensors: between two views of one sensor, of the
        halves' independence, and of the order of distances over time.
    sequence
        Windows in a row of the same recording, whose distances are compared with others'.
    margin
        Of that comparison.
    """

    dim: int = 256
    temperature: float = 0.07
    private: float = 1.0
    orthogonality: float = 3.0
    order: float = 5.0
    sequence: int = 4
    margin: float = 1.0

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        require_finite(self, "private", "orthogonality", "order", "margin")
        require(self.sequence >= 2, f"sequence must be at least 2, not {self.sequence}")


@dataclass(frozen=True)
class SemiCMTConfig:
    """Transfer between sensors of which few windows have both (Chen et al. 2024, IMWUT 8(4), 198).

    Parameters
    ----------
    dim
        Dimension of a sensor's embedding, half of which is shared with the other sensors.
    temperature
        Temperature of the contrastive losses.
    alone, orthogonality, structure
        Weights of the losses beside that between sensors: between two views of one sensor, of the
        halves' independence, and of the agreement of similarities among windows.
    target
        Sensor of the device, which learns similarities from the others; without it each does from
        each.
    """

    dim: int = 256
    temperature: float = 0.07
    alone: float = 1.0
    orthogonality: float = 1.0
    structure: float = 10.0
    target: str | None = None

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        require_finite(self, "alone", "orthogonality", "structure")


@dataclass(frozen=True)
class InfoMAEConfig:
    """Masked autoencoders whose shared parts are aligned (Kimura et al. 2025, arXiv 2504.09707).

    Parameters
    ----------
    dim
        Dimension of a cell's embedding, half of which is shared with the other sensors.
    temperature
        Temperature of the contrastive loss.
    masked
        Share of a window that is hidden.
    align_from
        Share of the training after which pairs are aligned; before it each sensor is learnt by
        itself.
    distribution, contrast, independence
        Weights of the losses beside the reconstruction: of the distance between the shared parts'
        distributions, of finding the same window, of the correlation of shared and private parts.
    """

    dim: int = 128
    temperature: float = 0.2
    masked: float = 0.5
    align_from: float = 0.5
    distribution: float = 1.0
    contrast: float = 1.0
    independence: float = 1.0

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        require(0 < self.masked < 1, f"masked must lie between 0 and 1, not {self.masked}")
        require(0 <= self.align_from <= 1, f"align_from must lie in [0, 1], not {self.align_from}")
        require_finite(self, "distribution", "contrast", "independence")


@dataclass(frozen=True)
class MMBindConfig:
    """Contrast between sensors of bound windows (Ouyang et al. 2024, arXiv 2411.12126).

    Parameters
    ----------
    dim
        Dimension of the embeddings that are compared.
    temperature
        Temperature of the contrastive losses.
    single
        Weight of the loss between two views of one sensor beside that between sensors.
    """

    dim: int = 128
    temperature: float = 0.2
    single: float = 1.0

    def __post_init__(self) -> None:
        require_dim("dim", self.dim)
        require_positive(self, "temperature")
        require_finite(self, "single")


@dataclass(frozen=True)
class AIMConfig:
    """Adaptive and inherited masking (Xu et al. 2025, arXiv 2506.05321).

    Parameters
    ----------
    mask_random, mask_time, mask_sensors
        Shares of the tokens, of the columns of time, or of the sensors that are hidden, in each of
        the three ways of masking a window.
    dropped
        Share of all tokens that is left out of the sequence; others that are hidden or missing are
        masked in the attention.
    decoder_depth, decoder_dim
        Blocks of the decoder and their width, of which a head has 32.
    """

    mask_random: float = 0.8
    mask_time: float = 0.5
    mask_sensors: float = 0.5
    dropped: float = 0.5
    decoder_depth: int = 2
    decoder_dim: int = 96

    def __post_init__(self) -> None:
        for name in ("mask_random", "mask_time", "mask_sensors"):
            value = getattr(self, name)
            require(0 < value < 1, f"{name} must lie between 0 and 1, not {value}")
        require(0 <= self.dropped < 1, f"dropped must lie in [0, 1), not {self.dropped}")
        require_within("decoder_depth", self.decoder_depth, 1, 64)
        require_dim("decoder_dim", self.decoder_dim)
        require(
            self.decoder_dim % 32 == 0,
            f"decoder_dim must be a multiple of 32, not {self.decoder_dim}",
        )


WindowMethodConfig = SimCLRConfig | MultitaskConfig | CPCConfig
SensorMethodConfig = FocalConfig | SemiCMTConfig | InfoMAEConfig | MMBindConfig
MethodConfig = (
    MoCoConfig
    | SimSiamConfig
    | SupervisedConfig
    | WindowMethodConfig
    | SensorMethodConfig
    | AIMConfig
    | RandomConfig
)

METHOD_CONFIGS: dict[str, type[MethodConfig]] = {
    "moco": MoCoConfig,
    "simsiam": SimSiamConfig,
    "supervised": SupervisedConfig,
    "simclr": SimCLRConfig,
    "multitask": MultitaskConfig,
    "cpc": CPCConfig,
    "focal": FocalConfig,
    "semicmt": SemiCMTConfig,
    "infomae": InfoMAEConfig,
    "mmbind": MMBindConfig,
    "aim": AIMConfig,
    "random": RandomConfig,
}


def require_dim(name: str, value: int) -> None:
    require_within(name, value, 2, LARGEST_DIM)


def require_finite(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(0 <= value < math.inf, f"{name} must not be negative, and finite, not {value}")


def require_within(name: str, value: int, low: int, high: int) -> None:
    require(low <= value <= high, f"{name} must lie in [{low}, {high}], not {value}")
