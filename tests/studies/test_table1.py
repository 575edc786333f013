"""Table I: copies, drops and the paper's own numbers."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from img2imu.augment import signals
from img2imu.cli import main
from img2imu.fewshot import ProbeConfig
from img2imu.models import EncoderConfig
from img2imu.pretrain import RECIPES
from img2imu.studies import table1
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import prepare
from img2imu.studies.results import Result
from img2imu.studies.rows import Row, read_encoders

from .samples import make_windows, windows_file

CONFIG = StudyConfig(ProbeConfig(shots=(2,), seeds=1), windows=None, reference="sensor-aware")


@pytest.fixture(scope="module")
def data():
    return prepare("few", make_windows(each=4), CONFIG)[0]


def row(name, seed):
    return Row(name, "image", name, EncoderConfig("test_resnet", seed=seed, stages=(1,)), "img2imu")


def test_copies_are_altered_as_a_whole(data):
    copies = {copy: table1.alter(data, copy) for copy in table1.COPIES}
    X = data.windows.X
    assert np.array_equal(copies["original"].windows.X, X)
    for name, copy in copies.items():
        again = table1.alter(data, name)
        assert np.array_equal(again.windows.X, copy.windows.X)
        assert copy.manifest == data.manifest
        assert copy.name == f"few.{name}"
    hashes = {copy.identity["samples_sha256"] for copy in copies.values()}
    assert len(hashes) == len(table1.COPIES)
    assert (copies["masked"].windows.X == 0).all(1).mean() == pytest.approx(0.25, abs=0.01)
    noise = copies["noised"].windows.X - X
    assert np.abs(noise).max() <= 0.3 + 1e-5 and noise.std() == pytest.approx(0.3 / 3**0.5, 0.02)
    turned = copies["rotated"].windows.X
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=1), np.linalg.norm(X, axis=1), rtol=1e-4, atol=1e-4
    )
    expected = signals.shift(torch.tensor(X), torch.Generator().manual_seed(0)).numpy()
    assert np.array_equal(copies["time-shifted"].windows.X, expected)


def results_of(values):
    """One result for each (copy, row) with F1 of four draws."""
    return [
        Result(f"few.{copy}", name, "logistic", 2, tuple(each), 0.0)
        for (copy, name), each in values.items()
    ]


def test_drops_are_relative_to_the_original(data):
    values = {
        ("original", "sensor-aware"): [0.8, 0.6, 0.7, 0.7],
        ("masked", "sensor-aware"): [0.4, 0.3, 0.35, 0.35],
        ("original", "sensor-aware-no-hue"): [0.5, 0.5, 0.5, 0.5],
        ("masked", "sensor-aware-no-hue"): [0.6, 0.5, 0.5, 0.4],
        ("masked", "random-2d"): [0.6, 0.5, 0.5, 0.4],
    }
    drops = table1.measure([data], results_of(values))
    found = {(d.copy, d.result.row): d for d in drops}
    # Without its original a row says nothing of drops.
    assert len(found) == 4
    assert found["masked", "sensor-aware"].drop == pytest.approx(-0.5)
    assert found["masked", "sensor-aware-no-hue"].drop == pytest.approx(0)
    assert found["original", "sensor-aware"].drop == 0
    assert found["masked", "sensor-aware"].p is None
    from scipy.stats import wilcoxon

    change = [0.1, 0, 0, -0.1]
    standard = [-0.4, -0.3, -0.35, -0.35]
    assert found["masked", "sensor-aware-no-hue"].p == pytest.approx(
        wilcoxon(change, standard).pvalue
    )


def test_the_papers_drops_are_the_papers():
    entries = {line.title: line.entries for line in table1.paper_table().groups[""]}
    drops = {title: [entry.text for entry in each[2::2]] for title, each in entries.items()}
    # As printed in Table I, but for its rounding of the scores.
    printed = {
        "T+P+H+J, all four": (-27.75, -29.16, -23.10, -7.83),
        "P+H+J, without TranslateX": (-36.78, -31.83, -8.68, -0.34),
        "T+H+J, without PermuteX": (-36.66, -43.76, -22.48, -3.90),
        "T+P+H, without Jitter": (-27.87, -33.02, -24.91, -7.19),
        "T+P+J, without Hue": (-20.68, -22.24, -11.59, -23.45),
    }
    for title, values in printed.items():
        shown = [float(text.replace("−", "-").removesuffix(" %")) for text in drops[title]]
        assert shown == pytest.approx(values, abs=0.15)
    bold = {title: [entry.best for entry in each[2::2]] for title, each in entries.items()}
    assert bold["T+P+J, without Hue"] == [False, False, False, True]
    assert bold["T+H+J, without PermuteX"] == [True, True, False, False]


def test_verdicts_count_what_drops_most(data):
    values = {("original", name): [0.8, 0.8] for name in table1.TITLES}
    values |= {(copy, name): [0.7, 0.7] for copy in table1.ALTERATIONS for name in table1.TITLES}
    values["rotated", "sensor-aware-no-hue"] = [0.2, 0.2]
    values["noised", "sensor-aware-no-hue"] = [0.3, 0.3]
    # A control that drops more is not among the policies.
    values |= {("original", "random-2d"): [0.8, 0.8], ("rotated", "random-2d"): [0.1, 0.1]}
    by_copy = dict(
        sentence.split(":", 1)
        for sentence in table1.verdicts(table1.measure([data], results_of(values)))
    )
    assert by_copy["Rotated"].endswith("without Hue, as in the paper, on 1 of 1 data sets.")
    assert by_copy["Noised"].endswith("without Jitter, as in the paper, on 0 of 1 data sets.")
    lacking = {key: each for key, each in values.items() if key[1] != "sensor-aware"}
    assert table1.verdicts(table1.measure([data], results_of(lacking))) == []


def test_a_study_from_end_to_end(data, tmp_path):
    out = tmp_path / "out"
    rows = [row("control", 9), row("sensor-aware", 0)]
    text = table1.run(out, [data], rows, CONFIG, jobs=1)
    titles = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert titles[2:4] == ["**T+P+H+J, all four**", "control"]
    assert text.count("no encoder given") == 4
    with (out / "table.csv").open(newline="") as stream:
        records = [record for record in csv.DictReader(stream) if not record["missing"]]
    assert len(records) == 2 * 5
    original = {r["row"]: float(r["f1_mean"]) for r in records if r["copy"] == "original"}
    for record in records:
        mean, each = float(record["f1_mean"]), [float(v) for v in record["f1_each"].split()]
        assert len(each) == 5 and np.mean(each) == pytest.approx(mean, abs=1e-3)
        drop = mean / original[record["row"]] - 1
        assert float(record["drop"]) == pytest.approx(drop, abs=2e-3)
    for name in ("table.html", "figure.png", "settings.json", "splits/few.json"):
        assert (out / name).stat().st_size > 0
    # Nothing is computed twice.
    times = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert len(times) == 10
    assert table1.run(out, [data], rows, CONFIG, jobs=1) == text
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_encoders_are_trained_where_none_are_given(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(40):
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    store, out = str(tmp_path / "store"), tmp_path / "out"
    assert main(["pack", str(tmp_path / "photos"), store, "--size=32x24"]) == 0
    recipe = replace(RECIPES["recommended"]["moco"], encoder="test_resnet", batch_size=16)
    monkeypatch.setitem(RECIPES["recommended"], "moco", recipe)
    given = ["sensor-aware", "sensor-aware-no-translate-x", "sensor-aware-no-permute-x"]
    entries = table1.pretrain_policies(out, store, 1, given, jobs=1)
    encoders = read_encoders(entries, [1])
    assert list(encoders) == ["sensor-aware-no-jitter", "sensor-aware-no-hue"]
    weights = {}
    for name, encoder in encoders.items():
        assert encoder.name == "test_resnet" and encoder.stages == (1,)
        settings = json.loads((out / "encoders" / name / "config.json").read_text())["pretrain"]
        assert settings["policy"] == name and settings["epochs"] == 1
        weights[name] = load_file(encoder.checkpoint)["conv1.0.weight"]
    assert not torch.equal(*weights.values())
    # Nothing is trained twice.
    monkeypatch.setattr(table1, "_pretrain", lambda *args: pytest.fail("trained again"))
    assert table1.pretrain_policies(out, store, 1, given, jobs=1) == entries


def test_a_missing_store_is_one_sentence(tmp_path, capsys):
    path = str(windows_file(tmp_path))
    options = ["study", "table1", path, "-o", str(tmp_path / "out"), "--source=nowhere"]
    assert main(options) == 2
    assert "no packed store at nowhere" in capsys.readouterr().err
