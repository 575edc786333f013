"""Settings of a run of pre-training; imported without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any, Literal, get_type_hints

from ..errors import InputError
from ..models.config import WINDOW_ENCODERS
from ..settings import from_json, require, require_choice, require_positive, require_seed
from .method_config import (
    METHOD_CONFIGS,
    AIMConfig,
    CPCConfig,
    InfoMAEConfig,
    MethodConfig,
    MoCoConfig,
    RandomConfig,
    Schedule,
    SensorMethodConfig,
    SimCLRConfig,
    SimSiamConfig,
    WindowMethodConfig,
    require_finite,
    require_within,
)

LARGEST_BANDS = 256
LARGEST_EPOCHS = 10**6
LARGEST_STEPS = 10**9
LARGEST_BATCH = 2**20


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
        require_within("bands", self.bands, 1, LARGEST_BANDS)
        require_within("epochs", self.epochs, 1, LARGEST_EPOCHS)
        if self.steps is not None:
            require_within("steps", self.steps, 1, LARGEST_STEPS)
        require_within("batch_size", self.batch_size, 2, LARGEST_BATCH)
        require_choice("optimizer", self.optimizer, ("adam", "sgd"))
        require_positive(self, "lr")
        require_choice("lr_schedule", self.lr_schedule, ("constant", "cosine"))
        require_finite(self, "warmup_epochs", "weight_decay")
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


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
