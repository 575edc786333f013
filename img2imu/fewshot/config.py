"""Settings of few-shot learning: what is read and how it is tested, and how a network is tuned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..augment import (
    HueConfig,
    JitterConfig,
    PermuteXConfig,
    SensorAwareConfig,
    TranslateXConfig,
)
from ..convert import VIEW_PRESETS, SpectrogramConfig, View, token_views
from ..errors import InputError
from ..models import DEFAULT_ENCODER, EncoderConfig
from ..recordings.sensors import ACCELEROMETER
from ..settings import require, require_choice, require_positive, require_seed

SHOTS = (1, 2, 5, 10, 20, 50)
"""Labelled windows per class of the paper's Fig. 7."""

LARGEST_BATCH = 2**16
"""Windows in a step of fine-tuning, whose pictures lie in memory at once."""

PresetName = Literal["recommended", "fast", "paper"]

READINGS: dict[str, dict[str, Any]] = {
    "recommended": {"stages": (1, 2), "bands": 6},
    "fast": {"stages": (1,), "bands": 6},
    "paper": {"stages": (4,), "bands": 1},
}
"""How each preset of views reads its encoder: the paper's pools the last layer over all."""

GENTLE = SensorAwareConfig(
    translate_x=TranslateXConfig((-0.1, 0.1), "edge", p=0.5),
    permute_x=PermuteXConfig(p=0),
    hue=HueConfig((-0.05, 0.05), p=0.5),
    jitter=JitterConfig((0.0, 0.05), p=0.5),
)
"""A policy under which a picture stays what the probe has learnt. Those of pre-training change it
so much that the probe itself no longer knows it."""

WARMUP = 0.1
"""Part of fine-tuning over which the learning rate rises."""


@dataclass(frozen=True)
class ProbeConfig:
    """A few-shot evaluation: what is drawn, what reads it, and how it is tested.

    Parameters
    ----------
    preset
        ``"recommended"``: five views of a window, read at the first two stages. ``"fast"``: the
        same views, smaller, read at the first stage; 0.4 of the cost of one ResNet-18 pass on a
        96 × 128 picture. ``"paper"``: its single spectrogram, read at the last stage, nfft and
        noverlap searched.
    encoder
        The encoder, all its `stages` read together.
    probes
        What learns from the labels. ``"logistic"``: L2 logistic regression on standardised
        features, solved to optimality; ``"paper"``: the paper's linear layer (§IV-A4); ``"knn"``:
        the nearest labelled windows by the cosine of standardised features.
    shots
        Labelled windows per class; None is all of them, drawn once in each fold.
    folds
        Subject-disjoint folds; 60 % of the subjects train, 20 % validate, 20 % test.
    seeds
        Draws of the labelled windows in each fold.
    C
        Inverse strengths of the L2 penalty among which validation subjects choose.
    seed
        Start of all that is random: the folds, and each draw with what is learnt from it.
    views
        What is drawn instead of the preset's views.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    preset: PresetName = "recommended"
    encoder: EncoderConfig = DEFAULT_ENCODER
    probes: tuple[Literal["logistic", "paper", "knn"], ...] = ("logistic",)
    shots: tuple[int | None, ...] = field(default=(10,), metadata={"none": "all"})
    folds: int = 5
    seeds: int = 5
    C: tuple[float, ...] = (0.1,)
    seed: int = 0
    views: tuple[View, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("probes", "shots", "C"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        require_choice("preset", self.preset, tuple(READINGS))
        unknown = set(self.probes) - {"logistic", "paper", "knn"}
        if unknown or not self.probes:
            raise InputError(f"probes must be among logistic, paper and knn, not {self.probes}")
        enough = all(k is None or k >= 1 for k in self.shots)
        require(bool(self.shots) and enough, f"shots must be at least 1, not {self.shots}")
        require(self.folds >= 3, f"at least 3 folds are needed, not {self.folds}")
        require(1 <= self.seeds <= 10_000, f"seeds must lie in [1, 10000], not {self.seeds}")
        positive = all(0 < C < math.inf for C in self.C)
        require(bool(self.C) and positive, f"C must be positive and finite, not {self.C}")
        require_seed(self.seed)

    def drawings(
        self, sampling_rate: float, samples: int, sensors: Sequence[str] = ACCELEROMETER
    ) -> list[tuple[View, ...]]:
        """Candidate sets of views for windows of `samples`; validation subjects choose one.

        The only one is empty for an encoder that reads the windows themselves.
        """
        if self.encoder.reads_windows:
            return [()]
        if self.encoder.reads_tokens:
            return [token_views(sampling_rate, samples, sensors)]
        if self.views is not None:
            return [self.views]
        return VIEW_PRESETS[self.preset](sampling_rate, samples, sensors)

    def drawing(
        self, sampling_rate: float, samples: int, sensors: Sequence[str] = ACCELEROMETER
    ) -> tuple[View, ...]:
        """The one set of views that a network is tuned on: of the paper's grid, nfft 64, hop 4."""
        drawings = self.drawings(sampling_rate, samples, sensors)
        if len(drawings) == 1:
            return drawings[0]
        return tuple(SpectrogramConfig(sampling_rate, sensor=sensor) for sensor in sensors)


@dataclass(frozen=True)
class FinetuneConfig:
    """How an encoder is trained further, from the head of its probe on.

    Parameters
    ----------
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
        At most so many epochs.
    patience
        Epochs without a better macro-F1 on validation subjects after which training ends; the
        tenth of all over which the learning rate rises must be shorter.
    steps
        Least steps of an epoch: few windows are gone through several times.
    batch_size
        Windows in a step.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    stages_trained: int | None = field(default=1, metadata={"none": "all"})
    lr: float = 3e-5
    decay: float = 0.5
    policy: str | None = field(default="gentle", metadata={"none": "none"})
    rotate: float = 15.0
    scale: float = 0.1
    shift: float = 0.1
    epochs: int = 10
    patience: int = 5
    steps: int = 4
    batch_size: int = 32

    def __post_init__(self) -> None:
        require_positive(self, "lr", "epochs", "patience", "steps", "batch_size")
        require(
            self.batch_size <= LARGEST_BATCH,
            f"batch_size must be at most {LARGEST_BATCH}, not {self.batch_size}",
        )
        if self.stages_trained is not None:
            require(
                self.stages_trained >= 1,
                f"stages_trained must be at least 1, not {self.stages_trained}",
            )
        require(0 < self.decay <= 1, f"decay must be above 0 and at most 1, not {self.decay}")
        require(
            0 <= self.rotate <= 180 and 0 <= self.scale < 1 and 0 <= self.shift <= 1,
            "rotate must lie in [0, 180], scale in [0, 1) and shift in [0, 1]",
        )
        # While the learning rate rises nothing is better than the start: patience would end there.
        require(
            self.patience > WARMUP * self.epochs or self.patience >= self.epochs,
            f"patience ({self.patience}) must be longer than the {WARMUP:.0%} of the epochs "
            f"({self.epochs}) over which the learning rate rises",
        )
