"""A headless Chromium, driven by its DevTools protocol over a pipe: no library, no port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The program that ``IMG2IMU_BROWSER`` names, or one of the usual ones."""
    named = os.environ.get("IMG2IMU_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running browser; a context manager that ends it."""

    def __init__(self, program: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        flags = [
            "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}",
            "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--mute-audio", "--autoplay-policy=no-user-gesture-required", "about:blank",
        ]  # fmt: skip
        # It reads commands from the descriptor 3 and writes answers to 4.
        wiring = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self._process = subprocess.Popen(
            ["bash", "-c", wiring, "browser", program, *flags],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        self._numbers, self._rest = itertools.count(1), b""
        self.problems: list[str] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._to)
        os.close(self._from)

    def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Say one thing and wait for its answer."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._read()).get("id") != number:
            self._note(found)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']}")
        result: dict[str, Any] = found["result"]
        return result

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what went wrong in a page."""
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]["exceptionDetails"])[:400])
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(str(event["params"]["entry"])[:400])

    def _read(self, seconds: float = 240) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], seconds)[0]:
                raise TimeoutError("the browser does not answer")
            received = os.read(self._from, 1 << 20)
            if not received:
                raise ConnectionError("the browser ended")
            self._rest += received
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str, width: int = 1280, height: int = 860) -> Tab:
        """A new tab."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            tab.command(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        tab.command("Emulation.setDeviceMetricsOverride", **metrics)
        tab.command("Page.navigate", url=url)
        return tab


class Tab:
    """A page, with a keyboard and a mouse."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.command(method, self.session, **parameters)

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 240) -> Any:
        """Wait until an expression holds in the page."""
        end = time.monotonic() + seconds
        while True:
            try:
                if found := self.value(expression):
                    return found
            except RuntimeError:
                pass  # what it names is not there yet
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} does not come true; {self.browser.problems}")
            time.sleep(0.05)

    def key(self, key: str) -> None:
        """Press and release a key."""
        text = key if len(key) == 1 else "\r" if key == "Enter" else ""
        codes = {"Enter": 13, "Escape": 27, "Delete": 46}
        # Of other signs the code would be that of an arrow or a function key.
        code = codes.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.command("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        for letter in text:
            self.key(letter)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element."""
        box = self.value(
            f"(e => {{ const b = e.getBoundingClientRect(); "
            f"return [b.left, b.top, b.width, b.height]; }})(document.querySelector({selector!r}))"
        )
        return tuple(box)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, selector: str) -> None:
        """Press the left button in the middle of an element."""
        left, top, width, height = self.place(selector)
        self.drag((left + width / 2, top + height / 2))

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the left button at the first point, move along, and release it at the last."""
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        self.mouse("mousePressed", *points[0], **held)
        for point in points[1:]:
            self.mouse("mouseMoved", *point, button="left", buttons=1)
        self.mouse("mouseReleased", *points[-1], button="left", clickCount=1)

    def wheel(self, x: float, y: float, delta: float) -> None:
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=delta)

    def scheme(self, name: str) -> None:
        """Light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.command("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path) -> None:
        """Write a screenshot."""
        data = self.command("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


def polled(condition: Callable[[], Any], seconds: float = 240) -> Any:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError("it does not come true")
        time.sleep(0.05)
    return found
