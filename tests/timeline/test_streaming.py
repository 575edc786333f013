"""A live stream against the same samples read as a recording, however they are handed over."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from img2imu import Img2ImuClassifier, StreamingClassifier
from img2imu.convert import SpectrogramConfig
from img2imu.errors import InputError
from img2imu.models import EncoderConfig
from img2imu.recordings import Piece, RowReport, WindowConfig, iter_windows, open_source
from img2imu.timeline import WindowStream, iter_predictions
from img2imu.timeline.smoothing import DWELL, Chain, Smoother, chances, evidence, posterior

RATES = [(50.0, 50.0), (40.0, 50.0), (50.0, 20.0), (100.0, 50.0), (50.01, 50.0)]
"""Of the sensor, nominally, and of the windows."""


@dataclass
class Recording:
    """A recording in memory."""

    time: np.ndarray
    values: np.ndarray
    rate: float
    name: str = "memory"
    sensors: tuple[str, ...] = ("accel",)
    report: RowReport = field(default_factory=RowReport)

    def pieces(self) -> Iterator[Piece]:
        labels = np.full(len(self.time), "", object)
        yield Piece("s", "r", self.rate, self.time, self.values, labels, sensors=self.sensors)


def as_read(time, values, rate, config, sensors=("accel",)):
    """Windows and their starts, as from a file."""
    recording = Recording(time, values, rate, sensors=sensors)
    batches = list(iter_windows(recording, config, keep_unlabelled=True))
    nothing = np.empty((0, 3 * len(sensors), config.samples), np.float32)
    windows = [nothing] + [batch.X for batch in batches]
    return np.concatenate(windows), np.concatenate([[], *(batch.start for batch in batches)])


def streamed(stream, time, values, cuts):
    """Windows and their starts, handed over in blocks that begin and end at `cuts`."""
    parts = [stream.push(time[a:b], values[a:b]) for a, b in pairwise([0, *cuts, len(time)])]
    windows, start = zip(*parts, stream.finish(), strict=True)
    return np.concatenate(windows), np.concatenate(start)


def faulty(seed, samples=1500, rate=50.0):
    """A sensor that jitters, drops, repeats, steps back, pauses, starts anew and tells nonsense."""
    rng = np.random.default_rng(seed)
    step = rng.uniform(0.8, 1.2, samples) / rate
    for size, count in ((0.0, 5), (-0.05, 5), (0.45, 5), (0.8, 2), (30.0, 1), (-1000.0, 1)):
        step[rng.integers(samples, size=count)] = size
    time = np.cumsum(step)
    values = rng.normal((0, 0, 1), 0.3, (samples, 3)).astype(np.float32)
    values[rng.integers(samples, size=10), rng.integers(3, size=10)] = np.nan
    burst = rng.integers(samples - 40)
    values[burst : burst + 40] = np.inf
    time[rng.integers(samples, size=3)] = np.nan
    return time, values


@pytest.fixture(scope="module")
def real():
    """A real recording of which a tenth is left out: times and samples."""
    piece = next(iter(open_source("exercise").pieces()))
    kept = np.random.default_rng(0).random(len(piece)) < 0.9
    return piece.time[kept], piece.values[kept]


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("block", [1, 2, 97, 10_000])
def test_windows_are_those_of_the_recording(real, rates, block):
    time, values = real
    config = WindowConfig(rates[1])
    windows, start = as_read(time, values, rates[0], config)
    assert len(windows) >= 5
    cuts = range(block, len(time), block)
    got, got_start = streamed(WindowStream(config, rates[0]), time, values, cuts)
    np.testing.assert_array_equal(got, windows)
    np.testing.assert_array_equal(got_start, start)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rates", RATES, ids=str)
def test_faults_of_the_sensor_are_treated_alike(rates, seed):
    time, values = faulty(seed)
    config = WindowConfig(rates[1], seconds=1.0)
    windows, start = as_read(time, values, rates[0], config)
    assert len(windows) >= 10
    cuts = np.unique(np.random.default_rng(seed).integers(1, len(time), 400))
    for where in (range(1, len(time)), cuts):
        got, got_start = streamed(WindowStream(config, rates[0]), time, values, where)
        np.testing.assert_array_equal(got, windows)
        np.testing.assert_array_equal(got_start, start)


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_holding_samples_delays_no_window(rates, monkeypatch):
    time, values = faulty(1)
    config = WindowConfig(rates[1], seconds=1.0)
    holding = WindowStream(config, rates[0])
    eager = WindowStream(config, rates[0])
    monkeypatch.setattr(eager._resampler, "_may_wait", lambda until: False)
    rng = np.random.default_rng(2)
    row = 0
    while row < len(time):
        part = slice(row, row + rng.choice([1, 2, 9], p=[0.98, 0.01, 0.01]))
        row = part.stop
        np.testing.assert_array_equal(
            holding.push(time[part], values[part])[1], eager.push(time[part], values[part])[1]
        )


def test_a_window_comes_with_its_last_sample():
    config = WindowConfig(50.0, seconds=1.0, overlap=0.5)
    stream = WindowStream(config, 50.0)
    time = np.arange(200) / 50
    due = [i for i in range(200) for _ in stream.push(time[i], [0, 0, 1])[0]]
    assert due == [49, 74, 99, 124, 149, 174, 199]


def test_a_gap_after_a_block_is_seen_at_once():
    stream = WindowStream(WindowConfig(50.0, seconds=1.0), 100.0)
    stream.push(0.0, [0, 0, 1])
    # One window long, but the low-pass waits for more.
    windows, _ = stream.push(100 + np.arange(100) / 100, np.ones((100, 3)))
    assert len(windows) == 0
    windows, start = stream.push(0.01, [0, 0, 1])
    assert start == pytest.approx([100])


def test_memory_stays_what_it_is_over_a_long_stream():
    stream = WindowStream(WindowConfig(20.0, seconds=2.0), 50.0)
    rng = np.random.default_rng(0)
    sizes = []
    for i in range(20_000):
        pause = 3600 * (i // 5000)  # a gap now and then
        stream.push(i / 50 + pause, rng.normal(size=3))
        if i % 500 == 0:
            sizes.append(len(pickle.dumps(stream)))
    assert max(sizes) < 50_000
    assert max(sizes[20:]) <= max(sizes[:20]) + 64  # counters grow by digits


def test_every_recording_begins_anew(real):
    time, values = real
    config = WindowConfig()
    stream = WindowStream(config, 50.0)
    first = streamed(stream, time, values, [])
    second = streamed(stream, time[100:] - 1e6, values[100:], range(1, len(time) - 100))
    np.testing.assert_array_equal(first[0], as_read(time, values, 50.0, config)[0])
    expected = as_read(time[100:] - 1e6, values[100:], 50.0, config)
    np.testing.assert_array_equal(second[0], expected[0])
    np.testing.assert_array_equal(second[1], expected[1])
    assert second[1][0] == 0


@pytest.fixture(scope="module")
def classifier():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3, 250)).astype(np.float32)
    X[10:] *= 3
    view = SpectrogramConfig(normalize="fixed", width=32, height=24)
    encoder = EncoderConfig(stages=(1,), bands=2)
    people = np.arange(20) % 5
    return Img2ImuClassifier(50.0, [view], encoder).fit(X, ["calm"] * 10 + ["wild"] * 10, people)


def test_answers_are_those_of_the_recording(classifier, real):
    time, values = real
    stream = StreamingClassifier(classifier, rate=45.0, overlap=0.75)
    answers = [a for row in zip(time, values, strict=True) for a in stream.push(*row)]
    answers += stream.finish()
    [batch] = iter_predictions(classifier, Recording(time, values, 45.0), overlap=0.75)
    assert [answer.start for answer in answers] == batch.windows.start.tolist()
    assert [answer.label for answer in answers] == classifier.classes_[batch.code].tolist()
    for answer, probability in zip(answers, batch.probability, strict=True):
        np.testing.assert_allclose(answer.probabilities, probability, atol=1e-5)
        assert answer.confidence == answer.probabilities.max()
    assert {answer.label for answer in answers} <= {"calm", "wild"}


@pytest.mark.parametrize("lag", [0, 3])
def test_smoothed_answers_come_late_and_know_what_came_since(classifier, real, lag):
    time, values = real
    plain = StreamingClassifier(classifier, rate=50.0, overlap=0.75)
    own = plain.push(time, values) + plain.finish()
    stream = StreamingClassifier(classifier, rate=50.0, overlap=0.75, lag=lag)
    answers = [a for row in zip(time, values, strict=True) for a in stream.push(*row)]
    before = len(answers)
    answers += stream.finish()
    assert [a.start for a in answers] == [a.start for a in own]
    assert len(answers) - before >= lag
    online = Smoother.of(classifier, 0.75).online(lag)
    expected = [p for a in own for p in online.push(a.start, a.probabilities)] + online.finish()
    for answer, probability in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.probabilities, probability, atol=1e-4)
        assert answer.label == classifier.classes_[answer.probabilities.argmax()]
    # Another recording begins anew.
    assert [a.start for a in stream.push(time, values)] == [a.start for a in own][: before or None]


def test_what_is_strange_is_unknown(classifier, real, monkeypatch):
    """By itself, and as the whole recording tells where the lag waits for all of it."""
    time, values = real
    [batch] = iter_predictions(classifier, Recording(time, values, 50.0), overlap=0.75)
    usual = np.percentile(batch.strangeness, np.arange(101))
    monkeypatch.setattr(classifier, "strangeness_", usual)
    strange = batch.strangeness > classifier.strangest(0.5)
    assert 0 < strange.sum() < len(strange)
    plain = StreamingClassifier(classifier, rate=50.0, overlap=0.75, keep=0.5)
    answers = plain.push(time, values) + plain.finish()
    assert [answer.unknown for answer in answers] == strange.tolist()
    never = StreamingClassifier(classifier, rate=50.0, overlap=0.75, keep=1)
    assert not any(answer.unknown for answer in never.push(time, values) + never.finish())
    keep = 0.9
    flags = batch.strangeness > classifier.strangest(keep)
    given = evidence(chances(flags, keep), batch.windows.start, 1.25)
    expected = posterior(given, Chain.sticky(DWELL, [0.5, 0.5]))[:, 1] > 0.5
    stream = StreamingClassifier(classifier, rate=50.0, overlap=0.75, lag=len(flags), keep=keep)
    answers = stream.push(time, values) + stream.finish()
    assert [answer.unknown for answer in answers] == expected.tolist()


def test_the_longest_gap_can_be_set(classifier):
    time = np.arange(600) / 50
    time[240:] += 1.0
    values = np.random.default_rng(0).normal(size=(600, 3))

    def starts(max_gap):
        stream = StreamingClassifier(classifier, 50.0, overlap=0, max_gap=max_gap)
        return [answer.start for answer in stream.push(time, values) + stream.finish()]

    assert starts(None) == pytest.approx([5.8])
    assert starts(1.5) == pytest.approx([0, 5])


@pytest.mark.parametrize(
    ("time", "sample"),
    [(0.0, [1, 2]), (0.0, np.zeros((2, 3))), ([0, 1], np.zeros((3, 2))), ([[0]], np.zeros((1, 3)))],
)
def test_shapes_that_do_not_fit_are_one_sentence(classifier, time, sample):
    with pytest.raises(InputError, match="shape"):
        StreamingClassifier(classifier, 50.0).push(time, sample)


@pytest.mark.parametrize(
    "settings", [{"rate": 0}, {"rate": 50, "overlap": 1}, {"rate": 50, "max_gap": -1}], ids=str
)
def test_bad_settings_are_refused(classifier, settings):
    with pytest.raises(InputError):
        StreamingClassifier(classifier, **settings)
