"""A classifier as a static web page that checks and measures itself and reads a phone's sensor."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import write_json, write_text
from ..recordings.sensors import ACCELEROMETER, UNIT_OF, sensor_kind
from .known import file_answers, graph_answers
from .onnx import run_onnx
from .parity import ExportReport
from .webruntime import WEBGPU_FILES, runtime_package, unpack_runtime

if TYPE_CHECKING:
    from .graphs import Graph

FORMAT = 1
"""Of ``page.json``, and of the report that the page gives."""

SETTINGS = "page.json"
"""By which a folder is known for a page."""

SOURCE = Path(__file__).with_name("page")
"""The page itself, the same for all models."""

PAUSE = 1.0
"""Seconds between two check windows in the recording: more than what a stream bridges."""


@dataclass(frozen=True)
class Playback:
    """A recording for the page to play.

    Attributes
    ----------
    time
        Shape (n,), seconds.
    values
        Shape (n, 3 * sensors), in the sensors' units.
    rate
        Nominal, in Hz.
    """

    time: NDArray[np.float64]
    values: NDArray[np.float32]
    rate: float


def write_page(
    folder: Path,
    graph: Graph,
    models: Mapping[str, str],
    metadata: Mapping[str, Any],
    pictures: str | None = None,
    playback: Playback | None = None,
) -> int:
    """Write everything that a page needs beside the models, which are there.

    Any host of static files serves the folder; without a network it works once it was loaded.

    Parameters
    ----------
    folder
        Where the models are.
    graph
        What they were exported from, with windows as input; its examples become the page's
        self-test.
    models
        Kinds of the ONNX files, such as ``"float32"``, by name.
    metadata
        A classifier's.
    pictures
        Name of the ONNX file that draws, if there is one.
    playback
        Recording to play; by default the check windows, with a pause between them.

    Returns
    -------
    int
        Bytes of all files.

    Raises
    ------
    InputError
        If ONNX Runtime for browsers cannot be had.
    """
    rate = metadata["sampling_rate"]
    playback = playback or played(graph.examples, rate)
    unpack_runtime(folder)
    for source in sorted(SOURCE.iterdir()):
        shutil.copyfile(source, folder / source.name)
    graph.examples.astype("<f4").tofile(folder / "windows.f32")
    np.column_stack([playback.time, playback.values]).astype("<f8").tofile(folder / "recording.f64")
    write_json(
        folder / SETTINGS,
        {
            "format": FORMAT,
            "img2imu": metadata["img2imu"],
            "runtime": " ".join(runtime_package()),
            "labels": metadata["labels"],
            "sampling_rate": rate,
            "samples": metadata["samples"],
            "sensors": metadata.get("sensors")
            or [{"name": name, "unit": UNIT_OF[sensor_kind(name)]} for name in ACCELEROMETER],
            "windows": "windows.f32",
            "models": [_model(folder / name, kind, graph) for name, kind in models.items()],
            "pictures": _pictures(folder / pictures, graph) if pictures else None,
            "recording": {"file": "recording.f64", "rate": playback.rate},
        },
    )
    _write_list(folder)
    return sum(path.stat().st_size for path in folder.iterdir())


def played(windows: NDArray[np.float32], rate: float) -> Playback:
    """Windows (n, 3 * sensors, samples) one after the other, so that each comes out of a stream."""
    count, axes, samples = windows.shape
    begins = np.arange(count) * (samples / rate + PAUSE)
    time = (begins[:, None] + np.arange(samples) / rate).ravel()
    return Playback(time, windows.swapaxes(1, 2).reshape(-1, axes), rate)


def require_page_folder(folder: Path) -> None:
    """Raise :class:`InputError` unless a page may be written to `folder`: new, empty or a page."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / SETTINGS).is_file():
        raise InputError(
            f"{folder} holds something else: give a folder of its own for the page (-o DIR)"
        )


def page_report(folder: Path, size: int, written: ExportReport) -> ExportReport:
    """What to say of a page of `size` bytes, whose model `written` is."""
    kind = f"web page, {' '.join(runtime_package())}"
    return ExportReport(folder / "index.html", kind, written.form, size, written.parity)


def _model(path: Path, kind: str, graph: Graph) -> dict[str, Any]:
    """A file, and what it must answer to the check windows."""
    float_file = kind == "float32"
    answers = graph_answers(graph) if float_file else file_answers(run_onnx(path), graph.examples)
    return {"file": path.name, "kind": kind, "size": path.stat().st_size, **answers}


def _pictures(path: Path, graph: Graph) -> dict[str, Any]:
    image = run_onnx(path)(graph.examples[:1])["image"][0]
    *views, _, height, width = image.shape
    return {"file": path.name, "views": views[0] if views else 1, "height": height, "width": width}


def _write_list(folder: Path) -> None:
    """Which files a device keeps, and a version that changes with any of them."""
    files = _listed(folder)
    digest = hashlib.sha256()
    for name in files:
        digest.update(f"{name}\n".encode() + (folder / name).read_bytes())
    kept = ["./", *(name for name in files if name not in WEBGPU_FILES)]
    listed = json.dumps({"version": digest.hexdigest()[:16], "files": kept})
    write_text(folder / "files.js", f"self.PAGE = {listed};\n")


def _listed(folder: Path) -> Sequence[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
