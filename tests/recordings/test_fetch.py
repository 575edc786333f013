"""Downloads from a local server that behaves, cuts, refuses ranges, or lies."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.recordings import fetch as fetch_module
from img2imu.recordings.fetch import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`; the fields tell how well."""

    content = CONTENT
    ranges = True
    etag: str | None = '"v1"'
    cut_after: int | None = None
    cuts = 0
    chunked = False
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.zip"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = self._start()
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if server.etag:
            self.send_header("ETag", server.etag)
        body = server.content[start:]
        self._send(body)

    def _start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not found or not self.server.ranges or condition not in (None, self.server.etag):
            return 0
        return int(found[1])

    def _send(self, body: bytes) -> None:
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            body = body[: self.server.cut_after]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def get(server: Server, target: Path, sha256: str | None = None) -> str:
    return fetch(server.url, target, sha256, attempts=3, wait_s=0, progress=False)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_download_is_checked_and_its_hash_recorded(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "data.zip"
    assert get(server, target, SHA256.upper()) == SHA256
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == {"data.zip", "data.zip.sha256"}
    assert (target.parent / "data.zip.sha256").read_text() == f"{SHA256}  data.zip\n"
    assert get(server, target) == SHA256
    assert len(server.requests) == 1  # what is there is not fetched again


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_connection_is_taken_up_where_it_broke(
    server: Server, tmp_path: Path, chunked: bool
) -> None:
    server.cut_after, server.cuts, server.chunked = 100_000, 2, chunked
    assert get(server, tmp_path / "data.zip") == SHA256
    first, *later = server.requests
    assert "Range" not in first
    assert [request["If-Range"] for request in later] == ['"v1"', '"v1"']
    starts = [int(request["Range"][6:-1]) for request in later]
    assert 0 < starts[0] < starts[1] < len(CONTENT)


def test_a_later_run_continues(server: Server, tmp_path: Path) -> None:
    server.cut_after, server.cuts = 0, 99
    with pytest.raises(InputError, match=r"broke off after 0 bytes .* run again to continue"):
        get(server, tmp_path / "data.zip")
    server.cut_after, server.cuts = 200_000, 1
    server.status = 200
    part = tmp_path / "data.zip.part"
    part.write_bytes(CONTENT[:50_000])
    assert get(server, tmp_path / "data.zip") == SHA256
    assert names(tmp_path) == {"data.zip", "data.zip.sha256"}
    assert server.requests[-2]["Range"] == "bytes=50000-"


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut_after, server.cuts = False, 100_000, 1
    assert get(server, tmp_path / "data.zip", SHA256) == SHA256


def test_a_file_that_changed_meanwhile_is_not_mixed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(b"old" * 1000)
    (tmp_path / "data.zip.part.tag").write_text('"v0"')
    assert get(server, tmp_path / "data.zip") == SHA256
    assert server.requests[0]["If-Range"] == '"v0"'


def test_without_tag_and_hash_a_part_is_not_trusted(server: Server, tmp_path: Path) -> None:
    server.etag = None
    (tmp_path / "data.zip.part").write_bytes(b"old" * 1000)
    assert get(server, tmp_path / "data.zip") == SHA256
    assert "Range" not in server.requests[0]


def test_a_part_that_is_complete_needs_no_byte(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    assert get(server, tmp_path / "data.zip", SHA256) == SHA256


def test_a_part_that_is_too_long_is_fetched_afresh(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT + b"more")
    assert get(server, tmp_path / "data.zip", SHA256) == SHA256


def test_a_wrong_hash_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"SHA-256 {SHA256}, not {'0' * 64}"):
        get(server, tmp_path / "data.zip", "0" * 64)
    assert not any(name.endswith((".zip", ".part")) for name in names(tmp_path))


def test_refusals_are_told(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(InputError, match="answers 404"):
        get(server, tmp_path / "data.zip")
    assert len(server.requests) == 1
    server.status = 503
    with pytest.raises(InputError, match=r"broke off after 0 bytes .503"):
        get(server, tmp_path / "data.zip")
    assert len(server.requests) == 4  # worth another try, three times
    with pytest.raises(InputError, match="not an http or https address"):
        fetch("file:///etc/passwd", tmp_path / "data.zip")


def test_a_full_disk_is_told_before_it_is_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(fetch_module.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(InputError, match="300000 bytes to come, 1000 free"):
        get(server, tmp_path / "data.zip")
