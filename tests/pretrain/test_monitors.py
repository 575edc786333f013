import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from img2imu.pretrain.monitors import (
    CsvLog,
    TensorBoardLog,
    collapse_warning,
    knn_accuracy,
    read_columns,
)


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


@pytest.mark.parametrize(
    "found",
    ["step,loss\n50,0.02\n100,0.01\n150,0.0066\n", "step,loss\n50,0.5\n10", "", '\0\xff,"', "a\n"],
    ids=["steps that were lost", "cut off", "empty", "binary", "another"],
)
def test_log_holds_the_rows_of_the_checkpoint_whatever_was_there(tmp_path, found):
    path, whole = tmp_path / "steps.csv", CsvLog(tmp_path / "whole.csv", [])
    rows = [{"step": 50, "loss": 0.02}, {"step": 100, "loss": 1 / 101}, {"step": 150, "loss": 9.0}]
    for row in rows:
        whole.append(row)
    path.write_text(found)
    resumed = CsvLog(path, rows[:2])
    resumed.append(rows[2])
    assert (
        path.read_bytes()
        == whole.path.read_bytes()
        == (b"step,loss\n50,0.02\n100,0.00990099\n150,9\n")
    )
    assert resumed.rows == rows


def test_log_of_a_new_run_replaces_an_old_one(tmp_path):
    path = tmp_path / "steps.csv"
    CsvLog(path, []).append({"step": 50, "loss": 1.0})
    CsvLog(path, []).append({"step": 50, "loss": 2.0})
    assert path.read_text().split() == ["step,loss", "50,2"]
    CsvLog(path, [])
    assert not path.exists()


def test_log_takes_what_is_measured_from_now_on(tmp_path):
    path = tmp_path / "epochs.csv"
    log = CsvLog(path, [{"step": 50, "loss": 2.0}])
    log.append({"step": 100, "loss": 1.0, "transfer": 0.5})
    log.append({"step": 150, "loss": 0.5})
    columns = read_columns(path)
    assert columns["step"] == [50, 100, 150] and columns["loss"] == [2, 1, 0.5]
    assert columns["transfer"] == pytest.approx([math.nan, 0.5, math.nan], nan_ok=True)


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
