"""The command in forked processes: imported once, run each time in a process of its own."""

from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_HEAVY = ("torch", "timm", "sklearn.ensemble", "sklearn.linear_model", "kornia.augmentation")
_HEAVY += ("matplotlib.pyplot", "pyarrow.parquet", "PIL.Image", "cv2", "scipy.signal", "joblib")
_HEAVY += ("safetensors.torch", "jinja2", "torch.utils.tensorboard", "pydantic", "onnx")
_HEAVY += ("onnxruntime", "onnxscript")


def import_everything() -> None:
    """Import the package and what it imports late; nothing is run, so that forks are safe."""
    os.environ |= dict.fromkeys(THREADS, "1")
    os.environ |= {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
    for name in _HEAVY:
        try:
            importlib.import_module(name)
        except ImportError:  # an optional package
            continue
    import img2imu

    for module in pkgutil.walk_packages(img2imu.__path__, "img2imu."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue


@dataclass(frozen=True)
class Limits:
    """What a process may take: bytes of memory beyond the start's, seconds of CPU, bytes a file."""

    memory: int = 4 << 30
    cpu: int = 60
    file: int = 256 << 20


def start(argv: Sequence[str], folder: Path, limits: Limits | None = None) -> int:
    """Run the command in `folder/work`; returns the process' number.

    Its output goes to ``stdout`` and ``stderr`` in `folder`, the exit code or the traceback's end
    to ``code`` and ``raised``. It can write nowhere but in `folder` and reach no network.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        _confine(folder, limits)
        status = _run(list(argv), folder)
    except BaseException:
        (folder / "raised").write_text(_tail())
    finally:
        _end_workers()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


@dataclass(frozen=True)
class End:
    """How a process ended: its status, and its largest memory in bytes."""

    status: int
    memory: int


def poll(pid: int) -> End | None:
    """How the process ended, and with it all that it started; None while it runs."""
    done, status, usage = os.wait4(pid, os.WNOHANG)
    if not done:
        return None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)  # which joblib's cleaner outlives until it has cleaned
    return End(status, usage.ru_maxrss * 1024)


def wait(pid: int, seconds: float) -> End:
    """Wait until the process ends, and kill it after `seconds`."""
    end = time.monotonic() + seconds
    while not (ended := poll(pid)):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return ended


def succeed(argv: Sequence[str], folder: Path, seconds: float = 600) -> None:
    """Run a command that must succeed, within so many seconds."""
    status = wait(start(argv, folder), seconds).status
    if status:
        told = [
            (folder / name).read_text()
            for name in ("stderr", "raised")
            if (folder / name).is_file()
        ]
        raise RuntimeError(f"img2imu {' '.join(argv)}: status {status}\n" + "\n".join(told))


def _run(argv: list[str], folder: Path) -> int:
    import torch

    from img2imu.cli import main

    torch.set_num_threads(1)
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    return int(code)


def _end_workers() -> None:
    """End joblib's workers, whatever state they are in; their cleaner then ends by itself."""
    module = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(module, "_executor", None)
    for worker in list(getattr(executor, "_processes", None) or ()):
        with suppress(OSError):
            os.kill(worker, signal.SIGKILL)


def _tail() -> str:
    lines = traceback.format_exc().strip().splitlines()
    return "\n".join(lines[-8:])


def _confine(folder: Path, limits: Limits | None) -> None:
    os.setpgid(0, 0)  # so that workers that it starts can be ended with it
    os.chdir(folder / "work")
    for name, target in (("HOME", "home"), ("TMPDIR", "tmp")):
        (folder / target).mkdir(exist_ok=True)
        os.environ[name] = str(folder / target)
    os.environ["IMG2IMU_CACHE"] = str(folder / "cache")
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # no workers but where --jobs asks for them
    os.cpu_count = lambda: 1
    os.environ["JOBLIB_TEMP_FOLDER"] = str(folder / "tmp")
    import tempfile

    tempfile.tempdir = None
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limits:
        pages = (
            int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
        )
        memory = pages * resource.getpagesize() + limits.memory
        if pages:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu, limits.cpu + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_guard(folder.resolve()))


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGED = {
    **dict.fromkeys(
        ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.chown", "os.utime"), (0,)
    ),
    **dict.fromkeys(("os.truncate", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.rename", "shutil.move"), (0, 1)),
    **dict.fromkeys(("os.link", "os.symlink"), (1,)),
}
"""Audited events, and which of their arguments are paths that change."""

_FD = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.chmod": 2, "os.rename": 2, "os.symlink": 2}
"""Where such an event has the descriptor of a folder; paths beside one are left to the caller."""

_DEVICES = ("/dev/null", "/dev/full", "/dev/tty", "/dev/urandom")


def _guard(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    """Refuses changes outside of `folder`, as a system refuses a user's, and every connection.

    Devices can be written to but not replaced: whoever runs this as root keeps theirs.
    """

    def refuse(path: Any, but: tuple[str, ...] = ()) -> None:
        if isinstance(path, int) or path is None:
            return
        name = os.fsdecode(path)
        parent, last = os.path.split(os.path.abspath(name))  # noqa: PTH100
        text = os.path.join(os.path.realpath(parent), last)  # noqa: PTH118
        inside = text == str(folder) or text.startswith(f"{folder}/") or "/__pycache__" in text
        if not inside and name not in but:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            target = arguments[0]
            if isinstance(target, str | bytes) and os.path.islink(target):  # noqa: PTH114
                target = os.path.realpath(target)
            refuse(target, _DEVICES)
        elif event in _CHANGED:
            place = _FD.get(event)
            if place is None or arguments[place] in (-1, None):
                for each in _CHANGED[event]:
                    refuse(arguments[each])
        elif event in ("socket.connect", "socket.getaddrinfo"):
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    return hook
