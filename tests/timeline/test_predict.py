"""Labels over time against the classifier applied by hand, window by window."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

from img2imu import Img2ImuClassifier
from img2imu.cli import main
from img2imu.convert import SpectrogramConfig, WaveformConfig
from img2imu.errors import InputError
from img2imu.models import EncoderConfig
from img2imu.recordings import open_source, windows
from img2imu.report import draw_timeline, save_png
from img2imu.timeline import Timeline, predict_recordings
from img2imu.timeline.predict import DRAWN
from img2imu.timeline.smoothing import Chain, evidence, learn_dwell, posterior
from img2imu.timeline.tracks import UNKNOWN, Envelope, RunningTime, Track

RATE, SAMPLES = 20.0, 40
VIEWS = (
    WaveformConfig(RATE, width=24, height=24),
    SpectrogramConfig(RATE, nfft=16, noverlap=12, width=24, height=24),
)


def movement(label: str, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Rest, or shaking at 3 Hz; (samples, 3) in g with gravity along z."""
    values = rng.normal((0, 0, 1), 0.02, (samples, 3))
    if label == "shake":
        values[:, 0] += np.sin(2 * np.pi * 3 * np.arange(samples) / RATE)
    return values


@pytest.fixture(scope="module")
def classifier() -> Img2ImuClassifier:
    rng = np.random.default_rng(0)
    labels = ["rest", "shake"] * 8
    X = np.array([movement(label, SAMPLES, rng).T for label in labels], order="C")
    encoder = EncoderConfig(stages=(1,), bands=1)
    return Img2ImuClassifier(RATE, VIEWS, encoder).fit(X.astype(np.float32), labels)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """30 s, a gap of 10 s, and 11 s more; the label changes every 6 s, to one not learnt last."""
    rng = np.random.default_rng(1)
    labels = np.repeat(["rest", "shake", "rest", "shake", "rest", "shake", "jump"], 6 * 20)[:820]
    values = np.concatenate([movement(label, 20, rng) for label in labels[::20]])
    time = np.arange(820) / RATE
    time[600:] += 10
    path = tmp_path_factory.mktemp("recording") / "walk.csv"
    rows = [
        f"{t:.2f},{x:.6f},{y:.6f},{z:.6f},{label}"
        for t, (x, y, z), label in zip(time, values, labels, strict=True)
    ]
    path.write_text("\n".join(["time,x,y,z,label", *rows]) + "\n")
    return path, values.round(6).astype(np.float32)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def labelled(
    classifier, source, folder: Path, overlap: float = 0.5, smooth: bool = True
) -> Timeline:
    """Labels and picture in a folder, as the command writes them."""
    folder.mkdir(exist_ok=True)
    path = folder / "predictions.csv"
    timeline = predict_recordings(classifier, source, path, overlap, smooth=smooth)
    save_png(folder / "predictions.png", draw_timeline(timeline))
    return timeline


def test_csv_is_the_classifier_window_by_window(classifier, recording, tmp_path):
    path, values = recording
    labelled(classifier, open_source(path, unit="g"), tmp_path / "out", smooth=False)
    rows = read(tmp_path / "out" / "predictions.csv")
    # 2 s windows every second: 29 in the first 30 s, 10 in the 11 s after the gap.
    starts = [*range(29), *range(40, 50)]
    assert [float(row["start"]) for row in rows] == starts
    assert [float(row["end"]) for row in rows] == [start + 2 for start in starts]
    for row, start in zip(rows, starts, strict=True):
        first = start * 20 - (200 if start >= 40 else 0)
        window = values[first : first + SAMPLES].T[None]
        expected = classifier.predict_proba(window)[0]
        assert row["label"] == classifier.predict(window)[0]
        got = [float(row["p_rest"]), float(row["p_shake"])]
        np.testing.assert_allclose(got, expected, atol=1e-3)
        assert float(row["confidence"]) == max(got)
    assert {row["recording"] for row in rows} == {"walk.csv"}


