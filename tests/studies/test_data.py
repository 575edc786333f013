"""Data sets of a study: thinned evenly, split, and named where they cannot take part."""

from collections import Counter

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.fewshot import ProbeConfig
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets, thin

from .samples import make_windows, windows_file


def test_thinning_is_even_over_subjects_and_classes():
    windows = make_windows(subjects=4, each=10)
    rare = (windows.y != "a") | (windows.subject != "s0") | (np.arange(len(windows)) < 2)
    windows = windows.select(rare)  # two windows of a by s0, ten of every other pair
    few = thin(windows, 60)
    counts = Counter(zip(few.subject.tolist(), few.y.tolist(), strict=True))
    assert len(few) == 60 and len(counts) == 12
    assert counts.pop(("s0", "a")) == 2
    assert set(counts.values()) <= {5, 6}
    assert len({tuple(x.ravel()) for x in few.X}) == 60
    again = thin(windows, 60)
    np.testing.assert_array_equal(few.X, again.X)
    assert thin(windows, None) is windows and thin(windows, 10**6) is windows


def test_thinning_keeps_windows_whole():
    windows = make_windows()
    few = thin(windows, 20)
    known = {
        x.tobytes(): (y, s) for x, y, s in zip(windows.X, windows.y, windows.subject, strict=True)
    }
    for x, y, s in zip(few.X, few.y, few.subject, strict=True):
        assert known[x.tobytes()] == (y, s)


def test_sets_that_cannot_take_part_are_named(tmp_path):
    good = windows_file(tmp_path, "good")
    few = windows_file(tmp_path, "few", subjects=2)
    single = windows_file(tmp_path, "single", classes="a")
    config = StudyConfig(ProbeConfig(shots=(2,), seeds=1))
    sets, missing = load_sets([good, few, single, tmp_path / "gone.npz"], config)
    assert [data.name for data in sets] == ["good"]
    reasons = {gap.dataset: gap.reason for gap in missing}
    assert "subjects" in reasons["few"] and "does not exist" in reasons["gone"]
    assert "two are needed" in reasons["single"]


def test_shots_that_a_class_lacks_are_named(tmp_path):
    """Three training subjects of six windows give 18 of each class."""
    config = StudyConfig(ProbeConfig(shots=(1, 18, 19), seeds=2))
    [data], missing = load_sets([windows_file(tmp_path)], config)
    assert data.shots == (1, 18)
    assert len(data.manifest.draws) == 5 * 2 * 2
    [gap] = missing
    assert gap.dataset == "toy" and gap.reason.startswith("19 shots: class")


def test_nothing_to_study_is_refused(tmp_path):
    config = StudyConfig(ProbeConfig(shots=(99,)))
    with pytest.raises(InputError, match="99 shots"):
        load_sets([windows_file(tmp_path)], config)
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="two windows files are called toy"):
        load_sets([tmp_path / "toy.npz", windows_file(tmp_path / "x")], config)
    with pytest.raises(InputError, match="windows must be"):
        StudyConfig(windows=-1)


def test_identity_notices_samples_that_change(tmp_path):
    config = StudyConfig(ProbeConfig(shots=(2,), seeds=1))
    one, other = (load_sets([windows_file(tmp_path, seed=s)], config)[0][0] for s in (0, 1))
    assert one.identity["fingerprint"] == other.identity["fingerprint"]
    assert one.identity["samples_sha256"] != other.identity["samples_sha256"]
