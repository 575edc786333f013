"""The evaluation beside the probe, the classifier that comes out of it, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.metrics import f1_score

from img2imu import Img2ImuClassifier
from img2imu.cli import main
from img2imu.convert import recommended_views
from img2imu.errors import InputError
from img2imu.export import end_to_end, export_onnx
from img2imu.fewshot import FinetuneConfig, ProbeConfig, evaluate, fit_classifier
from img2imu.fewshot import finetuning as module
from img2imu.fewshot.finetuning import JUDGES, FineTuning, SearchedTuning
from img2imu.fewshot.protocol import Answer, Outcome, Task
from img2imu.fewshot.training import finetune
from img2imu.models import EncoderConfig
from img2imu.progress import silent
from img2imu.recordings import SplitManifest, few_shot
from img2imu.recordings.windows_file import save_windows

from .signals import movements

CONFIG = ProbeConfig(encoder=EncoderConfig("conv1d"), shots=(2, None), seeds=1)
TRAINING = FinetuneConfig(epochs=4, steps=4, lr=1e-3, stages_trained=None)
METHODS = ("img2imu", "finetune")


def tuned(windows, cache, config=CONFIG, training=TRAINING):
    return evaluate(windows, config, ["finetune"], training=training, cache=cache)


def cells(cache, pattern="*.json"):
    return sorted((cache / "finetune").glob(pattern))


@pytest.fixture(scope="module")
def windows():
    return movements(noise=1.0)


@pytest.fixture(scope="module")
def outcome(windows, tmp_path_factory):
    cache = tmp_path_factory.mktemp("runs")
    return evaluate(windows, CONFIG, METHODS, training=TRAINING, cache=cache)


def test_validation_subjects_choose_the_learning_rate(windows):
    """Each fold has a rate of its own, whatever the test subjects say."""
    task = Task.from_manifest(windows, SplitManifest.create("w", windows, (2,), range(2)))

    class Known:
        def __init__(self, lr, good):
            self.training, self.good = replace(TRAINING, lr=lr), good

        def run(self, task, progress, jobs):
            answers = [
                Answer(draw, 0.9 if draw.fold in self.good else 0.1, np.full((3, 3), draw.fold))
                for draw in task.manifest.draws
            ]
            return Outcome(answers, {})

    method = SearchedTuning("searched", [Known(1e-4, {0, 1}), Known(1e-3, {2, 3, 4})])
    outcome = method.run(task, silent)
    assert [setting["lr"] for setting in outcome.chosen[2]] == [1e-4, 1e-4, 1e-3, 1e-3, 1e-3]
    assert [answer.validation_f1 for answer in outcome.answers] == [0.9] * 10
    assert [answer.draw for answer in outcome.answers] == list(task.manifest.draws)


def test_a_training_starts_from_the_estimator(windows, tmp_path, monkeypatch):
    """Where no epoch helps, the score is that of the estimator itself by scikit-learn."""
    monkeypatch.setattr("img2imu.fewshot.training.fast_precision", lambda _: torch.float32)
    harmful = replace(TRAINING, epochs=1, lr=10.0)
    outcome = tuned(windows, tmp_path, replace(CONFIG, shots=(2,)), harmful)
    assert [chosen["epoch"] for chosen in outcome["results"][0]["chosen"]] == [0] * 5
    manifest = SplitManifest.create("windows", windows, (2,), range(1))
    scores = []
    for fold in manifest.folds:
        train, test = (fold.windows(part, windows.subject) for part in ("train", "test"))
        known = np.isin(train, manifest.draw(fold.index, 0, 2))
        classifier = Img2ImuClassifier(50.0, encoder=EncoderConfig("conv1d"))
        classifier.fit(windows.X[train], np.where(known, windows.y[train], ""))
        answers = classifier.predict(windows.X[test])
        scores.append(f1_score(windows.y[test], answers, average="macro"))
    assert outcome["results"][0]["f1_each"] == pytest.approx(scores, abs=1e-4)


def test_records_have_the_probes_form(windows, outcome):
    rows = [(r["method"], r["shots"]) for r in outcome["results"]]
    assert rows == [("img2imu", 2), ("img2imu", None), ("finetune", 2), ("finetune", None)]
    for record in outcome["results"]:
        assert set(record) == {
            *("method", "probe", "shots", "f1_mean", "f1_std", "f1_each"),
            *("validation_f1", "chosen", "confusion"),
        }
        assert np.sum(record["confusion"]) == len(windows)
        assert len(record["f1_each"]) == len(record["chosen"]) == 5
    probe, tuned = outcome["results"][1], outcome["results"][3]
    # A network that learns all labels hears what the probe on random features cannot.
    assert tuned["f1_mean"] > probe["f1_mean"] + 0.1
    json.dumps(outcome)


def test_test_subjects_change_no_choice(windows, outcome, tmp_path):
    """With fold 0's test windows replaced by noise, its epochs and validation scores stay."""
    held = windows.subject == outcome["settings"]["splits"]["folds"][0]["test"][0]
    spoilt = windows.select(np.arange(len(windows)))
    spoilt.X[held] = np.random.default_rng(0).normal(size=spoilt.X[held].shape)
    seen = {}
    for name, each in (("as they are", windows), ("spoilt", spoilt)):
        tuned(each, tmp_path / name, replace(CONFIG, shots=(2,)))
        kept = [json.loads(path.read_text()) for path in cells(tmp_path / name)]
        seen[name] = {tuple(cell["validation_f1"] + cell["loss"]) for cell in kept}
    # In every other fold that subject trains or validates.
    assert len(seen["as they are"] & seen["spoilt"]) == 1


