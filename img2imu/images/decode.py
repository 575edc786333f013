"""One image file to RGB pixels of a given size, at the least cost that keeps it antialiased."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import from_numpy
from torch.nn.functional import interpolate

Pixels = NDArray[np.uint8]

SCALES = (1, 2, 4)
"""Eighths at which a JPEG is decoded if that suffices. The inverse DCT of 3, 5, 6 and 7 eighths
has no SIMD code in libjpeg-turbo: it takes longer than that of the next of these, for less."""

MAX_PIXELS = 1 << 27
"""Of an image that is decoded in full: 400 MB. A larger one is a decompression bomb or a poster."""

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "DIB", "GIF", "TIFF", "WEBP", "JPEG2000", "AVIF")
"""What Pillow may take a file for, whatever its name. It knows others, of which some start a
program: PostScript is run."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets each EXIF orientation upright; from 5 on, width and height change places."""


class DecodeError(ValueError):
    """A file that cannot be decoded; the reason has no address or path, so that it is repeatable"""


def decode(data: bytes, width: int, height: int) -> Pixels:
    """Decode and resize one image.

    Plain JPEGs are decoded by libjpeg-turbo at the smallest of 1/8, 1/4, 1/2 and full size that is
    no smaller than the result; everything else (and what libjpeg-turbo has doubts about) by
    Pillow. EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8.
    The rest of the way is torch's antialiased bilinear filter, which equals that of Pillow and
    torchvision's ``Resize``.

    Parameters
    ----------
    data
        The content of an image file.
    width, height
        Of the result in pixels.

    Returns
    -------
    ndarray
        uint8 (height, width, 3), RGB.

    Raises
    ------
    DecodeError
        If the file is damaged, truncated, or no image at all.
    """
    pixels = _decode_jpeg(data, width, height)
    if pixels is None:
        pixels = _decode_any(data, width, height)
    return resize(pixels, width, height)


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Antialiased bilinear resize of uint8 (h, w, 3) to (height, width, 3)."""
    if pixels.shape[:2] == (height, width):
        return pixels
    batch = from_numpy(pixels).permute(2, 0, 1)[None]
    resized = interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _decode_jpeg(data: bytes, width: int, height: int) -> Pixels | None:
    """Pixels at least as large as asked where possible; None where Pillow must look."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        if _has_exif(data):
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                if _orientation(image) in UPRIGHT:
                    return None
        full_height, full_width, color, _ = simplejpeg.decode_jpeg_header(data)
        if color not in ("YCbCr", "Gray", "RGB") or full_height * full_width > MAX_PIXELS:
            return None
        for eighths in SCALES:
            scaled = -(-full_height * eighths // 8), -(-full_width * eighths // 8)
            if scaled[0] >= height and scaled[1] >= width:
                return simplejpeg.decode_jpeg(data, min_height=scaled[0], min_width=scaled[1])
        return simplejpeg.decode_jpeg(data)
    except (ValueError, OSError):  # damaged, or merely unusual: Pillow knows better
        return None


def _has_exif(data: bytes) -> bool:
    """Whether a segment before the scan of a JPEG is EXIF: far quicker than a search for it."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        if data[at + 1 : at + 2] == b"\xe1" and data[at + 4 : at + 10] == b"Exif\0\0":
            return True
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # Pillow's parser raises whatever broken metadata leads it to
        return 1


def _decode_any(data: bytes, width: int, height: int) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DecodeError(f"{image.width}x{image.height} pixels are too many to be decoded")
            orientation = _orientation(image)
            image.draft(None, (height, width) if orientation >= 5 else (width, height))
            rgb = _to_rgb(image)
        if orientation in UPRIGHT:
            rgb = rgb.transpose(UPRIGHT[orientation])
        return np.array(rgb)
    except UnidentifiedImageError:
        raise DecodeError("not an image, or of an unknown format") from None
    except Exception as error:  # the decoders of Pillow raise errors of a dozen types
        reason = re.sub(r"<.*?>", "data", str(error)) or type(error).__name__
        raise DecodeError(reason) from None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow as RGB."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scale
        grey: NDArray[Any] = np.asarray(image).clip(0, 65535) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    if image.mode == "F":
        raise DecodeError("floating-point pixels have no defined white")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert("RGB")
