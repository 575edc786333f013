"""The study of pre-training: what learns from whom, and that what is shown is what was probed."""

import ast
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from scipy.stats import wilcoxon

from img2imu import hashing
from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.fewshot import ProbeConfig, evaluate
from img2imu.models import EncoderConfig
from img2imu.pretrain import loop, source_of_windows
from img2imu.pretrain.trainer import untrained_encoder
from img2imu.recordings import Windows, load_windows, save_windows, with_gaps
from img2imu.studies import scale, selfsup, table1
from img2imu.studies.cells import Cell
from img2imu.studies.config import SelfsupConfig, StudyConfig
from img2imu.studies.data import load_sets
from img2imu.studies.results import Result, compare
from img2imu.studies.rows import Row
from img2imu.studies.selfsup import (
    BEGUN,
    Files,
    Training,
    _readable,
    families_of,
    plan_trainings,
    settings_of,
    train,
)
from img2imu.studies.selfsup_tables import differences, panels, verdicts

from .samples import make_windows

READ = EncoderConfig("test_resnet", stages=(1,))


def named(windows: Windows, name: str) -> Windows:
    return replace(windows, recording=np.char.add(name, windows.recording))


def save(folder, **sets):
    paths = {}
    for name, windows in sets.items():
        paths[name] = str(folder / f"{name}.npz")
        save_windows(paths[name], windows)
    return paths


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_files_that_share_a_recording_are_one_data_set():
    walk = make_windows(each=2)
    first, second = (walk.select(walk.subject == name) for name in ("s0", "s1"))
    other = named(walk, "other")
    assert families_of({"a": first, "b": second, "c": other}) == [("a",), ("b",), ("c",)]
    # The last file has something of both before it.
    assert families_of({"a": first, "b": second, "c": walk}) == [("a", "b", "c")]
    found = families_of({"a": walk, "b": other, "short": replace(walk, X=walk.X[:, :, :32])})
    assert sorted(map(sorted, found)) == [["a", "short"], ["b"]]


@pytest.fixture
def three(tmp_path):
    """Two data sets, one of them in windows of two lengths."""
    one, two = make_windows(each=8), named(make_windows(each=8, seed=1), "two")
    short = replace(one, X=np.ascontiguousarray(one.X[:, :, :50]))
    return save(tmp_path, one=one, two=two, short=short)


def test_nothing_that_is_tested_is_learnt_from(three):
    config = StudyConfig(ProbeConfig(shots=(2,), seeds=1), windows=60)
    sets, _ = load_sets(list(three.values()), config)
    plan = SelfsupConfig(("moco", "simclr"), "test_resnet", scheme=("left-out", "within"), runs=2)
    recipes = {method: settings_of(plan, method, READ) for method in plan.methods}
    files = Files(three)
    trainings = plan_trainings(plan, recipes, files, families_of(files.load()), sets)
    # Two data sets left out; two folds of three files; methods, and runs.
    assert len(trainings) == (2 + 2 * 3) * 2 * 2
    assert len({each.name for each in trainings}) == len(trainings)
    by_name = {data.name: data for data in sets}
    for each in trainings:
        learnt = each.files.load()
        if each.scheme == "left-out":
            shown = {r for part in learnt.values() for r in part.recording.tolist()}
            for name in each.tested:
                assert not shown & set(by_name[name].windows.recording.tolist())
        else:
            [name], [part] = each.tested, learnt.values()
            fold = by_name[name].manifest.folds[each.fold]
            assert set(part.subjects) == set(fold.train)
            # All windows of theirs, not only those that the study probes.
            everything = load_windows(three[name])
            assert len(part) == np.isin(everything.subject, fold.train).sum()


