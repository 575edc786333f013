"""Windows against a plain per-window loop over the samples that were put in."""

import json
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.types import Piece, RowReport
from img2imu.recordings.windows import (
    ChosenSource,
    Framer,
    Subjects,
    WindowConfig,
    WindowReport,
    Windows,
    iter_windows,
    make_windows,
)

RATE = 10.0


@dataclass
class Memory:
    """A source of pieces held in memory."""

    recordings: list[Piece]
    name: str = "memory"
    report: RowReport = field(default_factory=RowReport)

    def pieces(self):
        self.report = RowReport()
        for piece in self.recordings:
            self.report.rows += len(piece)
            self.report.used += len(piece)
            yield piece


def recording(labels, subject="ann", name="r1", time=None, rate=RATE, first=0.0):
    """A piece whose x is its sample's number, so that windows tell where they come from."""
    n = len(labels)
    time = first + np.arange(n) / rate if time is None else time
    values = np.stack([first * rate + np.arange(n), np.ones(n), np.zeros(n)], axis=1)
    return Piece(subject, name, rate, time, values.astype(np.float32), np.array(labels, object))


def config(**changes):
    return WindowConfig(**({"sampling_rate": RATE, "seconds": 2.0} | changes))


BEGAN = datetime.fromtimestamp(1.7e9, UTC)


def test_windows_know_the_date_where_the_recording_does():
    """Of a clock that begins at 5 s, with a gap: the date is that of the window's first sample."""
    time = 5 + np.concatenate([np.arange(60), 100 + np.arange(40)]) / RATE
    dated = replace(recording(["a"] * 100, time=time), began=BEGAN)
    undated = recording(["a"] * 40, name="r2")
    found = make_windows(Memory([dated, undated]), config(overlap=0.0))
    assert found.start.tolist() == [0, 2, 4, 10, 12, 0, 2]
    assert found.epoch[:5].tolist() == [1.7e9 + 5 + s for s in (0, 2, 4, 10, 12)]
    assert np.isnan(found.epoch[5:]).all()
    assert np.isnan(replace(found, epoch=None).epoch).all()


def test_a_recording_in_pieces_has_one_date():
    whole = replace(recording(["a"] * 100), began=BEGAN)
    parts = [replace(recording(["a"] * 50, first=float(first)), began=BEGAN) for first in (0, 5)]
    one, other = (make_windows(Memory(pieces), config()) for pieces in ([whole], parts))
    np.testing.assert_array_equal(one.epoch, other.epoch)


def test_the_recordings_of_some_subjects():
    people = [recording(["a"] * 40, subject, f"{subject}.csv") for subject in ("ann", "ben", "cem")]
    source = ChosenSource(Memory(people), Subjects(without=("ben",)))
    assert make_windows(source, config()).subjects == ["ann", "cem"]
    assert source.report.rows == 120
    with pytest.raises(InputError, match="no subject 'dan' in memory; there are: ann, ben, cem"):
        make_windows(ChosenSource(Memory(people), Subjects(("ann", "dan"))), config())


@given(
    runs=st.lists(st.tuples(st.sampled_from("ab") | st.just(""), st.integers(1, 30)), max_size=8),
    gaps=st.lists(st.integers(0, 120), max_size=3),
    samples=st.integers(2, 25),
    overlap=st.floats(0, 0.95),
    share=st.sampled_from([0.0, 0.5, 0.9]),
)
@settings(deadline=None)
def test_windows_are_those_of_a_plain_loop(runs, gaps, samples, overlap, share):
    labels = [label for label, length in runs for _ in range(length)]
    gaps = {gap for gap in gaps if 0 < gap < len(labels)}
    step = [100.0 if i in gaps else 1 / RATE for i in range(len(labels))]
    piece = recording(labels, time=np.cumsum(step))
    settings_ = config(seconds=samples / RATE, overlap=overlap, min_label_share=share)

    expected, dropped, lost = [], Counter(), 0
    bounds = [0, *sorted(gaps), len(labels)]
    for a, b in pairwise(bounds):
        starts = range(a, b - samples + 1, settings_.stride)
        lost += b - a if not starts else 0
        for start in starts:
            counts = Counter(labels[start : start + samples])
            label, count = counts.most_common(1)[0]
            tie = list(counts.values()).count(count) > 1
            if tie or count <= share * samples:
                dropped["mixed labels"] += 1
            elif not label:
                dropped["no label"] += 1
            else:
                expected.append((start, label))
    report = WindowReport()
    batches = list(iter_windows(Memory([piece]), settings_, report=report))

    assert report.dropped == dropped
    assert report.samples.dropped["segment shorter than a window"] == lost
    assert report.samples.used + report.samples.dropped.total() == len(labels)
    assert report.kept.total() == len(expected)
    if expected:
        windows = Windows.concatenate(batches)
        first = windows.X[:, 0, 0].astype(int)
        assert first.tolist() == [start for start, _ in expected]
        np.testing.assert_array_equal(windows.X[:, 0], first[:, None] + np.arange(samples))
        assert windows.y.tolist() == [label for _, label in expected]
        np.testing.assert_allclose(windows.start, piece.time[first] - piece.time[0], atol=1e-9)


