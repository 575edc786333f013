"""``img2imu pack``: what it prints, writes and refuses."""

from __future__ import annotations

import json

import pytest

from img2imu.cli import main
from img2imu.images.store import ImageStore
from tests.images.samples import collection, folder


def test_pack(tmp_path, capsys):
    root = folder(tmp_path / "root", collection() | {"ash/9.jpg": b"x"})
    command = ["pack", str(root), str(tmp_path / "store"), "--size", "32x24", "--workers", "1"]
    assert main([*command, "--json", str(tmp_path / "report.json")]) == 0
    printed = capsys.readouterr().out
    assert "skipped ash/9.jpg: not an image" in printed
    assert "12 images of 3 classes at 32x24, 1 skipped" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["count"], report["packed"], report["size"]) == (12, 13, 12 * 32 * 24 * 3)
    assert report["images_per_second"] > 0
    assert ImageStore.open(tmp_path / "store").images.shape == (12, 24, 32, 3)

    assert "without a label" not in printed and report["unlabelled"] == 0

    assert main(command) == 0
    assert "packed before" in capsys.readouterr().out


def test_stray_images_are_told(tmp_path, capsys):
    """Beside class folders they have no label, which training must know."""
    stray = collection()["ash/0.jpg"]
    root = folder(tmp_path / "root", collection() | {"stray.jpg": stray, "other.jpg": stray})
    command = ["pack", str(root), str(tmp_path / "store"), "--size", "32x24"]
    for _ in ("packed now", "packed before"):
        assert main([*command, "--json", str(tmp_path / "report.json")]) == 0
        assert "2 of them in no class: without a label" in capsys.readouterr().out
        assert json.loads((tmp_path / "report.json").read_text())["unlabelled"] == 2
    assert (ImageStore.open(tmp_path / "store").labels == -1).sum() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "12"], "--size takes"),
        (["--workers", "0"], "workers must lie in"),
        (["--workers", "1000000000"], "workers must lie in"),
        (["--size", "1000000x1"], "1 to 4096 pixels"),
        ([], "not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(options, message, tmp_path, capsys):
    command = ["pack", str(tmp_path / "nothing"), str(tmp_path / "store"), *options]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []
