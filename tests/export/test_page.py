"""The web page in a real browser."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from img2imu.bench import web
from img2imu.bench.web import PageServer, serving
from img2imu.cli import main
from img2imu.fewshot import Img2ImuClassifier
from img2imu.recordings import WindowConfig
from img2imu.timeline.streaming import StreamingClassifier, WindowStream

from ..label.browser import Browser, Tab, find_browser
from .handmade import LABELS, RATE, SAMPLES, WEIGHTS, probabilities, write_handmade, write_model

GOLDEN = Path(__file__).parents[1] / "golden" / "resampling"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"

READY = "!document.getElementById('measure').disabled"
COMPLAINT = (
    "!document.getElementById('complaint').hidden"
    " && document.getElementById('complaint').textContent"
)
LISTEN = """
addEventListener("load", () => {
  window.heard = [];
  document.addEventListener("answer", ({ detail }) => window.heard.push(detail));
});
DeviceMotionEvent.requestPermission = async () => { window.asked = true; return "granted"; };
"""
FEED = """
((rows, sign) => { for (const [time, x, y, z] of rows) {
  const scaled = { x: sign * 9.80665 * x, y: sign * 9.80665 * y, z: sign * 9.80665 * z };
  const event = new DeviceMotionEvent("devicemotion", { accelerationIncludingGravity: scaled });
  Object.defineProperty(event, "timeStamp", { value: 1000 * time });
  dispatchEvent(event);
} })
"""


@pytest.fixture(scope="module")
def folder(runtime_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handmade") / "page"
    write_handmade(folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium: name one by IMG2IMU_BROWSER")
    # A name that is not this computer's own, as that of a page in the local network.
    script = tmp_path_factory.mktemp("browser") / "browser"
    names = "--host-resolver-rules='MAP network.test 127.0.0.1'"
    script.write_text(f'#!/bin/sh\nexec {program} {names} "$@"\n')
    script.chmod(0o755)
    with Browser(str(script), script.parent / "profile") as browser:
        yield browser


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PageServer]:
    with serving(folder, "localhost", 0) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Tab]:
    page = browser.open("about:blank")
    page.command("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
    yield page
    page.command("Page.close")


def go(page: Tab, address: str) -> None:
    """Open an address, and wait until the page is ready."""
    page.command("Page.navigate", url=address)
    page.until(READY)


def recording() -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """A piece of a real, irregular recording; after five seconds the sensor is turned."""
    time = np.fromfile(GOLDEN / "time.bin", "<f8")
    values = np.fromfile(GOLDEN / "samples.bin", "<f4").reshape(-1, 3)
    kept = np.isfinite(time) & np.isfinite(values).all(axis=1)
    time, values = time[kept][:550], values[kept][:550]
    return time, np.where(time[:, None] < 5, values, -np.roll(values, 1, axis=1))


def python_answers(rate: float) -> list[tuple[float, str]]:
    """What Python's stream and the formula say of the recording."""
    stream = WindowStream(WindowConfig(RATE, SAMPLES / RATE, overlap=0.9), rate)
    windows, start = stream.push(*recording())
    best = probabilities(windows).argmax(axis=1)
    return [(moment, LABELS[label]) for moment, label in zip(start, best, strict=True)]


def feed(page: Tab, time: NDArray[np.float64], values: NDArray[np.float32], sign: int) -> float:
    """Start the sensor and give motion events; the rate that the page tells of them."""
    page.until(READY)
    rows = np.column_stack([time, values]).tolist()
    page.value("document.getElementById('sensor').click()")
    page.until("document.getElementById('sensor').textContent === 'Stop' && window.asked")
    page.value("new Promise((resolve) => setTimeout(resolve, 100))")
    page.value(f"({FEED})({json.dumps(rows)}, {sign})")
    return float(page.until("document.getElementById('notice').textContent").split()[3])


def heard(page: Tab, count: int) -> list[dict[str, Any]]:
    """The page's first answers."""
    answers: list[dict[str, Any]] = page.until(f"window.heard.length >= {count} && window.heard")
    return answers


@pytest.mark.parametrize(("agent", "sign"), [("", 1), (IPHONE, -1)], ids=["android", "ios"])
def test_motion_events_of_a_recording_get_the_labels_that_python_gives(
    page: Tab, server: PageServer, agent: str, sign: int
) -> None:
    page.command("Emulation.setUserAgentOverride", userAgent=agent)
    page.command("Page.navigate", url=server.address)
    expected = python_answers(feed(page, *recording(), sign))
    assert len({label for _, label in expected}) > 1
    found = heard(page, len(expected))
    assert [each["label"] for each in found] == [label for _, label in expected]
    starts = [start for start, _ in expected]
    np.testing.assert_allclose([each["start"] for each in found], starts, atol=1e-6)
    assert document(page, "answer").startswith(expected[-1][1])


