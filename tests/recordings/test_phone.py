"""What the Android app's Record screen writes, read without options."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.recordings import load_windows, open_source

PHONE = Path(__file__).parent / "phone"
"""Written by ``RecordTest`` of the app, which demands these very bytes, and leaves what it wrote in
``android_demo/app/target/recording``: copy that here where the form changes."""

NAME = "2025-12-31_14-05-06"
GRAVITY = 9.80665


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A folder with one recording, as it is pulled from the phone."""
    shutil.copytree(PHONE, tmp_path / "recordings" / NAME)
    return tmp_path / "recordings"


def accelerometer() -> np.ndarray:
    """What the test's accelerometer measured, in g: 20 ms from one to the next."""
    index = np.arange(650)
    axes = (index * 7 % 41 - 20) / 8, (index * 5 % 37 - 18) / 8, 9.75 + index * 3 % 5 / 8
    return np.stack(axes, axis=1) / GRAVITY


def gyroscope(seconds: np.ndarray) -> np.ndarray:
    return np.stack([seconds / 8, -seconds / 16, 1 - seconds / 4], axis=1)


def magnetometer(seconds: np.ndarray) -> np.ndarray:
    return np.stack([20 + seconds, -30 + seconds / 2, -seconds], axis=1)


def test_all_sensors_are_read_on_one_clock(recording: Path) -> None:
    source = open_source(recording)
    pieces = list(source.pieces())
    assert {piece.sensors for piece in pieces} == {("accel", "gyro", "magn")}
    assert {(piece.recording, piece.subject, piece.rate) for piece in pieces} == {
        (f"{NAME}#1", "ann", 50.0)
    }
    assert pieces[0].began is not None
    # The clock stood at 0.9 s when the recording began at 14:05:06.5; the gyroscope came last.
    assert pieces[0].began.isoformat(timespec="milliseconds") == "2025-12-31T14:05:06.600+00:00"
    time, values, labels = (
        np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("time", "values", "labels")
    )
    # The first row of the accelerometer is 3 ms before that of the gyroscope.
    seconds = 1.0 + time
    rows = np.rint(time * 50).astype(int)
    np.testing.assert_allclose(rows / 50, time, atol=1e-9)
    assert rows[0] == 1
    np.testing.assert_allclose(values[:, :3], accelerometer()[rows], atol=1e-6)
    np.testing.assert_allclose(values[:, 3:6], gyroscope(seconds), atol=1e-5)
    np.testing.assert_allclose(values[:, 6:], magnetometer(seconds), atol=2e-5)
    # Pressed at 1.5 s, again at 7 s; the other at 7.5 s, until the end.
    walking, climbing = (seconds > 1.5) & (seconds < 7), seconds > 7.5
    assert set(labels[walking]) == {"walk"}
    assert set(labels[climbing]) == {"climb stairs"}
    assert set(labels[(seconds < 1.45) | ((seconds > 7.05) & (seconds < 7.45))]) == {""}


def test_convert_needs_no_options(recording: Path, tmp_path: Path, capsys) -> None:
    assert main(["convert", str(recording), "-o", str(tmp_path / "out")]) == 0
    windows = load_windows(tmp_path / "out" / "windows.npz")
    assert windows.sensors == ("accel", "gyro", "magn")
    assert windows.X.shape[1:] == (9, 250)
    assert windows.sampling_rate == 50.0
    assert set(windows.y) == {"walk", "climb stairs"}
    assert set(windows.subject) == {"ann"}
    shown = capsys.readouterr().out
    assert "m/s2, by the header" in shown
    assert "rad/s, by the header" in shown
    assert "uT, by the header" in shown


def test_the_shared_archive_and_one_file_are_read(recording: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / NAME), "zip", recording)
    folder = tmp_path / "archives"
    folder.mkdir()
    shutil.copy(archive, folder)
    whole = np.concatenate([piece.values for piece in open_source(recording).pieces()])
    for source in (archive, folder):
        pieces = list(open_source(source).pieces())
        assert pieces[0].sensors == ("accel", "gyro", "magn")
        np.testing.assert_array_equal(np.concatenate([each.values for each in pieces]), whole)
    [piece] = open_source(recording / NAME / "accel.csv").pieces()
    assert piece.sensors == ("accel",)
    np.testing.assert_allclose(piece.values, accelerometer(), atol=1e-6)


def test_sensors_are_those_that_all_recordings_have(recording: Path) -> None:
    other = recording / "2026-01-01_00-00-00"
    shutil.copytree(PHONE, other)
    (other / "magn.csv").unlink()
    (recording / "notes.csv").write_text("when,what\n1,walk\n")
    source = open_source(recording)
    pieces = list(source.pieces())
    assert {piece.recording for piece in pieces} == {f"{NAME}#1", f"{other.name}#1"}
    assert {piece.sensors for piece in pieces} == {("accel", "gyro")}
    assert source.report.skipped == ["notes.csv"]
    chosen = open_source(recording, sensors=["accel", "magn"])
    assert {piece.recording for piece in chosen.pieces()} == {f"{NAME}#1"}
    assert {piece.sensors for piece in open_source(recording, sensors=["accel"]).pieces()} == {
        ("accel",)
    }
    with pytest.raises(InputError, match="no file of magn"):
        list(open_source(recording, sensors=["magn"], require_sensors=True).pieces())


def test_a_recording_that_was_killed_is_read_to_its_last_whole_row(recording: Path) -> None:
    file = recording / NAME / "accel.csv"
    file.write_bytes(file.read_bytes()[:20_000])
    pieces = list(open_source(recording).pieces())
    assert pieces[0].sensors == ("accel", "gyro", "magn")
    rows = len(file.read_text().splitlines()) - 2
    assert abs(sum(map(len, pieces)) - rows) <= 2
