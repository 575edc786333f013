"""Golden vectors: today's code against the committed ones, and these against other programs."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.special import softmax

from img2imu import Img2ImuClassifier, create_encoder
from img2imu.convert import SpectrogramConfig, view_from_dict
from img2imu.errors import InputError
from img2imu.export import golden, read_golden, write_golden
from img2imu.export.golden import read_arrays, read_settings
from img2imu.models import EncoderConfig

from ..convert.signals import levels_apart, mlab_picture
from ..timeline.contract import Contract

FOLDER = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["paper", "fast", "sensors"])
def test_the_network_still_gives_the_committed_answers(name: str) -> None:
    vectors = read_golden(FOLDER / name)
    allowed, arrays = vectors.settings["tolerance"], vectors.arrays
    network = vectors.network()
    windows = torch.from_numpy(arrays["windows"])
    images = network.drawing(windows).numpy()
    np.testing.assert_allclose(images, arrays["images"], rtol=0, atol=allowed["images"])
    logits = network(windows).numpy()
    np.testing.assert_allclose(
        logits, arrays["logits"], rtol=allowed["logits_relative"], atol=allowed["logits"]
    )


@pytest.mark.parametrize("name", ["paper", "fast", "sensors"])
def test_committed_numbers_fit_each_other_as_the_readme_says(name: str) -> None:
    vectors = read_golden(FOLDER / name)
    settings, arrays = vectors.settings, vectors.arrays
    named = settings["encoder"]
    encoder = create_encoder(
        named["name"], True, stages=tuple(named["stages"]), bands=named["bands"]
    )
    features = [encoder(torch.from_numpy(view)).numpy() for view in arrays["images"].swapaxes(0, 1)]
    logits = np.concatenate(features, axis=1) @ arrays["head_weight"].T + arrays["head_bias"]
    np.testing.assert_allclose(logits, arrays["logits"], rtol=1e-5, atol=1e-4)
    expected = softmax(arrays["logits"].astype(np.float64), axis=1)
    np.testing.assert_allclose(arrays["probabilities"], expected, atol=1e-6)
    assert arrays["logits"].shape == (len(arrays["windows"]), len(settings["labels"]))
    assert arrays["windows"].shape[2] == settings["samples"]


def test_the_committed_picture_is_that_of_mlab() -> None:
    vectors = read_golden(FOLDER / "paper")
    [view] = [view_from_dict(settings) for settings in vectors.settings["views"]]
    assert view == SpectrogramConfig()
    for window, [image] in zip(vectors.arrays["windows"], vectors.arrays["images"], strict=True):
        picture = np.round(image * 255).astype(np.uint8)
        assert levels_apart(picture, mlab_picture(window, SpectrogramConfig())) <= 1


@pytest.mark.parametrize("number", range(4))
def test_committed_windows_follow_from_the_contract(number: int) -> None:
    folder = FOLDER / "resampling"
    settings = read_settings(folder)
    case, allowed = settings["cases"][number], settings["tolerance"]
    inputs, answers = (read_arrays(folder, part["arrays"]) for part in (settings, case))
    contract = Contract(
        *([case["rate"]], case["sampling_rate"], [case["max_gap"]]), case["samples"], case["stride"]
    )
    for time, row in zip(inputs["time"].tolist(), inputs["samples"], strict=True):
        contract.push(0, time, row.astype(np.float64))
    contract.finish()
    segments, windows = contract.segments, contract.windows
    assert [(start, len(values)) for start, values in segments] == [
        (pytest.approx(segment["start"]), segment["count"]) for segment in case["segments"]
    ]
    values = np.concatenate([values for _, values in segments])
    np.testing.assert_allclose(answers["values"], values, rtol=0, atol=allowed["values"])
    start, due, cut = zip(*windows, strict=True)
    np.testing.assert_allclose(answers["windows"], cut, rtol=0, atol=allowed["values"])
    np.testing.assert_allclose(answers["start"], start, rtol=0, atol=allowed["start"])
    assert case["due"] == list(due)


@pytest.mark.parametrize("number", range(2))
def test_committed_windows_of_two_sensors_follow_from_the_contract(number: int) -> None:
    folder = FOLDER / "clocks"
    settings = read_settings(folder)
    case, allowed = settings["cases"][number], settings["tolerance"]
    inputs, answers = (read_arrays(folder, part["arrays"]) for part in (settings, case))
    contract = Contract(
        case["rates"], case["sampling_rate"], case["max_gaps"], case["samples"], case["stride"]
    )
    for sensor, time, row in zip(*(inputs[n] for n in ("sensor", "time", "samples")), strict=True):
        contract.push(int(sensor), float(time), row.astype(np.float64))
    contract.finish()
    start, due, cut = zip(*contract.windows, strict=True)
    np.testing.assert_allclose(answers["windows"], cut, rtol=0, atol=allowed["values"])
    np.testing.assert_allclose(answers["start"], start, rtol=0, atol=allowed["start"])
    assert case["due"] == list(due)


@pytest.mark.parametrize("number", range(8))
def test_committed_smoothing_follows_from_the_definition(number: int) -> None:
    """Forward–backward over the windows known so far, in plain probabilities."""
    folder = FOLDER / "smoothing"
    settings = read_settings(folder)
    case, inputs = settings["cases"][number], read_arrays(folder, settings["arrays"])
    answers = read_arrays(folder, case["arrays"])
    start, lag = inputs["start"], case["lag"]
    sticky = {k: (np.full((k, k), 1 / k) - np.eye(k)) / settings["dwell"] for k in (2, 4)}
    rates = sticky[4] if case["transitions"] is None else np.array(case["transitions"])
    strange = inputs["strange"][:, 0] == 1
    flags = np.where(strange, 1 - settings["keep"], settings["keep"])[:, None]
    flags = np.concatenate([flags, np.full_like(flags, 0.5)], axis=1)
    ends = [i for i in range(1, len(start)) if start[i] < start[i - 1]] + [len(start)]
    for told, chain, expected in (
        (inputs["probabilities"].astype(np.float64), rates, answers["posterior"]),
        (flags, sticky[2], np.hstack([1 - answers["unknown"], answers["unknown"]])),
    ):
        for window in range(len(start)):
            first = max([end for end in ends if end <= window], default=0)
            known = min(window + lag + 1, next(end for end in ends if end > window))
            steps = np.clip(np.rint(np.diff(start[first:known]) / settings["stride"]), 1, 1000)
            found = posterior_of(told[first:known], steps * settings["stride"], chain)
            np.testing.assert_allclose(expected[window], found[window - first], rtol=0, atol=1e-6)
    due = [min(i + lag, next(end for end in ends if end > i)) for i in range(len(start))]
    assert case["due"] == due


def posterior_of(told: np.ndarray, seconds: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Probability of each class in each window (n, k), seconds (n - 1,) apart."""
    each = {float(gap): expm(rates * gap) for gap in set(seconds.tolist())}
    moves = [each[float(gap)] for gap in seconds]
    ahead = [expm(rates * 1e6)[0] * told[0]]
    for move, row in zip(moves, told[1:], strict=True):
        ahead.append(ahead[-1] / ahead[-1].sum() @ move * row)
    back = [np.ones(len(rates))]
    for move, row in zip(moves[::-1], told[:0:-1], strict=True):
        later = move @ (row * back[-1])
        back.append(later / later.sum())
    found = np.array(ahead) * np.array(back[::-1])
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("name", ["resampling", "clocks", "smoothing"])
def test_resampling_vectors_are_made_again(tmp_path: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    assert spec is not None and spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    getattr(make, f"make_{name}")(tmp_path)
    again, committed = (read_settings(folder / name) for folder in (tmp_path, FOLDER))
    pairs = [(tmp_path, again), (FOLDER, committed)]
    inputs = [read_arrays(folder / name, part["arrays"]) for folder, part in pairs]
    for array in inputs[0]:
        np.testing.assert_array_equal(*(part[array] for part in inputs))
    for new, old in zip(again["cases"], committed["cases"], strict=True):
        assert new["due"] == old["due"]
        answers = [
            read_arrays(folder / name, case["arrays"])
            for folder, case in ((tmp_path, new), (FOLDER, old))
        ]
        for array in answers[0]:
            np.testing.assert_allclose(*(part[array] for part in answers), rtol=0, atol=1e-6)


def test_the_committed_vectors_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 1.75e6


@pytest.fixture(scope="module")
def classifier() -> Img2ImuClassifier:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 3, 100)).astype(np.float32)
    X[6:] *= 3
    view = SpectrogramConfig(nfft=32, noverlap=24, normalize="fixed", width=32, height=24)
    encoder = EncoderConfig("resnet18.img2imu_in1k", True, stages=(1,), bands=2)
    return Img2ImuClassifier(50.0, [view], encoder).fit(X, ["calm"] * 6 + ["wild"] * 6)


