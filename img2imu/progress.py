"""How long work tells of its progress, without knowing who watches."""

from collections.abc import Callable
from typing import Any

Progress = Callable[[str, int], Any]
"""``progress(description, total)`` opens a bar with ``update(n)`` and ``close()``, as tqdm does."""


class _Silence:
    def update(self, count: int = 1) -> None: ...

    def set_postfix_str(self, text: str) -> None: ...

    def close(self) -> None: ...


def silent(description: str, total: int) -> _Silence:
    """A progress bar that shows nothing."""
    return _Silence()
