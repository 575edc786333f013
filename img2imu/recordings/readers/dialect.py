"""How a text file separates its cells, told from the data and not from the header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError, excerpt
from .clock import NUMBER
from .text import MISSING, line_blocks

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", " ": "space", "|": "bar"}

_HEAD_BYTES = 1 << 16
_HEAD_LINES = 250  # GENEActiv writes 100 before its first sample
_TIMELIKE = re.compile(r"\d{1,4}[-./:]\d{1,2}[-./:].*|\d{1,2}:\d{2}([.,]\d+)?")
_ARROW = re.compile(rb"(?m)^([\d:.]+) -> ")  # as Arduino's serial monitor puts the time
_HERTZ = re.compile(r"(?i)(\d+(?:[.,]\d+)?)\s*hz\b|measurement frequency\W+(\d+(?:\.\d+)?)")
_START = re.compile(r"(?im)^\W*start time\W+(\d\d?:\d\d:\d\d)\s*\n\W*start date\W+([\d./-]+)")


@dataclass(frozen=True)
class Dialect:
    """Form of a text file.

    Attributes
    ----------
    delimiter, decimal
        Between cells, and within numbers.
    names
        Of the columns; their places, from 1, where no line names them.
    header
        Whether a line names them.
    skip
        Lines before the first sample, header and all.
    sample
        Cells of the first lines of data.
    rate
        In Hz, where the lines before the header state it.
    start
        Date and time of the first sample, where those lines state it.
    unit
        Of the acceleration, where the file's form is that of one device.
    arrow
        Whether lines begin with a time and an arrow.
    encoding
        Of the text, if it is not UTF-8.
    """

    delimiter: str
    decimal: str
    names: list[str]
    header: bool
    skip: int
    sample: list[list[str]]
    rate: float | None = None
    start: str | None = None
    unit: str | None = None
    arrow: bool = False
    encoding: str | None = None

    def prepare(self, block: bytes) -> bytes:
        """A block of the file as comma-, tab- or otherwise separated UTF-8."""
        if self.encoding:
            block = block.decode(self.encoding, errors="replace").encode()
        return _without_arrow(block, self.delimiter) if self.arrow else block

    def column(self, place: int) -> list[str]:
        """The first cells of a column."""
        return [row[place].strip() for row in self.sample if place < len(row)]

    @property
    def described(self) -> str:
        """For people."""
        told = [f"{DELIMITERS.get(self.delimiter, repr(self.delimiter))}-separated"]
        told += ["decimal comma"] if self.decimal == "," else []
        told += [f"{self.skip - self.header} lines before"] if self.skip > self.header else []
        return ", ".join(told if self.header else [*told, "no header line"])


def _without_arrow(block: bytes, delimiter: str) -> bytes:
    """Lines such as ``14:05:06.123 -> 0.1,0.2,0.9`` with the time in a column of its own."""
    return _ARROW.sub(rb"\1" + delimiter.encode(), block) if b" -> " in block else block


def read_dialect(path: Path, delimiter: str | None = None, decimal: str | None = None) -> Dialect:
    """The form of a text file.

    Parameters
    ----------
    path
        Of the file.
    delimiter, decimal
        Where they are known.

    Raises
    ------
    InputError
        If the file is empty or no text.
    """
    first = next(line_blocks(path, _HEAD_BYTES))
    cut = len(first) >= _HEAD_BYTES
    arrow, encoding = bool(_ARROW.search(first)), _encoding(path, first)
    if arrow:
        most = max(",;\t", key=lambda mark: first.count(mark.encode()))
        first = _without_arrow(first, delimiter or most)
    text = first.decode(encoding or "utf-8", errors="replace").replace("\r", "")
    lines = text.split("\n", _HEAD_LINES)[:_HEAD_LINES]
    if cut and len(lines) < _HEAD_LINES:
        lines = lines[:-1] or lines  # the last one is not whole
    forms = [
        _Form(lines, mark, point)
        for mark in ([delimiter] if delimiter else DELIMITERS)
        for point in ([decimal] if decimal else ".,")
        if mark != point and any(mark in line for line in lines)
    ]
    best = max(forms, key=lambda form: form.score, default=None)
    if best is None or best.score <= 0:
        dialect = _by_header(path, lines, delimiter, decimal or ".")
    else:
        dialect = best.dialect()
    return replace(dialect, arrow=arrow, encoding=encoding)


def _encoding(path: Path, block: bytes) -> str | None:
    """Encoding of text that is not UTF-8: what spreadsheets write who know no better.

    Raises
    ------
    InputError
        If it is no text.
    """
    head = block[:2000]
    if "\ufffd" not in head.decode("utf-8", errors="replace")[:-1]:
        if b"\0" in head.partition(b"\n")[0]:
            raise InputError(f"{path} is not UTF-8 text")
        return None
    if set(head) & set(range(32)) - set(b"\t\r\n"):
        raise InputError(f"{path} is not UTF-8 text")
    return "cp1252"


class _Form:
    """The first lines, split in one way."""

    def __init__(self, lines: Sequence[str], delimiter: str, decimal: str) -> None:
        self.delimiter, self.decimal = delimiter, decimal
        self.lines = lines
        self.rows = [split_line(line, delimiter) for line in lines]
        filled = [len(row) for row, line in zip(self.rows, lines, strict=True) if line.strip()]
        later = filled[len(filled) // 2 :]
        self.width = Counter(later).most_common(1)[0][0] if later else 0
        self.data = [len(row) == self.width > 1 and self._is_data(row) for row in self.rows]
        self.first = self.data.index(True) if any(self.data) else len(lines)
        self.score = self._score(len(filled))

    def _typed(self, cell: str) -> bool:
        """Whether a cell is a number, a time or nothing."""
        cell = cell.strip()
        if NUMBER.fullmatch(cell):
            return not ({",", "."} - {self.decimal}) & set(cell)
        return cell in MISSING or bool(_TIMELIKE.fullmatch(cell))

    def _is_data(self, row: Sequence[str]) -> bool:
        return sum(bool(NUMBER.fullmatch(cell.strip())) for cell in row) >= 2

    def _score(self, lines: int) -> float:
        """Share of lines that are data, and of their cells that are numbers; then columns."""
        rows = [row for row, data in zip(self.rows, self.data, strict=True) if data]
        if not rows:
            return 0.0
        typed = [self._typed(cell) for row in rows for cell in row]
        return len(rows) / lines * sum(typed) / len(typed) + 1e-3 * min(self.width, 99)

    def _header(self) -> int | None:
        """The line that names the columns: the first of their number without a single number."""
        for place, row in enumerate(self.rows[: self.first]):
            cells = [cell.strip() for cell in row]
            short = len(cells) == self.width - 1 and self._ends_empty()
            words = [cell for cell in cells if re.search(r"[^\W\d_]", cell)]
            plain = not any(NUMBER.fullmatch(cell) or cell in MISSING[1:] for cell in cells)
            if (len(cells) == self.width or short) and plain and len(words) >= 2:
                return place
        return None

    def _ends_empty(self) -> bool:
        rows = [row for row, data in zip(self.rows, self.data, strict=True) if data]
        return all(not row[-1].strip() for row in rows)

    def dialect(self) -> Dialect:
        header, start = self._header(), self.first
        if header is None:
            names = [str(place + 1) for place in range(self.width)]
        else:
            names = _names(self.rows[header], self.width)
            start = header + 1  # what does not fit between it and the data is counted as rows
        sample = [row for row, data in zip(self.rows, self.data, strict=True) if data]
        before = "\n".join(self.lines[: start if header is None else header])
        stated, begun = _HERTZ.search(before), _START.search(before)
        found = Dialect(
            self.delimiter,
            self.decimal,
            names,
            header is not None,
            start,
            sample,
            float((stated[1] or stated[2]).replace(",", ".")) if stated else None,
            f"{begun[2]} {begun[1]}" if begun else None,
        )
        return found if header is not None else _empatica(found) or found


def _names(cells: Sequence[str], width: int) -> list[str]:
    names = [cell.strip().lstrip("# ").strip(" '") for cell in cells]
    names += [""] * (width - len(names))
    # The serial monitor puts a time before the header too.
    return ["time" if _TIMELIKE.fullmatch(name) else name for name in names]


def _empatica(dialect: Dialect) -> Dialect | None:
    """The form of Empatica's ACC.csv: the start and the rate, each three times, then 1/64 g."""
    rows = [[cell.strip() for cell in row] for row in dialect.sample[:2]]
    if len(rows) < 2 or any(len(row) != 3 or len(set(row)) != 1 for row in rows):
        return None
    start, rate = float(rows[0][0]), float(rows[1][0])
    if not (9.4e8 < start < 4.1e9 and 1 <= rate <= 1000):
        return None
    return Dialect(
        dialect.delimiter, ".", ["x", "y", "z"], False, dialect.skip + 2, dialect.sample[2:],
        rate, str(start), "g/64",
    )  # fmt: skip


def _by_header(path: Path, lines: list[str], delimiter: str | None, decimal: str) -> Dialect:
    """Where no line looks like data, the first one is taken for the header."""
    filled = next((place for place, line in enumerate(lines) if line.strip()), 0)
    head = lines[filled]
    delimiter = delimiter or max(DELIMITERS, key=head.count)
    names = _names(split_line(head, delimiter), 0)
    if all(not name or NUMBER.fullmatch(name) for name in names):
        raise InputError(
            f"{path} has no header line and no rows of samples: is {excerpt(head)!r} one?"
        )
    return Dialect(delimiter, decimal, names, True, filled + 1, [])


def split_line(line: str, delimiter: str) -> list[str]:
    """Cells of a line."""
    if delimiter == " ":
        return line.split()
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return [line]
