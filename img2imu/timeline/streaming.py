"""Live sensors, labelled window by window: the answers of a recording while it is being made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ..errors import InputError, listing
from ..fewshot import Img2ImuClassifier
from ..recordings.clocks import JointResampler
from ..recordings.resampling import UniformBlock
from ..recordings.sensors import ACCELEROMETER, as_sensors, axes_of
from ..recordings.windows import Framer, WindowConfig
from .smoothing import FixedLagSmoother, Smoother, chances


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
    unknown
        Whether the window is unlike all classes.
    """

    start: float
    label: Any
    confidence: float
    probabilities: NDArray[np.float32]
    unknown: bool


class WindowStream:
    """Cuts samples into windows as they come: those of :func:`~.recordings.iter_windows`.

    Windows do not depend on how the samples are handed over. One comes out with the sample that
    completes it: the first at its end, or, where the rate is changed, ten periods of the slower
    rate later, which is the reach of the low-pass; or with the first sample after a gap. The last
    ones come with :meth:`finish`.

    Several sensors may have a clock of their own each, see :class:`~.recordings.clocks
    .JointResampler`: a window comes out when all cover it.

    Memory is bounded. Samples are held until one could complete a window, which saves most of
    their cost.

    Parameters
    ----------
    config
        How windows are cut.
    rate
        Nominal rate of the samples in Hz; of several sensors one, or each one's by name.
    sensors
        Their names.

    Raises
    ------
    InputError
        If a rate is missing, not positive, or differs more than thousandfold from that of the
        windows.
    """

    def __init__(
        self,
        config: WindowConfig,
        rate: float | Mapping[str, float],
        sensors: Sequence[str] = ACCELEROMETER,
    ) -> None:
        self.config = config
        self.sensors = as_sensors(sensors)
        rates = _rate_of_each(rate, self.sensors)
        self._resampler = JointResampler(rates, config.sampling_rate, config.max_gap)
        self._begin()

    def push(
        self, time: ArrayLike, samples: ArrayLike, sensor: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Take the next sample, or several; return the windows they complete.

        Parameters
        ----------
        time
            Seconds, on one clock for all sensors: one number, or shape (n,).
        samples
            Acceleration in g, rotation in rad/s, magnetic field in uT. Of one `sensor`, shape (3,)
            or (n, 3); without that, of all, side by side, (3 * sensors,) or (n, 3 * sensors).
        sensor
            Whose samples these are.

        Returns
        -------
        windows : ndarray of shape (m, 3 * sensors, samples)
        start : ndarray of shape (m,)
            Seconds since the recording's first sample, of several sensors since all are there.

        Raises
        ------
        InputError
            If the shapes do not fit each other, there is no such sensor, or so many samples of one
            of several sensors come at once that the others' would be too late.
        """
        moments = np.atleast_1d(np.asarray(time, np.float64))
        values = np.atleast_2d(np.asarray(samples, np.float32))
        axes = axes_of(self.sensors, self.sensors if sensor is None else [sensor])
        if moments.ndim != 1 or values.shape != (len(moments), len(axes)):
            raise InputError(
                f"{moments.size} times need samples of shape ({moments.size}, {len(axes)}), "
                f"not {values.shape}"
            )
        numbers = axes[::3] // 3
        longest = self._resampler.longest_push
        if len(numbers) < len(self.sensors) and len(moments) > longest:
            raise InputError(
                f"{len(moments)} samples of {sensor} at once are too many: hand over at most "
                f"{longest} of each sensor in turn"
            )
        if len(numbers) > 1:  # A row counts whole or not at all.
            finite = np.isfinite(values).all(axis=1)
            moments, values = moments[finite], values[finite]
        answers = []
        for first in range(0, max(1, len(moments)), longest):
            rows = slice(first, first + longest)
            parts = [
                (number, moments[rows], values[rows, 3 * place : 3 * place + 3])
                for place, number in enumerate(numbers)
            ]
            answers.append(self._cut(self._resampler.push(parts)))
        windows, start = zip(*answers, strict=True)
        return np.concatenate(windows), np.concatenate(start)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """End the recording and return its last windows; the next push starts another."""
        windows = self._cut(self._resampler.finish())
        self._begin()
        return windows

    def _begin(self) -> None:
        self._segment, self._opening = -1, 0.0
        self._origin: float | None = None
        self._framer = self._new_framer()

    def _new_framer(self) -> Framer:
        return Framer(self.config.samples, self.config.stride, 3 * len(self.sensors))

    def _cut(
        self, blocks: Iterable[UniformBlock]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        rate, length, stride = self.config.sampling_rate, self.config.samples, self.config.stride
        windows = [np.empty((0, 3 * len(self.sensors), length), np.float32)]
        starts = [np.empty(0)]
        for block in blocks:
            if block.segment != self._segment:
                self._segment, self._opening = block.segment, block.start
                self._framer = self._new_framer()
            if self._origin is None:
                self._origin = block.start
            before = self._framer.emitted
            windows.append(self._framer.push(block.values, block.labels)[0])
            first_sample = np.arange(before, self._framer.emitted) * stride
            starts.append(self._opening - self._origin + first_sample / rate)
            # Half a sample before the next window's last one: those near the grid count as on it.
            last = self._framer.emitted * stride + length - 1
            self._resampler.due = self._opening + (last - 0.5) / rate
        return np.concatenate(windows), np.concatenate(starts)


def _rate_of_each(rate: float | Mapping[str, float], sensors: Sequence[str]) -> list[float]:
    if not isinstance(rate, Mapping):
        return [rate] * len(sensors)
    if set(rate) != set(sensors):
        raise InputError(f"rates are needed of {listing(sensors)}, not of {listing(list(rate))}")
    return [rate[name] for name in sensors]


class StreamingClassifier:
    """Labels the windows of live sensors, as :func:`~.predict.iter_predictions` does a file's.

    With a `lag`, each window's probabilities are those given all windows up to `lag` later ones
    (:mod:`.smoothing`), and its answer comes with the last of these.

    Samples may come at any irregular rate near the nominal one, of each sensor its own; they are
    resampled to the classifier's. Answers do not depend on whether they come one by one or in
    blocks, nor on which sensor's come first. :class:`WindowStream` says when an answer is due.

    Parameters
    ----------
    classifier
        A fitted one.
    rate
        Nominal rate of the sensor in Hz; of several sensors one, or each one's by name.
    overlap
        Share of a window that the next one repeats.
    max_gap
        Longest step of time in seconds that is bridged; by default half a second or five periods,
        whichever is longer. No window spans a longer one.
    lag
        Windows that an answer waits for; 0 smooths by what came before alone. None smooths nothing.
    keep
        Share of the windows of known classes that are not to be strange, as of
        :meth:`Img2ImuClassifier.strangest`. Smoothed, windows are unknown that lie among strange
        ones; else those that are strange.

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

    Several sensors, in whichever order they tell something:

    >>> stream = StreamingClassifier(classifier, {"accel": 100, "gyro": 104})  # doctest: +SKIP
    >>> for name, time, sample in events:  # doctest: +SKIP
    ...     answers = stream.push(time, sample, sensor=name)
    """

    def __init__(
        self,
        classifier: Img2ImuClassifier,
        rate: float | Mapping[str, float],
        overlap: float = 0.5,
        max_gap: float | None = None,
        lag: int | None = None,
        keep: float = 0.95,
    ) -> None:
        seconds = classifier.n_samples_ / classifier.sampling_rate
        config = WindowConfig(classifier.sampling_rate, seconds, overlap, max_gap=max_gap)
        self._stream = WindowStream(config, rate, classifier.sensors)
        self._classifier = classifier
        self._labels = classifier.classes_.tolist()
        self._strangest, self._keep = classifier.strangest(keep), keep
        self._smoothers: tuple[FixedLagSmoother, ...] = ()
        if lag is not None:
            smoother = Smoother.of(classifier, overlap)
            self._smoothers = smoother.online(lag), smoother.online_strange(lag)
        self._unanswered: deque[float] = deque()

    def push(
        self, time: ArrayLike, sample: ArrayLike, sensor: str | None = None
    ) -> list[Prediction]:
        """Take the next sample, or several; return the answers that are due.

        Parameters
        ----------
        time
            Seconds, on one clock for all sensors: one number, or shape (n,). Rows whose time does
            not rise are dropped, and so are those that come ten seconds later than another
            sensor's; a step back by more than `max_gap` starts anew, like a gap.
        sample
            Acceleration in g, rotation in rad/s, magnetic field in uT. Of one `sensor`, shape (3,)
            or (n, 3); without that, of all, side by side, (3 * sensors,) or (n, 3 * sensors). Rows
            that are not finite are dropped.
        sensor
            Whose sample it is.

        Raises
        ------
        InputError
            If the shapes do not fit each other, there is no such sensor, or so many samples of one
            of several sensors come at once that the others' would be too late.
        """
        return self._answer(*self._stream.push(time, sample, sensor))

    def finish(self) -> list[Prediction]:
        """End the recording and return its last answers; the next push starts another."""
        last = self._answer(*self._stream.finish())
        return last + self._predictions(*(each.finish() for each in self._smoothers))

    def _answer(self, windows: NDArray[np.float32], start: NDArray[np.float64]) -> list[Prediction]:
        if not len(windows):
            return []
        self._unanswered.extend(start.tolist())
        logits, strange = self._classifier.judge(windows)
        probability, flags = softmax(logits, axis=1), strange > self._strangest
        if not self._smoothers:
            return self._predictions(probability, np.column_stack([~flags, flags]))
        told = probability, chances(flags, self._keep)
        due = [
            [each for row in zip(start.tolist(), rows, strict=True) for each in one.push(*row)]
            for one, rows in zip(self._smoothers, told, strict=True)
        ]
        return self._predictions(*due)

    def _predictions(
        self,
        due: Iterable[NDArray[np.floating]] = (),
        known: Iterable[NDArray[np.floating]] = (),
    ) -> list[Prediction]:
        """The next answers, of windows in their order; `known` and not, each (2,)."""
        return [
            Prediction(
                self._unanswered.popleft(),
                self._labels[row.argmax()],
                float(row.max()),
                row.astype(np.float32, copy=False),
                bool(sides[1] > sides[0]),
            )
            for row, sides in zip(due, known, strict=True)
        ]
