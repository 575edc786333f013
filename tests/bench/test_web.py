"""``img2imu bench web``: what the server gives, takes and refuses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from img2imu.bench import web
from img2imu.bench.web import PageServer, read_report, serving
from img2imu.errors import InputError

LATENCY = {
    **{"batches": 100, "batch": 4},
    **{"p50_ms": 2.5, "p90_ms": 3.0, "p95_ms": 3.25, "p99_ms": 4.0, "max_ms": 7.75},
}
REPORT: dict[str, Any] = {
    **{"format": 1, "model": "model.onnx", "runtime": "onnxruntime-web 1.0"},
    **{"provider": "wasm", "threads": 1, "browser": "Acme/1.0", "cores": 8},
    **{"isolated": True, "hidden": False, "clock_step_ms": 0.1, "init_ms": 310, "first_ms": 12.5},
    "self_test": {"windows": 4, "same_labels": 4, "difference": 2.5e-7, "passed": True},
    "burst": LATENCY,
    "paced": {**LATENCY, "batches": 20, "batch": 1, "interval_ms": 500},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<p>page</p>")
    (tmp_path / "page" / "app.js").write_text("let x;")
    (tmp_path / "page" / "within").mkdir()
    (tmp_path / "secret").write_text("secret")
    with serving(tmp_path / "page", "127.0.0.1", 0) as server:
        yield server


def ask(
    server: PageServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """An answer and its body, to a path that is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(
        method, path, body, {name.replace("_", "-"): headers[name] for name in headers}
    )
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_files_come_with_their_type_to_an_isolated_page(server: PageServer) -> None:
    begin = urlsplit(server.address).path
    for name, kind, content in (
        ("", "text/html; charset=utf-8", b"<p>page</p>"),
        ("index.html?report=10", "text/html; charset=utf-8", b"<p>page</p>"),
        ("app.js", "text/javascript; charset=utf-8", b"let x;"),
    ):
        response, body = ask(server, "GET", begin + name)
        assert (response.status, response.headers["Content-Type"], body) == (200, kind, content)
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/index.html",
        "/report",
        "{begin}../secret",
        "{begin}..%2fsecret",
        "{begin}within",
        "{begin}within/../index.html",
        "{begin}/etc/passwd",
        "/x{begin}index.html",
    ],
)
def test_nothing_else_is_served(server: PageServer, path: str) -> None:
    begin = urlsplit(server.address).path
    response, body = ask(server, "GET", path.format(begin=begin))
    assert response.status == 404
    assert b"secret" not in body and b"page" not in body


def test_every_server_has_another_long_token(server: PageServer, tmp_path: Path) -> None:
    with serving(tmp_path / "page", "127.0.0.1", 0) as other:
        assert other.token != server.token
    assert len(server.token) >= 20


def test_takes_a_report(server: PageServer) -> None:
    path = f"/{server.token}/report"
    response, _ = ask(server, "POST", path, json.dumps(REPORT).encode())
    assert response.status == 200
    report = server.wait(10)
    assert (report.burst.p50_ms, report.paced.interval_ms) == (2.5, 500)


def changed(**values: Any) -> bytes:
    """The report with other values; a dotted name leads inside."""
    report = deepcopy(REPORT)
    for name, value in values.items():
        *outer, last = name.split("__")
        place = report
        for part in outer:
            place = place[part]
        place[last] = value
    return json.dumps(report).encode()


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{", 400, "is not JSON"),
        (b"[" * 10_000, 400, "is not JSON"),
        (b"[]", 400, "has format None; this version reads 1"),
        (changed(format=2), 400, "has format 2; this version reads 1"),
        (changed(more=1), 400, "'more' is unknown"),
        (changed(threads="1"), 400, "threads: Input should be a valid integer"),
        (changed(threads=0), 400, "threads must be positive"),
        (changed(burst__p50_ms=-1.0), 400, "p50_ms must be a time"),
        (changed(init_ms=float("inf")), 400, "init_ms must be a time"),
        (changed(init_ms=float("nan")), 400, "init_ms"),
        (changed(self_test={}), 400, "self_test"),
        (b" " * (web.LARGEST_REPORT + 1), 413, "no report is so long"),
    ],
)
def test_refuses_what_is_no_report(
    server: PageServer, body: bytes, status: int, sentence: str
) -> None:
    response, said = ask(server, "POST", f"/{server.token}/report", body)
    assert (response.status, sentence in said.decode()) == (status, True), said
    assert not server.arrived.is_set()


