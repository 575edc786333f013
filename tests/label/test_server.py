"""The local server: who is let in, and what a kill leaves."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest

from img2imu.fewshot import ProbeConfig
from img2imu.label import LabelServer, Media, Session, serve
from img2imu.label.server import byte_range

from .browser import polled
from .samples import library_of, movement, people


@pytest.fixture
def served(tmp_path):
    """A server in this process, on a recording with a film beside it."""
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(range(256)) * 10)
    library = library_of(people(1))
    session = Session(
        library, tmp_path / "labels.csv", ProbeConfig("fast"), ["a", "b"], media=Media(film)
    )
    server = LabelServer(session)
    thread = threading.Thread(target=serve, args=(server,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def ask(server, path="", method="GET", body=None, headers=None, token=None):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=240)
    token = server.token if token is None else token
    given = {"Host": f"127.0.0.1:{server.server_port}", **(headers or {})}
    if isinstance(body, dict):
        body, given = json.dumps(body), {"Content-Type": "application/json", **given}
    connection.putrequest(method, f"/{token}/{path}", skip_host=True)
    for name, value in given.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in given:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body.encode() if body is not None else None)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_the_page_brings_everything_itself(served):
    for path, kind in (("", "text/html"), ("page.js", "javascript"), ("page.css", "text/css")):
        status, headers, body = ask(served, path)
        assert status == 200
        assert kind in headers["Content-Type"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not re.search(rb"https?://", body)
    assert ask(served, "../server.py")[0] == 404
    assert ask(served, "page")[0] == 404


@pytest.mark.parametrize("path", ["", "state", "media", "page.js"])
@pytest.mark.parametrize("token", ["", "x" * 32, "é"])
def test_without_the_token_nothing_is_told(served, path, token):
    from urllib.parse import quote

    assert ask(served, path, token=quote(token))[0] == 403
    assert ask(served, "class", "POST", {"name": "c"}, token=quote(token))[0] == 403
    assert json.loads(ask(served, "state")[2])["classes"] == ["a", "b"]


def test_names_that_lead_here_are_not_ours(served):
    """As a page does whose own name resolves to this address (DNS rebinding)."""
    port = served.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert ask(served, "state", headers={"Host": host})[0] == 421
    assert ask(served, "state", headers={"Host": f"localhost:{port}"})[0] == 200


def test_other_pages_cannot_write(served):
    body = {"name": "c"}
    assert ask(served, "class", "POST", body, {"Origin": "http://evil.example"})[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask(served, "class", "POST", json.dumps(body), {"Content-Type": kind})[0] == 415
    assert json.loads(ask(served, "state")[2])["classes"] == ["a", "b"]
    own = {"Origin": f"http://127.0.0.1:{served.server_port}"}
    assert ask(served, "class", "POST", body, own)[0] == 200
    assert json.loads(ask(served, "state")[2])["classes"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("body", "length", "status"),
    [("{", None, 400), ("[]", None, 400), ("{}", None, 400), ("{}", "999999999", 413),
     ("{}", "-1", 413), ('{"window":"x","answer":"skip"}', None, 400)],
)  # fmt: skip
def test_bad_requests_are_answered(served, body, length, status):
    headers = {"Content-Type": "application/json"}
    if length:
        headers["Content-Length"] = length
    assert ask(served, "answer", "POST", body, headers)[0] == status
    assert ask(served, "state")[0] == 200


def test_nothing_new_is_nothing(served):
    version = json.loads(ask(served, "state")[2])["version"]
    assert ask(served, f"state?version={version}")[0] == 204
    assert ask(served, "state?version=99")[0] == 200


def test_arrays_have_the_shape_that_the_page_reads(served):
    recording = served.session.library.recordings[0]
    stretch = f"recording=0&from=0&to={recording.seconds}&width=300"
    trace = np.frombuffer(ask(served, f"trace?{stretch}")[2], np.float32).reshape(2, 3, 300)
    np.testing.assert_array_equal(trace, recording.envelope(0, recording.seconds, 300))
    picture = np.frombuffer(ask(served, f"spectrogram?{stretch}")[2], np.uint8)
    assert picture.reshape(1, -1, 300, 3).shape[1] == 32
    for bad in ("recording=7&from=0&to=1&width=9", "recording=0&from=5&to=1&width=9",
                "recording=0&from=0&to=nan&width=9", "recording=0&from=0&to=9&width=99999",
                "recording=0"):  # fmt: skip
        assert ask(served, f"trace?{bad}")[0] == 400


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", range(10)), ("bytes=2500-", range(2500, 2560)), ("bytes=-5", range(2555, 2560)),
     ("bytes=0-99999", range(2560)), (None, range(2560))],
)  # fmt: skip
def test_a_film_is_sent_in_parts(served, wanted, part):
    whole = served.session.media.path.read_bytes()
    status, headers, body = ask(served, "media", headers={"Range": wanted} if wanted else {})
    assert status == (206 if wanted else 200)
    assert body == whole[part.start : part.stop]
    assert headers["Accept-Ranges"] == "bytes"
    if wanted:
        assert headers["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/2560"


@pytest.mark.parametrize("wanted", ["bytes=2560-", "bytes=9-5", "bytes=-", "lines=1-2", "bytes=-0"])
def test_parts_that_there_are_not(served, wanted):
    assert byte_range(wanted, 2560) is None
    assert ask(served, "media", headers={"Range": wanted})[0] == 416


def command(folder, *more):
    """``img2imu label`` as a process of its own, and its address once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "img2imu", "label", folder / "day", "-o", folder / "labels.csv",
         "--classes", "a,b", "--no-browser", "--preset", "fast", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Where the tests run in the background, Ctrl-C is ignored, and so it would be there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, urlsplit(found[0])
    raise AssertionError(process.stderr.read())