@given(cuts=st.lists(st.integers(1, 299), max_size=6), overlap=st.sampled_from([0, 0.5, 0.9]))
@settings(deadline=None)
def test_pieces_of_one_recording_continue_each_other(cuts, overlap):
    whole = recording(["a"] * 200 + ["b"] * 100, rate=20.0)
    bounds = [0, *sorted(set(cuts)), 300]
    parts = [
        Piece("ann", "r1", 20.0, whole.time[a:b], whole.values[a:b], whole.labels[a:b])
        for a, b in pairwise(bounds)
    ]
    one = make_windows(Memory([whole]), config(overlap=overlap))
    other = make_windows(Memory(parts), config(overlap=overlap))
    for name in ("X", "y", "subject", "recording", "start"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_no_window_spans_two_recordings_or_subjects():
    source = Memory(
        [
            recording(["a"] * 30, "ann", "r1"),
            recording(["a"] * 30, "ann", "r2", first=3.0),
            recording(["a"] * 30, "bob", "r2", first=6.0),
        ]
    )
    windows = make_windows(source, config())
    assert list(zip(windows.subject, windows.recording, windows.X[:, 0, 0], strict=True)) == [
        ("ann", "r1", 0), ("ann", "r1", 10),
        ("ann", "r2", 30), ("ann", "r2", 40),
        ("bob", "r2", 60), ("bob", "r2", 70),
    ]  # fmt: skip
    assert windows.start.tolist() == [0, 1, 0, 1, 0, 1]
    assert windows.subjects == ["ann", "bob"]


def test_recordings_of_several_rates_become_windows_of_one():
    source = Memory(
        [
            recording(["a"] * 400, name="slow", rate=20),
            recording(["a"] * 2000, name="fast", rate=100),
        ]
    )
    windows = make_windows(source, WindowConfig(sampling_rate=50, seconds=2, overlap=0))
    assert Counter(windows.recording.tolist()) == {"slow": 10, "fast": 10}
    assert windows.X.shape == (20, 3, 100)
    np.testing.assert_array_equal(windows.X[:, 1], 1)


def test_only_the_classes_asked_for():
    source = Memory([recording(["a"] * 40 + ["b"] * 40 + ["c"] * 40)])
    report = WindowReport()
    windows = make_windows(source, config(overlap=0), classes=["a", "c"], report=report)
    assert windows.y.tolist() == ["a", "a", "c", "c"]
    assert report.dropped == {"class not asked for": 2}
    with pytest.raises(InputError, match=r"no class 'd'; its classes are: a, b, c"):
        make_windows(source, config(), classes=["a", "d"])


def test_unlabelled_and_mixed_windows_can_be_kept():
    source = Memory([recording([""] * 20 + ["a"] * 30 + ["b"] * 10)])
    windows = make_windows(source, config(overlap=0), keep_unlabelled=True)
    assert windows.y.tolist() == ["", "a", ""]
    assert windows.classes == ["a"]
    with pytest.raises(
        InputError, match=r"no window of 2 s from 20 samples \(dropped: no label: 1"
    ):
        make_windows(Memory([recording([""] * 20)]), config())


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_draw_per_class_is_random_in_order_and_seeded(limit):
    source = Memory([recording((["a"] * 300 + ["b"] * 100) * 3, name=str(i)) for i in range(4)])
    everything = make_windows(source, config(overlap=0.9))
    report = WindowReport()
    settings_ = {"max_per_class": limit, "seed": 3, "report": report}
    some = make_windows(source, config(overlap=0.9), **settings_)
    counts = Counter(everything.y.tolist())
    assert Counter(some.y.tolist()) == {label: min(n, limit) for label, n in counts.items()}
    assert report.kept.total() + report.dropped["beyond max_per_class"] == len(everything)
    order = {
        key: i for i, key in enumerate(zip(everything.recording, everything.start, strict=True))
    }
    places = [order[key] for key in zip(some.recording, some.start, strict=True)]
    assert places == sorted(set(places))
    again = make_windows(source, config(overlap=0.9), max_per_class=limit, seed=3)
    np.testing.assert_array_equal(some.X, again.X)
    if limit == 7:
        other = make_windows(source, config(overlap=0.9), max_per_class=limit, seed=4)
        assert not np.array_equal(some.start, other.start)


def test_every_window_is_as_likely_to_be_drawn():
    source = Memory([recording(["a"] * 120)])
    drawn = Counter()
    for seed in range(400):
        windows = make_windows(source, config(overlap=0), max_per_class=2, seed=seed)
        drawn.update(windows.start.tolist())
    assert len(drawn) == 6
    assert all(abs(count - 400 * 2 / 6) < 50 for count in drawn.values())


def test_a_long_recording_takes_little_memory():
    def pieces():
        for i in range(100):
            yield recording(["a"] * 10_000, first=i * 1000.0)

    source = Memory(pieces())
    tracemalloc.start()
    count = sum(len(batch) for batch in iter_windows(source, config()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1 + (1_000_000 - 20) // 10
    assert peak < 10e6  # all windows are 24 MB


def test_the_report_is_json_and_adds_up():
    labels = np.array(["a"] * 60, object)
    piece = recording(labels)
    piece.values[5] = np.nan
    piece.time[30:] += 100
    piece.time[40] = piece.time[39]
    report = WindowReport()
    make_windows(Memory([piece]), config(), report=report)
    assert json.loads(json.dumps(report.to_dict())) == {
        "reading": {"files": [], "doubts": []},
        "rows": {"rows": 60, "used": 60, "dropped": {}},
        "samples": {
            "samples": 60,
            "used": 58,
            "dropped": {"not finite": 1, "repeated time": 1},
            "segments": 2,
            "gaps": 1,
            "clock_resets": 0,
        },
        "windows": {"kept": 4, "by_label": {"a": 4}, "dropped": {}},
    }


@given(
    n=st.integers(0, 80),
    samples=st.integers(1, 12),
    stride=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 80), max_size=5),
)
def test_framer_counts_as_the_formula_says(n, samples, stride, cuts):
    framer = Framer(samples, min(stride, samples))
    values = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    bounds = [0, *sorted(min(cut, n) for cut in cuts), n]
    parts = [framer.push(values[a:b], np.arange(a, b)) for a, b in pairwise(bounds)]
    X, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert len(X) == framer.emitted == max(0, 1 + (n - samples) // framer.stride)
    for i, (window, own) in enumerate(zip(X, labels, strict=True)):
        first = i * framer.stride
        np.testing.assert_array_equal(window, values[first : first + samples].T)
        np.testing.assert_array_equal(own, np.arange(first, first + samples))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"sampling_rate": 0}, "sampling_rate"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": 0.1}, "two samples"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": -0.1}, "overlap"),
        ({"min_label_share": 1.0}, "min_label_share"),
        ({"max_gap": 0.0}, "max_gap"),
    ],
)
def test_settings_out_of_range_are_refused(change, word):
    with pytest.raises(InputError, match=word):
        config(**change)


def test_samples_and_stride():
    assert (WindowConfig().samples, WindowConfig().stride) == (250, 125)
    assert WindowConfig(seconds=2.56).samples == 128
    assert WindowConfig(overlap=0).stride == 250
    assert WindowConfig(overlap=0.999).stride == 1


def test_select_and_shapes():
    windows = make_windows(Memory([recording(["a"] * 40 + ["b"] * 40)]), config(overlap=0))
    assert windows.select(windows.y == "b").start.tolist() == [4, 6]
    assert windows.select(np.array([2, 0])).start.tolist() == [4, 0]
    with pytest.raises(InputError, match="y has shape"):
        Windows(windows.X, windows.y[:1], windows.subject, windows.recording, windows.start, RATE)
    with pytest.raises(InputError, match="X must have shape"):
        Windows(windows.X[:, :2], *[windows.y] * 3, windows.start, RATE)
