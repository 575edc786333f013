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
    method
        Neither needs labels.
    steps
        Of each training, on however many hours.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    architectures: tuple[str, ...] = ("resnet10t", "resnet18", "resnet34")
    hours: tuple[float, ...] = (0.0, 0.5, 2.0, 8.0)
    method: Literal["moco", "simsiam"] = "moco"
    steps: int = 1000

    def __post_init__(self) -> None:
        enough = bool(self.hours) and all(0 <= value < math.inf for value in self.hours)
        require(enough, f"hours must be at least 0 and finite, not {self.hours}")
        plain = bool(self.architectures) and all(
            re.fullmatch(r"\w+", n) for n in self.architectures
        )
        require(plain, f"architectures must be names of timm, not {self.architectures}")
        require_positive(self, "steps")