def test_finished_draws_are_not_learnt_again(windows, tmp_path, monkeypatch):
    config, training = replace(CONFIG, shots=(2,)), replace(TRAINING, epochs=2)
    trained = []

    def counted(*arguments, **options):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(1)
        return finetune(*arguments, **options)

    monkeypatch.setattr(module, "finetune", counted)
    with pytest.raises(KeyboardInterrupt):
        tuned(windows, tmp_path, config, training)
    assert len(cells(tmp_path)) == 3
    monkeypatch.setattr(module, "finetune", lambda *a, **o: trained.append(1) or finetune(*a, **o))
    resumed = tuned(windows, tmp_path, config, training)
    assert len(trained) == 5
    assert tuned(windows, tmp_path, config, training) == resumed and len(trained) == 5
    assert {path.suffix for path in cells(tmp_path, "*")} == {".json"}
    # A damaged result is learnt again, as if it were not there.
    cells(tmp_path)[0].write_text("{")
    assert tuned(windows, tmp_path, config, training) == resumed and len(trained) == 6
    # More draws keep those that are there; another rate, and other code, keep none.
    tuned(windows, tmp_path, replace(config, seeds=2), training)
    assert len(trained) == 11
    tuned(windows, tmp_path, config, replace(training, lr=2e-3))
    assert len(trained) == 16
    monkeypatch.setattr(module, "code_hash", lambda *modules: "other code")
    assert tuned(windows, tmp_path, config, training) == resumed and len(trained) == 21


def test_judges_are_some_of_each_class(windows):
    many = movements(subjects=3, each=30)
    method = FineTuning("finetune", many, CONFIG, TRAINING, "cpu", Path("unused"))
    rows = np.flatnonzero(many.subject != "s0")
    judges = method.judges(rows)
    assert {name: int((many.y[judges] == name).sum()) for name in many.classes} == dict.fromkeys(
        many.classes, JUDGES
    )
    assert set(judges) <= set(rows)
    few = np.flatnonzero(many.y == "slow")[:7]
    np.testing.assert_array_equal(method.judges(few), few)


