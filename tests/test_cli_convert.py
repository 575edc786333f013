"""``convert`` and ``data`` from the command line: what they refuse, and nothing half-written."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from img2imu.cli import main
from img2imu.convert import SpectrogramConfig, to_images
from img2imu.recordings import load_windows


def walk(end="\n", seconds=30, header="time,x,y,z,label"):
    """A walk recorded at 50 Hz, as text."""
    rows = [
        f"{t:.3f},{np.sin(9 * t) / 4:.4f},{np.cos(9 * t) / 4:.4f},{1 + np.sin(3 * t) / 4:.4f},walk"
        for t in np.arange(seconds * 50) / 50
    ]
    return end.join([header, *rows, ""])


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "walk.csv"
    path.write_text(walk())
    return path


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rate=abc", "rate must be a number, not 'abc'"),
        ("rate=nan", "positive number"),
        ("rate=0", "positive number"),
        ("rate=", "rate must be a number"),
        ("columns=x", "columns must name"),
        ("columns=a,b,c,d", "no column 'a'"),
        ("unit=feet", "unit must be one of"),
        ("path=/etc/passwd", "no option path"),
        ("path_or_name=x", "no option path_or_name"),
        ("self=1", "no option self"),
        ("format=tape", "Unknown format"),
        ("label", "NAME=VALUE"),
        ("=", "no option"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "data"])
def test_options_of_readers_are_checked(tmp_path, refused, recording, command, option, message):
    out = tmp_path / "out"
    before = ["convert", "-o", out] if command == "convert" else ["data", "check"]
    assert message in refused(*before, recording, "--option", option)
    assert not out.exists()


def test_options_of_readers_are_read_as_numbers_and_names(tmp_path, capsys, recording):
    options = ["--option", "rate=50", "--option", "columns=time,x,y,z", "--option", "unit=g"]
    assert main(["data", "check", str(recording), *options, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["rates"]) == ["50"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_gives_the_same_windows(tmp_path, end):
    (tmp_path / "walk.csv").write_bytes(walk(end).encode())
    assert main(["convert", str(tmp_path / "walk.csv"), "-o", str(tmp_path / "out")]) == 0
    windows = load_windows(tmp_path / "out" / "windows.npz")
    assert len(windows) == 11
    time = np.arange(250) / 50
    np.testing.assert_allclose(windows.X[0, 0], np.sin(9 * time) / 4, atol=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        b";".join(b"column %d" % i for i in range(50_000)) + b"\n1;2\n",
        b"x" * 60_000 + b",y,z\n1,2,3\n",
        b"time,x\x1b[31m,\x07y,z\n" * 3,
        b"time,x,y\x00,z\n1,2,3,4\n",
        walk("\r", header="secret;" * 9000).encode(),
    ],
    ids=["many columns", "a long name", "control characters", "NUL", "CR and a long header"],
)
def test_an_error_repeats_little_of_a_file(tmp_path, refused, content):
    (tmp_path / "odd.csv").write_bytes(content)
    said = refused("convert", tmp_path / "odd.csv", "-o", tmp_path / "out")
    assert said.isprintable()


@pytest.mark.parametrize("output", ["/dev/null", "walk.csv", "walk.csv/below"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, refused, recording, output):
    refused("convert", recording, "-o", tmp_path / output)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.csv"]
    assert recording.read_text() == walk()


@pytest.mark.parametrize("seconds", [0.03, 0.04, 0.06, 0.1])
def test_windows_of_a_few_samples_are_drawn_or_refused(tmp_path, refused, recording, seconds):
    """Two samples make no picture of two frames; five do, of four samples each."""
    out = tmp_path / "out"
    settings = ["--seconds", seconds, "--nfft", 4, "--noverlap", 3]
    if seconds < 0.1:
        refused("convert", recording, "-o", out, *settings)
        assert not out.exists()
    else:
        assert main([str(part) for part in ("convert", recording, "-o", out, *settings)]) == 0
        assert load_windows(out / "windows.npz").X.shape[2] == 5


def test_pictures_are_those_of_the_windows(tmp_path, recording):
    out = tmp_path / "out"
    code = main(
        ["convert", str(recording), "-o", str(out), "--images", "--nfft", "32", "--overlap", "0.9"]
    )
    assert code == 0
    windows = load_windows(out / "windows.npz")
    with np.load(out / "images.npz", allow_pickle=False) as stored:
        drawn = to_images(windows.X, SpectrogramConfig(nfft=32, noverlap=28), dtype="uint8")
        np.testing.assert_array_equal(stored["images"], drawn)
        np.testing.assert_array_equal(stored["y"], windows.y)
        np.testing.assert_array_equal(stored["subject"], windows.subject)


def test_what_was_understood_is_told(tmp_path, capsys, recording):
    (tmp_path / "labels.csv").write_text("start,end,label\n0,10,stroll\n10,30,march\n")
    out, labels = tmp_path / "out", ["--labels", str(tmp_path / "labels.csv")]
    assert main(["convert", str(recording), "-o", str(out), "--unit", "mg", *labels]) == 0
    told = capsys.readouterr()
    assert "time = time, x = x, y = y, z = z" in told.out
    assert "warning: the median magnitude is 0.001" in told.err
    report = json.loads((out / "report.json").read_text())
    (file,) = report["reading"]["files"]
    assert (file["unit"], file["rates"]) == ("mg, as given", {"50": 1})
    assert [row[0] for row in file["rows"]] == [0, 0.02, 0.04]
    assert len(report["reading"]["doubts"]) == 1
    assert list(report["windows"]["by_label"]) == ["stroll", "march"]
    assert main(["data", "check", str(recording), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readings"][0]["columns"]["label"] == "label"


@pytest.mark.parametrize(
    ("change", "options", "advice"),
    [
        (",walk", (), "no label: 11); try labels by --label COLUMN, --labels FILE"),
        (None, ("--seconds", 60), "shorter than a window: 1500); try shorter windows by --seconds"),
        (r"(?m)^[\d.]+", (), "too few different timestamps to tell the rate (--rate HZ): 1500"),
        (r"(?m)^[\d.]+", ("--rate", 50), "try rows counted instead of timestamps, by --columns"),
    ],
    ids=["labels", "length", "timestamps", "timestamps and rate"],
)
def test_where_no_window_is_left_the_option_that_helps_is_named(
    tmp_path, refused, change, options, advice
):
    rows = walk() if change is None else re.sub(change, "7" if "d" in change else ",", walk())
    (tmp_path / "walk.csv").write_text(rows)
    assert advice in refused("convert", tmp_path / "walk.csv", "-o", tmp_path / "out", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.csv"]


def own_mounts():
    """Whether a process may mount file systems of its own here."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not own_mounts(), reason="no small file system can be mounted here")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    """The disk holds the windows, and not their pictures."""
    (tmp_path / "walk.csv").write_text(walk(seconds=100))
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"""
        mount -t tmpfs -o size=3000k none {disk} && {sys.executable} -m img2imu convert
        {tmp_path}/walk.csv -o {disk}/out --overlap 0.9 --images; echo "code $?";
        find {disk} -mindepth 1
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", " ".join(command.split())],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path)},
    )
    assert done.stdout.splitlines() == ["code 2"], done
    assert "No space left" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_parquet_columns_of_other_types_are_refused(tmp_path, refused):
    import pyarrow as pa
    import pyarrow.parquet as pq

    time = np.arange(600) / 50
    good = {"time": time, "x": np.sin(time), "y": np.cos(time), "z": np.ones(600)}
    for number, odd in enumerate(
        ([[1.0]] * 600, [{"a": 1}] * 600, ["text"] * 600, [b"x"] * 600, [True] * 600, [None] * 600)
    ):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({**good, "x": odd}), path)
        assert f"{number}.parquet" in refused(
            "convert", path, "-o", tmp_path / "out", "--unit", "g"
        )


def test_a_damaged_member_of_columns_is_refused(tmp_path, refused):
    time = np.arange(600) / 50
    path = tmp_path / "a.npz"
    np.savez_compressed(path, time=time, x=np.sin(time), y=np.cos(time), z=np.ones(600))
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("x.npy").header_offset
    content = bytearray(path.read_bytes())
    content[place + 200] ^= 255
    path.write_bytes(content)
    assert "a.npz" in refused("convert", path, "-o", tmp_path / "out", "--unit", "g")
