"""How long one window takes on this machine, how long the first one, and in how much memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WARM_UP = 20
MIN_RUNS = 200

_FIRST_RUN = """
import json, os, resource, sys, time
import numpy as np
import onnxruntime

def peak():
    # The kernel's own count of this program: getrusage starts from what the parent had.
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

path, inputs, threads = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
empty, start = peak(), time.perf_counter()
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
loaded = time.perf_counter()
session.run(None, {session.get_inputs()[0].name: inputs})
done = time.perf_counter()
print(json.dumps([1e3 * (loaded - start), 1e3 * (done - loaded), peak(), empty]))
"""


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
        Percentiles over the calls by nearest rank, as the phone's app tells them, and the longest.
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

    @staticmethod
    def of(times: NDArray[np.float64], threads: int, runtime: str) -> Latency:
        """From the milliseconds of each call."""
        p50, p90, p95, p99 = np.percentile(times, [50, 90, 95, 99], method="inverted_cdf").tolist()
        return Latency(threads, len(times), p50, p90, p95, p99, float(times.max()), runtime)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class ColdStart:
    """What a fresh process with nothing but ONNX Runtime and NumPy needs for its first answer.

    Attributes
    ----------
    processes
        That were started, one after the other; all other numbers are medians over them.
    load_ms
        From the file to a session.
    first_ms
        The first window.
    peak_mib
        Largest resident size of the process.
    empty_mib
        The same before the file was opened: interpreter and libraries.
    """

    processes: int
    load_ms: float
    first_ms: float
    peak_mib: float
    empty_mib: float

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)


def measure_latency(
    path: str | os.PathLike[str],
    example: NDArray[np.float32],
    threads: int = 1,
    min_seconds: float = 1.0,
) -> Latency:
    """Time an ONNX or ORT file on one window in ONNX Runtime on the CPU.

    Parameters
    ----------
    path
        File as :func:`export_onnx` writes it, with any one input.
    example
        That input for one window, without the batch: shape (3, samples) if it is a window.
    threads
        Of the runtime (``intra_op_num_threads``).
    min_seconds
        Calls go on for at least so long, and at least 200 times, after 20 that do not count.
    """
    times = time_calls(single_call(path, example, threads), min_seconds)
    return Latency.of(times, threads, runtime_name())


def measure_cold_start(
    path: str | os.PathLike[str],
    example: NDArray[np.float32],
    threads: int = 1,
    processes: int = 5,
) -> ColdStart:
    """Load an ONNX or ORT file and answer once, in fresh processes.

    The file itself lies in the system's cache after the first of them, as that of an application
    just installed does.

    Parameters
    ----------
    path, example, threads
        As of :func:`measure_latency`.
    processes
        To start, one after the other.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npy"
        np.save(inputs, example[np.newaxis].astype(np.float32))
        command = [sys.executable, "-c", _FIRST_RUN, os.fspath(path), str(inputs), str(threads)]
        answers = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(processes)
        ]
    return ColdStart(processes, *np.median(answers, axis=0).tolist())


def single_call(
    path: str | os.PathLike[str], example: NDArray[np.float32], threads: int
) -> Callable[[], Any]:
    """A call that answers one window, in a session of its own; parameters as above."""
    session = open_session(path, threads)
    batch = np.ascontiguousarray(example[np.newaxis], dtype=np.float32)
    feed = {session.get_inputs()[0].name: batch}
    return lambda: session.run(None, feed)


def open_session(path: str | os.PathLike[str], threads: int) -> InferenceSession:
    """An ONNX or ORT file in ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )


def time_in_turns(
    calls: Mapping[str, Callable[[], Any]],
    min_seconds: float,
    rounds: int,
    on_turn: Callable[[], Any] = lambda: None,
) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each call of several contestants, in rounds: noise then hits all alike.

    Parameters
    ----------
    calls
        By name.
    min_seconds
        Of each contestant, all rounds together, and at least 200 times.
    rounds
        In which everybody has one turn.
    on_turn
        Called after each turn.
    """
    times: dict[str, list[NDArray[np.float64]]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, call in calls.items():
            warm_up = WARM_UP if turn == 0 else 2
            runs = math.ceil(MIN_RUNS / rounds)
            times[name].append(time_calls(call, min_seconds / rounds, warm_up, runs))
            on_turn()
    return {name: np.concatenate(parts) for name, parts in times.items()}


def time_calls(
    call: Callable[[], Any],
    min_seconds: float,
    warm_up: int = WARM_UP,
    min_runs: int = MIN_RUNS,
) -> NDArray[np.float64]:
    """Milliseconds of each call of `call`, in order, after a warm-up."""
    for _ in range(warm_up):
        call()
    times: list[int] = []
    end = time.perf_counter_ns() + int(min_seconds * 1e9)
    while len(times) < min_runs or time.perf_counter_ns() < end:
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return np.array(times) / 1e6


def runtime_name() -> str:
    """Name and version."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def available_cpus() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
