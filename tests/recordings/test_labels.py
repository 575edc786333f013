"""Labels: however one says that there is none, it is no class; the others keep their values."""

import numpy as np
import pandas as pd
import pytest

from img2imu.errors import InputError
from img2imu.recordings import (
    Piece,
    RowReport,
    WindowConfig,
    Windows,
    few_shot,
    load_windows,
    make_windows,
    subject_folds,
)
from img2imu.recordings.labels import as_labels, label_texts, labelled

ABSENT = {
    "empty": ["walk", "", "run", ""],
    "blank": ["walk", "  ", "run", "\t"],
    "None": ["walk", None, "run", None],
    "object": np.array(["walk", "", "run", None], object),
    "NaN": np.array(["walk", np.nan, "run", float("nan")], object),
    "list with NaN": ["walk", np.nan, "run", None],
    "pandas object": pd.Series(["walk", None, "run", np.nan], dtype=object),
    "pandas text": pd.Series(["walk", None, "run", pd.NA], dtype="string"),
    "pandas category": pd.Series(["walk", None, "run", ""], dtype="category"),
    "NaT": np.array(["walk", pd.NaT, "run", pd.NaT], object),
    "bytes": np.array([b"walk", b"", b"run", b""]),
}


@pytest.mark.parametrize("kind", ABSENT)
def test_what_is_no_label_is_unlabelled(kind):
    labels = as_labels(ABSENT[kind])
    assert labels.dtype.kind == "U"
    assert labels.tolist() == ["walk", "", "run", ""]
    assert labelled(labels).tolist() == [True, False, True, False]


@pytest.mark.parametrize("values", [[3, 1, 2], [True, False], [1.0, 2.0], ["b", "a"]])
def test_labels_of_every_window_keep_type_and_value(values):
    labels = as_labels(values)
    assert labels.dtype == np.array(values).dtype
    assert labels.tolist() == values
    assert as_labels(np.array(values, object)).tolist() == values
    assert as_labels(np.array(values, object)).dtype.kind == labels.dtype.kind
    assert labelled(labels).all()


@pytest.mark.parametrize(
    "values",
    [
        [1, None, 2],
        np.array([1.0, np.nan, 2.0]),
        pd.Series([1, None, 2], dtype="Int64"),
        np.array([np.int64(1), "", np.int64(2)], object),
    ],
)
def test_numbers_stay_numbers_beside_the_unlabelled(values):
    labels = as_labels(values)
    known = labelled(labels)
    assert known.tolist() == [True, False, True]
    assert np.unique(labels[known]).tolist() == [1, 2]
    assert label_texts(values).tolist() == ["1", "", "2"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", 1], "not some of each"),
        ([{"a": 1}, None], "not dict"),
        ([[1], [2]], r"shape \(n,\)"),
        (np.zeros((2, 2)), r"shape \(n,\)"),
        (np.array([b"\xff"]), "UTF-8"),
        (np.array(["2020"], "M8[D]"), "datetime64"),
    ],
)
def test_other_labels_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        as_labels(values)


@pytest.mark.parametrize("values", [[0.5, 1.0], [np.inf]])
def test_texts_are_of_whole_numbers(values):
    with pytest.raises(InputError, match="whole numbers, not float64"):
        label_texts(np.array(values))


def windows(y):
    n = len(y)
    return Windows(
        X=np.zeros((n, 3, 10), np.float32),
        y=y,
        subject=np.full(n, "s"),
        recording=np.full(n, "r"),
        start=np.zeros(n),
        sampling_rate=50.0,
    )


def test_windows_know_no_class_of_the_unlabelled():
    assert windows(ABSENT["object"]).classes == ["run", "walk"]
    assert windows(np.array([2, 10])).classes == ["10", "2"]


def test_a_file_may_leave_numbered_windows_unlabelled(tmp_path):
    arrays = {"X": np.zeros((3, 3, 10), np.float32), "subject": np.arange(3), "sampling_rate": 50.0}
    np.savez(tmp_path / "w.npz", **arrays, y=np.array([1.0, np.nan, 2.0]))
    assert load_windows(tmp_path / "w.npz").y.tolist() == ["1", "", "2"]


def test_draws_and_folds_know_no_class_of_the_unlabelled():
    y = np.array(["a", None, "b", "", "a", np.nan, "b", "a", "b"], object)
    texts = as_labels(y)
    np.testing.assert_array_equal(few_shot(y, np.arange(9), 2), few_shot(texts, np.arange(9), 2))
    np.testing.assert_array_equal(few_shot(y, np.arange(9), None), [0, 2, 4, 6, 7, 8])
    subjects = np.repeat(["p", "q", "r"], 3)
    assert subject_folds(subjects, y) == subject_folds(subjects, texts)


class Recorded:
    """A source whose labels come as pandas has them."""

    name = "pandas"

    def __init__(self, labels):
        self.report, self.labels = RowReport(), labels

    def pieces(self):
        n = len(self.labels)
        values = np.zeros((n, 3), np.float32)
        yield Piece("s", "r", 50.0, np.arange(n) / 50, values, self.labels)


def test_samples_without_label_make_no_class():
    labels = np.repeat(np.array(["walk", None, "run", np.nan], object), 100)
    cut = make_windows(Recorded(labels), WindowConfig(seconds=1.0, overlap=0.0))
    assert cut.classes == ["run", "walk"]
    assert len(cut) == 4
