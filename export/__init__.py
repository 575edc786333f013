"""A trained network as one file for a phone: raw windows in, probabilities out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .executorch import export_executorch
    from .files import ExportReport
    from .golden import Golden, read_golden, write_golden
    from .graphs import FORMS, Graph, converter, end_to_end, from_image
    from .latency import ColdStart, Latency, measure_cold_start, measure_latency
    from .onnx import export_onnx, export_ort
    from .parity import ExportError, Parity
    from .quantize import QuantizationReport, quantize_onnx
    from .runtime import ExportedClassifier
    from .torchscript import export_torchscript

__all__ = [
    "FORMS",
    "ColdStart",
    "ExportError",
    "ExportReport",
    "ExportedClassifier",
    "Golden",
    "Graph",
    "Latency",
    "Parity",
    "QuantizationReport",
    "converter",
    "end_to_end",
    "export_executorch",
    "export_onnx",
    "export_ort",
    "export_torchscript",
    "from_image",
    "measure_cold_start",
    "measure_latency",
    "quantize_onnx",
    "read_golden",
    "write_golden",
]

_HOMES = {
    "export_executorch": "executorch",
    "ExportReport": "files",
    **dict.fromkeys(("Golden", "read_golden", "write_golden"), "golden"),
    **dict.fromkeys(("FORMS", "Graph", "converter", "end_to_end", "from_image"), "graphs"),
    **dict.fromkeys(("ColdStart", "Latency", "measure_cold_start", "measure_latency"), "latency"),
    **dict.fromkeys(("export_onnx", "export_ort"), "onnx"),
    **dict.fromkeys(("ExportError", "Parity"), "parity"),
    **dict.fromkeys(("QuantizationReport", "quantize_onnx"), "quantize"),
    "ExportedClassifier": "runtime",
    "export_torchscript": "torchscript",
}


def __getattr__(name: str) -> Any:
    """Import torch and ONNX Runtime only when something that needs them is asked for."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
