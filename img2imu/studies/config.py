"""Settings of a study."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import InputError
from ..fewshot import ProbeConfig


@dataclass(frozen=True)
class StudyConfig:
    """What all cells of a study share.

    Parameters
    ----------
    probe
        Probes, shots, folds, seeds and penalties. Each row brings its own encoder.
    windows
        Windows of a data set at most, drawn evenly over subjects and classes; None takes all.
    reference
        Row that the others are compared with.
    device
        Where networks run; no result depends on it.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    probe: ProbeConfig = field(default_factory=ProbeConfig)
    windows: int | None = field(default=3000, metadata={"none": "all"})
    reference: str = "shipped"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.windows is not None and self.windows < 1:
            raise InputError(f"windows must be at least 1, not {self.windows}")

    def shared(self) -> dict[str, Any]:
        """Settings of the probe without the encoder, which is the row's."""
        return {name: value for name, value in asdict(self.probe).items() if name != "encoder"}
