"""Shoulder exercises with a smartwatch (Burns et al. 2018), shipped inside the package seglearn."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..sensors import ACCELEROMETER, as_sensors, axes_of
from ..types import Piece
from .base import Reader, find_files

SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
"""Of ``seglearn/data/watch_dataset.npy``, seglearn 1.2.5."""

RECORDED = ("accel", "gyro")
"""Sensors of the watch, in the order of the file's columns."""

EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}


class Exercise(Reader):
    """The seglearn watch data: 10 subjects, 7 exercises, 140 sets of repetitions, 50 Hz, in g.

    There are no timestamps: a row's time is its number over 50 Hz. A set is one recording.

    Parameters
    ----------
    path
        ``watch_dataset.npy`` or a folder that holds it; found in the installed package seglearn
        if not given.
    sensors
        ``accel``, ``gyro`` (in rad/s), both in this order or the other, or ``all``.
    """

    name = "exercise"
    rate = 50.0

    def __init__(
        self, path: str | Path | None = None, sensors: Sequence[str] | None = None
    ) -> None:
        super().__init__(path or locate())
        wanted = ACCELEROMETER if sensors is None else tuple(sensors)
        self.sensors = RECORDED if wanted == ("all",) else as_sensors(wanted)
        self._axes = axes_of(RECORDED, self.sensors)

    def _files(self) -> list[Path]:
        return find_files(self.path, "watch_dataset.npy", self.name)

    def _read_file(self, path: Path) -> Iterator[Piece]:
        data = _load(path)
        for number, (samples, label, subject) in enumerate(
            zip(data["X"], data["y"], data["subject"], strict=True)
        ):
            self.report.rows += len(samples)
            name = EXERCISES[data["y_labels"][int(label)]]
            yield from self._pieces(
                str(subject),
                f"set-{number:03d}",
                np.arange(len(samples)) / self.rate,
                samples[:, self._axes],
                np.full(len(samples), name, dtype=object),
            )


def locate() -> Path:
    """Path of the data file in the installed seglearn, which is not imported for it."""
    spec = find_spec("seglearn")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise InputError(
            "The exercise data come with the package seglearn, which is not installed: "
            "pip install --no-deps seglearn==1.2.5"
        )
    return Path(next(iter(folders))) / "data" / "watch_dataset.npy"


def _load(path: Path) -> dict[str, Any]:
    """Unpickle the data file: only the one known by its hash, and nothing but arrays from it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(
            f"{path} is not the exercise file of seglearn 1.2.5: its SHA-256 differs from {SHA256}"
        )
    stream = io.BytesIO(content)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_1_0(stream)
    data: dict[str, Any] = _ArrayUnpickler(stream).load().item()
    return data


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds numpy arrays and plain containers only, whatever else a file may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): _encode,
        }
        try:
            return allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)
