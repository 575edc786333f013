"""Smaller and faster files: int8 or half precision where the weights are, float32 elsewhere."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..files import writable, writing
from .config import KINDS, Kind
from .half import halve
from .known import KNOWN, file_answers
from .onnx import run_onnx
from .parity import ExportError
from .stem import fold_stem

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

MIN_WINDOWS = 32
"""Fewest windows that int8 is calibrated on: the range of every activation is read off them."""

MAX_WINDOWS = 128
"""Most windows taken of those given, evenly spaced: more change nothing but the time it takes."""

AGREEMENT = {"int8": 0.85, "int8-dynamic": 0.85, "fp16": 0.98}
"""Least share of windows that a file must label as the float one does."""

OPERATORS = ("Conv", "MatMul", "Gemm", "Add", "Mul", "MaxPool", "Relu", "Clip")
"""What int8 computes: the convolutions and all that stands between two of them."""

BATCH = 8

SEVEN_BITS: list[dict[str, Any]] = [{"axis": 0, "reduce_range": True}]
"""Of the first convolution's weights. Processors with AVX2 and without VNNI add two products of a
pixel and a weight in 16 bits, which white pixels overflow: two of 255 times 64 do not."""


@dataclass(frozen=True)
class QuantizationReport:
    """What was written, and how well it agrees with the float file.

    Attributes
    ----------
    path
        The file.
    kind
        ``"int8"``, ``"int8-dynamic"`` or ``"fp16"``.
    size
        Of the file, in bytes.
    windows
        Number of windows compared.
    agreement
        Share of them that get the same label.
    logits
        Largest absolute difference of a logit.
    """

    path: Path
    kind: Kind
    size: int
    windows: int
    agreement: float
    logits: float

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "path": str(self.path)}


def quantize_onnx(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    kind: Kind,
    inputs: NDArray[np.float32],
    known: NDArray[np.float32] | None = None,
) -> QuantizationReport:
    """Write a float ONNX file once more with a smaller encoder.

    Only the encoder changes, from its first convolution to its last feature map: the drawing, the
    head, inputs and outputs stay float32. Metadata is carried over, with ``quantization`` added.

    Parameters
    ----------
    source
        File of :func:`export_onnx` that ends in logits.
    target
        The file to write; one that exists is replaced.
    kind
        ``"int8"``: weights in 8 bits by output channel, activations in 8 bits within the ranges
        they have on `inputs`; ``"int8-dynamic"``: the ranges are found anew in every run, so that
        the answer to a window depends on the others of its batch;
        ``"fp16"``: both in half precision, whose arithmetic not every processor has.
    inputs
        Real inputs of the file, (n, ...), of training subjects: the new file must label them as
        the float one does, and ``"int8"`` takes its ranges from them, at least 32.
    known
        The inputs to which the source's metadata tell the answers: the new file tells its own.

    Raises
    ------
    InputError
        If the source is no such file, the kind is unknown, the inputs do not fit or are too few,
        or `target` cannot be written.
    ExportError
        If too many labels differ from the float file's. Nothing is left behind.
    """
    import onnx

    path = writable(target)
    if kind not in KINDS:
        raise InputError(f"unknown quantization {kind!r}; known: {', '.join(KINDS)}")
    model = _read(Path(source))
    inputs = _sample(inputs, model, kind)
    expected = _logits(model, inputs)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    smaller = _MAKERS[kind](model, inputs, expected)
    smaller.producer_name, smaller.ir_version = model.producer_name, model.ir_version
    del smaller.metadata_props[:]
    onnx.helper.set_model_props(smaller, {**texts, "quantization": kind})
    with writing(path) as partial:
        onnx.save_model(smaller, partial)
        if known is not None:
            answers = file_answers(run_onnx(partial), known)
            texts[KNOWN] = json.dumps({**json.loads(texts[KNOWN]), **answers})
            onnx.helper.set_model_props(smaller, {**texts, "quantization": kind})
            onnx.save_model(smaller, partial)
        size = partial.stat().st_size
        return _compare(path, kind, expected, _logits(smaller, inputs), size)


def _read(source: Path) -> ModelProto:
    """The model, without the shapes noted in it: they would contradict the new types."""
    import onnx

    if not source.is_file():
        raise InputError(f"{source} does not exist")
    try:
        model = onnx.load(source)
    except Exception:  # protobuf's, which onnx does not name
        raise InputError(f"{source} is not an ONNX file") from None
    heads = [node for node in model.graph.node if "logits" in node.output]
    if [(node.op_type, len(node.input)) for node in heads] != [("Gemm", 3)]:
        raise InputError(f"{source} does not end in a linear head: it cannot be quantised")
    if "Conv" not in {node.op_type for node in model.graph.node}:
        raise InputError(f"{source} has no convolution: there is nothing to quantise")
    done = {entry.key: entry.value for entry in model.metadata_props}.get("quantization")
    if done:
        raise InputError(f"{source} is quantised already: {done}")
    del model.graph.value_info[:]
    return model


def _sample(inputs: NDArray[np.float32], model: ModelProto, kind: Kind) -> NDArray[np.float32]:
    value = model.graph.input[0]
    shape = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)[1:]
    if inputs.shape[1:] != shape:
        wanted = ", ".join(map(str, shape))
        raise InputError(f"{value.name} must have shape (n, {wanted}), not {inputs.shape}")
    require_enough(kind, inputs)
    if not np.isfinite(inputs).all():
        raise InputError(f"a {value.name} of the calibration holds NaN or infinity")
    rows = np.linspace(0, len(inputs) - 1, min(len(inputs), MAX_WINDOWS)).round().astype(int)
    return np.ascontiguousarray(inputs[rows], dtype=np.float32)


def require_enough(kind: Kind, inputs: NDArray[np.float32]) -> None:
    """Raise :class:`InputError` unless a file of this kind can be made from so many inputs."""
    fewest = MIN_WINDOWS if kind == "int8" else 1
    if len(inputs) < fewest:
        raise InputError(f"{kind} needs at least {fewest} real windows, not {len(inputs)}")


def _batches(model: ModelProto, inputs: NDArray[np.float32]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(inputs), BATCH):
        yield {model.graph.input[0].name: inputs[start : start + BATCH]}


def _logits(model: ModelProto, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    from onnxruntime import InferenceSession

    try:
        session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        parts = [session.run(["logits"], batch)[0] for batch in _batches(model, inputs)]
    except Exception as error:  # ONNX Runtime's errors share no other base.
        reason = str(error).splitlines()[0]
        raise ExportError(f"ONNX Runtime cannot run the file: {reason}") from None
    return np.concatenate(parts)


def _compare(
    path: Path,
    kind: Kind,
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    size: int,
) -> QuantizationReport:
    count = len(expected)
    if not np.isfinite(found).all():
        worst = int(np.isfinite(found).all(axis=1).argmin())
        raise ExportError(f"{kind} gives NaN or infinity on window {worst}; it was not kept")
    same = expected.argmax(1) == found.argmax(1)
    gap = float(np.abs(expected - found).max())
    if same.mean() < AGREEMENT[kind]:
        raise ExportError(
            f"{kind} labels only {same.sum()} of {count} windows as the float file does, the first "
            f"other one is {int(same.argmin())}; {AGREEMENT[kind]:.0%} are wanted, it was not kept"
        )
    return QuantizationReport(path, kind, size, count, float(same.mean()), gap)


def _encoder(graph: GraphProto) -> list[NodeProto]:
    """The nodes from the first convolution of a picture to the head, in order.

    The drawing, too, has convolutions, along time. An encoder of windows has no drawing: there it
    is the first convolution of all.
    """
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    pictorial = [node for node in convolutions if ranks.get(node.input[1]) == 4]
    after = set((pictorial or convolutions)[0].output)
    for node in graph.node:
        if after & set(node.input):
            after |= set(node.output)
    before = {_head(graph).input[0]}
    for node in reversed(graph.node):
        if before & set(node.output):
            before |= set(node.input)
    return [node for node in graph.node if set(node.output) & after & before]


def _head(graph: GraphProto) -> NodeProto:
    return next(node for node in graph.node if "logits" in node.output)


def _int8(
    model: ModelProto, inputs: NDArray[np.float32], expected: NDArray[np.float32]
) -> ModelProto:
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    encoder = _encoder(model.graph)
    fold_stem(model, encoder[0])
    chosen = [node.name for node in encoder if node.op_type in OPERATORS]
    add_pre_process_metadata(model)  # else it advises to fold what is folded already
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        # Unsigned activations take in the ReLU, and meet signed weights in one instruction on
        # processors with VNNI; signed ones are as slow as float there.
        quantize_static(
            model,
            written,
            _Reader(_batches(model, inputs)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_quantize=chosen,
            extra_options={"TensorQuantOverrides": {encoder[0].input[1]: SEVEN_BITS}},
        )
        smaller = _load(written)
    _shift_bias(smaller.graph, (expected - _logits(smaller, inputs)).mean(0))
    return smaller


class _Reader:
    """What ONNX Runtime's calibration takes."""

    def __init__(self, batches: Iterator[dict[str, Any]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Any] | None:
        return next(self._batches, None)


def _shift_bias(graph: GraphProto, shift: NDArray[np.float32]) -> None:
    """Add to the head's bias: the part of the rounding error that is the same in every window."""
    from onnx import numpy_helper

    name = _head(graph).input[2]
    bias = next(tensor for tensor in graph.initializer if tensor.name == name)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + shift, name))


def _int8_dynamic(model: ModelProto, *_: NDArray[np.float32]) -> ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    operators = ["Conv", "MatMul", "Gemm"]
    chosen = [node.name for node in _encoder(model.graph) if node.op_type in operators]
    add_pre_process_metadata(model)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        quantize_dynamic(
            model,
            written,
            per_channel=True,
            weight_type=QuantType.QUInt8,  # signed ones run four times slower
            op_types_to_quantize=operators,
            nodes_to_quantize=chosen,
        )
        return _load(written)


def _load(path: Path) -> ModelProto:
    import onnx

    model = onnx.load(path)
    del model.graph.value_info[:]
    return model


def _half(model: ModelProto, *_: NDArray[np.float32]) -> ModelProto:
    return halve(model, {node.name for node in _encoder(model.graph)})


_MAKERS: dict[Kind, Callable[..., ModelProto]] = {
    "int8": _int8,
    "int8-dynamic": _int8_dynamic,
    "fp16": _half,
}
