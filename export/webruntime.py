"""ONNX Runtime for browsers: one version's npm package, fetched once and checked at each use."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ..cache import used
from ..errors import InputError
from ..files import cache_folder, sha256_of
from ..progress import Progress, silent

LOCK = Path(__file__).with_name("downloads.lock")
"""SHA-256 and name of the package's archive, and with it the version."""

WASM_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
"""What runs on the processor."""

WEBGPU_FILES = (
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""What runs on the graphics processor, and on the processor what that one lacks."""


def runtime_package() -> tuple[str, str]:
    """Name and version of the npm package."""
    package, _, version = _locked()[1].removesuffix(".tgz").rpartition("-")
    return package, version


def fetch_runtime(progress: Progress = silent) -> Path:
    """The package's archive in the cache, which npm brings if it is not there; checked.

    Parameters
    ----------
    progress
        Opens a progress bar.

    Raises
    ------
    InputError
        If npm is missing or brings nothing, or the archive's SHA-256 is another than
        ``downloads.lock`` says; it is then removed.
    """
    from filelock import FileLock

    expected, name = _locked()
    archive = cache_folder() / "downloads" / name
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        bar = progress(f"{name} by npm", 1)
        try:
            with FileLock(archive.with_name(f".{name}.lock")):
                if not archive.is_file():
                    npm_pack(*runtime_package(), archive)
        finally:
            bar.close()
    found = sha256_of(archive)
    if found != expected:
        archive.unlink()
        raise InputError(
            f"{archive} has SHA-256 {found}, not {expected}: it was removed; try again"
        )
    used(archive)
    return archive


def unpack_runtime(folder: Path) -> None:
    """Write :data:`WASM_FILES` and :data:`WEBGPU_FILES` to a folder; errors as above."""
    with tarfile.open(fetch_runtime()) as archive:
        for name in (*WASM_FILES, *WEBGPU_FILES):
            source = archive.extractfile(f"package/dist/{name}")
            assert source is not None, name
            with source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)


def _locked() -> tuple[str, str]:
    digest, name = LOCK.read_text(encoding="utf-8").split()
    return digest, name


def npm_pack(package: str, version: str, archive: Path) -> None:
    """Let npm bring a package's archive, whole or not at all.

    Raises
    ------
    InputError
        If npm is missing or brings nothing.
    """
    wanted = f"{package}@{version}"
    if shutil.which("npm") is None:
        raise InputError(
            f"{wanted} is needed, which npm brings: install npm, or put the package's archive "
            f"at {archive}"
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{archive.name}-", dir=archive.parent) as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, wanted]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        brought = Path(folder) / archive.name
        if done.returncode or not brought.is_file():
            words = done.stderr.split("\n")[0].strip() or "is the network there?"
            raise InputError(f"npm did not bring {wanted}: {words}")
        brought.replace(archive)
