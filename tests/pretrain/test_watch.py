"""Neighbours that are watched: whose they are, and that watching changes nothing else."""

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from img2imu.convert import to_images
from img2imu.convert.presets import recommended_views, token_views
from img2imu.models import TokenEncoder
from img2imu.models.config import IMAGENET_MEAN, IMAGENET_STD
from img2imu.pretrain import (
    PretrainConfig,
    World,
    loop,
    pretrain,
    recipe_of_windows,
    source_of_windows,
    watch,
)
from img2imu.recordings import UNLABELLED

from .sources import recorded

ALONE = World(torch.device("cpu"))
SENSORS = ("accel", "gyro")


def settings(method: str, encoder: str | None = None, **changes) -> PretrainConfig:
    config = recipe_of_windows(method, encoder)
    common = {"batch_size": 16, "epochs": 2}
    if not config.reads_windows:
        common["stages"] = (0 if method == "aim" else 1,)
    return replace(config, **common | changes)


def people(sensors=SENSORS, subjects=8, **form):
    """Windows of which the class is how often a recording swings."""
    windows = recorded(sensors, subjects, recordings=2, **form)
    return replace(windows, y=np.array([f"c{r[1:]}" for r in windows.recording]))


def by_hand(config, encoder, windows):
    """What the encoder makes of windows, without anything of the module under test."""
    encoder.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        X = torch.from_numpy(windows.X)
        if config.reads_windows:
            return encoder(X).float().numpy()
        rate, samples = windows.sampling_rate, windows.X.shape[2]
        if config.method_name == "aim":
            views = token_views(rate, samples, windows.sensors)
            pictures = torch.from_numpy(to_images(windows.X, views, sensors=windows.sensors))
            return TokenEncoder(encoder, (0,))(pictures).float().numpy()
        each = []
        several = config.method_name == "focal"
        for number, name in enumerate(windows.sensors if several else windows.sensors[:1]):
            triad = windows.X[:, 3 * number : 3 * number + 3]
            view = recommended_views(rate, samples, sensors=(name,))[0]
            pictures = torch.from_numpy(to_images(triad, (view,), sensors=(name,))[:, 0])
            mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
            each.append(encoder((pictures - mean) / deviation)[-1])
        return torch.cat(each, 1).float().numpy()


@pytest.mark.parametrize(
    ("method", "encoder"),
    [
        ("moco", "test_resnet"),
        ("simclr", "conv1d"),
        ("focal", "conv1d"),
        ("focal", "test_resnet"),
        ("aim", "test_vit"),
    ],
)
def test_neighbours_are_those_of_an_independent_classifier(method, encoder):
    config, windows = settings(method, encoder), people()
    source = source_of_windows({"w": windows}, config)
    trainer = loop.Trainer(config, source, ALONE)
    [(learnt, held)] = source.watched
    assert not set(learnt.subject) & set(held.subject) and len(set(held.subject)) == 3
    assert len(learnt) + len(held) == len(windows) < watch.QUERIES
    bank, queries = (by_hand(config, trainer.method.encoder, part) for part in (learnt, held))
    peer = KNeighborsClassifier(
        watch.FEW_NEIGHBOURS, metric="cosine", weights=lambda far: np.exp((1 - far) / 0.07)
    )
    said = peer.fit(bank, learnt.y).predict(queries)
    found = trainer.watch.accuracy(trainer.method.encoder)
    # Pictures go in as bytes, by which a window on the edge may change sides.
    assert found == pytest.approx(accuracy_score(held.y, said), abs=1.01 / len(held))
    assert trainer.watch.guess == 0.5


