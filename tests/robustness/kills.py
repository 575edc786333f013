"""Kills at random moments: the same command again gives what it gives undisturbed.

    python tests/robustness/kills.py --kills 100 --seed 0
    python tests/robustness/kills.py --kills 20 --command pretrain

Every command that writes is killed, as by a power cut for a process (SIGKILL), at random moments
of its run, looked at, repeated, killed again and at last left alone. In between nothing that is
visible may be half of something; at the end all files have the SHA-256 of an undisturbed run's.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import numpy as np
from inputs import FEW, SMALL, SMALL_1D, STUDY, write_inputs

SECONDS = 900
"""After which a process that waits for something is killed."""


@dataclass(frozen=True)
class Writer:
    """A command that writes, and the inputs it reads."""

    name: str
    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    slow: bool = False


_CUT = ("--seconds", "3.2", "--sampling-rate", "20", "--nfft", "32")

WRITERS = (
    Writer(
        "convert", ("convert", "walks", "-o", "out", "--unit", "g", "--images", *_CUT), ("walks",)
    ),
    Writer(
        "pack", ("pack", "photos", "out", "--size", "64x48", "--json", "out.json"), ("photos",)
    ),
    Writer(
        "pretrain", ("pretrain", "--source", "store", "-o", "out", *SMALL, "--epochs", "3"),
        ("store",),
    ),
    Writer(
        "pretrain 1-D",
        ("pretrain", "--source", "windows.npz", "-o", "out", *SMALL_1D, "--epochs", "3"),
        ("windows.npz",),
    ),
    Writer(
        "probe",
        (
            *("probe", "windows.npz", "--preset", "fast", *FEW, "--methods", "img2imu"),
            *("hand-forest", "--json", "out.json", "--splits", "splits.json", "--model", "out"),
        ),
        ("windows.npz",),
    ),
    Writer(
        "finetune",
        (
            *("finetune", "windows.npz", "--encoder", "conv1d", *FEW, "--epochs", "2"),
            *("--json", "out.json", "--model", "out"),
        ),
        ("windows.npz",),
    ),
    Writer(
        "study table2", ("study", "table2", "windows.npz", "-o", "out", *STUDY), ("windows.npz",)
    ),
    Writer(
        "predict",
        ("predict", "model", "walk.csv", "--unit", "g", "-o", "out", "--json", "out.json"),
        ("model", "walk.csv"),
    ),
    Writer(
        "export",
        (
            *("export", "model", "-o", "out", "--to", "torchscript", "--golden", "golden"),
            *("--json", "out.json"),
        ),
        ("model",),
    ),
    Writer("export onnx", ("export", "model", "-o", "out"), ("model",), slow=True),
    Writer("quickstart", ("quickstart", "-o", "out", "--seeds", "1"), slow=True),
)  # fmt: skip

MEASURED = {
    *("seconds", "images_per_second", "waited", "environment", "latency", "created", "date"),
    *("packed", "checksum"),
}
"""Keys of JSON and columns of CSV that hold times or speeds, how much was left to do, or a checksum
of such: left out of the comparison."""

SKIPPED = ("tensorboard/", "environment.json", "curves.png", "report.html")
"""Not compared: events and their names hold dates, the machine's state, a figure of speeds, a page
that shows times (of what is in results.json, which is compared)."""

GROWING = ("steps.csv", "epochs.csv")
"""Written line by line: what a kill leaves are whole lines from the beginning."""

REPLACED = ("checkpoint.pt", "encoder.safetensors")
"""Replaced whole again and again on the way: what a kill leaves can be read."""


def digest(path: Path) -> str:
    """SHA-256 of what a file says, times and speeds left out."""
    ways: dict[str, Callable[[Path], bytes]] = {
        ".json": _json,
        ".csv": lambda path: "\n".join(_lines(path)).encode(),
        ".npz": _npz,
        "checkpoint.pt": _checkpoint,
    }
    way = ways.get(path.name) or ways.get(path.suffix, Path.read_bytes)
    return hashlib.sha256(way(path)).hexdigest()


def _json(path: Path) -> bytes:
    return json.dumps(_unmeasured(json.loads(path.read_text())), sort_keys=True).encode()


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmeasured(v) for key, v in value.items() if key not in MEASURED}
    return [_unmeasured(v) for v in value] if isinstance(value, list) else value


def _lines(path: Path) -> list[str]:
    """Whole lines of a CSV without the columns that measure; a torn one stays as it is."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    kept = [i for i, name in enumerate(rows[0] if rows else []) if name not in MEASURED]
    return [",".join(row[i] if i < len(row) else "(torn)" for i in kept) for row in rows]


def _npz(path: Path) -> bytes:
    with np.load(path, allow_pickle=False) as file:
        parts = [f"{n}{file[n].dtype}{file[n].shape}".encode() + file[n].tobytes() for n in file]
    return b"".join(sorted(parts))


def _checkpoint(path: Path) -> bytes:
    """Of a torch file every tensor and value."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return repr(_plain(state)).encode()


def _plain(value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        flat = value.detach().reshape(-1).clone()
        return hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()
    if isinstance(value, dict):
        return [(str(k), _plain(v)) for k, v in value.items() if k not in MEASURED]
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def results(folder: Path, inputs: Sequence[str]) -> dict[str, Path]:
    """The visible files that are no inputs, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        parts = Path(name).parts
        hidden = any(part.startswith(".") or ".partial" in part for part in parts)
        if path.is_file() and not hidden and parts[0] not in inputs:
            found[name] = path
    return found


def compared(name: str) -> bool:
    """Whether a file is compared at all."""
    return not any(part in name for part in SKIPPED)


