"""The demo's latency on a phone: started over adb, shown beside the paper's phones."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ..environment import environment
from ..errors import InputError
from ..progress import Progress, silent

PACKAGE = "org.img2imu.demo"
ACTIVITY = f"{PACKAGE}/.MainActivity"
FOLDER = f"/sdcard/Android/data/{PACKAGE}/files"
NAME = "bench"
"""Of the report on the phone: ``bench.json``, or ``bench.error.txt``."""

FORMAT = 1
"""Of the phone's report."""

VARIANTS = ("end-to-end", "int8", "image", "torchscript")
"""Forms of the model that the app chooses among."""

STAGES = ("convert", "inference", "end_to_end")

PAPER = {
    "Galaxy S22 Ultra": (48.72, 16.5),
    "Galaxy S20 Ultra": (55.33, 26.47),
    "Pixel 2 XL": (88.86, 40.67),
}
"""Milliseconds for spectrogram and network, means of ten runs (paper, §V)."""

POLL_SECONDS = 1.0
HOST_SECONDS = 5.0
"""That this computer is timed, as the phone."""


class Adb:
    """One phone, by Android's own command.

    Parameters
    ----------
    serial
        Of the phone; may be None where only one is attached.

    Raises
    ------
    InputError
        If adb is missing, or it is not clear that exactly one phone listens.
    """

    def __init__(self, serial: str | None = None) -> None:
        if shutil.which("adb") is None:
            raise InputError("adb is not on PATH: install Android's platform-tools")
        self.serial = _choose(_run(["adb", "devices"]), serial)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """The output of an adb command on this phone."""
        return _run(["adb", "-s", self.serial, *arguments], check)

    def shell(self, *words: str, check: bool = True) -> str:
        """The output of a command on the phone."""
        return self("shell", *words, check=check)


