"""Quantised files: the float file's labels, a float drawing, and nothing kept that is wrong."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from img2imu.convert import SpectrogramConfig, WaveformConfig
from img2imu.errors import InputError
from img2imu.export import ExportError, end_to_end, export_onnx, from_image
from img2imu.export import quantize as module
from img2imu.export.quantize import KINDS, Kind, quantize_onnx
from img2imu.fewshot import Img2ImuClassifier
from img2imu.models import EncoderConfig
from img2imu.recordings import WindowConfig, Windows, make_windows, open_source

METADATA = {"labels": ["a", "b"], "unit": "g"}


@pytest.fixture(scope="module")
def data(exercise: Windows) -> Windows:
    """Every eighth of the real windows."""
    return exercise.select(np.arange(0, len(exercise), 8))


@pytest.fixture(scope="module")
def classifier(data: Windows) -> Img2ImuClassifier:
    """Fitted on the even ones of the windows, two views."""
    size = {"width": 48, "height": 36}
    views = (SpectrogramConfig(normalize="fixed", **size), WaveformConfig(**size))
    encoder = EncoderConfig("resnet18.img2imu_in1k", True, stages=(1,), bands=3)
    return Img2ImuClassifier(50.0, views, encoder, order=0.0).fit(data.X[::2], data.y[::2])


@pytest.fixture(scope="module")
def source(classifier: Img2ImuClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("float") / "model.onnx"
    export_onnx(end_to_end(classifier.network_, classifier.check_windows_), path, METADATA)
    return path


@pytest.fixture(scope="module")
def files(source: Path, data: Windows) -> dict[Kind, Path]:
    """A file of each kind, made from the even windows."""
    paths = {kind: source.with_name(f"{kind}.onnx") for kind in KINDS}
    for kind, path in paths.items():
        quantize_onnx(source, path, kind, data.X[::2])
    return paths


def answers(path: Path, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    return session.run(["logits"], {given.name: windows})[0]


@pytest.mark.parametrize(
    ("kind", "agreement", "size"), [("int8", 0.93, 0.5), ("int8-dynamic", 0.9, 0.5), ("fp16", 1, 1)]
)
def test_labels_windows_never_seen_as_float_does(
    source: Path, files: dict[Kind, Path], data: Windows, kind: Kind, agreement: float, size: float
) -> None:
    unseen = data.X[1::2]
    expected, found = answers(source, unseen), answers(files[kind], unseen)
    assert (expected.argmax(1) == found.argmax(1)).mean() >= agreement
    assert 0 < np.abs(found - expected).max() < 0.2 * np.abs(expected).max()
    assert files[kind].stat().st_size < size * source.stat().st_size


def test_int8_of_two_sensors_labels_windows_never_seen_as_float_does(tmp_path: Path) -> None:
    both = ("accel", "gyro")
    data = make_windows(open_source("exercise", sensors=both), WindowConfig(), max_per_class=20)
    size = {"width": 48, "height": 36}
    views = (
        SpectrogramConfig(normalize="fixed", **size),
        SpectrogramConfig(normalize="fixed", db_range=(-40.0, 25.0), sensor="gyro", **size),
        WaveformConfig(low=-10.0, high=10.0, sensor="gyro", **size),
    )
    encoder = EncoderConfig("resnet18.img2imu_in1k", True, stages=(1,), bands=3)
    classifier = Img2ImuClassifier(50.0, views, encoder, order=0.0, sensors=both)
    classifier.fit(data.X[::2], data.y[::2])
    graph = end_to_end(classifier.network_, classifier.check_windows_)
    export_onnx(graph, tmp_path / "model.onnx", METADATA)
    quantize_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx", "int8", data.X[::2])
    expected, found = (
        answers(tmp_path / name, data.X[1::2]) for name in ("model.onnx", "int8.onnx")
    )
    np.testing.assert_allclose(expected, classifier.decision_function(data.X[1::2]), atol=1e-3)
    assert (expected.argmax(1) == found.argmax(1)).mean() >= 0.93
    assert 0 < np.abs(found - expected).max() < 0.2 * np.abs(expected).max()


def test_int8_is_right_on_average(source: Path, data: Windows, tmp_path: Path) -> None:
    calibration = data.X[:64]
    quantize_onnx(source, tmp_path / "m.onnx", "int8", calibration)
    gaps = answers(tmp_path / "m.onnx", calibration) - answers(source, calibration)
    assert np.abs(gaps.mean(0)).max() < 0.05 * np.abs(gaps).max()


def entrance(model: onnx.ModelProto) -> str:
    """The float value at which the encoder's arithmetic begins."""
    borders = {"QuantizeLinear", "DynamicQuantizeLinear", "Cast"}
    return next(node.input[0] for node in model.graph.node if node.op_type in borders)


