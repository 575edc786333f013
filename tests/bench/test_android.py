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
from img2imu.bench.android import PhoneRun
from img2imu.cli import main
from img2imu.errors import InputError

REPORT = {
    "format": 2,
    "settings": {
        "file": "model.image.onnx",
        "runtime": "ONNX Runtime",
        "threads": 1,
        "provider": "cpu",
        "taken": {"nodes": 40, "of": 40, "time_share": 1.0, "fell_back": False},
    },
    "protocol": {"mode": "burst"},
    "device": {
        "manufacturer": "Acme",
        "model": "One",
        "thermal": {"before": "none", "after": "light"},
    },
    "validity": {"valid": False, "objections": ["5 s instead of 60", "power save was on"]},
    "memory": {"pss_change": 12_500_000, "model_file": 3_000_000, "apart_from_file": 9_500_000},
    "energy": {"joules_per_run": None, "note": "not counted while charging"},
    "cold_start_ms": 31.5,
    "stages": {
        "convert": {"p50_ms": 1.25, "p90_ms": 1.5, "p99_ms": 1.75},
        "inference": {"p50_ms": 4.5, "p90_ms": 5.0, "p99_ms": 5.25},
        "end_to_end": {"p50_ms": 5.75, "p90_ms": 6.5, "p99_ms": 7.25},
    },
}


def changed(**parts):
    """The report with other values in some of its parts."""
    return {**REPORT, **{name: {**REPORT[name], **values} for name, values in parts.items()}}


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
            storage=str(path.with_name("storage")),
            full=False,
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
    asked = PhoneRun("image", "paced", 2, "nnapi", 300, 90.0, 60.0)
    report = android.run(asked=asked)
    [one] = report["benchmarks"]
    assert one == {"phone": REPORT, "host": None}
    extras = phones.read()["extras"]
    assert extras == [
        "--ez", "benchmark", "true", "--es", "report", "bench", "--es", "form", "image",
        "--es", "mode", "paced", "--es", "provider", "nnapi", "--ei", "threads", "2",
        "--ei", "runs", "300", "--ef", "seconds", "90", "--ef", "cool_down", "60",
    ]  # fmt: skip
    assert asked.expected == 60 + 300 + 300
    lines = android.table(report).splitlines()
    assert lines[0] == "Acme One: ONNX Runtime, 1 thread(s), cpu, burst"
    assert lines[2].split() == ["model.image.onnx", "1.25", "4.50", "5.75", "6.50", "7.25"]
    paper = [line.split()[-3:] for line in lines if "(paper, mean)" in line]
    assert paper == [
        ["48.72", "16.50", "65.22"],
        ["55.33", "26.47", "81.80"],
        ["88.86", "40.67", "129.53"],
    ]
    assert lines[-6:] == [
        "model.image.onnx:",
        "  not valid: 5 s instead of 60; power save was on",
        "  cold start 31.5 ms",
        "  thermal status none before, light after",
        "  memory +12.5 MB, +9.5 apart from the file",
        "  energy not counted while charging",
    ]


@pytest.mark.parametrize(("mode", "runs", "seconds"), [("burst", 200, "5"), ("paced", 100, "60")])
def test_each_mode_has_its_own_length(phones, mode, runs, seconds):
    android.run(asked=PhoneRun(mode=mode))
    extras = phones.read()["extras"]
    assert extras[extras.index("runs") + 1] == str(runs)
    assert extras[extras.index("seconds") + 1] == seconds


