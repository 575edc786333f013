"""Networks and real windows to export, small enough to build for every run of the tests."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from img2imu.cli import main
from img2imu.convert import SpectrogramConfig, View, Views, WaveformConfig
from img2imu.export import Graph, end_to_end, from_image, latency
from img2imu.fewshot import Img2ImuClassifier, Img2ImuNetwork
from img2imu.models import EncoderConfig, build_encoder
from img2imu.recordings import Windows, save_windows

Build = Callable[[tuple[View, ...], EncoderConfig], Img2ImuNetwork]


@pytest.fixture(scope="session")
def windows() -> NDArray[np.float32]:
    """Seven real windows of 5 s at 50 Hz, in g, one of each class."""
    from img2imu.errors import InputError
    from img2imu.recordings import WindowConfig, make_windows, open_source

    try:
        source = open_source("exercise")
    except InputError as error:
        pytest.skip(str(error))
    return make_windows(source, WindowConfig(), max_per_class=1).X


@pytest.fixture(scope="session")
def build(windows: NDArray[np.float32]) -> Build:
    """Views and an encoder to a network of five classes, logits of a classifier's size."""

    def build(views: tuple[View, ...], config: EncoderConfig) -> Img2ImuNetwork:
        drawing, encoder = Views(views), build_encoder(config)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(1)
            features = encoder(drawing(torch.from_numpy(windows)))
            head = nn.Linear(features.shape[1], 5)
            head.weight *= 3 / head(features).std()
        return Img2ImuNetwork(drawing, encoder, head).eval().requires_grad_(False)

    return build


@pytest.fixture(scope="session")
def network(build: Build) -> Img2ImuNetwork:
    """Three small views, read at the first stage."""
    small = {"width": 48, "height": 36}
    views = (
        SpectrogramConfig(nfft=32, noverlap=28, normalize="fixed", **small),
        SpectrogramConfig(nfft=64, noverlap=60, detrend=True, **small),
        WaveformConfig(**small),
    )
    return build(views, EncoderConfig(stages=(1,), bands=3))


@pytest.fixture(scope="session")
def paper_network(build: Build) -> Img2ImuNetwork:
    """The paper's picture."""
    return build((SpectrogramConfig(),), EncoderConfig(stages=(2,), bands=1))


@pytest.fixture(scope="session")
def graph(network: Img2ImuNetwork, windows: NDArray[np.float32]) -> Graph:
    """The network from windows on."""
    return end_to_end(network, windows)


@pytest.fixture(scope="session")
def image_graph(network: Img2ImuNetwork, windows: NDArray[np.float32]) -> Graph:
    """The network from images on."""
    return from_image(network, windows)


@pytest.fixture(scope="session")
def model(windows: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier folder: the windows, some of them weaker, as two classes."""
    folder = tmp_path_factory.mktemp("classifier") / "model"
    views = (SpectrogramConfig(normalize="fixed", width=64, height=48),)
    classifier = Img2ImuClassifier(50.0, views, EncoderConfig(stages=(1,), bands=3))
    classifier.fit(np.concatenate([windows, 0.2 * windows]), ["strong"] * 7 + ["weak"] * 7)
    classifier.save(folder)
    return folder


@dataclass(frozen=True)
class Written:
    """What ``img2imu export`` left and said."""

    folder: Path
    golden: Path
    report: dict[str, Any]
    printed: str


def once(call: Callable[[], Any], seconds: float) -> NDArray[np.float64]:
    """Call it, and say it took one millisecond."""
    call()
    return np.ones(1)


@pytest.fixture(scope="session")
def written(model: Path, exercise: Windows, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Every kind of file in both forms, calibrated on forty real windows; latencies of one ms."""
    folder = tmp_path_factory.mktemp("written")
    save_windows(folder / "windows.npz", exercise.select(np.arange(0, 400, 10)))
    kinds = ["--to", "onnx", "ort", "torchscript", "--form", "image", "end-to-end"]
    smaller = ["--quantize", "int8", "--calibration", str(folder / "windows.npz")]
    out, golden, report = folder / "out", folder / "golden", folder / "report.json"
    places = ["-o", str(out), "--golden", str(golden), "--json", str(report)]
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(latency, "time_calls", once)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            assert main(["export", str(model), *kinds, *smaller, *places]) == 0
    return Written(out, golden, json.loads(report.read_text()), printed.getvalue())