@pytest.mark.parametrize("rates", [None, [[-0.2, 0.2], [0.1, -0.1]]])
def test_smoothed_labels_follow_from_the_windows_own(classifier, recording, tmp_path, rates):
    """Stored rates or learnt ones go in; each window's own probabilities stay as they are."""
    path, _ = recording
    classifier.transitions_ = None if rates is None else np.array(rates)
    classifier.save(tmp_path / "model")
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    classifier.transitions_ = None
    for name, smooth in (("own", False), ("smoothed", True)):
        labelled(loaded, open_source(path, unit="g"), tmp_path / name, smooth=smooth)
    own, rows = (read(tmp_path / name / "predictions.csv") for name in ("own", "smoothed"))
    told = np.array([[float(row["p_rest"]), float(row["p_shake"])] for row in rows])
    assert [row["p_rest"] for row in own] == [row["p_rest"] for row in rows]
    given = evidence(told, [float(row["start"]) for row in rows], 1.0)
    expected = posterior(given, learn_dwell(given) if rates is None else Chain(rates))
    assert [row["label"] for row in rows] == [["rest", "shake"][k] for k in expected.argmax(1)]
    confidence = [float(row["confidence"]) for row in rows]
    np.testing.assert_allclose(confidence, expected.max(1), atol=2e-3)


def test_small_blocks_give_the_same_file(classifier, recording, tmp_path, monkeypatch):
    path, _ = recording
    labelled(classifier, open_source(path, unit="g"), tmp_path / "whole")
    monkeypatch.setattr(windows, "BLOCK", 64)
    labelled(classifier, open_source(path, unit="g"), tmp_path / "blocks")
    whole, blocks = (read(tmp_path / name / "predictions.csv") for name in ("whole", "blocks"))
    for name in ("recording", "subject", "start", "end", "label"):
        assert [row[name] for row in whole] == [row[name] for row in blocks]
    for name in ("p_rest", "p_shake"):
        np.testing.assert_allclose(
            [float(row[name]) for row in whole], [float(row[name]) for row in blocks], atol=2e-4
        )


@pytest.mark.parametrize(
    ("first", "begins"),
    [
        ("2024-05-01 23:59:58.5", "2024-05-01T23:59:58.500"),
        ("2024-05-01T23:59:58.5", "2024-05-01T23:59:58.500"),
        (1714607998.5, "2024-05-01T23:59:58.500"),
        (1714607998500, "2024-05-01T23:59:58.500"),
        (12.5, ""),
    ],
)
def test_dates_are_those_of_the_recording(classifier, tmp_path, first, begins):
    """As text, and in seconds and milliseconds since 1970; a clock of its own has none."""
    values = movement("shake", 200, np.random.default_rng(3))
    steps = np.arange(200) / RATE
    if isinstance(first, str):
        stamps = np.datetime64(first.replace(" ", "T"), "ms") + (steps * 1000).astype(int)
    else:
        stamps = first + steps * (1000 if isinstance(first, int) else 1)
    rows = [f"{t},{x:.4f},{y:.4f},{z:.4f}" for t, (x, y, z) in zip(stamps, values, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["time,x,y,z", *rows]) + "\n")
    labelled(classifier, open_source(tmp_path / "a.csv", unit="g"), tmp_path, 0.0)
    found = read(tmp_path / "predictions.csv")
    assert [float(row["start"]) for row in found] == [0, 2, 4, 6, 8]
    if begins:
        wanted = np.datetime64(begins) + np.arange(5) * np.timedelta64(2, "s")
        assert [row["time"] for row in found] == [str(date) for date in wanted]
    else:
        assert {row["time"] for row in found} == {""}


def test_command_labels_the_recordings_of_some(classifier, recording, tmp_path, refused):
    path, _ = recording
    classifier.save(tmp_path / "model")
    (tmp_path / "people").mkdir()
    for name in ("ann", "ben", "cem"):
        (tmp_path / "people" / f"{name}.csv").write_bytes(path.read_bytes())
    common = ["predict", str(tmp_path / "model"), str(tmp_path / "people"), "--unit", "g"]
    common += ["-o", str(tmp_path / "out"), "--format", "tabular"]
    assert main([*common, "--exclude-subjects", "ben"]) == 0
    rows = read(tmp_path / "out" / "predictions.csv")
    assert {row["subject"] for row in rows} == {"ann", "cem"}
    assert "no subject 'dan'" in refused(*common, "--subjects", "dan")


def test_summary_counts_hours_and_scores(classifier, recording, tmp_path):
    path, _ = recording
    timeline = labelled(classifier, open_source(path, unit="g"), tmp_path)
    summary = timeline.summary()
    assert summary["windows"] == 39
    assert summary["recordings"] == 1
    # Every second of the recording that lies in a window has exactly one label.
    assert sum(summary["hours"].values()) == pytest.approx((30 + 11) / 3600, abs=1e-5)
    (track,) = timeline.tracks
    known = track.truth != UNKNOWN
    truth, code = track.truth[known], track.code[known]
    assert summary["scores"]["macro_f1"] == round(f1_score(truth, code, average="macro"), 4)
    assert summary["scores"]["accuracy"] == round(accuracy_score(truth, code), 4)
    assert summary["scores"]["accuracy"] > 0.8
    # The last 5 s are of a class never learnt; half of a window is not more than half.
    assert summary["scores"]["unknown_labels"] == {"jump": 4}
    assert summary["scores"]["windows"] + 4 <= 39


