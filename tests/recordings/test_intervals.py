"""Labels from a second file, held against labels drawn sample by sample."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.recordings.readers.intervals import read_intervals
from img2imu.recordings.registry import open_source
from tests.recordings import samples

RATE, ROWS = 50, 300
TIME = np.arange(ROWS) / RATE  # six seconds
START = datetime(2025, 12, 31, 14, 5, 6, tzinfo=timezone(timedelta(hours=1)))
EXPECTED = np.where(TIME < 2, "walk", np.where((TIME >= 3) & (TIME < 5), "sit", ""))


def recording(path: Path, clock: str = "seconds") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stamps = {
        "seconds": TIME,
        "unix": TIME + START.timestamp(),
        "zone": [(START + timedelta(seconds=t)).isoformat(timespec="milliseconds") for t in TIME],
        "local": [
            (START + timedelta(seconds=t)).replace(tzinfo=None).isoformat(timespec="milliseconds")
            for t in TIME
        ],
    }[clock]
    rows = [f"{t},{x},{y},{z}" for t, (x, y, z) in zip(stamps, samples.signal(ROWS), strict=True)]
    path.write_text("\n".join(["time,x,y,z", *rows]) + "\n")
    return path


def labels_of(path: Path, labels: Path, label: str | None = None) -> list[np.ndarray]:
    options = {} if label is None else {"label": label}
    source = open_source(path, labels=labels, **options)
    found = [piece.labels for piece in source.pieces()]
    assert source.report.rows == source.report.used + source.report.dropped.total()
    return found


ELAN = "Begin Time - hh:mm:ss.ms\tBegin Time - ss.msec\tEnd Time - hh:mm:ss.ms\tEnd Time - ss.msec"
FORMS = {
    "csv": "start,end,label\n0,2,walk\n3,5,sit\n",
    "german": "von;bis;Aktivität\n0,0;2,0;walk\n3,0;5,0;sit\n",
    "milliseconds": "start (ms)\tend (ms)\tactivity\n0\t2000\twalk\n3000\t5000\tsit\n",
    "duration": "onset,duration,annotation\n0,2,walk\n3,2,sit\n",
    "audacity": "0.000000\t2.000000\twalk\n\\\t100.0\t200.0\n3.000000\t5.000000\tsit\n",
    "elan": "act\t\t00:00:00.000\t0.0\t00:00:02.000\t2.0\t00:00:02.000\t2.0\twalk\n"
    "act\t\t00:00:03.000\t3.0\t00:00:05.000\t5.0\t00:00:02.000\t2.0\tsit\n",
    "elan tiers": f"{ELAN}\tact\n00:00:00.000\t0.0\t00:00:02.000\t2.0\twalk\n"
    "00:00:03.000\t3.0\t00:00:05.000\t5.0\tsit\n",
}
CLOCKS = {
    "dates": "start,end,label\n31.12.2025 14:05:06,31.12.2025 14:05:08,walk\n"
    "31.12.2025 14:05:09,31.12.2025 14:05:11,sit\n",
    "utc": "start,end,label\n2025-12-31T13:05:06Z,2025-12-31T13:05:08Z,walk\n"
    "2025-12-31T13:05:09Z,2025-12-31T13:05:11Z,sit\n",
    "of the day": "start,end,label\n14:05:06,14:05:08,walk\n14:05:09,14:05:11,sit\n",
    "elapsed": "start,end,label\n00:00:00,00:00:02,walk\n00:00:03,00:00:05,sit\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_intervals_in_seconds(tmp_path: Path, form: str) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(FORMS[form])
    (found,) = labels_of(recording(tmp_path / "rec" / "ann.csv"), labels)
    np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize("form", CLOCKS)
def test_intervals_by_the_clock(tmp_path: Path, form: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(CLOCKS[form])
    (found,) = labels_of(recording(tmp_path / "rec" / "ann.csv", "zone"), labels)
    np.testing.assert_array_equal(found, EXPECTED)


def test_seconds_since_1970(tmp_path: Path) -> None:
    begun = START.timestamp()
    labels = tmp_path / "labels.csv"
    labels.write_text(f"start,end,label\n{begun},{begun + 2},walk\n{begun + 3},{begun + 5},sit\n")
    for clock in ("unix", "zone"):
        (found,) = labels_of(recording(tmp_path / "rec" / "ann.csv", clock), labels)
        np.testing.assert_array_equal(found, EXPECTED)


def test_subject_file_and_whole_recordings(tmp_path: Path) -> None:
    for name in ("a/ann.csv", "b/bob.csv", "b/eve.csv"):
        recording(tmp_path / "rec" / name)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,start,end,label\nann,0,2,walk\na/ann.csv,3,5,sit\nbob.csv,,,run\n")
    ann, bob, eve = labels_of(tmp_path / "rec", labels)
    np.testing.assert_array_equal(ann, EXPECTED)
    assert set(bob) == {"run"}
    assert set(eve) == {""}
    labels.write_text("subject,label\na/ann,walk\nb/eve,sit\n")
    assert [set(found) for found in labels_of(tmp_path / "rec", labels)] == [
        {"walk"},
        {""},
        {"sit"},
    ]


def test_overlaps_gaps_and_what_meets_nothing_are_told(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("start,end,label\n0,3,walk\n2,4,sit\n100,101,run\n")
    source = open_source(recording(tmp_path / "ann.csv"), labels=labels)
    (piece,) = source.pieces()
    expected = np.where(TIME < 2, "walk", np.where((TIME >= 3) & (TIME < 4), "sit", ""))
    np.testing.assert_array_equal(piece.labels, expected)
    doubts = " ".join(source.report.doubts())
    assert "50 samples lie in two intervals" in doubts
    assert "1 of 3 intervals meet no recording" in doubts
    assert "50.0% of the samples lie in one, 33.3% in none" in source.report.readings[0].labels
    json.dumps(source.report.understood())


def test_of_several_tiers_one_is_chosen(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(FORMS["elan"] + "mood\t\t00:00:00.000\t0\t00:00:06.000\t6\t6\t6\tgood\n")
    path = recording(tmp_path / "rec" / "ann.csv")
    with pytest.raises(InputError, match=r"several tiers: choose one by --label .*act, mood"):
        labels_of(path, labels)
    np.testing.assert_array_equal(labels_of(path, labels, "act")[0], EXPECTED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "needs columns|which column"),
        ("start,end\n1,2\n", "which column holds the labels"),
        ("start,end,label\n5,2,walk\n", "ends before it starts"),
        ("start,end,label\nsoon,later,walk\n", "a time that is none"),
        ("start,end,label\n1,2\n", "too few cells"),
        ("start,end,label\n1,2,\n", "no interval with a label"),
        ("0.0\t1.0\twalk\nwords\n", "no interval"),
    ],
)
def test_bad_files_of_labels(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_intervals(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_intervals(tmp_path / "none.csv")
