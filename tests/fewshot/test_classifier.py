"""The estimator: scikit-learn's habits, and a folder that is whole or refused."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.covariance import shrunk_covariance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from img2imu import Img2ImuClassifier
from img2imu.convert import SpectrogramConfig, to_images
from img2imu.errors import InputError
from img2imu.fewshot.features import extract
from img2imu.fewshot.linear import PRIOR, QUIET, Others, scales, whitened_heads
from img2imu.models import EncoderConfig, create_encoder
from img2imu.recordings import few_shot
from img2imu.settings import write_sealed

PAPER = {"views": (SpectrogramConfig(),), "encoder": EncoderConfig(stages=(1,), bands=2)}


@pytest.fixture(scope="module")
def few(exercise):
    rows = few_shot(exercise.y, np.arange(len(exercise)), 4, seed=0)
    return exercise.X[rows], exercise.y[rows]


@pytest.fixture(scope="module")
def fitted(few):
    return Img2ImuClassifier(**PAPER).fit(*few)


def test_probabilities_equal_a_pipeline_of_other_parts(few, fitted, exercise):
    """Reference engine, encoder called by hand, scikit-learn's scaler, covariance, regression."""
    import torch

    encoder = create_encoder(stages=(1,), bands=2)

    def features(windows):
        images = to_images(windows, SpectrogramConfig(), engine="reference")
        with torch.no_grad():
            return encoder(torch.from_numpy(images)).numpy().astype(np.float64)

    scaler = StandardScaler().fit(features(few[0]))
    scaler.scale_ = np.maximum(scaler.scale_, QUIET * np.median(scaler.scale_))
    known, numbers = scaler.transform(features(few[0])), np.unique(few[1], return_inverse=True)[1]
    within = known - np.stack([known[numbers == k].mean(0) for k in numbers])
    free = len(known) - len(set(few[1]))
    shrunk = shrunk_covariance(within.T @ within / free, PRIOR / (PRIOR + free))
    root = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    peer = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000)
    peer.fit(known @ root / (known @ root).std(), few[1])
    unseen = exercise.X[::100]
    wanted = peer.predict_proba(scaler.transform(features(unseen)) @ root / (known @ root).std())
    np.testing.assert_allclose(fitted.predict_proba(unseen), wanted, atol=5e-3)


def test_unlabelled_windows_tell_how_features_vary_and_nothing_else(few, exercise):
    windows, labels = few
    others = exercise.X[::40]
    classifier = Img2ImuClassifier(**PAPER).fit(
        np.concatenate([others, windows]), np.concatenate([np.full(len(others), ""), labels])
    )
    assert classifier.classes_.tolist() == exercise.classes
    assert classifier.trained_on_["windows"] == len(windows)
    encoder, views = classifier.network_.encoder, classifier.views_
    known, more, unseen = (
        extract(X, views, encoder)[0] for X in (windows, others, exercise.X[5::100])
    )
    numbers = np.unique(labels, return_inverse=True)[1]
    scale = scales(np.concatenate([known, more]), [known.shape[1]])
    [head] = whitened_heads(known, numbers, 0.1, Others(scale, more))
    np.testing.assert_allclose(
        classifier.predict_proba(exercise.X[5::100]), head.probabilities(unseen), atol=1e-4
    )


def test_it_learns_real_exercises(few, fitted, exercise):
    unseen = exercise.select(slice(None, None, 7))
    assert fitted.score(unseen.X, unseen.y) > 2 / len(exercise.classes)


