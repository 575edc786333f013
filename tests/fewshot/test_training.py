"""Training: what changes and what must not, when it ends, and that it goes on bit for bit."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from img2imu import Img2ImuClassifier
from img2imu.convert import SpectrogramConfig
from img2imu.errors import InputError
from img2imu.fewshot import FinetuneConfig
from img2imu.fewshot import training as module
from img2imu.fewshot.training import (
    History,
    Labelled,
    Trainer,
    confusion,
    finetune,
    learning_rate,
    score,
)
from img2imu.models import EncoderConfig

from .signals import movements

VIEW = SpectrogramConfig(50, 32, 28, normalize="fixed", width=32, height=24)
CONFIG = FinetuneConfig(epochs=3, patience=3, steps=2, batch_size=8, lr=1e-3, policy=None)


def probe(windows, rows, encoder):
    views = None if encoder.reads_windows else (VIEW,)
    classifier = Img2ImuClassifier(50.0, views, encoder)
    return classifier.fit(windows.X[rows], windows.y[rows]).network_


@pytest.fixture(scope="module")
def windows():
    return movements()


@pytest.fixture(scope="module")
def sides(windows):
    """Training and validation windows, of different subjects."""
    labels = np.searchsorted(windows.classes, windows.y)
    masks = windows.subject == "s0", windows.subject == "s1"
    return [Labelled(windows.X[mask], labels[mask]) for mask in masks]


@pytest.fixture(scope="module")
def network(windows):
    """A probe on two stages of a random ResNet-18."""
    return probe(windows, windows.subject == "s0", EncoderConfig(stages=(2,), bands=2))


def stage(name):
    return name.split(".")[2] if name.startswith("encoder") else "head"


def changed(before, after):
    """Parts of the network that are no longer the same."""
    pairs = zip(before.named_parameters(), after.parameters(), strict=True)
    return {stage(name) for (name, old), new in pairs if not torch.equal(old, new)}


@pytest.mark.parametrize(
    ("stages_trained", "parts"),
    [
        (1, {"layer2", "head"}),
        (2, {"layer1", "layer2", "head"}),
        (None, {"conv1", "layer1", "layer2", "head"}),
    ],
)
def test_only_the_stages_asked_for_change(network, sides, stages_trained, parts):
    trained = copy.deepcopy(network)
    trainer = Trainer(trained, replace(CONFIG, stages_trained=stages_trained), "cpu")
    trainer.epoch(sides[0], 0, seed=0)
    assert changed(network, trained) == parts


def test_each_stage_has_its_own_learning_rate(network):
    config = replace(CONFIG, stages_trained=None, lr=0.08, decay=0.25)
    trainer = Trainer(copy.deepcopy(network), config, "cpu")
    names = {id(value): stage(name) for name, value in trainer.network.named_parameters()}
    rates = {
        part: group["lr"]
        for group in trainer.groups
        for part in {names[id(value)] for value in group["params"]}
    }
    assert rates == {"head": 0.08, "layer2": 0.08, "layer1": 0.02, "conv1": 0.005}


def test_a_step_moves_weights_by_their_stages_rate(network, sides):
    """AdamW's first step: as far as the learning rate, whatever the gradient."""
    config = replace(CONFIG, stages_trained=None, steps=1, batch_size=18, epochs=2, decay=0.5)
    trained = copy.deepcopy(network)
    Trainer(trained, config, "cpu").epoch(sides[0], 0, seed=0)
    # Zeros, where weight decay does nothing: timm starts each block as if it were not there.
    before, after = (each.encoder.backbone.layer1[0].conv2.weight for each in (network, trained))
    assert before.abs().max() == 0
    rate = 0.5 * config.lr * learning_rate(1 / 2)
    assert after.abs().max().item() == pytest.approx(rate, rel=0.01)


