"""Every hyper-parameter of pre-training in one place; imported without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ..errors import InputError
from ..models.config import TOKENS, WINDOW_ENCODERS, EncoderConfig
from ..settings import from_json, require, require_choice, require_positive, require_seed

Head = Literal["linear", "mlp", "mlp-bn"]
Schedule = Literal["constant", "cosine"]

LARGEST_DIM = 2**14
"""Of an embedding: layers between two of these take 1 GB."""

LARGEST_QUEUE = 2**28
"""Numbers in a queue, keys times dimension: 1 GiB for each stage."""

LARGEST_BANDS = 256
LARGEST_EPOCHS = 10**6
LARGEST_STEPS = 10**9
LARGEST_BATCH = 2**20


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
        _require_dim("dim", self.dim)
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
        _require_dim("dim", self.dim)
        _require_dim("hidden", self.hidden)


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
        _require_dim("dim", self.dim)
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
        _require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        _require_finite(self, "private", "orthogonality", "order", "margin")
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
        _require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        _require_finite(self, "alone", "orthogonality", "structure")


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
        _require_dim("dim", self.dim)
        require(self.dim % 2 == 0, f"dim must be even, not {self.dim}")
        require_positive(self, "temperature")
        require(0 < self.masked < 1, f"masked must lie between 0 and 1, not {self.masked}")
        require(0 <= self.align_from <= 1, f"align_from must lie in [0, 1], not {self.align_from}")
        _require_finite(self, "distribution", "contrast", "independence")


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
        _require_dim("dim", self.dim)
        require_positive(self, "temperature")
        _require_finite(self, "single")


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
        _require_within("decoder_depth", self.decoder_depth, 1, 64)
        _require_dim("decoder_dim", self.decoder_dim)
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


@dataclass(frozen=True)
class PretrainConfig:
    """One run of pre-training.

    Parameters
    ----------
    method
        What is learnt, with its own settings.
    policy
        Augmentations of images, by name; methods that learn from windows have their own.
    encoder
        Name of a timm architecture; conv1d or cpc1d for windows, which have neither stages nor
        bands.
    stages
        Stages that have a head and a loss of their own. The last alone is the usual way; one in
        the middle learns faster what it is read for (deeply supervised nets, Lee et al. 2015).
    bands
        Frequency bands in which a stage is averaged for its head.
    init
        Weights to start from: a name that timm or torchvision know (``resnet18.tv_in1k``), or a
        file. Stages that a file lacks start at random. Batch norm that it has folded into the
        convolutions is measured anew on images of the run.
    average
        Share of the initial weights in the encoder that is written. It keeps what training would
        forget (Wortsman et al. 2022, arXiv 2109.01903).
    neighbours
        Probability that a window's partner is the next one in time. Of methods that compare two
        pictures of a window: MoCo, SimSiam and SimCLR.
    pairs
        Share of the recordings of several sensors that are taken for simultaneous; of each other
        one only one sensor is seen. Of methods that read each sensor by itself.
    epochs
        Passes over the images.
    steps
        Of the whole training, instead of epochs.
    batch_size
        Images in a step, over all processes.
    optimizer
        What moves the weights: ``"adam"``, or ``"sgd"`` with Nesterov momentum 0.9.
    lr
        Learning rate of the optimiser at this batch size; nothing scales it.
    lr_schedule
        Course of the learning rate: ``"constant"``, or ``"cosine"``, down to 0 at the end.
    warmup_epochs
        Epochs over which the learning rate rises from 0.
    weight_decay
        Weight decay of convolutions and linear layers.
    held
        Images kept out of training, on which nearest neighbours are tested. Of windows whole
        subjects are kept out, unless it is 0.
    seed
        Seed of the initial weights, the order of the images and the augmentations.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    method: MethodConfig = field(default_factory=MoCoConfig)
    policy: str = "sensor-aware"
    encoder: str = "resnet18"
    stages: tuple[int, ...] = (4,)
    bands: int = 1
    init: str | None = None
    average: float = 0.0
    neighbours: float = 0.0
    pairs: float = 1.0
    epochs: int = 40
    steps: int | None = None
    batch_size: int = 256
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-6
    lr_schedule: Schedule = "constant"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    held: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        require(len(self.stages) > 0, "stages must name at least one stage")
        _require_within("bands", self.bands, 1, LARGEST_BANDS)
        _require_within("epochs", self.epochs, 1, LARGEST_EPOCHS)
        if self.steps is not None:
            _require_within("steps", self.steps, 1, LARGEST_STEPS)
        _require_within("batch_size", self.batch_size, 2, LARGEST_BATCH)
        require_choice("optimizer", self.optimizer, ("adam", "sgd"))
        require_positive(self, "lr")
        require_choice("lr_schedule", self.lr_schedule, ("constant", "cosine"))
        _require_finite(self, "warmup_epochs", "weight_decay")
        require(0 <= self.average < 1, f"average must lie in [0, 1), not {self.average}")
        require(
            not self.average or self.init is not None,
            "average needs init: weights to average with",
        )
        require(0 <= self.neighbours <= 1, f"neighbours must lie in [0, 1], not {self.neighbours}")
        two_pictures = isinstance(self.method, MoCoConfig | SimSiamConfig | SimCLRConfig)
        require(
            not self.neighbours or (two_pictures and not self.reads_windows),
            f"{self.method_name} with the encoder {self.encoder} takes no neighbours: it does not "
            "compare two pictures of a window",
        )
        require(0 <= self.pairs <= 1, f"pairs must lie in [0, 1], not {self.pairs}")
        require(
            self.pairs == 1 or isinstance(self.method, SensorMethodConfig),
            f"{self.method_name} takes no pairs: it reads all sensors of a window together",
        )
        require(self.held >= 0, f"held must not be negative, not {self.held}")
        require_seed(self.seed)
        if isinstance(self.method, MoCoConfig):
            require(
                self.method.queue >= self.batch_size,
                f"queue ({self.method.queue}) must be at least batch_size ({self.batch_size})",
            )
            require(
                self.batch_size % self.method.splits == 0,
                f"batch_size ({self.batch_size}) must be a multiple of splits "
                f"({self.method.splits})",
            )
        self._require_fitting_encoder()

    def _require_fitting_encoder(self) -> None:
        name = self.method_name
        on_images = isinstance(self.method, SimCLRConfig) and not self.reads_windows
        if isinstance(self.method, WindowMethodConfig) and not on_images:
            own = "cpc1d" if isinstance(self.method, CPCConfig) else "conv1d"
            require(
                self.encoder == own,
                f"{name} learns from windows, with the encoder {own}, not {self.encoder}",
            )
            require(self.policy == "none", f"{name} has augmentations of its own: no policy")
        elif isinstance(self.method, SensorMethodConfig):
            require(
                self.encoder != "cpc1d",
                f"{name} learns from pictures of each sensor, or from windows with the encoder "
                "conv1d, not cpc1d",
            )
            require(self.policy == "none", f"{name} has augmentations of its own: no policy")
            require(
                len(self.stages) == 1 or not isinstance(self.method, InfoMAEConfig),
                f"{name} reads one stage, not {len(self.stages)}",
            )
        elif isinstance(self.method, AIMConfig):
            require(
                not self.reads_windows,
                f"aim learns from pictures, with a vision transformer, not {self.encoder}",
            )
            require(self.policy == "none", "aim changes windows before they are drawn: no policy")
            require(self.bands == 1, "aim reads rows of patches: it has no bands")
            require(not self.average, "aim has no average with its initial weights")
        elif not isinstance(self.method, RandomConfig | SimCLRConfig):
            require(
                not self.reads_windows,
                f"{name} learns from images, which the encoder {self.encoder} does not read",
            )
        require(
            not self.reads_windows or (self.stages, self.bands) == ((4,), 1),
            f"the encoder {self.encoder} has neither stages nor bands",
        )

    @property
    def reads_windows(self) -> bool:
        """Whether the encoder takes windows, not images."""
        return self.encoder in WINDOW_ENCODERS

    @property
    def method_name(self) -> str:
        """As on the command line, such as ``moco``."""
        return next(name for name, kind in METHOD_CONFIGS.items() if type(self.method) is kind)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the method's name and settings under ``method``."""
        return {
            **asdict(self),
            "stages": list(self.stages),
            "method": {"name": self.method_name, **asdict(self.method)},
        }

    @classmethod
    def from_dict(cls, values: object, origin: str = "the settings") -> PretrainConfig:
        """The settings that :meth:`to_dict` wrote.

        Parameters
        ----------
        values
            What :func:`json.loads` gave.
        origin
            Where they come from, for the error.

        Raises
        ------
        InputError
            If a setting is missing, unknown, or of another type or range.
        """
        require(isinstance(values, Mapping), f"{origin} is damaged: it holds no settings")
        assert isinstance(values, Mapping)
        own = {**values}
        method = own.pop("method", None)
        name = method.get("name") if isinstance(method, Mapping) else None
        kind = METHOD_CONFIGS.get(name) if isinstance(name, str) else None
        require(kind is not None, f"{origin} is damaged: it names no method of pre-training")
        assert isinstance(method, Mapping) and kind is not None
        settings = {each: value for each, value in method.items() if each != "name"}
        shared = from_json(_unchecked(cls), own, origin)
        learnt = from_json(_unchecked(kind), settings, origin)
        try:
            return cls(method=kind(**vars(learnt)), **vars(shared))
        except InputError as error:
            raise InputError(f"{origin} is damaged: {error}") from None

    def differences(self, other: PretrainConfig) -> list[str]:
        """Names of the settings that differ, those of the method as ``method.NAME``."""
        ours, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        return sorted(
            name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
        )


