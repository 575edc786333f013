"""What is learnt while somebody labels, against scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from img2imu.fewshot import FeatureCache, ProbeConfig
from img2imu.fewshot.features import extract
from img2imu.label import Learning, compute_features, estimate_f1
from img2imu.label import learning as module
from img2imu.label.learning import DIMENSIONS, LEAST
from img2imu.models import build_encoder

from .samples import library_of, people
from .test_proposals import blobs


def learn(features, labels, others):
    return LogisticRegression().fit(features, labels).predict(others)


def problem(groups=6, each=12, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, groups * each)
    group = np.repeat(np.arange(groups), each)
    features = np.eye(3)[labels] + rng.normal(scale=0.7, size=(len(labels), 3))
    features[:, 0] += rng.normal(scale=0.8, size=groups)[group]
    return features.astype(np.float32), labels, group


def test_the_estimate_is_a_cross_validation():
    features, labels, group = problem()
    found = estimate_f1(features, labels, group, learn)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(LogisticRegression(), features, labels, groups=group, cv=folds)
    assert found.f1 == pytest.approx(f1_score(labels, told, average="macro"))
    assert found.groups == 6
    assert found.low < found.f1 < found.high


def test_its_interval_is_wider_where_groups_differ():
    """The same answers, right in half of the groups: that many windows were right says little."""
    labels = np.tile([0, 1], 60)
    features = np.eye(2, dtype=np.float32)[labels]
    group = np.repeat(np.arange(6), 20)
    scattered = np.tile([True, True, False, False], 30)
    wide, narrow = (
        estimate_f1(np.where(right[:, None], features, 1 - features), labels, group,
                    lambda known, numbers, others: others.argmax(1))
        for right in (np.repeat([True, False], 60), scattered)
    )  # fmt: skip
    assert wide.f1 == pytest.approx(narrow.f1, abs=0.01)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    "cut", [lambda f, y, g: (f[: LEAST - 1], y[: LEAST - 1], g[: LEAST - 1]),
            lambda f, y, g: (f, y * 0, g), lambda f, y, g: (f, y, g * 0)],
)  # fmt: skip
def test_there_is_none_before_there_is_enough(cut):
    assert estimate_f1(*cut(*problem()), learn) is None


def test_few_windows_of_many_classes_are_enough():
    features = np.eye(5, dtype=np.float32)[np.repeat(np.arange(5), 3)]
    found = estimate_f1(features, np.repeat(np.arange(5), 3), np.arange(15) % 6, learn)
    assert found.f1 == found.high == 1


def test_points_are_principal_components():
    features, _ = blobs(dims=100)
    learning = Learning([features], [60, 40])
    scaled = np.concatenate(
        [scale.apply(part) for scale, part in
         zip(learning._others.scales, np.split(features, [60], 1), strict=True)], axis=1
    )[learning.candidates]  # fmt: skip
    peer = PCA(DIMENSIONS).fit_transform(scaled)
    np.testing.assert_allclose(np.abs(learning.points[:, :5]), np.abs(peer[:, :5]), atol=1e-2)
    some = learning.candidates[[3, 50]]
    np.testing.assert_allclose(learning.project(some), learning.points[[3, 50]], atol=1e-3)


def test_rows_come_from_any_part():
    features, _ = blobs()
    learning = Learning([features[:100], features[100:101], features[101:]], [12])
    numbers = np.array([400, 0, 100, 99, 101])
    np.testing.assert_array_equal(learning.rows(numbers), features[numbers])


def test_a_head_tells_all_windows():
    features, member = blobs()
    learning = Learning([features[:300], features[300:]], [12])
    numbers = np.array([0, 10, 310, 320, 430, 440])
    head = learning.fit(numbers, member[numbers])
    told = learning.probabilities(head)
    assert told.shape == (460, 3)
    np.testing.assert_allclose(told.sum(1), 1, rtol=1e-5)
    assert (told.argmax(1) == member).mean() > 0.98


def test_features_come_in_parts_and_from_disk(tmp_path, monkeypatch):
    """As the probe computes them in one go; what is done is not done again after a kill."""
    monkeypatch.setattr(module, "CHUNK", 7)
    library = library_of(people(1, each=4))
    config, cache = ProbeConfig("fast"), FeatureCache(tmp_path)
    done = []

    def killed(count):
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_features(library, config, on_batch=killed, cache=cache)
    assert len([each for each in tmp_path.iterdir() if not each.name.startswith(".")]) == 1
    parts, widths = compute_features(library, config, cache=cache)
    assert [len(part) for part in parts] == [7, 5]
    X = library.windows(range(12))
    encoder = build_encoder(config.encoder)
    views = config.drawing(50.0, 250)
    whole = np.concatenate(extract(X, views, encoder), axis=1)
    assert sum(widths) == whole.shape[1]
    # The cache may compute in bfloat16.
    difference = np.concatenate(parts) - whole
    assert np.abs(difference).mean() < 0.02 * whole.std()
