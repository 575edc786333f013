"""Binary files of research sensors, read by libraries that are installed on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, excerpt
from .clock import TimeColumn
from .tables import Table, rows_of_arrays
from .text import Rows

_HEAD_ROWS = 50


class DeviceTable(Table):
    """Columns time, x, y and z in g of a whole recording, held in memory.

    Parameters
    ----------
    path
        Of the file.
    form
        For people.
    arrays
        By name: time as datetime64[ns], x, y, z.
    rate
        That the device was set to, in Hz.
    """

    unit = "g"

    def __init__(
        self, path: Path, form: str, arrays: dict[str, NDArray[Any]], rate: float | None
    ) -> None:
        self.path, self.form, self.rate = path, form, rate
        self._arrays, self.names = arrays, list(arrays)

    def head(self, name: str) -> list[str]:
        """The first cells of a column."""
        return [str(cell) for cell in self._arrays[name][:_HEAD_ROWS]]

    def rows(self, chosen: dict[str, str], time: TimeColumn) -> Iterator[Rows]:
        """Yield all rows at once."""
        arrays = {role: self._arrays[name] for role, name in chosen.items()}
        yield rows_of_arrays(self.path, arrays, time)


def open_device(path: Path) -> DeviceTable:
    """Open a .gt3x or .cwa file.

    Raises
    ------
    InputError
        If the library that reads it is missing, the file is damaged, or of a kind (.bin) that
        none reads.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise InputError(
            f"{path} is a binary file that no maintained library reads: export it as CSV "
            "(GENEActiv PC software: Data Converter, raw .csv) and give that"
        )
    return opener(path)


def _open_gt3x(path: Path) -> DeviceTable:
    with _reading(path, "pygt3x", "ActiLife: Export, Raw Data, .csv"):
        from pygt3x.reader import FileReader

        with FileReader(str(path)) as reader:
            frame = reader.to_pandas()
            rate = float(reader.info.sample_rate)
    # Seconds in a float64, of samples that stand at whole periods within a second.
    nanoseconds = np.rint(frame.index.to_numpy() * 1e9).astype("datetime64[ns]")
    arrays = {axis: frame[axis.upper()].to_numpy(np.float64) for axis in "xyz"}
    return DeviceTable(path, "ActiGraph .gt3x, by pygt3x", {"time": nanoseconds} | arrays, rate)


def _open_cwa(path: Path) -> DeviceTable:
    with _reading(path, "cwa_reader_rs", "OmGui: Export Raw CSV"):
        from cwa_reader_rs import read_cwa_file, read_metadata

        frame = read_cwa_file(
            str(path),
            include_magnetometer=False,
            include_temperature=False,
            include_light=False,
            include_battery=False,
        )
        rate = float(read_metadata(str(path))["sample_rate_hz"])
    arrays = {axis: frame[f"acc_{axis}"].to_numpy(np.float64) for axis in "xyz"}
    time = frame.index.to_numpy().astype("datetime64[ns]")
    return DeviceTable(path, "Axivity .cwa, by cwa-reader-rs", {"time": time} | arrays, rate)


_OPENERS: dict[str, Callable[[Path], DeviceTable]] = {".gt3x": _open_gt3x, ".cwa": _open_cwa}


@contextmanager
def _reading(path: Path, library: str, export: str) -> Iterator[None]:
    """Tell in one sentence that a library is missing, or what it raises on damaged files."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in (library, "pandas"):
            raise
        raise InputError(
            f"{path} needs {library.replace('_', '-')}: pip install 'img2imu[devices]', or "
            f"export it as CSV ({export})"
        ) from None
    except MemoryError:
        raise InputError(f"{path} does not fit into memory: export it as CSV ({export})") from None
    except Exception as error:  # whatever a parser comes upon in bytes that are no recording
        raise InputError(f"{path} is damaged or of another kind: {excerpt(error)}") from None
