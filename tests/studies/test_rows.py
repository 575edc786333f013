"""Rows: which encoders are read where, and which are missing."""

import json
import re
from dataclasses import replace

import pytest

from img2imu.errors import InputError
from img2imu.fewshot import ProbeConfig
from img2imu.models import DEFAULT_ENCODER, EncoderConfig
from img2imu.models.encoder import shipped_path
from img2imu.studies import table2
from img2imu.studies.config import StudyConfig
from img2imu.studies.data import load_sets
from img2imu.studies.publishing import reading
from img2imu.studies.results import Result
from img2imu.studies.rows import TITLES, build_rows, identity, lacking, read_encoders

from .samples import windows_file


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    return path


def test_every_row_stands_or_is_named(weights):
    rows, missing = build_rows(read_encoders([f"supervised={weights}", "simsiam=gone.pt"]))
    names = [row.name for row in rows]
    assert sorted([*names, *(gap.row for gap in missing)]) == sorted(TITLES)
    assert names == [name for name in TITLES if name in names]
    reasons = {gap.row: gap.reason for gap in missing}
    assert reasons["simsiam"] == "no weights file at gone.pt"
    assert "--encoders moco-all=FILE" in reasons["moco-all"]
    encoders = {row.name: row.encoder for row in rows}
    assert encoders["supervised"] == EncoderConfig("resnet18", checkpoint=str(weights))
    assert encoders["shipped"] == encoders["all-labels"] == encoders["finetune"] == DEFAULT_ENCODER
    assert encoders["random-1d"].name == "conv1d"


def test_votes_need_sktime_and_the_references_encoder(monkeypatch):
    monkeypatch.setattr("img2imu.studies.rows.find_spec", lambda name: "found")
    rows, missing = build_rows({}, ["vote", "vote-no-images"], reference="simsiam")
    assert [row.name for row in rows] == ["vote-no-images"]
    assert "--encoders simsiam=FILE" in {gap.row: gap.reason for gap in missing}["vote"]
    monkeypatch.setattr("img2imu.studies.rows.find_spec", lambda name: None)
    rows, missing = build_rows({}, ["vote", "vote-no-images", "minirocket", "hand-forest"])
    assert [row.name for row in rows] == ["shipped", "hand-forest"]
    assert all("img2imu[baselines]" in gap.reason for gap in missing)


def test_stages_are_those_asked_for(weights):
    entries = [f"supervised={weights}", f"simclr-1d={weights}"]
    rows, _ = build_rows(read_encoders(entries, [1, 3]), stages=[1, 3])
    stages = {row.name: row.encoder.stages for row in rows if row.encoder}
    assert stages["supervised"] == stages["random-2d"] == stages["shipped"] == (1, 3)
    assert stages["simclr-1d"] == stages["random-1d"] == EncoderConfig().stages


def test_the_preset_says_where_encoders_are_read(weights):
    encoders = read_encoders([f"supervised={weights}"], preset="paper")
    rows, _ = build_rows(encoders, ["supervised", "random-2d"], preset="paper")
    read = {row.name: (row.encoder.stages, row.encoder.bands) for row in rows}
    assert read == dict.fromkeys(("shipped", "supervised", "random-2d"), ((4,), 1))