def test_all_learn_alike(tmp_path):
    plan = SelfsupConfig(("moco", "supervised"), "resnet18", init="there", average=0.3, steps=7)
    each = [settings_of(plan, method, replace(READ, stages=(1, 2))) for method in plan.methods]
    for settings in each:
        assert (settings.steps, settings.init, settings.average) == (7, "there", 0.3)
        assert (settings.stages, settings.held) == ((2,), 0)
    assert settings_of(replace(plan, init=None), "moco", READ).average == 0
    plan = SelfsupConfig(("simclr",), "conv1d", init="there", average=0.3)
    assert settings_of(plan, "simclr", EncoderConfig("conv1d")).average == 0
    with pytest.raises(InputError, match="moco learns from images"):
        settings_of(plan, "moco", EncoderConfig("conv1d"))
    with pytest.raises(InputError, match="unknown method 'luck'"):
        settings_of(plan, "luck", READ)


def test_files_that_a_method_cannot_read_are_told(tmp_path):
    one, other = make_windows(each=8), named(make_windows(each=8, samples=80), "other")
    more = named(make_windows(each=8), "more")
    paths = save(tmp_path, one=one, other=other, more=more)
    sets, _ = load_sets(list(paths.values()), StudyConfig(ProbeConfig(shots=(2,), seeds=1)))
    plan = SelfsupConfig(("multitask",), "conv1d", steps=1)
    recipes = {"multitask": settings_of(plan, "multitask", EncoderConfig("conv1d"))}
    windows = Files(paths).load()
    trainings = plan_trainings(plan, recipes, Files(paths), families_of(windows), sets)
    readable, missing = _readable(trainings, windows)
    assert [each.tested for each in readable] == [("other",)]
    assert [gap.dataset for gap in missing] == ["one", "more"]
    assert all("one length, rate and sensors" in gap.reason for gap in missing)


def test_what_is_shown_was_trained_and_probed(tmp_path, capsys):
    one, two = make_windows(each=8), named(make_windows(each=8, seed=1), "two")
    paths, out = save(tmp_path, one=one, two=two), tmp_path / "out"
    words = ["study", "selfsup", *paths.values(), "-o", out, "--encoder", "test_resnet",
             "--methods", "simclr", "--steps", 1, "--stages", 1, "--shots", 3,
             "--seeds", 2, "--probes", "knn", "--scheme", "left-out", "within",
             "--within-folds", 1, "--jobs", 1]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr()
    assert "4 trainings of 1 steps: 2 learnt from the other data sets, 2 learnt" in printed.err
    table = {(r["scheme"], r["dataset"], r["row"], r["shots"]): r for r in rows(out / "table.csv")}
    assert len(table) == 2 * 3 * 2
    weights = sorted((out / "encoders" / "random").glob("*/encoder.safetensors"))
    assert len(weights) == 4
    probe = ProbeConfig(encoder=READ, shots=(3,), seeds=2, probes=("knn",))
    for scheme, fold, folds in (("left-out", "", None), ("within", "--fold0", [0])):
        each = {}
        for row in ("start", "simclr"):
            file = out / "encoders" / "random" / f"{scheme}--one{fold}--simclr--0"
            trained = replace(READ, checkpoint=str(file / "encoder.safetensors"))
            read = replace(probe, encoder=READ if row == "start" else trained)
            [record] = evaluate(one, read, ["img2imu"], jobs=1, folds=folds)["results"]
            each[row] = record["f1_each"]
            shown = [float(value) for value in table[scheme, "one", row, "3"]["f1_each"].split()]
            assert shown == pytest.approx(each[row], abs=1e-4)
        found = table[scheme, "one", "simclr", "3"]
        gain = np.mean(each["simclr"]) - np.mean(each["start"])
        assert float(found["gain"]) == pytest.approx(gain, abs=1e-4)
        if gain:
            p = wilcoxon(each["simclr"], each["start"]).pvalue
            assert float(found["p"]) == pytest.approx(p, rel=1e-2)
        means = [float(table[scheme, name, "simclr", "3"]["f1_mean"]) for name in ("one", "two")]
        whole = float(table[scheme, "mean", "simclr", "3"]["f1_mean"])
        assert whole == pytest.approx(np.mean(means), abs=1e-4)
    assert "| **no training** | knn |" in printed.out
    costs = rows(out / "trainings.csv")
    assert len(costs) == 4 and all(float(cost["steps_per_second"]) > 0 for cost in costs)
    # The guess among the other 127 views of a batch.
    assert [float(cost["chance"]) for cost in costs] == pytest.approx([np.log(127)] * 4, abs=1e-4)
    before = [path.stat().st_mtime_ns for path in weights]
    assert main([str(word) for word in words]) == 0
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert capsys.readouterr().out == printed.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "all files are of one data set"),
        (["--scheme", "within", "--encoder", "conv1d"], "moco learns from images"),
        (["--encoder", "conv1d", "--methods", "simclr", "focal"], "they do not start alike"),
        (["--methods", "moco", "moco"], "methods must be different"),
        (["--methods", "luck"], "unknown method 'luck'"),
        (["--methods", "random"], "the row 'no training'"),
        (["--steps", 0], "steps must be positive"),
        (["--average", 1], "average must lie in"),
        (["--scheme", "within", "--init", "gone.safetensors"], "gone"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, refused, options, said):
    paths = save(tmp_path, one=make_windows(each=8))
    words = ("study", "selfsup", paths["one"], "-o", tmp_path / "out", "--jobs", 1, "--shots", 2)
    assert said in refused(*words, *options)


