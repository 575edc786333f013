"""A headless Chromium, driven by the DevTools protocol over a pair of pipes: no further package."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 180.0
"""Seconds for an answer, on machines with much else to do."""

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One browser with a profile of its own; a context manager.

    Parameters
    ----------
    profile
        An empty folder.
    options
        Further options of the command line.
    """

    def __init__(self, profile: Path, options: Sequence[str] = ()) -> None:
        ours, its = os.pipe(), os.pipe()
        command = [
            *(PROGRAM, "--headless=new", "--no-sandbox", "--remote-debugging-pipe"),
            *("--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio"),
            *("--disable-background-networking", "--disable-component-update"),
            *(f"--user-data-dir={profile}", *options, "about:blank"),
        ]

        def connect() -> None:
            # The browser listens at 3 and speaks at 4; copies above, lest one overwrites another.
            reading, writing = (os.dup2(fd, 100 + n) for n, fd in enumerate((its[0], ours[1])))
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self._process = subprocess.Popen(
            [str(part) for part in command],
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(its[0])
        os.close(ours[1])
        self._reading, self._writing = ours[0], its[1]
        self._held = b""
        self._numbers = itertools.count(1)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._reading)
        os.close(self._writing)

    def page(self) -> Page:
        """A new, empty page."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        page = Page(self, self.call("Target.attachToTarget", attach)["sessionId"], target)
        for domain in ("Page", "Runtime", "Network"):
            page.call(f"{domain}.enable")
        return page

    def call(
        self, method: str, given: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """A command's answer; what else the browser says is passed over."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": given or {}}
        message |= {"sessionId": session} if session else {}
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + TIMEOUT
        while True:
            answer = self._next(end)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._reading, 1 << 16)
            assert part, "the browser has ended"
            self._held += part
        message, self._held = self._held.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One tab of a browser."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        """A command of the protocol, for this page."""
        return self._browser.call(method, given, self._session)

    def open(self, address: str) -> None:
        """Go to an address."""
        answer = self.call("Page.navigate", url=address)
        assert "errorText" not in answer, answer["errorText"]

    def run(self, code: str) -> Any:
        """The value of an expression, awaited."""
        given = {"expression": code, "awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", **given)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """The value of an expression, once it is true."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            # Between two pages there is nothing to ask.
            value = self.run(f"(() => {{ try {{ return {condition} }} catch {{}} }})()")
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"never true: {condition}; {self.run('document.body.innerText')}")

    def picture(self, width: int, height: int, path: Path, dark: bool = False) -> None:
        """A picture of the whole page at a width and, at least, a height."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Away with it."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})
