"""Rows: which encoders are read where, and which are missing."""

import json

import pytest

from img2imu.errors import InputError
from img2imu.models import DEFAULT_ENCODER, EncoderConfig
from img2imu.studies.publishing import reading
from img2imu.studies.rows import TITLES, build_rows, identity, read_encoders


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
    assert reading(rows) == "Image encoders are read at stage 2, stage 4 (SimSiam)."
    assert reading([row for row in rows if row.name == "hand-forest"]) == ""
    rows, _ = build_rows({}, ["random-2d"], stages=[1, 3])
    assert reading(rows) == "Image encoders are read at stages 1 or 3."
