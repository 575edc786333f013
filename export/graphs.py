"""What goes into a file: a trained network, whole or cut where the picture is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..convert import Views
from ..errors import InputError
from ..fewshot import Img2ImuNetwork
from .config import Form
from .parity import largest
from .runtime import FORMAT

ANSWERS = ("probabilities", "logits", "strangeness")
"""Outputs of a graph that classifies, float32 (n, classes) and, where the classifier can tell it,
(n,): how little a window is like the classes."""

DRAWS = 8
"""Roundings of the inputs that are tried."""

IMAGE = ("image",)
"""Output of a graph that draws."""


@dataclass(frozen=True)
class Graph:
    """A module with one named input and named outputs, all float32 with a free first axis.

    Attributes
    ----------
    module
        Input (n, ...) to a tuple of outputs, on the CPU.
    input
        ``"window"``, (n, 3, samples) in g, or ``"image"``, in [0, 1]: (n, 3, height, width) for
        one view, (n, views, 3, height, width) for several.
    outputs
        Names of the outputs.
    examples
        Real inputs (n, ...), on which a file must agree with the module.
    """

    module: nn.Module
    input: Literal["window", "image"]
    outputs: tuple[str, ...]
    examples: NDArray[np.float32]

    @property
    def form(self) -> str:
        """``"end-to-end"``, ``"image"`` or ``"converter"``."""
        if self.outputs == IMAGE:
            return "converter"
        return "end-to-end" if self.input == "window" else "image"

    def describe(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """`metadata` after what there is to say of the graph: ``format``, ``form``, names."""
        names = {"input": self.input, "outputs": list(self.outputs)}
        return {"format": FORMAT, "form": self.form, **names, **metadata}

    @cached_property
    def answers(self) -> dict[str, NDArray[np.float32]]:
        """The module's outputs on the examples, by name."""
        return self._run(self.examples)

    @cached_property
    def rounding(self) -> dict[str, NDArray[np.float32]]:
        """How far each output moves when every number put in moves to the next float32.

        Answers that differ by so little come from inputs that single precision cannot tell apart:
        a spectrogram's quietest bins are rounding errors of the samples, and some networks read
        them.

        Returns
        -------
        dict of ndarray of shape (n,)
            One number for each example, by output: the largest of :data:`DRAWS`.
        """
        rng = np.random.default_rng(0)
        most = {name: np.zeros(len(one), np.float32) for name, one in self.answers.items()}
        for _ in range(DRAWS):
            sides = rng.choice(np.array([-np.inf, np.inf], np.float32), self.examples.shape)
            moved = self._run(np.nextafter(self.examples, sides))
            for name, answer in self.answers.items():
                most[name] = np.maximum(most[name], largest(moved[name] - answer))
        return most

    def _run(self, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            parts = self.module(torch.from_numpy(inputs))
        return {name: part.numpy() for name, part in zip(self.outputs, parts, strict=True)}


def end_to_end(network: Img2ImuNetwork, windows: NDArray[np.float32]) -> Graph:
    """Window to :data:`ANSWERS`, the drawing inside.

    Parameters
    ----------
    network
        A classifier's, on the CPU.
    windows
        Real windows (n, 3 * sensors, samples), on which files are checked.
    """
    examples = np.ascontiguousarray(windows, dtype=np.float32)
    return Graph(_Classify(network).eval(), "window", _answers(network), examples)


def from_image(network: Img2ImuNetwork, windows: NDArray[np.float32]) -> Graph:
    """Image to :data:`ANSWERS`; parameters as of :func:`end_to_end`.

    The image is what :func:`converter` gives: levels in [0, 1]. ImageNet's mean and deviation are
    applied inside.

    Raises
    ------
    InputError
        If the network reads windows: it draws nothing.
    """
    images = converter(network, windows).answers["image"]
    reading = _Classify(network, nn.Identity())
    return Graph(reading.eval(), "image", _answers(network), np.ascontiguousarray(images))


def _answers(network: Img2ImuNetwork) -> tuple[str, ...]:
    return ANSWERS if network.strangeness is not None else ANSWERS[:-1]


def converter(network: Img2ImuNetwork, windows: NDArray[np.float32]) -> Graph:
    """Window to image, what :func:`from_image` takes; parameters and errors as there."""
    if not isinstance(network.drawing, Views):
        raise InputError("this classifier's encoder reads windows, not pictures: no image form")
    examples = np.ascontiguousarray(windows, dtype=np.float32)
    return Graph(_Draw(network.drawing).eval(), "window", IMAGE, examples)


FORMS: dict[Form, Callable[[Img2ImuNetwork, NDArray[np.float32]], Graph]] = {
    "end-to-end": end_to_end,
    "image": from_image,
}
"""Graphs that classify, by name."""


class _Classify(nn.Module):
    def __init__(self, network: Img2ImuNetwork, drawing: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.drawing = network.drawing if drawing is None else drawing

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        logits, *strange = self.network.judge(self.drawing(inputs))
        return torch.softmax(logits, dim=1), logits, *strange


class _Draw(nn.Module):
    def __init__(self, drawing: Views) -> None:
        super().__init__()
        self.drawing = drawing
        self.single = len(drawing.views) == 1

    def forward(self, windows: Tensor) -> tuple[Tensor]:
        images: Tensor = self.drawing(windows)
        return (images[:, 0] if self.single else images,)
