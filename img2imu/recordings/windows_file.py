"""Windows on disk: one NPZ, or the folder of arrays known from ssl-wearables."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from img2imu.errors import InputError
from img2imu.recordings.windows import Windows

REQUIRED = ("X", "y", "subject")
UNREADABLE = (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile)
UNREADABLE += (zlib.error, NotImplementedError)
"""What NumPy and zipfile raise on files that are truncated, damaged or of another kind."""


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
        self._path = Path(path)
        self._settings = json.dumps(settings or {})
        if not self._path.parent.is_dir():
            raise InputError(f"cannot write {path}: the folder {self._path.parent} does not exist")
        self._X: IO[bytes] = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115
        self._batches: list[Windows] = []

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
        if self._batches:
            _require_alike(self._batches[0], windows)
        self._X.write(np.ascontiguousarray(windows.X, dtype="<f4").data)
        self._batches.append(_without_values(windows))

    def _finish(self) -> None:
        if not sum(len(batch) for batch in self._batches):
            raise InputError(f"there are no windows to write to {self._path}")
        windows = Windows.concatenate(self._batches)
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            with zipfile.ZipFile(partial, "w") as archive:
                self._copy_values(archive, windows.X.shape)
                for name in ("y", "subject", "recording", "start"):
                    _write_array(archive, name, getattr(windows, name))
                _write_array(archive, "sampling_rate", np.array(windows.sampling_rate))
                _write_array(archive, "settings", np.array(self._settings))
            partial.replace(self._path)
        finally:
            partial.unlink(missing_ok=True)

    def _copy_values(self, archive: zipfile.ZipFile, shape: tuple[int, ...]) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        self._X.seek(0)
        with archive.open("X.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            shutil.copyfileobj(self._X, member, 1 << 20)


def load_windows(path: str | Path, sampling_rate: float | None = None) -> Windows:
    """Read a windows file, checking everything it holds.

    Two forms are known:

    - an NPZ with ``X`` (n, 3, samples) in g, ``y`` (n,), ``subject`` (n,), ``sampling_rate`` and,
      if there, ``recording`` (n,) and ``start`` (n,);
    - a folder with ``X.npy`` of shape (n, samples, 3) or (n, 3, samples), ``Y.npy`` and
      ``pid.npy``, as ssl-wearables keeps it.

    Labels and subjects may be text or whole numbers; they become text. Nothing is unpickled.

    Parameters
    ----------
    path
        File or folder.
    sampling_rate
        In Hz, where the file does not say.

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
    X = _values(arrays["X"], path)
    n = len(X)
    return Windows(
        X=X,
        y=_text(arrays, "y", n, path),
        subject=_text(arrays, "subject", n, path),
        recording=_text(arrays, "recording", n, path),
        start=_start(arrays, n, path),
        sampling_rate=_rate(arrays.get("sampling_rate"), sampling_rate, path),
    )


def _write_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def _without_values(windows: Windows) -> Windows:
    """The same windows with an ``X`` of the same shape that takes no memory."""
    nothing = np.broadcast_to(np.float32(0), windows.X.shape)
    return Windows(
        nothing, windows.y, windows.subject, windows.recording, windows.start, windows.sampling_rate
    )


def _require_alike(first: Windows, other: Windows) -> None:
    ours, theirs = (
        f"{windows.X.shape[2]} samples at {windows.sampling_rate:g} Hz"
        for windows in (first, other)
    )
    if ours != theirs:
        raise InputError(f"one file cannot hold windows of {ours} and of {theirs}")
