"""The first convolution on blocks of pixels: the same sums as before."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from img2imu.export.stem import fold_kernel, fold_stem


def one_layer(
    kernel: NDArray[np.float32], sides: tuple[int, int], **settings: object
) -> onnx.ModelProto:
    """A model that is one convolution of pictures."""
    shape = ["n", kernel.shape[1], *sides]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    answer = helper.make_tensor_value_info(
        "map", TensorProto.FLOAT, ["n", len(kernel), "rows", "columns"]
    )
    node = helper.make_node("Conv", ["image", "kernel"], ["map"], name="stem", **settings)
    weights = [numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph([node], "one", [given], [answer], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answer(model: onnx.ModelProto, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"image": pictures})[0]


@pytest.mark.parametrize(("size", "pad", "blocks"), [(7, 3, 4), (3, 1, 2), (2, 0, 1), (4, 1, 3)])
def test_blocks_give_the_same_map(size: int, pad: int, blocks: int) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(5, 3, size, size)).astype(np.float32)
    pictures = rng.normal(size=(2, 3, 12, 16)).astype(np.float32)
    model = one_layer(kernel, (12, 16), strides=[2, 2], pads=[pad] * 4)
    expected = answer(model, pictures)
    fold_stem(model, model.graph.node[0])
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["SpaceToDepth", "Conv"]
    assert list(model.graph.initializer[0].dims) == [5, 12, blocks, blocks]
    np.testing.assert_allclose(answer(model, pictures), expected, atol=1e-5)


def test_weights_are_moved_not_changed() -> None:
    kernel = np.arange(1, 2 * 3 * 49 + 1, dtype=np.float32).reshape(2, 3, 7, 7)
    folded, first, last = fold_kernel(kernel, 3)
    assert (first, last) == (-2, 1)
    assert sorted(folded[folded != 0]) == sorted(kernel.ravel())
    # The pixel a place stands for is the first of block 0: the kernel's middle.
    np.testing.assert_array_equal(folded[:, :3, 2, 2], kernel[:, :, 3, 3])


@pytest.mark.parametrize(
    ("channels", "sides", "settings"),
    [
        (3, (11, 16), {"strides": [2, 2], "pads": [3] * 4}),
        (3, (12, 16), {"strides": [1, 1], "pads": [3] * 4}),
        (3, (12, 16), {"strides": [2, 2], "pads": [3, 3, 2, 2]}),
        (3, (12, 16), {"strides": [2, 2], "pads": [1] * 4}),
        (64, (12, 16), {"strides": [2, 2], "pads": [3] * 4}),
    ],
)
def test_other_convolutions_stay(
    channels: int, sides: tuple[int, int], settings: dict[str, object]
) -> None:
    model = one_layer(np.ones((2, channels, 7, 7), np.float32), sides, **settings)
    before = model.SerializeToString()
    fold_stem(model, model.graph.node[0])
    assert model.SerializeToString() == before
