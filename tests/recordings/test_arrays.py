"""Arrays from anywhere: what a header promises is held against what is there, and memory."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings import arrays, load_windows, open_source
from img2imu.recordings.arrays import NpzFile, read_npy

KINDS = [
    np.arange(6, dtype="<i4").reshape(2, 3),
    np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    np.array(["é", "", "abc"]),
    np.array([b"x", b"yz"]),
    np.array([True, False]),
    np.array(["2020-01-01"], "M8[ns]"),
    np.arange(3, dtype=">f8"),
    np.array(5.0),
    np.zeros((0, 3), np.float32),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize("array", KINDS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(tmp_path, array, save):
    np.save(tmp_path / "a.npy", array)
    save(tmp_path / "a.npz", a=array, b=array)
    file = NpzFile(tmp_path / "a.npz")
    assert file.names == ["a", "b"]
    for found in (read_npy(tmp_path / "a.npy"), file.read("b")):
        np.testing.assert_array_equal(found, np.load(tmp_path / "a.npy"))
        assert found.dtype == array.dtype


def npy(header, body=b"", version=(1, 0)):
    """An NPY of any header."""
    text = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + body


def header(descr="'<f4'", shape="(2,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


FOREIGN = {
    "huge": (npy(header(shape="(10**9, 3)".replace("10**9", "9" * 18))), "promises"),
    "larger than any number": (npy(header(shape=f"({'9' * 400},)")), "promises"),
    "negative": (npy(header(shape="(-2,)"), bytes(8)), "promises"),
    "two negative": (npy(header(shape="(-2, -1)"), bytes(8)), "promises"),
    "too short": (npy(header(), bytes(7)), "promises 8 bytes, the file 7"),
    "too long": (npy(header(), bytes(9)), "promises 8 bytes, the file 9"),
    "objects": (npy(header("'|O'"), pickle.dumps([1, 2])), "Python objects"),
    "hidden objects": (npy(header("[('a', '|O')]"), pickle.dumps([1])), "Python objects"),
    "records": (npy(header("[('a', '<f4')]"), bytes(8)), "numbers or text"),
    "arrays of arrays": (npy(header("('<f4', (3,))"), bytes(24)), "numbers or text|damaged"),
    "bytes of nothing": (npy(header("'|V0'", "(9999999999,)")), "numbers or text|promises"),
    "spans of time": (npy(header("'<m8[s]'"), bytes(16)), "numbers or text"),
    "no type": (npy(header("'zz'")), "damaged"),
    "a type of its own": (npy(header("{'a': 1}")), "damaged"),
    "a list of types": (npy(header("[1, 2]")), "damaged"),
    "a text for a shape": (npy(header(shape="'ab'")), "damaged"),
    "half a header": (npy("{'descr': '<f4', "), "damaged"),
    "code": (npy("__import__('os').system('true')"), "damaged"),
    "deep": (npy("(" * 5000 + ")" * 5000), "damaged"),
    "an open quote": (npy("{'descr': '"), "damaged"),
    "no dictionary": (npy("[]"), "damaged"),
    "a header longer than the file": (b"\x93NUMPY\x01\x00\xff\xff{", "damaged"),
    "another version": (npy(header(), bytes(8), (9, 9)), "damaged"),
    "nothing": (b"", "damaged"),
    "text": (b"time,x,y,z\n", "damaged"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_headers_are_told_in_one_sentence(tmp_path, kind):
    content, message = FOREIGN[kind]
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    for read, name in (
        (lambda: read_npy(tmp_path / "a.npy"), "a.npy"),
        (lambda: NpzFile(tmp_path / "a.npz").read("a"), "a in .*a.npz"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read()
        caught.match(name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


PLAIN = st.sampled_from(
    ["'<f4'", "'<U3'", "'|O'", "'<f4,<i2'", "[('a','<f4')]", "'V9'", "None", "1", "(1,2)", "'|S0'"]
)
SHAPES = st.sampled_from(["(2,)", "()", "2", "(2.0,)", "(True,)", "(-1,)", "(2, 10**9)", "[2]"])


@given(
    st.one_of(
        st.builds(header, PLAIN, SHAPES, st.sampled_from(["False", "True", "1", "'x'"])),
        st.text(st.characters(max_codepoint=255), max_size=60),
    ),
    st.binary(max_size=40),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
@settings(max_examples=150, deadline=None)
def test_any_header_is_read_as_numpy_does_or_refused(tmp_path_factory, text, body, version):
    path = tmp_path_factory.getbasetemp() / "fuzz.npy"
    path.write_bytes(npy(text, body, version))
    try:
        found = read_npy(path)
    except InputError:
        return
    np.testing.assert_array_equal(found, np.load(path, allow_pickle=False))


def test_what_memory_cannot_hold_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    X = np.zeros((100, 3, 1000), np.float32)
    subject = np.arange(100) // 10
    columns = {"y": subject % 2, "subject": subject, "sampling_rate": 50.0}
    np.savez_compressed(tmp_path / "w.npz", X=X, **columns)
    assert (tmp_path / "w.npz").stat().st_size < X.nbytes / 100
    monkeypatch.setattr(arrays, "free_memory", lambda: X.nbytes - 1)
    with pytest.raises(InputError, match=r"X in .*w\.npz unpacks to 0\.0 GB, of which memory has"):
        load_windows(tmp_path / "w.npz")
    monkeypatch.setattr(arrays, "free_memory", lambda: X.nbytes)
    assert len(load_windows(tmp_path / "w.npz")) == 100


@pytest.mark.parametrize("size", [10**13, 1 << 62])
def test_a_directory_that_lies_about_sizes_is_refused(tmp_path, size):
    """Header and directory agree on terabytes, of which nothing is there."""
    stream = io.BytesIO()
    content = npy(header("'|u1'", f"({size},)"), bytes(1000))
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("X.npy", "w", force_zip64=True) as member:
            member.write(content)
        archive.getinfo("X.npy").file_size = len(content) - 1000 + size
        for name in ("y", "subject"):
            archive.writestr(f"{name}.npy", content)
    (tmp_path / "w.npz").write_bytes(stream.getvalue())
    with pytest.raises(InputError, match=r"X in .*w\.npz unpacks to [\d,.]+ GB"):
        load_windows(tmp_path / "w.npz")


def test_free_memory_is_some_of_it():
    assert 1e6 < arrays.free_memory() < 1e15


def test_columns_of_recordings_are_read_as_carefully(tmp_path):
    time = np.arange(200) / 50
    columns = {"time": time, "x": np.sin(time), "y": np.cos(time), "z": np.ones(200)}
    for name, content in {"objects": FOREIGN["objects"][0], "huge": FOREIGN["huge"][0]}.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{key: value for key, value in columns.items() if key != "x"})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("x.npy", content)
        with pytest.raises(InputError, match=r"x in .*npz"):
            list(open_source(path, unit="g").pieces())