class Killer:
    """Runs one command undisturbed, then again and again with kills."""

    def __init__(self, writer: Writer, healthy: Path, base: Path, rng: random.Random) -> None:
        self._writer, self._healthy, self._base, self._rng = writer, healthy, base, rng
        self.kills, self.lives, self.failures = 0, 0, list[str]()
        folder = self._folder("undisturbed")
        began = time.monotonic()
        forked.succeed(writer.argv, folder, SECONDS)
        self._seconds = time.monotonic() - began
        files = results(folder / "work", writer.inputs)
        self._wanted = {name: digest(path) for name, path in files.items() if compared(name)}
        self._lines = {n: _lines(p) for n, p in files.items() if Path(n).name in GROWING}

    def _folder(self, name: str) -> Path:
        folder = self._base / self._writer.name.replace(" ", "-") / name
        (folder / "work").mkdir(parents=True)
        for given in self._writer.inputs:
            source, target = self._healthy / given, folder / "work" / given
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
        return folder

    def life(self, most: int) -> int:
        """Kill up to `most` times, let it end, compare; returns the number of kills."""
        folder = self._folder(f"life-{self.lives}")
        self.lives += 1
        kills = 0
        for _ in range(self._rng.randint(1, most)):
            moment, began = self._rng.uniform(0, self._seconds), time.monotonic()
            pid = forked.start(self._writer.argv, folder)
            status = forked.wait(pid, moment).status
            if not os.WIFSIGNALED(status):
                if not kills:  # The machine is less busy by now: else most runs would end unkilled.
                    self._seconds = time.monotonic() - began
                break
            kills += 1
            self._look(folder, f"killed after {moment:.2f} s")
        self.kills += kills
        status = forked.wait(forked.start(self._writer.argv, folder), SECONDS).status
        self._compare(folder, status, kills)
        shutil.rmtree(folder)
        return kills

    def _fail(self, sentence: str) -> None:
        self.failures.append(f"{self._writer.name}, life {self.lives - 1}: {sentence}")

    def _look(self, folder: Path, when: str) -> None:
        """What is visible after a kill is whole."""
        for name, path in results(folder / "work", self._writer.inputs).items():
            last = Path(name).name
            if not compared(name):
                continue
            if last in GROWING:
                lines = _lines(path)
                good = lines == self._lines.get(name, [])[: len(lines)]
            elif last in REPLACED:
                good = _readable(path)
            else:
                good = self._wanted.get(name) == _digest_or_none(path)
            if not good:
                self._fail(f"{when}, {name} is visible and not whole ({path.stat().st_size} bytes)")

    def _compare(self, folder: Path, status: int, kills: int) -> None:
        if status:
            told = [
                (folder / n).read_text() for n in ("stderr", "raised") if (folder / n).is_file()
            ]
            self._fail(f"after {kills} kills status {os.waitstatus_to_exitcode(status)}: {told}")
            return
        files = results(folder / "work", self._writer.inputs)
        found = {name: digest(path) for name, path in files.items() if compared(name)}
        for name in sorted(self._wanted.keys() | found.keys()):
            if self._wanted.get(name) != found.get(name):
                what = (
                    "missing"
                    if name not in found
                    else "too much"
                    if name not in self._wanted
                    else "another"
                )
                self._fail(f"after {kills} kills {name} is {what}")
        # A hidden scratch folder of a killed run harms nobody; what stands beside the results does.
        names = [p.relative_to(folder / "work") for p in (folder / "work").rglob("*.partial*")]
        left = [str(n) for n in names if not any(part.startswith(".") for part in n.parts[:-1])]
        if left:
            self._fail(f"after {kills} kills {', '.join(left)} stays")


def _readable(path: Path) -> bool:
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return bool(load_file(path))
        import torch

        return bool(torch.load(path, map_location="cpu", weights_only=True))
    except Exception:  # each library has exceptions of its own for damage
        return False


def _digest_or_none(path: Path) -> str | None:
    try:
        return digest(path)
    except (ValueError, OSError, IndexError, zipfile.BadZipFile):
        return None


def main() -> int:
    """Kill, tell, and return 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(description="kills at random moments over writing commands")
    parser.add_argument("--kills", type=int, default=100, help="at least, in all (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--command", metavar="NAME", help="only commands that begin so")
    parser.add_argument("--most", type=int, default=3, help="kills before a run may end (3)")
    parser.add_argument("--quick", action="store_true", help="without the slow ones")
    args = parser.parse_args()
    forked.import_everything()
    base = Path(tempfile.mkdtemp(prefix="img2imu-kills-")).resolve()
    rng, killers = random.Random(args.seed), dict[str, Killer]()
    chosen = [
        writer
        for writer in WRITERS
        if writer.name.startswith(args.command or "") and not (args.quick and writer.slow)
    ]
    try:
        healthy = base / "healthy" / "work"
        healthy.mkdir(parents=True)
        write_inputs(healthy, lambda argv: forked.succeed(argv, healthy.parent))
        rounds = 0
        while sum(killer.kills for killer in killers.values()) < args.kills or rounds < 1:
            for writer in chosen:
                if writer.name not in killers:
                    killers[writer.name] = Killer(writer, healthy, base, rng)
                killers[writer.name].life(args.most)
            rounds += 1
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(f"{'command':<16}{'kills':>7}{'ends':>7}{'files':>7}{'failures':>10}")
    for name, killer in killers.items():
        print(
            f"{name:<16}{killer.kills:>7}{killer.lives:>7}{len(killer._wanted):>7}{len(killer.failures):>10}"
        )
    failures = [failure for killer in killers.values() for failure in killer.failures]
    print("\n".join(failures), file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
