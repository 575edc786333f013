"""Finds out what kind of source a path is."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ..errors import InputError
from .files import ZipImages, open_folder, open_tar
from .parquet import ParquetImages, training_tables
from .shards import Shards, index_of
from .sources import SUFFIXES, Collection


def open_images(path: str | Path) -> Collection:
    """Find out what kind of source a path is, and list its images.

    - a folder ``class/image.jpg`` as ``ImageFolder`` takes it, also with tar files in the place of
      class folders; images that lie directly in the folder have no label;
    - a tar file, or ImageNet's tar of one tar for each class; a zip file;
    - Parquet files of Hugging Face data sets: one, a folder of them, or a folder with ``data``;
    - shards ``NAME.bin`` beside ``NAME.npz``, one or a folder of them.

    Where a folder or Parquet files named ``train`` stand among others, only these are taken.
    Links are followed where they lead to files.

    Raises
    ------
    InputError
        If the path does not exist, is damaged, or holds no images.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist")
    source = _open(path)
    if not len(source):
        raise InputError(f"{path} holds no images ({', '.join(SUFFIXES)})")
    return source


def _open(path: Path) -> Collection:
    if path.is_dir():
        if shards := sorted(file for file in path.glob("*.bin") if index_of(file).is_file()):
            return Shards(path, shards)
        if tables := training_tables(path):
            return ParquetImages(path, tables)
        return open_folder(path)
    if path.suffix == ".parquet":
        return ParquetImages(path, [path])
    if path.suffix == ".bin" and index_of(path).is_file():
        return Shards(path, [path])
    if zipfile.is_zipfile(path):
        return ZipImages(path)
    return open_tar(path)
