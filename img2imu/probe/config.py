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


@dataclass(frozen=True)
class ProbeConfig:
    """A few-shot evaluation: what is drawn, what reads it, and how it is tested.

    Parameters
    ----------
    preset
        ``"recommended"``: several views of a window, read at a middle stage. ``"paper"``: the
        paper's single spectrogram, read at the last stage, nfft and noverlap searched.
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

    preset: Literal["recommended", "paper"] = "recommended"
    encoder: EncoderConfig = DEFAULT_ENCODER
    probes: tuple[ProbeName, ...] = ("logistic",)
    shots: tuple[int, ...] = (10,)
    folds: int = 5
    seeds: int = 5
    C: tuple[float, ...] = (0.01,)
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
        """Candidate sets of views for windows of `samples`; validation subjects choose one."""
        if self.preset == "paper":
            return [(cell,) for cell in paper_grid(sampling_rate, samples)]
        return [recommended_views(sampling_rate, samples)]


def recommended_views(
    sampling_rate: float, samples: int, width: int = 96, height: int = 72
) -> tuple[View, ...]:
    """Seven pictures of a window: three time–frequency trade-offs, each with and without gravity.

    Fixed decibels keep the amplitude; detrended and normalised by axis they show the pattern; a
    waveform keeps the sign and the order in time. The longest frame is the largest power of two
    that takes at most two thirds of the window: nfft 32, 64 and 128 for 5 s at 50 Hz.
    """
    longest = 8
    while 2 * longest <= samples * 2 / 3:
        longest *= 2
    lengths = {longest // 4: longest // 64, longest // 2: longest // 32, longest: longest // 32}
    views: list[View] = []
    for nfft, hop in lengths.items():
        if nfft >= 4:
            base = SpectrogramConfig(
                sampling_rate, nfft, nfft - max(1, hop), width=width, height=height
            )
            views.append(replace(base, normalize="fixed"))
            views.append(replace(base, detrend=True, dynamic_range=80.0))
    return (*views, WaveformConfig(sampling_rate, width=width, height=height))


PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {"stages": (2,), "bands": 6},
    "paper": {"stages": (4,), "bands": 1},
}
"""Presets by name, and how each reads its encoder: the paper's pools the last layer over all."""
