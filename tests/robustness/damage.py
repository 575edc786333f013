"""Ways to damage a file: its bytes, and what its format says."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Damage = Callable[[Path, random.Random], str]
"""Changes the file at a path and says how."""

ODD_TEXT = ("", " ", "ünïcødé ☃", "a\nb", "/", "../..", "x" * 5000, "\u202e", "nan", "-1", "NULL")
ODD_JSON: tuple[Any, ...] = (
    *(None, True, "", "text", "ünïcødé ☃", "../../x", "x" * 5000, [], {}, [[]], [None], {"a": 1}),
    *(0, -1, 1, 3, 10**30, 2**63, 1.5, -0.5, 1e308, float("nan"), float("inf")),
)


def flip(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    places = [rng.randrange(len(data)) for _ in range(rng.choice((1, 1, 8)))]
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"bits flipped at {places}"


def truncate(path: Path, rng: random.Random) -> str:
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def empty(path: Path, rng: random.Random) -> str:
    os.truncate(path, 0)
    return "emptied"


def remove(path: Path, rng: random.Random) -> str:
    path.unlink()
    return "removed"


def random_bytes(path: Path, rng: random.Random) -> str:
    path.write_bytes(rng.randbytes(rng.choice((1, 100, 5000))))
    return "replaced by random bytes"


def zeros(path: Path, rng: random.Random) -> str:
    path.write_bytes(bytes(path.stat().st_size))
    return "replaced by zeros"


def text(path: Path, rng: random.Random) -> str:
    path.write_text(rng.choice(("hello\n", "<html>404</html>\n", "{}", "[]", "null", "1\n2\n")))
    return f"replaced by the text {path.read_text()!r}"


def appended(path: Path, rng: random.Random) -> str:
    with path.open("ab") as stream:
        stream.write(rng.randbytes(50))
    return "random bytes appended"


def overwritten(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    data[place : place + 64] = rng.randbytes(min(64, len(data) - place))
    path.write_bytes(data)
    return f"64 random bytes at {place}"


def folder(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return "replaced by a folder"


def link_to_itself(path: Path, rng: random.Random) -> str:
    path.unlink()
    path.symlink_to(path.name)
    return "replaced by a link to itself"


BYTES: tuple[Damage, ...] = (
    *(flip, flip, truncate, truncate, empty, remove, random_bytes, zeros, text, appended),
    *(overwritten, folder, link_to_itself),
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at] if at else []
    for key, child in inner if isinstance(value, dict | list) else ():
        found += _places(child, (*at, key))
    return found


def json_value(path: Path, rng: random.Random) -> str:
    """A field removed, retyped, changed, or a foreign one added."""
    try:
        values = json.loads(path.read_text())
        place = rng.choice(_places(values))
    except (ValueError, IndexError):
        return flip(path, rng)
    holder = values
    for key in place[:-1]:
        holder = holder[key]
    name = ".".join(map(str, place))
    deed = rng.choice(("remove", "change", "change", "change", "nudge", "foreign"))
    if deed == "remove":
        del holder[place[-1]]
        told = f"{name} removed"
    elif deed == "foreign" and isinstance(holder, dict):
        holder["foreign"] = 1
        told = f"a foreign key beside {name}"
    else:
        old = holder[place[-1]]
        number = isinstance(old, int | float) and not isinstance(old, bool)
        new = old + 1 if deed == "nudge" and number else rng.choice(ODD_JSON)
        holder[place[-1]] = new
        told = f"{name} set to {new!r:.60}"
    path.write_text(json.dumps(values))
    return told


def json_text(path: Path, rng: random.Random) -> str:
    content = path.read_text()
    forms = {
        "nested 100,000 deep": "[" * 100_000,
        "UTF-16": content.encode("utf-16"),
        "byte order mark": "\ufeff" + content,
        "Latin-1": content.encode() + b"\xe9\xff",
        "a huge number": '{"format": 1' + "0" * 5000 + "}",
        "a bare list": "[1, 2]",
        "a bare number": "1e999",
        "NaN": "NaN",
        "twice": content + content,
    }
    name = rng.choice(list(forms))
    data = forms[name]
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def table_cells(path: Path, rng: random.Random) -> str:
    """Some cells of a text table replaced."""
    lines = path.read_text().splitlines()
    value = rng.choice(
        ("", "nan", "inf", "-inf", "abc", "1e400", "-1", "1;2", '"', "ünï", "\0", "1,1", "9" * 400)
    )
    share = rng.choice((0.01, 1.0))
    mark = next((mark for mark in (",", "\t", " ") if mark in lines[-1]), ",")
    column = rng.randrange(len(lines[-1].split(mark)))
    for i in range(rng.choice((0, 1)), len(lines)):
        cells = lines[i].split(mark)
        if rng.random() < share and column < len(cells):
            cells[column] = value
            lines[i] = mark.join(cells)
    path.write_text("\n".join(lines) + "\n")
    return f"{value!r:.20} in column {column} of {share:.0%} of the rows"


def table_lines(path: Path, rng: random.Random) -> str:
    """Its lines, its header, its ends or its encoding."""
    content = path.read_text()
    lines = content.splitlines()
    ragged = [line if i % 7 else line + ",1,2" for i, line in enumerate(lines)]
    forms: dict[str, str | bytes] = {
        "no header": "\n".join(lines[1:]),
        "header alone": lines[0],
        "header and one row": "\n".join(lines[:2]),
        "header twice": "\n".join([lines[0], *lines]),
        "column twice": "\n".join([lines[0] + "," + lines[0].split(",")[-1], *lines[1:]]),
        "ragged": "\n".join(ragged),
        "backwards": "\n".join([lines[0], *lines[:0:-1]]),
        "one row again and again": "\n".join([lines[0], *[lines[1]] * 300]),
        "CR ends": "\r".join(lines) + "\r",
        "CRLF ends": "\r\n".join(lines) + "\r\n",
        "UTF-16": content.encode("utf-16"),
        "Latin-1": content.encode() + b"\xe9\xff\n",
        "byte order mark": "\ufeff" + content,
        "semicolons": content.replace(",", ";"),
        "an open quote": content.replace(",", ',"', 1),
        "quotes everywhere": content.replace(",", '"'),
        "zero bytes": content.replace(",", ",\0", 3),
        "a line of 3 MB": content + "1," * 1_500_000,
        "blank lines": "\n\n\n" + content.replace("\n", "\n\n"),
        "one column": "\n".join(line.split(",")[0] for line in lines),
    }
    name = rng.choice(list(forms))
    data = forms[name]
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return name


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def npz_array(path: Path, rng: random.Random) -> str:
    """One array of an NPZ removed, or of another type, shape or range."""
    arrays = _arrays(path)
    name = rng.choice(list(arrays))
    old = arrays[name]
    odd = rng.choice([text for text in ODD_TEXT if text != "x" * 5000])
    deeds: dict[str, Callable[[], Any]] = {
        "as objects": lambda: old.astype(object),
        "as complex": lambda: np.zeros(old.shape, complex),
        "as dates": lambda: np.zeros(old.shape, "datetime64[s]"),
        "as truth values": lambda: np.zeros(old.shape, bool),
        "as bytes": lambda: np.zeros(old.shape, "S3"),
        "as records": lambda: np.zeros(old.shape, [("a", "f4"), ("b", "i2")]),
        "as whole numbers": lambda: np.arange(old.size).reshape(old.shape),
        f"as the text {odd!r}": lambda: np.full(old.shape, odd),
        "as NaN": lambda: np.full(old.shape, np.nan),
        "as infinity": lambda: np.full(old.shape, np.inf),
        "as 1e38": lambda: np.full(old.shape, 1e38, np.float32),
        "as 1e-38": lambda: np.full(old.shape, 1e-38),
        "as -1": lambda: np.full(old.shape, -1),
        "as zeros": lambda: np.zeros(old.shape),
        "big-endian": lambda: old.astype(old.dtype.newbyteorder(">")),
        "in Fortran order": lambda: np.asfortranarray(old),
        "transposed": lambda: old.T,
        "with one axis more": lambda: old[None],
        "flat": lambda: old.ravel(),
        "as one value": lambda: old.ravel()[0],
        "without rows": lambda: old[:0] if old.ndim else np.zeros(0),
        "with one row": lambda: old[:1] if old.ndim else old[None],
        "with a row less": lambda: old[:-1] if old.ndim else old,
        "of two samples": lambda: old[..., :2] if old.ndim else old,
        "of one sample": lambda: old[..., :1] if old.ndim else old,
        "of a million samples": lambda: np.zeros((2, 3, 1_000_000), "f4"),
    }
    deed = rng.choice(["removed", "renamed", *deeds])
    if deed == "removed":
        del arrays[name]
    elif deed == "renamed":
        arrays["ünï " + name] = arrays.pop(name)
    else:
        arrays[name] = deeds[deed]()
    np.savez(path, **arrays)
    return f"{name} {deed}"


def _npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def npy_header(path: Path, rng: random.Random) -> str:
    """An array, alone or in an NPZ, whose header lies."""
    shape = rng.choice(
        (
            *("(1000000000000, 3, 64)", "(-1, 3, 64)", "(24, 3, 64.5)", "()", "[24]", "(2**70, 3)"),
            *(
                "(99999999999999999999999, 3, 64)",
                "(24, 3, 64",
                "None",
                "(" * 300,
                "(24, 3, 64000000)",
            ),
        )
    )
    descr = rng.choice(("'<f4'", "'<f4'", "'O'", "'foreign'", "3", "'<f99'"))
    data = _npy_header(shape, descr) + bytes(24 * 3 * 64 * 4)
    if path.suffix == ".npy":
        path.write_bytes(data)
    else:
        arrays = _arrays(path)
        name = rng.choice(list(arrays))
        del arrays[name]
        np.savez(path, **arrays)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}.npy", data)
    return f"an array's header says {shape:.40}, {descr}"


def deflated_zeros(megabytes: int) -> bytes:
    """Raw deflate stream of zeros, made by repeating one flushed piece."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (megabytes - 1) + packer.flush()


