"""Recordings on a timeline: runs, windows, envelopes and spectrograms against plain formulas."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.label import read_library
from img2imu.label.levels import FACTOR, Levels
from img2imu.label.recordings import frame
from img2imu.recordings import WindowConfig, make_windows

from .samples import RATE, Made, library_of, people


def broken(start=0.0):
    """A recording of 20 s, a silence of 7 s, 15 s, one of 5000 s, 12 s, and a step back of 3 s."""
    rng = np.random.default_rng(1)
    times, clock = [], start
    for seconds, silence in ((20, 7), (15, 5000), (12, -13), (10, 0)):
        count = round(seconds * RATE)
        times.append(clock + np.arange(count) / RATE)
        clock = times[-1][-1] + 1 / RATE + silence
    time = np.concatenate(times)
    return [("ann", "a.csv", time, rng.normal(size=(len(time), 3)))]


@pytest.mark.parametrize("overlap", [0.0, 0.5])
@pytest.mark.parametrize("start", [0.0, 12.5])
def test_windows_are_those_of_convert(overlap, start):
    recordings = [*broken(start), *people(2)]
    library = library_of(recordings, overlap=overlap)
    windows = make_windows(Made(recordings), WindowConfig(overlap=overlap), keep_unlabelled=True)
    assert len(library) == len(windows)
    np.testing.assert_array_equal(library.windows(range(len(library))), windows.X)
    assert library.subject.tolist() == windows.subject.tolist()
    # Labels files count from the clock of the file, windows from the recording's first sample.
    origin = np.where(windows.recording == "a.csv", start, 0)
    np.testing.assert_allclose(library.start, windows.start + origin, atol=1e-9)


def test_silences_are_short_and_steps_back_go_on():
    [recording] = library_of(broken(3.0)).recordings
    assert [run.at for run in recording.runs] == pytest.approx([0, 27, 47, 62])
    assert [run.start for run in recording.runs] == pytest.approx([3, 30, 5045, 5044])
    assert [run.windows for run in recording.runs] == [4, 3, 2, 2]
    assert np.all(np.diff(recording.shown) > 0)
    assert recording.shown[[0, 4, 7, 9]] == pytest.approx([0, 27, 47, 62])


def test_stretches_go_to_the_clock_and_back():
    [recording] = library_of(broken()).recordings
    np.testing.assert_allclose(recording.stretches(18, 30), [(18, 20), (27, 30)])
    assert recording.stretches(21, 26) == []
    np.testing.assert_allclose(recording.shown_stretches(18, 30), [(18, 20), (27, 30)])
    # What the clock has shown twice is shown twice.
    np.testing.assert_allclose(recording.shown_stretches(5042, 5043), [(47, 48), (63, 64)])


def test_a_date_is_that_of_the_wall():
    began = datetime(2025, 12, 3, 9, 30, tzinfo=UTC)
    [recording] = library_of(people(1), began).recordings
    assert recording.began == began
    local = datetime.fromisoformat("2025-12-03T09:30:00+05:00")
    [recording] = library_of(people(1), local).recordings
    assert recording.began == began


def test_different_sensors_are_refused():
    recordings = people(2)
    source = Made(recordings)
    pieces = list(source.pieces())

    def mixed():
        for piece in pieces:
            if piece.subject == "p1":
                values = np.concatenate([piece.values, piece.values], axis=1)
                yield replace(piece, sensors=("accel", "gyro"), values=values)
            else:
                yield piece

    source.pieces = mixed
    with pytest.raises(InputError, match="accel and gyro, others have accel"):
        read_library(source, WindowConfig())


@pytest.mark.parametrize("stretch", [(0, 57), (3.3, 9.7), (15, 30), (46.2, 48)])
@pytest.mark.parametrize("width", [1, 7, 300])
def test_envelopes_hold_every_sample(stretch, width):
    library = library_of(broken())
    [recording] = library.recordings
    begin, end = stretch
    drawn = recording.envelope(begin, end, width)
    edges = np.linspace(begin, end, drawn.shape[2] + 1)
    for column, (low, high) in enumerate(pairwise(edges)):
        held = [
            run.values[:, (at >= low + 0.02) & (at < high - 0.02)]
            for run in recording.runs
            for at in [run.at + np.arange(run.values.shape[1]) / RATE]
        ]
        values = np.concatenate(held, axis=1)
        if values.size:
            assert np.all(drawn[0, :, column] <= values.min(1))
            assert np.all(drawn[1, :, column] >= values.max(1))
    silent = recording.envelope(21, 26, 10)
    assert np.isnan(silent).all()


@pytest.mark.parametrize(("reduce", "plain"), [
    (np.minimum, np.min), (np.maximum, np.max), (np.add, np.mean)])  # fmt: skip
def test_levels_reduce_what_lies_between_edges(reduce, plain):
    values = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    levels = Levels(values, reduce)
    # Edges on multiples of the coarsest level that is taken make it exact.
    edges = np.arange(0, 1025, FACTOR**3).clip(0, 1000)
    exact = [plain(values[:, a:b], axis=1) for a, b in pairwise(edges)]
    np.testing.assert_allclose(levels.columns(edges), np.stack(exact, axis=1), rtol=1e-4, atol=1e-5)
    narrow = np.array([5, 5, 6, 6, 7])
    np.testing.assert_array_equal(levels.columns(narrow), values[:, [5, 5, 6, 6]])


def test_spectrograms_show_where_a_tone_is():
    time = np.arange(round(200 * RATE)) / RATE
    tone = np.where(time < 100, np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 15 * time))
    values = np.stack([tone, np.zeros_like(tone), np.ones_like(tone)], axis=1)
    [recording] = library_of([("a", "a", time, values)]).recordings
    nfft = frame(RATE)
    bins = (np.arange(nfft // 2) + 1) * RATE / nfft
    for begin, end in ((0, 200), (90, 110)):
        picture = recording.spectrogram(begin, end, 40)
        assert picture.shape == (1, 3, nfft // 2, 40)
        loudest = bins[picture[0, 0].argmax(0)]
        assert loudest[5] == pytest.approx(5, abs=1)
        assert loudest[35] == pytest.approx(15, abs=1)
        middle = begin + (end - begin) * (np.flatnonzero(loudest > 10)[0] + 0.5) / 40
        assert middle == pytest.approx(100, abs=(end - begin) / 40 + 1)