def test_a_classifier_says_live_what_it_says_in_python(
    page: Tab, model: Path, runtime_archive: Path, tmp_path: Path
) -> None:
    assert main(["export", str(model), "--to", "web", "-o", str(tmp_path / "page")]) == 0
    classifier = Img2ImuClassifier.load(model)
    values = np.concatenate(classifier.check_windows_[[0, -1]], axis=1).T
    time = np.arange(len(values)) / classifier.sampling_rate
    with serving(tmp_path / "page", "localhost", 0) as server:
        page.command("Page.navigate", url=server.address)
        rate = feed(page, time, values, 1)
        stream = StreamingClassifier(classifier, rate, overlap=0.9)
        expected = stream.push(time, values)
        found = heard(page, len(expected))
        assert "Same answers as Python on 4 windows" in document(page, "check")
        assert page.value("document.querySelector('#pictures canvas').width") == 64
    assert {each.label for each in expected} == {"strong", "weak"}
    assert [each["label"] for each in found] == [each.label for each in expected]
    np.testing.assert_allclose(
        [each["confidence"] for each in found], [each.confidence for each in expected], atol=1e-4
    )


def document(page: Tab, name: str) -> str:
    """The text of an element."""
    text: str = page.value(f"document.getElementById('{name}').textContent")
    return text


def test_a_device_without_a_sensor_is_told_so(page: Tab, server: PageServer) -> None:
    go(page, server.address)
    page.value("document.getElementById('sensor').click()")
    said = page.until("document.getElementById('notice').textContent")
    assert said == "No motion sensor answers on this device."
    assert document(page, "sensor") == "Start the sensor"


def test_by_plain_http_a_page_measures_and_says_why_it_has_no_sensor(
    page: Tab, server: PageServer
) -> None:
    go(page, server.address.replace("localhost", "network.test"))
    assert page.value("[isSecureContext, crossOriginIsolated]") == [False, False]
    assert page.value("document.getElementById('execution').innerText") == "WebAssembly, 1 thread"
    page.value("document.getElementById('sensor').click()")
    said = page.until("document.getElementById('notice').textContent")
    assert said.startswith("Browsers give motion sensors to secure pages only")


def test_several_threads_answer_alike(page: Tab, server: PageServer) -> None:
    go(page, server.address)
    page.value(
        "(() => { const chosen = document.getElementById('execution');"
        "  chosen.add(new Option('two', 'wasm 2')); chosen.value = 'wasm 2'; chosen.onchange();"
        "  document.getElementById('check').textContent = ''; })()"
    )
    assert "Same answers" in page.until(
        "document.getElementById('check').className === 'check passed' &&"
        "document.getElementById('check').textContent"
    )


def test_units_and_signs_of_both_kinds_of_phones(page: Tab, server: PageServer) -> None:
    page.command("Page.navigate", url=server.address)
    event = {
        "accelerationIncludingGravity": {"x": 0, "y": 0, "z": 9.80665},
        "rotationRate": {"alpha": 180, "beta": 90, "gamma": -90},
    }
    sensors = [{"name": "gyro"}, {"name": "accel"}]
    code = "import('./motion.js').then((motion) => motion.reading(%s, %s, %s))"
    for ios, sign in (("false", 1), ("true", -1)):
        found = page.value(code % (json.dumps(event), json.dumps(sensors), ios))
        np.testing.assert_allclose(found, [np.pi, np.pi / 2, -np.pi / 2, 0, 0, sign], atol=1e-12)
    lacking = "import('./motion.js').then((motion) => motion.missing(%s).map((one) => one.name))"
    sensors = [{"name": "wrist.accel"}, {"name": "ankle.accel"}, {"name": "magn"}]
    assert page.value(lacking % json.dumps(sensors)) == ["ankle.accel", "magn"]


@pytest.mark.parametrize("number", range(4))
def test_windows_follow_from_the_contract(page: Tab, server: PageServer, number: int) -> None:
    """``docs/streaming.md``, by its golden vectors."""
    page.command("Page.navigate", url=server.address)
    settings = json.loads((GOLDEN / "golden.json").read_text())
    case, allowed = settings["cases"][number], settings["tolerance"]
    read = {
        name: np.fromfile(GOLDEN / entry["file"], entry["dtype"]).reshape(entry["shape"])
        for name, entry in (settings["arrays"] | case["arrays"]).items()
    }
    rows = np.column_stack([read["time"], read["samples"]])
    told = json.dumps([[None if np.isnan(v) else v for v in row] for row in rows.tolist()])
    sizes = f"{case['rate']}, {case['sampling_rate']}, {case['samples']}, {case['stride']}"
    found = page.value(
        "import('./stream.js').then(({ WindowStream }) => {"
        f"  const stream = new WindowStream(3, {sizes}), found = [];"
        "  const keep = (row) => ({ start, values }) =>"
        "    found.push({ row, start, values: [...values] });"
        f"  const rows = {told}.map((row) => row.map((value) => value ?? NaN));"
        "  rows.forEach(([time, ...values], row) =>"
        "    stream.push(time, values).forEach(keep(row)));"
        "  stream.finish().forEach(keep(rows.length));"
        "  return found; })"
    )
    assert [each["row"] for each in found] == case["due"]
    starts = [each["start"] for each in found]
    np.testing.assert_allclose(starts, read["start"], rtol=0, atol=allowed["start"])
    windows = np.array([each["values"] for each in found]).reshape(read["windows"].shape)
    np.testing.assert_allclose(windows, read["windows"], rtol=0, atol=allowed["values"])


