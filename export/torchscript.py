"""A graph as one TorchScript file, for phones that run PyTorch itself."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._C import PyTorchFileReader, PyTorchFileWriter

from ..files import writing
from .graphs import Graph
from .parity import ExportReport, Run, compare

METADATA = "metadata.json"
"""Name of the extra file inside the archive."""


def export_torchscript(
    graph: Graph, path: str | os.PathLike[str], metadata: Mapping[str, Any]
) -> ExportReport:
    """Write a graph as one TorchScript file, after comparing the file with the module.

    It takes the graph's input and gives a tuple of its outputs; the batch is free, and an input
    of another shape is refused. PyTorch 1.13 and later read it, on phones too, without this
    package. PyTorch has since deprecated TorchScript, and says so here.

    Parameters
    ----------
    graph
        Such as :func:`~.graphs.end_to_end` gives.
    path
        The file; one that exists is replaced.
    metadata
        JSON values, kept as the extra file ``metadata.json`` with ``format``, ``form``, ``input``
        and ``outputs`` added.

    Raises
    ------
    InputError
        If the folder of `path` does not exist.
    ExportError
        If the file's answers differ from the module's. Nothing is left behind.
    """
    with writing(path) as partial:
        extra = {METADATA: json.dumps(graph.describe(metadata))}
        partial.write_bytes(_archive(_script(graph), extra))
        parity, size = compare(_run(partial, graph.outputs), graph), partial.stat().st_size
    return ExportReport(Path(path), "TorchScript", graph.form, size, parity)


def _archive(module: torch.jit.ScriptModule, extra: Mapping[str, str]) -> bytes:
    """The module as PyTorch saves it, without the call stack from which each line was traced.

    That stack names folders of this machine, and makes the file depend on who called.
    """
    # Not straight to a file, whose hidden name torch would write into it.
    saved, kept = io.BytesIO(), io.BytesIO()
    torch.jit.save(module, saved, _extra_files=dict(extra))
    saved.seek(0)
    reader, writer = PyTorchFileReader(saved), PyTorchFileWriter(kept)
    names = reader.get_all_records()
    # Where the version lies depends on the operators of the module.
    version = ".data/version" if ".data/version" in names else "version"
    writer.set_min_version(int(reader.get_record(version)))
    for name in names:
        # The writer adds the version and the id, a hash of the records, by itself.
        if not name.endswith((".debug_pkl", "version", ".data/serialization_id")):
            record = reader.get_record(name)
            writer.write_record(name, record, len(record))
    writer.write_end_of_file()
    return kept.getvalue()


def _run(path: Path, outputs: Sequence[str]) -> Run:
    """A file in this PyTorch."""
    module = torch.jit.load(os.fspath(path))

    def run(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            parts = module(torch.from_numpy(inputs))
        return {name: part.numpy() for name, part in zip(outputs, parts, strict=True)}

    return run


class _Strict(nn.Module):
    """A trace that refuses inputs of another shape, which alone it would read wrongly."""

    def __init__(self, traced: nn.Module, name: str, shape: list[int]) -> None:
        super().__init__()
        self.traced, self.shape = traced, shape
        self.wanted = f"{name} must have shape (n, {', '.join(map(str, shape))})"

    # Without a type for the result: it is a tuple of as many tensors as the graph has outputs.
    def forward(self, inputs: Tensor):  # type: ignore[no-untyped-def]
        """Inputs (n, ...) to the outputs."""
        if inputs.shape[1:] != self.shape:
            raise ValueError(f"{self.wanted}, not {inputs.shape}")
        return self.traced(inputs)


def _script(graph: Graph) -> torch.jit.ScriptModule:
    # Two windows, so that nothing in the trace can take the batch for one.
    example = torch.from_numpy(graph.examples[[0, -1]])
    with warnings.catch_warnings(), torch.no_grad():
        # Lengths become constants: meant here, and the shape is checked.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # Unchecked by the tracer: the file is compared with the module, on all examples.
        traced = torch.jit.trace(graph.module, (example,), check_trace=False)
    strict = _Strict(traced, graph.input, list(example.shape[1:])).eval()
    return torch.jit.freeze(torch.jit.script(strict))
