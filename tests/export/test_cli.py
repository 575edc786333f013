"""``img2imu export``."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from img2imu.cli import main
from img2imu.export import executorch, files, latency
from img2imu.export.golden import read_golden
from img2imu.fewshot import Img2ImuClassifier
from img2imu.models import EncoderConfig
from img2imu.recordings import Windows, save_windows

from .conftest import Written, once


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol's length is of no interest here."""
    monkeypatch.setattr(latency, "time_calls", once)


def test_writes_the_file_and_says_so(
    model: Path, windows: NDArray[np.float32], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, own = tmp_path / "report.json", tmp_path / "model"
    shutil.copytree(model, own)
    assert main(["export", str(own), "--json", str(folder)]) == 0
    printed, complaints = capfd.readouterr()
    assert complaints == ""
    assert f"{own / 'model.onnx'}: " in printed
    assert "same as PyTorch on 4 windows" in printed
    assert "threads      p50      p90      p95      p99      max" in printed
    assert "torch.onnx" not in printed

    report = json.loads(folder.read_text())
    [file] = report["files"]
    assert file["path"] == str(own / "model.onnx")
    assert file["size"] == (own / "model.onnx").stat().st_size
    assert file["parity"]["tolerance"] == 1e-4
    assert file["latency"][0]["threads"] == 1
    assert report["environment"]["cpu"]["model"] in printed

    session = onnxruntime.InferenceSession(own / "model.onnx")
    texts = session.get_modelmeta().custom_metadata_map
    labels = json.loads(texts["labels"])
    (probabilities,) = session.run(["probabilities"], {"window": windows})
    classifier = Img2ImuClassifier.load(own)
    assert [labels[k] for k in probabilities.argmax(1)] == classifier.predict(windows).tolist()
    assert json.loads(texts["views"])[0]["normalize"] == "fixed"
    assert json.loads(texts["sampling_rate"]) == 50
    assert json.loads(texts["samples"]) == 250


def test_every_kind_of_file(written: Written) -> None:
    endings = (".onnx", ".int8.onnx", ".ort", ".pt")
    names = {f"model{form}{ending}" for form in ("", ".image") for ending in endings}
    assert {path.name for path in written.folder.iterdir()} == names
    assert {Path(file["path"]) for file in written.report["files"]} == {
        written.folder / name for name in names
    }
    assert all(f"{written.folder / name}: " in written.printed for name in names)
    timed = {Path(file["path"]).name for file in written.report["files"] if file["latency"]}
    assert timed == {name for name in names if not name.endswith(".pt")}
    assert len(read_golden(written.golden).arrays["windows"]) == 4
    session = onnxruntime.InferenceSession(written.folder / "model.image.int8.onnx")
    assert [given.name for given in session.get_inputs()] == ["image"]
    umask = os.umask(0)
    os.umask(umask)
    for path in (*written.folder.iterdir(), *written.golden.iterdir()):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path


def test_only_what_was_asked_for(model: Path, tmp_path: Path) -> None:
    assert main(["export", str(model), "--to", "ort", "-o", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.ort"]
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def too_late(*_: object) -> None:
    """What stands for the long work that bad input must not begin."""
    raise AssertionError("began to export")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{tmp}"], "is not a classifier folder"),
        (["{model}", "-o", "{model}/config.json"], "is a file: give a folder"),
        (["{model}", "-o", "{tmp}/out", "--opset", "9"], "opset 9 is not supported"),
        (["{model}", "-o", "{tmp}/out", "--json", "{tmp}/no/r.json"], "no does not exist"),
        (["{model}", "-o", "{tmp}/out", "--json", "/"], "cannot write /: it is a folder"),
        (["{model}", "-o", "{tmp}/out", "--golden", "{model}"], "holds no golden vectors"),
        (["{model}", "-o", "{tmp}/out", "--quantize", "int8"], "needs --calibration FILE"),
        (
            ["{model}", "-o", "{tmp}/out", "--quantize", "int8", "--calibration", "{tmp}/no.npz"],
            "no.npz",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(files, "export_onnx", too_late)
    filled = [argument.format(tmp=tmp_path, model=model) for argument in arguments]
    before = sorted(model.iterdir())
    assert main(["export", *filled]) == 2
    printed, complaint = capfd.readouterr()
    assert printed == ""
    assert sentence in complaint
    assert complaint.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert sorted(model.iterdir()) == before


@pytest.mark.parametrize(
    ("rows", "rate", "sentence"),
    [
        (slice(0, 20), 50.0, "20"),
        (slice(0, 40), 40.0, "250 samples at 40 Hz, but the classifier takes 250 samples at 50 Hz"),
    ],
)
def test_calibration_that_does_not_fit(
    model: Path,
    exercise: Windows,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rows: slice,
    rate: float,
    sentence: str,
) -> None:
    monkeypatch.setattr(files, "export_onnx", too_late)
    windows = exercise.select(np.arange(len(exercise.y))[rows])
    path = tmp_path / "windows.npz"
    save_windows(path, replace(windows, sampling_rate=rate))
    out = ["-o", str(tmp_path / "out"), "--quantize", "int8", "--calibration", str(path)]
    assert main(["export", str(model), *out]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


def test_weights_missing(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "model"
    shutil.copytree(model, own)
    (own / "model.safetensors").unlink()
    assert main(["export", str(own)]) == 2
    assert "model.safetensors is missing" in capsys.readouterr().err
    assert [path.name for path in own.iterdir()] == ["config.json"]


def test_missing_package_leaves_nothing(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executorch, "find_spec", lambda name: None)
    monkeypatch.setattr(files, "export_onnx", too_late)
    out = tmp_path / "out"
    assert main(["export", str(model), "--to", "onnx", "executorch", "-o", str(out)]) == 2
    assert "pip install 'img2imu[executorch]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_encoder_of_windows_has_no_image_form(
    windows: NDArray[np.float32],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = Img2ImuClassifier(50.0, encoder=EncoderConfig("conv1d"))
    classifier.fit(np.concatenate([windows, 0.2 * windows]), ["strong"] * 7 + ["weak"] * 7)
    classifier.save(tmp_path / "model")
    out = ["-o", str(tmp_path / "out")]
    with monkeypatch.context() as patch:
        patch.setattr(files, "export_onnx", too_late)
        assert main(["export", str(tmp_path / "model"), "--form", "end-to-end", "image", *out]) == 2
    assert "reads windows, not pictures: no image form" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["export", str(tmp_path / "model"), *out]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    [logits] = session.run(["logits"], {"window": windows})
    expected = classifier.decision_function(windows)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_unknown_target(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", str(model), "--to", "tape"])
    assert stop.value.code == 2
    assert "onnx" in capsys.readouterr().err
