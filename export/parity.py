"""Does an exported file answer as PyTorch does?"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

TOLERANCE = 1e-4
"""Largest difference allowed in a logit."""

RELATIVE = 1e-5
"""What is allowed on top, in units of the window's largest logit: single precision's share."""


class ExportError(InputError):
    """An exported file that is not the network; it is not kept."""


@dataclass(frozen=True)
class Parity:
    """Agreement of a file with PyTorch.

    Attributes
    ----------
    windows
        Number of windows compared, each in a batch of all and alone.
    logits
        Largest absolute difference of a logit.
    probabilities
        Largest absolute difference of a probability.
    tolerance
        Largest difference allowed in a logit.
    """

    windows: int
    logits: float
    probabilities: float
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self)


def compare_onnx(
    path: str | os.PathLike[str],
    windows: NDArray[np.float32],
    expected: NDArray[np.float32],
    tolerance: float = TOLERANCE,
) -> Parity:
    """Run a file in ONNX Runtime on the CPU and compare its answers with PyTorch's.

    Parameters
    ----------
    path
        ONNX file as :func:`export_onnx` writes it.
    windows
        Shape (n, 3, samples).
    expected
        PyTorch's logits, shape (n, classes).
    tolerance
        Largest difference allowed in a logit, beside :data:`RELATIVE`.

    Raises
    ------
    ExportError
        If a logit differs by more than `tolerance`; names the window that differs most.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    together = session.run(["probabilities", "logits"], {"window": windows})
    alone = [
        session.run(["probabilities", "logits"], {"window": window[np.newaxis]})
        for window in windows
    ]
    answers = [together, [np.concatenate(parts) for parts in zip(*alone, strict=True)]]
    likely = _softmax(expected)
    probability_gap = max(float(np.abs(p - likely).max()) for p, _ in answers)
    gaps = np.max([np.abs(logits - expected).max(axis=1) for _, logits in answers], axis=0)
    worst = int(gaps.argmax())
    # Written so that a NaN, too, counts as a difference.
    if not (gaps <= tolerance + RELATIVE * np.abs(expected).max(axis=1)).all():
        raise ExportError(
            f"the exported file differs from PyTorch: on check window {worst} of {len(windows)} "
            f"by {gaps[worst]:.2g} in a logit, where {tolerance:g} is allowed; it was not kept"
        )
    return Parity(len(windows), float(gaps[worst]), probability_gap, tolerance)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)