def result(dataset, row, shots, each):
    return Result(dataset, row, "knn", shots, tuple(each), 0.5)


def test_sentences_and_curves_tell_of_the_means():
    rng = np.random.default_rng(0)
    results, truth = [], {}
    for shots in (1, 10, 50):
        for row, shift in (("start", 0.0), ("moco", -0.02), ("simclr", 0.01)):
            sets = ("a", "b") if shots < 50 else ("a",)
            for name in sets:
                each = np.round(0.5 + shift + rng.uniform(-0.05, 0.05, 10), 4)
                results.append(result(name, row, shots, each))
                truth[name, row, shots] = each.mean()
    compared = {"left-out": compare(results, "start")}
    gain = np.mean([truth[n, "simclr", 10] - truth[n, "start", 10] for n in "ab"])
    [told] = verdicts(compared, {"simclr": "SimCLR", "moco": "MoCo"})
    helped = "SimCLR helps most" if gain > 0 else "none helps; the best is SimCLR"
    assert told.startswith(f"Learnt from the other data sets, 10 labels per class: {helped}")
    assert f"{abs(gain):.3f}"[1:] in told
    shown = [Row(name, "image", name, None, "img2imu") for name in ("start", "moco", "simclr")]
    config = StudyConfig(ProbeConfig(shots=(1, 10, 50), seeds=2))
    [(title, curves)] = panels(compared, shown, config).items()
    [less] = panels(differences(compared), shown, config).values()
    assert not np.any(less["start"].mean) and not np.any(less["start"].high)
    for row in ("moco", "simclr"):
        wanted = np.subtract(curves[row].mean, curves["start"].mean)
        np.testing.assert_allclose(less[row].mean, wanted, atol=1e-12)
    assert title == "left-out, knn\nmean of 2 data sets"
    for row, curve in curves.items():
        assert list(curve.shots) == [1, 10]
        means = [np.mean([truth[n, row, k] for n in "ab"]) for k in (1, 10)]
        np.testing.assert_allclose(curve.mean, means)
        assert all(low < mean < high for low, mean, high in zip(curve.low, means, curve.high,
                                                                 strict=True))  # fmt: skip


