"""Windows on disk: one NPZ, or the folder of arrays known from ssl-wearables."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, listing
from ..files import writable, writing
from .arrays import NpzFile, read_npy
from .labels import label_texts
from .missing import require_whole_triads
from .plausible import require_g
from .sensors import ACCELEROMETER, as_sensors
from .types import UNLABELLED
from .windows import Windows, describe, form_of, require_axes

COLUMNS = ("y", "subject", "recording", "start", "epoch")
REQUIRED = ("X", "y", "subject")
FOLDER = {"X": "X.npy", "y": "Y.npy", "subject": "pid.npy"}
SPELT_MISSING = ("nan", "NaT", "<NA>")
"""What `astype(str)` makes of a missing label; None becomes a word that may be a class."""

RATES = (1e-3, 1e6)
"""Lowest and highest sampling rate that is believed, in Hz."""


def save_windows(
    path: str | Path, windows: Windows, settings: Mapping[str, Any] | None = None
) -> None:
    """Write windows as an NPZ, whole or not at all.

    Parameters
    ----------
    path
        File to write; replaced if it exists.
    windows
        At least one.
    settings
        How the windows came about, as JSON values; kept in the file as text.

    Raises
    ------
    InputError
        As :class:`WindowsWriter`.
    """
    with WindowsWriter(path, settings) as writer:
        writer.append(windows)


class WindowsWriter:
    """Writes the windows file batch by batch, without ever holding ``X`` in memory.

    The file appears under its name when the ``with`` block ends without an error, and only then.

    Parameters
    ----------
    path, settings
        As in :func:`save_windows`.

    Raises
    ------
    InputError
        If the folder does not exist, batches differ in length or rate, or none was written.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        self._path = writable(path)
        self._settings = json.dumps(settings or {})
        self._X: IO[bytes] = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115
        self._form: tuple[int, float, tuple[str, ...]] | None = None
        self._columns: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}

    def __enter__(self) -> WindowsWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._X:
            if kind is None:
                self._finish()

    def append(self, windows: Windows) -> None:
        """Write a batch after those before it."""
        if not len(windows):
            return
        form = form_of(windows)
        if self._form is not None and self._form != form:
            raise InputError(
                f"{self._path} holds windows of {describe(self._form)}, which windows of "
                f"{describe(form)} cannot join"
            )
        self._form = form
        self._X.write(np.ascontiguousarray(windows.X, dtype="<f4").data)
        for name, parts in self._columns.items():
            parts.append(getattr(windows, name))

    def _finish(self) -> None:
        if self._form is None:
            raise InputError(f"there are no windows to write to {self._path}")
        samples, sampling_rate, sensors = self._form
        arrays = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        arrays["sampling_rate"] = np.array(sampling_rate)
        arrays["settings"] = np.array(self._settings)
        if sensors != ACCELEROMETER:
            arrays["sensors"] = np.array(sensors)
        with writing(self._path) as partial, zipfile.ZipFile(partial, "w") as archive:
            self._copy_values(archive, (len(arrays["y"]), 3 * len(sensors), samples))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    def _copy_values(self, archive: zipfile.ZipFile, shape: tuple[int, ...]) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        self._X.seek(0)
        with archive.open("X.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(self._X, member, 1 << 20)


def load_windows(
    path: str | Path, sampling_rate: float | None = None, *, incomplete: bool = False
) -> Windows:
    """Read a windows file, checking everything it holds.

    Two forms are known:

    - an NPZ with ``X`` (n, 3, samples) in g, ``y`` (n,), ``subject`` (n,), ``sampling_rate``, and
      optionally ``sensors`` (k,), where ``X`` is (n, 3 * k, samples) of others than the
      accelerometer, ``recording`` (n,), else the subject, ``start`` (n,) in seconds, else 0, and
      ``epoch`` (n,), the same in seconds since 1970, else NaN;
    - a folder with ``X.npy`` of shape (n, samples, 3) or (n, 3, samples), ``Y.npy`` and
      ``pid.npy``, as ssl-wearables keeps it.

    Labels and subjects may be text or whole numbers; they become text, and a label that is NaN,
    or the text ``nan``, becomes unlabelled. Nothing is unpickled, and nothing read that memory
    cannot hold.

    Parameters
    ----------
    path
        File or folder.
    sampling_rate
        In Hz, where the file does not say; the folder never does.
    incomplete
        Take windows in which samples are missing: NaN on all axes of a sensor.

    Raises
    ------
    InputError
        If something is missing, damaged, of the wrong shape or type, not finite, or empty.
    """
    path = Path(path)
    if path.is_dir():
        arrays = _read_folder(path)
    elif path.is_file():
        arrays = _read_npz(path)
    else:
        raise InputError(f"{path} does not exist")
    sensors = _sensors(arrays.get("sensors"), path)
    require_axes(arrays["X"], sensors, f"X in {path}")
    X = _values(arrays["X"], sensors, path, incomplete)
    n = len(X)
    return Windows(
        X=X,
        y=_labels(arrays["y"], n, path),
        subject=_text(arrays["subject"], "subject", n, path),
        recording=_text(arrays.get("recording", arrays["subject"]), "recording", n, path),
        start=_seconds(arrays.get("start", np.zeros(n)), "start", n, path),
        epoch=_seconds(arrays.get("epoch", np.full(n, np.nan)), "epoch", n, path),
        sampling_rate=_rate(arrays.get("sampling_rate"), sampling_rate, path),
        sensors=sensors,
    )


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    file = NpzFile(path)
    missing = [name for name in REQUIRED if name not in file.names]
    if missing:
        held = listing(sorted(file.names), "nothing")
        raise InputError(f"{path} has no array {missing[0]!r}; it holds: {held}")
    known = [name for name in ("X", *COLUMNS, "sampling_rate", "sensors") if name in file.names]
    return {name: file.read(name) for name in known}


def _read_folder(path: Path) -> dict[str, NDArray[Any]]:
    arrays = {}
    for name, filename in FOLDER.items():
        if not (path / filename).is_file():
            raise InputError(f"{path} has no {filename}, which a folder of windows needs")
        arrays[name] = read_npy(path / filename)
    arrays["X"] = _axes_first(arrays["X"], path)
    return arrays


def _axes_first(X: NDArray[Any], path: Path) -> NDArray[Any]:
    """``X`` as (n, 3, samples), wherever its axis of length 3 is."""
    if X.ndim != 3 or 3 not in X.shape[1:]:
        raise InputError(f"{path}/X.npy must have shape (n, samples, 3), not {X.shape}")
    if X.shape[1:] == (3, 3):
        raise InputError(f"{path}/X.npy has shape {X.shape}: which 3 is the axes cannot be told")
    return X if X.shape[1] == 3 else X.transpose(0, 2, 1)


def _sensors(stored: NDArray[Any] | None, path: Path) -> tuple[str, ...]:
    """The sensors that the file names; without any it is the accelerometer's."""
    if stored is None:
        return ACCELEROMETER
    if stored.ndim != 1 or stored.dtype.kind != "U":
        raise InputError(f"sensors in {path} must be a list of names, not {stored.dtype}")
    try:
        return as_sensors(stored.tolist())
    except InputError as error:
        raise InputError(f"sensors in {path}: {error}") from None


def _values(
    X: NDArray[Any], sensors: tuple[str, ...], path: Path, incomplete: bool
) -> NDArray[np.float32]:
    if X.dtype.kind not in "fiu":
        raise InputError(f"X in {path} must hold numbers, not {X.dtype}")
    if not X.size:
        raise InputError(f"X in {path} is empty: its shape is {X.shape}")
    with np.errstate(over="ignore"):
        X = np.ascontiguousarray(X, dtype=np.float32)
    bad = np.flatnonzero(np.isinf(X).any(axis=(1, 2)))
    if len(bad):
        raise InputError(
            f"X in {path} has values that are not finite: window {bad[0]} and {len(bad) - 1} others"
        )
    lacking = np.count_nonzero(np.isnan(X).any(axis=(1, 2)))
    if lacking and not incomplete:
        raise InputError(
            f"X in {path} has values that are not finite: in {lacking} of {len(X)} windows samples "
            "are missing (NaN), which 'img2imu pretrain --method aim' and 'img2imu probe' with its "
            "encoder read, and nothing else"
        )
    if lacking:
        require_whole_triads(X, f"X in {path}")
    require_g(X, f"windows in {path}", sensors)
    return X


def _text(array: NDArray[Any], name: str, n: int, path: Path) -> NDArray[np.str_]:
    """One text per window; whole numbers become text."""
    _require_one_each(array, name, n, path)
    # Beyond 2⁵³ a float is no whole number that anybody meant; infinity is below nothing.
    if array.dtype.kind == "f" and (np.abs(array) < 2**53).all() and (array % 1 == 0).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "USiu":
        raise InputError(f"{name} in {path} must hold text or whole numbers, not {array.dtype}")
    try:
        return array.astype(np.str_)
    except UnicodeDecodeError:
        raise InputError(f"{name} in {path} is damaged: its text is not ASCII") from None


def _labels(array: NDArray[Any], n: int, path: Path) -> NDArray[np.str_]:
    _require_one_each(array, "y", n, path)
    try:
        texts = label_texts(array)
    except InputError as error:
        raise InputError(f"y in {path}: {error}") from None
    return np.where(np.isin(texts, SPELT_MISSING), UNLABELLED, texts)


def _seconds(array: NDArray[Any], name: str, n: int, path: Path) -> NDArray[np.float64]:
    _require_one_each(array, name, n, path)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} in {path} must hold seconds, not {array.dtype}")
    return array.astype(np.float64)


def _require_one_each(array: NDArray[Any], name: str, n: int, path: Path) -> None:
    if array.shape != (n,):
        raise InputError(f"{name} in {path} has shape {array.shape} for {n} windows in X")


def _rate(stored: NDArray[Any] | None, given: float | None, path: Path) -> float:
    """The sampling rate that the file states, or else the one given."""
    if stored is None:
        if given is None:
            raise InputError(
                f"{path} does not state its sampling rate: give it in Hz with --sampling-rate "
                "(sampling_rate in Python)"
            )
        stored = np.asarray(given)
    slowest, fastest = RATES
    if stored.size != 1 or stored.dtype.kind not in "fiu" or not slowest <= stored <= fastest:
        raise InputError(
            f"the sampling rate of {path} must be one number from {slowest:g} to {fastest:g} Hz"
        )
    rate = float(stored.item())
    if given is not None and rate != given:
        raise InputError(f"{path} states a sampling rate of {rate:g} Hz, not {given:g} Hz")
    return rate
