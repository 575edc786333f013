"""The latency protocol: what is counted, and the arithmetic of the percentiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from img2imu.export import latency, measure_latency


class _Clock:
    """Stands still but for the calls that are timed."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now


def test_warm_up_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = _Clock(), []

    def call() -> None:
        calls.append(None)
        clock.now += 1_000_000 * (100 if len(calls) <= 20 else 2)

    monkeypatch.setattr(latency, "time", clock)
    times = latency.time_calls(call, min_seconds=0)
    assert times.tolist() == [2.0] * 200
    assert len(calls) == 220


def test_goes_on_for_the_time_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()

    def call() -> None:
        clock.now += 2_000_000

    monkeypatch.setattr(latency, "time", clock)
    assert len(latency.time_calls(call, min_seconds=1)) == 500


def test_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    value = [("window", ("batch", 3, 4)), ("probabilities", ("batch", 3, 4))]
    window, probabilities = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in value
    )
    node = helper.make_node("Softmax", ["window"], ["probabilities"])
    graph = helper.make_graph([node], "softmax", [window], [probabilities])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    monkeypatch.setattr(latency, "time_calls", lambda call, seconds: (call(), np.arange(101.0))[1])
    report = measure_latency(tmp_path / "m.onnx", np.zeros((3, 4), np.float32), threads=2)
    assert (report.p50_ms, report.p90_ms, report.p95_ms, report.p99_ms) == (50, 90, 95, 99)
    assert (report.max_ms, report.runs, report.threads) == (100, 101, 2)
    assert report.runtime.startswith("onnxruntime 1.")
    assert json.loads(json.dumps(report.to_dict()))["p50_ms"] == 50