def test_without_labels_there_are_no_scores(classifier, recording, tmp_path):
    _, values = recording
    plain = tmp_path / "plain.csv"
    np.savetxt(plain, values, delimiter=",", header="x,y,z", comments="")
    source = open_source(plain, columns=["x", "y", "z"], rate=RATE, unit="g")
    assert labelled(classifier, source, tmp_path / "out").summary()["scores"] is None


def test_another_rate_is_resampled_to_the_classifiers(classifier, tmp_path):
    rng = np.random.default_rng(2)
    time = np.arange(0, 20, 1 / 50)
    values = rng.normal((0, 0, 1), 0.02, (len(time), 3))
    values[:, 0] += np.sin(2 * np.pi * 3 * time)
    table = np.column_stack([time, values])
    np.savetxt(tmp_path / "fast.csv", table, delimiter=",", header="time,x,y,z", comments="")
    labelled(classifier, open_source(tmp_path / "fast.csv", unit="g"), tmp_path, 0.0)
    rows = read(tmp_path / "predictions.csv")
    assert [float(row["start"]) for row in rows] == list(range(0, len(rows) * 2, 2))
    assert len(rows) in (9, 10)
    assert {row["label"] for row in rows} == {"shake"}


def test_the_picture_shows_the_predicted_colours(classifier, recording, tmp_path):
    from matplotlib.colors import to_rgb

    from img2imu.report.figures import class_colors

    path, _ = recording
    labelled(classifier, open_source(path, unit="g"), tmp_path)
    image = np.asarray(Image.open(tmp_path / "predictions.png").convert("RGB"), int)
    for color in class_colors(2):
        wanted = np.round(np.array(to_rgb(color)) * 255)
        same = (np.abs(image - wanted) <= 1).all(axis=-1)
        # Beyond the legend's patch the colour fills bands.
        assert same.sum() > 2000


def test_spans_meet_in_the_middle_of_the_overlap():
    zeros = np.zeros(4, np.intp)
    start = np.array([0.0, 1.0, 2.0, 9.0])
    none = np.full(4, np.nan)
    track = Track("s", "r", 2.0, start, zeros, zeros.astype(np.float32), zeros, None, start, none)
    begin, end = track.spans()
    assert begin.tolist() == [0, 1.5, 2.5, 9]
    assert end.tolist() == [1.5, 2.5, 4, 11]


def test_envelope_is_the_minimum_and_maximum_of_each_step(monkeypatch):
    monkeypatch.setattr(Envelope, "STEPS", 16)
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(3, 200)).astype(np.float32)
    X = np.lib.stride_tricks.sliding_window_view(signal, 40, axis=1)[:, ::20].transpose(1, 0, 2)
    start = np.arange(len(X)) * 20 / RATE
    envelope = Envelope(RATE)
    for part in range(len(X)):
        envelope.add(start[part : part + 1], X[part : part + 1])
    # 200 samples do not fit 16 steps of 8, but 16 of 16.
    assert envelope.seconds == 16 / RATE
    for step in range(16):
        part = signal[:, step * 16 : step * 16 + 16]
        if part.shape[1]:
            np.testing.assert_array_equal(envelope.low[:, step], part.min(1))
            np.testing.assert_array_equal(envelope.high[:, step], part.max(1))
        else:
            assert (envelope.low[:, step] > envelope.high[:, step]).all()


def test_too_short_a_recording_leaves_no_trace(classifier, tmp_path):
    np.savetxt(tmp_path / "a.csv", np.ones((30, 3)), delimiter=",", header="x,y,z", comments="")
    source = open_source(tmp_path / "a.csv", columns=["x", "y", "z"], rate=RATE, unit="g")
    with pytest.raises(InputError, match="window of 2 s"):
        predict_recordings(classifier, source, tmp_path / "labels.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_a_failure_on_the_way_leaves_the_old_files(classifier, recording, tmp_path, monkeypatch):
    path, _ = recording
    (tmp_path / "predictions.csv").write_text("old")
    batches = iter([1])

    def breaks(X):
        next(batches)
        return np.zeros((len(X), 2), np.float32), np.zeros(len(X), np.float32)

    monkeypatch.setattr(windows, "BLOCK", 64)
    monkeypatch.setattr(classifier, "judge", breaks)
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RuntimeError):
        labelled(classifier, open_source(path, unit="g"), tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"predictions.csv", "cache"}
    assert (tmp_path / "predictions.csv").read_text() == "old"
    monkeypatch.undo()