@pytest.fixture
def written(classifier: Img2ImuClassifier, tmp_path: Path) -> Path:
    write_golden(tmp_path / "vectors", classifier)
    return tmp_path / "vectors"


def test_a_written_folder_is_the_classifier(classifier: Img2ImuClassifier, written: Path) -> None:
    vectors = read_golden(written)
    assert vectors.settings["labels"] == ["calm", "wild"]
    windows = vectors.arrays["windows"]
    np.testing.assert_array_equal(windows, classifier.check_windows_)
    np.testing.assert_allclose(
        vectors.arrays["probabilities"], classifier.predict_proba(windows), atol=1e-6
    )
    np.testing.assert_allclose(
        vectors.network()(torch.from_numpy(windows)),
        classifier.decision_function(windows),
        atol=1e-5,
    )
    # Without any header, as other languages will read it.
    raw = np.frombuffer((written / "windows.bin").read_bytes(), "<f4")
    np.testing.assert_array_equal(raw.reshape(windows.shape), windows)


def test_windows_of_ones_own_replace_the_old_ones(
    classifier: Img2ImuClassifier, written: Path
) -> None:
    windows = np.random.default_rng(1).normal(size=(2, 3, 100))
    write_golden(written, classifier, windows)
    np.testing.assert_allclose(read_golden(written).arrays["windows"], windows, rtol=1e-6)
    assert [entry.name for entry in written.parent.iterdir()] == ["vectors"]
    for unfit, message in (((2, 3, 90), "100 samples"), ((0, 3, 100), "no windows")):
        with pytest.raises(InputError, match=message):
            write_golden(written, classifier, np.zeros(unfit))
    np.testing.assert_allclose(read_golden(written).arrays["windows"], windows, rtol=1e-6)


