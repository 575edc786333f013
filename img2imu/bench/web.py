"""A model's latency in a phone's browser: a page served on the local network sends it back."""

from __future__ import annotations

import io
import json
import math
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..environment import environment
from ..errors import InputError, excerpt
from ..progress import Progress, silent
from ..settings import from_json, require, require_positive

if TYPE_CHECKING:
    from ..export import Latency

LARGEST_REPORT = 1 << 14
"""Bytes that are read of a report."""

LONGEST = 600
"""Seconds that the page measures at most."""

HOST_SECONDS = 5.0
"""That this computer is timed."""

PATIENCE = 30.0
"""Seconds that a silent connection is kept."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
"""Of the files that are served; others are bytes."""

HEADERS = {
    # Together these two isolate the page: threads share memory in no other.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class BrowserLatency:
    """Milliseconds for one window, percentiles by nearest rank.

    Attributes
    ----------
    batches
        That were timed.
    batch
        Windows in each, so that the browser's coarse clock can tell how long it took.
    p50_ms, p90_ms, p95_ms, p99_ms, max_ms
        Of the batches' means.
    interval_ms
        From one window to the next where they are paced.
    """

    batches: int
    batch: int
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    interval_ms: float | None = None

    def __post_init__(self) -> None:
        require_positive(self, "batches", "batch")
        _require_times(self, "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")


@dataclass(frozen=True)
class SelfTest:
    """How the browser's answers agree with Python's on the model's check windows.

    Attributes
    ----------
    windows, same_labels
        How many, and on how many the label is the same.
    difference
        Largest of a probability.
    passed
        Whether all differences are within what the page allows.
    """

    windows: int
    same_labels: int
    difference: float
    passed: bool


@dataclass(frozen=True)
class WebReport:
    """What the page sends.

    Attributes
    ----------
    format
        Of this report.
    model, runtime
        File, and name and version of what runs it.
    provider, threads
        ``"wasm"`` or ``"webgpu"``, and threads of the former.
    browser, cores
        What it says of itself, and processors that it tells of; 0 where it does not.
    isolated
        Whether threads could have shared memory.
    hidden
        Whether the page was in the background meanwhile.
    clock_step_ms
        Smallest step of the browser's clock.
    init_ms, first_ms
        From nothing to a session, and the first answer.
    self_test, burst, paced
        Agreement with Python; one window after the other; one for each hop.
    """

    format: int
    model: str
    runtime: str
    provider: str
    threads: int
    browser: str
    cores: int
    isolated: bool
    hidden: bool
    clock_step_ms: float
    init_ms: float
    first_ms: float
    self_test: SelfTest
    burst: BrowserLatency
    paced: BrowserLatency

    def __post_init__(self) -> None:
        require_positive(self, "threads")
        _require_times(self, "clock_step_ms", "init_ms", "first_ms")


def _require_times(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        require(0 <= value < math.inf, f"{name} must be a time, not {value}")


def run(
    model: str,
    host: str | None = None,
    port: int = 0,
    seconds: int = 10,
    timeout: float = 600.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Serve a page until a browser has measured, then time the same file here.

    Prints where the page is.

    Parameters
    ----------
    model
        Classifier folder, or a page that ``img2imu export --to web`` wrote.
    host
        Address to serve at; by default this computer's in its network.
    port
        To serve at; 0 takes one that is free.
    seconds
        That the browser measures, in a burst and again paced.
    timeout
        Seconds to wait for the report.
    progress
        Opens a progress bar.

    Returns
    -------
    dict
        ``browser`` (the page's report), ``host`` (this computer's latency) and ``environment``.

    Raises
    ------
    InputError
        If there is no such model or address, or no report comes.
    """
    require(0 <= port < 1 << 16, f"port must lie in [0, 65535], not {port}")
    require(0 < seconds <= LONGEST, f"seconds must lie in [1, {LONGEST}], not {seconds}")
    require(0 < timeout < math.inf, f"timeout must be positive, not {timeout:g}")
    with _page(Path(model), progress) as folder:
        with serving(folder, host or _own_address(), port) as server:
            print(invitation(f"{server.address}?report={seconds}"), flush=True)
            report = server.wait(timeout, progress)
        latency = _host(folder, report)
    return {"browser": asdict(report), "host": latency.to_dict(), "environment": environment()}


def table(report: dict[str, Any]) -> str:
    """The browser and this computer, one line each."""
    browser, host = report["browser"], report["host"]
    burst, paced, test = browser["burst"], browser["paced"], browser["self_test"]
    names = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")
    cpu = report["environment"]["cpu"]["model"]
    rows = {
        f"browser, {burst['batches']} batches of {burst['batch']}": burst,
        f"browser, one each {paced['interval_ms'] or 0:g} ms": paced,
        f"this computer, {cpu}"[:39]: host,
    }
    head = "".join(f"{name.removesuffix('_ms'):>9}" for name in names)
    lines = [
        f"{browser['model']}, {browser['runtime']}, {browser['provider']}, "
        f"{browser['threads']} thread(s); here {host['runtime']}, {host['threads']} thread(s)",
        f"{'milliseconds for one window':<40}{head}",
        *(
            f"{title:<40}" + "".join(f"{row[name]:>9.2f}" for name in names)
            for title, row in rows.items()
        ),
        f"initialisation {browser['init_ms']:.0f} ms, first answer {browser['first_ms']:.0f} ms; "
        f"the browser's clock steps by {browser['clock_step_ms']:.2g} ms",
        f"same label as Python on {test['same_labels']} of {test['windows']} windows, "
        f"probabilities within {test['difference']:.1e}",
        excerpted(browser["browser"]),
    ]
    if browser["hidden"]:
        lines.append("not valid: the page was in the background meanwhile")
    return "\n".join(lines)


