import csv
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from img2imu.pretrain.monitors import CsvLog, TensorBoardLog, collapse_warning, knn_accuracy


def test_knn_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 12))
    labels, truth = rng.integers(0, 5, 300), rng.integers(0, 5, 80)
    bank = centres[labels] + rng.normal(size=(300, 12))
    queries = centres[truth] + rng.normal(size=(80, 12))
    peer = KNeighborsClassifier(
        15, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    )
    expected = peer.fit(bank, labels).score(queries, truth)
    ours = knn_accuracy(
        *(torch.from_numpy(v) for v in (bank, labels, queries, truth)), neighbours=15
    )
    assert ours == pytest.approx(expected)
    assert 0.3 < ours < 1


def test_log_forgets_the_steps_that_were_lost(tmp_path):
    path = tmp_path / "steps.csv"
    log = CsvLog(path, 0)
    for step in (50, 100, 150):
        log.append({"step": step, "loss": 1 / step})
    resumed = CsvLog(path, 100)
    resumed.append({"step": 150, "loss": 9.0})
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(int(row["step"]), float(row["loss"])) for row in rows] == [
        (50, 0.02),
        (100, 0.01),
        (150, 9.0),
    ]


def test_log_forgets_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "steps.csv"
    path.write_text("step,loss\n50,0.5\n10")
    assert [row["step"] for row in CsvLog(path, 100).rows] == ["50"]


def test_log_of_a_new_run_replaces_an_old_one(tmp_path):
    path = tmp_path / "steps.csv"
    CsvLog(path, 0).append({"step": 50, "loss": 1.0})
    CsvLog(path, 0).append({"step": 50, "loss": 2.0})
    assert path.read_text().split() == ["step,loss", "50,2"]


def test_event_files_hold_the_same_numbers(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoardLog(tmp_path / "tensorboard", 0)
    board.append({"step": 50, "loss": 2.5})
    board.append({"step": 100, "loss": 1.5, "transfer": math.nan})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(50, 2.5), (100, 1.5)]


def test_collapse_is_told():
    assert collapse_warning({"spread": 0.02}) is not None
    assert collapse_warning({"spread": 0.8}) is None
    assert collapse_warning({"top1": 0.5}) is None
