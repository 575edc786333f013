"""Latency of exported files on a phone: its demo started over adb, beside the paper's phones."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ..environment import environment
from ..errors import InputError
from ..progress import Progress, silent
from ..settings import require, require_choice

PACKAGE = "org.img2imu.demo"
ACTIVITY = f"{PACKAGE}/.MainActivity"
FOLDER = f"/sdcard/Android/data/{PACKAGE}/files"
MODELS = f"{FOLDER}/models"
"""Where the app looks for files that are not its own."""

NAME = "bench"
"""Of the report on the phone: ``bench.json``, or ``bench.error.txt``."""

FORMAT = 2
"""Of the phone's report."""

VARIANTS = ("end-to-end", "int8", "image", "torchscript")
"""Forms of the app's own model."""

MODES = {"burst": (200, 5.0), "paced": (100, 60.0), "sustained": (200, 600.0)}
"""What the app can do, and how many runs and seconds it has at least unless told otherwise."""

PROVIDERS = ("cpu", "xnnpack", "nnapi")

STAGES = ("convert", "inference", "end_to_end")

ENDS = ("first", "last")
"""Stages of a sustained run: its first and its last half minute."""

PAPER = {
    "Galaxy S22 Ultra": (48.72, 16.5),
    "Galaxy S20 Ultra": (55.33, 26.47),
    "Pixel 2 XL": (88.86, 40.67),
}
"""Milliseconds for spectrogram and network, means of ten runs (paper, §V)."""

POLL_SECONDS = 1.0
HOST_SECONDS = 5.0
"""That this computer is timed, as the phone."""

PATIENCE = 300.0
"""Seconds that the app waits at most for a phone that is still warm after its cool-down."""