def test_weights_of_ones_own_are_not_called_the_toolkits(
    classifier: Img2ImuClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model")
    tuned = Img2ImuClassifier.load(tmp_path / "model")
    with torch.no_grad():
        next(tuned.network_.encoder.parameters()).mul_(1.01)
    write_golden(tmp_path / "vectors", tuned)
    vectors = read_golden(tmp_path / "vectors")
    assert vectors.settings["encoder"]["sha256"] is None
    with pytest.raises(InputError, match="do not come with the toolkit"):
        vectors.network()


def test_an_encoder_of_windows_has_no_images(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(8, 3, 100)).astype(np.float32)
    classifier = Img2ImuClassifier(encoder=EncoderConfig("conv1d")).fit(X, ["a", "b"] * 4)
    write_golden(tmp_path / "vectors", classifier)
    vectors = read_golden(tmp_path / "vectors")
    assert "images" not in vectors.arrays
    assert vectors.settings["views"] == []


def test_a_failure_leaves_what_was_there(
    classifier: Img2ImuClassifier, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (written / "golden.json").read_bytes()

    def breaks(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(golden, "write_settings", breaks)
    for target in (written, written.parent / "other"):
        with pytest.raises(OSError, match="disk full"):
            write_golden(target, classifier)
    assert [entry.name for entry in written.parent.iterdir()] == ["vectors"]
    assert (written / "golden.json").read_bytes() == before
    read_golden(written)


def test_a_folder_of_something_else_is_left_alone(
    classifier: Img2ImuClassifier, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no golden vectors"):
        write_golden(tmp_path, classifier)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def damage(folder: Path, what: str) -> None:
    settings = json.loads((folder / "golden.json").read_text())
    if what == "missing":
        (folder / "logits.bin").unlink()
    elif what == "changed":
        content = bytearray((folder / "images.bin").read_bytes())
        content[100] ^= 1
        (folder / "images.bin").write_bytes(content)
    elif what == "shape":
        settings["arrays"]["windows"]["shape"][0] += 1
    elif what == "format":
        settings["format"] = 99
    elif what == "arrays":
        del settings["arrays"]
    elif what == "folder":
        shutil.rmtree(folder)
        return
    text = json.dumps(settings)
    (folder / "golden.json").write_text(text[:-5] if what == "cut" else text)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "logits.bin is missing"),
        ("changed", "images.bin is not the file"),
        ("shape", "windows.bin has"),
        ("format", "format 99"),
        ("arrays", "damaged"),
        ("cut", "damaged"),
        ("folder", "golden.json is missing"),
    ],
)
def test_damage_is_one_sentence(written: Path, what: str, message: str) -> None:
    damage(written, what)
    with pytest.raises(InputError, match=message):
        read_golden(written)
