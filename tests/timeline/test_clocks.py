"""Several live sensors, each with a clock of its own."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from img2imu import Img2ImuClassifier, StreamingClassifier
from img2imu.convert import SpectrogramConfig
from img2imu.errors import InputError
from img2imu.models import EncoderConfig
from img2imu.recordings import WindowConfig, open_source
from img2imu.recordings.resampling import default_max_gap
from img2imu.timeline import WindowStream, iter_predictions

from .contract import Contract
from .test_streaming import Recording, faulty
from .test_streaming import as_read as windows_of

BOTH = ("accel", "gyro")
RATES = {"accel": 50.0, "gyro": 104.0}


def as_read(time, values, rate, config):
    """Windows of both sensors by one clock, and their starts, as from a file."""
    return windows_of(time, values, rate, config, BOTH)


def collected(parts):
    windows, start = zip(*parts, strict=True)
    return np.concatenate(windows), np.concatenate(start)


def streamed(stream, events):
    """Windows and starts of (sensor, times, samples) in turn."""
    parts = [stream.push(time, samples, sensor) for sensor, time, samples in events]
    return collected([*parts, stream.finish()])


@dataclass
class Sent:
    """What a sensor sends: when, the time it tells, and samples."""

    when: np.ndarray
    time: np.ndarray
    values: np.ndarray


def interleaved(sensors, seed, delay=0.0, longest=1):
    """Samples of all sensors as they arrive, up to `delay` seconds late, in blocks of one sensor.

    Yields names, times and samples.
    """
    rng = np.random.default_rng(seed)
    arrival, names, rows = [], [], []
    for name, sent in sensors.items():
        late = sent.when + rng.uniform(0, delay, len(sent.when))
        arrival.append(np.maximum.accumulate(late))
        names += [name] * len(late)
        rows += range(len(late))
    order = np.argsort(np.concatenate(arrival), kind="stable")
    first = 0
    while first < len(order):
        name = names[order[first]]
        last = first + 1
        while last < min(len(order), first + longest) and names[order[last]] == name:
            last += 1
        part = [rows[place] for place in order[first:last]]
        yield name, sensors[name].time[part], sensors[name].values[part]
        first = last


def two_clocks(seed, seconds=30.0):
    """Sensors that begin at different times, with faults of their own, and a clock set back."""
    rng = np.random.default_rng(seed)
    sensors = {}
    for place, (name, rate) in enumerate(RATES.items()):
        when = 0.3 * place + np.arange(round(seconds * rate)) / rate
        when += rng.uniform(-0.2, 0.2, len(when)) / rate
        for middle in rng.uniform(0, seconds, 2):
            when = when[abs(when - middle) > rng.uniform(0.2, 0.5)]
        when = when[rng.random(len(when)) < 0.95]
        time = when - 1000 * (when > 0.6 * seconds)
        values = rng.normal((0, 0, 1), 0.3, (len(when), 3)).astype(np.float32)
        row = rng.integers(len(when) - 1, size=9)
        time[row[:3] + 1] = time[row[:3]]
        time[row[3:5]] -= 0.1
        time[row[5]] = np.nan
        values[row[6:], 1] = np.inf
        sensors[name] = Sent(when, time, values)
    return sensors


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("rates", [(50.0, 50.0), (40.0, 50.0), (104.0, 50.0)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_samples_of_one_clock_are_those_of_the_recording(rates, seed):
    config = WindowConfig(rates[1], seconds=1.0)
    time, accel = faulty(seed, rate=rates[0])
    values = np.concatenate([accel, faulty(seed + 100, rate=rates[0])[1]], axis=1)
    read = as_read(time, values, rates[0], config)
    assert len(read[0]) >= 5
    for cuts in (1, 97, 10_000):
        stream = WindowStream(config, rates[0], BOTH)
        blocks = [slice(first, first + cuts) for first in range(0, len(time), cuts)]
        parts = [stream.push(time[block], values[block]) for block in blocks]
        same(collected([*parts, stream.finish()]), read)


def by_sensor(time, values, rate):
    when = np.arange(len(time)) / rate
    parts = {name: values[:, 3 * place : 3 * place + 3] for place, name in enumerate(BOTH)}
    return {name: Sent(when, time, part) for name, part in parts.items()}


@pytest.mark.parametrize("seed", range(3))
def test_nor_does_it_matter_that_they_come_sensor_by_sensor(seed):
    config = WindowConfig(20.0, seconds=1.0)
    time, values = faulty(seed)
    finite = np.isfinite(values).all(axis=1)  # A sensor's row that is not is dropped alone.
    time, values = time[finite], np.concatenate([values, 3 * values], axis=1)[finite]
    events = interleaved(by_sensor(time, values, 50.0), seed, 1.0, 9)
    read = as_read(time, values, 50.0, config)
    assert len(read[0]) >= 5
    same(streamed(WindowStream(config, 50.0, BOTH), events), read)


def test_a_real_recording_with_a_gyroscope():
    source = open_source("exercise", sensors=BOTH)
    piece = next(iter(source.pieces()))
    config = WindowConfig(40.0)
    read = as_read(piece.time, piece.values, piece.rate, config)
    events = interleaved(by_sensor(piece.time, piece.values, piece.rate), 0, 0.1)
    assert len(read[0]) >= 5
    same(streamed(WindowStream(config, piece.rate, BOTH), events), read)


@pytest.mark.parametrize("sampling_rate", [50.0, 20.0])
@pytest.mark.parametrize("seed", range(4))
def test_how_samples_are_interleaved_does_not_matter(sampling_rate, seed):
    config = WindowConfig(sampling_rate, seconds=1.0)
    sensors = two_clocks(seed)
    expected = streamed(WindowStream(config, RATES, BOTH), interleaved(sensors, seed))
    assert len(expected[0]) >= 20
    for delay, longest in ((0.5, 1), (4.0, 50), (8.0, 300)):
        events = interleaved(sensors, seed + 1, delay, longest)
        same(streamed(WindowStream(config, RATES, BOTH), events), expected)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_windows_follow_from_the_contract(seed, silent):
    config = WindowConfig(40.0, seconds=1.0)
    events = list(interleaved(two_clocks(seed, 40.0), seed, 0.3))
    if silent:  # Longer than it is waited for; what was held back then comes all at once.
        late = [event for event in events[500:3500] if event[0] == "gyro"]
        kept = [event for event in events[500:3500] if event[0] == "accel"]
        events = events[:500] + kept + late + events[3500:]
    stream = WindowStream(config, RATES, BOTH)
    contract = Contract(
        *(RATES.values(), 40.0, [default_max_gap(rate) for rate in RATES.values()]),
        *(config.samples, config.stride),
    )
    found = []
    for number, (name, [time], [sample]) in enumerate(events):
        found += [(number, *pair) for pair in zip(*stream.push(time, sample, name), strict=True)]
        contract.push(BOTH.index(name), time, sample.astype(np.float64))
    found += [(len(events), *pair) for pair in zip(*stream.finish(), strict=True)]
    contract.finish()
    assert len(found) >= 20
    assert [number for number, _, _ in found] == [number for _, number, _ in contract.windows]
    for (_, window, start), (moment, _, values) in zip(found, contract.windows, strict=True):
        assert start == pytest.approx(moment, abs=1e-9)
        np.testing.assert_allclose(window, values, rtol=1e-5, atol=1e-5)


def test_each_sensor_is_drawn_at_the_same_moments():
    """A tone that both hear: what comes out is the tone at the windows' own times."""
    rng = np.random.default_rng(0)
    config = WindowConfig(50.0, seconds=2.0)

    def tone(time):
        return np.sin(2 * np.pi * 1.3 * time)[:, None] * [1, 2, 3]

    sensors = {}
    for name, first in (("accel", 7.013), ("gyro", 7.39)):
        time = first + np.arange(round(20 * RATES[name])) / RATES[name]
        time += rng.uniform(-0.2, 0.2, len(time)) / RATES[name]
        sensors[name] = Sent(time, time, tone(time))
    windows, start = streamed(WindowStream(config, RATES, BOTH), interleaved(sensors, 0))
    begin = sensors["gyro"].time[0]
    assert len(windows) == 18
    for window, moment in list(zip(windows, start, strict=True))[1:-1]:
        expected = tone(begin + moment + np.arange(config.samples) / 50).T
        np.testing.assert_allclose(window[:3], expected, atol=0.06)
        np.testing.assert_allclose(window[3:], expected, atol=0.06)


