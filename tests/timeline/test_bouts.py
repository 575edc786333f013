"""Bouts against a plain loop over windows, and the report that shows them."""

from __future__ import annotations

import csv
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from img2imu.report.day import LISTED, write_day_report
from img2imu.timeline.bouts import bouts, write_bouts
from img2imu.timeline.tracks import MANY, Timeline, Track

CLASSES = ["sit", "walk"]
REPORT = {
    "rows": {"dropped": {"repeated time": 3}},
    "samples": {"dropped": {"segment shorter than a window": 12}},
    "windows": {"dropped": {}},
}


def track(code, clock, epoch=np.nan, name="r.csv") -> Track:
    code, clock = np.array(code), np.array(clock, float)
    running = np.concatenate([[0], np.cumsum(np.where(np.diff(clock) > 0, np.diff(clock), 5))])
    confidence = np.linspace(0.5, 1, len(code)).astype(np.float32)
    truth = np.full(len(code), -1)
    return Track("ann", name, 5.0, running, code, confidence, truth, None, clock, epoch + clock)


def test_bouts_end_with_the_label_a_gap_and_a_clock_set_back():
    one = track([0, 0, 1, 1, -1, 1, 1], [0, 2.5, 5, 7.5, 10, 100, 50])
    found = bouts(one, CLASSES)
    assert [(b.label, b.start, b.end, b.windows) for b in found] == [
        ("sit", 0, 6.25, 2),
        ("walk", 6.25, 11.25, 2),
        ("unknown", 11.25, 15, 1),
        ("walk", 100, 105, 1),
        ("walk", 50, 55, 1),
    ]
    assert found[0].confidence == pytest.approx(one.confidence[:2].mean())


def test_bouts_last_as_long_as_the_hours_of_the_summary(tmp_path):
    rng = np.random.default_rng(0)
    code = np.repeat(rng.integers(-1, 2, 60), rng.integers(1, 9, 60))
    clock = np.cumsum(rng.choice([2.5, 2.5, 2.5, 40], len(code)))
    timeline = Timeline(CLASSES, [track(code, clock)], Counter(), REPORT)
    found = write_bouts(tmp_path / "bouts.csv", timeline)
    summary = timeline.summary()
    hours = {**summary["hours"], "unknown": summary["unknown_hours"]}
    for label, value in hours.items():
        own = sum(bout.seconds for bout in found if bout.label == label)
        assert own / 3600 == pytest.approx(value, abs=1e-5)
    with (tmp_path / "bouts.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == [bout.label for bout in found]
    assert sum(int(row["windows"]) for row in rows) == len(code)


class Page(HTMLParser):
    """Bars by lane, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lanes: dict[str, list[dict[str, str]]] = {}
        self.text = text
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "svg":
            self.lanes[given["aria-label"]] = []
        if tag == "rect":
            list(self.lanes.values())[-1].append(given)
        self.outside += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]


def test_the_report_shows_days_shares_bouts_and_what_was_dropped(tmp_path):
    midnight = 1_714_521_600.0  # 2024-05-01
    code = np.repeat([0, 1, -1, 0], 400)
    dated = track(code, np.arange(1600) * 2.5, midnight - 2000, "<b>week</b>.csv")
    plain = track([0, 1], [0, 2.5], name="walk.csv")
    timeline = Timeline(CLASSES, [dated, plain], Counter(), REPORT)
    found = write_bouts(tmp_path / "bouts.csv", timeline)
    write_day_report(tmp_path / "report.html", timeline, found, {"classifier": "out/model"})
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.outside
    assert list(page.lanes) == ["ann, 2024-04-30", "ann, 2024-05-01", "ann, walk.csv"]
    # 2,000 s of 4,002.5 lie before midnight: two bouts whole there, the third after it begins.
    widths = [sum(float(bar["width"]) for bar in bars) for bars in page.lanes.values()]
    assert widths == pytest.approx([100, 100, 100], abs=0.01)
    for part in ("&lt;b&gt;week", "repeated time", "3 rows", "12 samples", "out/model", "unknown"):
        assert part in page.text
    assert "<b>week" not in page.text


def test_long_lists_are_cut(tmp_path):
    count = LISTED + 7
    timeline = Timeline(
        CLASSES, [track(np.arange(count) % 2, np.arange(count) * 2.5)], Counter(), REPORT
    )
    found = write_bouts(tmp_path / "bouts.csv", timeline)
    write_day_report(tmp_path / "report.html", timeline, found, {})
    assert "7 more are in bouts.csv" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_one_label_for_nearly_everything_is_doubtful():
    def doubt(code):
        return Timeline(CLASSES, [track(code, np.arange(len(code)))], Counter(), REPORT).doubt()

    assert "100% of the windows are called 'walk'" in doubt([1] * MANY)
    assert "'unknown'" in doubt([-1] * MANY)
    assert doubt([1] * (MANY - 1)) == ""
    assert doubt([1] * MANY + [0] * 10) == ""
