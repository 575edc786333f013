"""Recordings and windows of several sensors: columns, units, gaps, files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.recordings import (
    WindowConfig,
    WindowReport,
    Windows,
    load_windows,
    make_windows,
    merge_windows,
    open_source,
    save_windows,
)
from img2imu.recordings.check import check
from img2imu.recordings.sensors import axes_of

ROWS = 400
RATE = 50.0
BOTH = ("accel", "gyro")


def signal() -> np.ndarray:
    """Acceleration in g, rotation in rad/s, field in uT: (rows, 9)."""
    t = np.arange(ROWS)[:, None] / RATE
    accel = np.array([0, 0, 1]) + 0.2 * np.sin(t * [5, 7, 9])
    gyro = 2 * np.cos(t * [4, 6, 8])
    return np.concatenate([accel, gyro, 45 + 3 * np.sin(t * [1, 2, 3])], axis=1)


def write(path: Path, header: str, values: np.ndarray, empty: slice | None = None) -> Path:
    rows = [[f"{v:.6f}" for v in (t, *row)] for t, row in zip(np.arange(ROWS) / RATE, values)]  # noqa: B905
    for row in rows[empty] if empty else []:
        row[-1] = ""
    path.write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    return path


def recorded(path: Path, **options: Any) -> tuple[tuple[str, ...], np.ndarray]:
    source = open_source(path, **options)
    (piece,) = source.pieces()
    report = source.report
    assert report.rows == report.used + report.dropped.total()
    return piece.sensors, piece.values


@pytest.mark.parametrize(
    ("header", "factors"),
    [
        (
            "time,ax (m/s2),ay (m/s2),az (m/s2),gx (deg/s),gy (deg/s),gz (deg/s)",
            (9.80665, 57.29578),
        ),
        ("time,acc_x,acc_y,acc_z,gyro_x_dps,gyro_y_dps,gyro_z_dps", (1, 57.29578)),
        ("Time (s),ax (mg),ay (mg),az (mg),gx (rad/s),gy (rad/s),gz (rad/s)", (1000, 1)),
    ],
)
def test_sensors_and_units_are_told_from_the_header(tmp_path, header, factors):
    scale = np.repeat(factors, 3)
    path = write(tmp_path / "a.csv", header, signal()[:, :6] * scale)
    assert recorded(path)[0] == ("accel",)
    for asked in (BOTH, ("all",)):
        sensors, values = recorded(path, sensors=asked)
        assert sensors == BOTH
        np.testing.assert_allclose(values, signal()[:, :6], atol=2e-5)
    sensors, values = recorded(path, sensors=("gyro",))
    assert sensors == ("gyro",)
    np.testing.assert_allclose(values, signal()[:, 3:6], atol=2e-5)


def test_columns_may_be_named(tmp_path):
    values = signal() * np.repeat([9.80665, 57.29578, 10], 3)
    path = write(tmp_path / "a.csv", "when,a,b,c,d,e,f,g,h,i", values)
    triads = {
        "accel": ["a", "b", "c", "m/s2"],
        "gyro": ["d", "e", "f", "deg/s"],
        "belt.magn": ["g", "h", "i", "mG"],
    }
    sensors, read = recorded(path, columns=["when"], triads=triads)
    assert sensors == ("accel", "gyro", "belt.magn")
    np.testing.assert_allclose(read, signal(), atol=1e-4)
    sensors, read = recorded(path, columns=["when"], triads=triads, sensors=["belt.magn", "accel"])
    assert sensors == ("belt.magn", "accel")
    np.testing.assert_allclose(read, signal()[:, [6, 7, 8, 0, 1, 2]], atol=1e-4)


def test_columns_of_a_gyroscope_follow_those_of_the_accelerometer(tmp_path):
    path = write(tmp_path / "a.csv", "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)", signal()[:, :6])
    names = path.read_text().split("\n")[0].split(",")
    assert recorded(path, columns=names)[0] == BOTH
    turned = ["t", *names[4:], *names[1:4]]
    with pytest.raises(InputError, match=r"is a gyro's by its name.*--sensor gyro="):
        recorded(path, columns=turned)


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("t,ax,ay,az,gx,gy,gz", {"sensors": BOTH}, "does not tell the unit of gyro: give --sensor"),
        ("t,ax,ay,az,u,v,w", {"sensors": BOTH}, "no column known as x, y and z of gyro"),
        ("t,ax,ay,az,gx,gy,gz", {"sensors": ["wrist.gyro"]}, "columns of wrist.gyro must be named"),
        ("t,ax,ay,az,gx,gy,gz", {"sensors": ["sonar"]}, "a sensor is called accel, gyro, magn"),
        ("t,ax,ay,az,gx,gy,gz", {"sensors": ["gyro", "gyro"]}, "each once"),
        ("t,ax,ay,az,gx,gy,gz", {"triads": {"gyro": ["gx", "gy"]}}, "needs columns for x, y and z"),
        ("t,ax,ay,az,gx,gy,gz", {"triads": {"gyro": ["gx", "gy", "gz", "g"]}}, "rad/s, deg/s"),
        ("t,ax,ay,az,gx,gy,gz", {"triads": {"accel": ["q", "ay", "az"]}}, "no column 'q'"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, header, options, message):
    path = write(tmp_path / "a.csv", header, signal()[:, :6])
    with pytest.raises(InputError, match=message):
        recorded(path, **options)


def test_degrees_taken_for_radians_are_doubted(tmp_path):
    path = write(tmp_path / "a.csv", "t,gx,gy,gz", 100 * signal()[:, 3:6])
    source = open_source(path, triads={"gyro": ["gx", "gy", "gz", "rad/s"]})
    list(source.pieces())
    assert "faster than 40 rad/s" in source.report.doubts()[0]


def test_files_without_a_wanted_sensor_are_left_out_and_named(tmp_path):
    six = "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)"
    write(tmp_path / "a.csv", six, signal()[:, :6])
    write(tmp_path / "b.csv", "t,ax,ay,az", signal()[:, :3])
    source = open_source(tmp_path, sensors=BOTH)
    assert [piece.recording for piece in source.pieces()] == ["a.csv"]
    assert "no columns of accel and gyro in b.csv" in " ".join(source.report.doubts())


def test_a_gap_of_one_sensor_is_a_gap_of_all(tmp_path):
    header = "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)"
    path = write(tmp_path / "a.csv", header, signal()[:, :6], empty=slice(150, 200))
    source = open_source(path, sensors=BOTH)
    report = WindowReport()
    config = WindowConfig(RATE, 1.0, 0.0)
    windows = make_windows(source, config, keep_unlabelled=True, report=report)
    assert source.report.dropped.total() == 50
    assert (report.samples.segments, report.samples.gaps) == (2, 1)
    assert windows.sensors == BOTH
    assert windows.start.tolist() == [0, 1, 2, 4, 5, 6, 7]
    expected = signal()[200:250, :6].T
    np.testing.assert_allclose(windows.X[3], expected, atol=1e-5)


def test_an_accelerometer_alone_is_cut_as_beside_a_gyroscope(tmp_path):
    header = "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)"
    path = write(tmp_path / "a.csv", header, signal()[:, :6])
    config = WindowConfig(20.0, 2.0)
    one, two = (
        make_windows(open_source(path, sensors=names), config, keep_unlabelled=True)
        for names in (("accel",), BOTH)
    )
    np.testing.assert_array_equal(two.only(("accel",)).X, one.X)
    np.testing.assert_array_equal(two.only(("gyro", "accel")).X[:, 3:], one.X)


def some(sensors: tuple[str, ...] = BOTH) -> Windows:
    X = np.random.default_rng(0).normal(size=(4, 3 * len(sensors), 20)).astype(np.float32)
    y = np.array(["a", "b"] * 2)
    return Windows(X, y, y, y, np.arange(4.0), 20.0, sensors=sensors)


def test_a_windows_file_names_its_sensors(tmp_path):
    save_windows(tmp_path / "two.npz", some())
    read = load_windows(tmp_path / "two.npz")
    assert read.sensors == BOTH
    np.testing.assert_array_equal(read.X, some().X)
    assert read.select(slice(2)).sensors == Windows.concatenate([read, read]).sensors == BOTH
    save_windows(tmp_path / "one.npz", read.only(("accel",)))
    with np.load(tmp_path / "one.npz") as file:
        assert "sensors" not in file


@pytest.mark.parametrize(
    ("sensors", "message"),
    [
        (None, r"\(n, 3, samples\), not \(4, 6, 20\): three axes of each sensor, named by sensors"),
        (np.array(["accel"]), "named by sensors"),
        (np.array(["accel", "gyro", "magn"]), r"\(n, 9, samples\).*accel and gyro and magn"),
        (np.array(["accel", "sonar"]), "sensors in .*sonar"),
        (np.array([1, 2]), "must be a list of names"),
        (np.array(["gyro", "gyro"]), "each once"),
    ],
)
def test_sensors_that_do_not_fit_are_refused(tmp_path, sensors, message):
    named = {} if sensors is None else {"sensors": sensors}
    columns = {"y": some().y, "subject": some().y, "sampling_rate": 20.0}
    np.savez(tmp_path / "w.npz", X=some().X, **columns, **named)
    with pytest.raises(InputError, match=message):
        load_windows(tmp_path / "w.npz")


def test_sets_of_other_sensors_are_not_merged():
    with pytest.raises(InputError, match="of accel and gyro"):
        merge_windows({"a": some().only(("accel",)), "b": replace(some(), X=some().X + 1)})


def test_only_the_acceleration_has_to_be_in_g(tmp_path):
    windows = some()
    windows.X[:, :3] = [[0], [0], [1]]
    windows.X[:, 3:] *= 9.8
    save_windows(tmp_path / "w.npz", windows)
    assert load_windows(tmp_path / "w.npz").sensors == BOTH


def test_channels_of_a_sensor():
    assert axes_of(("magn", "gyro", "accel"), ("accel", "gyro")).tolist() == [6, 7, 8, 3, 4, 5]
    with pytest.raises(InputError, match="no sensor 'magn'; there are: accel, gyro"):
        some().only(("magn",))


def test_a_check_tells_the_range_of_every_sensor(tmp_path):
    header = "t,ax,ay,az,gx (rad/s),gy (rad/s),gz (rad/s)"
    report = check(open_source(write(tmp_path / "a.csv", header, signal()[:, :6]), sensors=["all"]))
    np.testing.assert_allclose(report.maximum, signal()[:, :6].max(axis=0), atol=1e-5)
    assert "range in rad/s" in report.to_text() and "gyro.x -2.00 to 2.00" in report.to_text()


def test_the_watch_has_a_gyroscope():
    (one, *_), (two, *_) = (
        list(open_source("exercise", **options).pieces()) for options in ({}, {"sensors": ["all"]})
    )
    assert two.sensors == BOTH
    np.testing.assert_array_equal(two.values[:, :3], one.values)
    assert np.abs(two.values[:, 3:]).max() < 40


def test_other_readers_say_that_they_read_one(tmp_path):
    (tmp_path / "walk.csv").write_text("t,x,y,z\n")
    with pytest.raises(InputError, match="read for its accelerometer alone so far"):
        open_source(tmp_path, format="goat", sensors=["gyro"])


def test_the_command_line_writes_windows_of_several(tmp_path, capsys):
    path = write(tmp_path / "a.csv", "when,a,b,c,d,e,f", signal()[:, :6])
    sensors = ["--sensor", "accel=a,b,c:g", "--sensor", "gyro=d,e,f:rad/s"]
    options = [*sensors, "--columns", "when", "--keep-unlabelled", "--seconds", "3"]
    assert main(["convert", str(path), "-o", str(tmp_path / "out"), *options]) in (0, None)
    assert load_windows(tmp_path / "out" / "windows.npz").sensors == BOTH
    told = capsys.readouterr().out
    assert "accel g, as given; gyro rad/s, as given" in told
    assert "gyro.x = d" in told