@pytest.mark.parametrize("sensors", [("accel",), BOTH], ids=str)
def test_a_window_may_be_longer_than_what_is_held(sensors):
    stream = WindowStream(WindowConfig(50.0, seconds=40.0, overlap=0.0), 50.0, sensors)
    due = [i for i in range(4100) for _ in stream.push(i / 50, np.ones(3 * len(sensors)))[0]]
    assert due == [1999, 3999]


@pytest.mark.parametrize("gap", BOTH)
def test_a_gap_in_one_is_a_gap_in_all(gap):
    config = WindowConfig(50.0, seconds=1.0, overlap=0)
    sensors = {}
    for name in BOTH:
        time = np.arange(0, 12, 1 / RATES[name])
        if name == gap:
            time = time[(time < 4.5) | (time > 5.7)]
        sensors[name] = Sent(time, time, np.ones((len(time), 3), np.float32))
    _, start = streamed(WindowStream(config, RATES, BOTH), interleaved(sensors, 0))
    again = sensors[gap].time[sensors[gap].time > 5][0]
    np.testing.assert_allclose(start, [0, 1, 2, 3, *(again + np.arange(6))])


def test_memory_stays_what_it_is_though_a_sensor_falls_silent():
    stream = WindowStream(WindowConfig(20.0, seconds=2.0), 50.0, BOTH)
    rng = np.random.default_rng(0)
    sizes, starts = [], []
    for i in range(12_000):
        starts += stream.push(i / 50, rng.normal(size=3), "accel")[1].tolist()
        if not 4000 <= i < 8000:
            starts += stream.push(i / 50, rng.normal(size=3), "gyro")[1].tolist()
        if i % 250 == 0:
            sizes.append(len(pickle.dumps(stream)))
    assert max(sizes) < 150_000
    assert max(sizes[16:]) <= max(sizes[:16]) + 20_000
    assert max(start for start in starts if start < 160) == pytest.approx(78, abs=1)
    assert min(start for start in starts if start > 100) == pytest.approx(160, abs=0.1)
    assert max(starts) > 236


