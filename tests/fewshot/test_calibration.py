"""Temperature and calibration error against plain formulas; thresholds on people left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from img2imu.errors import InputError
from img2imu.fewshot.calibration import BINS, Reliability, fit_temperature, hold_out
from img2imu.fewshot.classifier import Img2ImuClassifier
from img2imu.fewshot.linear import Others, combined, scales, whitened_heads


def test_temperature_is_the_one_of_the_least_log_loss():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4)) * 2
    told = softmax(logits, axis=1).cumsum(1)
    labels = (rng.random((4000, 1)) > told).sum(1)
    for factor in (0.5, 1.0, 3.0):
        found = fit_temperature(logits * factor, labels)
        assert found == pytest.approx(factor, rel=0.1)
        grid = np.geomspace(0.8, 1.25, 41) * factor
        losses = [log_loss(labels, softmax(logits * factor / t, axis=1)) for t in grid]
        assert found == pytest.approx(grid[np.argmin(losses)], rel=0.02)


def test_few_windows_hardly_move_the_temperature():
    """Three windows, all wrong with certainty, would otherwise take the highest there is."""
    logits = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    assert 1 < fit_temperature(logits, np.array([1, 0, 1])) < 4


def test_calibration_error_is_that_of_a_plain_loop():
    rng = np.random.default_rng(1)
    probability = rng.dirichlet(np.ones(3), 500)
    labels = rng.integers(3, size=500)
    confidence, right = probability.max(1), probability.argmax(1) == labels
    error = 0.0
    for k in range(BINS):
        inside = (confidence >= k / BINS) & (confidence < (k + 1) / BINS)
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert Reliability.of(confidence, right).error == pytest.approx(error)
    assert Reliability.of(np.ones(3), np.ones(3, bool)).error == 0


def people(count: int, each: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of two classes and whose they are; everybody stands elsewhere."""
    rng = np.random.default_rng(2)
    labels = np.tile([0, 1], count * each // 2)
    groups = np.repeat([f"p{i}" for i in range(count)], each)
    features = rng.normal(size=(len(labels), 6)) + labels[:, None]
    features += np.repeat(rng.normal(size=(count, 6)), each, axis=0)
    return features.astype(np.float32), labels, groups


def test_everybody_is_left_out_once_and_not_learnt_from():
    features, labels, groups = people(5)
    nobody = features[:0], groups[:0]
    held = hold_out(features, labels, groups, 0.1, nobody, [6], [False], 0.0)
    assert sorted(held.labels.tolist()) == sorted(labels.tolist())
    # One person's answers are those of a head that the others teach.
    training = groups != "p0"
    known = scales(features[training], [6])
    heads = whitened_heads(features[training], labels[training], 0.1, Others(known, features[:0]))
    expected = combined(heads).logits(features[~training])
    apart = np.abs(held.signs.logits.reshape(5, 8, 2) - expected).max((1, 2))
    assert apart.min() < 1e-6


def test_two_people_tell_nothing_of_others():
    features, labels, groups = people(2)
    nobody = features[:0], groups[:0]
    assert hold_out(features, labels, groups, 0.1, nobody, [6], [False], 0.0) is None


def test_the_threshold_is_a_quantile():
    classifier = Img2ImuClassifier()
    classifier.strangeness_ = np.arange(101.0)
    assert classifier.strangest(0.95) == 95
    assert classifier.strangest(1) == np.inf
    classifier.strangeness_ = None
    assert classifier.strangest(0.9) == np.inf
    with pytest.raises(InputError, match="keep"):
        classifier.strangest(0)
