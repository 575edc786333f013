"""Known answers in the metadata of exported files, checked by ONNX Runtime on the file itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from img2imu.export.known import MOST, QUANTIZED_TOLERANCE, known_rows
from img2imu.fewshot import Img2ImuClassifier

from .conftest import Written


def _known(path: Path) -> tuple[dict[str, Any], NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    known = json.loads(session.get_modelmeta().custom_metadata_map["known_answers"])
    windows = np.frombuffer(base64.b64decode(known["windows"]), "<f4").reshape(known["shape"])
    return known, windows


@pytest.mark.parametrize("name", ["model.onnx", "model.ort", "model.int8.onnx"])
def test_a_file_answers_as_it_says(written: Written, model: Path, name: str) -> None:
    path = written.folder / name
    known, windows = _known(path)
    classifier = Img2ImuClassifier.load(model)
    kept = known_rows(len(classifier.check_windows_))
    np.testing.assert_array_equal(windows, classifier.check_windows_[kept])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = np.concatenate(
        [session.run(["probabilities"], {"window": one[None]})[0] for one in windows]
    )
    expected = np.array(known["probabilities"])
    float_answers = classifier.predict_proba(windows)
    if "int8" in name:
        np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-6)
        assert known["allowed"] == [QUANTIZED_TOLERANCE] * len(windows)
        assert np.abs(expected - float_answers).max() > 1e-5  # its own, not the float file's
    else:
        np.testing.assert_allclose(float_answers, expected, rtol=0, atol=1e-6)
        gaps = np.abs(answers - expected).max(axis=1)
        assert (gaps <= known["allowed"]).all() and max(known["allowed"]) < 0.01


@pytest.mark.parametrize("name", ["model.image.onnx", "model.image.ort", "model.image.int8.onnx"])
def test_files_of_pictures_keep_the_windows_they_were_drawn_from(
    written: Written, model: Path, name: str
) -> None:
    path = written.folder / name
    known, windows = _known(path)
    images = Img2ImuClassifier.load(model).network_.drawing(torch.from_numpy(windows.copy()))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [answers] = session.run(["probabilities"], {"image": images.numpy()[:, 0]})
    gaps = np.abs(answers - known["probabilities"]).max(axis=1)
    assert (gaps <= np.array(known["allowed"]) + 1e-6).all()


def test_they_are_small(written: Written) -> None:
    known, windows = _known(written.folder / "model.onnx")
    assert len(windows) == MOST
    assert len(json.dumps(known)) < 1.5 * windows.nbytes
    assert [known_rows(count) for count in (1, 3, 14)] == [[0], [0, 1, 2], [0, 4, 9, 13]]
