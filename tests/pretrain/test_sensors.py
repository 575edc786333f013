"""Windows whose sensors are read one by one: which there are, what is drawn of them, how often."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from img2imu.convert import to_images
from img2imu.convert.presets import recommended_views
from img2imu.errors import InputError
from img2imu.pretrain import SensorSource, World
from img2imu.pretrain.sources import sets
from img2imu.pretrain.sources.sensors import SensorLoader
from img2imu.recordings.sensors import ACCELEROMETER

from .sources import recorded

ALONE = World(torch.device("cpu"))
BOTH = ("accel", "gyro")


def unchanged(monkeypatch):
    monkeypatch.setattr(sets, "change", lambda windows, *_: windows)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(pictures=False, **settings):
    """Sets of both sensors, of the other order of them and a third, and of one alone."""
    three = recorded(("gyro", "magn", "accel"), recordings=2, seed=1)
    alone = recorded(ACCELEROMETER, recordings=1, seed=2)
    parts = {"both": recorded(), "three": three, "alone": alone}
    return parts, SensorSource(parts, pictures, held=False, **settings)


def test_sequences_follow_each_other_in_their_recording():
    windows = [recorded(length=5), recorded(length=3, recordings=2, seed=3)]
    source = SensorSource(dict(enumerate(windows)), False, held=False)
    following = {}
    for offset, each in zip(source.first, windows, strict=False):
        order = sorted(range(len(each)), key=lambda k: each.start[k])
        for who, which in set(zip(each.subject, each.recording, strict=True)):
            own = [k for k in order if (each.subject[k], each.recording[k]) == (who, which)]
            following[offset + own[0]] = [offset + k for k in own]
    runs = {
        tuple(own[first : first + 3]) for own in following.values() for first in range(len(own) - 2)
    }
    found = source.sequences(3)
    assert len(found) == 2 * 3 * 3 + 2 * 2 * 1 == len(runs)
    assert {tuple(each) for each in found.tolist()} == runs
    assert np.array_equal(source.sequences(1)[:, 0], np.arange(len(source)))
    with pytest.raises(InputError, match="no recording has 6 windows in a row"):
        source.sequences(6)


@pytest.mark.parametrize(("pairs", "whole"), [(1.0, 40), (0.25, 10), (0.0, 0)])
def test_of_recordings_that_are_no_pairs_one_sensor_is_seen_in_turn(pairs, whole):
    windows = recorded(subjects=4, recordings=10, length=2)
    source = SensorSource({"a": windows}, False, held=False, pairs=pairs)
    seen = {}
    for number, key in enumerate(zip(windows.subject, windows.recording, strict=True)):
        seen.setdefault(key, set()).add(tuple(source.trust[:, number]))
    # All windows of a recording have the same sensors.
    assert len(seen) == 40 and all(len(each) == 1 for each in seen.values())
    kinds = [next(iter(each)) for each in seen.values()]
    assert kinds.count((1, 1)) == whole
    assert kinds.count((1, 0)) == kinds.count((0, 1)) == (40 - whole) / 2
    other = SensorSource({"a": windows}, False, held=False, pairs=pairs, seed=1)
    assert np.array_equal(source.trust, other.trust) == (pairs == 1)
    assert source.describe()["pairs"] == pairs


def test_sets_of_different_sensors_are_drawn_from_their_own_axes(monkeypatch):
    unchanged(monkeypatch)
    parts, source = mixed()
    assert source.sensors == ("accel", "gyro", "magn")
    rows = np.random.default_rng(0).permutation(len(source))
    drawn, trust = source.draw(rows, seeded())
    axes = {"both": (0, 1, None), "three": (2, 0, 1), "alone": (0, None, None)}
    for place, row in enumerate(rows):
        member = int(source.member(np.array([row]))[0])
        name, windows = [*parts.items()][member]
        for sensor, triad in enumerate(axes[name]):
            assert trust[sensor, place] == (triad is not None)
            given = drawn[sensor, place].numpy()
            if triad is None:
                assert not given.any()
            else:
                window = windows.X[row - source.first[member]]
                assert np.array_equal(given, window[3 * triad : 3 * triad + 3])


def test_statistics_are_of_the_windows_that_have_the_axis():
    parts, source = mixed()
    gyro = np.concatenate([parts["both"].X[:, 3:6], parts["three"].X[:, :3]])
    everyone = np.concatenate([parts["both"].X[:, :3], parts["three"].X[:, 6:], parts["alone"].X])
    for place, values in ((0, everyone), (3, gyro), (6, parts["three"].X[:, 3:6])):
        mean, deviation = values.astype(float).mean((0, 2)), values.astype(float).std((0, 2))
        assert np.allclose(source.mean[place : place + 3], mean, atol=1e-6)
        assert np.allclose(source.deviation[place : place + 3], deviation, rtol=1e-5)


def test_sensors_of_one_window_turn_together(monkeypatch):
    for name in ("GAIN", "WARP", "SHIFT", "NOISE"):
        monkeypatch.setattr(sets, name, 0.0)
    one = recorded(ACCELEROMETER)
    X = np.concatenate([one.X, 2 * one.X, 3 * one.X], axis=1)
    windows = replace(one, X=X, sensors=("accel", "gyro", "wrist.accel"))
    source = SensorSource({"a": windows}, False, held=False)
    drawn, _ = source.draw(np.arange(20), seeded())
    assert (drawn[0].numpy() - one.X[:20]).std() > 0.05
    assert torch.allclose(drawn[1], 2 * drawn[0], atol=1e-5)
    # What is worn elsewhere turns by itself.
    assert (drawn[2] - 3 * drawn[0]).std() > 0.05


def test_pictures_are_views_of_the_one_sensor(monkeypatch):
    unchanged(monkeypatch)
    _, source = mixed(pictures=True)
    rows = np.array([0, 31, 55, 7])
    drawn, trust = source.draw(rows, seeded())
    assert drawn.shape == (3, 4, 3, 72, 96) and drawn.dtype == torch.uint8
    absent = drawn[trust == 0]
    assert len(absent) == 4 and not absent.any()
    signals, _ = replace_pictures(source).draw(rows, seeded())
    seen = set()
    for sensor, place in (trust > 0).nonzero().tolist():
        name = source.sensors[sensor]
        views = recommended_views(25.0, 60, 96, 72, (name,))
        every = to_images(signals[sensor, [place]].numpy(), views, sensors=(name,))[0]
        given = drawn[sensor, place].numpy() / 255
        errors = [np.abs(given - one).max() for one in every]
        assert min(errors) <= 0.5 / 255 + 1e-6
        seen.add((name, int(np.argmin(errors))))
    assert len(seen) > 3


def replace_pictures(source):
    """The same source, of signals."""
    parts = {str(number): each for number, each in enumerate(source.sets)}
    return SensorSource(parts, False, held=False)


def test_a_bound_sensor_comes_from_its_partner(monkeypatch):
    unchanged(monkeypatch)
    parts, source = mixed()
    lone = int(source.first[2])
    source.partner[1, lone], source.trust[1, lone] = 4, 0.25
    rows = np.array([3, lone, lone + 1])
    drawn, trust = source.draw(rows, seeded())
    assert trust[1].tolist() == [1, 0.25, 0] and trust[2].tolist() == [0, 0, 0]
    assert np.array_equal(drawn[1, 1].numpy(), parts["both"].X[4, 3:])
    assert np.array_equal(drawn[0, 1].numpy(), parts["alone"].X[0])
    assert np.array_equal(drawn[1, 0].numpy(), parts["both"].X[3, 3:])
    assert not drawn[1, 2].any() and not drawn[2].any()


def test_batches_are_sequences_none_of_them_twice():
    _, source = mixed()
    loader = SensorLoader(source, 12, 5, ALONE, views=2, sequence=4)
    assert loader.steps == len(source) // 12
    first, again = (loader.epoch(0), loader.epoch(0))
    runs = {tuple(each) for each in source.sequences(4).tolist()}
    for step, (batch, same) in enumerate(zip(first, again, strict=True)):
        assert batch.images.shape == (2, 3, 12, 3, 60)
        assert torch.equal(batch.images, same.images) and torch.equal(batch.labels, same.labels)
        chosen = loader.choose(np.random.default_rng([5, 0, step, 0])).reshape(-1, 4)
        assert len({tuple(each) for each in chosen.tolist()} & runs) == 3
        assert torch.equal(batch.labels, torch.from_numpy(source.trust[:, chosen.ravel()]))
        assert not torch.equal(batch.images[0], batch.images[1])
    [resumed] = list(loader.epoch(0, loader.steps - 1))
    assert torch.equal(resumed.images, same.images)


@pytest.mark.parametrize(
    ("batch", "world", "sequence", "said"),
    [
        (10, ALONE, 4, "a batch of 10 cannot be made of sequences of 4"),
        (12, World(torch.device("cpu"), 0, 2), 4, "a batch of 6 cannot be made of sequences of 4"),
        (25, ALONE, 5, "5 sequences of 5 windows make a batch, and there are 4"),
        (12, ALONE, 6, "no recording has 6 windows in a row"),
    ],
)
def test_batches_that_cannot_be_made_are_told(batch, world, sequence, said):
    source = SensorSource({"a": recorded(recordings=2), "b": recorded(length=4)}, False, held=False)
    with pytest.raises(InputError, match=said):
        SensorLoader(source, batch, 0, world, 2, sequence)


def test_sets_that_cannot_be_joined_are_told():
    one, longer = recorded(), recorded(samples=80)
    said = "must be alike, not of (60|80) samples at 25 Hz and (80|60) samples at 25 Hz"
    with pytest.raises(InputError, match=said):
        SensorSource({"a": one, "b": longer}, False)
    still = one.X.copy()
    still[:, 4] = 2.0
    with pytest.raises(InputError, match="axis y of gyro is constant in all windows"):
        SensorSource({"a": replace(one, X=still)}, False)
