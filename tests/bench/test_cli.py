"""``img2imu bench``: every benchmark by its name, its table printed and its report written."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from img2imu.cli import main

BENCHES = ("convert", "augment", "pack", "pretrain", "probe", "inference", "android", "web")


@pytest.mark.parametrize("name", BENCHES)
def test_prints_the_table_and_writes_the_report(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = import_module(f"img2imu.bench.{name}")
    monkeypatch.setattr(bench, "run", lambda *_, **__: {"rate": 3.5})
    monkeypatch.setattr(bench, "table", lambda report: f"rate {report['rate']}")
    names = ["model"] if name == "web" else []
    assert main(["bench", name, *names, "--json", str(tmp_path / "report.json")]) == 0
    assert capsys.readouterr().out == "rate 3.5\n"
    assert json.loads((tmp_path / "report.json").read_text()) == {"rate": 3.5}


@pytest.mark.parametrize("options", [["--json", "/"], ["--show", "{tmp}/no/x.png"]])
def test_a_report_that_cannot_be_written_is_said_first(
    options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = import_module("img2imu.bench.augment")
    for work in ("run", "pictures"):
        monkeypatch.setattr(bench, work, lambda *_: 1 / 0)
    assert main(["bench", "augment", *(each.format(tmp=tmp_path) for each in options)]) == 2
    assert capsys.readouterr().err.startswith("img2imu: cannot write")
    assert list(tmp_path.iterdir()) == []
