"""Each official format, on small files whose content is known."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.recordings.readers.text import MISSING_VALUE, NOT_A_NUMBER, WRONG_COUNT
from img2imu.recordings.registry import open_source
from img2imu.recordings.types import Piece, Source
from tests.recordings import samples


def read(source: Source) -> list[Piece]:
    pieces = list(source.pieces())
    assert source.report.rows == source.report.used + source.report.dropped.total()
    assert source.report.used == sum(len(piece) for piece in pieces)
    return pieces


def test_wisdm_2019_units_labels_and_times(tmp_path: Path) -> None:
    source = open_source(samples.write_wisdm_2019(tmp_path))
    first, second = read(source)
    assert (first.subject, second.subject, first.rate) == ("1600", "1601", 20.0)
    assert first.recording != second.recording
    np.testing.assert_allclose(first.values[:20], samples.signal(20, 1600), atol=1e-6)
    np.testing.assert_allclose(first.time[:20], np.arange(20) * 0.05, atol=1e-9)
    assert first.time[20] == 0  # the second activity's clock starts over: handed on as recorded
    assert Counter(first.labels) == {"walking": 20, "jogging": 20}


def test_wisdm_2019_counts_bad_lines(tmp_path: Path) -> None:
    samples.write_wisdm_2019(tmp_path, [1600])
    path = next(tmp_path.rglob("*.txt"))
    extra = ["", "1600,A,1,2;", "1600,Z,5,1,1,1;", "1601,A,5,1,1,1;", "1600,A,x,1,1,1;"]
    path.write_text(path.read_text() + "\n".join([*extra, "1600,A,5,1,,1;", "1600,A,5,1,nan,1;"]))
    source = open_source(path)
    assert sum(map(len, read(source))) == 40
    assert source.report.dropped == {
        WRONG_COUNT: 1,
        "unknown label": 1,
        "subject is not the file's": 1,
        NOT_A_NUMBER: 1,
        MISSING_VALUE: 2,
    }


def test_wisdm_2019_takes_phone_or_watch(tmp_path: Path) -> None:
    samples.write_wisdm_2019(tmp_path)
    with pytest.raises(InputError, match=r"data_\*_accel_watch.txt"):
        list(open_source(tmp_path, device="watch").pieces())
    with pytest.raises(InputError, match="device must be one of phone, watch"):
        open_source(tmp_path, device="ring")


def test_wisdm_v1_quirks(tmp_path: Path) -> None:
    text = (
        "33,Jogging,49105962326000,-0.6946377,12.680544,0.50395286;\n"
        "33,Jogging,49106012326000,5.0, 11.0,0.95;33,Jogging,49106062326000,4.9,10.8,-0.08;\n"
        "33,Jogging,0,0,0,0;\n"  # no time
        "33,Jogging,49106112326000,4.4,4.4,;\n"  # empty z
        "33,Jogging,49106162326000,-0.6,1.5,2.5,;\n"  # a comma too many
        "33,Jogging,49106162326000,-0.6,1.5,2.5;\n"  # time repeats: kept
        "33,Walking,49106212326000,;\n"
        "\n\n"
        "17,Standing,57869902574000,1.6,8.2,1.3;\n"
        "33,Sitting,49200212326000,0,9.80665,0;\n\n"
    )
    source = open_source(samples.write_wisdm_v1(tmp_path, text))
    jogging, standing, sitting = read(source)
    assert [piece.subject for piece in (jogging, standing, sitting)] == ["33", "17", "33"]
    assert len({jogging.recording, standing.recording, sitting.recording}) == 3
    np.testing.assert_allclose(jogging.time, [0, 0.05, 0.1, 0.2, 0.2], atol=1e-9)
    np.testing.assert_allclose(jogging.values[1] * samples.GRAVITY, [5.0, 11.0, 0.95], rtol=1e-6)
    np.testing.assert_allclose(sitting.values, [[0, 1, 0]], atol=1e-7)
    assert set(jogging.labels) == {"jogging"}
    assert set(standing.labels) == {"standing"}
    assert source.report.rows == 10
    assert source.report.dropped == {"timestamp 0": 1, MISSING_VALUE: 1, WRONG_COUNT: 1}


def test_daphnet_positions_labels_and_start(tmp_path: Path) -> None:
    ankle = np.array([[0, 0, 0], [0, 0, 0], [30, -960, 10], [0, 0, 0], [40, -970, 0]])
    labels = [0, 1, 1, 2, 2]
    files = {"S01R02": samples.daphnet_lines(ankle, labels)}
    source = open_source(samples.write_daphnet(tmp_path, files))
    (piece,) = read(source)
    assert (piece.subject, piece.recording, piece.rate) == ("S01", "S01R02", 64.0)
    assert source.report.dropped == {"sensor not started": 2}  # zeros later on stay
    assert list(piece.labels) == ["no freeze", "freeze", "freeze"]
    np.testing.assert_allclose(piece.values[0], [0.03, -0.96, 0.01], rtol=1e-6)
    np.testing.assert_allclose(piece.time, [0, 0.016, 0.032], atol=0.001)
    (trunk,) = read(open_source(tmp_path, position="trunk"))
    assert list(trunk.labels) == ["", "no freeze", "no freeze", "freeze", "freeze"]
    np.testing.assert_allclose(trunk.values, np.tile([0, 0.9, 0], (5, 1)), rtol=1e-6)


def test_daphnet_drops_unknown_labels(tmp_path: Path) -> None:
    lines = samples.daphnet_lines(np.full((4, 3), 9), [1, 7, 2, 0])
    source = open_source(samples.write_daphnet(tmp_path, {"S03R01": lines}))
    (piece,) = read(source)
    assert list(piece.labels) == ["no freeze", "freeze", ""]
    assert source.report.dropped == {"unknown label": 1}


def test_motionsense_counts_time_by_row(tmp_path: Path) -> None:
    values = samples.signal(30)
    samples.write_motionsense(tmp_path, {"dws_1/sub_3": values, "std_6/sub_12": values})
    gyro = tmp_path / "C_Gyroscope_data" / "dws_1"
    gyro.mkdir(parents=True)
    (gyro / "sub_3.csv").write_text(",x,y,z\n0,1,1,1\n")
    path = tmp_path / "B_Accelerometer_data" / "dws_1" / "sub_3.csv"
    lines = path.read_text().splitlines()
    lines[11] = "10,?,0,0"  # a dropped row leaves a hole, time does not close up
    path.write_text("\n".join(lines))
    first, second = read(open_source(tmp_path))
    assert [(piece.subject, piece.labels[0]) for piece in (first, second)] == [
        ("3", "downstairs"),
        ("12", "standing"),
    ]
    np.testing.assert_allclose(first.time, np.delete(np.arange(30), 10) / 50)
    np.testing.assert_allclose(second.values, values, rtol=1e-6)


def test_pvs_tasks_placements_and_drivers(tmp_path: Path) -> None:
    values = samples.signal(4)
    hot = [{"asphalt_road", "paved_road"}, {"dirt_road"}, set(), {"cobblestone_road", "dirt_road"}]
    samples.write_pvs(tmp_path, 3, values, hot)
    samples.write_pvs(tmp_path, 4, values, hot)
    first, second = read(open_source(tmp_path))
    assert [(piece.subject, piece.recording) for piece in (first, second)] == [
        ("driver-1", "PVS 3"),
        ("driver-2", "PVS 4"),
    ]
    assert list(first.labels) == ["asphalt", "dirt", "", ""]
    np.testing.assert_allclose(first.values, values, atol=1e-6)
    np.testing.assert_allclose(first.time, [0, 0.01, 0.02, 0.03], atol=1e-6)
    above, _ = read(
        open_source(tmp_path, placement="above_suspension", side="right", task="pavement")
    )
    np.testing.assert_allclose(above.values, 2 * values, atol=1e-6)
    assert list(above.labels) == ["paved", "", "", ""]


def test_pvs_labels_stay_with_their_rows(tmp_path: Path) -> None:
    hot = [{"asphalt_road"}, {"dirt_road"}, {"cobblestone_road"}]
    samples.write_pvs(tmp_path, 1, samples.signal(3), hot)
    path = tmp_path / "PVS 1" / "dataset_gps_mpu_left.csv"
    lines = path.read_text().splitlines()
    lines[2] = "garbage"
    path.write_text("\n".join(lines))
    (piece,) = read(open_source(tmp_path))
    assert list(piece.labels) == ["asphalt", "cobblestone"]
    path.write_text("\n".join(lines[:3]))
    with pytest.raises(InputError, match="differ in their rows"):
        read(open_source(tmp_path))


def test_goat_drops_rows_without_values_and_keeps_unlabelled(tmp_path: Path) -> None:
    lines = ["walking,1000,0,0,9.80665,1", ",1010,9.80665,0,0,1", "eating,1020,,,,1"]
    samples.write_goat(tmp_path, "G1", "A", lines)
    samples.write_goat(tmp_path, "G2", "B", lines)
    source = open_source(tmp_path)
    first, second = read(source)
    assert [(piece.subject, piece.recording) for piece in (first, second)] == [
        ("G1", "G1/pos_A"),
        ("G2", "G2/pos_B"),
    ]
    assert list(first.labels) == ["walking", ""]
    np.testing.assert_allclose(first.time, [0, 0.01])
    np.testing.assert_allclose(first.values, [[0, 0, 1], [1, 0, 0]], atol=1e-7)
    assert source.report.dropped == {MISSING_VALUE: 2}
    assert [piece.subject for piece in read(open_source(tmp_path, position="B"))] == ["G2"]


CAPTURE24 = [
    "2016-10-17 03:53:00.000000,-0.38,0.48,-0.79,7030 sleeping;MET 0.95",
    "2016-10-17 03:53:00.010000,-0.38,0.48,-0.79,",
    '2016-10-17 03:53:00.020000,-0.38,0.48,-0.79,"leisure;walking, with a dog;MET 3.0"',
]


def test_capture24_schemes(tmp_path: Path) -> None:
    samples.write_capture24(tmp_path, "P007", CAPTURE24)
    (piece,) = read(open_source(tmp_path))
    assert (piece.subject, piece.rate) == ("P007", 100.0)
    assert list(piece.labels) == ["sleep", "", "walking"]
    np.testing.assert_allclose(piece.time, [0, 0.01, 0.02], atol=1e-9)
    np.testing.assert_allclose(piece.values, np.tile([-0.38, 0.48, -0.79], (3, 1)), rtol=1e-6)
    (walmsley,) = read(open_source(tmp_path / "P007.csv.gz", scheme="Walmsley2020"))
    assert list(walmsley.labels) == ["sleep", "", "light"]
    (raw,) = read(open_source(tmp_path, scheme="annotation"))
    assert raw.labels[2] == "leisure;walking, with a dog;MET 3.0"


def test_capture24_times_in_seconds(tmp_path: Path) -> None:
    lines = ["100.00,0,0,1,", "100.01,0,0,1,", "100.02,0,0,1,"]
    (piece,) = read(open_source(samples.write_capture24(tmp_path, "P001", lines)))
    np.testing.assert_allclose(piece.time, [0, 0.01, 0.02], atol=1e-9)


def test_capture24_bad_input(tmp_path: Path) -> None:
    samples.write_capture24(tmp_path, "P001", [*CAPTURE24, "2016-10-17 03:53:01,0,0,1,swimming"])
    with pytest.raises(InputError, match=r"P001\.csv\.gz has the annotation 'swimming'"):
        read(open_source(tmp_path))
    with pytest.raises(InputError, match=r"no scheme Doherty2018 .*Willetts2018, Walmsley2020"):
        read(open_source(tmp_path, scheme="Doherty2018"))
    path = tmp_path / "P001.csv.gz"
    rng = np.random.default_rng(0)
    lines = [f"{row / 100},{x},0,1," for row, x in enumerate(rng.random(100_000))]
    text = "\n".join(["time,x,y,z,annotation", *lines])
    path.write_bytes(gzip.compress(text.encode(), 1)[:-9000])
    with pytest.raises(InputError, match=r"P001\.csv\.gz is truncated or damaged"):
        read(open_source(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (bytes(range(256)) * 600, "no line breaks|do not fit the format"),
        (b"\x00" * 200_000, "no line breaks"),
        (b"\xff\xfe1\x006\x000\x000\x00", "UTF-16"),
        (b"a,b\n1,2\n3,4\n", "3 of the first 3 lines do not fit"),
        (b"1600,A,1,,,;\n", "holds no usable rows .of 1 rows dropped: missing value: 1."),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "data_1600_accel_phone.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read(open_source(path))
    assert str(tmp_path) in str(caught.value)


def test_a_source_can_be_read_twice(tmp_path: Path) -> None:
    source = open_source(samples.write_wisdm_2019(tmp_path))
    assert len(read(source)) == len(read(source)) == 2
    assert source.report.rows == 80


def test_exercise_set_comes_with_seglearn() -> None:
    pytest.importorskip("img2imu.recordings.readers.exercise")
    from importlib.util import find_spec

    if find_spec("seglearn") is None:
        pytest.skip("needs the package seglearn, which carries the exercise data")
    source = open_source("exercise")
    pieces = read(source)
    assert source.report.rows == source.report.used == 244_102
    assert len({piece.recording for piece in pieces}) == 140
    assert len({piece.subject for piece in pieces}) == 10
    assert len({label for piece in pieces for label in piece.labels}) == 7
    magnitude = np.median(np.linalg.norm(np.concatenate([p.values for p in pieces]), axis=1))
    assert 0.9 < magnitude < 1.2  # g


def test_exercise_file_is_known_by_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "watch_dataset.npy"
    np.save(path, np.array({"X": []}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="SHA-256 differs"):
        read(open_source(path))


def test_exercise_unpickler_builds_arrays_only() -> None:
    import io
    import pickle

    from img2imu.recordings.readers.exercise import _ArrayUnpickler

    stream = io.BytesIO(pickle.dumps(Path))  # any global that is no array
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        _ArrayUnpickler(stream).load()
