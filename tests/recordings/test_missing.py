"""Windows that lack samples: what is missing stays missing, and everything else stays as it is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.recordings import (
    WindowConfig,
    WindowReport,
    Windows,
    iter_windows,
    load_windows,
    save_windows,
    with_gaps,
)
from img2imu.recordings.joining import join
from img2imu.recordings.types import Piece, RowReport

RATE = 50.0


def some(n=40, sensors=("accel", "gyro"), samples=100, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3 * len(sensors), samples)).astype(np.float32)
    return Windows(
        X, np.array(["a", "b"] * n)[:n], np.array(["s1"] * n), np.array(["r"] * n),
        np.arange(n) * 1.0, RATE, sensors=sensors,
    )  # fmt: skip


class Played:
    """A source of given pieces."""

    name = "played"

    def __init__(self, pieces, report=None):
        self._pieces, self.report = pieces, report or RowReport()

    def pieces(self):
        return iter(self._pieces)


def piece(time, values=None, labels="walk", sensors=("accel",), rate=RATE):
    if values is None:
        values = np.sin(np.outer(time, np.arange(1, 3 * len(sensors) + 1)))
    labels = np.full(len(time), labels, object)
    return Piece("ann", "r1", rate, time, values.astype(np.float32), labels, sensors=sensors)


def cut(pieces, report=None, **settings):
    config = WindowConfig(RATE, **{"seconds": 2.0, "overlap": 0.5, **settings})
    batches = [*iter_windows(Played(pieces), config, report=report)]
    return Windows.concatenate(batches)


def test_a_window_spans_a_gap_up_to_the_share():
    time = np.delete(np.arange(500) / RATE, slice(160, 200))
    report = WindowReport()
    found = cut([piece(time)], report, missing=0.4)
    # What a loop over the whole grid keeps: windows every 50 samples that lack 40 % at most.
    grid = np.sin(np.outer(np.arange(500) / RATE, [1, 2, 3])).astype(np.float32)
    grid[160:200] = np.nan
    starts = range(0, 401, 50)
    np.testing.assert_array_equal(found.X, [grid[i : i + 100].T for i in starts])
    np.testing.assert_allclose(found.start, np.array(starts) / RATE)
    assert report.to_dict()["windows"]["incomplete"] == found.incomplete.sum() == 2
    assert report.missing == pytest.approx(2 * 0.4 / 9)
    # A tenth less, and the two windows that hold all of the gap are gone: it splits the recording.
    assert not cut([piece(time)], missing=0.39).incomplete.any()


def test_without_the_share_nothing_changes():
    time = np.delete(np.arange(600) / RATE, slice(160, 230))
    report, other = WindowReport(), WindowReport()
    plain = cut([piece(time)], report)
    assert not plain.incomplete.any()
    assert "incomplete" not in report.to_dict()["windows"]
    # A gap longer than the share allows splits as it always does.
    np.testing.assert_array_equal(cut([piece(time)], other, missing=0.5).X, plain.X)
    assert other.to_dict() == report.to_dict()


def test_missing_samples_have_no_say_in_the_label():
    time = np.delete(np.arange(100) / RATE, slice(40, 80))
    labels = np.array(["a"] * 25 + ["b"] * 35, object)
    found = cut([replace(piece(time), labels=labels)], missing=0.5)
    assert found.y.tolist() == ["b"]  # 35 of 60, though of 100 it is no half
    tied = np.array(["a"] * 30 + ["b"] * 30, object)
    report = WindowReport()
    with pytest.raises(ValueError, match="need at least one"):
        cut([replace(piece(time), labels=tied)], report, missing=0.5)
    assert report.dropped == {"mixed labels": 1}


def test_too_many_gaps_together_drop_a_window():
    time = np.delete(np.arange(100) / RATE, [*range(20, 50), *range(60, 90)])
    report = WindowReport()
    with pytest.raises(ValueError, match="need at least one"):
        cut([piece(time)], report, missing=0.5)
    assert report.dropped == {"too many samples missing": 1}


@pytest.mark.parametrize("rate", [50.0, 100.0])
def test_a_sensor_that_is_away_is_missing_and_the_other_is_not(rate):
    report = RowReport()
    accel = np.arange(round(8 * rate)) / rate
    gyro = accel[(accel < 3) | (accel >= 5)]
    tracks = {
        name: iter([replace(piece(time, rate=rate), sensors=(name,))])
        for name, time in (("accel", accel), ("gyro", gyro))
    }
    report.used = len(accel) + len(gyro)
    joined = [*join(tracks, report, incomplete=True)]
    assert report.used == len(accel) + len(gyro) and not report.dropped
    found = cut(joined, seconds=8.0, missing=0.5)
    complete = cut([piece(accel, rate=rate)], seconds=8.0)
    lost = np.isnan(found.X[0, 3:]).all(axis=0)
    np.testing.assert_array_equal(found.X[:, :3], complete.X)
    np.testing.assert_array_equal(np.isnan(found.X[0, 3:]).any(axis=0), lost)
    # All of the two seconds, and what the low-pass would have made of them, at 10 periods a side.
    reach = 0 if rate == RATE else 11
    assert lost[150:250].all()
    assert not lost[: 149 - reach].any() and not lost[251 + reach :].any()
    # What is left is what the sensor says alone, where the low-pass does not reach the gap.
    np.testing.assert_allclose(found.X[0, 3:, ~lost], complete.X[0, :, ~lost], atol=2e-5)


@pytest.mark.parametrize("sensors", [("accel",), ("accel", "gyro"), ("accel", "gyro", "magn")])
def test_gaps_take_the_share_they_are_told(sensors):
    windows = some(400, sensors)
    gappy = with_gaps(windows, 0.25, seed=1)
    missing = np.isnan(gappy.X).reshape(400, -1, 3, 100)
    assert missing.mean() == pytest.approx(0.25, abs=0.03)
    assert gappy.incomplete.mean() == pytest.approx(0.5, abs=0.08)
    assert (missing.any(axis=2) == missing.all(axis=2)).all()
    assert not missing.all(axis=(1, 2, 3)).any()
    # One stretch in each sensor: it begins once at most.
    assert (np.diff(missing[:, :, 0].astype(int), prepend=0) == 1).sum(axis=2).max() == 1
    whole = missing.all(axis=(2, 3)).any(axis=1)
    assert whole.any() == (len(sensors) > 1)
    np.testing.assert_array_equal(gappy.X[~np.isnan(gappy.X)], windows.X[~np.isnan(gappy.X)])
    np.testing.assert_array_equal(with_gaps(windows, 0.25, seed=1).X, gappy.X)
    assert not np.array_equal(with_gaps(windows, 0.25, seed=2).X, gappy.X, equal_nan=True)
    with pytest.raises(InputError, match="share must lie in"):
        with_gaps(windows, 0.6)


def test_a_file_of_incomplete_windows_is_read_where_asked_for(tmp_path):
    path = tmp_path / "w.npz"
    gappy = with_gaps(some(), 0.25)
    save_windows(path, gappy)
    np.testing.assert_array_equal(load_windows(path, incomplete=True).X, gappy.X)
    told = f"not finite: in {gappy.incomplete.sum()} of 40 windows samples are missing"
    with pytest.raises(InputError, match=told):
        load_windows(path)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (np.s_[3, 1, 5], np.nan, "some axes are missing and others are not: in window 3"),
        (np.s_[3], np.nan, "windows without any sample: window 3"),
        (np.s_[3, 1, 5], np.inf, "not finite: window 3 and 0 others"),
    ],
)
def test_what_cannot_be_missing_is_refused(tmp_path, where, value, message):
    windows = some()
    windows.X[where] = value
    save_windows(tmp_path / "w.npz", windows)
    with pytest.raises(InputError, match=message):
        load_windows(tmp_path / "w.npz", incomplete=True)


def test_convert_counts_what_is_missing_and_merge_keeps_it(tmp_path, capsys):
    time = np.delete(np.arange(1500) / RATE, slice(400, 460))
    for name, start in (("ann", 0), ("bob", 100)):
        rows = [
            f"{t:.2f},{np.sin(t) / 9:.4f},{np.cos(3 * t) / 9:.4f},{1 + np.sin(7 * t) / 9:.4f},walk"
            for t in time + start
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,x,y,z,label", *rows]) + "\n")
    files = []
    for name in ("ann", "bob"):
        out = tmp_path / f"out-{name}"
        command = ["convert", str(tmp_path / f"{name}.csv"), "-o", str(out), "--missing", "0.3"]
        assert main(command) == 0
        files.append(str(out / "windows.npz"))
    windows = load_windows(files[0], incomplete=True)
    share = np.isnan(windows.X).mean()
    assert windows.incomplete.sum() == 2  # the windows from 5 and from 7.5 s
    assert share == pytest.approx(2 * 60 / 250 / len(windows))
    assert f"2 of them incomplete: {share:.1%} of all samples missing" in capsys.readouterr().out
    report = json.loads((tmp_path / "out-ann" / "report.json").read_text())
    assert report["windows"]["incomplete"] == 2
    merged = tmp_path / "both.npz"
    assert main(["merge", *files, "-o", str(merged)]) == 0
    assert load_windows(merged, incomplete=True).incomplete.sum() == 4
    refused = ["convert", str(tmp_path / "ann.csv"), "-o", str(tmp_path / "x"), "--images"]
    assert main([*refused, "--missing", "0.3"]) == 2
    assert "--images draws complete windows" in capsys.readouterr().err
