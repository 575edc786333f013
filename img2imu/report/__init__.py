"""One self-contained HTML page about a run."""

from .environment import environment
from .page import write_report

__all__ = ["environment", "write_report"]
