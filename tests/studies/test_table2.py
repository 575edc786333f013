"""The table on small windows files: what is computed, kept, compared, named and shown."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wilcoxon

from img2imu.errors import InputError
from img2imu.fewshot import FinetuneConfig, ProbeConfig, evaluate, evaluation
from img2imu.models import EncoderConfig, create_backbone
from img2imu.pretrain.checkpoint import save_encoder
from img2imu.recordings import SplitManifest, save_windows
from img2imu.studies import few_shot, table2
from img2imu.studies import rows as rows_module
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets
from img2imu.studies.rows import build_rows

from .samples import make_windows, windows_file

TINY = EncoderConfig(stages=(1,), bands=1)
CONFIG = StudyConfig(
    ProbeConfig(probes=("logistic", "paper"), shots=(3,), seeds=2), windows=60, reference="tiny"
)
ROWS = ["hand-forest", "all-labels", "tiny", "deep", "simsiam"]


def study(folder, files, config=CONFIG, jobs=1, names=ROWS):
    """Run the table of the rows named; "deep" asks its encoder for a stage it does not have."""
    encoders = {"tiny": TINY, "deep": EncoderConfig(stages=(7,))}
    rows, lacking = build_rows(encoders, names, config.reference)
    sets, missing = load_sets(files, config)
    return table2.run(folder, sets, rows, config, [*lacking, *missing], jobs=jobs)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    few = windows_file(folder, "few", subjects=2)
    return [windows_file(folder), windows_file(folder, "daphnet", classes="ab", seed=1), few]


@pytest.fixture(scope="module")
def out(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "table2"
    study(folder, files)
    return folder


@pytest.fixture(scope="module")
def records(out):
    with (out / "table.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def values(record):
    return [float(value) for value in record["f1_each"].split()]


def test_the_folder_holds_everything(out):
    assert sorted(path.name for path in out.iterdir()) == [
        "cells", "environment.json", "figure.png", "settings.json", "splits", "table.csv",
        "table.html", "table.md",
    ]  # fmt: skip
    cells = {path.stem for path in (out / "cells").iterdir()}
    rows = ("hand-forest", "all-labels", "tiny")
    assert cells == {f"{name}--{row}" for name in ("toy", "daphnet") for row in rows}
    settings = json.loads((out / "settings.json").read_text())
    assert settings["study"] == "table2" and settings["settings"]["windows"] == 60
    assert settings["data"]["toy"]["windows"] == 60
    SplitManifest.load(out / "splits" / "toy.json")


def test_a_column_may_be_of_several_sensors(tmp_path):
    one = make_windows()
    both = replace(one, X=np.concatenate([one.X, one.X[:, ::-1]], 1), sensors=("accel", "gyro"))
    save_windows(tmp_path / "both.npz", both)
    names = ["hand-forest", "tiny"]
    study(tmp_path / "out", [windows_file(tmp_path), tmp_path / "both.npz"], names=names)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["data"]["both"]["sensors"] == ["accel", "gyro"]
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        done = {(r["dataset"], r["row"]): r for r in csv.DictReader(stream) if r["f1_mean"]}
    assert {(name, row) for name in ("both", "toy") for row in names} <= done.keys()
    [_, data], _ = load_sets([windows_file(tmp_path), tmp_path / "both.npz"], CONFIG)
    probe = replace(CONFIG.probe, encoder=TINY, probes=("paper",))
    [result] = evaluate(data.windows, probe, ["img2imu"], jobs=1)["results"]
    assert float(done["both", "tiny"]["f1_mean"]) == pytest.approx(result["f1_mean"], abs=2e-4)


def test_scores_are_those_of_the_probe(files, records):
    [data, _], _ = load_sets(files, CONFIG)
    config = ProbeConfig(encoder=TINY, probes=("logistic", "paper"), shots=(3,), seeds=2)
    outcome = evaluate(data.windows, config, ["img2imu"], jobs=1)
    expected = {r["probe"]: r["f1_each"] for r in outcome["results"]}
    found = {(r["row"], r["probe"]): r for r in records if r["dataset"] == "toy"}
    assert set(expected) == {"logistic", "paper"}
    for probe, each in expected.items():
        record = found["tiny", probe]
        assert values(record) == each
        assert float(record["f1_mean"]) == pytest.approx(np.mean(each), abs=1e-4)
        assert float(record["f1_std"]) == pytest.approx(np.std(each), abs=1e-4)
    ceiling = found["all-labels", "logistic"]
    assert ceiling["shots"] == "all" and len(values(ceiling)) == 5
    assert float(ceiling["f1_mean"]) > float(found["tiny", "logistic"]["f1_mean"])


def test_p_is_scipys(records):
    found = {(r["dataset"], r["row"], r["probe"]): r for r in records}
    pairs = []
    for name in ("toy", "daphnet"):
        forest, tiny = found[name, "hand-forest", "forest"], found[name, "tiny", "logistic"]
        pairs.append((values(forest), values(tiny)))
        assert float(forest["p"]) == pytest.approx(wilcoxon(*pairs[-1]).pvalue, rel=1e-2)
    together = found["mean", "hand-forest", "forest"]
    pooled = wilcoxon(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    assert float(together["p"]) == pytest.approx(pooled.pvalue, rel=1e-2)
    means = [np.mean(mine) for mine, _ in pairs]
    assert float(together["f1_mean"]) == pytest.approx(np.mean(means), abs=1e-4)
    assert found["toy", "tiny", "logistic"]["p"] == ""


def test_what_is_missing_is_named(out, records):
    gaps = {(r["dataset"], r["row"]): r["missing"] for r in records if r["missing"]}
    assert "--encoders simsiam=FILE" in gaps["", "simsiam"]
    assert "stages (7,)" in gaps["toy", "deep"] and "stages (7,)" in gaps["daphnet", "deep"]
    assert "subjects" in gaps["few", ""]
    for title in ("WISDM v1.1", "Goat Movement", "PVS"):
        assert "not among" in gaps[title, ""]
    assert ("Daphnet", "") not in gaps
    for page in ("table.md", "table.html"):
        text = (out / page).read_text()
        assert "--encoders simsiam=FILE" in text and "Goat Movement" in text


def test_markdown_lines_are_complete(out, records):
    lines = (out / "table.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| method | probe | toy | daphnet | paper | mean |"
    assert {line.count("|") for line in table} == {7}
    found = {(r["row"], r["probe"]): r for r in records if r["dataset"] == "toy"}
    [forest] = [line for line in table if "forest |" in line]
    assert f"{float(found['hand-forest', 'forest']['f1_mean']):.3f}"[1:] in forest


def test_a_repeated_run_computes_nothing(out, files, monkeypatch):
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def fail(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(few_shot, "_score", fail)
    study(out, files, names=[name for name in ROWS if name != "deep"])
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert [line for line in before["table.csv"].splitlines() if b"deep" not in line] == after[
        "table.csv"
    ].splitlines()


def test_processes_change_nothing(tmp_path, files, records):
    study(tmp_path / "out", files[:1], jobs=2, names=["tiny", "all-labels"])
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        parallel = [r for r in csv.DictReader(stream) if r["dataset"] == "toy"]
    serial = [r for r in records if r["dataset"] == "toy" and r["row"] in ("tiny", "all-labels")]
    assert len(parallel) == 3 and parallel == serial


def test_voters_and_votes_share_a_cell():
    usual = ["hand-forest", "quant", "minirocket"]
    names = ["tiny", *usual, "vote", "vote-no-images", "all-labels"]
    rows, _ = build_rows({"tiny": TINY}, names, "tiny")
    assert [[row.name for row in bundle] for bundle in few_shot._bundles(rows)] == [
        ["hand-forest", "minirocket", "vote", "vote-no-images"],
        ["tiny"],
        ["quant"],
        ["all-labels"],
    ]
    apart = [row for row in rows if row.group != "vote"]
    assert [len(bundle) for bundle in few_shot._bundles(apart)] == [1] * 5


def test_votes_are_the_probes(tmp_path, files):
    pytest.importorskip("sktime", reason="the baselines extra is not installed")
    config = replace(CONFIG, probe=replace(CONFIG.probe, seeds=1), windows=45)
    study(tmp_path / "out", files[:1], config, names=["vote-no-images", "vote"])
    [data], _ = load_sets(files[:1], config)
    probe = replace(config.probe, encoder=TINY, probes=("logistic",))
    [expected] = evaluate(data.windows, probe, ["vote"], jobs=1)["results"]
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        found = {r["row"]: r for r in csv.DictReader(stream) if r["dataset"] == "toy"}
    assert values(found["vote"]) == expected["f1_each"]
    assert found["vote-no-images"]["p"] != ""


def test_trained_rows_are_those_of_finetune(files, tmp_path, monkeypatch):
    shorter = replace(evaluation.FROM_SCRATCH, epochs=12, patience=6)
    monkeypatch.setattr(evaluation, "FROM_SCRATCH", shorter)
    monkeypatch.setattr(evaluation, "SCRATCH_RATES", (1e-3,))
    monkeypatch.setattr(evaluation, "FinetuneConfig", lambda: FinetuneConfig(epochs=1, steps=2))
    config = replace(
        CONFIG,
        probe=replace(CONFIG.probe, preset="fast", probes=("logistic",), shots=(10,), seeds=1),
    )
    study(tmp_path / "out", files[:1], config, names=["tiny", "finetune", "supervised-1d"])
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        found = {r["row"]: r for r in csv.DictReader(stream) if r["dataset"] == "toy"}
    [data], _ = load_sets(files[:1], config)
    probe = replace(config.probe, encoder=TINY)
    expected = evaluate(data.windows, probe, ["img2imu", "finetune"])["results"]
    assert values(found["tiny"]) == expected[0]["f1_each"]
    assert values(found["finetune"]) == expected[1]["f1_each"]
    assert found["finetune"]["shots"] == "10" and found["finetune"]["p"]
    scratch = found["supervised-1d"]
    assert scratch["shots"] == "all" and len(values(scratch)) == 5 and not scratch["p"]
    # Sines of three paces, from all labels: far above a guess, a third.
    assert float(scratch["f1_mean"]) > 0.5


def test_a_random_row_is_the_mean_of_its_networks(files, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "NETWORKS", 2)
    config = replace(CONFIG, probe=replace(CONFIG.probe, probes=("logistic",), seeds=1))
    rows, _ = build_rows({"tiny": TINY, "random-2d": TINY}, ["random-2d"], "tiny")
    sets, _ = load_sets(files[:1], config)
    text = table2.run(tmp_path / "out", sets, rows, config, jobs=1)
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        found = {r["row"]: r for r in csv.DictReader(stream) if r["dataset"] == "toy"}
    each = []
    for seed in range(2):
        probe = replace(config.probe, encoder=replace(TINY, seed=seed))
        [record] = evaluate(sets[0].windows, probe, ["img2imu"], jobs=1)["results"]
        each.append(record["f1_each"])
    random = found["random-2d"]
    assert values(random) == pytest.approx(np.mean(each, axis=0), abs=1e-4)
    networks = [float(value) for value in random["f1_networks"].split()]
    assert networks == pytest.approx(np.mean(each, axis=1), abs=1e-4)
    low, high = (f"{value:.3f}"[1:] for value in sorted(np.mean(each, axis=1)))
    assert f"the mean of 2 networks, which have {low} to {high}" in text
    assert found["tiny"]["f1_networks"] == "" and "random-2d.0" not in text


def test_the_best_opponent_of_each_set_and_the_mean_of_untouched_sets(files, tmp_path):
    config = replace(
        CONFIG,
        probe=replace(CONFIG.probe, probes=("logistic",), seeds=1),
        untouched=("daphnet",),
    )
    names = ["hand-forest", "quant"]
    study(tmp_path / "out", files[:2], config, names=names)
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        records = list(csv.DictReader(stream))
    f1 = {(r["dataset"], r["row"]): float(r["f1_mean"]) for r in records if r["f1_mean"]}
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    [head] = [line for line in lines if line.startswith("| method")]
    assert head == "| method | probe | toy | daphnet | paper | mean | mean of the untouched |"
    [line] = [line for line in lines if line.startswith("| the best of these")]
    cells = [cell.strip() for cell in line.strip("|").split("|")][2:]
    best = {name: max(f1[name, row] for row in names) for name in ("toy", "daphnet")}
    leads = {name: f1[name, "tiny"] - value for name, value in best.items()}
    both = (np.mean(list(best.values())), np.mean(list(leads.values())))
    for cell, (value, lead) in zip(
        (cells[0], cells[1], cells[3], cells[4]),
        ((best["toy"], leads["toy"]), (best["daphnet"], leads["daphnet"]), both,
         (best["daphnet"], leads["daphnet"])), strict=True,
    ):  # fmt: skip
        shown = cell.replace("−", "-").replace("(", "").replace(")", "").split()
        assert [float(part) for part in shown] == pytest.approx([value, lead], abs=1.1e-3)
    for row in ("tiny", *names):
        assert f1["mean of the untouched", row] == f1["daphnet", row]
    with pytest.raises(InputError, match="'goat'"):
        study(tmp_path / "out", files[:1], replace(config, untouched=("goat",)), names=names)


def test_too_few_shots_to_finetune_are_said(files, tmp_path):
    study(tmp_path / "out", files[:1], names=["tiny", "finetune"])
    assert "at least 10 windows per class" in (tmp_path / "out" / "table.md").read_text()


def test_each_set_may_have_an_encoder_of_its_own(files, tmp_path):
    """As one has it that was trained on all other sets."""
    for name, seed in (("toy", 3), ("daphnet", 4)):
        network = create_backbone("resnet18", stages=(1,), seed=seed)
        save_encoder(tmp_path / f"{name}.safetensors", network)
    own = replace(TINY, checkpoint=str(tmp_path / "{set}.safetensors"))
    config = replace(CONFIG, probe=replace(CONFIG.probe, probes=("logistic",), seeds=1))
    rows, _ = build_rows({"tiny": TINY, "own": own}, ["own"], "tiny")
    sets, missing = load_sets(files[:2], config)
    table2.run(tmp_path / "out", sets, rows, config, missing, jobs=1)
    with (tmp_path / "out" / "table.csv").open(newline="", encoding="utf-8") as stream:
        found = {r["dataset"]: values(r) for r in csv.DictReader(stream) if r["row"] == "own"}
    for data, seed in zip(sets, (3, 4), strict=True):
        probe = replace(config.probe, encoder=replace(TINY, seed=seed))
        [expected] = evaluate(data.windows, probe, ["img2imu"])["results"]
        assert found[data.name] == expected["f1_each"]
    (tmp_path / "toy.safetensors").unlink()
    text = table2.run(tmp_path / "again", sets, rows, config, missing, jobs=1)
    assert "toy, own: no weights file at" in text