def test_rate_rises_and_comes_down_to_zero():
    rates = [learning_rate(progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0 and rates[10] == pytest.approx(1) and rates[-1] == pytest.approx(0)
    assert np.all(np.diff(rates[:11]) > 0) and np.all(np.diff(rates[10:]) < 0)


@pytest.mark.parametrize("name", ["resnet18", "conv1d"])
def test_random_encoders_learn_what_their_probe_cannot(windows, name):
    """From scratch, in noise that hides the swings, on all axes: loss falls, F1 rises."""
    windows = movements(each=20, noise=1.0)
    labels = np.searchsorted(windows.classes, windows.y)
    learning = np.isin(windows.subject, ["s0", "s1", "s2"])
    training = Labelled(windows.X[learning], labels[learning])
    unseen = Labelled(windows.X[~learning], labels[~learning])
    encoder = EncoderConfig(name) if name == "conv1d" else EncoderConfig(name, stages=(1,), bands=2)
    network = probe(windows, learning, encoder)
    config = replace(CONFIG, stages_trained=None, epochs=8, patience=8, batch_size=32, rotate=0)
    history = finetune(network, training, unseen, config)
    assert history.loss[-1] < 0.7 * history.loss[0]
    assert score(network, unseen) == max(history.validation_f1) > history.validation_f1[0]


@pytest.mark.parametrize("lr", [1.0, 1e30])
def test_absurd_rates_keep_the_probe(network, sides, lr):
    trained = copy.deepcopy(network)
    history = finetune(trained, *sides, replace(CONFIG, lr=lr, epochs=9, patience=2))
    assert history.best == 0 and len(history.loss) <= 2
    assert changed(network, trained) == set()
    assert score(trained, sides[1]) == history.validation_f1[0]


@pytest.mark.parametrize(
    ("scores", "best", "epochs"),
    [
        ([0.5, 0.6, 0.9, 0.8, 0.7, 1.0], 2, 4),  # patience ends it before the last one
        ([0.5, 0.5, 0.5, 0.9], 0, 2),  # as good as the probe is not better
        ([0.5, 0.4, 0.6, 0.6, 0.7, 0.1, 0.2], 4, 5),  # no more epochs
    ],
)
def test_best_epoch_is_kept(monkeypatch, network, sides, scores, best, epochs):
    told, weights = iter(scores), []
    monkeypatch.setattr(module, "score", lambda *_: next(told))
    original = Trainer.epoch

    def recorded(self, *arguments):
        loss = original(self, *arguments)
        weights.append(self.weights())
        return loss

    monkeypatch.setattr(Trainer, "epoch", recorded)
    trained = copy.deepcopy(network)
    history = finetune(trained, *sides, replace(CONFIG, epochs=5, patience=2))
    assert (history.best, len(history.loss)) == (best, epochs)
    kept = dict(trained.named_parameters())
    wanted = weights[best - 1] if best else dict(network.named_parameters())
    assert all(torch.equal(kept[name], wanted[name]) for name in weights[0])


@pytest.mark.parametrize("policy", [None, "sensor-crops-soft"])
def test_interrupted_equals_uninterrupted(tmp_path, network, sides, policy):
    config = replace(CONFIG, policy=policy)
    whole, torn = copy.deepcopy(network), copy.deepcopy(network)
    history = finetune(whole, *sides, config, seed=3)
    state, stops = tmp_path / "state.pt", []

    def kill(_):
        stops.append(1)
        if len(stops) in (1, 3):  # after the first epoch, and in the second run after the second
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetune(copy.deepcopy(network), *sides, config, seed=3, state=state, on_epoch=kill)
    assert finetune(torn, *sides, config, seed=3, state=state) == history
    assert changed(whole, torn) == set()
    other = finetune(copy.deepcopy(network), *sides, config, seed=4)
    assert other.loss != history.loss


def test_the_callers_random_numbers_are_left_alone(network, sides):
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    finetune(copy.deepcopy(network), *sides, replace(CONFIG, epochs=1, policy="sensor-aware"))
    assert torch.equal(torch.rand(3), wanted)


def test_views_of_a_window_are_augmented_alike(sides):
    """The same picture twice stays the same picture twice; another window gets its own turn."""
    classifier = Img2ImuClassifier(50.0, (VIEW, VIEW), EncoderConfig(stages=(1,), bands=1))
    few = Labelled(sides[0].windows[[0, 0, 6, 12]], sides[0].labels[[0, 0, 6, 12]])
    network = classifier.fit(*few).network_
    trainer = Trainer(network, replace(CONFIG, policy="sensor-crops-soft"), "cpu")
    inputs = trainer._inputs(torch.tensor(few.windows), torch.Generator().manual_seed(0))
    assert inputs.shape == (4, 2, 3, 24, 32)
    assert torch.equal(inputs[:, 0], inputs[:, 1])
    assert not torch.equal(inputs[0], inputs[1])
    assert inputs.min() >= 0 and inputs.max() <= 1


def test_without_augmentation_the_encoder_reads_what_the_probe_reads(network, sides):
    still = replace(CONFIG, rotate=0, scale=0, shift=0)
    windows = torch.tensor(sides[0].windows[:4])
    inputs = Trainer(network, still, "cpu")._inputs(windows, torch.Generator())
    torch.testing.assert_close(inputs, network.drawing(windows), atol=1e-5, rtol=0)


def test_confusion_counts_the_networks_answers(network, sides):
    answers = network(torch.tensor(sides[1].windows)).argmax(1).numpy()
    counted = np.zeros((3, 3), int)
    np.add.at(counted, (sides[1].labels, answers), 1)
    np.testing.assert_array_equal(confusion(network, sides[1]), counted)


def test_history_of_a_diverged_run_has_ended():
    assert History([0.5, 0.1], [float("nan")]).ended(FinetuneConfig(patience=9))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages_trained": 4}, "this encoder has 3"),
        ({"policy": "moco-default"}, "not for pictures of signals"),
    ],
)
def test_what_an_encoder_cannot_do_is_one_sentence(network, sides, settings, message):
    with pytest.raises(InputError, match=message):
        finetune(copy.deepcopy(network), *sides, replace(CONFIG, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"stages_trained": 0},
        {"lr": 0},
        {"lr": float("nan")},
        {"decay": 1.5},
        {"rotate": 200},
        {"scale": 1},
        {"shift": -0.1},
        {"epochs": 0},
        {"patience": 0},
        {"steps": 0},
        {"batch_size": 0},
        {"epochs": 60, "patience": 5},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(InputError):
        FinetuneConfig(**settings)
