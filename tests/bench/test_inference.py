"""The inference benchmark: who takes part and what its report holds; never how fast it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from sklearn.metrics import f1_score
from torch import nn

from img2imu.bench import inference, quantized
from img2imu.convert import SpectrogramConfig, WaveformConfig, to_images
from img2imu.errors import InputError
from img2imu.export import ExportError, latency
from img2imu.progress import silent

SIZE = {"width": 32, "height": 24}
VIEWS = (SpectrogramConfig(normalize="fixed", **SIZE), WaveformConfig(**SIZE))


@pytest.fixture(scope="module")
def small():
    """Few windows, small pictures, one stage, few runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantized, "TRAINING", 60)
        patch.setattr(quantized, "TEST", 40)
        preset = SimpleNamespace(drawing=lambda *_: VIEWS)
        patch.setattr(quantized, "ProbeConfig", lambda *_: preset)
        reading = {"stages": (1,), "bands": 2}
        patch.setattr(quantized, "READINGS", dict.fromkeys(inference.COMPARED, reading))
        patch.setattr(latency, "MIN_RUNS", 4)
        once = partial(latency.measure_cold_start, processes=1)
        patch.setattr(inference, "measure_cold_start", once)
        yield


@pytest.fixture(scope="module")
def data(small, exercise):
    return quantized.split(exercise, "exercise")


@pytest.fixture(scope="module")
def classifier(data):
    return quantized.fit(data.training, "fast")


@pytest.fixture(scope="module")
def bare(data, tmp_path_factory):
    """The file of the bare network, here one layer for eighteen."""

    def create(name, num_classes):
        assert name == "resnet18"
        pooled = nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        return nn.Sequential(pooled, nn.Flatten(), nn.Linear(128, num_classes))

    [picture] = to_images(data.test.X[:1], SpectrogramConfig())
    folder = tmp_path_factory.mktemp("bare")
    entrant = inference.Entrant(folder / "bare.onnx", inference.normalized(picture))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", create)
        inference.write_bare(len(data.training.classes), entrant)
    return entrant


@pytest.fixture(scope="module")
def report(small, exercise, bare):
    """Of one preset: the others take the same way."""
    with pytest.MonkeyPatch.context() as patch:
        copy = partial(shutil.copyfile, bare.path)
        patch.setattr(inference, "write_bare", lambda _, entrant: copy(entrant.path))
        patch.setattr(inference, "exercise", lambda: exercise)
        patch.setattr(inference, "COMPARED", ("fast",))
        targets = [each for each in inference.TARGETS if "fast" in each.name]
        patch.setattr(inference, "TARGETS", targets)
        return inference.run(seconds=0, rounds=2)


def test_report_is_json_and_a_table(report):
    again = json.loads(json.dumps(report))
    files = [f"fast{part}" for part in ("", ", converter", ", network", ", int8")]
    for row in again["latency"].values():
        assert set(row) == {inference.BARE, inference.AUTHORS, *files}
        for times in row.values():
            assert times["runs"] == 4
            assert 0 < times["p50_ms"] <= times["p99_ms"] <= times["max_ms"]
    assert "1" in again["latency"]
    assert set(again["cold_start"]) == {inference.BARE, "fast", "fast, int8"}
    assert again["files"] == []
    text = inference.table(report)
    assert "authors' way" in text
    assert "fast: float / int8" in text


def test_targets_are_judged_by_the_medians(report):
    p50 = {name: times["p50_ms"] for name, times in report["latency"]["1"].items()}
    judged = {target["name"]: target for target in report["targets"]}
    speedup = judged["fast: float / int8"]
    assert speedup["value"] == p50["fast"] / p50["fast, int8"]
    assert speedup["met"] == (speedup["value"] >= 2)
    converter = judged["fast: ms of the converter"]
    assert converter["value"] == p50["fast, converter"]
    assert converter["met"] == (converter["value"] <= 0.3)


def test_split_is_by_subject_and_thinned(data, exercise):
    assert (len(data.training), len(data.test)) == (60, 40)
    assert not set(data.training.subjects) & set(data.test.subjects)
    assert data.training.classes == exercise.classes


