"""Builds, checks and tests the demo without Android Studio: ``make android``, ``make test``.

Maven compiles and brings what Maven Central has; npm brings ONNX Runtime's library for Android;
aapt2, D8, zipalign and apksigner make the APK. Whatever goes into it, and D8 itself, must have the
SHA-256 that ``downloads.lock`` gives.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from check_apk import ABIS, PACKAGE, PAGE, BuildError, check_apk, check_pages, natives

from img2imu.errors import InputError
from img2imu.export.webruntime import npm_pack
from img2imu.files import cache_folder

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SOURCE = HERE / "app/src/main"
BUILD = HERE / "build"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")

MAVEN = (HERE / "maven", "--quiet", "--batch-mode")
INCREMENTAL = "-Dkotlin.compiler.incremental=true"
"""For tests only what has changed is compiled; for the APKs everything."""

CODE = (
    *("convert", "export", "tests/golden"),
    *(f"img2imu/{name}" for name in ("fewshot", "models", "recordings", "timeline")),
)
"""Folders of the code that models, vectors and recording depend on."""

TOOLS = {
    "javac": "openjdk-17-jdk-headless",
    "mvn": "maven",
    "npm": "npm",
    "aapt2": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
    "enjarify": "enjarify",
}
"""Programs, and the Debian packages they are in."""


def main() -> int:
    """Build the APKs and check them, or run the tests that this machine can run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--test", action="store_true", help="only compile and test")
    args = parser.parse_args()
    versions = tomllib.loads((HERE / "gradle/libs.versions.toml").read_text())["versions"]
    try:
        if args.test:
            test(versions)
        else:
            build(versions)
    except BuildError as error:
        print(f"build_apk: {error}", file=sys.stderr)
        return 1
    return 0


def test(versions: dict[str, str]) -> None:
    """Test the core, and the app on the JVM; what is skipped for want of a program is said."""
    if advice := missing("javac", "mvn"):
        print(f"Kotlin and app tests skipped: {advice}")
        return
    make_inputs()
    if advice := missing("aapt2"):
        print(f"app tests skipped: {advice}")
        run(*MAVEN, "test", INCREMENTAL, "--projects", "core")
        return
    link_resources(versions)
    run(*MAVEN, "test", INCREMENTAL)