def upstream(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    wanted, found = {name}, []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            found.append(node)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_drawing_and_head_stay_float(
    files: dict[Kind, Path],
    classifier: Img2ImuClassifier,
    data: Windows,
    kind: Kind,
    tmp_path: Path,
) -> None:
    model = onnx.load(files[kind])
    name = entrance(model)
    drawing = Counter(node.op_type for node in upstream(model, name))
    everything = Counter(node.op_type for node in model.graph.node)
    for operator in ("Log", "Sigmoid"):
        assert drawing[operator] == everything[operator] == 1
    assert drawing["MatMul"] == 2
    assert not {"QuantizeLinear", "DequantizeLinear", "Cast", "ConvInteger"} & set(drawing)

    value = onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    model.graph.output.append(value)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    [found] = session.run([name], {"window": data.X[:2]})
    network = classifier.network_
    pictures = network.drawing(torch.from_numpy(data.X[:2])).flatten(0, 1)
    expected = ((pictures - network.encoder.mean) / network.encoder.deviation).numpy()
    if kind == "int8":  # reads them in blocks of 2x2 pixels
        n, c, height, width = expected.shape
        blocks = expected.reshape(n, c, height // 2, 2, width // 2, 2).transpose(0, 3, 5, 1, 2, 4)
        expected = blocks.reshape(n, 4 * c, height // 2, width // 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)

    weight = network.head.weight.numpy()
    stored = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert any(np.array_equal(one, w) for one in stored for w in (weight, weight.T))


def test_int8_leaves_no_float_between_convolutions(files: dict[Kind, Path], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(files["int8"], options)
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    kinds = Counter(node.op_type for node in nodes)
    assert kinds["QLinearConv"] == 5
    assert kinds["QLinearAdd"] == 2
    assert kinds["QuantizeLinear"] == kinds["DequantizeLinear"] == 1


def pairs_of_products(
    pixels: NDArray[np.uint8],
    weights: NDArray[np.int8],
    pad: tuple[int, int],
    stride: int,
    zero: int,
) -> NDArray[np.int32]:
    """What AVX2's ``vpmaddubsw`` adds in 16 bits: neighbouring channels of a pixel, two by two."""
    edges = ((0, 0), (0, 0), pad, pad)
    padded = np.pad(pixels, edges, constant_values=zero).astype(np.int32)
    size = weights.shape[-1]
    places = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    places = places[:, :, ::stride, ::stride]
    n, channels, height, width = places.shape[:4]
    places = places.reshape(n, channels // 2, 2, height, width, size, size)
    kernel = weights.astype(np.int32).reshape(len(weights), channels // 2, 2, size, size)
    return np.einsum("ncphwyx,ocpyx->nohwcyx", places, kernel)


def test_int8_overflows_no_16_bits(files: dict[Kind, Path], data: Windows) -> None:
    """Processors without VNNI then give the same numbers: whatever the picture shows in the first
    convolution, and on real windows in the others."""
    model = onnx.load(files["int8"])
    made = {output: node for node in model.graph.node for output in node.output}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    convolutions = [
        node
        for node in model.graph.node
        if node.op_type == "Conv" and made.get(node.input[1], node).op_type == "DequantizeLinear"
    ]
    given = [made[node.input[0]] for node in convolutions]
    for node in given:
        value = onnx.helper.make_tensor_value_info(node.input[0], TensorProto.UINT8, None)
        model.graph.output.append(value)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    pixels = session.run([node.input[0] for node in given], {"window": data.X[1:2]})

    limits = np.iinfo(np.int16)
    for number, node in enumerate(convolutions):
        settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        weights = stored[made[node.input[1]].input[0]]
        pad = settings["pads"][0], settings["pads"][2]
        zero = int(stored[given[number].input[2]])
        pairs = pairs_of_products(pixels[number], weights, pad, settings["strides"][0], zero)
        assert limits.min <= pairs.min() <= pairs.max() <= limits.max, node.name
    first = stored[made[convolutions[0].input[1]].input[0]].astype(int)
    assert 2 * 255 * np.abs(first).max() <= limits.max
    # With a bit more the same picture overflows.
    pairs = pairs_of_products(pixels[0], 2 * first, (2, 1), 1, int(stored[given[0].input[2]]))
    assert pairs.max() > limits.max or pairs.min() < limits.min


def test_fp16_stores_the_encoder_in_half_the_space(files: dict[Kind, Path]) -> None:
    stored = onnx.load(files["fp16"]).graph.initializer
    kinds = {tensor.data_type for tensor in stored if "backbone" in tensor.name}
    assert kinds == {TensorProto.FLOAT16}


@pytest.mark.parametrize("kind", KINDS)
def test_says_what_it_is(source: Path, files: dict[Kind, Path], kind: Kind) -> None:
    before, after = onnx.load(source), onnx.load(files[kind])
    onnx.checker.check_model(after, full_check=True)
    texts = {entry.key: entry.value for entry in after.metadata_props}
    assert texts.pop("quantization") == kind
    assert texts == {entry.key: entry.value for entry in before.metadata_props}
    assert after.ir_version == before.ir_version
    assert after.graph.doc_string == before.graph.doc_string
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)


def test_image_form(classifier: Img2ImuClassifier, data: Windows, tmp_path: Path) -> None:
    graph = from_image(classifier.network_, data.X[:40])
    export_onnx(graph, tmp_path / "image.onnx", METADATA)
    report = quantize_onnx(tmp_path / "image.onnx", tmp_path / "q.onnx", "int8", graph.examples)
    assert report.windows == 40
    assert report.agreement >= 0.9
    assert report.size == report.path.stat().st_size


def test_encoder_of_windows(data: Windows, tmp_path: Path) -> None:
    classifier = Img2ImuClassifier(encoder=EncoderConfig("conv1d")).fit(data.X, data.y)
    graph = end_to_end(classifier.network_, data.X[:3])
    export_onnx(graph, tmp_path / "m.onnx", METADATA)
    for kind in KINDS:
        report = quantize_onnx(tmp_path / "m.onnx", tmp_path / f"{kind}.onnx", kind, data.X[:64])
        assert report.size < 0.8 * (tmp_path / "m.onnx").stat().st_size


def test_silent_and_tidy(
    source: Path,
    data: Windows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        quantize_onnx(source, source.with_name("again.onnx"), "int8", data.X[:32])
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_not_kept(
    source: Path, data: Windows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.onnx"
    target.write_bytes(b"the model of yesterday")
    monkeypatch.setitem(module._MAKERS, "fp16", _turned)
    with pytest.raises(ExportError, match=r"fp16 labels only \d+ of 40 windows as the float"):
        quantize_onnx(source, target, "fp16", data.X[:40])
    monkeypatch.setitem(module._MAKERS, "fp16", _overflowing)
    with pytest.raises(ExportError, match="fp16 gives NaN or infinity on window 0"):
        quantize_onnx(source, target, "fp16", data.X[:40])
    assert target.read_bytes() == b"the model of yesterday"
    assert list(tmp_path.iterdir()) == [target]


def _turned(model: onnx.ModelProto, *_: object) -> onnx.ModelProto:
    """The head's weights with the other sign."""
    return _scaled(model, -1)


def _overflowing(model: onnx.ModelProto, *_: object) -> onnx.ModelProto:
    return _scaled(model, np.inf)


def _scaled(model: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    name = next(node.input[1] for node in model.graph.node if "logits" in node.output)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(weight) * np.float32(factor)
    weight.CopyFrom(numpy_helper.from_array(values, name))
    return model


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"inputs": np.zeros((31, 3, 250), np.float32)}, "int8 needs at least 32 real windows"),
        (
            {"inputs": np.zeros((40, 3, 100), np.float32)},
            r"shape \(n, 3, 250\), not \(40, 3, 100\)",
        ),
        ({"inputs": np.full((40, 3, 250), np.nan, np.float32)}, "NaN or infinity"),
        ({"kind": "int4"}, "unknown quantization 'int4'; known: int8, int8-dynamic, fp16"),
        ({"source": "nowhere.onnx"}, "nowhere.onnx does not exist"),
        ({"source": __file__}, "is not an ONNX file"),
        ({"target": "nowhere/m.onnx"}, "nowhere does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    source: Path, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    arguments = {
        "source": source,
        "target": tmp_path / "m.onnx",
        "kind": "int8",
        "inputs": np.zeros((40, 3, 250), np.float32),
        **change,
    }
    with pytest.raises(InputError, match=sentence):
        quantize_onnx(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_once_is_enough(files: dict[Kind, Path], data: Windows, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="quantised already: fp16"):
        quantize_onnx(files["fp16"], tmp_path / "m.onnx", "int8", data.X)
    assert list(tmp_path.iterdir()) == []
