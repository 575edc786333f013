"""Is an APK what a phone needs? Signature, manifest, contents, and alignment to pages of memory."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from struct import unpack_from

PACKAGE = "org.img2imu.demo"
ABIS = ("arm64-v8a", "x86_64")
PAGE = 16384
"""Bytes in a phone's largest page of memory: what is mapped from an APK begins at one."""

ASSETS = (
    "model.onnx",
    "model.int8.onnx",
    "model.image.onnx",
    "model.pt",
    "recording.csv",
    "golden/golden.json",
)
"""What the app cannot do without."""

LOAD = 1
"""Type of an ELF file's segment that is mapped to memory."""


class BuildError(Exception):
    """The build cannot go on; told in one sentence."""


def check_apk(apk: Path, versions: Mapping[str, str], libraries: Iterable[Path]) -> None:
    """Look at a signed APK as a phone will.

    Parameters
    ----------
    apk
        The file.
    versions
        Of the catalog.
    libraries
        Unpacked AARs whose native libraries must be in it.

    Raises
    ------
    BuildError
        If it is not what it should be.
    """
    ask("apksigner", "verify", "--min-sdk-version", versions["android-min"], apk)
    ask("zipalign", "-c", PAGE, apk)
    check_manifest(ask("aapt2", "dump", "badging", apk), versions)
    expected = {"classes.dex", *(f"assets/{name}" for name in ASSETS)}
    expected |= {entry for entry, _ in natives(libraries)}
    with zipfile.ZipFile(apk) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    demand(not expected - set(entries), f"{apk} has no {', '.join(expected - set(entries))}")
    packed = [name for name, entry in entries.items() if name[:4] == "lib/" and entry.compress_type]
    demand(not packed, f"{', '.join(packed)} in {apk} cannot be mapped: it is compressed")


def check_manifest(badging: str, versions: Mapping[str, str]) -> None:
    """Compare what aapt2 reads in an APK with what it should be."""
    expected: dict[str, set[str]] = {
        r"package: name='([^']*)'": {PACKAGE},
        r"launchable-activity: name='([^']*)'": {f"{PACKAGE}.MainActivity"},
        r"sdkVersion:'([^']*)'": {versions["android-min"]},
        r"targetSdkVersion:'([^']*)'": {versions["android-target"]},
        r"uses-permission.*?: name='([^']*)'": set(),
        r"native-code: (.*)": {" ".join(f"'{abi}'" for abi in ABIS)},
    }
    for pattern, values in expected.items():
        found = set(re.findall(f"^{pattern}", badging, re.MULTILINE))
        demand(found == values, f"the manifest has {found or 'none'} as {pattern}, not {values}")


def check_pages(libraries: Iterable[Path]) -> None:
    """Demand that all segments of 64-bit native libraries begin at pages of 16 KB."""
    for _, path in natives(libraries):
        content = path.read_bytes()
        (start,) = unpack_from("<Q", content, 0x20)
        size, count = unpack_from("<HH", content, 0x36)
        for header in range(start, start + size * count, size):
            (kind,), (aligned,) = (
                unpack_from("<I", content, header),
                unpack_from("<Q", content, header + 0x30),
            )
            demand(kind != LOAD or aligned >= PAGE, f"{path} is for pages of {aligned} bytes")


def natives(libraries: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Native libraries of unpacked AARs: name in an APK, and file."""
    for abi in ABIS:
        for library in libraries:
            for path in sorted((library / "jni" / abi).glob("*.so")):
                yield f"lib/{abi}/{path.name}", path


def demand(condition: bool, otherwise: str) -> None:
    """Stop the build unless `condition` holds."""
    if not condition:
        raise BuildError(otherwise)


def ask(*command: object) -> str:
    """Run a program and return what it printed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    demand(done.returncode == 0, f"{words[0]} failed; it says why above")
    return done.stdout
