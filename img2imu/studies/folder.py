"""The folder of a study: its settings, its environment and its results, each written whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputError

SETTINGS = "settings.json"


def begin_folder(folder: Path, study: str, settings: Mapping[str, Any]) -> None:
    """Make the folder of a study, or go on in it; write ``settings.json`` and ``environment.json``.

    Raises
    ------
    InputError
        If the folder is a file or holds another study.
    """
    from ..environment import environment

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder to write to")
    other = _study_of(folder)
    if other not in (None, study):
        raise InputError(f"{folder} holds the study {other!r}: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SETTINGS, {"study": study, "img2imu": __version__, **settings})
    write_json(folder / "environment.json", environment())


def _study_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_text(path: Path, text: str) -> None:
    """Write `text` whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as CSV, whole or not at all; what a row lacks stays empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())