def npz_bomb(path: Path, rng: random.Random) -> str:
    """Windows that unpack to 8 GB."""
    arrays = _arrays(path)
    arrays.pop("X", None)
    np.savez(path, **arrays)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = _npy_header("(8000000, 3, 89)")
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    size = len(head) + (8192 << 20)
    _raw_member(path, "X.npy", start + deflated_zeros(8192), size)
    return "X unpacks to 8 GB"


def _raw_member(path: Path, name: str, data: bytes, size: int) -> None:
    """Add a member that is deflated already, of which its headers say `size`."""
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED
        archive.writestr(info, data)
        info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, size


def gzip_bomb(path: Path, rng: random.Random) -> str:
    """One line of 4 GB."""
    end = struct.pack("<II", 0, 0)
    path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + deflated_zeros(4096) + end)
    return "unpacks to a line of 4 GB"


def gzip_content(path: Path, rng: random.Random) -> str:
    """The table inside is damaged, the gzip around it is not."""
    inner = path.with_name("inner.csv")
    inner.write_bytes(gzip.decompress(path.read_bytes()))
    told = rng.choice((table_cells, table_lines))(inner, rng)
    path.write_bytes(gzip.compress(inner.read_bytes(), mtime=0))
    inner.unlink()
    return told


def zip_members(path: Path, rng: random.Random) -> str:
    """Names that lead away, members twice, bombs, encryption."""
    deed = rng.choice(("../", "/", "twice", "bomb", "encrypted", "comment", "no members", "deep"))
    with zipfile.ZipFile(path, "w" if deed == "no members" else "a") as archive:
        if deed in ("../", "/"):
            archive.writestr(f"{deed}escaped.csv", "t,x,y,z\n")
        elif deed == "twice":
            archive.writestr(archive.namelist()[0], b"other")
        elif deed == "deep":
            archive.writestr("d/" * 500 + "a.csv", b"x")
        elif deed == "comment":
            archive.comment = b"x" * 60_000
    if deed == "bomb":
        _raw_member(path, "walks/b.csv", deflated_zeros(2048), 2048 << 20)
    if deed == "encrypted":
        data = path.read_bytes().replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\x01\0")
        path.write_bytes(
            data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")
        )
    return deed


