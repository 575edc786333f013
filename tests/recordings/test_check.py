"""What `data check` tells, and the command around it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from img2imu.cli import data
from img2imu.errors import InputError
from img2imu.files import cache_folder
from img2imu.recordings.check import check
from img2imu.recordings.registry import DATASETS, fetch_dataset, open_source
from img2imu.recordings.types import Piece, RowReport
from tests.recordings import samples


class Recordings:
    """A source of given pieces."""

    name = "given"

    def __init__(self, *pieces: Piece) -> None:
        self.given = pieces
        rows = sum(map(len, pieces))
        self.report = RowReport(rows + 3, rows)
        self.report.drop("missing value", 3)

    def pieces(self) -> Iterator[Piece]:
        yield from self.given


def piece(subject: str, recording: str, times: list[float], labels: list[str]) -> Piece:
    values = np.tile(np.float32([0, 0.6, -0.8]), (len(times), 1))
    return Piece(subject, recording, 10.0, np.array(times), values, np.array(labels, dtype=object))


def test_counts_hours_and_time_faults() -> None:
    report = check(
        Recordings(
            piece("ann", "r1", [0, 0.1, 0.1, 0.2], ["a", "a", "", "b"]),
            piece("ann", "r1", [0.3, 5.0, 4.9], ["b"] * 3),  # continues r1: a gap, a step back
            piece("bob", "r1", [9.0, 9.1, 9.2], ["a"] * 3),  # another recording: no gap between
        )
    )
    hour = 1 / 10 / 3600
    assert report.subjects == pytest.approx({"ann": 7 * hour, "bob": 3 * hour})
    assert report.classes == pytest.approx({"(unlabelled)": hour, "a": 5 * hour, "b": 4 * hour})
    assert report.hours == pytest.approx(10 * hour)
    assert (report.rows, report.used, report.dropped) == (13, 10, {"missing value": 3})
    assert (report.recordings, report.gaps, report.repeated, report.backward) == (2, 1, 1, 1)
    assert report.longest_gap == pytest.approx(4.7)
    assert report.rates == pytest.approx({"10": 6 / 0.5})  # 0.3 s in r1, 0.2 s in bob's
    assert report.minimum == pytest.approx((0, 0.6, -0.8))
    assert report.maximum == pytest.approx((0, 0.6, -0.8))
    assert report.magnitude == pytest.approx(1.0)


def test_one_sample_has_no_rate() -> None:
    report = check(Recordings(piece("ann", "r1", [0], ["a"])))
    assert report.rates == {"10": None}
    assert "not measurable" in report.to_text()


def test_json_holds_only_plain_values(tmp_path: Path) -> None:
    report = check(open_source(samples.write_wisdm_2019(tmp_path)))
    assert json.loads(json.dumps(report.to_dict()))["subjects"].keys() == {"1600", "1601"}


def run(*words: str) -> None:
    parser = argparse.ArgumentParser()
    data.register(parser.add_subparsers(required=True))
    args = parser.parse_args(["data", *words])
    args.run(args)


def test_command_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.write_wisdm_2019(tmp_path)
    run("check", str(tmp_path), "--json")
    assert json.loads(capsys.readouterr().out)["used"] == 80
    run("check", str(tmp_path), "--format", "wisdm-2019", "--option", "device=phone")
    told = capsys.readouterr().out
    for words in ("wisdm-2019", "80, used 80, dropped 0", "jogging", "1601", "20 Hz nominal"):
        assert words in told


def test_command_check_passes_the_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{row * 20},0,0,9.8,w,7" for row in range(40)]
    path.write_text("\n".join(["clock,a,b,c,what,who", *rows]))
    run("check", str(path), "--columns", "clock,a,b,c", "--label", "what", "--subject", "who",
        "--unit", "m/s2", "--time-unit", "ms", "--json")  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert (list(told["rates"]), list(told["classes"]), list(told["subjects"])) == (
        ["50"],
        ["w"],
        ["7"],
    )
    with pytest.raises(InputError, match="NAME=VALUE"):
        run("check", str(path), "--option", "device")


def test_command_list(capsys: pytest.CaptureFixture[str]) -> None:
    run("list")
    told = capsys.readouterr().out
    assert all(name in told for name in DATASETS)
    run("list", "--json")
    assert json.loads(capsys.readouterr().out)["daphnet"]["licence"] == "CC BY 4.0"


def test_every_registered_reader_exists() -> None:
    for entry in DATASETS.values():
        assert entry.reader_class().name == entry.name  # type: ignore[attr-defined]
        assert (entry.url is None) == (entry.download is None)


def test_data_sets_behind_an_account_tell_where_they_are() -> None:
    for name in ("pvs", "goat"):
        with pytest.raises(InputError, match=f"{name} cannot be fetched .* https://"):
            fetch_dataset(name)
    with pytest.raises(InputError, match="pip install"):
        fetch_dataset("exercise")
    with pytest.raises(InputError, match="nor a data set"):
        fetch_dataset("imagenet")


def test_a_fetched_data_set_opens_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="img2imu data fetch daphnet"):
        open_source("daphnet")
    lines = samples.daphnet_lines(np.full((8, 3), 700), [1] * 8)
    samples.write_daphnet(tmp_path / "data", {"S09R01": lines})
    (cache_folder() / "downloads").mkdir(parents=True)
    with zipfile.ZipFile(cache_folder() / "downloads" / "daphnet.zip", "w") as archive:
        for path in (tmp_path / "data").rglob("*.txt"):
            archive.write(path, path.relative_to(tmp_path / "data"))
    assert [piece.subject for piece in open_source("daphnet").pieces()] == ["S09"]