def talk(url, path, body=None):
    connection = http.client.HTTPConnection(url.netloc, timeout=240)
    headers = {"Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    connection.request(method, url.path + path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, found
    return found


def test_a_killed_command_goes_on_where_it_was(tmp_path, refused):
    (tmp_path / "day").mkdir()
    rng = np.random.default_rng(0)
    for person in range(2):
        values = np.concatenate([movement(kind, 1500, rng) for kind in range(2)])
        rows = np.column_stack([np.arange(len(values)) / 50, values])
        np.savetxt(tmp_path / "day" / f"{person}.csv", rows, "%.4f", ",",
                   header="time,ax,ay,az", comments="")  # fmt: skip
    process, url = command(tmp_path)
    try:
        for label in "abba":
            current = talk(url, "state")["current"]
            talk(url, "answer", {"window": current["window"], "answer": "class", "label": label})
        said = refused("label", tmp_path / "day", "-o", tmp_path / "labels.csv", "--no-browser")
        assert "another img2imu label writes" in said
    finally:
        process.kill()
        process.wait()
    process, url = command(tmp_path)
    try:
        found = talk(url, "state")
        assert found["answers"] == 4
        assert found["counts"] == [2, 2]
        polled(lambda: talk(url, "state")["learnt"])  # it learns from what was said before
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert f"4 labelled stretches in {tmp_path / 'labels.csv'}" in out
    assert "Traceback" not in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["day", "labels.csv"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "labels"], "file of labels such as labels.csv"),
        (["-o", "nowhere/labels.csv"], "does not exist"),
        (["-o", "labels.csv", "--classes", "a,nan"], "no name for a class"),
        (["-o", "labels.csv", "--labels", "other.csv"], "none read"),
        (["-o", "labels.csv", "--port", "99999"], "65535"),
        (["-o", "labels.csv", "--video", "gone.mp4"], "no video"),
        (["-o", "labels.csv", "--video-offset", "3"], "--video"),
        (["-o", "labels.csv", "--overlap", "1"], "overlap"),
        (["-o", "labels.csv", "--subjects", "nobody"], "nobody"),
    ],
)
def test_bad_commands_are_refused(tmp_path, monkeypatch, refused, options, told):
    monkeypatch.chdir(tmp_path)
    assert told in refused("label", "exercise", *options, "--no-browser")
    assert list(tmp_path.iterdir()) == []
