"""The linear probes against scikit-learn's pipeline and torch's own layer and optimiser."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from img2imu.fewshot.linear import (
    QUIET,
    combined,
    fit_paper,
    paper_learning_rate,
    scales,
    view_heads,
)
from img2imu.fewshot.metrics import confusion_matrix, macro_f1


def problem(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, d)) * rng.uniform(0.1, 30, d) + rng.normal(size=d) * 10
    features[:, : d // 4] += labels[:, None] * 3
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("n", "d"), [(40, 300), (300, 40)])
@pytest.mark.parametrize("C", [0.01, 1.0])
def test_logistic_equals_scikit_learn(n, d, classes, C):
    features, labels = problem(n, d, classes)
    often = (labels > 0) | (np.arange(n) % 8 == 0)  # the first class is rare
    features, labels = features[often], labels[often]
    scaler = StandardScaler().fit(features.astype(np.float64))
    scaler.scale_ = np.maximum(scaler.scale_, QUIET * np.median(scaler.scale_))
    regression = LogisticRegression(C=C, class_weight="balanced", tol=1e-9, max_iter=20000)
    peer = regression.fit(scaler.transform(features.astype(np.float64)), labels)
    unseen, _ = problem(50, d, classes, seed=1)
    [head] = view_heads(features, labels, C, scales(features, [d]))
    logits = head.logits(unseen.astype(np.float64))
    ours = np.exp(logits - logits.max(1, keepdims=True))
    ours /= ours.sum(1, keepdims=True)
    np.testing.assert_allclose(ours, peer.predict_proba(scaler.transform(unseen)), atol=2e-3)


def test_views_have_a_regression_each_and_unlabelled_windows_scale_them():
    features, labels = problem(30, 70, 3)
    unlabelled, _ = problem(200, 70, 3, seed=2)
    unseen, _ = problem(50, 70, 3, seed=1)
    logits = np.zeros((50, 3))
    for view in (slice(0, 20), slice(20, 70)):
        scaler = StandardScaler().fit(unlabelled[:, view].astype(np.float64))
        scaler.scale_ = np.maximum(scaler.scale_, QUIET * np.median(scaler.scale_))
        peer = LogisticRegression(C=0.1, tol=1e-10, max_iter=20000)
        peer.fit(scaler.transform(features[:, view].astype(np.float64)), labels)
        logits += peer.decision_function(scaler.transform(unseen[:, view]))
    head = combined(view_heads(features, labels, 0.1, scales(unlabelled, [20, 50])))
    # A softmax does not see what all classes share.
    ours, wanted = (z - z.mean(1, keepdims=True) for z in (head.logits(unseen), logits / 2**0.5))
    np.testing.assert_allclose(ours, wanted, atol=2e-2)
    exponents = np.exp(wanted)
    expected = exponents / exponents.sum(1, keepdims=True)
    np.testing.assert_allclose(head.probabilities(unseen), expected, atol=5e-3)


def test_a_feature_that_never_changes_is_ignored():
    features, labels = problem(40, 20, 4)
    features[:, 3] = 1e3
    [head] = view_heads(features, labels, 0.1, scales(features, [20]))
    assert np.isfinite(head.weight).all()
    np.testing.assert_allclose(head.weight[:, 3], 0, atol=1e-12)


@pytest.mark.parametrize(("lr", "decay"), [(1e-5, 0.0), (1e-3, 1e-2)])
def test_paper_probe_equals_torch(lr, decay):
    features, labels = problem(10, 6, 3)
    [head] = fit_paper(features[None], labels[None], [7], epochs=12, lr=lr, weight_decay=decay)
    generator = torch.Generator().manual_seed(7)
    start = torch.empty(3, 7).uniform_(-(6**-0.5), 6**-0.5, generator=generator)
    layer = torch.nn.Linear(6, 3)
    layer.weight.data, layer.bias.data = start[:, :-1].clone(), start[:, -1].clone()
    optimizer = torch.optim.Adam(layer.parameters(), weight_decay=decay)
    for epoch in range(12):
        optimizer.param_groups[0]["lr"] = paper_learning_rate(epoch, 12) * lr / 1e-5
        order = torch.randperm(10, generator=generator)
        for rows in order.split(4):
            optimizer.zero_grad()
            logits = layer(torch.from_numpy(features)[rows])
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)[rows]).backward()
            optimizer.step()
    np.testing.assert_allclose(head.weight, layer.weight.detach().numpy(), atol=lr / 100)
    np.testing.assert_allclose(head.bias, layer.bias.detach().numpy(), atol=lr / 100)


def test_paper_problems_do_not_touch_each_other():
    problems = [problem(9, 5, 3, seed) for seed in (0, 1)]
    features, labels = (np.stack(part) for part in zip(*problems, strict=True))
    joint = fit_paper(features, labels, [3, 4], epochs=5)
    for index, seed in enumerate((3, 4)):
        [alone] = fit_paper(features[index : index + 1], labels[index : index + 1], [seed], 5)
        np.testing.assert_allclose(joint[index].weight, alone.weight, atol=1e-6)


def test_paper_learning_rate_follows_the_paper():
    rates = [paper_learning_rate(epoch) for epoch in range(50)]
    assert rates[0] == 1e-8
    assert rates[10] == pytest.approx(1e-5)
    assert rates[-1] == pytest.approx(1e-6)
    assert max(rates) == rates[10]


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_equals_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    ours = macro_f1(confusion_matrix(truth, predicted, 6))
    assert ours == pytest.approx(f1_score(truth, predicted, average="macro"))
