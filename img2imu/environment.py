"""What a measurement was made on; stands in every report."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "img2imu", "kornia", "librosa", "lightly", "matplotlib", "numba", "numpy", "onnxruntime",
    "opencv-python-headless", "pillow", "scikit-learn", "scipy", "simplejpeg", "timm", "torch",
    "torchvision",
)  # fmt: skip

SIMD_FLAGS = (
    "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16",
    "amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""What numerical libraries choose their code by; the rest of the processor's flags is left out."""


def environment() -> dict[str, Any]:
    """Hardware, versions and commit, without names of hosts, users or folders.

    Returns
    -------
    dict
        ``date``, ``commit`` (None outside a checkout of this repository), ``system``, ``cpu``
        (model, cores this process may use, memory, SIMD flags), ``gpu`` (None without one),
        ``torch_threads`` and ``versions``.
    """
    import torch

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cpu": _cpu(),
        "gpu": _gpu(),
        "torch_threads": torch.get_num_threads(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _commit() -> str | None:
    """The commit of this code, with ``-dirty`` where tracked files differ from it."""
    folder = Path(__file__).parent
    # Only where git knows this very file: an environment may lie inside some other checkout.
    if _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and _git(folder, "diff", "HEAD", "--stat") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu() -> dict[str, Any]:
    facts = _cpuinfo()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "model": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": _usable_cores(),
        "memory_gib": _memory_gib(),
        "simd": [flag for flag in SIMD_FLAGS if flag in flags],
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor of Linux' ``/proc/cpuinfo``; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _gpu() -> dict[str, Any] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    return {
        "model": properties.name,
        "count": torch.cuda.device_count(),
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
