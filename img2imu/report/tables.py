"""Tables of studies, as Markdown and as one HTML file without external parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..files import write_text


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table: a value, something smaller beside it, and its rank."""

    text: str = "–"
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a table; `ours` is set off from the others."""

    title: str
    entries: Sequence[Entry]
    ours: bool = False


@dataclass(frozen=True)
class Table:
    """Lines in groups below a head.

    Attributes
    ----------
    columns
        Heads; the first stands over the titles of the lines.
    groups
        Lines by the title of their group; an empty title is not shown.
    caption
        What the numbers are, in sentences.
    """

    columns: Sequence[str]
    groups: Mapping[str, Sequence[Line]]
    caption: str


@dataclass(frozen=True)
class Page:
    """A study's HTML file.

    Attributes
    ----------
    eyebrow, title, lead
        What was studied, the main result, and what it says in a sentence or two.
    figures
        Data URIs by what is seen on them.
    tables
        By heading.
    notes
        What is missing, and why.
    settings
        Names and values.
    environment
        From :func:`img2imu.environment.environment`.
    """

    eyebrow: str
    title: str
    lead: str
    figures: Mapping[str, str]
    tables: Mapping[str, Table]
    notes: Sequence[str]
    settings: Sequence[tuple[str, str]]
    environment: Mapping[str, Any]


def score(value: float) -> str:
    """Three decimals without the leading zero, as in .758."""
    return f"{value:.3f}".removeprefix("0")


def difference(value: float) -> str:
    """The same with its sign, as in +.021."""
    return f"{'−' if value < 0 else '+'}{score(abs(value))}"


def markdown(table: Table) -> str:
    """The table below its caption."""
    empty = [""] * (len(table.columns) - 1)
    lines = [table.caption, "", _markdown_row(table.columns), "|---|" + "--:|" * len(empty)]
    for title, group in table.groups.items():
        if title:
            lines.append(_markdown_row([f"**{title}**", *empty]))
        for line in group:
            name = f"**{line.title}**" if line.ours else line.title
            lines.append(_markdown_row([name, *map(_markdown_entry, line.entries)]))
    return "\n".join(lines) + "\n"


def markdown_notes(notes: Sequence[str]) -> str:
    """What is not shown, as a list; empty if everything is."""
    return "".join(["\nNot shown:\n\n", *(f"- {note}\n" for note in notes)]) if notes else ""


def write_page(path: str | Path, page: Page) -> None:
    """Write the page, whole or not at all."""
    from .page import describe_environment, render

    environment = describe_environment(page.environment)
    text = render("study.html", page=page, environment=environment, version=__version__)
    write_text(path, text)


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _markdown_entry(entry: Entry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    return f"{text} {entry.small}".rstrip()
