"""A trained network as one file for a phone: raw windows in, probabilities out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .latency import Latency, measure_latency
    from .onnx import ExportReport, export_onnx
    from .parity import ExportError, Parity, compare_onnx

__all__ = [
    "ExportError",
    "ExportReport",
    "Latency",
    "Parity",
    "compare_onnx",
    "export_onnx",
    "measure_latency",
]

_HOMES = {
    "Latency": "latency",
    "measure_latency": "latency",
    "ExportReport": "onnx",
    "export_onnx": "onnx",
    "ExportError": "parity",
    "Parity": "parity",
    "compare_onnx": "parity",
}


def __getattr__(name: str) -> Any:
    """Import torch and ONNX Runtime only when something that needs them is asked for."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
