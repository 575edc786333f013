"""Windows that are not what they are taken for, by everything that reads windows."""

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.recordings import Windows, load_windows
from img2imu.recordings.plausible import require_different, require_g, require_testable


def some(n=60, gravity=1.0):
    """Windows of five people and two classes, with gravity along z."""
    rng = np.random.default_rng(0)
    X = rng.normal((0, 0, gravity), 0.2 * gravity, (n, 40, 3)).transpose(0, 2, 1)
    subject = np.array(list("pqrst"))[np.arange(n) // 2 % 5]
    y = np.array(["sit", "walk"])[np.arange(n) % 2]
    return Windows(X.astype(np.float32), y, subject, subject, np.zeros(n), 20.0)


def changed(**columns):
    return Windows(**{**vars(some()), **columns})


def refuses(check, given):
    try:
        check(given)
    except InputError:
        return True
    return False


def test_gravity_in_another_unit_is_refused_and_nothing_else():
    """Told by numpy's median magnitude: a centrifuge and what has no gravity pass."""
    X = some().X
    magnitude = np.median(np.linalg.norm(X.astype(np.float64), axis=1))
    factors = np.geomspace(0.05, 3000, 80)
    units = magnitude * factors / np.array([[9.80665], [1000.0]])
    expected = ((units > 0.8) & (units < 1.25)).any(axis=0)
    assert [refuses(require_g, X * factor) for factor in factors] == expected.tolist()
    assert 4 < expected.sum() < 20
    assert not refuses(require_g, X[:0] * 9.80665)


@pytest.mark.parametrize(("gravity", "unit"), [(9.80665, "m/s2"), (1000.0, "mg")])
def test_another_unit_is_told_by_everything_that_reads_windows(tmp_path, refused, gravity, unit):
    from img2imu import Img2ImuClassifier, ProbeConfig, evaluate

    windows = some(gravity=gravity)
    message = f"must be in g, but by gravity these are in {unit}: divide them by {gravity:g}"
    with pytest.raises(InputError, match=message):
        Img2ImuClassifier(20.0).fit(windows.X, windows.y)
    with pytest.raises(InputError, match=message):
        evaluate(windows, ProbeConfig(shots=(2,)), ["hand-forest"])
    path = tmp_path / "w.npz"
    np.savez(path, X=windows.X, y=windows.y, subject=windows.subject, sampling_rate=20.0)
    with pytest.raises(InputError, match=message):
        load_windows(path)
    for command in ("probe", "finetune"):
        assert message in refused(command, path)
    assert message in refused("fit", path, "-o", tmp_path / "model")
    assert message in refused("study", "table2", path, "-o", tmp_path / "study")
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.npz"]


def test_a_classifier_does_not_label_windows_in_another_unit():
    from img2imu import EncoderConfig, Img2ImuClassifier
    from img2imu.convert import WaveformConfig

    windows = some()
    views, encoder = (WaveformConfig(20.0, width=24, height=24),), EncoderConfig(stages=(1,))
    classifier = Img2ImuClassifier(20.0, views, encoder).fit(windows.X[:8], windows.y[:8])
    assert len(classifier.predict(windows.X[:1])) == 1
    with pytest.raises(InputError, match="there are no windows"):
        classifier.predict(windows.X[:0])
    with pytest.raises(InputError, match="by gravity these are in m/s2"):
        classifier.predict(windows.X[:1] * 9.80665)


COPIES = some().X[np.arange(60) % 2 * np.ones(60, int)]  # one window of each class, again and again


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (changed(y=np.full(60, "walk")), "there is one class only, 'walk': two are needed"),
        (changed(y=np.full(60, "")), "no window has a label"),
        (changed(y=np.where(np.arange(60) < 4, "rare", some().y)), "'rare' has 4 windows: 5 are"),
        (changed(X=np.repeat(some().X[:1], 60, axis=0)), "all 60 windows are alike"),
        (changed(X=COPIES), "60 of 60 windows belong to more than one subject, such as 'p' and"),
    ],
)
def test_a_score_that_would_mean_nothing_is_refused(windows, message):
    with pytest.raises(InputError, match=message):
        require_testable(windows)


@pytest.mark.parametrize("count", [0, 20, 30, 31, 50])
def test_windows_that_people_share_are_a_copy_if_they_are_most(count):
    """A few are as those of a sensor that lies still."""
    X = some().X.copy()
    X[:count] = X[0]
    assert refuses(require_testable, changed(X=X)) == (count > len(X) / 2)


def test_windows_alike_are_learnt_by_nobody():
    from img2imu import Img2ImuClassifier

    X = np.repeat(some().X[:1], 8, axis=0)
    with pytest.raises(InputError, match="all 8 windows are alike"):
        Img2ImuClassifier(20.0).fit(X, ["a", "b"] * 4)
    require_different(some().X[:1])
    require_different(X[[0, 1, 2, 0]] + np.arange(4)[:, None, None] % 3)  # ends alone are alike


def test_probe_says_what_a_recording_copied_for_three_people_is(tmp_path, refused, capsys):
    one = some(20)
    path = tmp_path / "w.npz"
    subject = np.repeat(["ann", "ben", "cem"], 20)
    np.savez(
        path, X=np.tile(one.X, (3, 1, 1)), y=np.tile(one.y, 3), subject=subject, sampling_rate=20.0
    )
    said = refused("probe", path, "--shots", 2, "--methods", "hand-forest")
    assert "the same recordings under two names" in said
    np.savez(path, X=some().X, y=some().y, subject=some().subject, sampling_rate=20.0)
    assert main(["probe", str(path), "--shots", "2", "--methods", "hand-forest"]) == 0
    assert "1.000" not in capsys.readouterr().out  # noise
