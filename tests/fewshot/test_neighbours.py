"""The probe of nearest neighbours against scikit-learn's."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from img2imu.fewshot import ProbeConfig, evaluate
from img2imu.fewshot.handmade import handmade_features
from img2imu.fewshot.learners import Background, NeighboursLearner, Problem
from img2imu.fewshot.linear import QUIET
from img2imu.fewshot.methods import FeatureMethod, FixedFeatures
from img2imu.fewshot.protocol import Task, summarize
from img2imu.models import EncoderConfig
from img2imu.progress import silent
from img2imu.recordings import SplitManifest


def standard(unlabelled, widths):
    """scikit-learn's scaler of each view, whose quiet features stay quiet."""
    scalers = []
    for view in np.split(unlabelled.astype(np.float64), np.cumsum(widths)[:-1], axis=1):
        scaler = StandardScaler().fit(view)
        scaler.scale_ = np.maximum(scaler.scale_, QUIET * np.median(scaler.scale_))
        scalers.append((scaler, view.shape[1]))

    def scaled(features):
        edges = np.cumsum([width for _, width in scalers])[:-1]
        views = np.split(features.astype(np.float64), edges, axis=1)
        parts = [scaler.transform(v) for (scaler, _), v in zip(scalers, views, strict=True)]
        return np.concatenate(parts, axis=1)

    return scaled


def peer(neighbours):
    """Votes by exp(cosine / 0.07), each relative to that of the window itself."""
    return KNeighborsClassifier(
        neighbours, metric="cosine", algorithm="brute", weights=lambda far: np.exp(-far / 0.07)
    )


@pytest.mark.parametrize(("shots", "neighbours"), [(1, 1), (4, 4), (30, 20)])
def test_probabilities_equal_scikit_learn(shots, neighbours):
    rng = np.random.default_rng(shots)
    labels = rng.permutation(np.repeat(np.arange(3), shots))
    widths = [5, 12]
    features = rng.normal(size=(len(labels), 17)) * rng.uniform(0.01, 30, 17) + 5
    features[:, :6] += labels[:, None] * 3
    unlabelled, unseen = (rng.normal(size=(n, 17)) * 4 + 5 for n in (80, 40))
    given = Background(unlabelled.astype(np.float32), widths)
    [predict] = NeighboursLearner().fit([Problem(features, labels, 0)], given)
    scaled = standard(given.unlabelled, widths)
    model = peer(neighbours).fit(scaled(features), labels)
    np.testing.assert_allclose(predict(unseen), model.predict_proba(scaled(unseen)), atol=1e-5)


def test_trends_over_time_take_no_part():
    rng = np.random.default_rng(0)
    features, unseen, unlabelled = (rng.normal(size=(n, 9)) for n in (12, 30, 50))
    labels = np.arange(12) % 3
    with_trends = Background(unlabelled, [3, 4, 2], [False, True, False])
    [predict] = NeighboursLearner().fit([Problem(features, labels, 0)], with_trends)
    views = [0, 1, 2, 7, 8]
    [plain] = NeighboursLearner().fit(
        [Problem(features[:, views], labels, 0)], Background(unlabelled[:, views], [3, 2])
    )
    np.testing.assert_array_equal(predict(unseen), plain(unseen[:, views]))


def test_the_protocol_equals_a_loop_over_folds(exercise):
    """Hand-made features under the probe, written down with scikit-learn's own pieces."""
    windows = exercise.select(slice(None, None, 3))
    features = handmade_features(windows.X, 50.0)
    manifest = SplitManifest.create("windows", windows, (3,), range(1))
    task = Task.from_manifest(windows, manifest)
    method = FeatureMethod("hand", "knn", [FixedFeatures({}, features)], [NeighboursLearner()])
    [record] = summarize(method, method.run(task, silent, jobs=1))
    scores = []
    for fold in manifest.folds:
        rows = manifest.draw(fold.index, 0, 3)
        test = fold.windows("test", windows.subject)
        sample = np.random.default_rng(0).permutation(task.known[fold.index])[:1000]
        scaled = standard(features[np.sort(sample)], [features.shape[1]])
        model = peer(3).fit(scaled(features[rows]), windows.y[rows])
        said = model.predict(scaled(features[test]))
        scores.append(f1_score(windows.y[test], said, average="macro"))
    np.testing.assert_allclose(record["f1_each"], scores, atol=1e-4)


def test_it_stands_beside_the_others_in_an_evaluation(exercise):
    windows = exercise.select(slice(None, None, 6))
    encoder = EncoderConfig("test_resnet", stages=(1,), bands=1)
    config = ProbeConfig(encoder=encoder, shots=(2,), seeds=1, probes=("logistic", "knn"))
    both = evaluate(windows, config, ["img2imu"], jobs=1)["results"]
    assert [record["probe"] for record in both] == ["logistic", "knn"]
    alone = evaluate(windows, replace(config, probes=("knn",)), ["img2imu"], jobs=1)["results"]
    assert alone == both[1:]
