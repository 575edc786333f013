"""Networks with other encoders than the default one, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from img2imu.convert import SpectrogramConfig, WaveformConfig
from img2imu.export import end_to_end, export_onnx
from img2imu.models import EncoderConfig

from .conftest import Build


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("resnet50", 48, 64),
        ("mobilenetv3_small_100", 96, 128),
        ("vit_tiny_patch16_224", 72, 96),
    ],
)
def test_any_encoder_becomes_a_file(
    build: Build, windows: NDArray[np.float32], tmp_path: Path, name: str, height: int, width: int
) -> None:
    size = {"width": width, "height": height}
    views = (SpectrogramConfig(normalize="fixed", **size), WaveformConfig(**size))
    network = build(views, EncoderConfig(name, stages=(2,), bands=3))
    path = tmp_path / "model.onnx"
    export_onnx(end_to_end(network, windows[:3]), path, {})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"window": windows[3:]})
    expected = network(torch.from_numpy(windows[3:])).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)
