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
from img2imu.recordings.sensors import axes_of, units_of
from tests.recordings import exports, samples

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


def test_sensors_of_one_place_are_one_unit():
    assert units_of(("accel", "gyro")) == [0, 0]
    assert units_of(("wrist.accel", "belt.accel", "wrist.gyro", "magn")) == [0, 1, 0, 2]


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


def test_pvs_has_three_sensors_in_three_places(tmp_path):
    values = samples.signal(4)
    samples.write_pvs(tmp_path, 3, values, [{"asphalt_road"}] * 4)
    sensors, read = recorded(tmp_path, sensors=["all"])
    assert sensors == ("accel", "gyro", "magn")
    raw = values * samples.GRAVITY
    parts = [values, np.radians(4 * raw), 7 * raw]
    np.testing.assert_allclose(read, np.concatenate(parts, axis=1), atol=1e-5)
    sensors, read = recorded(tmp_path, sensors=["below_suspension.gyro", "accel"])
    assert sensors == ("below_suspension.gyro", "accel")
    np.testing.assert_allclose(read, np.hstack([np.radians(6 * raw), values]), atol=1e-5)
    with pytest.raises(InputError, match=r"no sensor 'roof\.gyro'; there are: accel, gyro, magn"):
        recorded(tmp_path, sensors=["roof.gyro"])
    with pytest.raises(InputError, match="no column 'mag_x_below_suspension'"):
        recorded(tmp_path, sensors=["below_suspension.magn"])


def test_motionsense_has_rotation_beside_the_sum_of_gravity_and_motion(tmp_path):
    cells = np.random.default_rng(0).normal(size=(30, 12)).round(6)
    samples.write_device_motion(tmp_path, "wlk_7/sub_5", cells)
    samples.write_motionsense(tmp_path, {"wlk_7/sub_5": samples.signal(30)})
    assert recorded(tmp_path)[0] == ("accel",)
    np.testing.assert_allclose(recorded(tmp_path)[1], samples.signal(30), rtol=1e-6)
    sensors, read = recorded(tmp_path, sensors=["all"])
    assert sensors == BOTH
    np.testing.assert_allclose(read[:, :3], cells[:, 3:6] + cells[:, 9:12], atol=1e-6)
    np.testing.assert_allclose(read[:, 3:], cells[:, 6:9], atol=1e-6)
    sensors, gyro = recorded(tmp_path, sensors=["gyro"])
    np.testing.assert_array_equal(gyro, read[:, 3:])
    with pytest.raises(InputError, match="no files of A_DeviceMotion_data"):
        recorded(tmp_path / "B_Accelerometer_data", sensors=["gyro"])


BOOTED = 252_207_666_810_782


def wisdm(folder: Path, subject: int, starts: dict[str, int]) -> None:
    """Three activities of each sensor, in other orders; one is done twice, one has no gyroscope."""
    for name, start in starts.items():
        device, kind = name.split(".")
        takes = [("A", 60), ("C", 30), ("A", 40), *([("B", 20)] if kind == "accel" else [])]
        since, parts = start, []
        for activity, rows in takes:
            t = np.arange(rows)[:, None] / 20 + (start - BOOTED) % 10**10 * 1e-9
            parts.append(
                (activity, since, np.sin(t * [1, 2, 3]) * (9.80665 if kind == "accel" else 1))
            )
            since += 10**12
        samples.write_wisdm_2019_sensor(folder, device, kind, subject, parts)


def test_wisdm_2019_joins_the_files_of_a_device(tmp_path):
    wisdm(tmp_path, 1600, {"phone.accel": BOOTED, "phone.gyro": BOOTED + 260_000_000})
    source = open_source(tmp_path, sensors=["phone.accel", "phone.gyro"])
    pieces = list(source.pieces())
    assert source.report.rows == source.report.used + source.report.dropped.total() == 280
    assert source.report.dropped == {
        "phone.accel without phone.gyro": 3 * 6 + 20,
        "phone.gyro without phone.accel": 3 * 6,
    }
    told = {(piece.recording, piece.labels[0]) for piece in pieces}
    assert told == {
        ("1600/walking", "walking"),
        ("1600/stairs", "stairs"),
        ("1600/walking#2", "walking"),
    }
    for piece in pieces:
        assert (piece.subject, piece.sensors) == ("1600", ("phone.accel", "phone.gyro"))
        wave = np.sin(piece.time[:, None] * [1, 2, 3])
        np.testing.assert_allclose(piece.values, np.hstack([wave, wave]), atol=1e-3)
    gyro = open_source(tmp_path, sensors=["gyro"])
    assert sum(map(len, gyro.pieces())) == 130
    plain, named = (
        [piece.values for piece in open_source(tmp_path, **options).pieces()]
        for options in ({}, {"sensors": ["accel"]})
    )
    np.testing.assert_array_equal(np.concatenate(plain), np.concatenate(named))


def test_wisdm_2019_aligns_phone_and_watch_where_an_activity_begins(tmp_path):
    wisdm(tmp_path, 1600, {"phone.accel": BOOTED, "watch.gyro": BOOTED - 7 * 10**13})
    source = open_source(tmp_path, sensors=["accel", "watch.gyro"])
    assert sum(map(len, source.pieces())) == 130
    assert source.report.dropped == {"accel without watch.gyro": 20}


