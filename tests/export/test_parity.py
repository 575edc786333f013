"""When a file's answers count as PyTorch's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from img2imu.export import ExportError, Graph
from img2imu.export.parity import Outputs, compare

INPUTS = np.arange(5, dtype=np.float32)[:, np.newaxis]
EXPECTED = {"logits": np.array([[0, 1], [2, 3], [-4, 5], [1000, 0], [0, 0]], np.float32)}
NONE = np.zeros(5, np.float32)


def known(rounding: NDArray[np.float32] = NONE):  # type: ignore[no-untyped-def]
    """A graph with these answers, whose logits rounding moves by so much."""
    return SimpleNamespace(examples=INPUTS, answers=EXPECTED, rounding={"logits": rounding})


def answer(changes: dict[int, float]):  # type: ignore[no-untyped-def]
    """A runtime that is right but for the given windows."""

    def run(inputs: NDArray[np.float32]) -> Outputs:
        logits = EXPECTED["logits"][inputs[:, 0].astype(int)].copy()
        for row, number in enumerate(inputs[:, 0]):
            logits[row, 0] += changes.get(int(number), 0)
        return {"logits": logits}

    return run


def test_tells_the_largest_difference() -> None:
    parity = compare(answer({1: 5e-5, 3: 5e-3}), known())
    assert parity.differences["logits"] == pytest.approx(5e-3, rel=0.02)
    assert parity.to_dict() == {"windows": 5, **parity.differences, "tolerance": 1e-4}


@pytest.mark.parametrize("change", [2e-4, -2e-4, np.nan, np.inf])
def test_names_the_window(change: float) -> None:
    with pytest.raises(ExportError, match=r"check window 4 of 5 by .* in logits, where 0\.0001"):
        compare(answer({4: change}), known())


def test_what_rounding_does_is_allowed_on_that_window_only() -> None:
    rounding = np.array([0, 0, 0, 0, 3e-4], np.float32)
    compare(answer({4: 2e-4}), known(rounding))
    with pytest.raises(ExportError, match="check window 0 of 5"):
        compare(answer({0: 2e-4}), known(rounding))


def test_batch_that_mixes_windows_is_a_difference() -> None:
    def run(inputs: NDArray[np.float32]) -> Outputs:
        right = EXPECTED["logits"][inputs[:, 0].astype(int)]
        return {"logits": right[::-1]}

    with pytest.raises(ExportError, match="check window"):
        compare(run, known())


def test_another_shape_is_a_difference() -> None:
    with pytest.raises(ExportError, match=r"shape \(5, 1\), PyTorch \(5, 2\)"):
        compare(lambda inputs: {"logits": inputs}, known())


def test_rounding_is_small_but_not_nothing(graph: Graph, image_graph: Graph) -> None:
    for one in (graph, image_graph):
        moved = one.rounding
        assert set(moved) == {"probabilities", "logits"}
        assert moved["logits"].shape == (7,)
        assert 0 < moved["logits"].max() < 1e-3
