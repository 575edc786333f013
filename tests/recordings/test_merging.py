"""Several windows files as one, and whose windows are taken."""

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.recordings import Subjects, Windows, load_windows, merge_windows, save_windows
from img2imu.recordings.merging import set_names


def some(seed, subjects=("1", "2"), samples=40, rate=20.0):
    rng = np.random.default_rng(seed)
    n = 4 * len(subjects)
    subject = np.repeat(subjects, 4)
    recording = np.char.add(subject, ".csv")
    X = rng.normal((0, 0, 1), 0.2, (n, samples, 3)).transpose(0, 2, 1).astype(np.float32)
    y = np.array(["sit", "walk"] * (n // 2))
    return Windows(X, y, subject, recording, np.arange(n) * 1.0, rate, np.arange(n) + 1e9)


def test_names_that_occur_twice_are_told_apart():
    a, b = some(0), some(1, subjects=("2", "3"))
    merged = merge_windows({"a": a, "b": b})
    np.testing.assert_array_equal(merged.X, np.concatenate([a.X, b.X]))
    np.testing.assert_array_equal(merged.epoch, np.concatenate([a.epoch, b.epoch]))
    assert merged.subjects == ["1", "3", "a/2", "b/2"]
    assert set(merged.recording) == {"1.csv", "3.csv", "a/2.csv", "b/2.csv"}
    assert merged.y.tolist() == [*a.y, *b.y]


def test_one_person_keeps_one_name_and_two_recordings():
    """Else windows of two recordings would be neighbours."""
    merged = merge_windows({"a": some(0), "b": some(1)}, same_people=True)
    assert merged.subjects == ["1", "2"]
    assert set(merged.recording) == {"a/1.csv", "a/2.csv", "b/1.csv", "b/2.csv"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (some(1, samples=50), "b holds windows of 50 samples at 20 Hz and a of 40 samples at 20"),
        (some(1, rate=25.0), "40 samples at 25 Hz and a of 40 samples at 20 Hz: convert the"),
        (some(0).select(slice(3, 5)), "b and a hold the same windows"),
    ],
)
def test_what_cannot_be_one_set_is_refused(other, message):
    with pytest.raises(InputError, match=message):
        merge_windows({"a": some(0), "b": other})


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["out/a/windows.npz", "out/b/windows.npz"], ["a", "b"]),
        (["out/a.npz", "b.npz"], ["a", "b"]),
        (["out/a.npz", "b/a.npz"], ["out", "b"]),
        (["x/a/w.npz", "y/a/w.npz", "y/b/w.npz"], ["x/a", "y/a", "y/b"]),
        (["a.npz"], ["a"]),
    ],
)
def test_files_are_called_by_what_tells_them_apart(paths, names):
    assert set_names(paths) == names


def test_the_command_merges(tmp_path, capsys, refused):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        save_windows(tmp_path / name / "windows.npz", some(seed))
    files = [str(tmp_path / name / "windows.npz") for name in "ab"]
    out = tmp_path / "both.npz"
    assert main(["merge", *files, "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "a: 8 windows of 2 subjects: sit 4, walk 4" in printed
    assert "and told apart: 1, 2 (--same-people" in printed
    assert load_windows(out).subjects == ["a/1", "a/2", "b/1", "b/2"]
    assert main(["merge", *files, "-o", str(out), "--same-people"]) == 0
    assert "apart" not in capsys.readouterr().out
    assert load_windows(out).subjects == ["1", "2"]
    assert "named twice" in refused("merge", files[0], files[0], "-o", tmp_path / "new.npz")
    assert "does not exist" in refused("merge", files[0], "-o", tmp_path / "no" / "new.npz")
    assert not (tmp_path / "new.npz").exists()


def test_subjects_by_name():
    windows = some(0, subjects=("ann", "ben", "cem"))
    assert Subjects().of(windows).subjects == ["ann", "ben", "cem"]
    assert Subjects(only=("ben", "ann")).of(windows).subjects == ["ann", "ben"]
    assert Subjects(without=("ben",)).of(windows).subjects == ["ann", "cem"]
    assert Subjects(("ann", "ben"), ("ben",)).of(windows).subjects == ["ann"]


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        (Subjects(only=("dan",)), "no subject 'dan' in w.npz; there are: ann, ben"),
        (Subjects(without=("ann", "dan")), "no subject 'dan'"),
        (Subjects(without=("ann", "ben")), "no subject of w.npz is left"),
        (Subjects(("ann",), ("ann",)), "no subject of w.npz is left"),
    ],
)
def test_subjects_that_are_not_there(subjects, message):
    with pytest.raises(InputError, match=message):
        subjects.require_among(["ben", "ann", "ann"], "w.npz")