def test_a_subject_without_a_sensor_is_left_out_or_refused(tmp_path):
    wisdm(tmp_path, 1600, {"phone.accel": BOOTED, "phone.gyro": BOOTED})
    wisdm(tmp_path, 1601, {"phone.accel": BOOTED})
    source = open_source(tmp_path, sensors=BOTH)
    assert {piece.subject for piece in source.pieces()} == {"1600"}
    assert source.report.doubts() == ["no gyro: left out (1601)"]
    with pytest.raises(InputError, match="no file of gyro of subject 1601"):
        list(open_source(tmp_path, sensors=BOTH, require_sensors=True).pieces())


def movement(t: np.ndarray) -> np.ndarray:
    return np.sin(t[:, None] * [1, 2, 3]) / 5 + np.array([0, 0, 1])


def apart(folder: Path, person: str, names: dict[str, str], late: float = 0.3) -> None:
    """The sensors' files of one recording; the gyroscope begins later, and is slower."""
    folder.mkdir(exist_ok=True)
    for name, header in names.items():
        rate, begin = (100.0, 1000.0) if "cc" in name else (50.0, 1000.0 + late)
        t = begin + np.arange(5 * int(rate)) / rate
        wave = movement(t)
        rows = "\n".join(
            ",".join(f"{cell:.6f}" for cell in row) for row in np.column_stack([t, wave])
        )
        (folder / f"{person}_{name}.csv").write_text(f"{header}\n{rows}\n")


NAMES = {
    "Accelerometer": "t,ax (g),ay (g),az (g)",
    "Gyroscope": "t,wx (deg/s),wy (deg/s),wz (deg/s)",
}


def test_sensors_in_files_of_their_own_are_one_recording(tmp_path):
    apart(tmp_path / "w", "ann", NAMES)
    apart(tmp_path / "w", "ben", {"Accelerometer": NAMES["Accelerometer"]})
    options: dict[str, Any] = {"path_pattern": "{subject}_{sensor}.csv", "sensors": BOTH}
    source = open_source(tmp_path / "w", **options)
    pieces = list(source.pieces())
    assert {(p.subject, p.recording, p.sensors, p.rate) for p in pieces} == {
        ("ann", "ann_*.csv", BOTH, 100.0)
    }
    time = np.concatenate([piece.time for piece in pieces])
    values = np.concatenate([piece.values for piece in pieces])
    wave = movement(1000 + time)
    np.testing.assert_allclose(values, np.hstack([wave, np.radians(wave)]), atol=1e-4)
    report = source.report
    assert report.rows == report.used + report.dropped.total() == 750
    assert report.dropped == {"accel without gyro": 30, "gyro without accel": 15}
    assert report.doubts() == ["no file of gyro: left out (ben_*.csv)"]
    assert [(r.sensors, r.unit) for r in report.readings] == [
        (("accel",), "g, by the header"),
        (("gyro",), "gyro deg/s, by the header"),
    ]
    with pytest.raises(InputError, match=r"no file of gyro for ben_\*.csv"):
        list(open_source(tmp_path / "w", **options, require_sensors=True).pieces())
    both = open_source(tmp_path / "w", path_pattern="{subject}_{sensor}.csv", sensors=["all"])
    assert {piece.sensors for piece in both.pieces()} == {BOTH}


def test_the_name_of_a_file_tells_whose_bare_axes_they_are(tmp_path):
    apart(tmp_path / "w", "ann", {"acc": "t,x,y,z", "gyr": "t,x,y,z"})
    options: dict[str, Any] = {"path_pattern": "{subject}_{sensor}.csv", "sensors": BOTH}
    with pytest.raises(
        InputError, match="does not tell the unit of gyro: give --sensor gyro=x,y,z"
    ):
        recorded(tmp_path / "w", **options, unit="g")
    triads = {"accel": ["x", "y", "z", "g"], "gyro": ["x", "y", "z", "rad/s"]}
    source = open_source(tmp_path / "w", **options, triads=triads)
    assert {piece.sensors for piece in source.pieces()} == {BOTH}
    (tmp_path / "w" / "ann_linear acceleration.csv").write_text("t,x,y,z\n")
    assert sum(map(len, open_source(tmp_path / "w", **options, triads=triads).pieces())) == 470
    (tmp_path / "w" / "ann_acceleration.csv").write_text("t,x,y,z\n")
    with pytest.raises(InputError, match="both of accel, in one recording"):
        list(open_source(tmp_path / "w", **options, triads=triads).pieces())


def test_exports_of_a_folder_for_each_recording_are_joined(tmp_path):
    exports.sensor_logger(tmp_path / "ann")
    triads = {"accel": ["x", "y", "z", "m/s2"], "gyro": ["x", "y", "z", "rad/s"]}
    source = open_source(tmp_path, path_pattern="{subject}/{sensor}.csv", triads=triads)
    pieces = list(source.pieces())
    values = np.concatenate([piece.values for piece in pieces])
    expected = np.hstack([exports.VALUES, exports.VALUES / 7])
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert {piece.subject for piece in pieces} == {"ann"}


def test_the_command_line_writes_windows_of_several(tmp_path, capsys):
    path = write(tmp_path / "a.csv", "when,a,b,c,d,e,f", signal()[:, :6])
    sensors = ["--sensor", "accel=a,b,c:g", "--sensor", "gyro=d,e,f:rad/s"]
    options = [*sensors, "--columns", "when", "--keep-unlabelled", "--seconds", "3"]
    assert main(["convert", str(path), "-o", str(tmp_path / "out"), *options]) in (0, None)
    assert load_windows(tmp_path / "out" / "windows.npz").sensors == BOTH
    told = capsys.readouterr().out
    assert "accel g, as given; gyro rad/s, as given" in told
    assert "gyro.x = d" in told