def test_after_a_kill_only_the_rest_is_computed(classifier, recording, tmp_path, monkeypatch):
    path, _ = recording
    source = open_source(path, unit="g")
    monkeypatch.setattr(windows, "BLOCK", 64)
    labelled(classifier, source, tmp_path / "whole")
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    asked: list[int] = []
    own = classifier.judge

    def counted(X):
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(len(X))
        return own(X)

    monkeypatch.setattr(classifier, "judge", counted)
    with pytest.raises(KeyboardInterrupt):
        labelled(classifier, source, tmp_path / "out")
    done = sum(asked)
    asked.clear()
    monkeypatch.setattr(classifier, "judge", lambda X: asked.append(len(X)) or own(X))
    labelled(classifier, source, tmp_path / "out")
    assert done + sum(asked) == 39
    whole, out = ((tmp_path / name / "predictions.csv").read_text() for name in ("whole", "out"))
    assert out == whole
    asked.clear()
    labelled(classifier, source, tmp_path / "again")
    assert not asked


def test_only_the_first_recordings_keep_their_traces(classifier, recording, tmp_path):
    path, _ = recording
    folder = tmp_path / "several"
    folder.mkdir()
    for number in range(DRAWN + 2):
        (folder / f"{number}.csv").write_bytes(path.read_bytes())
    timeline = labelled(classifier, open_source(folder, unit="g"), tmp_path / "out")
    kept = [track.envelope is not None for track in timeline.tracks]
    assert kept == [True] * DRAWN + [False] * 2


def test_command_writes_and_prints(classifier, recording, tmp_path, capsys):
    path, _ = recording
    classifier.save(tmp_path / "model")
    out = ["-o", str(tmp_path / "out"), "--json", str(tmp_path / "summary.json")]
    assert main(["predict", str(tmp_path / "model"), str(path), "--unit", "g", *out]) == 0
    printed = capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["windows"] == 39
    assert f"macro-F1 {summary['scores']['macro_f1']:.3f}" in printed
    assert "jump" in printed
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {
        "bouts.csv",
        "predictions.csv",
        "predictions.png",
        "report.html",
    }


@pytest.mark.parametrize(
    ("model", "source", "options", "message"),
    [
        ("missing", "walk.csv", [], "not a classifier folder"),
        ("model", "missing.csv", [], "neither a file"),
        ("model", "walk.csv", ["--overlap", "1"], "overlap"),
    ],
)
def test_command_refuses_in_one_line(
    classifier, recording, tmp_path, capsys, model, source, options, message
):
    path, _ = recording
    classifier.save(tmp_path / "model")
    given = str(path) if source == "walk.csv" else str(tmp_path / source)
    out = ["-o", str(tmp_path / "out")]
    assert main(["predict", str(tmp_path / model), given, *options, *out]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_running_time_survives_clocks_that_jump():
    clock = RunningTime(pause=5.0)
    first = clock.of(np.array([100.0, 102.5, 105.0]))
    np.testing.assert_allclose(first, [0, 2.5, 5])
    # Back by a day, then on; then three days ahead; then a gap that is bridged as it is.
    later = clock.of(np.array([-86_000.0, -85_997.5, 200_000.0, 200_300.0]))
    np.testing.assert_allclose(later, [10, 12.5, 17.5, 317.5])


def test_a_recording_whose_clock_jumps_is_labelled_and_drawn(tmp_path, classifier):
    rows = []
    for begin in (1000.0, 50.0, 9e5):
        for i in range(600):
            t = begin + i / 50
            rows.append(f"{t:.2f},{np.sin(9 * t):.4f},{np.cos(7 * t):.4f},1.0")
    path = tmp_path / "jumps.csv"
    path.write_text("time,x,y,z\n" + "\n".join(rows) + "\n")
    timeline = labelled(classifier, open_source(path, unit="g"), tmp_path / "out")
    with (tmp_path / "out" / "predictions.csv").open() as file:
        starts = [float(row["start"]) for row in csv.DictReader(file)]
    assert min(starts) < 0 < max(starts)
    assert (np.diff(timeline.tracks[0].start) > 0).all()
    assert (tmp_path / "out" / "predictions.png").is_file()
