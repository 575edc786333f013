"""CSV, Parquet and NPZ files with named columns."""

from __future__ import annotations

import lzma
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from img2imu.errors import InputError
from img2imu.recordings.readers.clock import guess_time_unit
from img2imu.recordings.registry import open_source
from img2imu.recordings.types import Piece
from tests.recordings import samples

ROWS = 60


def read(path: Path, **options: Any) -> list[Piece]:
    source = open_source(path, **options)
    pieces = list(source.pieces())
    assert source.report.rows == source.report.used + source.report.dropped.total()
    return pieces


def columns(rate: float = 50.0) -> dict[str, Any]:
    x, y, z = samples.signal(ROWS).T
    labels = np.repeat(["walk", "", "run"], ROWS // 3)
    return {"time": np.arange(ROWS) / rate, "x": x, "y": y, "z": z, "label": labels}


def write(path: Path, data: dict[str, Any], separator: str = ",") -> Path:
    lines = [separator.join(str(cell) for cell in row) for row in zip(*data.values(), strict=True)]
    path.write_text("\n".join([separator.join(data), *lines]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "npz"])
def test_the_same_from_every_file_type(tmp_path: Path, kind: str) -> None:
    path, data = tmp_path / f"tom.{kind}", columns()
    if kind == "parquet":
        pq.write_table(pa.table({name: list(cells) for name, cells in data.items()}), path)
    elif kind == "npz":
        np.savez(path, **data)
    else:
        write(path, data, "\t" if kind == "tsv" else ",")
    (piece,) = read(path)
    assert (piece.subject, piece.rate) == ("tom", 50.0)
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-6)
    np.testing.assert_allclose(piece.time, np.arange(ROWS) / 50, atol=1e-9)
    assert list(piece.labels) == list(data["label"])


@pytest.mark.parametrize(
    ("name", "start", "step", "scale"),
    [
        ("time", 0, 0.02, 1),
        ("time_s", 5, 0.02, 1),
        ("t", 1_500_000_000.25, 0.02, 1),
        ("Timestamp", 0, 20, 1e-3),
        ("timestamp", 1_495_513_322_900, 20, 1e-3),
        ("timestamp (us)", 77, 20_000, 1e-6),
        ("time", 90_426_708_196_641, 20_000_000, 1e-9),
        ("time", 1_600_000_000_123_456_789, 20_000_001, 1e-9),
    ],
)
def test_time_units(tmp_path: Path, name: str, start: float, step: float, scale: float) -> None:
    data = columns()
    del data["time"]
    stamps = [start + row * step for row in range(ROWS)]
    (piece,) = read(write(tmp_path / "a.csv", {name: stamps} | data))
    np.testing.assert_allclose(piece.time, np.arange(ROWS) * step * scale, atol=1e-6)
    assert piece.rate == 50.0


def test_dates(tmp_path: Path) -> None:
    start = datetime(1999, 12, 31, 23, 59, 59, 500_000)
    stamps = [str(start + timedelta(milliseconds=20 * row)) for row in range(ROWS)]
    (piece,) = read(write(tmp_path / "a.csv", columns() | {"time": stamps}))
    np.testing.assert_allclose(piece.time, np.arange(ROWS) / 50, atol=1e-9)
    table = pa.table({name: list(cells) for name, cells in columns().items()})
    dates = pa.array([start + timedelta(milliseconds=20 * row) for row in range(ROWS)])
    pq.write_table(table.set_column(0, "time", dates), tmp_path / "b.parquet")
    (piece,) = read(tmp_path / "b.parquet")
    np.testing.assert_allclose(piece.time, np.arange(ROWS) / 50, atol=1e-9)


def test_time_unit_of_a_whole_second_clock() -> None:
    stamps = np.repeat(1_600_000_000 + np.arange(20), 50)
    assert guess_time_unit(None, stamps) == "s"


def test_a_clock_in_whole_seconds_still_tells_the_rate(tmp_path: Path) -> None:
    data = {name: np.tile(cells, 5) for name, cells in columns().items()}
    data["time"] = 1_600_000_000 + np.repeat(np.arange(15), 20)
    (piece,) = read(write(tmp_path / "a.csv", data))
    assert piece.rate == pytest.approx(20, rel=0.1)


def test_without_timestamps_rows_are_counted(tmp_path: Path) -> None:
    data = columns()
    del data["time"]
    path = write(tmp_path / "a.csv", data)
    path.write_text(path.read_text().replace("\n", "\n?,?,?,?\n", 1))
    (piece,) = read(path, rate=25.0)
    np.testing.assert_allclose(piece.time, np.arange(ROWS) / 25)
    with pytest.raises(InputError, match="no column known as time"):
        read(path)
    with pytest.raises(InputError, match="give --rate"):
        read(path, columns=("x", "y", "z"))


@pytest.mark.parametrize(("unit", "per_g"), [("g", 1), ("m/s2", 9.80665), ("mg", 1000)])
def test_units(tmp_path: Path, unit: str, per_g: float) -> None:
    data = columns()
    for axis in "xyz":
        data[axis] = data[axis] * per_g
    path = write(tmp_path / "a.csv", data)
    for options in ({}, {"unit": unit}):
        (piece,) = read(path, **options)
        np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-5)


