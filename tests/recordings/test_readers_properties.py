"""No reader crashes, hands on a NaN, or loses a row without saying so, whatever the lines hold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.registry import open_source
from tests.recordings import samples

COUNT = 24
VALUES = samples.signal(COUNT)


Edit = Callable[[list[str]], list[str]]


def write(path: Path, lines: list[str], header: str | None = None, end: str = "\n") -> Path:
    """Write the lines, and beside them how many rows they are: records between `end`s."""
    text = "\n".join(([header] if header else []) + lines)
    path.write_bytes(text.encode())
    records = "\n".join(lines).replace(end, "\n").split("\n")
    path.with_suffix(".rows").write_text(str(sum(bool(record.strip()) for record in records)))
    return path


def wisdm_2019(folder: Path, edit: Edit) -> Path:
    lines = edit(samples.wisdm_2019_lines(1600, "A", VALUES))
    return write(folder / "data_1600_accel_phone.txt", lines, end=";")


def wisdm_v1(folder: Path, edit: Edit) -> Path:
    lines = [line.replace("A", "Jogging") for line in samples.wisdm_2019_lines(7, "A", VALUES)]
    return write(folder / "WISDM_ar_v1.1_raw.txt", edit(lines), end=";")


def daphnet(folder: Path, edit: Edit) -> Path:
    ankle = np.round(VALUES * 1000).astype(np.int64)
    return write(folder / "S05R01.txt", edit(samples.daphnet_lines(ankle, [0, 1, 2] * 8)))


def motionsense(folder: Path, edit: Edit) -> Path:
    path = folder / "wlk_7" / "sub_5.csv"
    path.parent.mkdir()
    lines = [f"{row},{x},{y},{z}" for row, (x, y, z) in enumerate(VALUES)]
    return write(path, edit(lines), ",x,y,z")


def goat(folder: Path, edit: Edit) -> Path:
    lines = [f"walking,{row * 10},{x},{y},{z}" for row, (x, y, z) in enumerate(VALUES)]
    return write(folder / "pos_C.csv", edit(lines), "label,timestamp_ms,ax,ay,az")


def capture24(folder: Path, edit: Edit) -> Path:
    (folder / "annotation-label-dictionary.csv").write_text(samples.CAPTURE24_DICTIONARY)
    second, note = "2016-10-17 03:53:", "7030 sleeping;MET 0.95"
    lines = [f"{second}{row:02d},{x},{y},{z},{note}" for row, (x, y, z) in enumerate(VALUES)]
    return write(folder / "P012.csv", edit(lines), "time,x,y,z,annotation")


def tabular(folder: Path, edit: Edit) -> Path:
    lines = [f"{row / 50},{x},{y},{z},ann,a" for row, (x, y, z) in enumerate(VALUES)]
    return write(folder / "own.csv", edit(lines), "time,x,y,z,subject,label")


def german(folder: Path, edit: Edit) -> Path:
    """Semicolons, decimal commas, German dates, a gyroscope beside, lines before the header."""
    lines = [
        ";".join(
            [f"31.12.2025 14:05:{row:02d},500", *(f"{cell}".replace(".", ",") for cell in both)]
        )
        for row, both in enumerate(np.hstack([VALUES, VALUES * 90]).round(4))
    ]
    head = "Zeit;ax (g);ay (g);az (g);wx (deg/s);wy (deg/s);wz (deg/s)"
    return write(folder / "own.csv", edit(lines), f"Logger 3\n{head}")


def zoned(folder: Path, edit: Edit) -> Path:
    """Tabs, ISO dates with a zone, coarser than the samples."""
    lines = [
        f"2025-12-31T14:05:{row // 2:02d}+01:00\t{x}\t{y}\t{z}"
        for row, (x, y, z) in enumerate(VALUES)
    ]
    return write(folder / "own.txt", edit(lines), "time\tx\ty\tz")


def without_names(folder: Path, edit: Edit) -> Path:
    """As OmGui writes; what stands before the first sample is no row."""
    second = "2025-12-31 14:05:"
    lines = [f"{second}{row:02d}.250,{x},{y},{z}" for row, (x, y, z) in enumerate(VALUES)]
    return write(folder / "own.csv", [lines[0], *edit(lines[1:])])


FORMATS = [
    german,
    zoned,
    without_names,
    wisdm_2019,
    wisdm_v1,
    daphnet,
    motionsense,
    goat,
    capture24,
    tabular,
]

cell = st.one_of(
    st.sampled_from(["", "nan", "NaN", "inf", "-inf", "1e400", "1e39", "-", "0", "A", '"', ";"]),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-(2**70), 2**70).map(str),
    st.text(alphabet='0189abé .,;-+_\t\r\x00"', max_size=8),
)
action = st.sampled_from(["cell", "insert", "cut", "repeat"])
edit = st.tuples(action, st.integers(0, 999), st.integers(0, 9), cell)


def apply(edits: list[tuple[str, int, int, str]], lines: list[str]) -> list[str]:
    lines = list(lines)
    for kind, row, column, text in edits:
        place = row % len(lines)
        if kind == "insert":
            lines.insert(place, text)
        elif kind == "cut":
            lines[place] = lines[place][: column * 3]
        elif kind == "repeat":
            lines[place] += lines[place]
        else:
            separator = "," if "," in lines[place] else " "
            cells = lines[place].split(separator)
            cells[column % len(cells)] = text
            lines[place] = separator.join(cells)
    return lines


@pytest.mark.parametrize("write_format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(edits=st.lists(edit, max_size=12))
def test_rows_in_are_rows_used_and_rows_dropped(
    write_format: Callable[[Path, Edit], Path], edits: list[tuple[str, int, int, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_format(Path(folder), lambda lines: apply(edits, lines))
        check_source(path, int(path.with_suffix(".rows").read_text()))


def check_source(path: Path, rows: int, **options: Any) -> None:
    try:
        source = open_source(path, **options)
        pieces = list(source.pieces())
    except InputError as error:
        assert str(path.parent) in str(error)  # a sentence that names what it is about
        return
    report = source.report
    assert report.rows == rows
    assert report.rows == report.used + report.dropped.total()
    assert report.used == sum(len(piece) for piece in pieces)
    for piece in pieces:
        assert piece.values.shape == (len(piece), 3)
        assert len(piece.labels) == len(piece) > 0
        assert piece.values.dtype == np.float32
        assert piece.time.dtype == np.float64
        assert np.isfinite(piece.values).all()
        assert np.isfinite(piece.time).all()
        assert piece.subject
        assert all(type(label) is str for label in piece.labels)


number = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(number, number, number, number), min_size=1, max_size=40))
def test_arrays_of_any_floats(rows: list[tuple[float, float, float, float]]) -> None:
    columns = dict(zip(("time", "x", "y", "z"), np.array(rows).T, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "a.npz", **columns)
        pq.write_table(pa.table(columns), Path(folder) / "a.parquet")
        for name in ("a.npz", "a.parquet"):
            check_source(Path(folder) / name, len(rows), unit="g", time_unit="s")


@settings(max_examples=40, deadline=None)
@given(
    hot=st.lists(st.sets(st.sampled_from(samples.PVS_LABELS), max_size=3), min_size=1, max_size=9),
    broken=st.sets(st.integers(0, 8)),
)
def test_pvs_rows(hot: list[set[str]], broken: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples.write_pvs(Path(folder), 8, samples.signal(len(hot)), hot)
        path = Path(folder) / "PVS 8" / "dataset_gps_mpu_left.csv"
        head, *lines = path.read_text().splitlines()
        lines = ["?" if row in broken else line for row, line in enumerate(lines)]
        path.write_text("\n".join([head, *lines]))
        check_source(path, len(hot))
