"""QUANT against the paper's description, written down window by window."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from img2imu.fewshot import ProbeConfig, evaluate, quant
from img2imu.fewshot.quant import intervals, quant_features
from img2imu.recordings import SplitManifest

from .signals import movements


def quantile(values, share):
    """Linear between the sorted values."""
    values = sorted(values)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def slowly(window):
    features = []
    for axis in window:
        axis = [float(value) for value in axis]
        first = [b - a for a, b in pairwise(axis)]
        second = [b - a for a, b in pairwise(first)]
        padded = [first[0]] * 2 + first + [first[-1]] * 2
        smooth = [sum(padded[i : i + 5]) / 5 for i in range(len(first))]
        n = len(axis)
        waves = [np.exp(-2j * np.pi * k * np.arange(n) / n) for k in range(n // 2 + 1)]
        spectrum = [abs(np.dot(wave, axis)) for wave in waves]
        for series in (axis, smooth, second, spectrum):
            for start, end in intervals(len(series)):
                part = series[start:end]
                count = 1 + (len(part) - 1) // 4
                if count == 1:
                    features.append(quantile(part, 0.5))
                for i in range(count if count > 1 else 0):
                    mean = sum(part) / len(part) if i % 2 else 0
                    features.append(quantile(part, i / (count - 1)) - mean)
    return features


@pytest.mark.parametrize("samples", [2, 23, 64])
def test_features_are_those_of_the_description(samples):
    windows = np.random.default_rng(0).normal(size=(3, 3, samples)).astype(np.float32)
    features = quant_features(windows)
    assert features.dtype == np.float32
    for window, found in zip(windows, features, strict=True):
        if samples > 2:  # two samples have no second difference
            np.testing.assert_allclose(found, slowly(window), rtol=1e-5, atol=1e-5)


def test_intervals_halve_and_overlap():
    assert intervals(8) == [
        (0, 8),
        *[(0, 4), (4, 8), (2, 6)],
        *[(0, 2), (2, 4), (4, 6), (6, 8)],
        *[(k, k + 1) for k in range(8)],
    ]
    parts = {end - start for start, end in intervals(640)}
    assert parts == {640, 320, 160, 80, 40, 20}
    for samples in (250, 251, 999):
        assert all(0 <= start < end <= samples for start, end in intervals(samples))


def test_the_row_is_a_plain_loop_with_scikit_learn(monkeypatch):
    monkeypatch.setattr(quant, "TREES", 20)
    windows = movements(each=3)
    config = ProbeConfig(shots=(3,), seeds=1)
    [record] = evaluate(windows, config, ["quant"], jobs=1)["results"]
    manifest = SplitManifest.create("windows", windows, (3,), range(1))
    features, confusion = quant_features(windows.X), np.zeros((3, 3), int)
    for fold in manifest.folds:
        rows = manifest.draw(fold.index, 0, 3)
        forest = ExtraTreesClassifier(20, criterion="entropy", max_features=0.1, random_state=0)
        forest.fit(features[rows], windows.y[rows])
        test = fold.windows("test", windows.subject)
        truth = np.searchsorted(windows.classes, windows.y[test])
        answer = np.searchsorted(windows.classes, forest.predict(features[test]))
        np.add.at(confusion, (truth, answer), 1)
    assert record["confusion"] == confusion.tolist()