@dataclass(frozen=True)
class PhoneRun:
    """What the app is asked for.

    Attributes
    ----------
    form
        Of the app's own model, one of :data:`VARIANTS`; other files have their own.
    mode
        ``"burst"``: one window after the other; ``"paced"``: one for each hop of a live window;
        ``"sustained"``: as ``burst`` for minutes, its first half minute beside its last.
    threads
        Of the runtime on the phone and here.
    provider
        One of :data:`PROVIDERS`.
    runs, seconds
        Least timed runs and seconds of a stage, after the warm-up; None takes the mode's.
    cool_down
        Seconds to wait before, and longer while the phone says that it is warm.
    """

    form: str = "end-to-end"
    mode: str = "burst"
    threads: int = 1
    provider: str = "cpu"
    runs: int | None = None
    seconds: float | None = None
    cool_down: float = 0.0

    def __post_init__(self) -> None:
        require_choice("form", self.form, VARIANTS)
        require_choice("mode", self.mode, tuple(MODES))
        require_choice("provider", self.provider, PROVIDERS)
        require(self.threads >= 1, f"threads must be at least 1, not {self.threads}")
        require(self.least_runs >= 1, f"runs must be at least 1, not {self.runs}")
        for name, value in (("seconds", self.least_seconds), ("cool-down", self.cool_down)):
            require(0 <= value <= 3600, f"{name} must lie between 0 and 3600, not {value}")

    @property
    def least_runs(self) -> int:
        """Timed runs of a stage."""
        return MODES[self.mode][0] if self.runs is None else self.runs

    @property
    def least_seconds(self) -> float:
        """Seconds of a stage."""
        return MODES[self.mode][1] if self.seconds is None else self.seconds

    @property
    def expected(self) -> float:
        """Seconds after which the app should be done: three stages, or windows a second apart."""
        waiting = self.cool_down + PATIENCE if self.cool_down else 0.0
        if self.mode == "burst":
            return waiting + 3 * self.least_seconds
        paced = float(self.least_runs) if self.mode == "paced" else 0.0
        return waiting + max(self.least_seconds, paced)

    def extras(self) -> list[str]:
        """The words that tell the app."""
        return [
            *("--ez", "benchmark", "true", "--es", "report", NAME, "--es", "form", self.form),
            *("--es", "mode", self.mode, "--es", "provider", self.provider),
            *("--ei", "threads", str(self.threads), "--ei", "runs", str(self.least_runs)),
            *("--ef", "seconds", f"{self.least_seconds:g}"),
            *("--ef", "cool_down", f"{self.cool_down:g}"),
        ]


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
    models: Sequence[Path] = (),
    asked: PhoneRun | None = None,
    serial: str | None = None,
    timeout: float = 600.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure on a phone, and the same files on this computer.

    Parameters
    ----------
    apk
        Installed first; None takes the app that is there.
    models
        Exported ONNX or ORT files, which the app opens; without any it measures its own model.
    asked
        How; None takes the defaults.
    serial
        Of the phone, where several are attached.
    timeout
        Seconds to wait for each report, beyond those that were asked for.
    progress
        Opens a progress bar.

    Returns
    -------
    dict
        ``benchmarks``, each with ``phone`` (the app's report) and ``host`` (None where this
        computer does not have the file); ``paper`` and ``environment``.

    Raises
    ------
    InputError
        If there is no phone to measure on, a file is no model, or the app fails.
    """
    asked = asked or PhoneRun()
    require(0 < timeout < math.inf, f"timeout must be positive, not {timeout}")
    files = _names(models)
    adb = Adb(serial)
    _install(adb, apk)
    if files:
        _send(adb, files)
    benchmarks = []
    targets: list[tuple[str | None, Path | None]] = [*files.items()] or [(None, None)]
    for name, path in targets:
        _start(adb, [*asked.extras(), *(("--es", "model", name) if name else ())])
        _await(adb, timeout + asked.expected, progress)
        phone = _fetch(adb)
        benchmarks.append({"phone": phone, "host": _host(path, apk, phone, asked.threads)})
    return {
        "benchmarks": benchmarks,
        "paper": {name: dict(zip(STAGES, ms, strict=False)) for name, ms in PAPER.items()},
        "environment": environment(),
    }


def table(report: dict[str, Any]) -> str:
    """Each file on the phone and on this computer, and the paper's phones, one line each."""
    benchmarks = report["benchmarks"]
    phone = benchmarks[0]["phone"]
    device, settings = phone["device"], phone["settings"]
    names = ("convert", "network", "whole", "p90", "p99")
    lines = [
        f"{device['manufacturer']} {device['model']}: {settings['runtime']}, "
        f"{settings['threads']} thread(s), {settings['provider']}, {phone['protocol']['mode']}",
        f"{'milliseconds for one window':<40}" + "".join(f"{name:>9}" for name in names),
    ]
    for one in benchmarks:
        lines += _rows(one["phone"], one["host"])
    for name, (convert, network) in PAPER.items():
        cells = "".join(f"{ms:>9.2f}" for ms in (convert, network, convert + network))
        lines.append(f"{f'{name} (paper, mean)':<40}{cells}")
    for one in benchmarks:
        lines += _notes(one["phone"])
    return "\n".join(line.rstrip() for line in lines)


def _rows(phone: dict[str, Any], host: dict[str, Any] | None) -> list[str]:
    file, stages, taken = phone["settings"]["file"], phone["stages"], phone["settings"]["taken"]
    # Milliseconds of the CPU must not stand under another provider's name.
    title = f"{file} on the CPU instead" if taken and taken["fell_back"] else file
    if phone["protocol"]["mode"] == "sustained":
        rows = [
            _line(f"{title}, {end} {stages[end]['seconds']:.0f} s", {"end_to_end": stages[end]})
            for end in ENDS
        ]
    else:
        rows = [_line(title, stages)]
    if host:
        rows.append(_line(f"  this computer, {host['cpu']}"[:39], host["stages"]))
    return rows


def _line(title: str, stages: dict[str, Any]) -> str:
    # Where the converter is part of the graph its stage does not exist.
    cells = [f"{stages[s]['p50_ms']:.2f}" if s in stages else "" for s in STAGES]
    whole = stages.get("end_to_end")
    cells += [f"{whole[name]:.2f}" for name in ("p90_ms", "p99_ms")] if whole else ["", ""]
    return f"{title:<40}" + "".join(f"{cell:>9}" for cell in cells)


