"""Known answers in a file's metadata: whoever opens the file can tell whether it answers alike."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .parity import RELATIVE, TOLERANCE, Run, largest

if TYPE_CHECKING:
    from .graphs import Graph

KNOWN = "known_answers"
"""Of the metadata that holds them."""

MOST = 4
"""Windows kept in a file: they are to tell a broken one, not to weigh."""

QUANTIZED_TOLERANCE = 0.05
"""Difference allowed in a quantised file's probability: processors round integers differently."""

DIGITS = 7
"""Of the numbers, after the point."""


class Answers(TypedDict):
    """What is right: probabilities (n, classes), and the difference allowed in each window's."""

    probabilities: list[list[float]]
    allowed: list[float]


def known_answers(windows: NDArray[np.float32], graph: Graph) -> dict[str, Any]:
    """A few windows with PyTorch's answers, as plain JSON values.

    Parameters
    ----------
    windows
        Shape (n, 3 * sensors, samples), from which the graph's examples were made.
    graph
        What answers, from windows or from pictures.

    Returns
    -------
    dict
        ``shape`` and ``windows``, little-endian float32 in base64, at most :data:`MOST`;
        ``probabilities`` and ``allowed`` of these.
    """
    rows = known_rows(len(windows))
    chosen = np.ascontiguousarray(windows[rows], "<f4")
    text = base64.b64encode(chosen.tobytes()).decode()
    answers = graph_answers(graph)
    return {
        "shape": list(chosen.shape),
        "windows": text,
        "probabilities": [answers["probabilities"][row] for row in rows],
        "allowed": [answers["allowed"][row] for row in rows],
    }


def known_rows(count: int) -> list[int]:
    """Which of `count` windows are kept, evenly spaced: they are in the order of the classes."""
    rows: list[int] = np.linspace(0, count - 1, min(count, MOST)).round().astype(int).tolist()
    return rows


def graph_answers(graph: Graph) -> Answers:
    """PyTorch's answers to a graph's examples, which a float file has to give."""
    expected, rounding = graph.answers["probabilities"], graph.rounding["probabilities"]
    return _answers(expected, TOLERANCE + RELATIVE * largest(expected) + rounding)


def file_answers(run: Run, inputs: NDArray[np.float32]) -> Answers:
    """A quantised file's own answers to inputs (n, ...), each alone as a phone asks them."""
    alone = [run(one[np.newaxis])["probabilities"] for one in inputs]
    return _answers(np.concatenate(alone), np.full(len(inputs), QUANTIZED_TOLERANCE))


def _answers(probabilities: NDArray[np.floating], allowed: NDArray[np.floating]) -> Answers:
    return {
        "probabilities": np.round(probabilities.astype(np.float64), DIGITS).tolist(),
        "allowed": np.round(allowed.astype(np.float64), DIGITS).tolist(),
    }
