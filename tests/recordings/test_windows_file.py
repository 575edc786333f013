"""The windows file: what is written comes back, what is wrong is told in one sentence."""

import json
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.recordings.windows import Windows
from img2imu.recordings.windows_file import WindowsWriter, load_windows, save_windows


def some(n=6, samples=20, rate=50.0, seed=0):
    rng = np.random.default_rng(seed)
    return Windows(
        X=rng.normal(size=(n, 3, samples)).astype(np.float32),
        y=np.array(["walking", "größer", ""] * n)[:n],
        subject=np.array(["s1", "s2"] * n)[:n],
        recording=np.array([f"trial {i // 3}" for i in range(n)]),
        start=np.arange(n) * 2.5,
        sampling_rate=rate,
    )


def arrays(**changes):
    windows = some()
    good = {"X": windows.X, "y": windows.y, "subject": windows.subject, "sampling_rate": 50.0}
    return {name: value for name, value in (good | changes).items() if value is not None}


def assert_equal(one, other):
    for name in ("X", "y", "subject", "recording", "start"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype.kind == getattr(other, name).dtype.kind
    assert one.sampling_rate == other.sampling_rate


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "windows.npz"
    save_windows(path, some(), {"overlap": 0.5})
    return path


def test_what_is_saved_comes_back(saved):
    assert_equal(load_windows(saved), some())
    assert [path.name for path in saved.parent.iterdir()] == ["windows.npz"]


def test_numpy_reads_it_too(saved):
    with np.load(saved, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["X"], some().X)
        assert file["X"].dtype == np.float32
        assert file["sampling_rate"].item() == 50
        assert json.loads(file["settings"].item()) == {"overlap": 0.5}


@given(cuts=st.lists(st.integers(0, 30), max_size=5))
@settings(deadline=None, max_examples=30)
def test_batches_are_joined(tmp_path_factory, cuts):
    path = tmp_path_factory.mktemp("batches") / "w.npz"
    windows = some(30)
    bounds = [0, *sorted(cuts), 30]
    with WindowsWriter(path) as writer:
        for a, b in pairwise(bounds):
            writer.append(windows.select(slice(a, b)))
    assert_equal(load_windows(path), windows)


def test_a_failed_job_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.npz"
    save_windows(path, some(3))
    with pytest.raises(KeyError), WindowsWriter(path) as writer:
        writer.append(some(5))
        raise KeyError
    assert len(load_windows(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_refuses_what_makes_no_file(tmp_path):
    with pytest.raises(InputError, match="no windows to write"):
        save_windows(tmp_path / "w.npz", some(0))
    with pytest.raises(InputError, match="20 samples at 50 Hz, which windows of 21 samples"):  # noqa: SIM117
        with WindowsWriter(tmp_path / "w.npz") as writer:
            writer.append(some(2))
            writer.append(some(2, samples=21))
    with pytest.raises(InputError, match="does not exist"):
        save_windows(tmp_path / "nowhere" / "w.npz", some())
    assert not list(tmp_path.iterdir())


def test_other_types_are_converted(tmp_path):
    path = tmp_path / "w.npz"
    y, subject = np.array([0, 1, 2, 0, 1, 2]), np.array([1.0, 1, 1, 2, 2, 2])
    X = some().X.astype(np.float64).transpose(1, 0, 2).copy().transpose(1, 0, 2)
    np.savez_compressed(path, X=X, y=y, subject=subject, sampling_rate=np.array([50]))
    windows = load_windows(path)
    assert windows.X.dtype == np.float32 and windows.X.flags.c_contiguous
    np.testing.assert_array_equal(windows.X, some().X)
    assert windows.y.tolist() == ["0", "1", "2", "0", "1", "2"]
    assert windows.recording.tolist() == windows.subject.tolist() == ["1"] * 3 + ["2"] * 3
    assert windows.start.tolist() == [0] * 6


def test_the_rate_may_come_from_the_caller(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, **arrays(sampling_rate=None))
    assert load_windows(path, 30.0).sampling_rate == 30
    with pytest.raises(InputError, match="does not state its sampling rate"):
        load_windows(path)
    np.savez(path, **arrays())
    assert load_windows(path, 50).sampling_rate == 50
    with pytest.raises(InputError, match="states a sampling rate of 50 Hz, not 30 Hz"):
        load_windows(path, 30)


def test_a_rate_not_stated_is_asked_for_by_its_option(tmp_path):
    write_folder(tmp_path, some().X, some().y, np.arange(6))
    with pytest.raises(InputError, match=r"--sampling-rate \(sampling_rate in Python\)"):
        load_windows(tmp_path)


def test_an_error_repeats_little_of_a_file(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, **{f"{i} {'x' * 999}": np.zeros(1) for i in range(999)})
    with pytest.raises(InputError, match="and 979 more") as caught:
        load_windows(path)
    assert len(str(caught.value)) < 1000 + len(str(path))


def broken(kind):
    X = some().X.copy()
    X[4, 1, 3] = np.nan if kind == "nan" else np.inf
    X[5, 0, 0] = np.nan
    return X


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": None}, r"no array 'X'; it holds: sampling_rate, subject, y"),
        ({"subject": None, "pid": np.zeros(6)}, r"no array 'subject'; it holds: X, pid, "),
        ({"X": np.zeros((6, 20, 3))}, r"shape \(n, 3, samples\), not \(6, 20, 3\)"),
        ({"X": np.zeros((6, 60))}, r"shape \(n, 3, samples\), not \(6, 60\)"),
        ({"X": np.zeros((0, 3, 20))}, r"X .* is empty"),
        ({"X": np.zeros((6, 3, 0))}, r"X .* is empty"),
        ({"X": np.zeros((6, 3, 20), complex)}, r"X .* numbers, not complex128"),
        ({"X": np.full((6, 3, 20), "1")}, r"X .* numbers, not <U1"),
        ({"X": broken("nan")}, r"not finite: in 2 of 6 windows samples are missing"),
        ({"X": broken("inf")}, r"not finite: window 4 and 0 others"),
        ({"X": np.full((6, 3, 20), 1e300)}, r"not finite: window 0 and 5 others"),
        ({"X": np.array([[1, None]], object)}, r"X .* holds Python objects"),
        ({"y": np.array(["a"] * 6, object)}, r"y .* holds Python objects.*astype\(str\)"),
        ({"y": np.array(["a"] * 5)}, r"y .* has shape \(5,\) for 6 windows"),
        ({"y": np.eye(6)}, r"y .* has shape \(6, 6\) for 6 windows"),
        ({"y": np.array([0.5] * 6)}, r"y .* text or whole numbers, not float64"),
        ({"subject": np.array([np.nan] * 6)}, r"subject .* text or whole numbers"),
        ({"subject": np.array([b"\xff"] * 6)}, r"subject .* is damaged"),
        ({"recording": np.array(["r"])}, r"recording .* has shape \(1,\)"),
        ({"start": np.array(["0"] * 6)}, r"start .* seconds"),
        ({"sampling_rate": -50.0}, r"one number from 0.001"),
        ({"sampling_rate": 1e-38}, r"one number from 0.001"),
        ({"sampling_rate": np.array([50, 60])}, r"one number from 0.001"),
        ({"sampling_rate": "fast"}, r"one number from 0.001"),
    ],
)
def test_a_wrong_npz_is_told_in_one_sentence(tmp_path, changes, message):
    path = tmp_path / "w.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(InputError, match=message) as caught:
        load_windows(path)
    assert "w.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello, world", b"PK\x03\x04", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.npz"):
        load_windows(path)


def test_other_numpy_and_zip_files_are_refused(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((6, 3, 20)))
    with pytest.raises(InputError, match="a single array, not an NPZ"):
        load_windows(tmp_path / "w.npy")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for name in ("X.npy", "y.npy", "subject.npy"):
            archive.writestr(name, "text")
    with pytest.raises(InputError, match=r"w\.zip"):
        load_windows(tmp_path / "w.zip")
    with pytest.raises(InputError, match="does not exist"):
        load_windows(tmp_path / "none.npz")


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damage_is_noticed_or_harmless(saved, tmp_path_factory, data):
    """A truncated file or a changed byte gives the same windows or an InputError, nothing else."""
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damage") / "w.npz"
    path.write_bytes(content)
    try:
        windows = load_windows(path)
    except InputError:
        return
    np.testing.assert_array_equal(windows.X, some().X)
    np.testing.assert_array_equal(windows.y, some().y)
    np.testing.assert_array_equal(windows.subject, some().subject)


def write_folder(folder, X, y, pid):
    for name, array in {"X": X, "Y": y, "pid": pid}.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return folder


@pytest.mark.parametrize("last", [True, False])
def test_the_folder_of_ssl_wearables_is_read(tmp_path, last):
    X = some().X.transpose(0, 2, 1) if last else some().X
    windows = load_windows(write_folder(tmp_path, X, some().y, np.arange(6) // 2), 30)
    np.testing.assert_array_equal(windows.X, some().X)
    np.testing.assert_array_equal(windows.y, some().y)
    assert windows.subject.tolist() == ["0", "0", "1", "1", "2", "2"]
    assert windows.sampling_rate == 30


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((6, 3, 3)), np.arange(6), "which 3 is the axes"),
        (np.zeros((6, 20, 4)), np.arange(6), r"shape \(n, samples, 3\), not \(6, 20, 4\)"),
        (np.zeros((6, 20, 3)), np.arange(5), r"y in .* has shape \(5,\)"),
        (np.zeros((6, 20, 3)), np.array(["a"] * 6, object), r"Y\.npy holds Python objects"),
    ],
)
def test_a_wrong_folder_is_told_in_one_sentence(tmp_path, X, y, message):
    with pytest.raises(InputError, match=message):
        load_windows(write_folder(tmp_path, X, y, np.arange(6)), 30)


def test_a_folder_needs_its_files_and_a_rate(tmp_path):
    with pytest.raises(InputError, match=r"has no X\.npy"):
        load_windows(tmp_path, 30)
    write_folder(tmp_path, some().X, some().y, np.arange(6))
    with pytest.raises(InputError, match="does not state its sampling rate"):
        load_windows(tmp_path)
    (tmp_path / "pid.npy").write_bytes(b"\x93NUMPY\x01\x00v")
    with pytest.raises(InputError, match=r"pid\.npy is damaged"):
        load_windows(tmp_path, 30)
