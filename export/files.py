"""Files that appear only once they have answered as PyTorch does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .graphs import Graph
from .parity import Parity, Run, compare


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with PyTorch.

    Attributes
    ----------
    path
        The file.
    kind
        Of the file, such as ``"ONNX, opset 18"``.
    form
        Of the graph, such as ``"end-to-end"``.
    size
        Of the file, in bytes.
    parity
        Agreement with PyTorch on the check windows.
    """

    path: Path
    kind: str
    form: str
    size: int
    parity: Parity

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "form": self.form,
            "size": self.size,
            "parity": self.parity.to_dict(),
        }


def write_verified(
    graph: Graph,
    path: str | os.PathLike[str],
    kind: str,
    write: Callable[[Path], Any],
    load: Callable[[Path], Run],
) -> ExportReport:
    """Write a file, run it on the graph's examples, and keep it only if it answers as the module.

    Parameters
    ----------
    graph
        What the file should hold.
    path
        The file; one that exists is replaced.
    kind
        For the report.
    write
        Writes the file under the name given.
    load
        Opens it in its own runtime.

    Raises
    ------
    InputError
        If `path` cannot be written.
    ExportError
        If the file's answers differ from the module's. Nothing is left behind.
    """
    target = writable(path)
    partial = target.with_stem(f"{target.stem}.partial")
    try:
        write(partial)
        parity = compare(load(partial), graph.examples, graph.answers(), graph.rounding())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return ExportReport(target, kind, graph.form, target.stat().st_size, parity)


def writable(path: str | os.PathLike[str]) -> Path:
    """`path`, or :class:`InputError` if no file can be written there."""
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder, give the name of a file")
    return target
