"""Methods that learn from windows: their losses against loops, and runs on real ones."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F  # noqa: N812

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.models import checkpoints
from img2imu.pretrain import (
    METHOD_CONFIGS,
    RECIPES,
    CPCConfig,
    MultitaskConfig,
    PretrainConfig,
    RandomConfig,
    SimCLRConfig,
    WindowsSource,
    World,
    loop,
    pretrain,
)
from img2imu.pretrain.methods.images import nt_xent_logits
from img2imu.pretrain.methods.signals import (
    predictive_info_nce,
    random_view,
    task_transforms,
    transformed,
    view_transforms,
)
from img2imu.pretrain.sources.windows import WindowsLoader
from img2imu.recordings import save_windows

from .sources import stripes

ALONE = World(torch.device("cpu"))
SENSOR = [SimCLRConfig(), MultitaskConfig(), CPCConfig(4)]
NAMES = ["simclr", "multitask", "cpc"]


def small(method, **settings):
    """A run of seconds."""
    encoder = "cpc1d" if isinstance(method, CPCConfig) else "conv1d"
    common = {"policy": "none", "encoder": encoder, "epochs": 2, "batch_size": 32, "lr": 1e-3}
    return PretrainConfig(method, **{**common, **settings})


def noise(n=64, samples=100):
    rng = np.random.default_rng(0)
    return WindowsSource(rng.normal(size=(n, 3, samples)).astype(np.float32), 50.0)


@pytest.fixture(scope="module")
def source(exercise):
    """Two seconds out of every fourth window."""
    return WindowsSource(exercise.X[::4, :, :100], exercise.sampling_rate)


def rows(path: Path):
    with path.open(newline="") as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def test_nt_xent_is_a_double_loop():
    generator = torch.Generator().manual_seed(0)
    first, second = F.normalize(
        torch.randn(2, 6, 5, generator=generator, dtype=torch.float64), dim=2
    )
    everyone = [*first.numpy(), *second.numpy()]
    losses = []
    for i, anchor in enumerate(everyone):
        others = sum(math.exp(anchor @ v / 0.1) for j, v in enumerate(everyone) if j != i)
        losses.append(-math.log(math.exp(anchor @ everyone[(i + 6) % 12] / 0.1) / others))
    logits, target = nt_xent_logits(first, second, 0.1)
    assert F.cross_entropy(logits, target).item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_info_nce_of_the_future_is_a_loop():
    generator = torch.Generator().manual_seed(0)
    steps, n, channels, horizon = 7, 5, 4, 3
    latent = torch.randn(steps, n, channels, generator=generator)
    predicted = [
        torch.randn(steps - ahead, n, channels, generator=generator)
        for ahead in range(1, horizon + 1)
    ]
    losses, hits = [], []
    for ahead in range(1, horizon + 1):
        for t in range(steps - ahead):
            for i in range(n):
                scores = [
                    float(predicted[ahead - 1][t, i] @ latent[t + ahead, j]) for j in range(n)
                ]
                losses.append(math.log(sum(map(math.exp, scores))) - scores[i])
                hits.append(np.argmax(scores) == i)
    measures = predictive_info_nce(predicted, latent)
    assert measures["loss"].item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert measures["top1"].item() == pytest.approx(np.mean(hits))


def test_every_head_is_asked_alike(source):
    windows = torch.from_numpy(source.windows[:160])
    torch.manual_seed(0)
    changed, task, applied = transformed(windows, task_transforms())
    for head in range(8):
        asked = applied[task == head]
        assert len(asked) == 20 and asked.sum() == 10
    differs = (changed != windows).flatten(1).any(1)
    assert not differs[applied == 0].any()
    # A new order of four chunks or of three axes may be the old one.
    assert differs[(applied == 1) & (task != 5) & (task != 7)].all()
    assert (differs[applied == 1] & (task[applied == 1] == 5)).sum() >= 7
    assert (differs[applied == 1] & (task[applied == 1] == 7)).sum() >= 5
    negated, reversed_ = (windows[(applied == 1) & (task == head)] for head in (3, 4))
    assert torch.equal(changed[(applied == 1) & (task == 3)], -negated)
    assert torch.equal(changed[(applied == 1) & (task == 4)], reversed_.flip(2))


def test_a_view_goes_through_half_of_the_transformations():
    windows = noise(3000, 60).windows
    torch.manual_seed(0)
    views = random_view(torch.from_numpy(windows), view_transforms())
    untouched = (views.numpy() == windows).all(axis=(1, 2)).mean()
    assert untouched == pytest.approx(1 / 32, abs=0.015)
    torch.manual_seed(0)
    assert torch.equal(random_view(torch.from_numpy(windows), view_transforms()), views)


def test_sensors_of_one_place_turn_together_and_have_noise_of_their_own():
    sensors = ("accel", "gyro", "wrist.magn")
    same = torch.from_numpy(noise(4000, 20).windows).repeat(1, 3, 1)
    rotate, *_, jitter = view_transforms(sensors)
    generator = torch.Generator().manual_seed(0)
    accel, gyro, magn = rotate(same, generator).split(3, 1)
    assert torch.equal(accel, gyro) and not torch.allclose(accel, magn)
    assert torch.allclose(magn.norm(dim=1), accel.norm(dim=1), atol=1e-5)
    for transform in (jitter, task_transforms(sensors)[0]):
        added = (transform(same, generator) - same).unflatten(1, (3, 3)).double()
        assert np.allclose(added.std((0, 2, 3)), [0.05, 0.05, 2.5], rtol=0.02)


def test_source_knows_its_mean_and_deviation(exercise):
    source = WindowsSource(exercise.X, 50.0)
    assert np.allclose(source.mean, exercise.X.astype(np.float64).mean((0, 2)), rtol=1e-6)
    assert np.allclose(source.deviation, exercise.X.astype(np.float64).std((0, 2)), rtol=1e-6)
    moved = exercise.X.copy()
    moved[3, 1, 7] += 1e-3
    assert WindowsSource(moved, 50.0).describe() != source.describe()
    moved[:, 2] = 0.5
    with pytest.raises(InputError, match="axis z is constant"):
        WindowsSource(moved, 50.0)
    with pytest.raises(InputError, match=r"axis gyro\.z is constant"):
        WindowsSource(np.concatenate([exercise.X, moved], axis=1), 50.0, ("accel", "gyro"))
    with pytest.raises(InputError, match="no windows"):
        WindowsSource(exercise.X[:0], 50.0)


def test_loader_shows_every_window_once_whatever_the_processes():
    source = noise(50)
    alone = WindowsLoader(source, 12, 3, ALONE)
    batches = [batch.images for batch in alone.epoch(1)]
    seen = torch.cat(batches)
    assert alone.steps == len(batches) == 4 and len(seen.flatten(1).unique(dim=0)) == 48
    assert torch.equal(torch.cat([b.images for b in alone.epoch(1, 2)]), seen[24:])
    assert not torch.equal(next(alone.epoch(2)).images, batches[0])
    shares = [
        next(WindowsLoader(source, 12, 3, World(torch.device("cpu"), rank, 2)).epoch(1)).images
        for rank in (0, 1)
    ]
    assert torch.equal(torch.cat(shares), batches[0])
    for size, said in ((51, "more than the 50 windows"), (9, "multiple of the 2 processes")):
        with pytest.raises(InputError, match=said):
            WindowsLoader(source, size, 0, World(torch.device("cpu"), 0, 2))


@pytest.mark.parametrize("method", SENSOR, ids=NAMES)
def test_methods_learn(tmp_path, source, method):
    last = pretrain(small(method, epochs=4), source, tmp_path / "run", ALONE)
    losses = [row["loss"] for row in rows(tmp_path / "run" / "epochs.csv")]
    assert losses[-1] < losses[0] and losses[-1] < 0.97 * last["chance"]
    written = load_file(tmp_path / "run" / "encoder.safetensors")
    assert np.array_equal(written["mean"][:, 0].numpy(), source.mean)
    assert np.array_equal(written["deviation"][:, 0].numpy(), source.deviation)


@pytest.mark.parametrize("method", SENSOR, ids=NAMES)
def test_methods_learn_from_several_sensors(tmp_path, method):
    """What a sensor of constant noise leaves to be learnt, and which sensors a run was of."""
    both = ("accel", "gyro")
    phase = np.random.default_rng(0).uniform(0, 6.28, (128, 1, 1))
    time = np.arange(100) / 50
    waves = np.sin(6.28 * np.array([[1.0], [2.0], [3.0]]) * time + phase)
    X = np.concatenate([noise(128).windows, 3 * waves], axis=1).astype(np.float32)
    source = WindowsSource(X, 50.0, both)
    assert source.describe()["sensors"] == list(both)
    assert np.allclose(source.deviation, X.std((0, 2)), rtol=1e-5)
    last = pretrain(small(method, epochs=6), source, tmp_path / "run", ALONE)
    losses = [row["loss"] for row in rows(tmp_path / "run" / "epochs.csv")]
    assert losses[-1] < losses[0] and losses[-1] < last["chance"]
    written = load_file(tmp_path / "run" / "encoder.safetensors")
    assert np.array_equal(written["mean"][:, 0].numpy(), source.mean)
    alone = WindowsSource(X[:, :3], 50.0)
    init = str(tmp_path / "run" / "encoder.safetensors")
    with pytest.raises(InputError, match="reads windows of 6 axes, and these have 3"):
        pretrain(small(method, init=init), alone, tmp_path / "other", ALONE)


@pytest.mark.parametrize("method", SENSOR, ids=NAMES)
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, monkeypatch, method):
    monkeypatch.setattr(loop, "LOG_STEPS", 1)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    config, whole, broken = small(method), tmp_path / "whole", tmp_path / "broken"
    source = noise(100)
    pretrain(config, source, whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, source, broken, ALONE)
    assert checkpoints.load(broken / "checkpoint.pt")["step"] == 4
    monkeypatch.setattr(loop.Trainer, "step", step)
    torch.manual_seed(99)
    pretrain(config, source, broken, ALONE)
    expected, resumed = (checkpoints.load(run / "checkpoint.pt") for run in (whole, broken))
    assert expected["step"] == resumed["step"] == 6
    assert torch.equal(expected["random"][0], resumed["random"][0])
    assert expected["method"].keys() == resumed["method"].keys()
    for name, tensor in expected["method"].items():
        assert torch.equal(tensor, resumed["method"][name]), name


def test_init_keeps_the_statistics_of_its_file(tmp_path, source):
    config = small(RandomConfig(), policy="sensor-aware", seed=5)
    pretrain(config, noise(), tmp_path / "donor", ALONE)
    donor = tmp_path / "donor" / "encoder.safetensors"
    pretrain(replace(config, seed=0, init=str(donor)), source, tmp_path / "run", ALONE)
    a, b = load_file(donor), load_file(tmp_path / "run" / "encoder.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        (SimCLRConfig(), {"encoder": "cpc1d"}, "with the encoder conv1d, not cpc1d"),
        (MultitaskConfig(), {"encoder": "resnet18"}, "with the encoder conv1d, not resnet18"),
        (CPCConfig(), {"encoder": "conv1d"}, "with the encoder cpc1d, not conv1d"),
        (MultitaskConfig(), {"policy": "all"}, "multitask has augmentations of its own"),
        (MultitaskConfig(), {"stages": (2,)}, "conv1d has neither stages nor bands"),
        (METHOD_CONFIGS["moco"](), {"encoder": "conv1d"}, "moco learns from images"),
        (RandomConfig(), {"encoder": "conv1d", "bands": 6}, "conv1d has neither stages nor bands"),
    ],
)
def test_settings_that_do_not_fit(method, settings, said):
    with pytest.raises(InputError, match=said):
        replace(small(SimCLRConfig()), method=method, **settings)


def test_windows_that_are_too_short_leave_no_run_behind(tmp_path):
    for method, samples, said in (
        (SimCLRConfig(), 45, "45 samples are too short"),
        (CPCConfig(12), 54, "horizon must be less than 12"),
    ):
        with pytest.raises(InputError, match=said):
            pretrain(small(method), noise(64, samples), tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


def test_images_and_windows_are_not_mixed_up(tmp_path):
    images, windows = RECIPES["recommended"]["random"], small(SimCLRConfig())
    with pytest.raises(InputError, match="learns from images, and the source holds windows"):
        pretrain(images, noise(), tmp_path / "run", ALONE)
    with pytest.raises(InputError, match="learns from windows, and the source holds images"):
        pretrain(windows, stripes(64), tmp_path / "run", ALONE)
    with pytest.raises(InputError, match="two views of an image would be the same"):
        pretrain(replace(windows, encoder="resnet18"), stripes(64), tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", RECIPES)
def test_presets_survive_their_own_json(preset):
    for config in RECIPES[preset].values():
        assert PretrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_windows_of_other_sensors_are_no_transfer(tmp_path, capsys, exercise):
    both = replace(
        exercise, X=np.concatenate([exercise.X, 2 * exercise.X], 1), sensors=("accel", "gyro")
    )
    save_windows(tmp_path / "one.npz", exercise)
    save_windows(tmp_path / "both.npz", both)
    options = ["--method=simclr", "--epochs=1", "--transfer", str(tmp_path / "one.npz")]
    source = ["--source", str(tmp_path / "both.npz"), "-o", str(tmp_path / "run")]
    assert main(["pretrain", *source, *options]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "one.npz is of accel, and what is learnt from of accel and gyro" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_one_seed")
def test_from_windows_to_a_table(tmp_path, capsys, exercise):
    """Pre-train on some subjects, and read the encoder on the others."""
    learnt_from = np.isin(exercise.subject, exercise.subjects[:4])
    train, test = tmp_path / "train.npz", tmp_path / "test.npz"
    save_windows(train, exercise.select(learnt_from))
    save_windows(test, exercise.select(~learnt_from))
    out, report = tmp_path / "run", tmp_path / "probe.json"
    options = ["--method=multitask", "--epochs=2", "--batch-size=64", "--transfer", str(test)]
    assert main(["pretrain", "--source", str(train), "-o", str(out), *options]) == 0
    weights = str(out / "encoder.safetensors")
    probe = ["probe", str(test), "--encoder=conv1d", "--methods=img2imu", "--seeds=2"]
    assert main([*probe, "--weights", weights, "--json", str(report)]) == 0
    assert "conv1d" in capsys.readouterr().out
    outcome = json.loads(report.read_text())
    assert outcome["settings"]["drawings"] == [[]]
    assert outcome["results"][0]["f1_mean"] > 3 / 7
    assert rows(out / "epochs.csv")[-1]["transfer"] > 3 / 7
    for wrong, said in (
        ([*probe, "--stages=3"], "no stages to read"),
        (
            ["pretrain", "--source=fractals", "--method=cpc", "-o", str(out / "x")],
            "the source holds images",
        ),
    ):
        assert main(wrong) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert said in line