def build(versions: dict[str, str]) -> None:
    """From sources to signed APKs that have passed every check."""
    if advice := missing(*TOOLS):
        raise BuildError(advice)
    make_inputs()
    link_resources(versions)
    for folder in ("packaged", "tools"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    run(*MAVEN, "package", "-DskipTests")
    unity = fetch_onnxruntime(versions["onnxruntime-unity"])
    check_downloads([unity, *jars("packaged"), *jars("tools")])
    onnxruntime = unpack_aar(extract(unity, "package/Plugins/Android/onnxruntime.aar"))
    pytorch = unpack_aar(BUILD / f"packaged/pytorch_android-{versions['pytorch']}.aar")
    make_dex(versions, [onnxruntime / "classes.jar", pytorch / "classes.jar"])
    test_dex(versions)
    # PyTorch's libraries were linked for pages of 4 KB and double the size: an APK of their own.
    check_pages([onnxruntime])
    for name, libraries in (
        ("img2imu-demo", [onnxruntime]),
        ("img2imu-demo-torch", [onnxruntime, pytorch]),
    ):
        apk = sign(package(name, libraries))
        check_apk(apk, versions, libraries)
        print(f"{apk}: {apk.stat().st_size / 1e6:.0f} MB, checked")


def missing(*names: str) -> str:
    """Which programs are not here and how to get them; empty if all are."""
    absent = [name for name in names if shutil.which(name) is None]
    packages = {TOOLS[name] for name in absent}
    if "aapt2" in names and not FRAMEWORK.is_file():
        absent.append(str(FRAMEWORK))
        packages.add("android-framework-res")
    if not absent:
        return ""
    return f"no {', '.join(absent)}; on Debian: apt-get install {' '.join(sorted(packages))}"


def make_inputs() -> None:
    """Let Python make models, vectors and recording anew, if its code has changed since."""
    code = sorted(path for folder in CODE for path in (REPOSITORY / folder).rglob("*.py"))
    BUILD.mkdir(exist_ok=True)
    for made, script, *arguments in (
        (BUILD / "expected.json", HERE / "make_assets.py"),
        (BUILD / "models/fast/model.onnx", HERE / "core/models.py", BUILD / "models"),
    ):
        content = b"".join(path.read_bytes() for path in [*code, script])
        digest, kept = hashlib.sha256(content).hexdigest(), BUILD / f"{script.stem}.sha256"
        if not made.is_file() or not kept.is_file() or kept.read_text() != digest:
            run(sys.executable, script, *arguments)
            kept.write_text(digest)


def jars(folder: str) -> list[Path]:
    """What Maven brought into a folder of the build, without our own."""
    return sorted(path for path in (BUILD / folder).iterdir() if path.name != "core-1.jar")


def fetch_onnxruntime(version: str) -> Path:
    """The npm package in which ONNX Runtime's official library for Android is."""
    name = "com.github.asus4.onnxruntime"
    archive = cache_folder() / "downloads" / f"{name}-{version}.tgz"
    if not archive.is_file():
        try:
            npm_pack(name, version, archive)
        except InputError as error:
            raise BuildError(str(error)) from None
    return archive


def extract(archive: Path, member: str) -> Path:
    """One file of a tar archive, in the build's folder."""
    target = BUILD / Path(member).name
    with tarfile.open(archive) as tar, target.open("wb") as file:
        source = tar.extractfile(member)
        assert source is not None
        shutil.copyfileobj(source, file)
    return target


def check_downloads(files: Iterable[Path]) -> None:
    """Compare each file's SHA-256 with the one in ``downloads.lock``."""
    lines = (HERE / "downloads.lock").read_text().splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines)}
    for path in files:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if expected.get(path.name) != actual:
            raise BuildError(
                f"{path} has SHA-256 {actual}, downloads.lock says "
                f"{expected.get(path.name, 'nothing of it')}"
            )


def link_resources(versions: dict[str, str]) -> None:
    """Compile resources and manifest to ``resources.apk`` and ``R.java``."""
    BUILD.mkdir(exist_ok=True)
    manifest = (SOURCE / "AndroidManifest.xml").read_text()
    # Gradle writes these two itself, and does not want them in the source.
    manifest = manifest.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1)
    manifest = manifest.replace("<application", '<application android:extractNativeLibs="false"', 1)
    (BUILD / "AndroidManifest.xml").write_text(manifest)
    run("aapt2", "compile", "--dir", SOURCE / "res", "-o", BUILD / "resources.zip")
    run(
        *("aapt2", "link", BUILD / "resources.zip", "-o", BUILD / "resources.apk"),
        *("-I", FRAMEWORK, "--manifest", BUILD / "AndroidManifest.xml"),
        *("--java", BUILD / "generated"),
        *("--min-sdk-version", versions["android-min"]),
        *("--target-sdk-version", versions["android-target"]),
        *("--compile-sdk-version-code", versions["android-target"]),
        *("--compile-sdk-version-name", versions["android-all"].split("-")[0]),
        *("--version-code", "1", "--version-name", "1"),
    )


def make_dex(versions: dict[str, str], libraries: list[Path]) -> None:
    """Translate all classes for Android's runtime."""
    classes = [HERE / "app/target/app-1.jar", *(BUILD / "packaged").glob("*.jar"), *libraries]
    target = BUILD / "dex"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    run(
        *("java", "-cp", BUILD / f"tools/r8-{versions['r8']}.jar", "com.android.tools.r8.D8"),
        *("--release", "--min-api", versions["android-min"], "--output", target),
        *("--lib", BUILD / f"tools/android-all-{versions['android-all']}.jar", *classes),
    )


