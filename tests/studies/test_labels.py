"""The simulation of labelling: what is drawn, what is asked, and what is scored."""

import csv

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.fewshot import ProbeConfig
from img2imu.label import Learning
from img2imu.studies import labels as study
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets, sample

from .samples import make_windows, windows_file


def blobs(sizes, seed=0):
    """Features in clusters, one for each class, of these sizes."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    features = rng.normal(scale=6, size=(len(sizes), 10))[labels]
    features += rng.normal(size=features.shape)
    return features.astype(np.float32), labels


def test_rare_classes_are_met_sooner_than_by_chance():
    met, chance = [], []
    for seed in range(5):
        features, labels = blobs((300, 60, 15, 12), seed)
        learning = Learning([features], [10], seed=seed)
        order = study.asked(learning, labels, np.zeros(len(labels), np.intp), 8)
        assert len(set(order.tolist())) == 8
        met.append(len(set(labels[order].tolist())))
        drawn = np.random.default_rng(seed).permutation(labels)[:8]
        chance.append(len(set(drawn.tolist())))
    assert np.mean(met) == 4
    assert np.mean(chance) < 3


def test_each_class_gives_as_many_as_it_has():
    features, labels = blobs((40, 30, 3))
    learning = Learning([features], [10])
    chosen = study._chosen("per-class", learning, labels, labels, 30, np.random.default_rng(0))
    before: set[int] = set()
    for shots, wanted in ((1, [1, 1, 1]), (2, [2, 2, 2]), (10, [10, 10, 3])):
        rows = chosen(shots * 3)
        assert np.bincount(labels[rows]).tolist() == wanted
        assert before <= set(rows.tolist())
        before = set(rows.tolist())


def test_a_sample_keeps_proportions():
    windows = make_windows(each=200, classes="ab")
    few = windows.select(np.concatenate([np.flatnonzero(windows.y == "a")[:100],
                                         np.flatnonzero(windows.y == "b")]))  # fmt: skip
    drawn = sample(few, 300)
    assert len(drawn) == 300
    assert (drawn.y == "a").mean() == pytest.approx((few.y == "a").mean(), abs=0.03)
    assert sample(few, None) is few


def test_the_score_counts_classes_that_were_not_met():
    features, labels = blobs((20, 20, 20))
    learning = Learning([features], [10])
    rows = np.flatnonzero(labels < 2)[::5]
    # Two of three are told apart without a fault, and the third is taken for one of them.
    told = study._score(learning, rows, labels, features, labels)
    assert 2 / 3 * 0.6 < told < 2 / 3
    only = study._score(learning, rows[:1], labels, features, labels)
    assert only == pytest.approx((2 * 20 / (20 + 60)) / 3)


def test_the_study_runs_and_goes_on(tmp_path, capsys):
    path = windows_file(tmp_path)
    arguments = ["study", "labels", path, "-o", tmp_path / "out", "--preset", "fast", "--shots", 1,
                 4, "--seeds", 1, "--jobs", 1, "--windows", 80, "--folds", 3]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr().out
    assert "| **proposed windows** | logistic |" in printed
    assert "proposed windows against random windows" in printed
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["row"], row["shots"]) for row in rows} == {
        (way, shots) for way in study.WAYS for shots in ("1", "4")
    }
    assert all(len(row["f1_each"].split()) == 3 for row in rows)
    cells = {each: each.stat().st_mtime_ns for each in (tmp_path / "out" / "cells").iterdir()}
    assert len(cells) == 9
    assert main([str(argument) for argument in arguments]) == 0
    assert cells == {each: each.stat().st_mtime_ns for each in cells}


def test_a_cell_is_what_the_probe_scores(tmp_path):
    """Random windows of each class through `simulate`, and through scikit-learn's macro-F1."""
    from sklearn.metrics import f1_score

    config = StudyConfig(ProbeConfig("fast", shots=(3,), seeds=1, folds=3), balanced=False)
    [data], _ = load_sets([windows_file(tmp_path)], config)
    encoder = study.rows_of("fast")[0].encoder
    found = study.simulate(data, "per-class", 0, config.probe, encoder, "cpu")
    windows, fold = data.windows, data.manifest.folds[0]
    features, widths = study._features(data, config.probe, encoder, "cpu")
    labels = np.searchsorted(windows.classes, windows.y)
    rng = np.random.default_rng([0, 0])
    training = fold.windows("train", windows.subject)
    pool = np.sort(rng.permutation(training)[: round(study.KEPT * len(training))])
    learning = Learning([features[pool]], widths, 0.1, 0)
    rows = study._chosen("per-class", learning, labels[pool], pool, 9, rng)(9)
    assert np.bincount(labels[pool][rows]).tolist() == [3, 3, 3]
    test = fold.windows("test", windows.subject)
    told = learning.fit(rows, labels[pool][rows]).logits(features[test]).argmax(1)
    assert found["f1"] == [[pytest.approx(f1_score(labels[test], told, average="macro"), abs=1e-4)]]