def test_a_unit_that_gravity_does_not_tell_must_be_given(tmp_path: Path) -> None:
    data = columns() | {"z": np.zeros(ROWS)}
    with pytest.raises(InputError, match=r"cannot be told from gravity .* give --unit"):
        read(write(tmp_path / "a.csv", data))


@pytest.mark.parametrize(
    "names", ["X Y Z", "acc_x acc_y acc_z", "Accel-X Accel-Y Accel-Z", "ax ay az"]
)
def test_usual_names_are_found(tmp_path: Path, names: str) -> None:
    data = columns()
    renamed = {"# timestamp": data["time"], "gyro_x": data["x"]}
    renamed |= {name: data[axis] for name, axis in zip(names.split(), "xyz", strict=True)}
    (piece,) = read(write(tmp_path / "a.csv", renamed | {"Activity": data["label"]}))
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-6)
    assert set(piece.labels) == {"walk", "", "run"}


def test_subject_column_makes_recordings(tmp_path: Path) -> None:
    data = columns() | {"subject": np.repeat(["b", "a", "b"], ROWS // 3)}
    pieces = read(write(tmp_path / "a.csv", data))
    assert [piece.subject for piece in pieces] == ["b", "a", "b"]
    assert len({piece.recording for piece in pieces}) == 3
    assert [piece.time[0] for piece in pieces] == [0, 0, 0]


def test_label_and_subject_from_the_path(tmp_path: Path) -> None:
    data = columns()
    del data["label"]
    for name in ("Grazing/7_cow9.csv", "Resting/8_cow4.csv", "notes/list.csv"):
        (tmp_path / name).parent.mkdir()
        write(tmp_path / name, data)
    pattern = r"(?P<label>[A-Z]\w+)/\d_(?P<subject>cow\d)\.csv"
    pieces = read(tmp_path, path_pattern=pattern)
    assert [(piece.subject, piece.labels[0]) for piece in pieces] == [
        ("cow9", "Grazing"),
        ("cow4", "Resting"),
    ]
    for wrong, message in (
        ("(", "regular expression"),
        ("a", "named groups"),
        ("(?P<x>)", "named"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, path_pattern=wrong)
    with pytest.raises(InputError, match="No file below"):
        read(tmp_path, path_pattern="(?P<label>sheep)")


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "walk.csv", columns())
    first, second = read(tmp_path)
    assert first.recording != second.recording
    assert first.subject != second.subject


def test_each_file_has_its_own_rate(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", columns(50))
    write(tmp_path / "b.csv", columns(100))
    assert [piece.rate for piece in read(tmp_path)] == [50, 100]
    with pytest.raises(InputError, match="not the 20 Hz as given"):
        read(tmp_path / "a.csv", rate=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("time", "x", "y", "w")}, r"no column 'w' \(columns: time, x, y, z, label\)"),
        ({"label": "mood"}, "no column 'mood'"),
        ({"subject": "who"}, "no column 'who'"),
        ({"subject": "label"}, "named for two things"),
        ({"columns": ("x", "y")}, "columns must name"),
        ({"unit": "ft"}, "unit must be one of g, m/s2, mg"),
        ({"time_unit": "h"}, "time_unit must be one of"),
        ({"rate": -1.0}, "rate must be a positive number"),
        ({"rate": float("nan")}, "rate must be a positive number"),
        ({"speed": 1}, "has no option speed"),
        ({"format": "xls"}, "Unknown format 'xls'"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.csv", columns()), **options)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"time,x,y,z\n", "no usable rows"),
        ("a.csv", b"1,2,3,4\n5,6,7,8\n", "--columns T,X,Y,Z, by places from 1"),
        ("a.csv", b"time,x,y,z,x\n0,0,0,1,0\n", "several columns for x"),
        ("a.csv", b"\x89PNG\x00\x01\x02\n" * 50, "not UTF-8 text"),
        ("a.csv", b"time,x,y,z\n" + b"a,b,c,d\n" * 99, "99 of the first 99 lines do not fit"),
        (
            "a.csv",
            b"time,x,y,z\n0,inf,0,1\n1,0,nan,1\n",
            "out of range: 1, missing value: 1|missing",
        ),
        ("a.parquet", b"PAR1 but not much of it", "no readable Parquet file"),
        ("a.npz", b"PK\x03\x04 cut", "damaged or not a NumPy file"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_npz_with_python_objects_or_wrong_shapes_is_refused(tmp_path: Path) -> None:
    data = columns()
    np.savez(tmp_path / "a.npz", **data | {"label": np.array([{}] * ROWS, dtype=object)})
    with pytest.raises(InputError, match="Python objects"):
        read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **data | {"x": data["x"][1:]})
    with pytest.raises(InputError, match="of one length"):
        read(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **data | {"x": data["label"]})
    with pytest.raises(InputError, match="holds no numbers"):
        read(tmp_path / "c.npz")


def test_a_large_file_comes_in_small_pieces(tmp_path: Path) -> None:
    rows = 250_000
    line = "".join(f"{row},0,0,1\n" for row in range(rows))
    path = tmp_path / "a.csv"
    path.write_text("time,x,y,z\n" + line)
    sizes, last = [], -1.0
    for piece in open_source(path, time_unit="ms").pieces():
        sizes.append(len(piece))
        assert piece.time[0] > last
        last = piece.time[-1]
    assert sum(sizes) == rows
    assert max(sizes) < rows


def test_missing_path_names_the_data_sets() -> None:
    with pytest.raises(
        InputError, match=r"nowhere\.csv is neither a file or folder nor a data set"
    ):
        open_source("nowhere.csv")


@pytest.mark.parametrize(
    ("options", "change", "doubt"),
    [
        ({}, {}, None),
        ({"unit": "mg"}, {}, "would be 1 g by g: --unit g?"),
        ({"unit": "m/s2"}, {}, "would be 1 g by g: --unit g?"),
        ({"unit": "g"}, {"z": 0.0}, "no gravity in it"),
        ({"unit": "g"}, {"z": 3.0}, "g where gravity makes it 1: --unit"),
    ],
)
def test_a_unit_that_the_data_contradict_is_doubted(
    tmp_path: Path, options: dict[str, Any], change: dict[str, float], doubt: str | None
) -> None:
    data = columns()
    for axis, mean in change.items():
        data[axis] = data[axis] - data[axis].mean() + mean
    source = open_source(write(tmp_path / "a.csv", data), **options)
    list(source.pieces())
    told = source.report.doubts()
    assert told == [] if doubt is None else doubt in told[0]
    assert doubt is None or told[0].endswith("(a.csv)")


def test_linear_acceleration_that_looks_like_gravity_is_doubted(tmp_path: Path) -> None:
    data = columns()
    way = np.random.default_rng(0).normal(size=(ROWS, 3))
    way = way / np.linalg.norm(way, axis=1, keepdims=True)
    data |= dict(zip("xyz", way.T, strict=True))
    source = open_source(write(tmp_path / "a.csv", data))
    list(source.pieces())
    assert "the unit may not be g" in source.report.doubts()[0]


def test_raw_counts_are_a_unit(tmp_path: Path) -> None:
    data = columns()
    for axis in "xyz":
        data[axis] = (data[axis] * 16384).round().astype(int)
    path = write(tmp_path / "a.csv", data)
    (piece,) = read(path, unit="16384")
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), atol=1e-4)
    with pytest.raises(InputError, match="raw counts"):
        read(path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".bz2", ".zst", ".zip"])