@pytest.mark.parametrize("encoder", ["conv1d", "resnet18"])
def test_saved_classifier_predicts_and_exports(windows, tmp_path, encoder):
    windows = windows.select(slice(None, None, 3))
    config, training = CONFIG, replace(TRAINING, epochs=1, steps=2)
    if encoder == "resnet18":
        config = replace(config, preset="paper", encoder=EncoderConfig(stages=(1,), bands=2))
        training = replace(training, lr=1e-4)
    scores = {"shots": None, "f1_mean": 0.5, "f1_std": 0.1}
    results = [{"method": name, "probe": "logistic", **scores} for name in METHODS]
    fitted = fit_classifier(windows, config, results, training=training, cache=tmp_path / "runs")
    fitted.save(tmp_path / "model")
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    assert loaded.scores_ == {"macro_f1_all_shots": {"mean": 0.5, "std": 0.1}}
    tuning = loaded.trained_on_["finetuned"]
    assert tuning["validation_subjects"] == 1
    assert loaded.trained_on_["windows"] == 24
    assert not cells(tmp_path / "runs", "*")
    # The score that was kept is the score of what was saved.
    held = (
        SplitManifest.create("w", windows, (1,), (0,))
        .folds[0]
        .windows("validation", windows.subject)
    )
    scored = f1_score(windows.y[held], loaded.predict(windows.X[held]), average="macro")
    assert scored == pytest.approx(max(tuning["validation_f1"]), abs=0.06)
    graph = end_to_end(loaded.network_, loaded.check_windows_)
    export_onnx(graph, tmp_path / "m.onnx", loaded.metadata())
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    [logits] = session.run(["logits"], {"window": windows.X[:8]})
    np.testing.assert_allclose(logits, loaded.decision_function(windows.X[:8]), atol=1e-3)


def test_probe_is_kept_and_said_so(windows, tmp_path, capsys):
    path = tmp_path / "windows.npz"
    save_windows(path, windows)
    arguments = ["--encoder", "conv1d", "--lr", "10", "--epochs", "1", "--shots", "2"]
    assert main(["finetune", str(path), *arguments, "--model", str(tmp_path / "model")]) == 0
    printed = capsys.readouterr().out
    assert "epochs kept 0, 0, 0, 0, 0" in printed
    assert "the probe was kept" in printed
    held = SplitManifest.create("w", windows, (1,), (0,)).folds[0].validation
    rows = few_shot(windows.y, ~np.isin(windows.subject, held), None)
    probe = Img2ImuClassifier(50.0, encoder=EncoderConfig("conv1d"))
    probe.fit(windows.X[rows], windows.y[rows])
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    np.testing.assert_allclose(
        loaded.decision_function(windows.X), probe.decision_function(windows.X), atol=1e-5
    )


def test_real_exercises_from_the_shipped_encoder(exercise, tmp_path, capsys):
    """The command as a user types it, on a few real windows, with the real drawing."""
    rows = [few_shot(exercise.y, exercise.subject == subject, 2) for subject in "123"]
    few = exercise.select(np.concatenate(rows))
    path = tmp_path / "exercise.npz"
    save_windows(path, few)
    out = tmp_path / "out.json"
    arguments = ["--shots", "1", "--folds", "3", "--epochs", "1", "--batch-size", "4"]
    assert main(["finetune", str(path), *arguments, "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert [record["method"] for record in written["results"]] == ["img2imu", "finetune"]
    assert written["settings"]["probe"]["encoder"]["name"] == "resnet18.img2imu_in1k"
    assert written["settings"]["finetune"]["batch_size"] == 4
    assert len(written["settings"]["drawings"][0]) == len(recommended_views(50.0, 250))
    assert "1 shots" in capsys.readouterr().out
    assert written["results"][0]["f1_mean"] > 2 / len(few.classes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shots", "500"], "500 are needed"),
        (["--stages-trained", "7"], "7 stages cannot be trained"),
        (["--lr", "0"], "lr must be positive"),
        (["--lr", "nan"], "lr must be positive"),
        (["--epochs", "100"], "patience (5) must be longer"),
        (["--folds", "2"], "at least 3 folds"),
        (["--policy", "moco-default"], "not for pictures"),
        (["--policy", "strongest"], "unknown policy"),
        (["--json", "nowhere/out.json"], "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(windows, tmp_path, capsys, arguments, message):
    path = tmp_path / "windows.npz"
    save_windows(path, windows)
    common = ["finetune", str(path), "--encoder", "conv1d", "--epochs", "1"]
    assert main([*common, *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert [each.name for each in Path(tmp_path).iterdir()] == ["windows.npz"]


def test_dead_axis_and_single_subject_are_refused(windows):
    dead = windows.select(np.arange(len(windows)))
    dead.X[:, 1] = 0
    with pytest.raises(InputError, match="axis y is constant"):
        evaluate(dead, CONFIG, METHODS)
    with pytest.raises(InputError, match="subjects"):
        evaluate(windows.select(windows.subject == "s0"), CONFIG, METHODS)