def test_each_length_of_windows_may_have_an_encoder_of_its_own(tmp_path):
    """Runs of a pre-training, in folders that tell the seconds; one is still lacking."""
    folder = tmp_path / "cpc-3.2s"
    folder.mkdir()
    (folder / "encoder.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"pretrain": {"encoder": "cpc1d"}}))
    entry = f"cpc-1d={tmp_path}/cpc-{{seconds}}s"
    rows, missing = build_rows(read_encoders([entry]), ["cpc-1d"], "cpc-1d")
    [row], config = rows, StudyConfig(ProbeConfig(shots=(3,), seeds=1))
    assert not missing and identity(row.encoder)["sha256"] is None
    files = [windows_file(tmp_path, "short"), windows_file(tmp_path, "long", samples=100)]
    (short, long), _ = load_sets(files, config)
    assert (short.seconds, long.seconds) == (3.2, 5)
    found = row.encoder_for(short)
    assert (found.name, found.checkpoint) == ("cpc1d", str(folder / "encoder.safetensors"))
    assert lacking(row, short) == ""
    assert lacking(row, long) == f"no weights file at {tmp_path}/cpc-5s"


def test_a_file_of_rows(tmp_path, weights):
    path = tmp_path / "rows.json"
    entries = {
        "supervised": {"name": "resnet18.tv_in1k", "pretrained": True, "stages": [3]},
        "moco-all": weights.name,
        "mine": {"checkpoint": weights.name, "seed": 3},
    }
    path.write_text(json.dumps(entries))
    encoders = read_encoders([str(path)])
    assert encoders["supervised"] == EncoderConfig("resnet18.tv_in1k", True, stages=(3,))
    assert encoders["moco-all"].checkpoint == str(weights)
    rows, _ = build_rows(encoders, ["mine"], reference="moco-all")
    assert [(row.name, row.group) for row in rows] == [("moco-all", "image"), ("mine", "image")]


def test_the_folder_of_a_pretraining_says_its_architecture(tmp_path, weights):
    weights.rename(tmp_path / "encoder.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"pretrain": {"encoder": "resnet34"}}))
    encoder = read_encoders([f"simsiam={tmp_path}"])["simsiam"]
    assert encoder.name == "resnet34"
    assert encoder.checkpoint == str(tmp_path / "encoder.safetensors")


def test_identity_knows_the_weights_not_their_place(tmp_path, weights):
    one = identity(EncoderConfig(checkpoint=str(weights)))
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"weights")
    assert identity(EncoderConfig(checkpoint=str(other))) == one
    other.write_bytes(b"others")
    assert identity(EncoderConfig(checkpoint=str(other))) != one
    assert identity(DEFAULT_ENCODER)["sha256"]


def test_what_the_shipped_encoder_has_seen_is_what_its_card_says():
    card = shipped_path(DEFAULT_ENCODER.name).with_suffix(".md").read_text(encoding="utf-8")
    seen = re.findall(r"^\| ([^|]+) \| (yes|no) \|", card, re.MULTILINE)
    rows = {row.name: row for row in build_rows({}, ["random-2d", "all-labels"])[0]}
    assert {answer for _, answer in seen} == {"yes", "no"}
    for title, answer in seen:
        name = re.sub(r"\W+", "-", title)
        assert rows["shipped"].has_seen(name) == rows["all-labels"].has_seen(name)
        assert rows["shipped"].has_seen(name) == (answer == "yes"), name
        assert not rows["random-2d"].has_seen(name)
    reference = Result("daphnet", "shipped", "logistic", 10, (0.5,), 0.5, seen=True)
    assert "†" in table2.marks(reference)
    assert "learnt from windows" in table2.legend_of_marks([reference], [], "shipped")
    assert "†" not in table2.marks(replace(reference, seen=False))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["supervised"], "NAME=FILE"),
        (["a b=x"], "name of a row"),
        (["vote=x"], "no encoder of its own"),
        (["{json}"], "valid JSON"),
        (["[1].json"], "by name"),
        (['{"a": {"depth": 3}}.json'], "encoder of row a"),
        (['{"a": {"stages": [-1]}}.json'], "encoder of row a"),
    ],
)
def test_bad_entries_are_refused(tmp_path, entries, message):
    if entries[0] == "{json}" or entries[0].endswith(".json"):
        path = tmp_path / "rows.json"
        path.write_text(entries[0].removesuffix(".json"))
        entries = [str(path)]
    with pytest.raises(InputError, match=message):
        read_encoders(entries)


def test_unknown_rows_are_refused():
    with pytest.raises(InputError, match="unknown row 'moco'"):
        build_rows({}, ["moco"])
    with pytest.raises(InputError, match="unknown row 'ours'"):
        build_rows({}, reference="ours")


def test_stages_are_told_in_a_sentence(weights):
    encoders = {"simsiam": EncoderConfig(stages=(4,)), "moco-all": EncoderConfig()}
    rows, _ = build_rows(encoders, ["random-2d", "simsiam", "hand-forest"], "moco-all")
    assert reading(rows) == "Image encoders are read at stages 1 and 2, stage 4 (SimSiam)."
    assert reading([row for row in rows if row.name == "hand-forest"]) == ""
    rows, _ = build_rows({}, ["random-2d"], stages=[1, 3])
    assert reading(rows) == "Image encoders are read at stages 1 and 3."
