"""Does an exported file answer as PyTorch does?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from .graphs import Graph

TOLERANCE = 1e-4
"""Difference allowed in an output in any case."""

RELATIVE = 1e-5
"""What is allowed on top, in units of the window's largest output: single precision's share."""

Outputs = Mapping[str, NDArray[np.float32]]
"""Outputs (n, ...) by name."""

Run = Callable[[NDArray[np.float32]], Outputs]
"""A file in its own runtime: inputs (n, ...) to outputs."""


class ExportError(InputError):
    """An exported file that is not the network; it is not kept."""


@dataclass(frozen=True)
class Parity:
    """Agreement of a file with PyTorch.

    Attributes
    ----------
    windows
        Number of windows compared, each in a batch of all and alone.
    differences
        Largest absolute difference of each output.
    tolerance
        Difference allowed in any case: :data:`TOLERANCE`.
    """

    windows: int
    differences: dict[str, float]
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return {"windows": self.windows, **self.differences, "tolerance": self.tolerance}


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
        return {**asdict(self), "path": str(self.path), "parity": self.parity.to_dict()}


def compare(run: Run, graph: Graph) -> Parity:
    """Run a file on a graph's examples, together and one by one: does it answer as the module?

    Parameters
    ----------
    run
        The file in its runtime.
    graph
        What the file should hold.

    Raises
    ------
    ExportError
        If an output differs by more than :data:`TOLERANCE`, :data:`RELATIVE` and a rounding of the
        examples allow; names the window that differs most.
    """
    inputs = graph.examples
    together = run(inputs)
    alone = [run(one[np.newaxis]) for one in inputs]
    differences = {}
    for name, answer in graph.answers.items():
        gaps = np.maximum(
            _gaps(together[name], answer),
            _gaps(np.concatenate([part[name] for part in alone]), answer),
        )
        allowed = TOLERANCE + RELATIVE * largest(answer) + graph.rounding[name]
        # Written so that a NaN, too, counts as a difference.
        if not (gaps <= allowed).all():
            worst = int((gaps - allowed).argmax())
            raise ExportError(
                f"the exported file differs from PyTorch: on check window {worst} of "
                f"{len(inputs)} by {gaps[worst]:.2g} in {name}, where {allowed[worst]:.2g} is "
                "allowed; it was not kept"
            )
        differences[name] = float(gaps.max())
    return Parity(len(inputs), differences, TOLERANCE)


def _gaps(answer: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    if answer.shape != expected.shape:
        raise ExportError(
            f"the exported file gives shape {answer.shape}, PyTorch {expected.shape}; "
            "it was not kept"
        )
    return largest(answer - expected)


def largest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Largest absolute value of each window, shape (n,)."""
    return np.abs(values).reshape(len(values), -1).max(axis=1)
