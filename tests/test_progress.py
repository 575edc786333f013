"""Progress without a terminal: lines by a clock that the tests turn."""

import sys

import pytest

from img2imu.cli.options import progress_bar
from img2imu.progress import ProgressLines


@pytest.fixture
def clock():
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    return Clock()


def test_a_line_every_half_minute_with_done_total_and_time_left(clock, capsys):
    bar = ProgressLines("features", 5000, clock)
    for _ in range(100):  # ten a second
        clock.now += 1
        bar.update(10)
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "features: 300 of 5,000, 8 min left",  # 470 s
        "features: 600 of 5,000, 7 min left",
        "features: 900 of 5,000, 7 min left",
        "features: 1,000 of 5,000 in 2 min",
    ]


def test_what_is_quick_says_nothing(clock, capsys):
    with ProgressLines("pictures", 10, clock) as bar:
        for _ in range(10):
            clock.now += 2.9
            bar.update()
    assert capsys.readouterr() == ("", "")


def test_the_pace_is_that_since_the_last_line(clock, capsys):
    """What was on disk is done at once, and tells nothing of the rest."""
    bar = ProgressLines("cells", 130, clock)
    bar.update(100)
    for _ in range(2):
        clock.now += 40
        bar.update()
    bar.set_postfix_str("pvs--finetune")
    clock.now += 3600
    bar.update(10)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "cells: 102 of 130, 19 min left",
        "cells: 112 of 130, 1 h 48 min left, pvs--finetune",
    ]


def test_without_a_total_there_is_no_time_left(clock, capsys):
    bar = ProgressLines("walk (windows)", None, clock)
    clock.now += 31
    bar.update(500)
    assert capsys.readouterr().err == "walk (windows): 500\n"


def test_a_bar_is_for_terminals(monkeypatch):
    assert isinstance(progress_bar("x", 1), ProgressLines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bar = progress_bar("x", 1)
    assert not isinstance(bar, ProgressLines)
    bar.close()
    monkeypatch.setattr(sys, "stderr", None)
    progress_bar("x", 1).update()
