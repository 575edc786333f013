"""What came first in a window: features, heads, the choice of their weight, files."""

import numpy as np
import onnxruntime
import pytest
import torch

from img2imu import Img2ImuClassifier
from img2imu.convert import SpectrogramConfig, WaveformConfig, traces
from img2imu.export import ExportConfig, export_classifier
from img2imu.fewshot import ProbeConfig, evaluate
from img2imu.fewshot.learners import ORDERS
from img2imu.fewshot.linear import combined, scales, view_heads
from img2imu.fewshot.order import choose_order
from img2imu.models import EncoderConfig, build_encoder
from img2imu.models.encoder import pool_bands, pool_trend
from img2imu.recordings import Windows

VIEWS = (
    WaveformConfig(width=64, height=48),
    SpectrogramConfig(nfft=32, noverlap=28, width=64, height=48),
)
ENCODER = EncoderConfig(stages=(1,), bands=3)


def transitions(subjects=6, each=12, seed=0):
    """Three axes that rise or fall once, at any moment: only the order tells which."""
    rng = np.random.default_rng(seed)
    t = np.arange(100)
    X, y, subject = [], [], []
    for person in range(subjects):
        for number in range(2 * each):
            moment, pace = rng.uniform(30, 70), rng.uniform(3, 8)
            wave = np.tanh((t - moment) / pace) * (1 if number % 2 else -1)
            X.append(wave * [[1], [0.5], [-0.7]] + rng.normal(0, 0.05, (3, 100)))
            y.append("up" if number % 2 else "down")
            subject.append(f"s{person}")
    names = np.array(subject)
    return Windows(np.array(X, np.float32), np.array(y), names, names, np.zeros(len(X)), 50.0)


@pytest.fixture(scope="module")
def windows():
    return transitions()


@pytest.mark.parametrize(("rows", "bands"), [(12, 6), (9, 6), (7, 1)])
def test_trend_is_its_formula_and_turns_with_time(rows, bands):
    maps = torch.randn(2, 4, rows, 11, generator=torch.Generator().manual_seed(0))
    line = np.linspace(-1, 1, 11)
    expected = pool_bands(maps * torch.tensor(line, dtype=torch.float32), bands)
    torch.testing.assert_close(pool_trend(maps, bands), expected)
    torch.testing.assert_close(pool_trend(maps.flip(-1), bands), -expected)


def test_only_traces_are_ordered_and_their_trends_come_last():
    assert traces(VIEWS) == (0,)
    images = torch.rand(3, 2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    plain, ordered = build_encoder(ENCODER), build_encoder(ENCODER, (1,))
    [before], [after] = plain.stage_features(images), ordered.stage_features(images)
    assert after.shape[1] == before.shape[1] * 3 // 2
    torch.testing.assert_close(after[:, : before.shape[1]], before)
    [maps] = plain.backbone((images[:, 1] - plain.mean) / plain.deviation)
    torch.testing.assert_close(after[:, before.shape[1] :], pool_trend(maps, 3).flatten(1))


def test_heads_are_added_with_their_weight():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(30, 15)), rng.integers(0, 3, 30)
    heads = view_heads(features, labels, 0.1, scales(features, [5, 5, 5]))
    parts = [head.logits(features[:, i : i + 5]) for head, i in zip(heads, (0, 5, 10), strict=True)]
    logits = combined(heads, (False, False, True), 0.4).logits(features)
    np.testing.assert_allclose(logits, (parts[0] + parts[1]) / np.sqrt(2) + 0.4 * parts[2])
    np.testing.assert_allclose(combined(heads).logits(features), sum(parts) / np.sqrt(3))


def test_few_windows_suffice_where_order_is_read(windows):
    few, unseen = slice(0, 12), windows.subject != windows.subject[0]
    accuracy = {}
    for order in (0.0, 1.0):
        classifier = Img2ImuClassifier(50.0, VIEWS, ENCODER, order=order)
        classifier.fit(windows.X[few], windows.y[few])
        accuracy[order] = (classifier.predict(windows.X[unseen]) == windows.y[unseen]).mean()
        assert classifier.network_.encoder.ordered == ((0,) if order else ())
    assert accuracy[1.0] > accuracy[0.0] + 0.1


@pytest.mark.parametrize("telling", [0, 1])
def test_the_weight_is_chosen_by_windows_left_out(telling):
    """Of two views one says everything and one nothing; the second is the trend."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 10)
    features = rng.normal(size=(30, 2, 20))
    features[:, telling, :3] += 3 * np.eye(3)[labels]
    flat, flags = features.reshape(30, 40), (False, True)
    order = choose_order(flat, labels, 0.1, scales(flat, [20, 20]), flags)
    assert order > 0 if telling else order == 0


def test_left_to_itself_a_classifier_chooses(windows):
    classifier = Img2ImuClassifier(50.0, VIEWS, ENCODER)
    classifier.fit(windows.X[:40], windows.y[:40], windows.subject[:40])
    assert classifier.order_ in ORDERS
    single = Img2ImuClassifier(50.0, VIEWS[1:], ENCODER).fit(windows.X[:40], windows.y[:40])
    assert single.order_ == 0


def test_people_are_not_on_two_sides(windows):
    from img2imu.fewshot import order

    labels = np.searchsorted(["down", "up"], windows.y)
    for training, test in order.left_out(labels, windows.subject):
        assert not set(windows.subject[training]) & set(windows.subject[test])
    parts = [test for _, test in order.left_out(labels, None)]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))


def test_single_windows_choose_nothing():
    features = np.random.default_rng(0).normal(size=(2, 4))
    known = scales(features, [2, 2])
    assert choose_order(features, np.array([0, 1]), 0.1, known, (False, True)) == 0


def test_validation_subjects_choose_the_weight(windows, tmp_path):
    config = ProbeConfig(encoder=ENCODER, views=VIEWS, shots=(5,), seeds=2)
    [record] = evaluate(windows, config, ["img2imu"], cache=tmp_path, jobs=1)["results"]
    assert all(setting["order"] in ORDERS for setting in record["chosen"])
    assert any(setting["order"] for setting in record["chosen"])
    bare = ProbeConfig(encoder=ENCODER, views=VIEWS[1:], shots=(5,), seeds=1)
    [record] = evaluate(windows, bare, ["img2imu"], cache=tmp_path, jobs=1)["results"]
    assert all("order" not in setting for setting in record["chosen"])


def test_the_paper_probe_reads_no_trends(windows, tmp_path):
    config = ProbeConfig(encoder=ENCODER, views=VIEWS, shots=(3,), seeds=1, probes=("paper",))
    [record] = evaluate(windows, config, ["img2imu"], cache=tmp_path, jobs=1)["results"]
    assert len(record["f1_each"]) == 5


def test_files_keep_it(windows, tmp_path):
    classifier = Img2ImuClassifier(50.0, VIEWS, ENCODER, order=0.7)
    classifier.fit(windows.X[:40], windows.y[:40])
    classifier.save(tmp_path / "model")
    loaded = Img2ImuClassifier.load(tmp_path / "model")
    some = windows.X[40:50]
    assert loaded.order_ == 0.7
    expected = classifier.decision_function(some)
    np.testing.assert_allclose(loaded.decision_function(some), expected, atol=1e-5)
    export_classifier(loaded, tmp_path, ExportConfig())
    [file] = tmp_path.glob("*.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [name] = [each.name for each in session.get_inputs()]
    answers = dict(
        zip([o.name for o in session.get_outputs()], session.run(None, {name: some}), strict=True)
    )
    np.testing.assert_allclose(answers["logits"], expected, atol=1e-3)
