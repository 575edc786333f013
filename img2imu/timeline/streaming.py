"""A live sensor, labelled window by window: the answers of a recording while it is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..fewshot import Img2ImuClassifier
from ..recordings.resampling import Resampler, UniformBlock
from ..recordings.sensors import require_accelerometer
from ..recordings.windows import BLOCK, Framer, WindowConfig
from .smoothing import Smoother

HELD = 1024
"""Single samples kept at most before they are worked on together."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says about one window.

    Attributes
    ----------
    start
        Of the window, in seconds since the recording's first sample.
    label
        The likeliest class.
    confidence
        Its probability.
    probabilities
        Shape (classes,), float32, in the order of the classifier's `classes_`.
    """

    start: float
    label: Any
    confidence: float
    probabilities: NDArray[np.float32]


class WindowStream:
    """Cuts samples into windows as they come: those of :func:`~.recordings.iter_windows`.

    Windows do not depend on how the samples are handed over. One comes out with the sample that
    completes it: the first at its end, or, where the rate is changed, ten periods of the slower
    rate later, which is the reach of the low-pass; or with the first sample after a gap. The last
    ones come with :meth:`finish`.

    Memory is bounded. Single samples are held until one could complete a window, which saves most
    of their cost.

    Parameters
    ----------
    config
        How windows are cut.
    rate
        Nominal rate of the samples in Hz.

    Raises
    ------
    InputError
        If `rate` is not positive, or differs more than thousandfold from that of the windows.
    """

    def __init__(self, config: WindowConfig, rate: float) -> None:
        self.config = config
        self._resampler = Resampler(rate, config.sampling_rate, config.max_gap)
        self._time = np.empty(HELD)
        self._values = np.empty((HELD, 3), np.float32)
        self._held = 0
        self._begin()

    def push(
        self, time: ArrayLike, samples: ArrayLike
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Take the next sample, or several; return the windows they complete.

        Parameters
        ----------
        time
            Seconds on any clock: one number, or shape (n,).
        samples
            Acceleration in g, shape (3,) or (n, 3).

        Returns
        -------
        windows : ndarray of shape (m, 3, samples)
        start : ndarray of shape (m,)
            Seconds since the recording's first sample.

        Raises
        ------
        InputError
            If the shapes do not fit each other.
        """
        moments = np.atleast_1d(np.asarray(time, np.float64))
        values = np.atleast_2d(np.asarray(samples, np.float32))
        if moments.ndim != 1 or values.shape != (len(moments), 3):
            raise InputError(
                f"{moments.size} times need samples of shape ({moments.size}, 3), "
                f"not {values.shape}"
            )
        if len(moments) == 1 and self._can_wait(moments[0]):
            self._time[self._held], self._values[self._held] = moments[0], values[0]
            self._held += 1
            blocks = []
        else:
            blocks = self._hand_over()
            for first in range(0, len(moments), BLOCK):
                part = slice(first, first + BLOCK)
                blocks += self._resample(moments[part], values[part])
        if len(moments) > 1:
            self._last = np.nan  # it may hold gaps: the next sample does not wait
        elif np.isfinite(values).all():
            self._last = moments[0]
        return self._cut(blocks)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """End the recording and return its last windows; the next push starts another."""
        windows = self._cut(self._hand_over() + self._resampler.finish())
        self._begin()
        return windows

    def _begin(self) -> None:
        self._segment, self._opening = -1, 0.0
        self._origin: float | None = None
        self._framer = Framer(self.config.samples, self.config.stride)
        # Of the last finite single sample, and when the next window could be complete.
        self._last, self._due = np.nan, np.nan

    def _can_wait(self, time: float) -> bool:
        """Whether it is sure that nothing comes out with a sample at `time`; never if it is NaN."""
        follows = 0 < time - self._last <= self._resampler.max_gap
        return follows and time < self._due and self._held < len(self._time)

    def _hand_over(self) -> list[UniformBlock]:
        held, self._held = self._held, 0
        return self._resample(self._time[:held], self._values[:held]) if held else []

    def _resample(
        self, time: NDArray[np.float64], values: NDArray[np.float32]
    ) -> list[UniformBlock]:
        return self._resampler.push(time, values, np.zeros(len(time), np.intp))

    def _cut(
        self, blocks: Iterable[UniformBlock]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        rate, length, stride = self.config.sampling_rate, self.config.samples, self.config.stride
        windows = [np.empty((0, 3, length), np.float32)]
        starts = [np.empty(0)]
        for block in blocks:
            if block.segment != self._segment:
                self._segment, self._opening = block.segment, block.start
                self._framer = Framer(length, stride)
            if self._origin is None:
                self._origin = block.start
            before = self._framer.emitted
            windows.append(self._framer.push(block.values, block.labels)[0])
            first_sample = np.arange(before, self._framer.emitted) * stride
            starts.append(self._opening - self._origin + first_sample / rate)
            # Half a sample before the next window's last one: those near the grid count as on it.
            last = self._framer.emitted * stride + length - 1
            self._due = self._opening + (last - 0.5) / rate
        return np.concatenate(windows), np.concatenate(starts)


class StreamingClassifier:
    """Labels the windows of a live sensor, as :func:`~.predict.iter_predictions` does a file's.

    With a `lag`, each window's probabilities are those given all windows up to `lag` later ones
    (:mod:`.smoothing`), and its answer comes with the last of these.

    Samples may come at any irregular rate near the nominal one; they are resampled to the
    classifier's. Answers do not depend on whether they come one by one or in blocks.
    :class:`WindowStream` says when an answer is due.

    Parameters
    ----------
    classifier
        A fitted one.
    rate
        Nominal rate of the sensor in Hz.
    overlap
        Share of a window that the next one repeats.
    max_gap
        Longest step of time in seconds that is bridged; by default half a second or five periods,
        whichever is longer. No window spans a longer one.
    lag
        Windows that an answer waits for; 0 smooths by what came before alone. None smooths nothing.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> stream = StreamingClassifier(classifier, rate=100)  # doctest: +SKIP
    >>> for time, sample in sensor:  # doctest: +SKIP
    ...     for answer in stream.push(time, sample):
    ...         print(f"{answer.start:.1f} s {answer.label} {answer.confidence:.0%}")
    """

    def __init__(
        self,
        classifier: Img2ImuClassifier,
        rate: float,
        overlap: float = 0.5,
        max_gap: float | None = None,
        lag: int | None = None,
    ) -> None:
        require_accelerometer(classifier.sensors, "a stream")
        seconds = classifier.n_samples_ / classifier.sampling_rate
        config = WindowConfig(classifier.sampling_rate, seconds, overlap, max_gap=max_gap)
        self._stream = WindowStream(config, rate)
        self._classifier = classifier
        self._labels = classifier.classes_.tolist()
        self._smoother = None if lag is None else Smoother.of(classifier, overlap).online(lag)
        self._unanswered: deque[float] = deque()

    def push(self, time: ArrayLike, sample: ArrayLike) -> list[Prediction]:
        """Take the next sample, or several; return the answers that are due.

        Parameters
        ----------
        time
            Seconds on any clock: one number, or shape (n,). Rows whose time does not rise are
            dropped; a step back by more than `max_gap` starts anew, like a gap.
        sample
            Acceleration in g, shape (3,) or (n, 3). Rows that are not finite are dropped.

        Raises
        ------
        InputError
            If the shapes do not fit each other.
        """
        return self._answer(*self._stream.push(time, sample))

    def finish(self) -> list[Prediction]:
        """End the recording and return its last answers; the next push starts another."""
        last = self._answer(*self._stream.finish())
        return last + self._predictions(self._smoother.finish() if self._smoother else [])

    def _answer(self, windows: NDArray[np.float32], start: NDArray[np.float64]) -> list[Prediction]:
        if not len(windows):
            return []
        self._unanswered.extend(start.tolist())
        due = list(self._classifier.predict_proba(windows))
        if self._smoother is not None:
            rows = zip(start.tolist(), due, strict=True)
            due = [each for row in rows for each in self._smoother.push(*row)]
        return self._predictions(due)

    def _predictions(self, due: Iterable[NDArray[np.floating]]) -> list[Prediction]:
        """The next answers, of windows in their order."""
        return [
            Prediction(
                self._unanswered.popleft(),
                self._labels[row.argmax()],
                float(row.max()),
                row.astype(np.float32, copy=False),
            )
            for row in due
        ]
