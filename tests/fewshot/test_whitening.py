"""Whitening within classes: the formula, what it finds, and that the classifier has it too."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from img2imu.convert import SpectrogramConfig
from img2imu.fewshot import ProbeConfig, evaluate, fit_classifier
from img2imu.fewshot.features import extract
from img2imu.fewshot.linear import (
    EVEN,
    PRIOR,
    SHARPNESS,
    Others,
    Scale,
    combined,
    scales,
    view_heads,
    whitened_heads,
)
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


def swinging(count, rng):
    """One feature tells the class and stays; fifty swing together and say nothing."""
    labels = np.arange(count) % 2
    swing = rng.normal(size=(count, 3)) @ rng.normal(size=(3, 50)) * 3
    noise = rng.normal(size=(count, 51)) * 0.1
    return np.column_stack([labels, swing]) + noise, labels


def test_heads_are_their_formula():
    """Window by window in float64: first head, soft labels, covariance, regression."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(12, 6)) + 1, np.arange(12) % 3
    unlabelled = rng.normal(size=(40, 6)) * [1, 2, 3, 1, 2, 3] + 5
    widths = [2, 4]
    known = scales(unlabelled, widths)
    got = combined(whitened_heads(features, labels, 1.0, Others(known, unlabelled)))

    first = combined(view_heads(features, labels, 1.0, known))
    said = unlabelled @ first.weight.T + first.bias
    even = EVEN / (EVEN + (12 / 3) ** 2)
    told = softmax(SHARPNESS * (said - even * said.mean(0)), axis=1)
    expected = 0
    for part in (slice(0, 2), slice(2, 6)):
        mean, deviation = unlabelled[:, part].mean(0), unlabelled[:, part].std(0)
        few, many = ((x[:, part] - mean) / deviation for x in (features, unlabelled))
        covariance, sizes = 0, np.bincount(labels) + told.sum(0)
        means = [few[labels == k].sum(0) + told[:, k] @ many for k in range(3)] / sizes[:, None]
        for k in range(3):
            for x in few[labels == k]:
                covariance = covariance + np.outer(x - means[k], x - means[k])
            for x, share in zip(many, told[:, k], strict=True):
                covariance = covariance + share * np.outer(x - means[k], x - means[k])
        free, width = 52 - 3, part.stop - part.start
        covariance /= free
        variance = np.trace(covariance) / width
        shrunk = (free * covariance + PRIOR * variance * np.eye(width)) / (free + PRIOR)
        white, others = (np.linalg.solve(np.linalg.cholesky(shrunk), x.T).T for x in (few, many))
        others /= white.std()
        white /= white.std()
        seen = Scale(np.zeros(width), np.ones(width))
        [head] = view_heads(white, labels, 1.0, [seen])
        logits = head.logits(white) - even * head.logits(others).mean(0)
        expected = expected + logits / np.sqrt(2)
    np.testing.assert_allclose(got.logits(features), expected, atol=2e-3)


def test_trends_over_time_do_not_label_the_unlabelled_windows():
    """The views beside them get the heads they would get alone, but for the number of views."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(12, 6)) + 1, np.arange(12) % 3
    unlabelled = rng.normal(size=(40, 6)) * [1, 2, 3, 1, 2, 3] + 5
    heads = [
        whitened_heads(
            features[:, part],
            labels,
            1.0,
            Others(scales(unlabelled[:, part], widths), unlabelled[:, part], trends),
        )
        for part, widths, trends in (
            (slice(0, 6), [2, 2, 2], (False, True, False)),
            ([0, 1, 4, 5], [2, 2], ()),
        )
    ]
    for beside, alone in ((0, 0), (2, 1)):
        np.testing.assert_allclose(heads[0][beside].weight, heads[1][alone].weight, atol=1e-9)
        np.testing.assert_allclose(heads[0][beside].bias, heads[1][alone].bias, atol=1e-9)


@pytest.mark.parametrize(("shots", "moved"), [(1, 0.5), (10, 0.0099)])
def test_few_labels_do_not_say_how_frequent_classes_are(shots, moved):
    """Labelled windows that all lie on one side of their class: the boundary is put back."""
    rng = np.random.default_rng(0)
    unlabelled = rng.normal(size=(2000, 1)) + np.repeat([-2, 2], 1000)[:, None]
    features = np.repeat([-1.0, 3.0], shots)[:, None]
    labels = np.repeat([0, 1], shots)
    others = Others(scales(unlabelled, [1]), unlabelled)
    head = combined(whitened_heads(features, labels, 1.0, others))
    slope = head.weight[1, 0] - head.weight[0, 0]
    boundary = (head.bias[0] - head.bias[1]) / slope
    assert boundary == pytest.approx(1 - moved, abs=0.05)


def test_it_finds_what_does_not_tell_the_class():
    features, labels = swinging(800, np.random.default_rng(0))
    few = np.concatenate([np.flatnonzero(labels == k)[:3] for k in (0, 1)])
    given, known = (features[few], labels[few], 0.1), scales(features, [51])
    accuracy = [
        (head.logits(features).argmax(1) == labels).mean()
        for [head] in (view_heads(*given, known), whitened_heads(*given, Others(known, features)))
    ]
    assert accuracy[1] > accuracy[0] + 0.2


def test_where_all_is_labelled_it_points_as_discriminant_analysis():
    features, labels = swinging(20_000, np.random.default_rng(1))
    known = scales(features, [51])
    [head] = whitened_heads(features, labels, 1e-3, Others(known, features[:0]))
    own = head.weight[1] - head.weight[0]
    [theirs] = LinearDiscriminantAnalysis(solver="lsqr").fit(features, labels).coef_
    assert own @ theirs / np.linalg.norm(own) / np.linalg.norm(theirs) > 0.99


@pytest.mark.parametrize("alike", [False, True])
def test_one_window_of_each_class_whitens_nothing(alike):
    """No covariance can be told from them: the heads are what they were."""
    rng = np.random.default_rng(0)
    copies, width = (7 if alike else 1), 300  # a width and number at which float32 rounds
    features = np.repeat(rng.normal(size=(2, width)) + 9, copies, axis=0)
    labels = np.arange(2).repeat(copies)
    known = scales(features, [width])
    heads = view_heads(features, labels, 1.0, known)
    [white] = whitened_heads(features, labels, 1.0, Others(known, features[:0]))
    np.testing.assert_allclose(white.weight, heads[0].weight)


def test_the_classifier_of_an_evaluation_is_whitened_too(exercise, tmp_path):
    """Labelled and unlabelled windows of the file: the head of the formula on its features."""
    windows = exercise.select(exercise.start < 30)
    config = ProbeConfig(encoder=ENCODER, views=VIEWS, shots=(3,), seeds=1)
    outcome = evaluate(windows, config, ["img2imu"], cache=tmp_path, jobs=1)
    known = np.arange(len(windows)) % 3 == 0
    partly = replace(windows, y=np.where(known, windows.y, ""))
    classifier = fit_classifier(partly, config, outcome["results"])
    [features] = extract(windows.X, VIEWS, classifier.network_.encoder)
    numbers = np.unique(windows.y[known], return_inverse=True)[1]
    given, each = (features[known], numbers, 0.1), scales(features, [features.shape[1]])
    [plain] = view_heads(*given, each)
    [white] = whitened_heads(*given, Others(each, features[~known]))
    unseen = features[:9]
    own = classifier.decision_function(windows.X[:9]) * classifier.temperature_
    np.testing.assert_allclose(own, white.logits(unseen), atol=5e-3)
    assert np.abs(own - plain.logits(unseen)).max() > 0.05
