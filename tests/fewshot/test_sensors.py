"""Several sensors: pictures, features, classifier, evaluation, export."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from img2imu.augment import signals
from img2imu.cli import main
from img2imu.convert import (
    SignalError,
    SpectrogramConfig,
    WaveformConfig,
    fast_views,
    to_images,
    view_from_dict,
    view_to_dict,
)
from img2imu.errors import InputError
from img2imu.export import ExportedClassifier
from img2imu.fewshot import (
    FinetuneConfig,
    Img2ImuClassifier,
    ProbeConfig,
    evaluate,
    fit_classifier,
)
from img2imu.fewshot.handmade import handmade_features
from img2imu.fewshot.training import Trainer
from img2imu.models import EncoderConfig
from img2imu.recordings import Windows, save_windows
from tests.fewshot.signals import movements

BOTH = ("accel", "gyro")
SMALL = {"width": 32, "height": 24}
VIEWS = (
    SpectrogramConfig(nfft=32, noverlap=24, normalize="fixed", **SMALL),
    WaveformConfig(**SMALL),
    WaveformConfig(low=-5, high=5, sensor="gyro", **SMALL),
)


@pytest.fixture(scope="module")
def windows() -> Windows:
    """Noise of the accelerometer beside a gyroscope that tells the classes apart."""
    told = movements(each=3)
    noise = np.random.default_rng(1).normal(0, 0.3, told.X.shape).astype(np.float32)
    noise[:, 2] += 1
    return replace(told, X=np.concatenate([noise, told.X], axis=1), sensors=BOTH)


@pytest.fixture(scope="module")
def fitted(windows: Windows) -> Img2ImuClassifier:
    classifier = Img2ImuClassifier(
        views=VIEWS, encoder=EncoderConfig(stages=(1,), bands=1), sensors=BOTH
    )
    return classifier.fit(windows.X, windows.y)


@pytest.mark.parametrize("engine", ["compiled", "torch", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_view_draws_its_own_sensor(windows, engine, dtype):
    drawn = to_images(windows.X, VIEWS, engine, dtype, sensors=BOTH)
    accel, gyro = (np.ascontiguousarray(windows.X[:, part]) for part in (np.s_[:3], np.s_[3:]))
    alone = to_images(gyro, replace(VIEWS[2], sensor="accel"), engine, dtype)
    np.testing.assert_array_equal(drawn[:, :2], to_images(accel, VIEWS[:2], engine, dtype))
    np.testing.assert_array_equal(drawn[:, 2], alone)


def test_a_view_of_a_sensor_that_is_not_there_is_refused(windows):
    with pytest.raises(SignalError, match="a view draws the sensor gyro, and the windows are of"):
        to_images(windows.X[:, :3], VIEWS)
    with pytest.raises(SignalError, match=r"shape \(n, 6, samples\)"):
        to_images(windows.X[:, :3], VIEWS, sensors=BOTH)
    with pytest.raises(SignalError, match="sensor must be a name"):
        WaveformConfig(sensor="")


def test_a_view_of_the_accelerometer_is_written_as_it_always_was():
    assert "sensor" not in view_to_dict(VIEWS[0])
    assert view_to_dict(VIEWS[2])["sensor"] == "gyro"
    assert [view_from_dict(view_to_dict(view)) for view in VIEWS] == list(VIEWS)


def test_presets_draw_the_sensors_that_are_there():
    accel, both = fast_views(50.0, 250), fast_views(50.0, 250, ("accel", "wrist.gyro", "magn"))
    assert both[: len(accel)] == accel
    assert [view.sensor for view in both] == ["accel"] * 5 + ["wrist.gyro"] * 4 + ["magn"] * 4
    with pytest.raises(SignalError, match="no views are known for a sensor 'sonar'"):
        fast_views(50.0, 250, ("sonar",))


def test_hand_made_features_see_how_sensors_move_together(windows):
    both = handmade_features(windows.X, 50.0)
    accel, gyro = (handmade_features(windows.X[:, part], 50.0) for part in (np.s_[:3], np.s_[3:]))
    assert both.shape[1] == accel.shape[1] + gyro.shape[1] + 9 == 191
    expected = np.corrcoef(windows.X[4].astype(np.float64))[np.triu_indices(6, 1)]
    np.testing.assert_allclose(both[4, -15:], expected, atol=1e-5)
    shared = [np.isin(each, both[row]) for row, each in enumerate(np.hstack([accel, gyro]))]
    assert np.mean(shared) > 0.99


def test_one_rotation_turns_all_sensors(windows):
    X = torch.from_numpy(np.concatenate([windows.X[:, :3]] * 2, axis=1))
    turned = signals.rotate(X, torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned[:, :3], turned[:, 3:])
    alone = signals.rotate(X[:, :3], torch.Generator().manual_seed(0))
    torch.testing.assert_close(turned[:, :3], alone)
    assert not torch.allclose(turned, X)


def test_a_classifier_learns_from_the_sensor_that_tells(windows, fitted, tmp_path):
    assert (fitted.predict(windows.X) == windows.y).mean() > 0.9
    told = fitted.metadata()
    assert told["sensors"] == [{"name": "accel", "unit": "g"}, {"name": "gyro", "unit": "rad/s"}]
    assert "unit" not in told
    fitted.save(tmp_path / "model")
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    assert loaded.sensors == clone(fitted).sensors == BOTH
    np.testing.assert_array_equal(
        loaded.decision_function(windows.X), fitted.decision_function(windows.X)
    )


def test_what_does_not_fit_a_classifier_is_refused(windows, fitted):
    with pytest.raises(InputError, match=r"\(n, 6, samples\).*for accel and gyro"):
        fitted.predict(windows.X[:, :3])
    with pytest.raises(InputError, match="named by sensors"):
        Img2ImuClassifier(views=VIEWS[:1]).fit(windows.X, windows.y)


def test_an_evaluation_sees_all_sensors(windows, tmp_path):
    config = ProbeConfig(
        views=VIEWS, encoder=EncoderConfig(stages=(1,), bands=1), shots=(2,), seeds=1
    )
    scores = {}
    for names in (("accel",), BOTH):
        seen = windows.only(names)
        views = tuple(view for view in VIEWS if view.sensor in names)
        outcome = evaluate(
            seen, replace(config, views=views), ["img2imu", "hand-forest"], cache=tmp_path, jobs=1
        )
        assert outcome["settings"]["windows"]["sensors"] == list(names)
        scores[names] = [record["f1_mean"] for record in outcome["results"]]
    gain = np.subtract(scores[BOTH], scores["accel",])
    assert gain[0] > 0.05 and gain[1] > 0.2


def test_an_only_gyroscope_has_the_views_of_one(windows):
    gyro = windows.only(("gyro",))
    encoder = EncoderConfig(stages=(1,), bands=1)
    config = ProbeConfig(preset="fast", encoder=encoder)
    classifier = fit_classifier(gyro, config)
    assert {view.sensor for view in classifier.views_} == {"gyro"}
    assert classifier.metadata()["sensors"] == [{"name": "gyro", "unit": "rad/s"}]


def test_choices_of_sensors_are_compared(windows, tmp_path, capsys):
    save_windows(tmp_path / "w.npz", windows)
    options = ["--shots", "2", "--seeds", "1", "--methods", "hand-forest"]
    report = tmp_path / "r.json"
    choices = ["--sensors", "accel", "accel+gyro"]
    command = ["probe", str(tmp_path / "w.npz"), *options, "--json", str(report), *choices]
    assert main(command) in (0, None)
    found = json.loads(report.read_text())["choices"]
    assert list(found) == ["accel", "accel+gyro"]
    first, second = (each["results"][0]["f1_mean"] for each in found.values())
    assert second > first + 0.2
    told = capsys.readouterr().out
    assert f"{first:.3f}" in told and f"{second:.3f}" in told
    assert main([*command, "magn"]) == 2
    assert "no sensor 'magn'; there are: accel, gyro" in capsys.readouterr().err
    assert main([*command, "--model", str(tmp_path / "m")]) == 2
    assert "one choice of --sensors" in capsys.readouterr().err


def test_an_exported_file_names_its_sensors(windows, fitted, tmp_path):
    fitted.save(tmp_path / "model")
    command = ["export", str(tmp_path / "model"), "--golden", str(tmp_path / "golden")]
    assert main([*command, "--to", "onnx", "torchscript"]) in (0, None)
    exported = ExportedClassifier(tmp_path / "model" / "model.onnx")
    assert exported.metadata["sensors"] == fitted.metadata()["sensors"]
    np.testing.assert_allclose(
        exported.predict_proba(windows.X), fitted.predict_proba(windows.X), atol=1e-4
    )
    with pytest.raises(InputError, match=r"\(n, 6, 100\)"):
        exported.predict(windows.X[:, :3])
    golden = json.loads((tmp_path / "golden" / "golden.json").read_text())
    assert golden["sensors"] == fitted.metadata()["sensors"]
    assert golden["arrays"]["windows"]["shape"][1] == 6


@pytest.fixture(scope="module")
def read(windows) -> Img2ImuClassifier:
    """A network of the windows themselves."""
    classifier = Img2ImuClassifier(encoder=EncoderConfig("conv1d"), sensors=BOTH)
    return classifier.fit(windows.X, windows.y)


def test_a_network_of_windows_reads_all_axes(windows, read, tmp_path):
    assert (read.predict(windows.X) == windows.y).mean() > 0.9
    encoder = read.network_.encoder
    np.testing.assert_allclose(encoder.mean[:, 0], windows.X.mean((0, 2)), atol=1e-5)
    np.testing.assert_allclose(encoder.deviation[:, 0], windows.X.std((0, 2)), rtol=1e-4)
    read.save(tmp_path / "model")
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded.decision_function(windows.X), read.decision_function(windows.X)
    )
    assert main(["export", str(tmp_path / "model"), "--to", "onnx"]) in (0, None)
    exported = ExportedClassifier(tmp_path / "model" / "model.onnx")
    np.testing.assert_allclose(
        exported.predict_proba(windows.X), read.predict_proba(windows.X), atol=1e-4
    )


def test_a_network_of_windows_gains_by_the_sensor_that_tells(windows, tmp_path):
    config = ProbeConfig(encoder=EncoderConfig("conv1d"), shots=(2,), seeds=1)
    training = FinetuneConfig(None, epochs=1, patience=1, steps=1, policy=None)
    scores = [
        evaluate(
            windows.only(names),
            config,
            ["img2imu", "finetune"],
            training=training,
            cache=tmp_path,
            jobs=1,
        )["results"]
        for names in (("accel",), BOTH)
    ]
    for one, both in zip(*scores, strict=True):
        assert both["f1_mean"] > one["f1_mean"] + 0.1, (one["method"], one["f1_mean"])


def test_training_turns_the_sensors_of_one_place_together(windows, read):
    config = FinetuneConfig(scale=0, shift=0, policy=None, rotate=180)
    for sensors, together in ((BOTH, True), (("accel", "wrist.gyro"), False)):
        network = deepcopy(read.network_)
        network.sensors = sensors
        same = torch.from_numpy(np.concatenate([windows.X[:, 3:]] * 2, axis=1))
        inputs = Trainer(network, config, "cpu")._inputs(same, torch.Generator().manual_seed(0))
        assert torch.equal(inputs[:, :3], inputs[:, 3:]) == together
        assert not torch.allclose(inputs, same)


def test_what_reads_one_sensor_says_so(windows, tmp_path, capsys):
    path = str(tmp_path / "w.npz")
    save_windows(path, windows)
    assert main(["study", "grid", path, "-o", str(tmp_path / "out")]) == 2
    assert "takes the accelerometer alone so far, not accel and gyro" in capsys.readouterr().err
