"""The bench of a phone, spoken to through a stand-in for adb."""

import json
import re
import stat
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from onnx import helper

from img2imu.bench import android
from img2imu.errors import InputError

REPORT = {
    "format": 1,
    "settings": {"file": "model.image.onnx", "runtime": "ONNX Runtime", "threads": 1},
    "device": {
        "manufacturer": "Acme",
        "model": "One",
        "thermal": {"before": "none", "after": "light"},
    },
    "cold_start_ms": 31.5,
    "stages": {
        "convert": {"p50_ms": 1.25, "p95_ms": 1.5},
        "inference": {"p50_ms": 4.5, "p95_ms": 5.0},
        "end_to_end": {"p50_ms": 5.75, "p95_ms": 6.5},
    },
}


class Phones:
    """What the stand-in knows, on disk."""

    def __init__(self, path, report):
        self.path = path
        self.write(
            devices={"a1": "device"},
            installed=True,
            install="Success",
            outcome="report",
            report=str(report),
            polls=0,
            calls=[],
        )

    def write(self, **values):
        self.path.write_text(json.dumps({**(self.read() if self.path.exists() else {}), **values}))

    def read(self):
        return json.loads(self.path.read_text())


@pytest.fixture
def phones(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    adb = folder / "adb"
    adb.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("adb.py")}" "$@"\n'
    )
    adb.chmod(adb.stat().st_mode | stat.S_IXUSR)
    report = tmp_path / "report.json"
    report.write_text(json.dumps(REPORT))
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("PHONES", str(tmp_path / "phones.json"))
    monkeypatch.setattr(android, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(android, "HOST_SECONDS", 0.0)
    return Phones(tmp_path / "phones.json", report)


def test_a_phone_is_measured_and_stands_beside_the_papers(phones):
    report = android.run(form="image", threads=2, runs=300)
    assert report["phone"] == REPORT and report["host"] is None
    extras = phones.read()["extras"]
    assert extras == [
        "--ez", "benchmark", "true", "--es", "form", "image", "--es", "report", "bench",
        "--ei", "threads", "2", "--ei", "runs", "300",
    ]  # fmt: skip
    lines = android.table(report).splitlines()
    assert lines[2].split() == ["Acme", "One", "(p50)", "1.25", "4.50", "5.75", "6.50"]
    paper = [line.split()[-3:] for line in lines if "(paper, mean)" in line]
    assert paper == [
        ["48.72", "16.50", "65.22"],
        ["55.33", "26.47", "81.80"],
        ["88.86", "40.67", "129.53"],
    ]
    assert "light after" in lines[0] and lines[-1].endswith("31.5")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"devices": {}}, "no phone: attach one"),
        ({"devices": {"a1": "device", "b2": "device"}}, "several phones: .* a1, b2"),
        ({"devices": {"a1": "unauthorized"}}, "does not trust this computer"),
        ({"devices": {"a1": "offline"}}, "a1 is offline"),
        ({"installed": False}, "not on the phone: give --apk"),
        ({"outcome": "error"}, "could not measure: the model model.onnx is missing"),
        ({"outcome": "crash"}, "ended without a report: java.lang.OutOfMemoryException: no room"),
    ],
)
def test_what_goes_wrong_is_said(phones, state, message):
    phones.write(**state)
    with pytest.raises(InputError, match=message):
        android.run()


def test_one_of_several_phones(phones):
    phones.write(devices={"a1": "offline", "b2": "device"})
    android.run(serial="b2")
    assert all(call[:2] == ["-s", "b2"] for call in phones.read()["calls"] if call != ["devices"])
    with pytest.raises(InputError, match="no phone c3"):
        android.run(serial="c3")


def test_no_report_in_time(phones):
    phones.write(outcome="silence")
    with pytest.raises(InputError, match=r"no report after 0\.2 s"):
        android.run(timeout=0.2)


def test_the_app_knows_what_it_is_asked():
    app = Path(__file__).parents[2] / "android_demo" / "app" / "src" / "main"
    source = app / "kotlin" / "org" / "img2imu" / "demo"
    keys = re.findall(r'^    [A-Z0-9_]+\("([^"]+)"', (source / "Variant.kt").read_text(), re.M)
    assert tuple(keys) == android.VARIANTS
    assert f"package {android.PACKAGE}" in (source / "MainActivity.kt").read_text()
    assert 'android:name=".MainActivity"' in (app / "AndroidManifest.xml").read_text()


def test_no_adb(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="adb is not on PATH"):
        android.run()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ('{"device": 1}', "damaged"), ('{"format": 9}', "has format 9")],
)
def test_a_report_that_cannot_be_read(phones, text, message):
    Path(phones.read()["report"]).write_text(text)
    with pytest.raises(InputError, match=message):
        android.run()


def test_an_app_that_the_phone_refuses(phones, tmp_path):
    apk = tmp_path / "demo.apk"
    with pytest.raises(InputError, match="no app at"):
        android.run(apk)
    apk.write_bytes(b"PK")
    phones.write(install="INSTALL_FAILED_NO_MATCHING_ABIS")
    with pytest.raises(InputError, match="INSTALL_FAILED_NO_MATCHING_ABIS"):
        android.run(apk)


def test_the_same_file_is_timed_here(phones, tmp_path):
    mean = helper.make_node("ReduceMean", ["window"], ["logits"], keepdims=0)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [mean], "mean", [value("window", 1, ["n", 3, 250])], [value("logits", 1, [])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    apk = tmp_path / "demo.apk"
    report = {**REPORT, "settings": {**REPORT["settings"], "file": "model.onnx"}}
    Path(phones.read()["report"]).write_text(json.dumps(report))
    with ZipFile(apk, "w") as archive:
        archive.writestr("assets/models/model.onnx", model.SerializeToString())
    host = android.run(apk)["host"]
    assert list(host["stages"]) == ["end_to_end"]
    assert host["stages"]["end_to_end"]["runs"] >= 200
    assert "this computer" in android.table({"phone": report, "host": host})
    with ZipFile(apk, "w") as archive:
        archive.writestr("assets/models/other.onnx", b"")
    with pytest.raises(InputError, match=r"holds no model\.onnx"):
        android.run(apk)
    apk.write_bytes(b"PK")
    with pytest.raises(InputError, match="is not an app"):
        android.run(apk)


@pytest.mark.parametrize(
    "settings", [{"form": "other"}, {"threads": 0}, {"runs": 0}, {"timeout": float("inf")}]
)
def test_unfit_settings(settings):
    with pytest.raises(InputError):
        android.run(**settings)
