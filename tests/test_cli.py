"""The command line: bad input is one sentence and exit code 2, and leaves nothing half-written."""

import gzip
import json

import numpy as np
import pytest

from img2imu.cli import COMMANDS, main
from img2imu.recordings import load_windows


@pytest.fixture(scope="module")
def model(tmp_path_factory, exercise):
    from img2imu import Img2ImuClassifier
    from img2imu.convert import SpectrogramConfig
    from img2imu.models import EncoderConfig

    folder = tmp_path_factory.mktemp("models") / "model"
    few = exercise.select(np.arange(0, len(exercise), 20))
    encoder = EncoderConfig(stages=(1,), bands=1)
    Img2ImuClassifier(views=(SpectrogramConfig(),), encoder=encoder).fit(few.X, few.y).save(folder)
    return folder


def windows_file(path, n=60, **changes):
    """A small valid windows file of noise, with `changes`."""
    rng = np.random.default_rng(0)
    arrays = {
        "X": rng.normal(size=(n, 3, 100)).astype(np.float32),
        "y": np.array(["a", "b"])[np.arange(n) % 2],
        "subject": np.array(["p", "q", "r", "s", "t"])[np.arange(n) // 2 % 5],
        "sampling_rate": np.array(50.0),
    }
    np.savez(path, **{**arrays, **{name: change(arrays) for name, change in changes.items()}})
    return path


def csv_file(path, seconds=30, header="time,x,y,z,label", rows=None):
    """A walk recorded at 50 Hz."""
    time = np.arange(seconds * 50) / 50
    body = rows or [
        f"{t:.3f},{np.sin(9 * t):.4f},{np.cos(9 * t):.4f},{1 + np.sin(3 * t):.4f},walk"
        for t in time
    ]
    path.write_text("\n".join([header, *body]) + "\n")
    return path


WINDOWS_FILES = {
    "wrong shape": ({"X": lambda a: a["X"][:, :2]}, "shape"),
    "wrong type": ({"X": lambda a: a["X"].astype(str)}, "numbers"),
    "NaN": ({"X": lambda a: np.where(a["X"] > 3, np.nan, a["X"])}, "NaN"),
    "infinity": ({"X": lambda a: np.where(a["X"] > 3, np.inf, a["X"])}, "inf"),
    "dead axis": ({"X": lambda a: a["X"] * np.array([1, 1, 0])[:, None]}, "axis z is constant"),
    "one subject": ({"subject": lambda a: np.full(len(a["X"]), "p")}, "subjects"),
    "missing class": (
        {"y": lambda a: np.where(a["subject"] == "p", "rare", a["y"])},
        "rare",
    ),
    "labels of another length": ({"y": lambda a: a["y"][:-1]}, "windows"),
    "pickled labels": ({"y": lambda a: a["y"].astype(object)}, "object"),
}


@pytest.mark.parametrize("name", WINDOWS_FILES)
def test_probe_refuses_windows(tmp_path, refused, name):
    changes, message = WINDOWS_FILES[name]
    path = windows_file(tmp_path / "windows.npz", **changes)
    said = refused(
        "probe",
        path,
        "--shots",
        2,
        "--methods",
        "hand-forest",
        "--json",
        tmp_path / "out.json",
    )
    assert message in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["windows.npz"]


def test_probe_refuses_too_few_windows(tmp_path, refused):
    path = windows_file(tmp_path / "windows.npz")
    assert "are needed" in refused("probe", path, "--shots", 50)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "damaged"), (b"\x00\x01\x02" * 999, "windows.npz"), (None, "does not exist")],
)
def test_probe_refuses_files(tmp_path, refused, content, message):
    path = tmp_path / "windows.npz"
    if content is not None:
        path.write_bytes(content)
    assert message in refused("probe", path)


