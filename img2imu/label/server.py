"""The page's local server: loopback only, a secret in the address, JSON and arrays of bytes."""

from __future__ import annotations

import contextlib
import hmac
import json
import mimetypes
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from ..errors import InputError
from .session import Session

HOST = "127.0.0.1"

LARGEST = 64 << 10
"""Bytes of a request."""

PART = 1 << 20
"""Bytes of a video sent at a time."""

PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
}
"""Files of the page by their address."""

SAFETY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing is fetched from elsewhere, and nobody else's page shows this."""


class LabelServer(ThreadingHTTPServer):
    """Answers on the loopback address, whoever knows the token.

    Parameters
    ----------
    session
        What is labelled.
    port
        Of the address; 0 takes a free one.

    Attributes
    ----------
    token
        Stands in every address: other programs' pages cannot guess it.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(f"port {port} cannot be used: {error.strerror}") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A closed tab is no error; whatever else is, the terminal shows."""
        import sys

        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "img2imu", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are nobody's business."""

    def do_GET(self) -> None:
        path = self._allowed()
        if path is None:
            return
        query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if path in PAGE:
            name, kind = PAGE[path]
            self._send(files(__package__).joinpath("page", name).read_bytes(), kind)
        elif path == "media" and self.server.session.media:
            self._send_file(self.server.session.media.path)
        elif path in self.server.session.reads:
            self._answer(lambda: self.server.session.reads[path](query))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        path = self._allowed()
        if path is None:
            return
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        length = self.headers.get("Content-Length", "")
        if path not in self.server.session.writes:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif kind != "application/json":
            # Forms of other pages cannot send this without asking first.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        elif not length.isdecimal() or int(length) > LARGEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                body = json.loads(self.rfile.read(int(length)))
            except ValueError:
                body = None
            if not isinstance(body, dict):
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            self._answer(lambda: self.server.session.writes[path](body))

    def _allowed(self) -> str | None:
        """The address behind the token; None where it was refused."""
        own = {f"{HOST}:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        # A name of somebody else's that leads here is not ours, whatever it resolves to.
        if self.headers.get("Host", "") not in own:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in own:
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        _, token, *rest = [*urlsplit(self.path).path.split("/", 2), ""]
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return rest[0]

    def _answer(self, work: Callable[[], Any]) -> None:
        """What the session says: JSON, bytes, or why not."""
        try:
            found = work()
        except (InputError, KeyError, ValueError, TypeError) as error:
            told = str(error) if isinstance(error, InputError) else "the request is malformed"
            self._send_json({"error": told}, HTTPStatus.BAD_REQUEST)
            return
        if found is None:
            self._send(b"", "text/plain", HTTPStatus.NO_CONTENT)
        elif isinstance(found, bytes):
            self._send(found, "application/octet-stream")
        else:
            self._send_json(found)

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        self._send(text.encode(), "application/json", status)

    def _refuse(self, status: HTTPStatus) -> None:
        # What was not read of the request would be taken for the next one.
        self.close_connection = True
        self._send(f"{status.phrase}\n".encode(), "text/plain; charset=utf-8", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **SAFETY}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_file(self, path: Path) -> None:
        """A file, or the range of it that is asked for (RFC 9110, one range)."""
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as stream:
            size = path.stat().st_size
            wanted = self.headers.get("Range")
            part = byte_range(wanted, size) if wanted else range(size)
            headers = {"Content-Type": kind, "Accept-Ranges": "bytes"}
            if part is None:
                empty = {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
                self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {**headers, **empty})
                return
            headers["Content-Length"] = str(len(part))
            if wanted:
                headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            self._head(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK, headers)
            if self.command != "HEAD":
                stream.seek(part.start)
                for piece in _pieces(stream, len(part)):
                    self.wfile.write(piece)


def byte_range(header: str, size: int) -> range | None:
    """The bytes of ``Range: bytes=first-last`` in a file of `size`; None where there are none."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        part = range(max(0, size - int(last)), size)
    else:
        part = range(int(first), min(size, int(last) + 1) if last else size)
    return part if len(part) else None


def _pieces(stream: IO[bytes], count: int) -> Iterator[bytes]:
    while count > 0 and (piece := stream.read(min(PART, count))):
        count -= len(piece)
        yield piece


def serve(server: LabelServer, opened: Callable[[str], Any] = lambda url: None) -> None:
    """Answer until interrupted.

    Parameters
    ----------
    server
        Bound already.
    opened
        Called with the address, when it answers.
    """
    opened(server.url)
    with contextlib.suppress(KeyboardInterrupt), server:
        server.serve_forever(poll_interval=0.1)