def test_refuses_a_report_elsewhere_or_without_its_length(server: PageServer) -> None:
    body = json.dumps(REPORT).encode()
    assert ask(server, "POST", "/report", body)[0].status == 404
    assert ask(server, "POST", f"/{server.token}/app.js", body)[0].status == 404
    for length in ("", "-1", "1e3", "²"):
        path = f"/{server.token}/report"
        found, _ = ask(server, "POST", path, None, Content_Length=length.encode().decode("latin-1"))
        assert found.status == 411, length
    assert not server.arrived.is_set()


def test_waits_no_longer_than_it_is_told(server: PageServer) -> None:
    with pytest.raises(InputError, match=r"no report after 0\.01 s"):
        server.wait(0.01)


def test_the_table_names_what_was_measured() -> None:
    host = {**LATENCY, "p50_ms": 1.25, "runtime": "onnxruntime 1.31.1", "threads": 1}
    machine = {"cpu": {"model": "Acme CPU"}}
    lines = web.table({"browser": REPORT, "host": host, "environment": machine}).splitlines()
    assert lines[0].startswith("model.onnx, onnxruntime-web 1.0, wasm, 1 thread(s); here onnxr")
    rows = {line[:39].strip(): line[40:].split() for line in lines[1:5]}
    assert rows["browser, 100 batches of 4"] == ["2.50", "3.00", "3.25", "4.00", "7.75"]
    assert rows["browser, one each 500 ms"][0] == "2.50"
    assert rows["this computer, Acme CPU"][0] == "1.25"
    assert "first answer 12 ms" in lines[5] and "0.1 ms" in lines[5]
    assert "not valid" not in "\n".join(lines)
    hidden = web.table(
        {"browser": {**REPORT, "hidden": True}, "host": host, "environment": machine}
    )
    assert "not valid: the page was in the background" in hidden


def test_a_browsers_name_stays_on_one_line() -> None:
    report = read_report(changed(browser="a\nb\x1b[31m" + 1000 * "c"))
    shown = web.excerpted(report.browser)
    assert shown.startswith("a b [31mccc") and len(shown) == 160


def test_the_address_is_a_qr_code_too(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "http://192.168.1.5:8000/token/?report=10"
    pytest.importorskip("segno")
    shown = web.invitation(address)
    assert address in shown and "▀" in shown
    monkeypatch.setitem(__import__("sys").modules, "segno", None)
    plain = web.invitation(address)
    assert address in plain and "▀" not in plain and "img2imu[web]" in plain


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["{tmp}"], "is not a classifier folder"),
        (["{tmp}", "--port", "70000"], "port must lie in [0, 65535], not 70000"),
        (["{tmp}", "--timeout", "0"], "timeout must be positive, not 0"),
        (["{tmp}", "--seconds", "0"], "seconds must lie in [1, 600], not 0"),
        (["{page}", "--host", "203.0.113.1"], "cannot serve at 203.0.113.1:0"),
        (["{page}", "--host", "no such host"], "cannot serve at no such host:0"),
        (["{page}", "--host", "127.0.0.1", "--timeout", "0.01"], "no report after 0.01 s"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from img2imu.cli import main

    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.json").write_text("{}")
    filled = [option.format(tmp=tmp_path, page=tmp_path / "page") for option in options]
    assert main(["bench", "web", *filled]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert sentence in line


def test_serves_its_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    address: Callable[[], str] = web._own_address
    parts = address().split(".")
    assert len(parts) == 4 and all(0 <= int(part) < 256 for part in parts)
