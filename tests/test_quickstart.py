"""The whole way from recordings to a report, on a small synthetic data set."""

import csv
import json

import numpy as np
import pytest

from img2imu import Img2ImuClassifier, quickstart
from img2imu.cli import main
from img2imu.convert import VIEW_PRESETS, SpectrogramConfig, WaveformConfig
from img2imu.errors import InputError
from img2imu.files import appearing
from img2imu.models import EncoderConfig
from img2imu.recordings import Piece, RowReport, SplitManifest, load_windows, open_source

MOVEMENTS = {"rest": 0.0, "slow": 1.0, "fast": 4.0}
ENCODER = EncoderConfig(stages=(1,), bands=1)


class Watch:
    """Five people who rest and shake slowly and fast, 15 s each, at 50 Hz."""

    name = "exercise"

    def __init__(self) -> None:
        self.report = RowReport()

    def pieces(self):
        time = np.arange(750) / 50
        for subject in "12345":
            for number, (label, frequency) in enumerate(MOVEMENTS.items()):
                rng = np.random.default_rng([int(subject), number])
                values = rng.normal((0, 0, 1), 0.02, (750, 3))
                values[:, 0] += (frequency > 0) * np.sin(2 * np.pi * frequency * time)
                yield Piece(
                    subject,
                    f"{subject}-{label}",
                    50.0,
                    time,
                    values.astype(np.float32),
                    np.full(750, label, dtype=object),
                )


def small_views(sampling_rate: float, samples: int, sensors: tuple[str, ...]):
    size = {"width": 24, "height": 24}
    views = (
        SpectrogramConfig(sampling_rate, 64, 48, normalize="fixed", **size),
        WaveformConfig(sampling_rate, **size),
    )
    return [views]


@pytest.fixture(scope="module")
def small():
    """Patches the data set and whatever takes long."""

    def opened(source, **options):
        return Watch() if source == "exercise" else open_source(source, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "open_source", opened)
        patch.setattr(quickstart, "CURVE", (1, 10))
        patch.setattr(quickstart, "find_spec", lambda name: None)
        patch.setitem(VIEW_PRESETS, "recommended", small_views)
        yield patch


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    lines: list[str] = []
    results = quickstart.quickstart(folder, ENCODER, seeds=1, say=lines.append)
    return folder, results, lines


def test_folder_holds_everything_and_nothing_else(run):
    folder, results, _ = run
    subject = results["held_out"]["subject"]
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(
        [
            "windows.npz", "splits.json", "results.json", "model", "model.onnx",
            "predictions.csv", "predictions.png", "report.html", f"subject-{subject}.csv",
        ]
    )  # fmt: skip
    assert [entry.name for entry in folder.parent.iterdir()] == ["out"]


def test_steps_are_numbered_and_timed(run):
    _, results, lines = run
    numbered = [line for line in lines if line[0] != " "]
    assert [line.split()[0] for line in numbered] == ["1", "2", "3", "4", "5", "6"]
    assert [step["name"] for step in results["steps"]] == [line[3:] for line in numbered[:5]]
    assert all(step["seconds"] > 0 for step in results["steps"])


def test_results_on_disk_are_those_returned(run):
    folder, results, _ = run
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    assert {record["method"] for record in results["results"]} == {"img2imu", "hand-forest"}
    best = next(r for r in results["results"] if r["method"] == "img2imu" and r["shots"] == 10)
    assert best["f1_mean"] > 0.9


def test_the_person_held_out_is_in_no_training_window(run):
    folder, results, _ = run
    windows = load_windows(folder / "windows.npz")
    splits = SplitManifest.load(folder / "splits.json")
    splits.verify(windows)
    trained = set(windows.subject[splits.draw(0, 0, 10)].tolist())
    assert results["held_out"]["subject"] not in trained
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["subject"] for row in rows} == {f"subject-{results['held_out']['subject']}"}


def test_the_saved_classifier_says_what_the_predictions_say(run):
    folder, results, _ = run
    loaded = Img2ImuClassifier.load(folder / "model")
    windows = load_windows(folder / "windows.npz")
    of_person = windows.select(windows.subject == results["held_out"]["subject"])
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own = [max(loaded.classes_, key=lambda name: float(row[f"p_{name}"])) for row in rows]
    assert own == loaded.predict(of_person.X).tolist()


def test_held_out_recording_has_a_pause_between_sets(run):
    folder, results, _ = run
    with (folder / f"subject-{results['held_out']['subject']}.csv").open(newline="") as file:
        time = np.array([float(row["time"]) for row in csv.DictReader(file)])
    steps = np.diff(time)
    assert steps.min() == pytest.approx(0.02)
    assert sorted(steps[steps > 0.05].round(2)) == pytest.approx([10.02] * 2)
    assert len(time) == 3 * 750


def test_report_owns_up_to_random_weights(run):
    folder, _, _ = run
    assert "has never seen an image" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_failing_step_leaves_nothing(small, tmp_path):
    def fails(*args, **kwargs):
        raise InputError("no folds today")

    with small.context() as patch:
        patch.setattr(quickstart, "evaluate", fails)
        with pytest.raises(InputError, match="no folds today"):
            quickstart.quickstart(tmp_path / "out", ENCODER, seeds=1, say=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_entries_appear_beside_what_is_there(tmp_path):
    (tmp_path / "out" / "model").mkdir(parents=True)
    (tmp_path / "out" / "model" / "old").touch()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with appearing(tmp_path / "out") as out:
        (out / "model").mkdir()
        (out / "model" / "new").touch()
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["model", "notes.txt"]
    assert [entry.name for entry in (tmp_path / "out" / "model").iterdir()] == ["new"]


def test_weights_are_described(tmp_path):
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"abc")
    given = quickstart.describe_weights(EncoderConfig(checkpoint=str(file)))
    assert given["title"] == "w.safetensors"
    # SHA-256 of "abc" (FIPS 180-2, appendix B.1).
    assert given["sha256"].startswith("ba7816bf8f01cfea")
    assert quickstart.describe_weights(EncoderConfig())["kind"] == "random"
    assert quickstart.describe_weights(EncoderConfig(pretrained=True))["kind"] == "name"


def test_command_refuses_weights_that_do_not_exist(tmp_path, capsys):
    missing = str(tmp_path / "none.safetensors")
    assert main(["quickstart", "-o", str(tmp_path / "out"), "--weights", missing]) == 2
    captured = capsys.readouterr()
    assert "no weights file" in captured.err
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
