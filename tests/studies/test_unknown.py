"""Classes left out of what is learnt, told apart by each score."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from img2imu.cli import main
from img2imu.studies.unknown import told_apart

from .samples import windows_file


@pytest.mark.parametrize(("known", "left_out"), [((), {"a", "b", "c"}), (("a", "b"), {"c"})])
def test_classes_are_left_out_once_or_those_named(tmp_path, capsys, known, left_out):
    path = windows_file(tmp_path)
    arguments = ["study", "unknown", path, "-o", tmp_path / "out", "--shots", 3, "--jobs", 1]
    arguments += ["--known", *known] if known else []
    assert main([str(argument) for argument in arguments]) == 0
    assert "expected calibration error" in capsys.readouterr().out
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["left_out"] for row in rows} == left_out
    assert len({row["row"] for row in rows}) == 5
    assert all(0 <= float(row[name]) <= 1 for row in rows for name in ("auroc", "fpr95"))


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    unknown = rng.random(2000) < 0.4
    strange = rng.normal(size=2000) + unknown
    area, passed = told_apart(strange, unknown)
    assert area == roc_auc_score(unknown, strange)
    # Of the known, 5 % are taken for unknown: there, the share of the unknown that is not.
    false, true, _ = roc_curve(unknown, strange)
    assert passed == pytest.approx(1 - np.interp(0.05, false, true), abs=0.01)
    assert np.isnan(told_apart(strange, np.ones(2000, bool))).all()