def test_a_provider_that_took_part_or_nothing_is_said(phones):
    taken = {"nodes": 30, "of": 40, "time_share": 0.825, "fell_back": False}
    joules = {"joules_per_run": 0.0125, "note": None}
    valid = {"valid": True, "objections": []}
    part = changed(settings={"provider": "xnnpack", "taken": taken}, energy=joules, validity=valid)
    text = android.table({"benchmarks": [{"phone": part, "host": None}]})
    assert "  xnnpack ran 30 of 40 nodes, 82% of the time" in text
    assert "\n  valid\n" in text and "energy 12.5 mJ a window" in text
    none = {"nodes": 0, "of": 40, "time_share": 0.0, "fell_back": True}
    fallen = changed(settings={"provider": "nnapi", "taken": none}, memory={"pss_change": None})
    text = android.table({"benchmarks": [{"phone": fallen, "host": None}]})
    assert "model.image.onnx on the CPU instead" in text
    assert "nnapi ran" not in text and "memory" not in text


def test_a_sustained_run_shows_both_ends(phones):
    ends = {
        end: {"seconds": 30.2, "p50_ms": p50, "p90_ms": p50 + 1, "p99_ms": p50 + 2}
        for end, p50 in (("first", 4.0), ("last", 9.0))
    }
    phone = {**changed(protocol={"mode": "sustained"}), "stages": ends}
    lines = android.table({"benchmarks": [{"phone": phone, "host": None}]}).splitlines()
    assert lines[2].split() == ["model.image.onnx,", "first", "30", "s", "4.00", "5.00", "6.00"]
    assert lines[3].split() == ["model.image.onnx,", "last", "30", "s", "9.00", "10.00", "11.00"]


