"""Settings of an encoder; imported without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError

WINDOW_ENCODERS = ("conv1d", "cpc1d")
"""Encoders that read the windows themselves, not pictures of them."""

TOKENS = "tokens/"
"""Stands before the name of a transformer that reads windows patch by patch, complete or not."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_STAGES, _BANDS = (1, 2), 6


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder, with which weights, read where.

    Parameters
    ----------
    name
        A timm architecture, with a tag for timm's own weights (``resnet18.tv_in1k``) or the
        toolkit's, or ``torchvision/NAME``; or one of :data:`WINDOW_ENCODERS`, which have weights
        by checkpoint only, and neither stages nor bands; or ``tokens/NAME``, a vision transformer
        of timm's that leaves missing samples out, and reads each row of patches whatever `bands`.
    pretrained
        Take the weights that the name stands for; timm or torchvision download theirs.
    checkpoint
        A file of weights instead: safetensors or a torch checkpoint, batch norm folded or live.
    seed
        Of the random weights, where neither is given.
    stages
        Stages read, side by side: 1 to 4 for a ResNet, blocks counted from 0 for a transformer;
        later ones are not even built.
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
    stages: tuple[int, ...] = _STAGES
    bands: int = _BANDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or min(self.stages) < 0 or len(set(self.stages)) != len(self.stages):
            raise InputError(f"stages must be different numbers from 0 up, not {self.stages}")
        if self.bands < 1:
            raise InputError(f"bands must be at least 1, not {self.bands}")
        if self.pretrained and self.checkpoint:
            raise InputError("give either pretrained or a checkpoint, not both")
        if self.reads_windows and self.pretrained:
            raise InputError(f"there are no weights by the name of {self.name}: give a checkpoint")
        if self.reads_windows and (self.stages, self.bands) != (_STAGES, _BANDS):
            raise InputError(f"{self.name} reads windows: it has neither stages nor bands")

    @property
    def reads_windows(self) -> bool:
        """Whether the encoder takes windows (n, 3 * sensors, samples) instead of pictures."""
        return self.name in WINDOW_ENCODERS

    @property
    def reads_tokens(self) -> bool:
        """Whether the encoder takes pictures of which parts are missing."""
        return self.name.startswith(TOKENS)


DEFAULT_ENCODER = EncoderConfig("resnet18.img2imu_in1k", pretrained=True)
"""The encoder that comes with the toolkit."""
