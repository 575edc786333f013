"""Smoothing scored on whole recordings."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.recordings import Windows, save_windows
from img2imu.studies.timeline import SINGLE, recordings, smoothings
from img2imu.timeline.smoothing import Smoother


def changing(subjects: int = 5, each: int = 40) -> Windows:
    """Two classes of noise that take turns, eight windows each; every ninth has no label."""
    rng = np.random.default_rng(0)
    y = np.tile(np.repeat(["calm", "wild"], 8), subjects * each)[: subjects * each]
    subject = np.repeat([f"s{i}" for i in range(subjects)], each)
    loud = np.where(y == "wild", 1.5, 1.0)[:, None, None]
    X = rng.normal(size=(len(y), 3, 64)) * loud * rng.uniform(0.8, 1.25, (len(y), 1, 1))
    y = np.where(np.arange(len(y)) % 9 == 8, "", y)
    start = np.tile(np.arange(each) * 1.6, subjects)
    return Windows(X.astype(np.float32), y, subject, subject, start, 20.0)


def test_the_study_scores_every_way_of_smoothing(tmp_path, capsys):
    save_windows(tmp_path / "toy.npz", changing())
    arguments = ["study", "timeline", tmp_path / "toy.npz", "-o", tmp_path / "out", "--shots", 4,
                 "all", "--seeds", 1, "--jobs", 1]  # fmt: skip
    for _ in range(2):
        assert main([str(argument) for argument in arguments]) == 0
    assert "| **smoothed** |" in capsys.readouterr().out
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["shots"] for row in rows} == {"4", "all"}
    found = {(row["shots"], row["row"]): row for row in rows}
    for shots in ("4", "all"):
        single, smoothed = found[shots, SINGLE], found[shots, "smoothed"]
        if shots == "all":
            assert float(smoothed["f1_mean"]) > float(single["f1_mean"])
        assert int(smoothed["fragmented"]) < int(single["fragmented"])
        assert int(smoothed["inserted"]) < int(single["inserted"])


def test_ways_of_smoothing_of_a_recording():
    """One odd window among many is smoothed away, but for the filter at once."""
    probability = np.full((21, 2), [0.8, 0.2])
    probability[10] = [0.45, 0.55]
    found = smoothings(Smoother(2.5, None, np.array([0.5, 0.5])), np.arange(21) * 2.5, probability)
    assert found[SINGLE][10] == 1
    for row, code in found.items():
        assert (code == 0).sum() == (20 if row == SINGLE else 21), row


def test_recordings_are_told_apart_and_keep_their_order():
    windows = changing(2, 10)
    parts = list(recordings(windows))
    assert [part.rows.tolist() for part in parts] == [list(range(10)), list(range(10, 20))]
    assert [part.stride for part in parts] == [pytest.approx(1.6)] * 2
