"""Pictures to files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from img2imu.convert import (
    SignalError,
    SpectrogramConfig,
    WaveformConfig,
    gallery,
    save_gallery,
    save_images,
    save_npz,
    to_images,
)

from .signals import movement

VIEWS = (SpectrogramConfig(width=20, height=10), WaveformConfig(width=20, height=10))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_png_holds_the_picture(tmp_path, dtype):
    windows = movement(2, 250)
    paths = save_images(tmp_path / "new", to_images(windows, VIEWS[0], dtype=dtype), ["a", "b"])
    assert [path.name for path in paths] == ["a.png", "b.png"]
    expected = to_images(windows, VIEWS[0], dtype="uint8").transpose(0, 2, 3, 1)
    for path, picture in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)


def test_png_puts_views_side_by_side(tmp_path):
    images = to_images(movement(1, 250), VIEWS, dtype="uint8")
    (path,) = save_images(tmp_path, images, ["both"])
    drawn = np.asarray(Image.open(path))
    assert drawn.shape == (10, 40, 3)
    np.testing.assert_array_equal(drawn[:, 20:], images[0, 1].transpose(1, 2, 0))


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", "../b"], ["a", ""]])
def test_unfit_names_are_refused(tmp_path, names):
    with pytest.raises(SignalError):
        save_images(tmp_path, np.zeros((2, 3, 4, 4)), names)
    assert not list(tmp_path.iterdir())


def test_npz_holds_pictures_and_arrays(tmp_path, monkeypatch):
    windows, drawn = movement(5, 250), []
    monkeypatch.setattr(gallery, "BATCH", 2)
    y = np.array(["walk", "sit", "run", "sit", ""])
    save_npz(tmp_path / "images.npz", windows, VIEWS, {"y": y}, drawn.append)
    assert drawn == [2, 2, 1]
    images = to_images(windows, VIEWS, dtype="uint8")
    with np.load(tmp_path / "images.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["images"], images)
        assert stored["y"].tolist() == y.tolist()


def test_npz_with_objects_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "images.npz"
    path.write_bytes(b"old")
    with pytest.raises(SignalError, match="y holds Python objects"):
        save_npz(path, movement(1, 250), VIEWS, {"y": np.array([None])})
    assert [file.name for file in tmp_path.iterdir()] == ["images.npz"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("views", [VIEWS, VIEWS[0]])
def test_gallery_is_a_sheet_with_more_rows_for_more_classes(tmp_path, views):
    windows = movement(6, 250)
    heights = []
    for classes in (1, 3):
        path = tmp_path / f"{classes}.png"
        save_gallery(path, windows, [f"class {index % classes}" for index in range(6)], views, 1)
        sheet = np.asarray(Image.open(path).convert("RGB"))
        # Pictures are coloured; paper, axes and text are grey.
        coloured = np.ptp(sheet.astype(int), axis=-1) > 30
        assert coloured.mean() > 0.02
        heights.append(sheet.shape[0])
    assert heights[1] > 2 * heights[0]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("count", [0, 2])
def test_gallery_needs_a_label_for_each_window(tmp_path, count):
    with pytest.raises(SignalError, match="label"):
        save_gallery(tmp_path / "sheet.png", movement(count, 250), ["one"] * (count // 2), VIEWS)
