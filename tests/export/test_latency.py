"""The latency protocol: what is counted, and the arithmetic of the percentiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from img2imu.export import latency
from img2imu.export.latency import Latency, measure_cold_start, measure_latency


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


def test_contestants_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = _Clock(), []

    def caller(name: str, milliseconds: int) -> Callable[[], None]:
        def call() -> None:
            order.append(name)
            clock.now += 1_000_000 * milliseconds

        return call

    monkeypatch.setattr(latency, "time", clock)
    calls = {"a": caller("a", 1), "b": caller("b", 3)}
    turns: list[None] = []
    times = latency.time_in_turns(calls, 0, rounds=4, on_turn=lambda: turns.append(None))
    assert times["a"].tolist() == [1.0] * 200
    assert times["b"].tolist() == [3.0] * 200
    assert [name for name, _ in groupby(order)] == ["a", "b"] * 4
    assert len(turns) == 8


@pytest.fixture
def softmax(tmp_path: Path) -> Path:
    """A file whose input is neither called window nor image."""
    given, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", 3, 4))
        for name in ("given", "answer")
    )
    node = helper.make_node("Softmax", ["given"], ["answer"])
    graph = helper.make_graph([node], "softmax", [given], [answer])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_report(monkeypatch: pytest.MonkeyPatch, softmax: Path) -> None:
    monkeypatch.setattr(latency, "time_calls", lambda call, seconds: (call(), np.arange(101.0))[1])
    report = measure_latency(softmax, np.zeros((3, 4), np.float32), threads=2)
    assert (report.p50_ms, report.p90_ms, report.p95_ms, report.p99_ms) == (50, 90, 95, 99)
    assert (report.max_ms, report.runs, report.threads) == (100, 101, 2)
    assert report.runtime.startswith("onnxruntime 1.")
    assert json.loads(json.dumps(report.to_dict()))["p50_ms"] == 50


@pytest.mark.parametrize("runs", [1, 4, 100, 357])
def test_percentiles_are_of_nearest_rank(runs: int) -> None:
    """The shortest time that so many per cent of the calls do not exceed, as on the phone."""
    times = np.random.default_rng(0).exponential(2, runs)
    report = Latency.of(times, 1, "a runtime")
    for percent in (50, 90, 95, 99):
        enough = [time for time in times if 100 * np.sum(times <= time) >= percent * runs]
        assert getattr(report, f"p{percent}_ms") == min(enough)
    assert report.max_ms == times.max()
    assert report.runs == runs


def test_cold_start_is_of_a_fresh_process(softmax: Path) -> None:
    ballast = np.ones(2**26)  # half a GiB here, which is not to be counted there
    report = measure_cold_start(softmax, np.zeros((3, 4), np.float32), processes=2)
    del ballast
    assert report.processes == 2
    assert report.load_ms > 0
    assert report.first_ms > 0
    assert 10 < report.empty_mib <= report.peak_mib < 400


def test_cold_start_of_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no network")
    with pytest.raises(CalledProcessError):
        measure_cold_start(tmp_path / "m.onnx", np.zeros((3, 4), np.float32), processes=1)
