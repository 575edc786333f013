"""Curves over shots, and their bands."""

import csv

import numpy as np
import pytest

from img2imu.fewshot import ProbeConfig
from img2imu.studies import shots
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets
from img2imu.studies.rows import build_rows

from .samples import windows_file


def test_every_possible_number_of_shots_is_run_and_the_others_named(tmp_path):
    config = StudyConfig(
        ProbeConfig(shots=(1, 4, 50), seeds=1), windows=None, reference="hand-forest"
    )
    rows, _ = build_rows({}, ["hand-forest"], "hand-forest")
    sets, missing = load_sets([windows_file(tmp_path)], config)
    text = shots.run(tmp_path / "out", sets, rows, config, missing, jobs=1)
    assert "| method | probe | 1 | 4 |" in text
    assert "50 shots: class 'a' has 18 windows" in text
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        records = list(csv.DictReader(stream))
    assert [r["shots"] for r in records] == ["1", "4", ""]
    assert float(records[1]["f1_mean"]) > float(records[0]["f1_mean"])
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000


def test_bootstrap_of_folds_alone_is_the_plain_bootstrap():
    """With one draw in each fold, an interval of the mean as SciPy's."""
    from scipy.stats import bootstrap

    each = np.random.default_rng(0).uniform(0.4, 0.8, 25)
    low, high = shots.bootstrap(each.tolist(), draws=1, resamples=20_000)
    peer = bootstrap((each,), np.mean, method="percentile", n_resamples=20_000, rng=0)
    assert (low, high) == pytest.approx(peer.confidence_interval, abs=2e-3)


def test_bootstrap_resamples_folds_not_only_draws():
    """Folds that differ widely make a wide band however many draws they have."""
    folds = np.repeat([0.2, 0.4, 0.6, 0.8], 25)
    low, high = shots.bootstrap(folds.tolist(), draws=25)
    assert high - low > 0.3
    assert shots.bootstrap([0.5] * 6, draws=2) == (0.5, 0.5)
