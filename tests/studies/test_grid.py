"""The landscape against the converter's own rule and the probe."""

import csv

import pytest

from img2imu.convert import SpectrogramConfig, paper_grid
from img2imu.fewshot import ProbeConfig
from img2imu.models import EncoderConfig
from img2imu.studies import grid
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets
from img2imu.studies.rows import build_rows

from .samples import windows_file

TINY = EncoderConfig(stages=(1, 2), bands=1)
CONFIG = StudyConfig(ProbeConfig(shots=(3,), seeds=2), windows=45, reference="tiny")
SAMPLES = 64


@pytest.fixture(scope="module")
def landscapes(tmp_path_factory):
    out = tmp_path_factory.mktemp("grid")
    rows, _ = build_rows({"tiny": TINY}, ["hand-forest", "tiny"], "tiny")
    sets, missing = load_sets([windows_file(out, samples=SAMPLES)], CONFIG)
    text = grid.run(out / "out", sets, rows, CONFIG, missing, jobs=1)
    with (out / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        records = list(csv.DictReader(stream))
    return out / "out", text, records


def test_degenerate_cells_are_the_converters(landscapes):
    out, text, records = landscapes
    places = [record for record in records if record["nfft"]]
    assert len(places) == len(paper_grid(20.0)) == 16
    for record in places:
        view = SpectrogramConfig(20.0, int(record["nfft"]), int(record["noverlap"]))
        assert record["missing"] == view.degenerate(SAMPLES)
        assert bool(record["f1_mean"]) == (not record["missing"])
    assert sum(bool(record["f1_mean"]) for record in places) == 4
    assert "is shorter than nfft = 128" in text and "holds a single frame of nfft = 64" in text
    assert len(list((out / "cells").iterdir())) == 4
    assert (out / "figure.png").stat().st_size > 10_000


def test_rows_without_pictures_are_named(landscapes):
    _, text, records = landscapes
    assert "hand-forest: it reads no spectrograms" in text
    assert [r["missing"] for r in records if r["row"] == "hand-forest"] == [
        "it reads no spectrograms"
    ]


def test_scores_are_those_of_the_probe(landscapes, tmp_path):
    """One place again, with the protocol's own pieces."""
    from img2imu.fewshot.features import FeatureCache, laid_out
    from img2imu.fewshot.learners import LogisticLearner
    from img2imu.fewshot.methods import FeatureMethod, FixedFeatures
    from img2imu.fewshot.protocol import Task, summarize
    from img2imu.models import build_encoder
    from img2imu.progress import silent

    _, text, records = landscapes
    [data], _ = load_sets([windows_file(tmp_path, samples=SAMPLES)], CONFIG)
    view = SpectrogramConfig(20.0, 32, 28)
    arrays = FeatureCache().get(data.windows.X, (view,), build_encoder(TINY))
    features = [FixedFeatures({}, *laid_out(arrays, 1, 0))]
    method = FeatureMethod(
        "tiny", "logistic", features, [LogisticLearner(CONFIG.probe.C[0], whiten=True)]
    )
    task = Task.from_manifest(data.windows, data.manifest)
    [expected] = summarize(method, method.run(task, silent, jobs=1))
    [record] = [r for r in records if (r["nfft"], r["noverlap"]) == ("32", "28")]
    assert float(record["f1_mean"]) == expected["f1_mean"]
    assert float(record["validation_f1"]) == expected["validation_f1"]
    assert f"{expected['validation_f1']:.3f}"[1:] in text
