"""The block parser against a line-by-line reference."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.readers.text import MISSING, Layout, line_blocks, parse_block

LAYOUT = Layout(("name", "time", "x"), {"name": "text", "time": "int", "x": "float"})

good_line = st.builds(
    lambda name, time, x: f"{name},{time},{x}",
    st.sampled_from(["a", "walking", ""]),
    st.integers(-(10**15), 10**18),
    st.one_of(st.floats(-1e30, 1e30), st.sampled_from(["1.", ".5", "-0", "1e3", " 2 ", "7"])),
)
bad_line = st.one_of(
    st.text(alphabet='ab0189.,-e+ "_;\x00\té', max_size=20),
    st.sampled_from(["a,1", "a,1,2,3", "a,x,1", "a,1,", "a,1,nan", "a,1,inf", "a,1_0,2", 'a,"1,2']),
)


def reference(text: str) -> tuple[list[tuple[str, int, float]], int]:
    """Usable rows, and number of rows, the slow and obvious way."""
    lines = [line for line in text.split("\n") if line.strip()]
    kept = []
    for line in lines:
        fields = next(csv.reader([line]), []) if '"' in line else line.split(",")
        try:
            name, time, x = fields
            row = (name, int(time), float(x))
        except ValueError:
            continue
        plain = "_" not in time + x and (time + x).isascii()
        if plain and math.isfinite(row[2]) and x.strip() not in MISSING:
            kept.append(row)
    return kept, len(lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(good_line, bad_line), max_size=80), st.booleans())
def test_block_equals_reference(lines: list[str], broken_end: bool) -> None:
    text = "\n".join(lines) + ("" if broken_end else "\n")
    rows = parse_block(text.encode(), LAYOUT)
    expected, count = reference(text)
    found = list(zip(*(rows.columns[name].tolist() for name in ("name", "time", "x")), strict=True))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    np.testing.assert_allclose([row[2] for row in found], [row[2] for row in expected], rtol=1e-15)
    assert rows.rows == count == len(rows) + rows.dropped.total()


def test_index_tells_where_the_kept_rows_stood() -> None:
    lines = [f"a,{row},{row}" for row in range(1000)]
    for row in (0, 17, 500, 999):
        lines[row] = "garbage"
    lines.insert(300, "")  # a blank line is no row
    rows = parse_block("\n".join(lines).encode(), LAYOUT)
    np.testing.assert_array_equal(rows.index, rows.columns["time"])
    assert rows.rows == 1000
    assert len(rows) == 996


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings(ending: str) -> None:
    text = ending.join(["a,1,2.5", "", "b,2,3.5", ""])
    rows = parse_block(text.encode(), LAYOUT)
    assert rows.columns["x"].tolist() == [2.5, 3.5]
    assert (rows.rows, rows.dropped.total()) == (2, 0)


def test_dates_become_nanoseconds() -> None:
    layout = Layout(("time", "x"), {"time": "datetime", "x": "float"})
    block = (
        b"2016-10-17 03:53:00.010,1\n2016-10-17T03:53:00,2\nyesterday,3\n2016-13-01 00:00:00,4\n"
    )
    rows = parse_block(block, layout)
    expected = np.array(["2016-10-17T03:53:00.010", "2016-10-17T03:53:00"], "datetime64[ns]")
    np.testing.assert_array_equal(rows.columns["time"], expected.astype(np.int64))
    assert rows.dropped.total() == 2


def test_blocks_break_between_lines(tmp_path: Path) -> None:
    text = b"".join(b"%d,%d\n" % (row, row * row) for row in range(3000)) + b"last"
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text))
    blocks = list(line_blocks(path, size=1000))
    assert len(blocks) > 10
    assert b"".join(blocks) == text
    assert all(block.endswith(b"\n") for block in blocks[:-1])


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_damaged_compression_names_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(b"this was never compressed")
    with pytest.raises(InputError, match=f"a.csv{suffix} (is truncated|cannot be read)"):
        list(line_blocks(path))