def test_windows_with_gaps_are_read_by_what_leaves_them_out(tmp_path, refused):
    gappy, out = with_gaps(make_windows(each=8), 0.25), tmp_path / "out"
    paths = save(tmp_path, one=gappy)
    words = ["study", "selfsup", paths["one"], "-o", out, "--scheme", "within", "--within-folds", 1,
             "--encoder", "test_vit", "--steps", 1, "--shots", 3, "--seeds", 1, "--probes", "knn",
             "--jobs", 1, "--methods"]  # fmt: skip
    assert "moco learns from complete windows, and in one samples" in refused(*words, "moco", "aim")
    assert main([str(word) for word in (*words, "aim")]) == 0
    table = {r["row"]: r["f1_each"] for r in rows(out / "table.csv") if r["dataset"] == "one"}
    run = out / "encoders" / "random" / "within--one--fold0--aim--0"
    settings = settings_of(SelfsupConfig(("aim",), "test_vit"), "aim", EncoderConfig("test_vit"))
    # The start is the transformer as it was built, with its embeddings of sensors and views.
    source = source_of_windows({"one": gappy}, settings)
    built, begun = untrained_encoder(settings, source).state_dict(), load_file(run / BEGUN)
    assert built.keys() == begun.keys() and any(name.startswith("view_embed.") for name in begun)
    assert all((built[name] == begun[name]).all() for name in begun)
    read = EncoderConfig("tokens/test_vit", stages=settings.stages, bands=1)
    for row, file in (("start", BEGUN), ("aim", "encoder.safetensors")):
        encoder = replace(read, checkpoint=str(run / file))
        probe = ProbeConfig(encoder=encoder, shots=(3,), seeds=1, probes=("knn",))
        [record] = evaluate(gappy, probe, ["img2imu"], jobs=1, folds=[0])["results"]
        shown = [float(value) for value in table[row].split()]
        assert shown == pytest.approx(record["f1_each"], abs=1e-4)


def test_other_code_trains_again(tmp_path, monkeypatch):
    """A run that other code has finished, or begun, is none of this study's cell."""
    files = Files(save(tmp_path, one=make_windows(each=8)))
    plan = SelfsupConfig(("multitask",), "conv1d", steps=2)
    settings = settings_of(plan, "multitask", EncoderConfig("conv1d"))
    settings = replace(settings, batch_size=16, lr=1e-3)
    each = Training("left-out", ("x",), None, "multitask", 0, settings, files)
    run = tmp_path / "encoders" / each.name
    train(each, run)
    weights, log = load_file(run / "encoder.safetensors"), (run / "steps.csv").read_bytes()
    train(each, run)
    assert (run / "steps.csv").read_bytes() == log  # with the time that its steps took
    step = loop.Trainer.step

    def halved(self, batch, number):
        self.config = replace(settings, lr=5e-4)
        return step(self, batch, number)

    monkeypatch.setattr(loop.Trainer, "step", halved)
    monkeypatch.setattr(table1, "code_hash", lambda *names: "0" * 32)
    train(each, run)
    again = load_file(run / "encoder.safetensors")
    assert any((again[name] != weights[name]).any() for name in weights)


def test_code_of_pretraining_alone_makes_another_cell(monkeypatch):
    assert all(set(table1.PRETRAINING) <= set(code) for code in (selfsup.CODE, scale.CODE))
    cell = Cell("x", {}, lambda: None, table1.PRETRAINING)
    before, plain = cell.key, hashing._without_docstrings
    changed = Path(loop.__file__)

    def other(path):
        return ast.parse("pass") if path == changed else plain(path)

    monkeypatch.setattr(hashing, "_without_docstrings", other)
    hashing.code_hash.cache_clear()
    try:
        assert cell.key != before
    finally:
        hashing.code_hash.cache_clear()


@pytest.mark.parametrize(("method", "parts"), [("focal", 2), ("multitask", 0)])
def test_the_start_has_the_form_of_what_was_trained(tmp_path, method, parts):
    walk = make_windows(each=8, samples=64)
    both = replace(walk, X=np.concatenate([walk.X, walk.X[:, ::-1]], 1), sensors=("accel", "gyro"))
    files = Files(save(tmp_path, both=both))
    plan = SelfsupConfig((method,), "conv1d", steps=1)
    settings = replace(settings_of(plan, method, EncoderConfig("conv1d")), batch_size=16, lr=1e-3)
    train(Training("left-out", ("x",), None, method, 0, settings, files), tmp_path / "run")
    start, trained = (
        load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("start", "encoder")
    )
    shapes = [{name: value.shape for name, value in each.items()} for each in (start, trained)]
    assert shapes[0] == shapes[1]
    assert len({name.split(".")[1] for name in start if name.startswith("parts.")}) == parts
    np.testing.assert_allclose(start["mean"][:, 0], both.X.mean((0, 2)), atol=1e-5)
    assert any((start[name] != trained[name]).any() for name in start)
