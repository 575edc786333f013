"""MMBind: who is bound to whom, how far that is trusted, and what is learnt from it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from img2imu.cli import main
from img2imu.convert import to_images
from img2imu.convert.presets import recommended_views
from img2imu.errors import InputError
from img2imu.models.encoder import IMAGENET_MEAN, IMAGENET_STD
from img2imu.pretrain import RECIPES, MMBindConfig, SensorSource, World, loop, pretrain
from img2imu.pretrain.methods.mmbind import bind, most_similar, trust_of, weighted_info_nce
from img2imu.pretrain.methods.sensors import create_sensor_method
from img2imu.pretrain.monitors import read_columns
from img2imu.pretrain.sources import sets as window_sets
from img2imu.recordings import save_windows

ALONE = World(torch.device("cpu"))
SIGNALS = replace(RECIPES["recommended"]["mmbind"], epochs=2, batch_size=16)
PICTURES = replace(RECIPES["windows"]["mmbind"], encoder="test_resnet", epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def sets(exercise):
    """24 windows of 2 s with both sensors, 12 with the accelerometer, 6 with the gyroscope."""
    some = exercise.select(slice(None, None, 40))
    X = np.ascontiguousarray(some.X[:, :, :100])
    both = np.concatenate([X, 2 * X[:, ::-1] ** 2], axis=1)
    windows = replace(some, X=both, sensors=("accel", "gyro"))
    gyro = replace(some, X=np.ascontiguousarray(both[:, 3:]), sensors=("gyro",))
    parts = (windows, slice(0, 24)), (replace(some, X=X), slice(24, 36)), (gyro, slice(36, 42))
    return dict(zip("bag", (each.select(rows) for each, rows in parts), strict=True))


def source_of(sets, pictures=False):
    return SensorSource(sets, pictures, held=False)


def cosines(features, count):
    """Of the first rows with the others, features centred: slowly."""
    values = np.array(features, np.float64)
    values -= values.mean(0)
    return [
        [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in values[count:]]
        for a in values[:count]
    ]


def test_each_window_is_bound_to_the_one_most_like_it(sets):
    source = source_of(sets)
    encoder = loop.untrained_encoder(SIGNALS, source)
    bound = bind(source, encoder)
    for missing, shared, lacking in ((1, 0, range(24, 36)), (0, 1, range(36, 42))):
        rows = [*lacking, *range(24)]
        alone = encoder.of_sensor(shared).eval()
        windows = torch.from_numpy(source.signals(shared, np.array(rows)))
        with torch.no_grad():
            similar = cosines(alone(windows).numpy(), len(lacking))
        for number, row in enumerate(lacking):
            others = similar[number]
            best = max(range(24), key=others.__getitem__)
            assert bound.partner[missing, row] == best
            expected = min(max((others[best] - 0.5) * 3, 0), 1)
            assert bound.trust[missing, row] == pytest.approx(expected, abs=1e-4)
            assert bound.partner[shared, row] == row and bound.trust[shared, row] == 1
    assert (bound.partner[:, :24] == np.arange(24)).all() and (bound.trust[:, :24] == 1).all()
    assert bound.trust[1, 24:36].max() > 0
    # The source is left as it was, and bound alike once more.
    assert (source.partner == np.arange(42)).all() and source.trust[1, 24:36].max() == 0
    again = bind(source, encoder)
    np.testing.assert_array_equal(again.partner, bound.partner)
    np.testing.assert_array_equal(again.trust, bound.trust)


def test_pictures_are_compared_in_all_views(sets):
    source = source_of({name: sets[name] for name in "ba"}, pictures=True)
    encoder = loop.untrained_encoder(PICTURES, source)
    bound = bind(source, encoder)
    views = recommended_views(source.sampling_rate, 100, 96, 72)
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    rows = [*range(24, 36), *range(24)]
    features = []
    encoder.eval()
    for pictures in to_images(source.signals(0, np.array(rows)), views):
        with torch.no_grad():
            stages = encoder((torch.from_numpy(pictures) - mean) / deviation)
        features.append(torch.cat(stages, dim=1).flatten().numpy())
    similar = np.array(cosines(features, 12))
    chosen = similar[np.arange(12), bound.partner[1, 24:]]
    np.testing.assert_allclose(chosen, similar.max(1), atol=1e-4)
    np.testing.assert_allclose(bound.trust[1, 24:], np.clip(chosen * 3 - 1.5, 0, 1), atol=1e-3)


def test_trust_rises_from_a_half_to_five_sixths():
    cosine = np.array([-1, 0.4, 0.5, 0.6, 0.7, 5 / 6, 0.9, 1], np.float32)
    expected = [0, 0, 0, 0.3, 0.6, 1, 1, 1]
    np.testing.assert_allclose(trust_of(cosine), expected, atol=1e-6)


def test_the_nearest_is_found_over_chunks():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(320, 5)).astype(np.float32)
    nearest, similarity = most_similar(*torch.from_numpy(features).split([300, 20]))
    expected = np.array(cosines(features, 300))
    np.testing.assert_array_equal(nearest, expected.argmax(1))
    np.testing.assert_allclose(similarity, expected.max(1), atol=1e-5)


def test_a_bound_sensor_is_the_partners(sets, monkeypatch):
    monkeypatch.setattr(window_sets, "change", lambda windows, *_: windows)
    source = source_of(sets)
    bound = bind(source, loop.untrained_encoder(SIGNALS, source))
    row = 24 + int(bound.trust[1, 24:36].argmax())
    drawn, trust = bound.draw(np.array([row]), torch.Generator())
    partner = int(bound.partner[1, row])
    np.testing.assert_array_equal(drawn[1, 0], sets["b"].X[partner, 3:])
    np.testing.assert_array_equal(drawn[0, 0], sets["a"].X[row - 24])
    assert trust[0, 0] == 1 and trust[1, 0] == bound.trust[1, row]


def test_windows_count_for_what_they_are_trusted():
    rng = np.random.default_rng(0)
    each = rng.normal(size=(2, 6, 4))
    each /= np.linalg.norm(each, axis=2, keepdims=True)
    weight = np.array([1, 0.2, 0.7, 1, 0.1, 0.5])
    logits = [[a @ b / 0.3 for b in each[1]] for a in each[0]]
    total, hits = 0.0, 0.0
    for table in (logits, [*zip(*logits, strict=True)]):
        for n, row in enumerate(table):
            loss = math.log(sum(math.exp(value) for value in row)) - row[n]
            total += weight[n] * loss / 2
            hits += weight[n] * (max(row) == row[n]) / 2
    first, second = torch.from_numpy(each)
    loss, top1 = weighted_info_nce(first, second, torch.from_numpy(weight), 0.3)
    assert loss.item() == pytest.approx(total / weight.sum(), rel=1e-12)
    assert top1.item() == pytest.approx(hits / weight.sum(), rel=1e-12)


def test_the_loss_is_that_of_sensors_and_of_views(sets):
    source = source_of({name: sets[name] for name in "ba"})
    config = replace(SIGNALS, method=MMBindConfig(single=0.5))
    torch.manual_seed(0)
    method = create_sensor_method(config, loop.untrained_encoder(config, source), source, ALONE)
    method.eval()
    rows = np.array([0, 5, 24, 11, 30, 25])
    trust = torch.tensor([[1.0] * 6, [1.0, 1.0, 0.4, 1.0, 0.0, 0.7]])
    views = [source.draw(rows, torch.Generator().manual_seed(n))[0] for n in range(2)]
    views[0][1, 2], views[1][1, 5] = torch.randn(2, 3, 100)
    views = [view.requires_grad_() for view in views]
    measures = method(views, trust, 0)
    embedded = torch.stack([
        torch.stack([
            torch.nn.functional.normalize(method.heads[k](method.encoder.read(k, view[k])), dim=1)
            for k in range(2)
        ])
        for view in views
    ]).double()  # fmt: skip
    own, between, single = [0, 1, 2, 3, 5], [], []
    for view in embedded:
        pair = view[0, own], view[1, own]
        between.append(weighted_info_nce(*pair, trust[1, own].double(), 0.2)[0].item())
    for k, some in enumerate((range(6), own)):
        both = torch.cat([embedded[0, k, some], embedded[1, k, some]]).detach().numpy()
        n = len(some)
        for i in range(2 * n):
            values = [both[i] @ both[j] / 0.2 for j in range(2 * n) if j != i]
            target = both[i] @ both[(i + n) % (2 * n)] / 0.2
            loss = math.log(sum(map(math.exp, values))) - target
            single.append(loss / (2 * n) / 2)
    assert measures["between"].item() == pytest.approx(np.mean(between), rel=1e-5)
    assert measures["single"].item() == pytest.approx(np.sum(single), rel=1e-5)
    whole = np.mean(between) + 0.5 * np.sum(single)
    assert measures["loss"].item() == pytest.approx(whole, rel=1e-5)
    # What is not trusted moves nothing.
    (gradient,) = torch.autograd.grad(measures["between"], views[:1])
    moved = gradient.abs().flatten(2).sum(2) > 0
    assert torch.equal(moved, torch.stack([trust[1] > 0] * 2))


def test_an_interrupted_run_goes_on_bit_for_bit(sets, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(SIGNALS, source_of(sets), whole, ALONE)
    step = loop.Trainer.step

    def interrupted(self, batch, number):
        if number == self.loader.steps + 1:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(SIGNALS, source_of(sets), broken, ALONE)
    monkeypatch.setattr(loop.Trainer, "step", step)
    pretrain(SIGNALS, source_of(sets), broken, ALONE)
    expected, resumed = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    first, second = (read_columns(run / "epochs.csv") for run in (whole, broken))
    for name in ("loss", "between", "single", "spread"):
        assert first[name] == second[name]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("b", "no window lacks a sensor: there is nothing to bind"),
        ("ag", "no window has two sensors, so that others could be bound to it"),
    ],
)
def test_what_cannot_be_bound_is_refused(sets, tmp_path, refused, names, said):
    files = [tmp_path / f"{name}.npz" for name in names]
    for path, name in zip(files, names, strict=True):
        save_windows(path, sets[name])
    sentence = refused(
        "pretrain", "--source", *files, "--method", "mmbind", "--encoder", "conv1d",
        "--batch-size", 8, "-o", tmp_path / "run",
    )  # fmt: skip
    assert said in sentence
    assert not (tmp_path / "run").exists()


def test_the_command_trains_a_network_for_each_sensor(sets, tmp_path):
    files = [tmp_path / f"{name}.npz" for name in "ba"]
    for path, name in zip(files, "ba", strict=True):
        save_windows(path, sets[name])
    command = ["pretrain", "--source", *files, "--method", "mmbind", "--encoder", "conv1d",
               "--batch-size", 8, "--epochs", 1, "--held", 0, "-o", tmp_path / "run"]  # fmt: skip
    assert main([str(word) for word in command]) == 0
    whole = load_file(tmp_path / "run" / "encoder.safetensors")
    for number, name in enumerate(("accel", "gyro")):
        alone = load_file(tmp_path / "run" / f"encoder-{name}.safetensors")
        assert torch.equal(alone["layers.0.weight"], whole[f"parts.{number}.0.weight"])


def test_values_out_of_range_are_refused():
    with pytest.raises(InputError, match="single must not be negative"):
        MMBindConfig(single=-1.0)
