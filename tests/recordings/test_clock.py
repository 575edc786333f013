"""Dates, times and rates: held against ``datetime`` and against what was lost on purpose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.readers.clock import (
    ClockFormat,
    create_clock,
    format_of,
    measure_rate,
    read_time,
)

# Of each spelling, what strftime makes of it, and what it is taken for.
SPELLINGS = [
    ("%Y-%m-%dT%H:%M:%S.%f", "datetime"),
    ("%Y-%m-%d %H:%M:%S.%f+01:00", "zoned"),
    ("%Y-%m-%dT%H:%M:%S.%fZ", "zoned"),
    ("%Y-%m-%d %H:%M:%S.%f +0100", "clock"),
    ("%Y-%m-%d %H:%M:%S:%f", "clock"),
    ("%d.%m.%Y %H:%M:%S,%f", "clock"),
    ("%m/%d/%Y %H:%M:%S.%f", "clock"),
    ("%m/%d/%Y %I:%M:%S.%f %p", "clock"),
    ("%d/%m/%Y %H:%M:%S.%f", "clock"),
    ("%Y/%m/%d %H:%M:%S.%f", "clock"),
]
moments = st.datetimes(datetime(1990, 1, 13), datetime(2090, 1, 1)).filter(lambda m: m.day > 12)


@pytest.mark.parametrize(("spelling", "kind"), SPELLINGS)
@settings(max_examples=25, deadline=None)
@given(moment=moments)
def test_a_date_is_the_moment_that_was_written(spelling: str, kind: str, moment: datetime) -> None:
    cell = moment.strftime(spelling)
    column = read_time([cell])
    hours = 1 if "+01" in spelling else 0
    assert column.kind == kind
    assert column.zone == (None if "+01" not in spelling and "Z" not in spelling else hours * 60)
    if column.format is not None:
        expected = (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) - timedelta(
            hours=hours
        )
        found = column.format.parse(cell)
        assert found == expected // timedelta(microseconds=1) * 1000
        # The fast way says the same.
        assert column.format.parse_all(pa.array([cell, cell])).tolist() == [found, found]  # type: ignore[union-attr]


written = st.text(alphabet="0123456789.:/- +,APMZT", max_size=24)


@settings(max_examples=200, deadline=None)
@given(cells=st.lists(written, min_size=1, max_size=4))
def test_both_ways_of_parsing_refuse_the_same(cells: list[str]) -> None:
    for pattern in ("%d.%m.%Y %H:%M:%S", "%H:%M:%S.%f", "%m/%d/%y %I:%M %p"):
        format = format_of(pattern)
        fine = all(map(format.matches, cells))
        found = format.parse_all(pa.array(cells))
        assert (found is not None) == fine
        if fine:
            assert found.tolist() == [format.parse(cell) for cell in cells]  # type: ignore[union-attr]


def test_what_day_and_month_may_be_is_doubtful() -> None:
    sure = read_time(["13/02/2025 10:00:00", "13/02/2025 10:00:01"])
    assert sure.format is not None
    assert (sure.format.name, sure.doubt) == ("day/month/year", None)
    open_ = read_time(["03/02/2025 10:00:00", "03/02/2025 10:00:01"])
    assert open_.format is not None
    assert (open_.format.name, open_.doubt) == ("month/day/year", "day/month/year")
    given_ = read_time(["03/02/2025 10:00:00"], "%d/%m/%Y %H:%M:%S")
    assert given_.format is not None
    moment = datetime(2025, 2, 3, 10, tzinfo=UTC)
    assert given_.format.parse("03/02/2025 10:00:00") == moment.timestamp() * 1e9


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("%Q", "does not know %Q"), ("%H:%H", "twice"), ("%H", "must tell minutes"),
     ("%d %H:%M", "year, month and day")],
)  # fmt: skip
def test_patterns_that_tell_no_time_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        format_of(pattern)


@pytest.mark.parametrize("rate", [15.0, 20.0, 25.0, 31.25, 50.0, 60.0, 64.0, 100.0, 128.0])
def test_lost_repeated_and_rounded_samples_do_not_move_the_rate(rate: float) -> None:
    rng = np.random.default_rng(0)
    time = np.arange(3000) / rate
    values = rng.normal(size=(3000, 3))
    lost = np.sort(rng.choice(3000, 2850, replace=False))
    twice = np.sort(np.concatenate([np.arange(3000), rng.choice(3000, 90, replace=False)]))
    jitter = time + rng.uniform(-0.2, 0.2, 3000) / rate
    for stamps, rows in (
        (time, slice(None)),
        (time[lost], lost),
        (time[twice], twice),
        (np.round(time, 3), slice(None)),
        (jitter, slice(None)),
    ):
        measured, coarse = measure_rate(stamps, values[rows])
        assert measured is not None
        assert measured == pytest.approx(rate, rel=5e-3)
        assert not coarse


@pytest.mark.parametrize("blocks", [1, 7])
def test_samples_that_share_a_timestamp_are_spread(blocks: int) -> None:
    time = np.arange(1000) / 50
    stamps = np.floor(time)
    clock = create_clock(
        read_time(["1.0"]), "s", stamps, np.random.default_rng(0).normal(size=(1000, 3))
    )
    assert clock.coarse
    assert clock.rate == pytest.approx(50)
    clock.start(stamps[0])
    found = np.concatenate([clock.seconds(part) for part in np.array_split(stamps, blocks)])
    np.testing.assert_allclose(found, time, atol=1e-9)


@pytest.mark.parametrize("cells", [["23:59:59.980"], ["86399.98"]])
def test_midnight_is_no_jump(cells: list[str]) -> None:
    seconds = (86_390 + np.arange(1000) / 50) % 86_400
    column = read_time(cells)
    stamps = (seconds * 1e9).round().astype(np.int64) if column.dates else seconds
    clock = create_clock(column, "s", stamps, np.random.default_rng(0).normal(size=(1000, 3)))
    clock.start(stamps[0])
    found = np.concatenate([clock.seconds(part) for part in np.array_split(stamps, 3)])
    np.testing.assert_allclose(found, np.arange(1000) / 50, atol=1e-6)


def test_a_clock_tells_the_moment_in_its_own_zone() -> None:
    column = read_time(["2025-12-31T14:05:06.5+01:00"])
    clock = create_clock(column, "s", np.arange(20) * 20_000_000, np.zeros((20, 3)))
    moment = clock.moment(1767186306500000000)
    assert moment == datetime(2025, 12, 31, 14, 5, 6, 500_000, timezone(timedelta(hours=1)))
    assert ClockFormat("", r"(?P<M>\d+):(?P<S>\d+)").period == 3600 * 10**9
