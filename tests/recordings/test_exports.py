"""What apps and devices export is read without an option, as it was recorded."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.recordings.registry import open_source
from tests.recordings import exports

LOCAL = exports.START
WHOLE = LOCAL.replace(microsecond=0)
CET = LOCAL.replace(tzinfo=timezone(timedelta(hours=1)))

# Export, rate in Hz, moment of the first sample, unit and how it is told.
CASES: list[tuple[Callable[[Path], Path], float, datetime | None, str]] = [
    (exports.phyphox, 100, None, "m/s2, by the header"),
    (exports.phyphox_german, 100, None, "m/s2, by the header"),
    (exports.phyphox_zip, 100, None, "m/s2, by the header"),
    (exports.sensor_logger, 100, LOCAL.replace(tzinfo=UTC), "m/s2, by gravity in the data"),
    (exports.physics_toolbox, 100, None, "g, by gravity in the data"),
    (exports.omgui, 100, LOCAL, "g, by gravity in the data"),
    (exports.omconvert, 100, LOCAL, "g, by the header"),
    (exports.actigraph, 30, WHOLE, "g, by gravity in the data"),
    (exports.actigraph_german, 30, LOCAL, "g, by gravity in the data"),
    (exports.geneactiv, 100, LOCAL, "g, by gravity in the data"),
    (exports.sensorlog, 50, CET, "g, by the header"),
    (exports.empatica, 32, LOCAL.replace(tzinfo=UTC), "g/64, by the form of the file"),
    (exports.movesense, 52, None, "m/s2, by the header"),
    (exports.witmotion, 50, None, "g, by the header"),
    (exports.arduino, 50, None, "m/s2, by gravity in the data"),
    (exports.serial_monitor, 50, None, "g, by gravity in the data"),
    (exports.spreadsheet, 50, LOCAL, "m/s2, by the header"),
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize(
    ("export", "rate", "began", "unit"), CASES, ids=lambda x: getattr(x, "__name__", None)
)
def test_an_export_is_read_as_it_was_recorded(
    tmp_path: Path,
    export: Callable[[Path], Path],
    rate: float,
    began: datetime | None,
    unit: str,
) -> None:
    source = open_source(export(tmp_path))
    (piece,) = source.pieces()
    rounding = 0.01 if export is exports.empatica else 1e-3
    np.testing.assert_allclose(piece.values, exports.VALUES, atol=rounding)
    assert piece.rate == rate
    # Whole milliseconds at most are lost, and Movesense's clock is coarser.
    np.testing.assert_allclose(piece.time, np.arange(exports.ROWS) / rate, atol=0.02)
    assert source.report.rows == source.report.used == exports.ROWS
    assert source.report.warnings == {}
    (reading,) = source.report.readings
    assert reading.unit == unit
    if began is None:
        assert piece.began is None
    else:
        assert piece.began is not None
        assert piece.began.utcoffset() == began.utcoffset()
        assert abs(piece.began - began) < timedelta(milliseconds=1)


@pytest.mark.parametrize("name", ["gt3x", "cwa"])
def test_a_binary_file_of_a_research_sensor(tmp_path: Path, name: str) -> None:
    pytest.importorskip({"gt3x": "pygt3x", "cwa": "cwa_reader_rs"}[name])
    values = {"gt3x": exports.VALUES, "cwa": exports.CWA_VALUES}[name]
    rate = {"gt3x": 30, "cwa": 100}[name]
    (piece,) = open_source(getattr(exports, name)(tmp_path)).pieces()
    np.testing.assert_allclose(piece.values, values, atol=1 / 512)
    np.testing.assert_allclose(piece.time, np.arange(len(values)) / rate, atol=1e-4)
    assert (piece.rate, piece.began) == (rate, WHOLE)


@pytest.mark.parametrize(
    ("name", "library", "export"),
    [("gt3x", "pygt3x", "ActiLife"), ("cwa", "cwa_reader_rs", "OmGui")],
)
def test_a_missing_library_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str, export: str
) -> None:
    original = builtins.__import__

    def without(module: str, *args: Any, **options: Any) -> Any:
        if module.split(".")[0] == library:
            raise ModuleNotFoundError(name=library)
        return original(module, *args, **options)

    path = getattr(exports, name)(tmp_path)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf"img2imu\[devices\].* export it as CSV \({export}"):
        list(open_source(path).pieces())


def test_a_damaged_binary_file_is_one_sentence(tmp_path: Path) -> None:
    for name, library in (("a.gt3x", "pygt3x"), ("a.cwa", "cwa_reader_rs")):
        (tmp_path / name).write_bytes(b"MDxx" * 300)
        if importlib.util.find_spec(library):
            with pytest.raises(InputError, match="damaged or of another kind"):
                list(open_source(tmp_path / name).pieces())
    (tmp_path / "a.bin").write_bytes(b"Device Identity\r\n" * 100)
    with pytest.raises(InputError, match="export it as CSV"):
        list(open_source(tmp_path / "a.bin").pieces())


def test_of_a_folder_only_the_accelerometer_with_gravity_is_read(tmp_path: Path) -> None:
    source = open_source(exports.sensor_logger(tmp_path))
    assert [piece.recording for piece in source.pieces()] == ["TotalAcceleration.csv"]
    assert sorted(source.report.skipped) == [
        "Accelerometer.csv", "Annotation.csv", "Gravity.csv", "Gyroscope.csv", "Metadata.csv",
    ]  # fmt: skip
    (tmp_path / "TotalAcceleration.csv").unlink()
    with pytest.raises(InputError, match=r"acceleration without gravity or raw counts.* --unit"):
        list(open_source(tmp_path).pieces())
    source = open_source(tmp_path, unit="m/s2")
    assert [piece.recording for piece in source.pieces()] == ["Accelerometer.csv"]
    assert "no gravity" in next(iter(source.report.warnings))
