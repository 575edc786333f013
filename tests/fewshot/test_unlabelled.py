"""Unlabelled windows: which of them are read, who may learn from them, and what for."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from img2imu.cli.probe import format_outcome
from img2imu.convert import SpectrogramConfig
from img2imu.errors import InputError
from img2imu.fewshot import ProbeConfig, evaluate, evaluation, fit_classifier
from img2imu.fewshot.methods import FixedFeatures, learn_fold
from img2imu.fewshot.protocol import Task
from img2imu.models import EncoderConfig
from img2imu.recordings import SplitManifest, save_windows, with_unlabelled

CONFIG = ProbeConfig(
    encoder=EncoderConfig(stages=(1,), bands=2),
    views=(SpectrogramConfig(width=64, height=48),),
    shots=(3,),
    seeds=1,
)


@pytest.fixture(scope="module")
def few(exercise):
    return exercise.select(slice(None, None, 3))


@pytest.fixture(scope="module")
def more(exercise):
    """Other windows of two of the subjects, and of somebody else."""
    some = exercise.select(slice(1, None, 3))
    some = some.select(np.isin(some.subject, exercise.subjects[:3]))
    unknown = some.subject == exercise.subjects[2]
    return replace(some, subject=np.where(unknown, "else", some.subject))


@pytest.fixture(scope="module")
def task(few, more):
    manifest = SplitManifest.create("w", few, (3,), range(1))
    return Task.from_manifest(with_unlabelled(few, more), manifest)


def test_nothing_is_learnt_from_who_is_tested(few, more, task):
    subject = np.concatenate([few.subject, more.subject])
    assert len(task.labels) == len(few)
    for fold, split in enumerate(task.manifest.folds):
        free = ~np.isin(subject, [*split.validation, *split.test])
        assert sorted(task.known[fold]) == np.flatnonzero(free).tolist()
        assert "else" in subject[task.known[fold]]


def test_learners_see_them_without_labels(task, few, more):
    """Each window's one feature is its number."""
    seen = []

    class Learner:
        settings = MappingProxyType({})

        def fit(self, problems, background):
            seen.append(background.unlabelled[:, 0].astype(int).tolist())
            return [lambda features: np.ones((len(features), len(task.classes)))] * len(problems)

    numbers = np.arange(len(few) + len(more), dtype=np.float32)[:, None]
    learn_fold(task, 0, FixedFeatures({}, numbers), [Learner()], 0)
    [rows] = seen
    assert rows == sorted(task.known[0])
    assert max(rows) >= len(few)


def test_an_evaluation_uses_them(few, more, tmp_path):
    methods = ["img2imu", "hand-forest"]
    alone = evaluate(few, CONFIG, methods, cache=tmp_path, jobs=1)["results"]
    windows = with_unlabelled(few, more)
    outcome = evaluate(windows, CONFIG, methods, cache=tmp_path, jobs=1)
    record, forest = outcome["results"]
    assert record["f1_each"] != alone[0]["f1_each"]
    assert np.sum(record["confusion"]) == len(few)
    # A forest has no use for them.
    assert forest == alone[1]
    told = outcome["settings"]["windows"]
    assert (told["count"], told["unlabelled"]) == (len(few), len(more))
    first = format_outcome(outcome).splitlines()[0]
    assert first.startswith(f"{len(few)} windows and {len(more)} unlabelled ones, 10 subjects")
    # It is all the same where they stand.
    mixed = windows.select(np.roll(np.arange(len(windows)), len(more)))
    assert evaluate(mixed, CONFIG, ["hand-forest"], jobs=1)["results"] == [forest]
    assert fit_classifier(windows, CONFIG, [record]).trained_on_["windows"] == len(few)


def test_so_many_are_read_as_are_of_use(few, more, monkeypatch):
    monkeypatch.setattr(evaluation, "UNLABELLED_WINDOWS", 40)
    outcome = evaluate(with_unlabelled(few, more), CONFIG, ["hand-forest"], jobs=1)
    assert outcome["settings"]["windows"]["unlabelled"] == 40


def test_other_windows_are_refused(few, more, tmp_path, refused):
    shorter = replace(more, X=more.X[..., :100])
    with pytest.raises(InputError, match="100 samples at 50 Hz and labelled of 250"):
        with_unlabelled(few, shorter)
    for name, windows in (("few", few), ("more", replace(more, sampling_rate=20.0))):
        save_windows(tmp_path / f"{name}.npz", windows)
    said = refused("probe", tmp_path / "few.npz", "--unlabelled", tmp_path / "more.npz")
    assert "250 samples at 20 Hz" in said
    assert "the same windows" in refused(
        "probe", tmp_path / "few.npz", "--unlabelled", tmp_path / "few.npz"
    )
