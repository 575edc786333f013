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

    assert main(command) == 0
    assert "packed before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "12"], "--size takes"),
        (["--workers", "0"], "workers must be"),
        ([], "not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(options, message, tmp_path, capsys):
    command = ["pack", str(tmp_path / "nothing"), str(tmp_path / "store"), *options]
    assert main(command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []
