"""A classifier from one person or two, without an evaluation, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest

from img2imu import Img2ImuClassifier, ProbeConfig
from img2imu.cli import main
from img2imu.convert import WaveformConfig
from img2imu.errors import InputError
from img2imu.fewshot import fit_classifier
from img2imu.models import EncoderConfig
from img2imu.recordings import Windows, save_windows

from .signals import movements

VIEWS = (WaveformConfig(50.0, width=24, height=24),)
SMALL = EncoderConfig(stages=(1,), bands=1)
CONFIG = ProbeConfig(encoder=SMALL, views=VIEWS, C=(0.3,))


@pytest.fixture(scope="module")
def people() -> Windows:
    """Three people, three movements, two recordings of each person."""
    windows = movements(subjects=3, each=6)
    part = np.where(np.arange(len(windows)) % 2, "-a", "-b")
    return Windows(**{**vars(windows), "recording": np.char.add(windows.subject, part)})


def test_it_is_the_estimator_with_the_settings_of_the_preset(people: Windows) -> None:
    found = fit_classifier(people, CONFIG)
    wanted = Img2ImuClassifier(50.0, VIEWS, SMALL, 0.3).fit(people.X, people.y, people.subject)
    assert found.order_ == wanted.order_
    np.testing.assert_array_equal(found.predict_proba(people.X), wanted.predict_proba(people.X))
    assert found.scores_ == {}
    assert found.trained_on_["subjects"] == 3


def test_of_one_person_recordings_are_left_out(people: Windows) -> None:
    one = people.select(people.subject == "s1")
    found = fit_classifier(one, CONFIG)
    wanted = Img2ImuClassifier(50.0, VIEWS, SMALL, 0.3).fit(one.X, one.y, one.recording)
    assert (found.order_, found.trained_on_["subjects"]) == (wanted.order_, 1)


def test_one_window_of_a_class_can_be_learnt(people: Windows) -> None:
    """Nothing is left out then, and no library complains."""
    firsts = [int(np.flatnonzero(people.y == name)[0]) for name in people.classes]
    few = people.select(np.array([*firsts, 40]))
    classifier = fit_classifier(few, CONFIG)
    assert classifier.order_ == 0
    assert classifier.predict(few.X).tolist() == few.y.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.full(54, "walk")}, "two classes are needed, not only ..walk"),
        ({"y": np.full(54, "")}, "two classes are needed, not only "),
        ({"X": np.zeros((54, 3, 100), np.float32)}, "all 54 windows are alike"),
    ],
)
def test_what_cannot_be_learnt_is_told(people: Windows, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_classifier(Windows(**{**vars(people), **change}), CONFIG)


def test_the_command(people: Windows, tmp_path: Path, capsys, refused) -> None:
    path, model = tmp_path / "w.npz", tmp_path / "new" / "model"
    save_windows(path, people)
    options = ["--preset", "fast", "-o", str(model)]
    assert main(["fit", str(path), *options, "--exclude-subjects", "s2"]) == 0
    printed = capsys.readouterr().out
    assert "36 windows of 2 subjects: fast 12, slow 12, walk 12" in printed
    assert "not measured: 'img2imu predict' does, on a labelled recording of somebody" in printed
    fitted = Img2ImuClassifier.load(model)
    assert (fitted.trained_on_["windows"], fitted.trained_on_["subjects"]) == (36, 2)
    assert main(["fit", str(path), *options]) == 0
    assert "'img2imu probe' does, on these" in capsys.readouterr().out
    assert "no subject 's9'" in refused("fit", path, *options, "--subjects", "s9")
    assert "is not a classifier" in refused("fit", path, "-o", tmp_path)
    assert Img2ImuClassifier.load(model).trained_on_["subjects"] == 3


def test_an_evaluation_is_of_those_chosen(people: Windows, tmp_path: Path, capsys, refused) -> None:
    path = tmp_path / "w.npz"
    save_windows(path, movements(subjects=4, each=4))
    common = ["probe", str(path), "--shots", "2", "--seeds", "1", "--methods", "hand-forest"]
    assert main([*common, "--exclude-subjects", "s0"]) == 0
    assert "36 windows, 3 subjects, 3 classes" in capsys.readouterr().out
    said = refused(*common, "--subjects", "s0", "s1")
    assert "at least 3 subjects; there are 2: s0, s1 (img2imu fit takes any number" in said
    study = ["study", "table2", str(path), "-o", str(tmp_path / "study"), *common[2:6]]
    study += ["--rows", "hand-forest", "--reference", "hand-forest", "--jobs", "1"]
    assert main([*study, "--exclude-subjects", "s3"]) == 0
    splits = (tmp_path / "study" / "splits" / "w.json").read_text()
    assert "s2" in splits and "s3" not in splits
    assert "no subject 'ann' in the windows files" in refused(*study, "--subjects", "s0", "ann")