def _unchecked(kind: type[Any]) -> type[Any]:
    """The plain fields of a settings class, all of which must be there, of any range.

    Ranges can be told only once all of them are together with those of the method.
    """
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind) if each.name != "method"]
    return make_dataclass(kind.__name__, [(name, hints[name]) for name in names])


def _require_dim(name: str, value: int) -> None:
    _require_within(name, value, 2, LARGEST_DIM)


def _require_finite(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(0 <= value < math.inf, f"{name} must not be negative, and finite, not {value}")


def _require_within(name: str, value: int, low: int, high: int) -> None:
    require(low <= value <= high, f"{name} must lie in [{low}, {high}], not {value}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


_SGD = PretrainConfig(
    stages=(2, 4),
    bands=6,
    policy="sensor-crops-soft",
    batch_size=128,
    optimizer="sgd",
    lr=0.06,
    lr_schedule="cosine",
    warmup_epochs=0.4,
    weight_decay=1e-4,
)
_MOCO = MoCoConfig(
    queue=8192, momentum=0.99, momentum_schedule="cosine", temperature=0.2, head="mlp", splits=1
)
_SENSOR = PretrainConfig(
    MultitaskConfig(), policy="none", encoder="conv1d", epochs=50, batch_size=256, lr=1e-3
)
_WINDOWS = PretrainConfig(
    SupervisedConfig(),
    policy="none",
    stages=(2,),
    bands=6,
    epochs=3,
    batch_size=64,
    lr=3e-4,
    lr_schedule="cosine",
    warmup_epochs=0.1,
    weight_decay=0.01,
)
_SIMCLR = replace(_SENSOR, method=SimCLRConfig(), batch_size=1024)
_INFOMAE = replace(_SENSOR, method=InfoMAEConfig(align_from=0.0), batch_size=64, lr=3e-4)
_MMBIND = replace(_SENSOR, method=MMBindConfig(), batch_size=128)
# At 1e-3 the embeddings of all windows become one before the contrasts tell them apart.
_FOCAL = replace(_SENSOR, method=FocalConfig(), epochs=4, batch_size=32, lr=3e-4, weight_decay=0.05)
_SEMICMT = replace(_FOCAL, method=SemiCMTConfig())
_AIM = PretrainConfig(
    AIMConfig(),
    policy="none",
    encoder="vit_tiny_patch16_224",
    stages=(3,),
    epochs=40,
    batch_size=64,
    lr=1e-3,
    lr_schedule="cosine",
    warmup_epochs=2,
    weight_decay=0.05,
)
_CPC = replace(_SENSOR, method=CPCConfig(), encoder="cpc1d", batch_size=64)

RECIPES: dict[str, dict[str, PretrainConfig]] = {
    # Paper §IV-A4; its eight GPUs gave batch norm over 32 images each. SimSiam is as published
    # with its method (100 epochs on ImageNet), and supervised weights were torchvision's.
    "paper": {
        "moco": PretrainConfig(),
        "simsiam": replace(
            _SGD,
            method=SimSiamConfig(),
            policy="moco-default",
            stages=(4,),
            bands=1,
            epochs=100,
            batch_size=256,
            lr=0.05,
            warmup_epochs=0,
        ),
        "simclr": _SIMCLR,
        "multitask": _SENSOR,
        "cpc": _CPC,
        "random": PretrainConfig(RandomConfig()),
    },
    "recommended": {
        "moco": replace(_SGD, method=_MOCO),
        "simsiam": replace(_SGD, method=SimSiamConfig(), lr=0.05),
        "supervised": replace(_SGD, method=SupervisedConfig(), lr=0.1),
        "simclr": _SIMCLR,
        "multitask": _SENSOR,
        "cpc": _CPC,
        "focal": _FOCAL,
        "semicmt": _SEMICMT,
        "infomae": _INFOMAE,
        "mmbind": _MMBIND,
        "aim": _AIM,
        "random": PretrainConfig(RandomConfig()),
    },
    # Image encoders on the pictures of windows. Batches of 64 are small for SimCLR, whose others
    # are those of the batch; larger ones would cost it more steps' time than the others have.
    "windows": {
        "supervised": _WINDOWS,
        "moco": replace(_WINDOWS, method=replace(_MOCO, queue=4096)),
        "simsiam": replace(_WINDOWS, method=SimSiamConfig()),
        "focal": replace(_WINDOWS, method=FocalConfig()),
        "semicmt": replace(_WINDOWS, method=SemiCMTConfig()),
        "infomae": replace(_WINDOWS, method=InfoMAEConfig()),
        "mmbind": replace(_WINDOWS, method=MMBindConfig()),
        "simclr": replace(_WINDOWS, method=SimCLRConfig(temperature=0.2)),
        "aim": _AIM,
    },
}
"""Settings by preset and method."""


def recipe_of_windows(method: str, encoder: str | None = None) -> PretrainConfig:
    """The recipe by which a method learns from windows files.

    Parameters
    ----------
    method
        A name among :data:`METHOD_CONFIGS`.
    encoder
        By name; None takes the method's usual one. SimCLR alone learns from windows as they are
        or from pictures of them, as the encoder reads.

    Raises
    ------
    InputError
        If there is no such method, or it does not fit the encoder.
    """
    presets = [RECIPES[name] for name in ("recommended", "windows")]
    recipes = [preset[method] for preset in presets if method in preset]
    if not recipes:
        known = sorted({name for preset in presets for name in preset})
        raise InputError(f"unknown method {method!r}; known: {', '.join(known)}")
    usual, of_pictures = recipes[0], recipes[-1]
    if encoder is None:
        return usual if isinstance(usual.method, WindowMethodConfig) else of_pictures
    return replace(usual if encoder in WINDOW_ENCODERS else of_pictures, encoder=encoder)


def start_of(read: EncoderConfig, init: str | None) -> EncoderConfig:
    """The encoder that training starts from, read as `read`; `init` as in the settings."""
    if init is None:
        return read
    if Path(init).is_file():
        return replace(read, checkpoint=init)
    tokens = TOKENS if read.reads_tokens else ""
    return replace(read, name=tokens + init, pretrained=True)