def test_probe_refuses_a_truncated_file(tmp_path, refused):
    path = windows_file(tmp_path / "windows.npz")
    path.write_bytes(path.read_bytes()[:-500])
    assert "windows.npz" in refused("probe", path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nfft", 64, "--noverlap", 64], "noverlap"),
        (["--nfft", 256, "--seconds", 2], "shorter than nfft"),
        (["--size", "big"], "--size"),
        (["--columns", "time,x,y,w"], "w"),
        (["--classes", "walk,fly"], "fly"),
        (["--overlap", 1], "overlap"),
        (["--seconds", 60], "window"),
        (["--format", "tape"], "tape"),
        (["--label", "nobody"], "nobody"),
    ],
)
def test_convert_refuses_settings(tmp_path, refused, options, message):
    path = csv_file(tmp_path / "walk.csv")
    said = refused(
        "convert",
        path,
        "-o",
        tmp_path / "out",
        "--label",
        "label",
        "--unit",
        "g",
        *options,
    )
    assert message in said
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("binary.csv", bytes(range(256)) * 20),
        ("header.csv", b"time,x,y,z,label\n"),
        ("cut.csv.gz", gzip.compress(b"time,x,y,z\n" + b"0.02,0,0,1\n" * 900, mtime=0)[:-20]),
        (
            "dead.csv",
            b"time,x,y,z,label\n"
            + b"".join(b"%.2f,0.1,%.2f,1.0,a\n" % (i / 50, i % 7) for i in range(900)),
        ),
    ],
)
def test_convert_refuses_files(tmp_path, refused, name, content):
    (tmp_path / name).write_bytes(content)
    said = refused("convert", tmp_path / name, "-o", tmp_path / "out", "--unit", "g")
    assert name.split(".")[0] in said
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_predict_refuses_a_broken_model(tmp_path, refused):
    path = csv_file(tmp_path / "walk.csv")
    assert "not a classifier" in refused("predict", tmp_path, path)


def test_export_refuses_a_broken_model(tmp_path, refused):
    assert "not a classifier" in refused("export", tmp_path, "--to", "onnx")


@pytest.mark.parametrize("arguments", [["fly"], ["probe"], ["probe", "x", "--shots", "many"]])
def test_wrong_usage_is_one_sentence(refused, arguments):
    assert "--help" in refused(*arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) <= 72


def test_convert_then_probe(tmp_path, capsys):
    """The way of a user with CSV files: folders of subjects to a table, splits and a classifier."""
    rng = np.random.default_rng(1)
    for subject in "abcde":
        time = np.arange(40 * 50) / 50
        for label, pace in (("walk", 2.0), ("run", 3.2)):
            swing = np.sin(2 * np.pi * pace * time) * pace / 4 + rng.normal(size=len(time)) * 0.1
            rows = [
                f"{t:.2f},{v:.4f},{0.5 * v:.4f},{1 + v:.4f},{label}"
                for t, v in zip(time, swing, strict=True)
            ]
            csv_file(tmp_path / f"{subject}_{label}.csv", rows=rows)
    out = tmp_path / "out"
    code = main([
        "convert", str(tmp_path), "-o", str(out), "--format", "tabular", "--label", "label",
        "--unit", "g", "--path-pattern", r"(?P<subject>\w)_\w+\.csv", "--images",
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == [
        "gallery.png", "images.npz", "report.json", "windows.npz",
    ]  # fmt: skip
    windows = load_windows(out / "windows.npz")
    assert windows.subjects == list("abcde")
    with np.load(out / "images.npz", allow_pickle=False) as images:
        assert images["images"].shape == (len(windows), 3, 96, 128)
    report = json.loads((out / "report.json").read_text())
    assert report["rows"]["rows"] == 5 * 2 * 40 * 50
    code = main([
        "probe", str(out / "windows.npz"), "--shots", "2", "--seeds", "1", "--methods", "img2imu",
        "hand-forest", "--json", str(tmp_path / "p.json"), "--splits", str(tmp_path / "s.json"),
        "--model", str(tmp_path / "model"),
    ])  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "macro-F1" in printed.out
    records = json.loads((tmp_path / "p.json").read_text())["results"]
    assert [(r["method"], r["shots"]) for r in records] == [("img2imu", 2), ("hand-forest", 2)]
    assert records[1]["f1_mean"] > 0.9
    assert json.loads((tmp_path / "s.json").read_text())["folds"]
    assert (tmp_path / "model" / "config.json").is_file()
