"""Settings of an encoder; imported without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder, with which weights, read where.

    Parameters
    ----------
    name
        A timm architecture, with a tag for timm's own weights (``resnet18.tv_in1k``) or the
        toolkit's, or ``torchvision/NAME``.
    pretrained
        Take the weights that the name stands for; timm or torchvision download theirs.
    checkpoint
        A file of weights instead: safetensors or a torch checkpoint, batch norm folded or live.
    seed
        Of the random weights, where neither is given.
    stages
        Stages read, 1 to 4 for a ResNet; later ones are not even built.
    bands
        1 averages a feature map over time and frequency; more average it over time only, in so
        many frequency bands.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    name: str = "resnet18"
    pretrained: bool = False
    checkpoint: str | None = None
    seed: int = 0
    stages: tuple[int, ...] = (2,)
    bands: int = 6

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or min(self.stages) < 0 or len(set(self.stages)) != len(self.stages):
            raise InputError(f"stages must be different numbers from 0 up, not {self.stages}")
        if self.bands < 1:
            raise InputError(f"bands must be at least 1, not {self.bands}")
        if self.pretrained and self.checkpoint:
            raise InputError("give either pretrained or a checkpoint, not both")


DEFAULT_ENCODER = EncoderConfig("resnet18.img2imu_tin", pretrained=True, stages=(1,))
"""The encoder that comes with the toolkit, read at the stage that validation subjects chose."""