def _notes(phone: dict[str, Any]) -> list[str]:
    """What to know of the numbers of one file."""
    settings, memory, energy = phone["settings"], phone["memory"], phone["energy"]
    objections, taken = phone["validity"]["objections"], settings["taken"]
    thermal = phone["device"]["thermal"]
    said = [
        f"not valid: {'; '.join(objections)}" if objections else "valid",
        f"cold start {phone['cold_start_ms']:.1f} ms",
        f"thermal status {thermal['before']} before, {thermal['after']} after",
    ]
    if settings["provider"] != "cpu" and taken and not taken["fell_back"]:
        said.append(
            f"{settings['provider']} ran {taken['nodes']} of {taken['of']} nodes, "
            f"{taken['time_share']:.0%} of the time"
        )
    if memory["pss_change"] is not None:
        apart = memory["apart_from_file"] / 1e6
        said.append(
            f"memory {memory['pss_change'] / 1e6:+.1f} MB, {apart:+.1f} apart from the file"
        )
    joules = energy["joules_per_run"]
    said.append(f"energy {energy['note'] if joules is None else f'{1e3 * joules:.1f} mJ a window'}")
    return [f"{settings['file']}:", *(f"  {one}" for one in said)]


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


def _names(models: Sequence[Path]) -> dict[str, Path]:
    """The files by the names that they get on the phone, each looked at first."""
    from ..export.runtime import open_exported

    for path in models:
        require(path.suffix in (".onnx", ".ort"), f"{path} is no model: export writes .onnx, .ort")
        open_exported(path, ("end-to-end", "image"))
    often = Counter(path.name for path in models)
    names = [
        path.name if often[path.name] == 1 else f"{path.resolve().parent.name}-{path.name}"
        for path in models
    ]
    fit = [re.sub(r"[^A-Za-z0-9._-]", "_", name) for name in names]
    repeated = [name for name, count in Counter(fit).items() if count > 1]
    require(not repeated, f"several models would be called {', '.join(repeated)}")
    return dict(zip(fit, models, strict=True))


def _send(adb: Adb, files: dict[str, Path]) -> None:
    """Put the files where the app finds them, each whole or not at all."""
    # The app makes the folder when it starts: one that adb makes might not be the app's to read.
    _open_app(adb, [])
    for name, path in files.items():
        adb("push", str(path), f"{MODELS}/.{name}")
        adb.shell("mv", f"{MODELS}/.{name}", f"{MODELS}/{name}")


def _start(adb: Adb, extras: Sequence[str]) -> None:
    adb.shell("rm", "-f", f"{FOLDER}/{NAME}.json", f"{FOLDER}/{NAME}.error.txt")
    # An app that is open already would go on with what it shows.
    adb.shell("am", "force-stop", PACKAGE)
    _open_app(adb, extras)


def _open_app(adb: Adb, extras: Sequence[str]) -> None:
    said = adb.shell("am", "start", "-W", "-n", ACTIVITY, *extras)
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
    raise InputError(f"no report after {timeout:g} s: --timeout gives it longer")


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


def _host(
    model: Path | None, apk: Path | None, phone: dict[str, Any], threads: int
) -> dict[str, Any] | None:
    """The phone's file in ONNX Runtime here; None where it is not here, or of another runtime."""
    name = phone["settings"]["file"]
    if model is not None:
        return _measure_here(model, threads)
    if apk is None or not name.endswith(".onnx"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(_asset(apk, name))
        return _measure_here(file, threads)


def _measure_here(file: Path, threads: int) -> dict[str, Any]:
    import numpy as np

    from ..export import measure_latency
    from ..export.latency import open_session, runtime_name

    [given] = open_session(file, threads).get_inputs()
    # Levels between black and full colour, or a sensor's ordinary ups and downs.
    example = np.random.default_rng(0).random(given.shape[1:], np.float32)
    latency = measure_latency(file, example, threads, min_seconds=HOST_SECONDS)
    stage = "inference" if given.name == "image" else "end_to_end"
    cpu = environment()["cpu"]["model"]
    return {"cpu": cpu, "runtime": runtime_name(), "stages": {stage: latency.to_dict()}}


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
