"""Settings of a few-shot probe, and the presets that name good ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..convert import SpectrogramConfig, View, WaveformConfig, paper_grid
from ..errors import InputError
from ..models.config import DEFAULT_ENCODER, EncoderConfig

SHOTS = (1, 2, 5, 10, 20, 50)
"""Labelled windows per class of the paper's Fig. 7."""

ProbeName = Literal["logistic", "paper"]
PresetName = Literal["recommended", "fast", "paper"]


@dataclass(frozen=True)
class ProbeConfig:
    """A few-shot evaluation: what is drawn, what reads it, and how it is tested.

    Parameters
    ----------
    preset
        ``"recommended"``: five views of a window, read at the second stage. ``"fast"``: the same
        views, smaller, read at the first stage; 0.4 of the cost of one ResNet-18 pass on a
        96 × 128 picture. ``"paper"``: its single spectrogram, read at the last stage, nfft and
        noverlap searched.
    encoder
        The encoder; its `stages` are the candidates of the search.
    probes
        ``"logistic"``: L2 logistic regression on standardised features, solved to optimality;
        ``"paper"``: the paper's linear layer (§IV-A4).
    shots
        Labelled windows per class.
    folds
        Subject-disjoint folds; 60 % of the subjects train, 20 % validate, 20 % test.
    seeds
        Draws of the labelled windows in each fold.
    C
        Inverse strengths of the L2 penalty among which validation subjects choose.
    seed
        Of the folds.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    preset: PresetName = "recommended"
    encoder: EncoderConfig = DEFAULT_ENCODER
    probes: tuple[ProbeName, ...] = ("logistic",)
    shots: tuple[int, ...] = (10,)
    folds: int = 5
    seeds: int = 5
    C: tuple[float, ...] = (0.1,)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("probes", "shots", "C"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.preset not in PRESETS:
            raise InputError(f"unknown preset {self.preset!r}; known: {', '.join(PRESETS)}")
        unknown = set(self.probes) - {"logistic", "paper"}
        if unknown or not self.probes:
            raise InputError(f"probes must be among logistic and paper, not {self.probes}")
        if not self.shots or min(self.shots) < 1:
            raise InputError(f"shots must be at least 1, not {self.shots}")
        if self.folds < 3 or self.seeds < 1:
            raise InputError("at least 3 folds and 1 seed are needed")
        if not self.C or min(self.C) <= 0:
            raise InputError(f"C must be positive, not {self.C}")

    def drawings(self, sampling_rate: float, samples: int) -> list[tuple[View, ...]]:
        """Candidate sets of views for windows of `samples`; validation subjects choose one.

        The only one is empty for an encoder that reads the windows themselves.
        """
        if self.encoder.reads_windows:
            return [()]
        if self.preset == "paper":
            return [(cell,) for cell in paper_grid(sampling_rate, samples)]
        draw = fast_views if self.preset == "fast" else recommended_views
        return [draw(sampling_rate, samples)]


def recommended_views(
    sampling_rate: float, samples: int, width: int = 96, height: int = 72
) -> tuple[View, ...]:
    """Five pictures of a window: with gravity, spectrogram and trace; without it, both again.

    With gravity they keep amplitude (fixed decibels), sign and posture (±2 g); without it they
    show the pattern (normalised by axis, in short and in long frames) and small movements
    (±0.6 g). The long frame is the largest power of two that takes at most two thirds of the
    window, the short one a quarter of it: nfft 32 and 128 for 5 s at 50 Hz.
    """
    longest = 8
    while 2 * longest <= samples * 2 / 3:
        longest *= 2
    nfft = max(4, longest // 4)
    hop = max(1, longest // 64)
    short = SpectrogramConfig(sampling_rate, nfft, nfft - hop, width=width, height=height)
    hop = max(1, longest // 32)
    long = SpectrogramConfig(sampling_rate, longest, longest - hop, width=width, height=height)
    trace = WaveformConfig(sampling_rate, width=width, height=height)
    return (
        replace(short, normalize="fixed"),
        replace(short, detrend=True, dynamic_range=80.0),
        replace(long, detrend=True, dynamic_range=80.0),
        trace,
        replace(trace, low=-0.6, high=0.6, detrend=True),
    )


def fast_views(sampling_rate: float, samples: int) -> tuple[View, ...]:
    """:func:`recommended_views`, 64 wide and 48 high."""
    return recommended_views(sampling_rate, samples, 64, 48)


PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {"stages": (2,), "bands": 6},
    "fast": {"stages": (1,), "bands": 6},
    "paper": {"stages": (4,), "bands": 1},
}
"""Presets by name, and how each reads its encoder: the paper's pools the last layer over all."""
