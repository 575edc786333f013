"""What a result was measured with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "timm", "onnxruntime", "numpy", "scikit-learn")


def environment() -> dict[str, str]:
    """Machine, system and versions, as text by name."""
    from .. import __version__

    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "img2imu": __version__,
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    """The processor's name; `platform` knows only its architecture on Linux."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