def excerpted(text: str) -> str:
    """What a browser says of itself, which may be anything, on one line."""
    return "".join(char if char.isprintable() else " " for char in text)[:160]


def invitation(address: str) -> str:
    """Where the page is, and how sensors and threads can be had; as a QR code where segno is."""
    port = urlsplit(address).port
    sentence = (
        f"Open on the phone, in the same network: {address}\n"
        "Browsers give live sensors and threads to https and localhost only: over USB, "
        f"adb reverse tcp:{port} tcp:{port}, with --host localhost --port {port}"
    )
    if urlsplit(address).hostname == "localhost":
        sentence = f"Open here, or on a phone after adb reverse tcp:{port} tcp:{port}: {address}"
    try:
        import segno
    except ImportError:
        return f"{sentence}\n(pip install 'img2imu[web]' shows the address as a QR code)"
    drawn = io.StringIO()
    segno.make(address, error="m", micro=False).terminal(drawn, compact=True)
    return f"{drawn.getvalue()}{sentence}"


@contextmanager
def _page(model: Path, progress: Progress) -> Iterator[Path]:
    """The folder to serve: `model` itself, or a page made of it for this while."""
    from ..export import ExportConfig, export_classifier
    from ..export.web import SETTINGS
    from ..export.webruntime import fetch_runtime
    from ..fewshot import Img2ImuClassifier

    if (model / SETTINGS).is_file():
        yield model
        return
    classifier = Img2ImuClassifier.load(model)
    fetch_runtime(progress)
    with tempfile.TemporaryDirectory(prefix="img2imu-page-") as folder:
        export_classifier(classifier, Path(folder), ExportConfig(to=("web",)))
        yield Path(folder)


def _own_address() -> str:
    """This computer's address in its network; its own one where it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: the system only says from where it would be (RFC 5737: no such host).
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves the files of one folder below a path that nobody can guess, and takes one report.

    Parameters
    ----------
    folder
        Of the page; what it holds now is served.
    host, port
        Where.

    Attributes
    ----------
    address : str
        Of the page.
    token : str
        First part of every path.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.files = {path.name: path for path in folder.iterdir() if path.is_file()}
        self.token = secrets.token_urlsafe(16)
        self.report: WebReport | None = None
        self.arrived = threading.Event()
        super().__init__((host, port), _Handler)
        self.address = f"http://{host}:{self.server_port}/{self.token}/"

    def wait(self, timeout: float, progress: Progress = silent) -> WebReport:
        """The report, once it has come; :class:`InputError` after `timeout` seconds."""
        bar = progress("waiting for the browser (s)", int(timeout))
        end = time.monotonic() + timeout
        try:
            while not self.arrived.wait(min(1.0, max(0.0, end - time.monotonic()))):
                if time.monotonic() >= end:
                    raise InputError(f"no report after {timeout:g} s (--timeout)")
                bar.update(1)
        finally:
            bar.close()
        assert self.report is not None
        return self.report


@contextmanager
def serving(folder: Path, host: str, port: int) -> Iterator[PageServer]:
    """A :class:`PageServer` at work; :class:`InputError` where it cannot be had."""
    try:
        server = PageServer(folder, host, port)
    except OSError as error:
        raise InputError(f"cannot serve at {host}:{port}: {error.strerror or error}") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "img2imu", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        name = self._name()
        path = self.server.files.get("index.html" if name == "" else name or "")
        if path is None:
            self._say(HTTPStatus.NOT_FOUND, "there is no such file")
            return
        self._begin(HTTPStatus.OK, TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with path.open("rb") as stream:
            while part := stream.read(1 << 18):
                self.wfile.write(part)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self._name() != "report":
            self._say(HTTPStatus.NOT_FOUND, "reports go to report")
        elif not (length.isdecimal() and length.isascii()):
            self._say(HTTPStatus.LENGTH_REQUIRED, "a report says how long it is")
        elif len(length) > 9 or int(length) > LARGEST_REPORT:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no report is so long")
        else:
            self._take(self.rfile.read(int(length)))

    def _take(self, body: bytes) -> None:
        try:
            report = read_report(body)
        except InputError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._say(HTTPStatus.OK, "thank you")
        self.server.report = report
        self.server.arrived.set()

    def _name(self) -> str | None:
        """The file that is asked for; None outside the page."""
        begin, (path, *_) = f"/{self.server.token}/", self.path.split("?", 1)
        return path.removeprefix(begin) if path.startswith(begin) else None

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        body = sentence.encode(errors="replace")
        self._begin(status, "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in HEADERS.items():
            self.send_header(name, value)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address, and then the result."""

    def handle(self) -> None:
        """Connections that break off are the browser's affair."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True


def read_report(body: bytes) -> WebReport:
    """What a page sent, checked.

    Raises
    ------
    InputError
        If it is no report, or one of another version.
    """
    from ..export.web import FORMAT

    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("the browser's report is not JSON") from None
    found = values.get("format") if isinstance(values, dict) else None
    require(
        found == FORMAT,
        f"the browser's report has format {excerpt(found)}; this version reads {FORMAT}",
    )
    return from_json(WebReport, values, "the browser's report")


def _host(folder: Path, report: WebReport) -> Latency:
    """The same file in ONNX Runtime here, by one thread, on the first check window."""
    import numpy as np

    from ..export import measure_latency
    from ..export.web import SETTINGS

    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    named = {model["file"] for model in settings["models"]}
    require(report.model in named, f"the page has no model {excerpt(report.model)}")
    shape = 3 * len(settings["sensors"]), settings["samples"]
    windows = np.fromfile(folder / settings["windows"], "<f4").reshape(-1, *shape)
    return measure_latency(folder / report.model, windows[0], 1, min_seconds=HOST_SECONDS)