def tar_members(path: Path, rng: random.Random) -> str:
    """Names that lead away, links, devices."""
    deed = rng.choice(("../", "/", "link", "hard link", "device", "pipe", "size", "empty"))
    packed = "".join(path.suffixes).endswith("gz")
    raw = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    stream = io.BytesIO() if deed == "empty" else io.BytesIO(raw)
    with tarfile.open(fileobj=stream, mode="w" if deed == "empty" else "a") as archive:
        info = tarfile.TarInfo({"../": "../escaped.csv", "/": "/escaped.csv"}.get(deed, "a/b.csv"))
        info.type = {
            "link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE,
            "device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE,
        }.get(deed, tarfile.REGTYPE)  # fmt: skip
        info.linkname = "/etc/passwd"
        if deed == "size":
            info.size = 1 << 40
        if deed != "empty":
            archive.addfile(info)
    path.write_bytes(gzip.compress(stream.getvalue(), mtime=0) if packed else stream.getvalue())
    return deed


def parquet_columns(path: Path, rng: random.Random) -> str:
    """A column removed, renamed, of another type, or full of odd values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    place = rng.randrange(table.num_columns)
    name, rows = table.column_names[place], table.num_rows
    odd: dict[str, Any] = {
        "nulls": pa.nulls(rows),
        "text": pa.array(["abc"] * rows),
        "bytes": pa.array([b"\xff\x00"] * rows),
        "lists": pa.array([[1.0, 2.0]] * rows),
        "structs": pa.array([{"bytes": b"", "path": None}] * rows),
        "NaN": pa.array([float("nan")] * rows),
        "a thousand million": pa.array([10**9] * rows),
        "negative": pa.array([-5] * rows),
        "truth values": pa.array([True] * rows),
        "dates": pa.array([0] * rows, pa.timestamp("ns")),
        "a dictionary": pa.array(["a"] * rows).dictionary_encode(),
        "half nulls": pa.array([None if i % 2 else 1.0 for i in range(rows)]),
    }
    deed = rng.choice(["removed", "renamed", "twice", "no rows", *odd])
    if deed == "removed":
        table = table.remove_column(place)
    elif deed == "renamed":
        table = table.rename_columns([f"ünï {n}" if n == name else n for n in table.column_names])
    elif deed == "twice":
        table = table.append_column(name, table.column(place))
    elif deed == "no rows":
        table = table.slice(0, 0)
    else:
        table = table.set_column(place, name, odd[deed])
    pq.write_table(table, path)
    return f"{name}: {deed}"


def tensors_header(path: Path, rng: random.Random) -> str:
    """Safetensors whose header lies, or whose tensors are others."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    deed = rng.choice(
        ("length", "removed", "renamed", "shape", "dtype", "offsets", "foreign", "NaN", "none")
    )
    body = data[8 + size :]
    if deed == "length":
        path.write_bytes(struct.pack("<Q", rng.choice((0, 1, 2**40, 2**63))) + data[8:])
        return "length of the header"
    if deed == "removed":
        del header[name]
    elif deed == "renamed":
        header["foreign." + name] = header.pop(name)
    elif deed == "shape":
        header[name]["shape"] = [*header[name]["shape"], 7]
    elif deed == "dtype":
        header[name]["dtype"] = rng.choice(("I32", "F8_E4M3", "NONE"))
    elif deed == "offsets":
        header[name]["data_offsets"] = [0, 2**40]
    elif deed == "foreign":
        header["__metadata__"] = {"a": "b"}
    elif deed == "NaN":
        body = b"\xff" * len(body)
    else:
        header, body = {}, b""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return f"{name}: {deed}"