def test_few_windows_are_read_of_each_class_and_set_alike():
    rng = np.random.default_rng(0)
    windows = people(("accel",), subjects=10, length=40)
    rare = replace(windows, y=np.where(rng.random(len(windows)) < 0.1, "rare", "usual"))
    config = settings("moco", "test_resnet")
    source = source_of_windows({"a": windows, "b": rare}, config)
    seen = watch.watch_windows(source, 0, ALONE.device)
    for each in seen.examples:
        for labels, most in ((each.known, watch.BANK_WINDOWS), (each.truth, watch.QUERIES)):
            assert len(labels) == most // 2
        assert each.known.bincount().tolist() == [watch.BANK_WINDOWS // 4] * 2
    # Of the rare class there are fewer among three people, and all of them are asked.
    [_, (_, held)] = source.watched
    fewest = min((held.y == "rare").sum(), watch.QUERIES // 4)
    assert seen.examples[1].truth.bincount().tolist()[0] == fewest


def test_what_has_no_labels_says_nothing(tmp_path):
    windows = people(("accel",), samples=80)
    bare = replace(windows, y=np.full(len(windows), UNLABELLED))
    few = windows.select(np.isin(windows.subject, windows.subjects[:5]))
    for method, encoder, each in (
        ("simclr", "conv1d", bare), ("simclr", "conv1d", few), ("moco", "test_resnet", bare)
    ):  # fmt: skip
        config = settings(method, encoder)
        source = source_of_windows({"w": each}, config)
        assert str(loop.Trainer(config, source, ALONE).watch) == ""
        assert not loop.Trainer(config, source, ALONE).watch.examples
    config = settings("moco", "test_resnet", held=0)
    assert not source_of_windows({"w": windows}, config).watched


def columns(path):
    with path.open(newline="") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def test_watching_changes_nothing_and_resumes(tmp_path, monkeypatch):
    config, windows = settings("simclr", "conv1d", lr=1e-3), people(("accel",))
    source = source_of_windows({"w": windows}, config)
    monkeypatch.setattr(watch, "READ_EVERY", 0)
    whole = pretrain(config, source, tmp_path / "whole", ALONE)

    def killed(epoch, encoder):
        if epoch == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        pretrain(config, source, tmp_path / "cut", ALONE, after_epoch=killed)
    cut = pretrain(config, source, tmp_path / "cut", ALONE)
    names = ("knn", "knn_start", "knn_guess")
    assert [whole[name] for name in names] == [cut[name] for name in names]
    one, other = (columns(tmp_path / run / "epochs.csv") for run in ("whole", "cut"))
    assert [[row[n] for n in names] for row in one] == [[row[n] for n in names] for row in other]
    assert len({row["knn_start"] for row in one}) == 1
    source.watched = []
    pretrain(config, source, tmp_path / "blind", ALONE)
    files = [load_file(tmp_path / run / "encoder.safetensors") for run in ("whole", "cut", "blind")]
    assert all(torch.equal(files[0][k], each[k]) for each in files for k in files[0])
    assert "knn" not in columns(tmp_path / "blind" / "epochs.csv")[0]


def test_neighbours_are_read_once_in_a_while_and_at_the_end(tmp_path):
    config = settings("simclr", "conv1d", epochs=5, lr=1e-3)
    source = source_of_windows({"w": people(("accel",))}, config)
    trainer = loop.Trainer(config, source, ALONE)
    every, size = trainer.watch.every, 16 * trainer.loader.steps
    assert every == watch.READ_EVERY * sum(map(len, source.watched[0]))
    pretrain(config, source, tmp_path / "run", ALONE)
    read = [not math.isnan(row["knn"]) for row in columns(tmp_path / "run" / "epochs.csv")]
    marks = [size * n // every > size * (n - 1) // every for n in range(1, 5)]
    assert read == [*marks, True] and not all(marks)


def test_a_fall_below_the_start_is_told_once(tmp_path, monkeypatch):
    config = settings("simclr", "conv1d", epochs=4, lr=1e-3)
    source = source_of_windows({"w": people(("accel",))}, config)
    monkeypatch.setattr(watch, "READ_EVERY", 0)
    count = len(source.watched[0][1])
    error = math.sqrt(0.9 * 0.1 / count)
    course = iter([0.9, 0.9 - 0.9 * error, 0.9 - 1.1 * error, 0.2, 0.9])
    monkeypatch.setattr(watch.Watch, "accuracy", lambda self, encoder: next(course))
    said = []
    pretrain(config, source, tmp_path / "run", ALONE, say=said.append)
    [sentence] = [each for each in said if "neighbours" in each]
    assert sentence.startswith("epoch 2: ") and "before training (a guess: 0.50)" in sentence
    assert "0.90" in sentence and f"{0.9 - 1.1 * error:.2f}" in sentence