def test_dex(versions: dict[str, str]) -> None:
    """Run the core's tests on its classes as they are in the dex file, translated back."""
    back = BUILD / "from-dex"
    shutil.rmtree(back, ignore_errors=True)
    # Debian's starter takes the first python3 of the PATH, which need not be Debian's.
    python = {**os.environ, "PYTHON": "/usr/bin/python3"}
    run("enjarify", "--force", "-o", BUILD / "from-dex.jar", BUILD / "dex/classes.dex", env=python)
    with zipfile.ZipFile(BUILD / "from-dex.jar") as jar:
        core = [name for name in jar.namelist() if name.startswith("org/img2imu/core/")]
        jar.extractall(back, core)
    tests = HERE / "core/target/test-classes"
    names = [path.relative_to(tests).with_suffix("") for path in sorted(tests.rglob("*Test.class"))]
    plugin = f"org.apache.maven.plugins:maven-dependency-plugin:{versions['maven-dependency']}"
    others = BUILD / "test-classpath.txt"
    run(
        *(*MAVEN, f"{plugin}:build-classpath", "--projects", "core", f"-Dmdep.outputFile={others}"),
    )
    run(
        *("java", "-XX:-DoEscapeAnalysis", "-cp", f"{back}:{tests}:{others.read_text()}"),
        *(f"-Dgolden={REPOSITORY / 'tests/golden'}", f"-Dmodels={BUILD / 'models'}"),
        *("org.junit.runner.JUnitCore", *(str(name).replace("/", ".") for name in names)),
    )


def package(name: str, libraries: list[Path]) -> Path:
    """Put everything into one archive, whose stored entries begin at whole pages."""
    loose, aligned = BUILD / f"{name}.zip", BUILD / f"{name}-unsigned.apk"
    shutil.copyfile(BUILD / "resources.apk", loose)
    with zipfile.ZipFile(loose, "a") as apk:
        for path in sorted((BUILD / "dex").iterdir()):
            apk.write(path, path.name, zipfile.ZIP_DEFLATED)
        for path in sorted((BUILD / "assets").rglob("*")):
            if path.is_file():
                entry = f"assets/{path.relative_to(BUILD / 'assets')}"
                apk.write(path, entry, zipfile.ZIP_DEFLATED)
        # Android maps libraries from the archive: they must not be compressed.
        for entry, path in natives(libraries):
            apk.write(path, entry, zipfile.ZIP_STORED)
    run("zipalign", "-f", PAGE, loose, aligned)
    loose.unlink()
    return aligned


def sign(unsigned: Path) -> Path:
    """Sign with this machine's own debug key."""
    key = cache_folder() / "debug.keystore"
    if not key.is_file():
        run(
            *("keytool", "-genkeypair", "-keystore", key, "-storepass", "android"),
            *("-alias", "debug", "-keyalg", "RSA", "-validity", "10000", "-dname", "CN=Debug"),
        )
    apk = unsigned.with_name(unsigned.name.replace("-unsigned", ""))
    run(
        *("apksigner", "sign", "--ks", key, "--ks-pass", "pass:android", "--out", apk),
        *("--v1-signing-enabled", "false", "--v4-signing-enabled", "false", unsigned),
    )
    unsigned.unlink()
    return apk


def unpack_aar(aar: Path) -> Path:
    """A folder with the classes and native libraries of an AAR."""
    folder = BUILD / "aar" / aar.stem
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(aar) as archive:
        parts = ("classes.jar", *(f"jni/{abi}/" for abi in ABIS))
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(parts)])
    return folder


def run(*command: object, env: dict[str, str] | None = None) -> None:
    """Run a program, which says itself why it fails."""
    words = [str(word) for word in command]
    if subprocess.run(words, env=env).returncode:
        raise BuildError(f"{Path(words[0]).name} failed; it says why above")


if __name__ == "__main__":
    sys.exit(main())
