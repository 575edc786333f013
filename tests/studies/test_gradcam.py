"""The study of heat maps, on a few real windows."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from img2imu.convert import pixel_extent
from img2imu.fewshot import ProbeConfig
from img2imu.models import EncoderConfig
from img2imu.studies import gradcam
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import prepare
from img2imu.studies.heat import PARTS
from img2imu.studies.rows import Row

pytest.importorskip("captum")

CONFIG = StudyConfig(ProbeConfig(shots=(2,), seeds=1), windows=None, reference="random")
ROWS = [
    Row("random", "image", "random", EncoderConfig(stages=(1,)), "img2imu"),
    Row("other", "image", "another", EncoderConfig(seed=1, stages=(1,)), "img2imu"),
    Row("hand-forest", "usual", "forest", None, "hand-forest"),
]


@pytest.fixture(scope="module")
def data(exercise):
    few = exercise.select(np.isin(exercise.y, exercise.classes[:3]))
    return prepare("few", few.select(slice(None, None, 6)), CONFIG)[0]


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module", autouse=True)
def _short():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradcam, "TRAINING", replace(gradcam.TRAINING, epochs=3, steps=4))
        patch.setattr(gradcam, "EXAMPLES", 4)
        yield


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        # However short the training is, let it be shown.
        patch.setattr("img2imu.fewshot.training.History.best", 3)
        return out, gradcam.run(out, [data], ROWS, CONFIG, jobs=1)


def test_everything_is_written(study, data):
    out, text = study
    for name in ("table.csv", "table.md", "table.html", "settings.json", "few.png"):
        assert (out / name).stat().st_size > 0
    assert "hand-forest: it reads no pictures" in text
    assert "fully supervised" in text
    records = rows_of(out / "table.csv")
    assert {r["row"] for r in records} == {"random", "other", gradcam.SUPERVISED}
    assert {r["class"] for r in records} == set(data.windows.classes)
    for r in records:
        assert 0 <= float(r["score"]) <= 1
        if r["low"]:
            parts = [float(r[name]) for name in PARTS]
            assert [sum(parts[:3]), sum(parts[3:])] == pytest.approx([1, 1], abs=1e-3)
    # A window without heat agrees with nothing, and the reference is not compared with itself.
    compared = {r["row"] for r in records if r["agreement"]}
    assert compared == {"random", "other"}


def test_examples_are_of_test_subjects_and_of_every_class(study, data):
    chosen = gradcam.examples(data)
    windows = data.windows
    assert set(windows.subject[chosen]) <= set(data.manifest.folds[0].test)
    names, counts = np.unique(windows.y[chosen], return_counts=True)
    assert names.tolist() == windows.classes and counts.max() <= 4
    assert len(set(chosen.tolist())) == len(chosen)


def test_a_repeated_study_computes_nothing(study, data, monkeypatch):
    out, text = study
    monkeypatch.setattr(gradcam, "_look", lambda *args: pytest.fail("looked again"))
    assert gradcam.run(out, [data], ROWS, CONFIG, jobs=1) == text


def test_a_figure_has_axes_in_seconds_and_hertz(study, data):
    looks = {
        "random": gradcam.Looks(0.5, np.ones(12), np.random.default_rng(0).random((12, 18, 24)))
    }
    figure = gradcam.draw(data, ROWS, looks)
    panels = [axis for axis in figure.axes if axis.images and axis.get_label() != "<colorbar>"]
    assert len(panels) == 3 * 2
    left, right, bottom, top = pixel_extent(gradcam.view_of(data), data.windows.X.shape[-1])
    assert panels[0].get_xlim() == pytest.approx((left, right))
    assert panels[0].get_ylim() == pytest.approx((bottom, top))
    assert 20 < top < 26 and 4 < right <= 5


def test_training_that_gains_nothing_is_told(data, tmp_path, monkeypatch):
    # So small a rate leaves the network where it was.
    monkeypatch.setattr(gradcam, "TRAINING", replace(gradcam.TRAINING, lr=1e-12, epochs=1, steps=1))
    text = gradcam.run(tmp_path / "out", [data], [ROWS[0]], CONFIG, jobs=1)
    assert "training from scratch" in text and "did not become better" in text
    assert (tmp_path / "out" / "few.png").is_file()


def test_a_class_that_no_test_subject_shows_is_named(data):
    windows = data.windows
    held = np.isin(windows.subject, data.manifest.folds[0].test)
    relabelled = np.where(held & (windows.y == windows.classes[0]), windows.classes[1], windows.y)
    poorer = replace(data, windows=replace(windows, y=relabelled))
    [gap] = gradcam._unseen(poorer)
    assert windows.classes[0] in gap.reason
