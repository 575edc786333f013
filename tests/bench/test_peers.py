"""Peers: networks against explicit sums, who learns from whom, and who is on the front."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from scipy.special import expit

from img2imu.bench import networks, peers, quantized
from img2imu.cli import main
from img2imu.convert import SpectrogramConfig
from img2imu.export import latency
from img2imu.fewshot.training import Labelled
from img2imu.report import save_png


@pytest.fixture(scope="module")
def trial(exercise):
    """One of the folds, few windows tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "TEST", 60)
        patch.setattr(peers, "BACKGROUND", 64)
        return peers.trials(exercise)[0]


def along_time(maps, layer):
    """A convolution by sums: maps (channels, axes, samples) of float64."""
    weight, bias = (part.detach().double().numpy() for part in (layer.weight, layer.bias))
    pad = layer.padding[1]
    maps = np.pad(maps, ((0, 0), (0, 0), (pad, pad)))
    of_group = len(maps) // layer.groups
    filters = len(weight) // layer.groups
    return np.stack([
        sum(
            np.stack([correlate(axis, kernel[c, 0], "valid") for axis in maps[first + c]])
            for c in range(of_group)
        )
        + bias[number]
        for number, kernel in enumerate(weight)
        for first in [number // filters * of_group]
    ])  # fmt: skip


def test_deepconvlstm_is_convolutions_and_the_last_state_of_two_lstms():
    torch.manual_seed(0)
    encoder = networks.DeepConvLSTM().eval()
    encoder.normalise_by([0.1, 0.2, 0.9], [0.5, 0.6, 0.7])
    window = torch.randn(3, 30)
    maps = (window.double().numpy() - np.array([[0.1], [0.2], [0.9]])) / [[0.5], [0.6], [0.7]]
    maps = maps[np.newaxis]
    for layer in encoder.layers[::2]:
        maps = along_time(maps, layer).clip(0)
    assert maps.shape == (64, 3, 30 - 4 * 4)
    steps = maps.reshape(64 * 3, -1).T
    for number in range(2):
        names = (f"{kind}_{way}_l{number}" for kind in ("weight", "bias") for way in ("ih", "hh"))
        inner, own, *biases = (getattr(encoder.lstm, name).detach().double() for name in names)
        state, cell, states = np.zeros(128), np.zeros(128), []
        for step in steps:
            gates = inner.numpy() @ step + own.numpy() @ state + sum(biases).numpy()
            enter, forget, new, leave = np.split(gates, 4)
            cell = expit(forget) * cell + expit(enter) * np.tanh(new)
            state = expit(leave) * np.tanh(cell)
            states.append(state)
        steps = np.array(states)
    found = encoder(window[None])[0].detach().numpy()
    np.testing.assert_allclose(found, steps[-1], atol=1e-5)


@pytest.mark.parametrize(("before", "after", "pool"), [(1, 4, True), (8, 8, False)])
def test_a_separable_block_is_what_its_paper_draws(before, after, pool):
    torch.manual_seed(1)
    block = networks.SeparableBlock(before, after, pool).eval()
    maps = torch.randn(before, 3, 20)

    def normalised(values, norm):
        # A batch norm that has seen nothing has mean 0 and variance 1.
        return values / np.sqrt(1 + norm.eps)

    def halved(values):
        return values.reshape(*values.shape[:2], -1, 2).max(-1) if pool else values

    depthwise, pointwise, norm, *_ = block.main
    around = maps.double().numpy()
    main = along_time(along_time(around, depthwise), pointwise)
    if before != after:
        around = normalised(along_time(around, block.around[0]), block.around[1])
    expected = halved(normalised(main, norm).clip(0)) + halved(around)
    np.testing.assert_allclose(block(maps[None])[0].detach(), expected, atol=1e-5)


def test_tinierhar_has_the_parameters_of_its_settings():
    def block(before, after):
        wider = before * after + 3 * after if before != after else 0
        return 6 * before + before * after + 3 * after + wider

    blocks = block(1, 4) + block(4, 8) + 4 * block(8, 8)
    gru = 2 * (3 * 16 * (8 * 3 + 16) + 2 * 3 * 16)
    count = sum(part.numel() for part in networks.TinierHAR().parameters())
    assert count == blocks + gru + 32 + 1


def test_a_network_learns_what_is_easy(monkeypatch):
    monkeypatch.setattr(networks, "EPOCHS", 25)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    time = np.arange(64) / 50
    waves = np.sin(2 * np.pi * np.where(labels, 3, 9)[:, None, None] * time)
    windows = (waves + 0.1 * rng.normal(size=(40, 3, 64))).astype(np.float32)
    known, judges = Labelled(windows[:20], labels[:20]), Labelled(windows[20:], labels[20:])
    encoder, state = networks.TinierHAR(), torch.get_rng_state()
    network = networks.learn(encoder, 2, known, judges, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    found = network(torch.from_numpy(judges.windows)).argmax(1).numpy()
    assert (found == judges.labels).mean() > 0.9
    assert not network.training


def test_a_trial_keeps_subjects_apart(trial, exercise):
    parts = [set(part.subjects) for part in (trial.background, trial.judges, trial.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set(trial.known.subjects) <= parts[0]
    assert trial.known.classes == exercise.classes
    assert np.bincount(trial.numbers(trial.known)).tolist() == [10] * len(exercise.classes)
    assert (len(trial.test), len(trial.background)) == (60, 64)


def test_peers_are_scored_timed_and_drawn(trial, exercise, tmp_path, monkeypatch):
    """One that knows the truth, one that says one thing, and real ones."""
    truth = {
        window.tobytes(): k
        for window, k in zip(trial.test.X, trial.numbers(trial.test), strict=True)
    }
    classes = len(trial.known.classes)

    def knowing(trial, folder):
        return {"knows": lambda X: np.eye(classes)[[truth[window.tobytes()] for window in X]]}

    def constant(trial, folder):
        return {"constant": lambda X: np.eye(classes)[np.zeros(len(X), int)]}

    views = (SpectrogramConfig(normalize="fixed", width=32, height=24),)
    monkeypatch.setattr(quantized, "READINGS", {"fast": {"stages": (1,), "bands": 2}})
    preset = SimpleNamespace(drawing=lambda *_: views)
    monkeypatch.setattr(quantized, "ProbeConfig", lambda *_: preset)
    monkeypatch.setattr(networks, "EPOCHS", 2)
    monkeypatch.setattr(latency, "MIN_RUNS", 4)
    monkeypatch.setattr(peers, "trials", lambda windows: [trial])
    real = {name: peers.PEERS[name] for name in ("forest", "TinierHAR", "fast")}
    monkeypatch.setattr(peers, "PEERS", {"a": knowing, "b": constant, **real})
    rows = peers.compare(exercise, {"nothing learnt": lambda: None}, seconds=0, rounds=1)
    by_name = {row["name"]: row for row in rows}
    names = ["nothing learnt", "knows", "constant", "hand-made features + forest", "TinierHAR"]
    assert list(by_name) == [*names, "fast", "fast, int8"]
    assert by_name["knows"]["f1_each"] == [1.0]
    hits = np.sum(trial.numbers(trial.test) == 0)
    assert by_name["constant"]["f1_mean"] == pytest.approx(2 * hits / (60 + hits) / classes)
    assert by_name["nothing learnt"]["f1_each"] is None
    assert by_name["hand-made features + forest"]["f1_mean"] > 0.5
    assert by_name["fast"]["f1_mean"] > 0.5
    assert abs(by_name["fast, int8"]["f1_mean"] - by_name["fast"]["f1_mean"]) < 0.1
    assert [row["name"] for row in rows if row["front"]][:1] == ["knows"]
    assert "on the front" in peers.format_peers(rows)
    save_png(tmp_path / "front.png", peers.draw(rows, "exercise"))
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_minirocket_answers_one_window_as_many(trial):
    [answer] = peers.rocket(trial, None).values()
    together = answer(trial.test.X[:4])
    assert together.shape == (4, len(trial.known.classes))
    np.testing.assert_allclose(answer(trial.test.X[2:3]), together[2:3], atol=1e-5)


def test_the_front():
    def row(ms, score):
        return {"p50_ms": ms, "f1_mean": score}

    rows = [row(1, 0.5), row(2, 0.4), row(2, 0.7), row(3, 0.7), row(9, 0.9), row(0.1, None)]
    assert [peers.on_front(each, rows) for each in rows] == [True, False, True, False, True, False]


def test_a_figure_needs_windows(capsys):
    assert main(["bench", "inference", "--figure", "out.png"]) == 2
    assert "a windows file" in capsys.readouterr().err