def test_a_sensor_whose_clock_alone_is_set_back_is_there_again_after_a_while():
    stream = WindowStream(WindowConfig(50.0, seconds=1.0), 50.0, BOTH)
    starts = []
    for i in range(3000):
        starts += stream.push(i / 50, np.ones(3), "accel")[1].tolist()
        glitch = 1000 * (i == 1000)
        starts += stream.push(i / 50 - glitch, np.ones(3), "gyro")[1].tolist()
    before, after = ([s for s in starts if (s < 20) == early] for early in (True, False))
    assert max(before) == pytest.approx(19) and 30 < min(after) < 31 and max(after) > 58


def test_every_recording_begins_anew():
    config = WindowConfig(50.0, seconds=1.0)
    stream = WindowStream(config, RATES, BOTH)
    sensors = two_clocks(0)
    first = streamed(stream, interleaved(sensors, 0))
    second = streamed(
        stream, [(name, time - 1e4, part) for name, time, part in interleaved(sensors, 1)]
    )
    np.testing.assert_allclose(second[0], first[0], atol=1e-4)
    np.testing.assert_allclose(second[1], first[1], atol=1e-6)


@pytest.fixture(scope="module")
def classifier():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6, 250)).astype(np.float32)
    X[10:, 3:] *= 3
    views = [
        SpectrogramConfig(normalize="fixed", width=32, height=24, sensor=name) for name in BOTH
    ]
    encoder = EncoderConfig(stages=(1,), bands=2)
    fitted = Img2ImuClassifier(50.0, views, encoder, sensors=BOTH)
    return fitted.fit(X, ["calm"] * 10 + ["wild"] * 10)


def test_answers_are_those_of_the_recording(classifier):
    rng = np.random.default_rng(1)
    time, values = np.arange(1500) / 45, rng.normal(size=(1500, 6)).astype(np.float32)
    values[700:, 3:] *= 3
    stream = StreamingClassifier(classifier, 45.0, overlap=0.75)
    answers = []
    for moment, row in zip(time, values, strict=True):
        answers += stream.push(moment, row[3:], sensor="gyro")
        answers += stream.push(moment, row[:3], sensor="accel")
    answers += stream.finish()
    [batch] = iter_predictions(
        classifier, Recording(time, values, 45.0, sensors=BOTH), overlap=0.75
    )
    assert [answer.start for answer in answers] == batch.windows.start.tolist()
    assert [answer.label for answer in answers] == classifier.classes_[batch.code].tolist()
    for answer, probability in zip(answers, batch.probability, strict=True):
        np.testing.assert_allclose(answer.probabilities, probability, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, np.zeros(3)), r"need samples of shape \(1, 6\)"),
        ((0.0, np.zeros(6), "gyro"), r"need samples of shape \(1, 3\)"),
        ((0.0, np.zeros(3), "magn"), "no sensor 'magn'; there are: accel, gyro"),
        ((np.arange(501), np.zeros((501, 3)), "gyro"), "at most 500 of each sensor in turn"),
    ],
)
def test_what_cannot_be_taken_is_one_sentence(classifier, arguments, message):
    with pytest.raises(InputError, match=message):
        StreamingClassifier(classifier, 50.0).push(*arguments)


@pytest.mark.parametrize("rates", [{"accel": 50.0}, {"accel": 50.0, "magn": 50.0}], ids=str)
def test_rates_of_other_sensors_are_refused(classifier, rates):
    with pytest.raises(InputError, match="rates are needed of accel, gyro, not of accel"):
        StreamingClassifier(classifier, rates)
