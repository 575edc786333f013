"""Settings of fine-tuning; imported without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..augment import (
    HueConfig,
    JitterConfig,
    PermuteXConfig,
    SensorAwareConfig,
    TranslateXConfig,
)
from ..convert import SpectrogramConfig, View
from ..errors import InputError
from ..models.config import DEFAULT_ENCODER, EncoderConfig
from ..probe.config import PRESETS, ProbeConfig

GENTLE = SensorAwareConfig(
    translate_x=TranslateXConfig((-0.1, 0.1), "edge", p=0.5),
    permute_x=PermuteXConfig(p=0),
    hue=HueConfig((-0.05, 0.05), p=0.5),
    jitter=JitterConfig((0.0, 0.05), p=0.5),
)
"""A policy under which a picture stays what the probe has learnt. Those of pre-training change it
so much that the probe itself no longer knows it."""


@dataclass(frozen=True)
class FinetuneConfig:
    """Train an encoder further, from the probe's head on, and test it beside the probe.

    Parameters
    ----------
    preset
        ``"recommended"`` and ``"fast"``: the probe's views; ``"paper"``: the paper's picture, with
        nfft 64 and noverlap 60.
    encoder
        Where training starts; all its `stages` are read.
    C
        Inverse strength of the L2 penalty of the probe.
    stages_trained
        How many of the last stages learn, beside the head; None trains all.
    lr
        Learning rate of the head and of the last stage, at its highest.
    decay
        Factor of the learning rate from each stage to the one before it.
    policy
        Augmentations of the pictures: ``"gentle"``, or one of pre-training's sensor-aware ones by
        name; None leaves the pictures as they are.
    rotate
        Largest angle in degrees by which the sensor is turned; 0 turns it off.
    scale
        Deviation of each axis' gain from 1; 0 turns it off.
    shift
        Largest shift along time, as a part of the window; 0 turns it off.
    epochs
        At most so many.
    patience
        Epochs without a better macro-F1 on validation subjects after which training ends.
    steps
        Least steps of an epoch: few windows are gone through several times.
    batch_size
        Windows in a step.
    shots
        Labelled windows per class of the evaluation; None takes all.
    folds
        Subject-disjoint folds; 60 % of the subjects train, 20 % validate, 20 % test.
    seeds
        Draws of the labelled windows in each fold.
    seed
        Of the folds.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    preset: Literal["recommended", "fast", "paper"] = "recommended"
    encoder: EncoderConfig = DEFAULT_ENCODER
    C: float = 0.1
    stages_trained: int | None = 1
    lr: float = 3e-5
    decay: float = 0.5
    policy: str | None = "gentle"
    rotate: float = 15.0
    scale: float = 0.1
    shift: float = 0.1
    epochs: int = 10
    patience: int = 5
    steps: int = 4
    batch_size: int = 32
    shots: tuple[int | None, ...] = (10,)
    folds: int = 5
    seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shots", tuple(self.shots))
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; known: {', '.join(PRESETS)}")
        for name in ("C", "lr", "epochs", "patience", "steps", "batch_size", "seeds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, not {getattr(self, name)}")
        if self.stages_trained is not None and self.stages_trained < 1:
            raise InputError(f"stages_trained must be at least 1, not {self.stages_trained}")
        if not 0 < self.decay <= 1:
            raise InputError(f"decay must be above 0 and at most 1, not {self.decay}")
        if not (0 <= self.rotate <= 180 and 0 <= self.scale < 1 and 0 <= self.shift <= 1):
            raise InputError("rotate must lie in [0, 180], scale in [0, 1) and shift in [0, 1]")
        if not self.shots or any(k is not None and k < 1 for k in self.shots):
            raise InputError(f"shots must be at least 1, or all, not {self.shots}")
        if self.folds < 3:
            raise InputError(f"at least 3 folds are needed, not {self.folds}")

    def views(self, sampling_rate: float, samples: int) -> tuple[View, ...]:
        """What is drawn of windows of `samples`."""
        if self.preset == "paper":
            return (SpectrogramConfig(sampling_rate),)
        return ProbeConfig(self.preset, self.encoder).drawings(sampling_rate, samples)[0]