def test_single_files_may_be_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path / "tom.csv", columns())
    packed = tmp_path / f"P001.csv{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(path, "P001.csv")
    else:
        with pa.output_stream(str(packed), compression="detect") as stream:
            stream.write(path.read_bytes()) if suffix != ".xz" else None
        if suffix == ".xz":
            packed.write_bytes(lzma.compress(path.read_bytes()))
    (piece,) = read(packed)  # and what is named like CAPTURE-24 is looked into
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-6)
    assert piece.subject == "P001"


def test_label_and_subject_by_a_template(tmp_path: Path) -> None:
    data = columns()
    del data["label"]
    for name in ("walk/ann_1.CSV", "sit still/bob_2.csv", "notes.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, data)
    pieces = read(tmp_path, path_pattern="{label}/{subject}_*")
    assert {(piece.labels[0], piece.subject) for piece in pieces} == {
        ("walk", "ann"), ("sit still", "bob"),
    }  # fmt: skip


def test_separators_that_guessing_gets_wrong_may_be_given(tmp_path: Path) -> None:
    data = columns()
    path = write(tmp_path / "a.csv", data, "~")
    (piece,) = read(path, delimiter="~")
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-6)
    for options, message in (
        ({"delimiter": "ab"}, "delimiter must be one character"),
        ({"decimal": "dot"}, "decimal must be point or comma"),
        ({"time_format": "%H:%M:%S"}, "no timestamp fits --time-format"),
    ):
        with pytest.raises(InputError, match=message):
            read(path, **({"delimiter": "~"} | options))


def test_the_accelerometer_is_chosen_among_triads(tmp_path: Path) -> None:
    data = columns()
    x, y, z = (data.pop(axis) for axis in "xyz")
    head = {"time": data["time"], "gx": z, "gy": x, "gz": y, "Gyroscope x (rad/s)": x}
    path = write(tmp_path / "a.csv", head | {"az": z, "ax": x, "ay": y})
    (piece,) = read(path)
    np.testing.assert_allclose(piece.values, samples.signal(ROWS), rtol=1e-6)
    two = {f"{place}_acc_{axis}": x for place in ("left", "right") for axis in "xyz"}
    with pytest.raises(InputError, match=r"which sensor is meant\? Give --columns"):
        read(write(tmp_path / "b.csv", {"time": data["time"]} | two))
