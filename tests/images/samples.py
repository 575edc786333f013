"""Small collections of images, in every form that packing takes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 32, 24

COLORS = {"ash": (200, 40, 30), "birch": (30, 180, 60), "cedar": (20, 50, 210)}


def scene(seed: int, width: int = 100, height: int = 75) -> Image.Image:
    """Smooth colours, so that JPEG keeps them."""
    coarse = np.random.default_rng(seed).integers(64, 192, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 95} | options if form == "JPEG" else options))
    return stream.getvalue()


def collection(per_class: int = 4) -> dict[str, bytes]:
    """Content of each file by its path ``class/number.jpg``."""
    return {
        f"{name}/{number}.jpg": encoded(scene(10 * index + number))
        for index, name in enumerate(COLORS)
        for number in range(per_class)
    }


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def tar(path: Path, files: dict[str, bytes], mode: Any = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_of_tars(path: Path, files: dict[str, bytes]) -> Path:
    """As ImageNet's own: one tar for each class, in the order of a file system, not sorted."""
    inner = {}
    for name in reversed(COLORS):
        members = {f.split("/")[1]: c for f, c in files.items() if f.startswith(f"{name}/")}
        inner[f"{name}.tar"] = tar(path.with_name(f"{name}.tar"), members).read_bytes()
        path.with_name(f"{name}.tar").unlink()
    return tar(path, inner)


def shard(folder: Path, files: list[bytes], labels: list[int], classes: list[str]) -> Path:
    """A shard; equal files are stored once."""
    unique = list(dict.fromkeys(files))
    places = dict(zip(unique, np.cumsum([0, *map(len, unique)])[:-1], strict=True))
    folder.mkdir()
    (folder / "part.bin").write_bytes(b"".join(unique))
    np.savez(
        folder / "part.npz",
        offsets=np.array([places[file] for file in files], np.int64),
        lengths=np.array([len(file) for file in files], np.int32),
        labels=np.array(labels, np.int16),
        names=np.array([f"{i}.jpg".encode() for i in range(len(files))]),
    )
    (folder / "classes.json").write_text(json.dumps({"classes": classes, "names": {}}))
    return folder


def reference(data: bytes, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """What Pillow alone makes of a file: full decoding, antialiased bilinear resize."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