def test_two_sensors_are_timed_and_scored(small, exercise, bare, tmp_path, monkeypatch):
    both = np.concatenate([exercise.X, exercise.X[:, ::-1] - 1], axis=1)
    windows = replace(exercise, X=both, sensors=("accel", "gyro"))
    preset = SimpleNamespace(drawing=lambda *_: [VIEWS[0], replace(VIEWS[1], sensor="gyro")])
    monkeypatch.setattr(quantized, "ProbeConfig", lambda *_: preset)
    monkeypatch.setattr(inference, "write_bare", lambda _, one: shutil.copy(bare.path, one.path))
    data = quantized.split(windows, "exercise")
    classifiers = {"fast": quantized.fit(data.training, "fast")}
    entrants = inference.write_entrants(classifiers, data, tmp_path)
    [latencies, *_] = inference.race(entrants, data.test.X[0], 0, 1, silent).values()
    assert set(latencies) == {*entrants, inference.AUTHORS}
    [_, int8] = quantized.compare_kinds("fast", classifiers["fast"], data, ["float", "int8"], 0)
    assert int8["agreement"] >= 0.8


def test_authors_way_asks_the_same_network(data, bare):
    """Within a grey level, the picture of the toolkit's own converter."""
    [theirs] = inference.authors_way(data.test.X[0], bare.path, threads=1)()
    [ours] = latency.single_call(*bare, threads=1)()
    assert theirs.shape == (1, len(data.training.classes))
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=0.05 * np.ptp(ours))


def test_each_kind_of_file_is_scored(data, classifier):
    rows = quantized.compare_kinds("fast", classifier, data, list(quantized.FILES), seconds=0)
    by_kind = {row["kind"]: row for row in rows}
    assert set(by_kind) == set(quantized.FILES)
    expected = f1_score(data.test.y, classifier.predict(data.test.X), average="macro")
    for kind in ("float", "ORT", "TorchScript"):
        assert by_kind[kind]["macro_f1"] == pytest.approx(expected)
        assert by_kind[kind]["agreement"] == 1
    assert by_kind["int8"]["agreement"] >= 0.8
    assert by_kind["int8"]["logits"] > by_kind["fp16"]["logits"] > by_kind["ORT"]["logits"]
    assert by_kind["int8"]["size"] < by_kind["fp16"]["size"] < by_kind["float"]["size"]
    assert all(row["p50_ms"] > 0 for row in rows)
    assert "TorchScript" in quantized.format_rows(rows)


def test_a_kind_that_fails_says_why(data, classifier, monkeypatch):
    kept = {"float"}

    def write(_, kind, path, __):
        if kind not in kept:
            raise ExportError("it was not kept")
        path.touch()

    monkeypatch.setattr(quantized, "write", write)
    monkeypatch.setattr(quantized, "open_answer", lambda _: classifier.decision_function)
    rows = quantized.compare_kinds("fast", classifier, data, ["float", "int8"], seconds=0)
    assert rows[0]["agreement"] == 1
    assert rows[1] == {"network": "fast", "kind": "int8", "error": "it was not kept"}
    assert "it was not kept" in quantized.format_rows(rows)
    kept.clear()
    rows = quantized.compare_kinds("fast", classifier, data, ["float", "int8"], seconds=0)
    assert rows == [{"network": "fast", "kind": "float", "error": "it was not kept"}]


def test_encoders_by_name(data):
    rows = inference.compare_encoders(["resnet10t"], None, data, seconds=0)
    assert [(row["network"], row["kind"]) for row in rows] == [
        ("resnet10t", "float"),
        ("resnet10t", "int8"),
    ]


def test_threads_are_put_back(small, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(inference, "fit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        inference.run()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rounds": 0}, "rounds at least 1"),
        ({"seconds": -1.0}, "not be negative"),
        ({"seconds": float("nan")}, "not be negative"),
        ({"encoders": ["resnet50"]}, "give one"),
        ({"path": "w.npz", "weights": "w.pt"}, "exactly one encoder"),
        ({"path": "nowhere.npz"}, "nowhere.npz"),
    ],
)
def test_unfit_arguments_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        inference.run(**options)
