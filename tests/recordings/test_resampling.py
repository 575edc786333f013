"""The streaming resampler against SciPy, formulas, and itself under other cuts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from img2imu.errors import InputError
from img2imu.recordings.resampling import Resampler, default_max_gap

RATES = [(20, 50), (100, 50), (64, 50), (50, 50), (10, 50), (33.3, 50), (50, 20), (800, 50)]


def resample(time, values, labels, rate_in, rate_out, cuts=(), **options):
    """Run the resampler over pieces that end at `cuts`; one (start, values, labels) per segment."""
    resampler = Resampler(rate_in, rate_out, **options)
    bounds = [0, *sorted(cuts), len(time)]
    blocks = []
    for a, b in pairwise(bounds):
        blocks += resampler.push(time[a:b], values[a:b], labels[a:b])
    blocks += resampler.finish()
    segments = []
    for number in sorted({block.segment for block in blocks}):
        own = [block for block in blocks if block.segment == number]
        values, labels = (
            np.concatenate([getattr(b, n) for b in own]) for n in ("values", "labels")
        )
        segments.append((own[0].start, values, labels, sum(b.rows for b in own)))
    return segments, resampler.report


def steady(n, rate, seed=0):
    values = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return np.arange(n) / rate, values, np.arange(n)


@st.composite
def messy(draw):
    """A recording with jitter, gaps, repeats, steps back and values that are not finite."""
    n = draw(st.integers(0, 120))
    step = st.sampled_from([0.05, 0.05, 0.05, 0.0504, 0.02, 0.11, 0.0, -0.05, -0.3, 2.0, -40.0])
    time = 1e5 + np.cumsum(np.array(draw(st.lists(step, min_size=n, max_size=n)), dtype=float))
    values = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    for row in draw(st.lists(st.integers(0, max(n - 1, 0)), max_size=4 if n else 0)):
        values[row, row % 3] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    if n and draw(st.booleans()):
        time[draw(st.integers(0, n - 1))] = np.nan
    cuts = draw(st.lists(st.integers(0, n), max_size=12))
    return time, values, np.arange(n) // 7, cuts


@given(messy(), st.sampled_from([(20, 50), (20, 20), (20, 8)]))
@settings(deadline=None)
def test_the_cuts_between_pieces_leave_no_trace(recording, rates):
    time, values, labels, cuts = recording
    whole, report = resample(time, values, labels, *rates)
    parts, report_of_parts = resample(time, values, labels, *rates, cuts)
    assert report == report_of_parts
    assert len(whole) == len(parts)
    for one, other in zip(whole, parts, strict=True):
        assert one[0] == other[0] and one[3] == other[3]
        np.testing.assert_array_equal(one[1], other[1])
        np.testing.assert_array_equal(one[2], other[2])


@given(messy())
@settings(deadline=None)
def test_every_sample_is_used_or_dropped_for_a_reason(recording):
    time, values, labels, cuts = recording
    segments, report = resample(time, values, labels, 20, 50, cuts)
    assert report.samples == len(time) == report.used + report.dropped.total()
    finite = np.isfinite(time) & np.isfinite(values).all(axis=1)
    assert report.dropped["not finite"] == np.count_nonzero(~finite)
    assert report.used == sum(rows for *_, rows in segments)
    assert len(segments) == report.segments
    assert report.segments == (report.used > 0) + report.gaps + report.clock_resets


@given(messy())
@settings(deadline=None)
def test_rows_are_kept_as_a_plain_loop_would(recording):
    time, values, labels, _ = recording
    last, expected = -np.inf, {"repeated time": 0, "backward time": 0, "gaps": 0, "resets": 0}
    for t in time[np.isfinite(time) & np.isfinite(values).all(axis=1)]:
        if abs(t - last) > 0.5:
            expected["gaps"] += bool(last > -np.inf and t > last)
            expected["resets"] += bool(t < last)
            last = t
        elif t <= last:
            expected["repeated time" if t == last else "backward time"] += 1
        else:
            last = t
    _, report = resample(time, values, labels, 20, 50, max_gap=0.5)
    found = {"gaps": report.gaps, "resets": report.clock_resets}
    found |= {reason: report.dropped[reason] for reason in ("repeated time", "backward time")}
    assert found == expected


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_equals_scipy_on_the_whole_segment(rate_in, rate_out):
    time, values, labels = steady(1500, rate_in)
    [(start, ours, _, _)], _ = resample(time, values, labels, rate_in, rate_out, range(0, 1500, 37))
    up, down = {33.3: (500, 333)}.get(rate_in, (rate_out, rate_in))
    expected = resample_poly(values.astype(np.float64), up, down, padtype="edge")
    assert start == 0
    assert ours.shape == expected.shape
    # SciPy's filter passes a constant with a ripple of 0.3 %; ours is scaled so that it does not.
    np.testing.assert_allclose(ours, expected, atol=4e-3 if up > 1 else 2e-7)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_gravity_stays_exactly_what_it_is(rate_in, rate_out):
    time = np.arange(400) / rate_in
    gravity = np.array([0.1, -0.98, 0.17], dtype=np.float32)
    [(_, ours, _, _)], _ = resample(
        time, np.tile(gravity, (400, 1)), np.zeros(400), rate_in, rate_out
    )
    np.testing.assert_array_equal(ours, np.tile(gravity, (len(ours), 1)))


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
def test_tones_below_the_lower_nyquist_keep_their_amplitude(rate_in, rate_out, share):
    frequency = share * min(rate_in, rate_out) / 2
    time = np.arange(int(60 * rate_in)) / rate_in
    tone = np.sin(2 * np.pi * frequency * time)
    [(_, ours, _, _)], _ = resample(
        time, np.stack([tone] * 3, axis=1), np.zeros(len(time)), rate_in, rate_out
    )
    expected = np.sin(2 * np.pi * frequency * np.arange(len(ours)) / rate_out)
    middle = slice(len(ours) // 4, -len(ours) // 4)
    np.testing.assert_allclose(ours[middle, 1], expected[middle], atol=0.01)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(100, 50), (64, 50), (50, 20), (800, 50)])
def test_tones_above_the_new_nyquist_lose_forty_decibels(rate_in, rate_out):
    for frequency in np.linspace(1.2 * rate_out / 2, rate_in / 2, 7)[:-1]:
        time = np.arange(int(20 * rate_in)) / rate_in
        tone = np.sin(2 * np.pi * frequency * time)
        [(_, ours, _, _)], _ = resample(
            time, np.stack([tone] * 3, axis=1), np.zeros(len(time)), rate_in, rate_out
        )
        middle = ours[len(ours) // 4 : -len(ours) // 4]
        assert np.abs(middle).max() < 0.01


def test_jittered_times_are_interpolated():
    rng = np.random.default_rng(0)
    time = 7 + np.arange(2000) / 20 + rng.uniform(-0.02, 0.02, 2000)
    values = np.stack([3 * time, -time, np.sin(2 * np.pi * 0.2 * time)], axis=1)
    [(start, ours, _, _)], _ = resample(time, values, np.zeros(2000), 20, 20)
    at = start + np.arange(len(ours)) / 20
    # A tenth of a period counts as on the grid, so a slope may be off by that much.
    np.testing.assert_allclose(ours[:, 0], 3 * at, atol=3 * 0.1 / 20 + 1e-5)
    np.testing.assert_allclose(ours[:, 2], np.sin(2 * np.pi * 0.2 * at), atol=0.01)


def test_times_rounded_to_milliseconds_are_taken_as_uniform():
    exact, values, labels = steady(640, 64)
    [(_, ours, _, _)], _ = resample(np.floor(exact * 1000) / 1000, values, labels, 64, 64)
    np.testing.assert_array_equal(ours, values)


def test_a_fast_clock_keeps_real_time():
    time = np.arange(5000) / 51.0
    values = np.stack([time] * 3, axis=1)
    [(_, ours, _, _)], _ = resample(time, values, np.zeros(5000), 50, 50)
    assert abs(len(ours) - time[-1] * 50) <= 1.1
    np.testing.assert_allclose(ours[:, 0], np.arange(len(ours)) / 50, atol=0.1 / 50 + 1e-5)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_labels_are_those_of_the_nearest_sample(rate_in, rate_out):
    time, values, labels = steady(700, rate_in)
    [(_, ours, found, _)], _ = resample(time, values, labels, rate_in, rate_out, range(0, 700, 31))
    at = np.minimum(np.arange(len(ours)) / rate_out, time[-1])
    assert np.abs(time[found] - at).max() <= 0.5 / rate_in + 1e-9


def test_labels_of_irregular_samples_are_within_one_period():
    rng = np.random.default_rng(1)
    time = np.cumsum(rng.uniform(0.01, 0.1, 900))
    values = np.zeros((900, 3))
    [(start, ours, found, _)], _ = resample(time, values, np.arange(900), 20, 50)
    at = start + np.arange(len(ours)) / 50
    nearest = np.abs(time[:, None] - at).min(axis=0)
    assert (np.abs(time[found] - at) <= nearest + 1 / 20).all()


def test_a_gap_splits_and_a_short_one_is_bridged():
    time = np.concatenate([np.arange(40), np.arange(48, 90), np.arange(120, 150)]) / 20
    values = np.stack([time] * 3, axis=1)
    segments, report = resample(time, values, np.zeros(len(time)), 20, 20, max_gap=0.5)
    assert [(start, len(values)) for start, values, *_ in segments] == [(0, 90), (6.0, 30)]
    np.testing.assert_allclose(segments[0][1][:, 0], np.arange(90) / 20, atol=1e-6)
    assert (report.gaps, report.clock_resets) == (1, 0)


def test_a_clock_reset_starts_again():
    time = np.concatenate([100 + np.arange(50) / 20, np.arange(30) / 20])
    segments, report = resample(time, np.zeros((80, 3)), np.zeros(80), 20, 20)
    assert [(start, len(values)) for start, values, *_ in segments] == [(100.0, 50), (0.0, 30)]
    assert (report.gaps, report.clock_resets, report.used) == (0, 1, 80)


def test_the_first_of_repeated_times_stays():
    time = np.array([0, 1, 1, 1, 2, 3]) / 20
    values = np.arange(18, dtype=float).reshape(6, 3)
    [(_, ours, _, _)], report = resample(time, values, np.zeros(6), 20, 20)
    np.testing.assert_array_equal(ours, values[[0, 1, 4, 5]])
    assert report.dropped == {"repeated time": 2}


def test_the_state_does_not_grow():
    resampler = Resampler(64, 50)
    time, values, labels = steady(60_000, 64)
    sizes = set()
    for i in range(0, len(time), 60):
        resampler.push(time[i : i + 60], values[i : i + 60], labels[i : i + 60])
        sizes.add(len(resampler._segment._polyphase._values))
    assert max(sizes) < 64


def test_a_recording_after_finish_stands_alone():
    time, values, labels = steady(200, 20)
    resampler = Resampler(20, 50)
    first = [*resampler.push(time, values, labels), *resampler.finish()]
    second = [*resampler.push(time, values, labels), *resampler.finish()]
    assert {block.segment for block in first} == {0}
    assert {block.segment for block in second} == {1}
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert (resampler.report.gaps, resampler.report.clock_resets) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((0, 50), "sampling rate"),
        ((20, float("nan")), "sampling rate"),
        ((20, 50, -1.0), "gap"),
        ((1, 2000), "1000-fold"),
    ],
)
def test_impossible_settings_are_refused(arguments, word):
    with pytest.raises(InputError, match=word):
        Resampler(*arguments)


def test_the_default_gap_is_half_a_second_or_five_periods():
    assert [default_max_gap(rate) for rate in (100, 10, 1)] == [0.5, 0.5, 5.0]