def exported(path, form="end-to-end", metadata=True):
    """The mean of a window as a file that says of itself what export says."""
    mean = helper.make_node("ReduceMean", ["window"], ["logits"], keepdims=0)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [mean], "mean", [value("window", 1, ["n", 3, 250])], [value("logits", 1, [])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if metadata:
        helper.set_model_props(model, {"format": "1", "form": form})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def test_models_of_ones_own_are_sent_and_measured_in_one_table(phones, tmp_path):
    files = [
        exported(tmp_path / "a" / "model.onnx"),
        exported(tmp_path / "b" / "model.onnx", form="image"),
        exported(tmp_path / "my walk.onnx"),
    ]
    report = android.run(models=files)
    names = [one["phone"]["settings"]["file"] for one in report["benchmarks"]]
    assert names == ["a-model.onnx", "b-model.onnx", "my_walk.onnx"]
    storage = Path(phones.read()["storage"]) / "models"
    assert sorted(path.name for path in storage.iterdir()) == names
    for name, source, one in zip(names, files, report["benchmarks"], strict=True):
        assert (storage / name).read_bytes() == source.read_bytes()
        assert one["phone"]["memory"]["model_file"] == source.stat().st_size
        assert one["host"]["stages"]["end_to_end"]["runs"] >= 200
    lines = android.table(report).splitlines()
    assert [line.split()[0] for line in lines[2:8:2]] == names
    assert all("this computer" in line for line in lines[3:9:2])
    assert [line[:-1] for line in lines if line.endswith(".onnx:")] == names


def test_a_phone_without_room(phones, tmp_path):
    phones.write(full=True)
    with pytest.raises(InputError, match="No space left on device"):
        android.run(models=[exported(tmp_path / "model.onnx")])
    assert list((Path(phones.read()["storage"]) / "models").iterdir()) == []


def test_what_is_no_model_is_said_before_the_phone_is_asked(phones, tmp_path):
    def refused(message, *models):
        with pytest.raises(InputError, match=message):
            android.run(models=models)

    refused("none.onnx does not exist", tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    refused("noise.onnx cannot be read by ONNX Runtime", tmp_path / "noise.onnx")
    foreign = exported(tmp_path / "foreign.onnx", metadata=False)
    refused("foreign.onnx is not a classifier of windows or pictures exported by", foreign)
    refused("model.pt is no model: export writes .onnx, .ort", tmp_path / "model.pt")
    twice = exported(tmp_path / "model.onnx")
    refused(f"several models would be called {tmp_path.name}-model.onnx", twice, twice)
    assert phones.read()["calls"] == []


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
        android.run(asked=PhoneRun(seconds=0.0), timeout=0.2)


def test_the_app_knows_what_it_is_asked():
    demo = Path(__file__).parents[2] / "android_demo"
    app = demo / "app" / "src" / "main"
    source = app / "kotlin" / "org" / "img2imu" / "demo"
    core = demo / "core" / "src" / "main" / "kotlin" / "org" / "img2imu" / "core"

    def keys(path):
        return tuple(re.findall(r'^    [A-Z0-9_]+\("([^"]+)"', path.read_text(), re.M))

    assert keys(source / "Variant.kt") == android.VARIANTS
    assert keys(core / "Execution.kt") == android.PROVIDERS
    named = re.compile(r'^    [A-Z]+\("(\w+)", "\w+", (\d+), ([\d.]+)\)', re.M)
    modes = named.findall((core / "Latency.kt").read_text())
    assert {name: (int(runs), float(seconds)) for name, runs, seconds in modes} == android.MODES
    assert f"REPORT_FORMAT = {android.FORMAT}\n" in (core / "Report.kt").read_text()
    activity = (source / "MainActivity.kt").read_text()
    assert f"package {android.PACKAGE}" in activity
    asked = set(re.findall(r'Extra\("(\w+)"', activity))
    words = PhoneRun().extras()
    assert asked == {words[at + 1] for at, word in enumerate(words) if word[:2] == "--"} | {"model"}
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
    model = exported(tmp_path / "model.onnx").read_bytes()
    apk = tmp_path / "demo.apk"
    report = changed(settings={"file": "model.onnx"})
    Path(phones.read()["report"]).write_text(json.dumps(report))
    with ZipFile(apk, "w") as archive:
        archive.writestr("assets/models/model.onnx", model)
    [one] = android.run(apk)["benchmarks"]
    assert list(one["host"]["stages"]) == ["end_to_end"]
    assert one["host"]["stages"]["end_to_end"]["runs"] >= 200
    assert "this computer" in android.table({"benchmarks": [one]})
    with ZipFile(apk, "w") as archive:
        archive.writestr("assets/models/other.onnx", b"")
    with pytest.raises(InputError, match=r"holds no model\.onnx"):
        android.run(apk)
    apk.write_bytes(b"PK")
    with pytest.raises(InputError, match="is not an app"):
        android.run(apk)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "other"}, "form must be one of end-to-end, int8"),
        ({"mode": "fast"}, "mode must be one of burst, paced, sustained"),
        ({"provider": "gpu"}, "provider must be one of cpu, xnnpack, nnapi"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"runs": 0}, "runs must be at least 1, not 0"),
        ({"seconds": float("nan")}, "seconds must lie between 0 and 3600"),
        ({"cool_down": -1.0}, "cool-down must lie between 0 and 3600, not -1"),
    ],
)
def test_unfit_settings(settings, message):
    with pytest.raises(InputError, match=message):
        PhoneRun(**settings)


def test_an_endless_wait():
    with pytest.raises(InputError, match="timeout must be positive, not inf"):
        android.run(timeout=float("inf"))


def test_the_command_asks_for_what_it_is_told(phones, tmp_path, capsys):
    model = exported(tmp_path / "model.onnx")
    options = ["--mode", "sustained", "--seconds", "120", "--provider", "xnnpack", "--threads", "2"]
    report = tmp_path / "report.json"
    command = ["bench", "android", "--model", str(model), *options, "--json", str(report)]
    assert main(command) == 0
    extras = phones.read()["extras"]
    told = dict(zip(extras[1::3], extras[2::3], strict=True))
    assert told["mode"] == "sustained" and told["seconds"] == "120" and told["threads"] == "2"
    assert told["provider"] == "xnnpack" and told["model"] == "model.onnx"
    assert len(json.loads(report.read_text())["benchmarks"]) == 1
    assert main(["bench", "android", "--model", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx does not exist" in capsys.readouterr().err