def run(
    apk: Path | None = None,
    form: str = "end-to-end",
    threads: int = 1,
    runs: int = 200,
    serial: str | None = None,
    timeout: float = 600.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure on a phone, and the same file on this computer.

    Parameters
    ----------
    apk
        Installed first; None takes the app that is there, and leaves this computer out.
    form
        One of :data:`VARIANTS`.
    threads
        Of the runtime on the phone and here.
    runs
        Least timed runs of a stage, after the warm-up.
    serial
        Of the phone, where several are attached.
    timeout
        Seconds to wait for the report.
    progress
        Opens a progress bar.

    Returns
    -------
    dict
        ``phone`` (the app's report), ``host`` (None without `apk`), ``paper`` and ``environment``.

    Raises
    ------
    InputError
        If there is no phone to measure on, or the app fails.
    """
    if form not in VARIANTS:
        raise InputError(f"unknown form {form!r}; known: {', '.join(VARIANTS)}")
    if threads < 1 or runs < 1 or not 0 < timeout < math.inf:
        raise InputError("threads, runs and timeout must be positive")
    adb = Adb(serial)
    _install(adb, apk)
    _start(adb, form, threads, runs)
    _await(adb, timeout, progress)
    phone = _fetch(adb)
    return {
        "phone": phone,
        "host": _host(apk, phone["settings"]["file"], threads) if apk else None,
        "paper": {name: dict(zip(STAGES, ms, strict=False)) for name, ms in PAPER.items()},
        "environment": environment(),
    }


def table(report: dict[str, Any]) -> str:
    """The phone, this computer and the paper's phones, one line each."""
    phone, host = report["phone"], report["host"]
    device, settings = phone["device"], phone["settings"]
    thermal = device["thermal"]
    lines = [
        f"{settings['file']}, {settings['runtime']}, {settings['threads']} thread(s); "
        f"thermal status {thermal['before']} before, {thermal['after']} after",
        f"{'milliseconds for one window':<40}{'convert':>9}{'network':>9}{'whole':>9}{'p95':>9}",
        _line(f"{device['manufacturer']} {device['model']} (p50)", phone["stages"]),
    ]
    if host:
        lines.append(_line(f"this computer, {host['cpu']} (p50)"[:39], host["stages"]))
    for name, (convert, network) in PAPER.items():
        cells = "".join(f"{ms:>9.2f}" for ms in (convert, network, convert + network))
        lines.append(f"{f'{name} (paper, mean)':<40}{cells}{'':>9}")
    lines.append(
        f"cold start, from opening the file to the first answer: {phone['cold_start_ms']:.1f}"
    )
    return "\n".join(line.rstrip() for line in lines)


def _line(title: str, stages: dict[str, Any]) -> str:
    # Where the converter is part of the graph its stage does not exist.
    cells = [f"{stages[s]['p50_ms']:.2f}" if s in stages else "" for s in STAGES]
    last = [f"{stages['end_to_end']['p95_ms']:.2f}" if "end_to_end" in stages else ""]
    return f"{title:<40}" + "".join(f"{cell:>9}" for cell in cells + last)


def _run(command: Sequence[str], check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if check and done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise InputError(f"{' '.join(command[:4])} failed: {words}")
    return done.stdout


def _choose(listing: str, serial: str | None) -> str:
    """The serial number of the phone to use, from the output of ``adb devices``."""
    pairs = (line.split("\t") for line in listing.splitlines() if "\t" in line)
    states = {name: state.strip() for name, state in pairs}
    if not states:
        raise InputError("no phone: attach one by USB, with USB debugging switched on")
    if serial is None and len(states) > 1:
        raise InputError(f"several phones: choose by --serial among {', '.join(states)}")
    chosen = serial or next(iter(states))
    if chosen not in states:
        raise InputError(f"no phone {chosen}; attached: {', '.join(states)}")
    if states[chosen] == "unauthorized":
        raise InputError(f"phone {chosen} does not trust this computer yet: confirm on its screen")
    if states[chosen] != "device":
        raise InputError(f"phone {chosen} is {states[chosen]}: attach it anew")
    return chosen


def _install(adb: Adb, apk: Path | None) -> None:
    if apk is not None:
        if not apk.is_file():
            raise InputError(f"no app at {apk}: make android builds it")
        adb("install", "-r", str(apk))
    elif PACKAGE not in adb.shell("pm", "list", "packages", PACKAGE):
        raise InputError("the demo is not on the phone: give --apk FILE (make android builds it)")


def _start(adb: Adb, form: str, threads: int, runs: int) -> None:
    adb.shell("rm", "-f", f"{FOLDER}/{NAME}.json", f"{FOLDER}/{NAME}.error.txt")
    # An app that is open already would go on with what it shows.
    adb.shell("am", "force-stop", PACKAGE)
    extras = ["--ez", "benchmark", "true", "--es", "form", form, "--es", "report", NAME]
    numbers = ["--ei", "threads", str(threads), "--ei", "runs", str(runs)]
    said = adb.shell("am", "start", "-W", "-n", ACTIVITY, *extras, *numbers)
    if "Error" in said:
        raise InputError(f"the demo did not start: {said.strip().splitlines()[-1]}")


def _await(adb: Adb, timeout: float, progress: Progress) -> None:
    """Return when the report is there."""
    bar = progress("benchmark on the phone (s)", int(timeout))
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            # Asked for before the files: a process that ends well has written its report.
            alive = adb.shell("pidof", PACKAGE, check=False).strip()
            found = adb.shell("ls", FOLDER, check=False).split()
            if f"{NAME}.json" in found:
                return
            if f"{NAME}.error.txt" in found:
                reason = adb.shell("cat", f"{FOLDER}/{NAME}.error.txt").strip()
                raise InputError(f"the demo could not measure: {reason}")
            if not alive:
                raise InputError(f"the demo ended without a report{_crash(adb)}")
            time.sleep(POLL_SECONDS)
            bar.update(1)
    finally:
        bar.close()
    raise InputError(f"no report after {timeout:g} s (--timeout)")


def _crash(adb: Adb) -> str:
    """What the phone's log says of it; empty when it says nothing."""
    log = adb("logcat", "-d", "-b", "crash", check=False).splitlines()
    causes = [line.split("AndroidRuntime:")[-1].strip() for line in log if "Exception" in line]
    return f": {causes[-1]}" if causes else ""


def _fetch(adb: Adb) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "report.json"
        adb("pull", f"{FOLDER}/{NAME}.json", str(local))
        try:
            report: dict[str, Any] = json.loads(local.read_text(encoding="utf-8"))
            version = report["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the phone's report is damaged: {error}") from None
    if version != FORMAT:
        raise InputError(f"the phone's report has format {version}; this version reads {FORMAT}")
    return report


def _host(apk: Path, name: str, threads: int) -> dict[str, Any] | None:
    """The app's own file in ONNX Runtime here; None for one that another runtime reads."""
    import numpy as np
    import onnxruntime

    from ..export import measure_latency
    from ..export.latency import runtime_name

    if not name.endswith(".onnx"):
        return None
    machine = environment()["cpu"]["model"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(_asset(apk, name))
        [given] = onnxruntime.InferenceSession(
            file, providers=["CPUExecutionProvider"]
        ).get_inputs()
        # Levels between black and full colour, or a sensor's ordinary ups and downs.
        example = np.random.default_rng(0).random(given.shape[1:], np.float32)
        latency = measure_latency(file, example, threads, min_seconds=HOST_SECONDS)
    stage = "inference" if given.name == "image" else "end_to_end"
    return {"cpu": machine, "runtime": runtime_name(), "stages": {stage: latency.to_dict()}}


def _asset(apk: Path, name: str) -> bytes:
    """A file among the assets of an app."""
    try:
        with ZipFile(apk) as archive:
            for member in archive.namelist():
                if member.startswith("assets/") and member.endswith(f"/{name}"):
                    return archive.read(member)
    except (OSError, BadZipFile):
        raise InputError(f"{apk} is not an app") from None
    raise InputError(f"{apk} holds no {name}: it is another one than the phone has")
