"""Whitening by the differences of neighbouring windows: the formula, its use, when it stays off."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from img2imu import Img2ImuClassifier
from img2imu.convert import SpectrogramConfig
from img2imu.fewshot import ProbeConfig, evaluate, fit_classifier, methods
from img2imu.fewshot.linear import SHRINKAGE, fit_logistic, scales, view_heads
from img2imu.fewshot.methods import LEAST_NEIGHBOURS, neighbour_differences
from img2imu.models import EncoderConfig
from img2imu.recordings import neighbours

VIEWS = (SpectrogramConfig(width=64, height=48),)
ENCODER = EncoderConfig(stages=(1,), bands=2)


def test_neighbours_touch_in_one_recording(exercise):
    pairs = neighbours(exercise)
    assert len(pairs) > len(exercise) / 2
    for one, other in pairs[::50]:
        assert exercise.recording[one] == exercise.recording[other]
        assert exercise.subject[one] == exercise.subject[other]
        assert 0 < exercise.start[other] - exercise.start[one] <= 5
    unknown = replace(exercise, start=np.zeros(len(exercise)))
    assert len(neighbours(unknown)) == 0


def test_scale_is_its_formula():
    rng = np.random.default_rng(0)
    typical = rng.normal(size=(200, 6)) * [1, 2, 3, 1, 2, 3] + 5
    differences = rng.normal(size=(150, 6)) @ rng.normal(size=(6, 6))
    [first, second] = scales(typical, [2, 4], differences)
    assert first.basis.shape == (2, 2)
    part, own = differences[:, 2:], typical[:, 2:]
    scaled = part / own.std(0)
    covariance = scaled.T @ scaled / len(scaled)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / 4 * np.eye(4)
    white = (own - own.mean(0)) / own.std(0) @ fractional_matrix_power(shrunk, -0.5)
    # A root of the inverse, up to a rotation, so scaled that features are as large as without.
    np.testing.assert_allclose(
        second.basis @ second.basis.T, np.linalg.inv(shrunk) / white.std() ** 2, rtol=1e-6
    )
    [plain] = scales(own, [4])
    assert plain.basis is None
    np.testing.assert_allclose(plain.deviation, own.std(0))


def test_it_is_part_of_the_linear_head():
    """The head takes features as they are and says what the whitened ones would."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(40, 5)), rng.integers(0, 3, 40)
    [scale] = scales(features, [5], rng.normal(size=(200, 5)))
    [head] = view_heads(features, labels, 1.0, [scale])
    white = (features - scale.mean) / scale.deviation @ scale.basis
    still = fit_logistic(white, labels, 1.0, unlabelled=np.array([[1.0], [-1.0]]).repeat(5, 1))
    assert head.logits(features).argmax(1).tolist() == still.logits(white).argmax(1).tolist()


def test_it_finds_what_neighbours_share():
    """One feature tells the class and stays; fifty swing together and say nothing."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 400).repeat(2)
    swing = rng.normal(size=(len(labels), 3)) @ rng.normal(size=(3, 50)) * 3
    features = np.column_stack([labels + rng.normal(size=len(labels)) * 0.1, swing])
    pairs = np.arange(len(labels)).reshape(-1, 2)
    differences = neighbour_differences(features, pairs, np.arange(len(labels)))
    few = np.concatenate([np.flatnonzero(labels == k)[:3] for k in (0, 1)])
    accuracy = [
        (head.logits(features).argmax(1) == labels).mean()
        for known in (scales(features, [51]), scales(features, [51], differences))
        for head in view_heads(features[few], labels[few], 0.1, known)
    ]
    assert accuracy[1] > accuracy[0] + 0.1 and accuracy[1] > 0.9


def test_few_neighbours_whiten_nothing():
    features = np.zeros((LEAST_NEIGHBOURS, 4), np.float32)
    pairs = np.column_stack([np.arange(len(features) - 1), np.arange(1, len(features))])
    assert neighbour_differences(features, pairs, np.arange(len(features))) is None


def test_validation_subjects_choose_and_the_classifier_follows(exercise, tmp_path):
    windows = exercise.select(exercise.start < 30)
    config = ProbeConfig(encoder=ENCODER, views=VIEWS, shots=(3,), seeds=1)
    outcome = evaluate(windows, config, ["img2imu"], cache=tmp_path, jobs=1)
    chosen = outcome["results"][0]["chosen"]
    assert all(isinstance(setting["whiten"], bool) for setting in chosen)
    forced = [{**outcome["results"][0], "chosen": [{**chosen[0], "whiten": True}]}]
    classifier = fit_classifier(windows, config, forced)
    plain = Img2ImuClassifier(50.0, VIEWS, ENCODER).fit(windows.X, windows.y)
    white = Img2ImuClassifier(50.0, VIEWS, ENCODER)
    white.fit(windows.X, windows.y, neighbours=neighbours(windows))
    some = windows.X[:5]
    np.testing.assert_allclose(
        classifier.decision_function(some), white.decision_function(some), rtol=1e-4, atol=1e-4
    )
    assert np.abs(plain.decision_function(some) - white.decision_function(some)).max() > 0.05


def test_what_a_fold_cannot_try_it_does_not_choose(exercise, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "neighbour_differences", lambda *_: None)
    config = ProbeConfig(encoder=ENCODER, views=VIEWS, shots=(3,), seeds=1)
    windows = exercise.select(exercise.start < 30)
    [record] = evaluate(windows, config, ["img2imu"], cache=tmp_path, jobs=1)["results"]
    assert not any(setting["whiten"] for setting in record["chosen"])


@pytest.mark.parametrize("known", [True, False])
def test_unlabelled_neighbours_count(exercise, known):
    """Half of the windows have no label; their neighbours tell the covariance all the same."""
    windows = exercise.select(exercise.subject == exercise.subjects[0])
    y = np.where(np.arange(len(windows)) % 2, "", windows.y) if known else windows.y
    classifier = Img2ImuClassifier(50.0, VIEWS, ENCODER)
    classifier.fit(windows.X, y, neighbours=neighbours(windows))
    assert np.isfinite(classifier.decision_function(windows.X[:2])).all()
