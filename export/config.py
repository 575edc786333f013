"""Which files to write, and the names of their kinds. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..settings import require, require_choice

Target = Literal["onnx", "ort", "torchscript", "executorch", "web"]
TARGETS: tuple[Target, ...] = get_args(Target)

Form = Literal["end-to-end", "image"]

Kind = Literal["int8", "int8-dynamic", "fp16"]
KINDS: tuple[Kind, ...] = get_args(Kind)

OPSETS = range(18, 22)
"""From the opset that torch's exporter is written in to the newest of ONNX Runtime 1.18."""


@dataclass(frozen=True)
class ExportConfig:
    """Which files to write of a classifier.

    Attributes
    ----------
    to
        Kinds of file; ``web`` is a page with the ONNX file in it.
    form
        Raw windows go in, or ready images.
    quantize
        Smaller ONNX files beside the float one.
    opset
        ONNX operator set.
    """

    to: tuple[Target, ...] = ("onnx",)
    form: tuple[Form, ...] = ("end-to-end",)
    quantize: tuple[Kind, ...] = ()
    opset: int = OPSETS[0]

    def __post_init__(self) -> None:
        for name, choices in (("to", TARGETS), ("form", get_args(Form)), ("quantize", KINDS)):
            for value in getattr(self, name):
                require_choice(name, value, choices)
        require(
            "web" not in self.to or "end-to-end" in self.form,
            "a page takes windows: --to web needs --form end-to-end",
        )
        require_opset(self.opset)


def require_opset(opset: int) -> None:
    """Raise :class:`InputError` unless files can be written in this ONNX operator set."""
    require(
        opset in OPSETS,
        f"opset {opset} is not supported: choose one from {OPSETS[0]} to {OPSETS[-1]}",
    )
