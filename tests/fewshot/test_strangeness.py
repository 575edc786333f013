"""Strangeness against its formula written class by class, and in people who were left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from img2imu.fewshot.calibration import HeldOut, hold_out
from img2imu.fewshot.linear import Others, combined, scales, whitened_heads
from img2imu.fewshot.strangeness import ODD_C, SHARED, Known

CLASSES, WIDTH = 3, 12


@pytest.fixture
def windows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and people: the first class spreads four times as wide as the others."""
    rng = np.random.default_rng(0)
    labels, groups = np.tile(np.arange(CLASSES), 40), np.repeat(np.arange(8), 15)
    spread = np.where(labels == 0, 2.0, 0.5)[:, None]
    features = 4 * np.eye(CLASSES, WIDTH)[labels] + rng.normal(size=(120, WIDTH)) * spread
    return features.astype(np.float32), labels, groups


def elsewhere(count: int, seed: int) -> np.ndarray:
    """Windows of a class that nobody labelled, near a narrow one."""
    rng = np.random.default_rng(seed)
    features = 4 * np.eye(CLASSES, WIDTH)[1] + rng.normal(size=(count, WIDTH)) * 0.5
    features[:, -1] += 2
    return features.astype(np.float32)


def learnt(windows, unlabelled) -> tuple[HeldOut, Known, np.ndarray]:
    """What people left out say, the classes, and the head's weight and bias as one matrix."""
    features, labels, groups = windows
    whose = np.arange(len(unlabelled)) % 8
    held = hold_out(features, labels, groups, 0.1, (unlabelled, whose), [WIDTH], [False], 0.0)
    each = scales(np.concatenate([features, unlabelled]), [WIDTH])
    head = combined(whitened_heads(features, labels, 0.1, Others(each, unlabelled)))
    return held, Known.of(features, labels, unlabelled, each), head


def signs_of(held, module) -> np.ndarray:
    logits = held.signs.logits / held.temperature
    parts = held.signs.distance, logits, held.signs.odd
    return module.combine(*map(torch.from_numpy, parts)).numpy()


def strange(module, head, held, tested) -> np.ndarray:
    logits = (head.logits(tested) / held.temperature).astype(np.float32)
    return module(torch.from_numpy(tested), torch.from_numpy(logits)).numpy()


@pytest.mark.parametrize("others", [0, 80])
def test_it_is_a_sum_of_deviations_from_what_is_usual_in_the_class(windows, others):
    features, labels, _ = windows
    unlabelled = np.concatenate([features[:40], elsewhere(40, 2)])[:others]
    held, known, head = learnt(windows, unlabelled)
    module, percentiles = held.strangeness(known)
    tested = features[:20] + 1
    seen = np.concatenate([features, unlabelled])
    mean, deviation = seen.mean(0), seen.std(0)
    standard, moved = (features - mean) / deviation, (tested - mean) / deviation
    means = np.stack([standard[labels == k].mean(0) for k in range(CLASSES)])
    far = np.log(cdist(moved, means, "sqeuclidean"))
    logits = head.logits(tested) / held.temperature
    own = held.signs.distance[np.arange(120), held.labels]
    sure = -logsumexp(held.signs.logits / held.temperature, axis=1)
    expected = np.zeros(20)
    for k in range(CLASSES):
        for sign, value in ((own, far[:, k]), (sure, -logsumexp(logits, axis=1))):
            each = [sign[held.labels == j] for j in range(CLASSES)]
            variance = (
                SHARED * np.mean([part.var() for part in each]) + (1 - SHARED) * each[k].var()
            )
            share = softmax(logits, axis=1)[:, k]
            expected += share * (value - each[k].mean()) / np.sqrt(variance)
    if others:
        side = np.arange(len(seen)) >= len(features)
        model = LogisticRegression(C=ODD_C / WIDTH, class_weight="balanced", tol=1e-8)
        model.fit((seen - mean) / deviation, side)
        odd = held.signs.odd
        expected += (moved @ model.coef_[0] - odd.mean()) / odd.std()
    np.testing.assert_allclose(strange(module, head, held, tested), expected, rtol=2e-3, atol=2e-3)
    # So many windows are below in each person.
    own = signs_of(held, module)
    each = [np.percentile(own[held.groups == person], range(101)) for person in range(8)]
    np.testing.assert_allclose(percentiles, np.max(each, axis=0), rtol=1e-5)


def test_nobody_has_taught_what_his_own_windows_are_measured_by(windows):
    """A distance to a mean with one's own windows in it is shorter."""
    features, labels, _ = windows
    held, known, head = learnt(windows, features[:0])
    whole = known.signs(features, head.logits(features)).distance[np.arange(120), labels]
    assert held.signs.distance[np.arange(120), held.labels].mean() > whole.mean() + 0.02


def test_usual_is_what_is_usual_in_the_class(windows):
    """A new class near a narrow one is nearer to it than the wide class' windows to their own."""
    features = windows[0]
    held, known, head = learnt(windows, features[:0])
    module, _ = held.strangeness(known)
    tested = np.concatenate([features, elsewhere(40, 1)])
    unknown = np.arange(len(tested)) >= len(features)
    nearest = known.signs(tested, head.logits(tested)).distance.min(1)
    found = roc_auc_score(unknown, strange(module, head, held, tested))
    assert found > roc_auc_score(unknown, nearest) + 0.1


def test_unlabelled_windows_show_what_else_there_is(windows):
    features = windows[0]
    tested = np.concatenate([features, elsewhere(40, 1)])
    unknown = np.arange(len(tested)) >= len(features)
    areas = []
    for unlabelled in (features[:0], np.concatenate([features, elsewhere(40, 2)])):
        held, known, head = learnt(windows, unlabelled)
        module, _ = held.strangeness(known)
        areas.append(roc_auc_score(unknown, strange(module, head, held, tested)))
    assert areas[1] > areas[0] + 0.02, areas


def test_what_tells_an_order_does_not_count(windows):
    features, labels, _ = windows
    each = scales(features, [5, 7])
    known = Known.of(features, labels, elsewhere(40, 2), each, [False, True])
    moved = features.copy()
    moved[:, 5:] += 100
    logits = np.zeros((120, CLASSES))
    one, other = known.signs(features, logits), known.signs(moved, logits)
    np.testing.assert_array_equal(one.distance, other.distance)
    np.testing.assert_array_equal(one.odd, other.odd)
    assert one.odd.any()
