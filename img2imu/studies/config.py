"""Settings of a study."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..errors import InputError
from ..fewshot import ProbeConfig
from ..settings import require, require_positive


@dataclass(frozen=True)
class StudyConfig:
    """What all cells of a study share.

    Parameters
    ----------
    probe
        Probes, shots, folds, seeds and penalties. Each row brings its own encoder.
    windows
        Windows of a data set at most; None takes all.
    balanced
        Whether they are drawn evenly over subjects and classes, or as they come.
    reference
        Row that the others are compared with.
    untouched
        Data sets that took no part in any choice; their mean is given by itself, too.
    device
        Where networks run; no result depends on it.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    probe: ProbeConfig = field(default_factory=ProbeConfig)
    windows: int | None = field(default=3000, metadata={"none": "all"})
    balanced: bool = True
    reference: str = "shipped"
    untouched: tuple[str, ...] = ()
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.windows is not None and self.windows < 1:
            raise InputError(f"windows must be at least 1, not {self.windows}")

    def shared(self) -> dict[str, Any]:
        """Settings of the probe without the encoder, which is the row's."""
        return {name: value for name, value in asdict(self.probe).items() if name != "encoder"}


@dataclass(frozen=True)
class ScaleConfig:
    """Which encoders learn from how much.

    Parameters
    ----------
    architectures
        Of timm, by name.
    hours
        Of the source's recordings that are learnt from; 0 leaves the weights random.
    methods
        Of ``img2imu pretrain``; none is shown labels.
    steps
        Of each training, on however many hours.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    architectures: tuple[str, ...] = ("resnet10t", "resnet18", "resnet34")
    hours: tuple[float, ...] = (0.0, 0.5, 2.0, 8.0)
    methods: tuple[str, ...] = ("moco",)
    steps: int = 1000

    def __post_init__(self) -> None:
        enough = bool(self.hours) and all(0 <= value < math.inf for value in self.hours)
        require(enough, f"hours must be at least 0 and finite, not {self.hours}")
        plain = bool(self.architectures) and all(
            re.fullmatch(r"\w+", n) for n in self.architectures
        )
        require(plain, f"architectures must be names of timm, not {self.architectures}")
        require_different("methods", self.methods)
        labelled = "supervised needs labels, and random does not learn: other methods are compared"
        require(not {"supervised", "random"} & set(self.methods), labelled)
        require_positive(self, "steps")


@dataclass(frozen=True)
class SelfsupConfig:
    """Which methods of pre-training are compared, and how each learns.

    Parameters
    ----------
    methods
        Of ``img2imu pretrain``, by name.
    encoder
        That all of them train.
    init
        Weights that all start from, a file or a name. Random ones where none are given.
    average
        Share of the initial weights in what is probed. Only where weights are given, and the
        encoder reads pictures.
    steps
        Of each training.
    scheme
        Learn from the other data sets, or within one from training subjects.
    within_folds
        Folds trained for, within a data set.
    runs
        Trainings of each, from other seeds.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    methods: tuple[str, ...] = ("moco", "simsiam", "simclr", "supervised")
    encoder: str = "resnet18"
    init: str | None = None
    average: float = 0.5
    steps: int = 500
    scheme: tuple[Literal["left-out", "within"], ...] = ("left-out",)
    within_folds: int = 2
    runs: int = 1

    def __post_init__(self) -> None:
        require_different("methods", self.methods)
        require_different("scheme", self.scheme)
        require("random" not in self.methods, "random is no method here: the row 'no training'")
        require(0 <= self.average < 1, f"average must lie in [0, 1), not {self.average}")
        for name in ("steps", "within_folds", "runs"):
            require_positive(self, name)


def require_different(name: str, values: tuple[str, ...]) -> None:
    """Raise :class:`InputError` if there are none, or one twice."""
    require(
        0 < len(values) == len(set(values)), f"{name} must be different, not {' '.join(values)}"
    )
