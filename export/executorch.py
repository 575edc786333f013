"""A graph as one ExecuTorch program for phones: PyTorch's successor to TorchScript."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import InputError
from ..files import writing
from .graphs import Graph
from .parity import ExportReport, Run, compare


def export_executorch(
    graph: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any]
) -> ExportReport:
    """Write a graph as one ExecuTorch program, after comparing the program with the module.

    Its method ``forward`` takes the graph's input, a batch of one, since memory is planned ahead,
    and gives the outputs. Its method ``metadata`` takes nothing and gives JSON. XNNPACK computes
    what it can.

    Parameters
    ----------
    graph
        Such as :func:`~.graphs.end_to_end` gives.
    path
        The file; one that exists is replaced.
    metadata
        JSON values; ``format``, ``form``, ``input`` and ``outputs`` are added.

    Raises
    ------
    InputError
        If the package executorch is missing, or the folder of `path` does not exist.
    ExportError
        If the program's answers differ from the module's. Nothing is left behind.
    """
    require_executorch()
    with writing(path) as partial:
        partial.write_bytes(_program(graph, json.dumps(graph.describe(metadata))))
        parity, size = compare(_run(partial, graph.outputs), graph), partial.stat().st_size
    return ExportReport(Path(path), "ExecuTorch, XNNPACK", graph.form, size, parity)


def require_executorch() -> None:
    """Raise :class:`InputError` where the package executorch is missing."""
    if find_spec("executorch") is None:
        raise InputError(
            "ExecuTorch files need the package executorch: pip install 'img2imu[executorch]'"
        )


def _run(path: Path, outputs: Sequence[str]) -> Run:
    """A program in ExecuTorch's own runtime."""
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")

    def run(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        # Copied: the next call writes its answers into the same memory.
        parts = [
            [part.numpy().copy() for part in method.execute([torch.from_numpy(one[None])])]
            for one in inputs
        ]
        answers = map(np.concatenate, zip(*parts, strict=True))
        return dict(zip(outputs, answers, strict=True))

    return run


def _program(graph: Graph, metadata: str) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(_plain(graph.module), (torch.from_numpy(graph.examples[:1]),))
    lowered = to_edge_transform_and_lower(
        program, partitioner=[XnnpackPartitioner()], constant_methods={"metadata": metadata}
    )
    return bytes(lowered.to_executorch().buffer)


def _plain(module: nn.Module) -> nn.Module:
    """A copy as ExecuTorch wants it: weights in the usual layout, every buffer saved."""
    plain = copy.deepcopy(module).to(memory_format=torch.contiguous_format)
    for part in plain.modules():
        for name, value in list(part.named_buffers(recurse=False)):
            part.register_buffer(name, value)
    return plain
