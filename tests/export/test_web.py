"""``img2imu export --to web``: the folder, and the runtime that it brings."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from img2imu.cli import main
from img2imu.errors import InputError
from img2imu.export import ExportedClassifier, webruntime
from img2imu.export.web import played
from img2imu.fewshot import Img2ImuClassifier
from img2imu.files import cache_folder, sha256_of
from img2imu.recordings import WindowConfig
from img2imu.timeline.streaming import WindowStream

FILES = (*webruntime.WASM_FILES, *webruntime.WEBGPU_FILES)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the right form in a cache of its own, and its name in the lock."""
    monkeypatch.setenv("IMG2IMU_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "cache" / "downloads" / "onnxruntime-web-9.9.9.tgz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        for name in (*(f"package/dist/{name}" for name in FILES), "package/../../evil"):
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
    lock = tmp_path / "downloads.lock"
    lock.write_text(f"{sha256_of(archive)}  {archive.name}\n")
    monkeypatch.setattr(webruntime, "LOCK", lock)
    return archive


def test_a_page_of_a_classifier(
    model: Path,
    windows: NDArray[np.float32],
    runtime: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, report = tmp_path / "page", tmp_path / "report.json"
    command = ["export", str(model), "--to", "web", "-o", str(folder)]
    assert main([*command, "--json", str(report)]) == 0
    printed = capsys.readouterr().out
    assert f"{folder / 'index.html'}: " in printed and "onnxruntime-web 9.9.9" in printed
    assert "same as PyTorch on 4 windows" in printed
    [file] = json.loads(report.read_text())["files"]
    assert file["size"] == sum(path.stat().st_size for path in folder.iterdir())

    page = json.loads((folder / "page.json").read_text())
    assert (page["labels"], page["samples"], page["sampling_rate"]) == (["strong", "weak"], 250, 50)
    assert page["sensors"] == [{"name": "accel", "unit": "g"}]
    classifier = Img2ImuClassifier.load(model)
    checked = np.fromfile(folder / page["windows"], "<f4").reshape(-1, 3, 250)
    np.testing.assert_array_equal(checked, classifier.check_windows_)
    [described] = page["models"]
    assert described["size"] == (folder / "model.onnx").stat().st_size
    np.testing.assert_allclose(
        described["probabilities"], classifier.predict_proba(checked), atol=1e-6
    )
    exported = ExportedClassifier(folder / "model.onnx")
    np.testing.assert_allclose(
        exported.predict_proba(windows), classifier.predict_proba(windows), atol=1e-4
    )
    assert page["pictures"] == {"file": "pictures.onnx", "views": 1, "height": 48, "width": 64}
    for name in FILES:
        assert (folder / name).read_text() == f"package/dist/{name}"
    assert not list(tmp_path.rglob("evil"))
    # Again over itself, but not over anything else.
    assert main(command) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".partial")] == []


def test_the_recording_gives_each_check_window_back() -> None:
    windows = np.random.default_rng(0).normal(size=(3, 6, 50)).astype(np.float32)[:, :3]
    playback = played(windows, 25.0)
    stream = WindowStream(WindowConfig(25.0, 2.0, overlap=0.9), playback.rate)
    found, start = stream.push(playback.time, playback.values)
    np.testing.assert_array_equal(np.concatenate([found, stream.finish()[0]]), windows)
    np.testing.assert_allclose(start, [0, 3, 6][: len(start)])


def test_a_recording_of_ones_own(
    model: Path, runtime: Path, tmp_path: Path, windows: NDArray[np.float32]
) -> None:
    rows = np.column_stack([np.arange(250) / 50, windows[0].T])
    np.savetxt(tmp_path / "walk.csv", rows, "%.6f", ",", header="time,x,y,z", comments="")
    command = ["export", str(model), "--to", "web", "-o", str(tmp_path / "page")]
    assert main([*command, "--recording", str(tmp_path / "walk.csv")]) == 0
    played = np.fromfile(tmp_path / "page" / "recording.f64", "<f8").reshape(-1, 4)
    np.testing.assert_allclose(played, rows, atol=1e-6)
    page = json.loads((tmp_path / "page" / "page.json").read_text())
    assert page["recording"]["rate"] == pytest.approx(50)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--to", "web"], "holds something else: give a folder of its own for the page"),
        (["--to", "web", "--form", "image", "-o", "{tmp}/o"], "--to web needs --form end-to-end"),
        (["--recording", "x.csv", "-o", "{tmp}/o"], "it needs --to web"),
        (["--to", "web", "--recording", "{tmp}/x.csv", "-o", "{tmp}/o"], "x.csv"),
    ],
)
def test_bad_input_leaves_nothing(
    model: Path,
    runtime: Path,
    tmp_path: Path,
    refused: Callable[..., str],
    options: list[str],
    sentence: str,
) -> None:
    filled = [option.format(tmp=tmp_path) for option in options]
    assert sentence in refused("export", model, *filled)
    assert not (tmp_path / "o").exists()


def test_an_archive_that_was_tampered_with_is_refused_and_removed(
    model: Path, runtime: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    content = bytearray(runtime.read_bytes())
    content[len(content) // 2] ^= 1
    runtime.write_bytes(content)
    said = refused("export", model, "--to", "web", "-o", tmp_path / "o")
    assert "has SHA-256" in said and "it was removed" in said
    assert not runtime.exists() and not (tmp_path / "o").exists()


def stand_in(folder: Path, script: str) -> str:
    """A PATH with nothing but an npm that runs a script."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    return f"{folder}:/bin:/usr/bin"


def test_npm_brings_the_archive(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(runtime, tmp_path / runtime.name)
    # npm pack --silent --pack-destination FOLDER PACKAGE@VERSION
    script = f'[ "$5" = onnxruntime-web@9.9.9 ] && cp {tmp_path / runtime.name} "$4"'
    monkeypatch.setenv("PATH", stand_in(tmp_path / "bin", script))
    assert webruntime.fetch_runtime() == runtime
    assert webruntime.runtime_package() == ("onnxruntime-web", "9.9.9")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo 'npm error 404' >&2; exit 1", "did not bring onnxruntime-web@9.9.9: npm error 404"),
        ("exit 0", "is the network there?"),
        (None, "which npm brings: install npm, or put the package's archive at"),
    ],
)
def test_without_npm_or_network(
    runtime: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    sentence: str,
) -> None:
    runtime.unlink()
    path = stand_in(tmp_path / "bin", script) if script else str(tmp_path / "nothing")
    monkeypatch.setenv("PATH", path)
    with pytest.raises(InputError, match=re.escape(sentence)):
        webruntime.fetch_runtime()
    assert [path.name for path in (cache_folder() / "downloads").glob("*.tgz")] == []


def test_the_lock_names_one_archive() -> None:
    digest, name = webruntime.LOCK.read_text().split()
    assert len(digest) == 64 and name.endswith(".tgz")
    assert "-".join(webruntime.runtime_package()) + ".tgz" == name
