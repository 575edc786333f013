"""How long work tells of its progress, without knowing who watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

Progress = Callable[[str, int], Any]
"""``progress(description, total)`` opens a bar with ``update(n)`` and ``close()``, as tqdm does."""

EVERY = 30.0
"""Seconds between two lines where no terminal can draw a bar."""


class _Silence:
    def update(self, count: int = 1) -> None: ...

    def set_postfix_str(self, text: str) -> None: ...

    def close(self) -> None: ...


def silent(description: str, total: int) -> _Silence:
    """A progress bar that shows nothing."""
    return _Silence()


class ProgressLines:
    """A progress bar for logs: a line on standard error every half minute, when something is done.

    What takes less time than that is not mentioned. The time left follows from the pace since the
    line before: what was found on disk, in no time, does not count for long.

    Parameters
    ----------
    description
        What is done.
    total
        Of how many; None where that is not known.
    clock
        Seconds, on any clock that never goes back.
    """

    def __init__(
        self, description: str, total: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._description, self._total, self._clock = description, total, clock
        self._began = self._told = clock()
        self._done = self._done_then = 0
        self._postfix = ""

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = self._clock()
        if now - self._told >= EVERY and self._done > self._done_then:
            self._say(self._left(now))
            self._told, self._done_then = now, self._done

    def set_postfix_str(self, text: str) -> None:
        """What the next line ends with."""
        self._postfix = f", {text}"

    def close(self) -> None:
        """Say the end of what was spoken of before."""
        if self._told > self._began:
            self._say(f" in {_duration(self._clock() - self._began)}")
            self._told = self._began

    def _left(self, now: float) -> str:
        if self._total is None:
            return ""
        pace = (now - self._told) / (self._done - self._done_then)
        return f", {_duration(pace * max(0, self._total - self._done))} left"

    def _say(self, ending: str) -> None:
        of = "" if self._total is None else f" of {self._total:,}"
        line = f"{self._description}: {self._done:,}{of}{ending}{self._postfix}"
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Rounded to what one would say: ``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
