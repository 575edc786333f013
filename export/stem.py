"""The first convolution of a picture as a faster one of the same numbers, for int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

COLOURS = 3


def fold_stem(model: ModelProto, stem: NodeProto) -> None:
    """Let the first convolution read blocks of 2x2 pixels, if it goes by two pixels at a time.

    Its sum over 7x7 pixels of 3 channels becomes one over 4x4 blocks of 12 channels: more products,
    some with zero, but integer kernels collect neighbouring pixels channel by channel, and three
    are too few to keep them busy. A convolution of another kind, or of a picture with an odd side,
    stays as it is.

    Parameters
    ----------
    model
        Float model, changed in place.
    stem
        The node.
    """
    from onnx import helper, numpy_helper

    weight = next((t for t in model.graph.initializer if t.name == stem.input[1]), None)
    if weight is None or not _goes_by_two(stem, weight.dims) or not _even(model, stem.input[0]):
        return
    before = _attributes(stem)["pads"][0]
    folded, first, last = fold_kernel(numpy_helper.to_array(weight), before)
    weight.CopyFrom(numpy_helper.from_array(folded, weight.name))
    blocks = f"{stem.input[0]}_blocks"
    node = helper.make_node(
        "SpaceToDepth", [stem.input[0]], [blocks], name=f"{stem.name}_blocks", blocksize=2
    )
    model.graph.node.insert(list(model.graph.node).index(stem), node)
    stem.input[0] = blocks
    settings = {
        "kernel_shape": list(folded.shape[2:]),
        "strides": [1, 1],
        "pads": [-first, -first, last, last],
    }
    del stem.attribute[:]
    stem.attribute.extend(helper.make_attribute(name, value) for name, value in settings.items())


def fold_kernel(kernel: NDArray[np.float32], pad: int) -> tuple[NDArray[np.float32], int, int]:
    """Weights of a convolution by two pixels as one by single blocks of 2x2 pixels.

    Parameters
    ----------
    kernel
        Shape (out, channels, k, k).
    pad
        Pixels of zeros at each edge.

    Returns
    -------
    folded : ndarray of shape (out, 4 * channels, blocks, blocks)
        Channels in the order of ONNX' SpaceToDepth.
    first, last : int
        The first and the last block it reads, counted from the one of the pixel it stands for.
    """
    out, channels, size, _ = kernel.shape
    first, last = -pad // 2, (size - 1 - pad) // 2
    blocks = last - first + 1
    # Place the kernel on whole blocks, then take these apart.
    placed = np.zeros((out, channels, 2 * blocks, 2 * blocks), kernel.dtype)
    start = -pad - 2 * first
    placed[:, :, start : start + size, start : start + size] = kernel
    apart = placed.reshape(out, channels, blocks, 2, blocks, 2).transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(apart.reshape(out, 4 * channels, blocks, blocks)), first, last


def _goes_by_two(stem: NodeProto, shape: Sequence[int]) -> bool:
    if len(shape) != 4:
        return False  # of windows, not of pictures
    _, channels, height, width = shape
    found = _attributes(stem)
    pads = found.get("pads", [0])
    return (
        (channels, height) == (COLOURS, width)
        and (found.get("strides"), found.get("group", 1)) == ([2, 2], 1)
        and set(found.get("dilations", [1])) == {1}
        and len(set(pads)) == 1
        and height - 2 * pads[0] in (1, 2)  # gives half as many places as there are pixels
    )


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _even(model: ModelProto, name: str) -> bool:
    """Whether the sides of a picture are known, and even."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input)
    shapes = [value.type.tensor_type.shape for value in values if value.name == name]
    sides = [axis.dim_value for shape in shapes for axis in shape.dim[2:]]
    return len(sides) == 2 and all(side > 0 and side % 2 == 0 for side in sides)
