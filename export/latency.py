"""How long one window takes on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WARM_UP = 20
MIN_RUNS = 200


@dataclass(frozen=True)
class Latency:
    """Wall-clock time of single calls, in milliseconds.

    Attributes
    ----------
    threads
        Of the runtime.
    runs
        Calls measured.
    p50_ms, p90_ms, p95_ms, p99_ms, max_ms
        Percentiles over the calls, and the longest.
    runtime
        Name and version.
    """

    threads: int
    runs: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    runtime: str

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)


def measure_latency(
    path: str | os.PathLike[str],
    window: NDArray[np.float32],
    threads: int = 1,
    min_seconds: float = 1.0,
) -> Latency:
    """Time an ONNX file on one window in ONNX Runtime on the CPU.

    Parameters
    ----------
    path
        ONNX file as :func:`export_onnx` writes it.
    window
        Shape (3, samples).
    threads
        Of the runtime (``intra_op_num_threads``).
    min_seconds
        Calls go on for at least so long, and at least 200 times, after 20 that do not count.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )
    batch = {"window": np.ascontiguousarray(window[np.newaxis], dtype=np.float32)}
    times = time_calls(lambda: session.run(["probabilities"], batch), min_seconds)
    p50, p90, p95, p99 = np.percentile(times, [50, 90, 95, 99]).tolist()
    runtime = f"onnxruntime {onnxruntime.__version__}"
    return Latency(threads, len(times), p50, p90, p95, p99, float(times.max()), runtime)


def time_calls(call: Callable[[], Any], min_seconds: float) -> NDArray[np.float64]:
    """Milliseconds of each call of `call`, in order, after a warm-up."""
    for _ in range(WARM_UP):
        call()
    times: list[int] = []
    end = time.perf_counter_ns() + int(min_seconds * 1e9)
    while len(times) < MIN_RUNS or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return np.array(times) / 1e6


def available_cpus() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
