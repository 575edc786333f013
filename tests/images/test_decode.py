"""Decoding: every mode and orientation, beside what Pillow and arithmetic say."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from img2imu.images.decode import DecodeError, decode, resize
from tests.images.samples import HEIGHT, WIDTH, encoded, reference, scene


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("size", [(31, 17), (64, 48), (128, 96), (333, 90), (40, 500)])
def test_resize_is_pillows_antialiased_bilinear(size):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    got = resize(noise, WIDTH, HEIGHT)
    assert np.abs(got.astype(int) - np.asarray(expected).astype(int)).max() <= 1


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(100, 75), (500, 375), (1001, 64), (20, 15)])
def test_jpeg(size, subsampling):
    data = encoded(scene(1, *size), subsampling=subsampling)
    assert difference(decode(data, WIDTH, HEIGHT), reference(data)) < 2


def test_progressive_and_grey_jpegs():
    progressive = encoded(scene(2), progressive=True)
    assert difference(decode(progressive, WIDTH, HEIGHT), reference(progressive)) < 2
    grey = encoded(scene(3).convert("L"))
    got = decode(grey, WIDTH, HEIGHT)
    assert difference(got, reference(grey)) < 2
    assert (got[..., 0] == got[..., 2]).all()


def test_cmyk_jpeg():
    data = encoded(Image.new("CMYK", (100, 75), (255, 0, 0, 0)))  # full cyan, nothing else
    assert difference(decode(data, WIDTH, HEIGHT), np.array([0, 255, 255])) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(orientation, form):
    image = scene(4, 60, 400)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = np.asarray(upright.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    assert difference(decode(data, WIDTH, HEIGHT), expected) < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_counts_as_none():
    data = encoded(scene(5), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01")
    assert difference(decode(data, WIDTH, HEIGHT), reference(data)) < 2


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (80, 60), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 60))
    for form in (image, image.quantize(8)):
        got = decode(encoded(form, "PNG"), WIDTH, HEIGHT)
        assert difference(got[:, :14], np.array([255, 255, 255])) < 2
        assert difference(got[:, 18:], np.array([255, 0, 0])) < 2


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, WIDTH).astype(np.uint16), (HEIGHT, 1))
    got = decode(encoded(Image.fromarray(ramp), "PNG"), WIDTH, HEIGHT)
    np.testing.assert_array_equal(got, np.repeat((ramp // 256)[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB"])
def test_other_modes(mode):
    data = encoded(scene(6).convert(mode), "PNG")
    assert difference(decode(data, WIDTH, HEIGHT), reference(data)) < 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_truncated(form):
    data = encoded(scene(7, 400, 300), form)
    with pytest.raises(DecodeError):
        decode(data[: len(data) // 2], WIDTH, HEIGHT)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"<html>not found</html>"])
def test_no_image(data):
    with pytest.raises(DecodeError, match=r"^not an image, or of an unknown format$"):
        decode(data, WIDTH, HEIGHT)


def test_reasons_are_repeatable():
    data = encoded(scene(8), "TIFF")[:300]
    reasons = set()
    for _ in range(3):
        with pytest.raises(DecodeError) as caught:
            decode(bytes(bytearray(data)), WIDTH, HEIGHT)
        reasons.add(str(caught.value))
    assert len(reasons) == 1
    assert "0x" not in reasons.pop()


def test_photographs_look_as_torchvision_makes_them(shared_data):
    photos = sorted((shared_data / "photos").rglob("*.jpg"))
    if not photos:
        pytest.skip(f"no photos in {shared_data}")
    each = [
        difference(decode(data, 128, 96), reference(data, 128, 96))
        for data in (photo.read_bytes() for photo in photos)
    ]
    assert np.mean(each) < 2.5
    assert max(each) < 6


def test_postscript_is_not_run():
    """Pillow would start Ghostscript, whatever the file is called."""
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, "EPS")
    with pytest.raises(DecodeError, match="not an image"):
        decode(stream.getvalue(), 8, 6)


def test_a_picture_of_absurd_size_is_not_decoded():
    """A few kilobytes of PNG whose header promises 150 million pixels."""
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = (15_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(DecodeError, match="too many"):
        decode(bytes(data), 8, 6)