def test_the_bundled_recording_plays(page: Tab, server: PageServer) -> None:
    go(page, server.address)
    page.value("document.getElementById('speed').value = 16")
    page.value("document.getElementById('play').click()")
    page.until("document.getElementById('play').textContent === 'Stop'")
    page.until("document.getElementById('play').textContent === 'Play the recording'")
    assert [each["label"] for each in heard(page, 4)] == list(LABELS)


def test_bench_web_gets_what_the_page_measured(
    page: Tab, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address: list[str] = []
    asked = threading.Event()

    def invite(found: str) -> str:
        address.append(found)
        asked.set()
        return found

    monkeypatch.setattr(web, "invitation", invite)
    monkeypatch.setattr(web, "HOST_SECONDS", 0.01)
    reports: list[dict[str, Any]] = []
    work = threading.Thread(
        target=lambda: reports.append(web.run(str(folder), "localhost", seconds=1)), daemon=True
    )
    work.start()
    assert asked.wait(60)
    page.command("Page.navigate", url=address[0])
    assert "Sent to the computer" in page.until(
        "document.getElementById('state').textContent.startsWith('Done') &&"
        "document.getElementById('state').textContent.includes('computer') &&"
        "document.getElementById('state').textContent"
    )
    work.join(60)
    [report] = reports
    found = report["browser"]
    assert found["self_test"]["passed"] and found["self_test"]["same_labels"] == 4
    assert found["self_test"]["difference"] < 1e-6
    assert (found["provider"], found["threads"], found["isolated"]) == ("wasm", 1, True)
    burst = found["burst"]
    assert 0 < burst["p50_ms"] <= burst["p90_ms"] <= burst["p99_ms"] <= burst["max_ms"]
    # What is timed at once takes a hundred steps of the clock, give or take a processor's moods.
    assert burst["batch"] * burst["max_ms"] >= 50 * found["clock_step_ms"]
    assert (found["paced"]["batches"], found["paced"]["interval_ms"]) == (5, 200)
    shown = web.table(report)
    assert "onnxruntime-web 1.30.0, wasm, 1 thread(s); here onnxruntime" in shown
    assert "same label as Python on 4 of 4 windows" in shown


def test_works_offline_once_loaded(page: Tab, folder: Path) -> None:
    with serving(folder, "localhost", 0) as server:
        go(page, server.address)
        page.value("navigator.serviceWorker.ready.then(() => true)")
        address = server.address
    go(page, address)
    assert "Same answers as Python on 4 windows" in document(page, "check")
    assert page.value("crossOriginIsolated")


def damage(path: Path, kind: str) -> None:
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif kind == "overwritten":
        path.write_bytes(b"\xff" * path.stat().st_size)
    elif kind == "missing":
        path.unlink()
    else:
        write_model(path, np.roll(WEIGHTS, 1, axis=1))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("cut", "model.onnx has "),
        ("overwritten", "model.onnx cannot be run"),
        ("missing", "model.onnx is missing (404)"),
        ("another", "model.onnx does not answer as Python did"),
    ],
)
def test_a_wrong_model_gets_a_sentence(
    page: Tab, folder: Path, tmp_path: Path, kind: str, sentence: str
) -> None:
    own = tmp_path / "page"
    shutil.copytree(folder, own)
    damage(own / "model.onnx", kind)
    with serving(own, "localhost", 0) as server:
        page.command("Page.navigate", url=server.address)
        said = page.until(COMPLAINT)
    assert said.startswith(sentence), said
    assert page.value("document.getElementById('measure').disabled")


def test_nothing_on_the_page_comes_from_elsewhere(folder: Path) -> None:
    own = [path for path in folder.iterdir() if not path.name.startswith("ort")]
    for path in own:
        if path.suffix in (".html", ".js", ".css"):
            assert "http:" not in path.read_text() and "https:" not in path.read_text(), path
    listed = json.loads((folder / "files.js").read_text().partition("=")[2].rstrip(";\n"))
    assert {"./", "model.onnx", "ort-wasm-simd-threaded.wasm"} <= set(listed["files"])
    assert not [name for name in listed["files"] if "asyncify" in name]


def test_the_version_changes_with_any_file(folder: Path, tmp_path: Path) -> None:
    from img2imu.export.web import _write_list

    own = tmp_path / "page"
    shutil.copytree(folder, own)
    before = hashlib.sha256((own / "files.js").read_bytes()).digest()
    (own / "files.js").unlink()
    (own / "style.css").write_text("body { color: red }")
    _write_list(own)
    assert hashlib.sha256((own / "files.js").read_bytes()).digest() != before