def checkpoint_content(path: Path, rng: random.Random) -> str:
    """A torch file of something else: code, a bare tensor, a list, other keys."""
    import torch

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, ("code-was-run",)

    values: dict[str, Any] = {
        "code": Code(),
        "a tensor": torch.zeros(3),
        "a list": [1, 2],
        "nothing": {},
        "text": {"step": "x", "method": {}, "optimizer": {}, "random": [], "readings": []},
        "NaN": {"conv1.weight": torch.full((8, 3, 3, 3), float("nan"))},
        "other shapes": {"state_dict": {"conv1.weight": torch.zeros(1)}},
        "no tensors": {"state_dict": {"conv1.weight": "text"}},
    }
    name = rng.choice(list(values))
    torch.save(values[name], path)
    return f"a torch file of {name}"


def checkpoint_entries(path: Path, rng: random.Random) -> str:
    """An entry of a checkpoint removed or replaced."""
    import torch

    state = torch.load(path, weights_only=True)
    name = rng.choice(list(state))
    deed = rng.choice(("removed", "None", "-1", "text", "[]", "{}"))
    if deed == "removed":
        del state[name]
    else:
        state[name] = {"None": None, "-1": -1, "text": "text", "[]": [], "{}": {}}[deed]
    torch.save(state, path)
    return f"{name}: {deed}"


