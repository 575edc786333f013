"""Some nodes of an ONNX graph in half precision, the others as they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto


def halve(model: ModelProto, inside: Collection[str]) -> ModelProto:
    """A copy that computes the named nodes, and stores their weights, in float16.

    ONNX Runtime's own converter turns what lies between two other nodes to float16 as well; here
    nothing but the nodes named loses a bit.

    Parameters
    ----------
    model
        Without noted shapes, its graph's outputs not among those of the nodes.
    inside
        Names of nodes.
    """
    import onnx

    floats = _floats(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    halves = floats & {
        name for node in model.graph.node if node.name in inside for name in node.output
    }
    weights: dict[str, TensorProto] = {}
    nodes: dict[str, NodeProto] = {}
    for original in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        half = node.name in inside
        for place, name in enumerate(node.input):
            if name not in floats or (name in halves) == half:
                continue
            other = f"{name}.half" if half else f"{name}.float"
            node.input[place] = other
            if name in stored:
                weights[other] = _halved(stored[name], other)
            else:
                nodes.setdefault(other, _cast(name, other, half))
        nodes[node.name] = node
    return _rebuilt(model, list(nodes.values()), list(weights.values()))


def _floats(model: ModelProto) -> set[str]:
    """Names of all float32 values: inputs, weights and what nodes give."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = (*graph.input, *graph.value_info, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in typed}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}


def _halved(tensor: TensorProto, name: str) -> TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)


def _cast(name: str, other: str, half: bool) -> NodeProto:
    import onnx

    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    return onnx.helper.make_node("Cast", [name], [other], other, to=kind)


def _rebuilt(model: ModelProto, nodes: list[NodeProto], weights: list[TensorProto]) -> ModelProto:
    """A copy with other nodes and more weights, without those that nobody reads any more."""
    import onnx

    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    rebuilt = onnx.ModelProto()
    rebuilt.CopyFrom(model)
    del rebuilt.graph.node[:], rebuilt.graph.initializer[:]
    rebuilt.graph.node.extend(nodes)
    rebuilt.graph.initializer.extend(kept + weights)
    return rebuilt
