"""Comparisons against SciPy, and the paper's numbers."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from img2imu.studies import paper
from img2imu.studies.results import (
    Result,
    best_opponents,
    compare,
    over_sets,
    signed_rank,
)


def result(dataset, row, probe, shots=10, shift=0.0, n=10, seed=0):
    rng = np.random.default_rng([seed, len(dataset), len(row)])
    each = tuple(np.round(rng.uniform(0.3, 0.7, n) + shift, 4).tolist())
    return Result(dataset, row, probe, shots, each, 0.5)


@pytest.fixture
def results():
    return [
        result("one", "ours", "logistic", shift=0.1),
        result("one", "ours", "paper"),
        result("one", "other", "paper", shift=-0.2),
        result("one", "trees", "forest"),
        result("one", "ceiling", "logistic", shots=None, n=5),
        result("three", "ours", "logistic", n=6),
        result("three", "trees", "forest", n=6),
    ]


def test_each_probe_meets_its_like(results):
    found = {(r.dataset, r.row, r.probe): r for r in compare(results, "ours")}
    given = {(r.dataset, r.row, r.probe): r.each for r in results}
    pairs = {
        ("one", "other", "paper"): ("one", "ours", "paper"),
        ("one", "trees", "forest"): ("one", "ours", "logistic"),
        ("three", "trees", "forest"): ("three", "ours", "logistic"),
    }
    for mine, theirs in pairs.items():
        assert found[mine].p == wilcoxon(given[mine], given[theirs]).pvalue
        gain = np.mean(given[mine]) - np.mean(given[theirs])
        assert found[mine].gain == pytest.approx(gain)
    for key in set(found) - set(pairs):
        assert found[key].p is None and found[key].gain is None


def test_over_all_sets_pairs_are_pooled_and_means_weigh_the_same(results):
    overall = {(entry.row, entry.probe): entry for entry in over_sets(results, "ours")}
    assert set(overall) == {("ours", "logistic"), ("trees", "forest")}
    given = {(r.dataset, r.row, r.probe): r.each for r in results}
    trees = [given[name, "trees", "forest"] for name in ("one", "three")]
    ours = [given[name, "ours", "logistic"] for name in ("one", "three")]
    entry = overall["trees", "forest"]
    assert entry.mean == pytest.approx(np.mean([np.mean(each) for each in trees]))
    assert entry.gain == pytest.approx(entry.mean - overall["ours", "logistic"].mean)
    assert entry.p == wilcoxon(np.concatenate(trees), np.concatenate(ours)).pvalue
    assert overall["ours", "logistic"].p is None


def test_the_best_opponent_is_that_of_each_set_and_number_of_shots():
    results = [
        result("one", "ours", "logistic", shift=0.1),
        result("one", "trees", "forest"),
        result("one", "kernels", "logistic", shift=0.2),
        result("one", "images", "logistic", shift=0.5),
        result("one", "trees", "forest", shots=None, shift=0.5),
        result("three", "ours", "logistic", shift=0.1),
        result("three", "trees", "forest"),
        result("alone", "trees", "forest"),
    ]
    best = best_opponents(results, "ours", ["trees", "kernels", "ours"])
    assert {name: opponent.result.row for name, opponent in best.items()} == {
        "one": "kernels",
        "three": "trees",
    }
    assert best["one"].lead == pytest.approx(results[0].mean - results[2].mean)


def test_equal_values_do_not_differ():
    assert signed_rank([0.5, 0.6], [0.5, 0.6]) == 1.0


def test_the_papers_averages_follow_from_its_table():
    """Table II prints the mean over the four data sets beside them."""
    averages = {
        "random-1d": 0.456, "simclr-1d": 0.557, "multitask-1d": 0.579, "cpc-1d": 0.574,
        "random-2d": 0.407, "supervised": 0.603, "simsiam": 0.598, "moco-default": 0.640,
        "moco-all": 0.584, "sensor-aware": 0.675,
    }  # fmt: skip
    for row, average in averages.items():
        means = [paper.table_ii(row, name, 10)[0] for name in paper.DATASETS]
        assert np.mean(means) == pytest.approx(average, abs=6e-4)


def test_the_paper_stands_only_beside_its_own():
    assert paper.table_ii("sensor-aware", "Daphnet-5s", 10) == (0.547, 0.085)
    assert paper.table_ii("sensor-aware", "wisdm-v1.1", 10) == (0.739, 0.038)
    assert paper.table_ii("sensor-aware", "wisdm-2019", 10) is None
    assert paper.table_ii("sensor-aware", "daphnet", 5) is None
    assert paper.table_ii("minirocket", "daphnet", 10) is None