def picture(path: Path, rng: random.Random) -> str:
    """A picture that is huge, tiny, of another mode, or no picture."""
    from PIL import Image

    def png(width: int, height: int) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            check = struct.pack(">I", zlib.crc32(kind + data))
            return struct.pack(">I", len(data)) + kind + data + check

        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        body = zlib.compress(bytes(1000))
        signature = b"\x89PNG\r\n\x1a\n"
        return signature + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")

    deed = rng.choice(("huge", "zero wide", "one pixel", "CMYK", "1 bit", "GIF", "long", "text"))
    if deed == "huge":
        path.write_bytes(png(2**31 - 1, 2**31 - 1) if rng.random() < 0.5 else png(60_000, 60_000))
    elif deed == "zero wide":
        path.write_bytes(png(0, 10))
    elif deed == "text":
        path.write_text("no picture")
    else:
        mode, size, form = {
            "one pixel": ("RGB", (1, 1), "PNG"), "CMYK": ("CMYK", (9, 9), "JPEG"),
            "1 bit": ("1", (9, 9), "PNG"), "GIF": ("P", (9, 9), "GIF"),
            "long": ("L", (60_000, 1), "PNG"),
        }[deed]  # fmt: skip
        Image.new(mode, size).save(path, form)
    return f"a picture: {deed}"


def stray(path: Path, rng: random.Random) -> str:
    """Foreign things beside the file."""
    target = path.parent.parent / rng.choice(("stray.jpg", "ünï ☃.jpg", ".hidden.jpg", "note.txt"))
    shutil.copy(path, target)
    return f"{target.name} beside the class folders"


BY_KIND: dict[str, tuple[Damage, ...]] = {
    ".json": (json_value,) * 6 + (json_text,),
    ".csv": (table_cells, table_lines),
    ".tsv": (table_cells, table_lines),
    ".txt": (table_cells, table_lines),
    ".npz": (npz_array,) * 5 + (npy_header,),
    ".npy": (npy_header,),
    ".parquet": (parquet_columns,),
    ".safetensors": (tensors_header,),
    ".pt": (checkpoint_content, checkpoint_entries),
    ".csv.gz": (gzip_content,) * 8 + (gzip_bomb,),
    ".zip": (zip_members,),
    ".tar": (tar_members,),
    ".tar.gz": (tar_members,),
    ".jpg": (picture, picture, stray),
    ".png": (picture,),
}


def damages_of(path: Path) -> tuple[Damage, ...]:
    """What can be done to a file of this name, beside what can be done to any file."""
    ending = "".join(path.suffixes[-2:])
    return BY_KIND.get(ending) or BY_KIND.get(path.suffix, ())
