"""``img2imu export``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from img2imu.classifier import Img2ImuClassifier
from img2imu.cli import main
from img2imu.convert import SpectrogramConfig
from img2imu.export import latency
from img2imu.models import EncoderConfig


@pytest.fixture(scope="module")
def model(windows: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier folder: the windows, some of them turned over, as two classes."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    views = (SpectrogramConfig(normalize="fixed", width=64, height=48),)
    classifier = Img2ImuClassifier(50.0, views, EncoderConfig(stages=(1,), bands=3))
    classifier.fit(np.concatenate([windows, 0.2 * windows]), ["strong"] * 7 + ["weak"] * 7)
    classifier.save(folder)
    return folder


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol's length is of no interest here."""
    monkeypatch.setattr(latency, "time_calls", lambda call, seconds: np.ones(3))


def test_writes_the_file_and_says_so(
    model: Path, windows: NDArray[np.float32], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(model), "--json", str(tmp_path / "report.json")]) == 0
    printed, complaints = capfd.readouterr()
    assert complaints == ""
    assert f"{model / 'model.onnx'}: " in printed
    assert "same as PyTorch on 4 windows" in printed
    assert "threads      p50      p90      p95      p99      max" in printed
    assert "torch.onnx" not in printed

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["size"] == (model / "model.onnx").stat().st_size
    assert report["parity"]["logits"] <= report["parity"]["tolerance"] == 1e-4
    assert report["latency"][0]["threads"] == 1
    assert report["environment"]["cpu"]["model"] in printed

    session = onnxruntime.InferenceSession(model / "model.onnx")
    texts = session.get_modelmeta().custom_metadata_map
    labels = json.loads(texts["labels"])
    (probabilities,) = session.run(["probabilities"], {"window": windows})
    classifier = Img2ImuClassifier.load(model)
    assert [labels[k] for k in probabilities.argmax(1)] == classifier.predict(windows).tolist()
    assert json.loads(texts["views"])[0]["normalize"] == "fixed"
    assert json.loads(texts["sampling_rate"]) == 50
    assert json.loads(texts["samples"]) == 250


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{tmp}"], "is not a classifier folder"),
        (["{model}", "-o", "{tmp}/nowhere/m.onnx"], "nowhere does not exist"),
        (["{model}", "-o", "{tmp}/m.onnx", "--opset", "9"], "opset 9 is not supported"),
    ],
)
def test_bad_input_is_one_sentence(
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    filled = [argument.format(tmp=tmp_path, model=model) for argument in arguments]
    assert main(["export", *filled]) == 2
    printed, complaint = capfd.readouterr()
    assert printed == ""
    assert sentence in complaint
    assert complaint.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_unknown_target(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["export", str(model), "--to", "tape"])
    assert stop.value.code == 2
    assert "onnx" in capsys.readouterr().err