def test_saved_and_loaded_is_the_same(tmp_path, few, fitted):
    fitted.save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(few[0]), fitted.predict_proba(few[0]))
    assert loaded.views_ == fitted.views_
    assert loaded.predict(few[0]).dtype.kind == "U"
    fitted.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_scikit_learn_habits(few):
    X, y = few
    estimator = Img2ImuClassifier(**PAPER, C=0.5)
    assert clone(estimator).get_params() == estimator.get_params()
    assert cross_val_score(estimator, X, y, cv=2).mean() > 1 / 7
    pipeline = make_pipeline(FunctionTransformer(lambda windows: windows * 2), estimator).fit(X, y)
    direct = clone(estimator).fit(X * 2, y)
    np.testing.assert_array_equal(pipeline.predict(X), direct.predict(X * 2))
    numbers = clone(estimator).fit(X, np.unique(y, return_inverse=True)[1])
    assert numbers.predict(X).dtype.kind == "i"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X[:, :2], y), "shape"),
        (lambda X, y: (X[0], y), "shape"),
        (lambda X, y: (X.astype(str), y), "numbers"),
        (lambda X, y: (np.where(np.arange(len(X))[:, None, None] == 3, np.nan, X), y), "window 3"),
        (lambda X, y: (X, y[:-1]), "labels"),
        (lambda X, y: (X, np.full(len(y), "one")), "two classes"),
        (lambda X, y: (X[..., :50], y), "shorter than nfft"),
    ],
)
def test_bad_input_is_one_sentence(few, change, message):
    with pytest.raises(InputError, match=message):
        Img2ImuClassifier(**PAPER).fit(*change(*few))


def test_windows_of_another_length_are_refused(few, fitted):
    with pytest.raises(InputError, match="250 samples"):
        fitted.predict(few[0][..., :200])


def _drop_weights(folder):
    (folder / "model.safetensors").unlink()


def _drop_config(folder):
    (folder / "config.json").unlink()


def _change_one_weight(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["head.bias"][0] += 1
    save_file(tensors, folder / "model.safetensors")


def _truncate_config(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def _newer_format(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": 99}))


@pytest.mark.parametrize(
    "damage", [_drop_weights, _drop_config, _change_one_weight, _truncate_config, _newer_format]
)
def test_a_damaged_folder_is_refused(tmp_path, fitted, damage):
    fitted.save(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(InputError, match="model"):
        Img2ImuClassifier.load(tmp_path / "model")


def test_save_never_overwrites_something_else(tmp_path, fitted):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(InputError, match="not a classifier"):
        fitted.save(tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize(
    "change",
    [{"samples": 200}, {"sampling_rate": 25.0}, {"labels": ["a", "b"]}, {"C": "1"}, {"more": 1}],
)
def test_a_tampered_config_is_refused(tmp_path, fitted, change):
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match="was changed or damaged"):
        Img2ImuClassifier.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"C": "1"}, "C"),
        ({"more": 1}, "more"),
        ({"encoder": None}, "encoder"),
        ({"views": [{"kind": "painting"}]}, "painting"),
        ({"labels": ["a", "b"]}, "tensors"),
        ({"views": []}, "tensors"),
    ],
)
def test_a_config_sealed_by_hand_must_still_fit(tmp_path, fitted, change, place):
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = {**json.loads(path.read_text()), **change}
    del config["checksum"]
    write_sealed(path, config)
    with pytest.raises(InputError, match=place) as told:
        Img2ImuClassifier.load(tmp_path / "model")
    assert "\n" not in str(told.value)


def test_files_have_the_permissions_of_any_new_file(tmp_path, fitted):
    (tmp_path / "plain").write_text("")
    fitted.save(tmp_path / "model")
    wanted = (tmp_path / "plain").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "model").iterdir()} == {wanted}


@pytest.mark.parametrize("missing", ["", None, float("nan")])
def test_unlabelled_windows_of_pandas_are_no_class(few, missing):
    X, y = few
    column = np.array([missing, *y[1:]], dtype=object)
    classifier = Img2ImuClassifier(**PAPER).fit(X, column)
    assert classifier.classes_.tolist() == np.unique(y[1:]).tolist()
    numbers = np.array([missing, *np.unique(y, return_inverse=True)[1][1:].tolist()], dtype=object)
    assert Img2ImuClassifier(**PAPER).fit(X, numbers).predict(X[:2]).dtype.kind == "i"
