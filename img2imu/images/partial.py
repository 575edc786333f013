"""A store on its way: pixels so far, and a journal from which a killed run goes on."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import locked, writing
from .decode import Pixels
from .sources import Collection
from .store import IMAGES, LABELS, MANIFEST, whole_blocks

JOURNAL = "journal.jsonl"
LOCK = ".lock"
"""What :func:`~img2imu.files.locked` leaves in a folder."""

Skipped = dict[str, Any]


class PartialStore:
    """The folder ``STORE.partial``.

    The journal's first line is the header of the manifest to be; one line for each complete block
    follows, written when the block's pixels are safely on disk.

    Parameters
    ----------
    store
        Folder it becomes.
    header
        Entries of the manifest that are known beforehand; a journal with others is not resumed.
    image_bytes
        Size of one image.

    Raises
    ------
    InputError
        If another process is packing into it.
    """

    def __init__(self, store: Path, header: dict[str, Any], image_bytes: int) -> None:
        self._store, self._header, self._image_bytes = store, header, image_bytes
        self._folder = store.with_name(store.name + ".partial")
        self._folder.mkdir(exist_ok=True)
        with ExitStack() as held:
            held.enter_context(locked(self._folder))
            self._pixels = held.enter_context((self._folder / IMAGES).open("ab"))
            self._held = held.pop_all()
        self._entries: list[dict[str, Any]] = []
        self._ours = False
        self._begin_block()

    def __enter__(self) -> PartialStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._held.close()
        if error and self._ours and not self._entries:  # nothing to go on from
            shutil.rmtree(self._folder)

    @property
    def blocks(self) -> int:
        """How many are complete."""
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of the complete blocks."""
        return sum(entry["images"] for entry in self._entries) * self._image_bytes

    def resume(self, progress: Callable[[str, int], Any]) -> None:
        """Take over the complete blocks of a run before this one, as far as their hashes agree.

        Raises
        ------
        InputError
            If that run had another source or other settings.
        """
        header, *entries = _read_journal(self._folder / JOURNAL) or [self._header]
        if header != self._header:
            raise InputError(
                f"{self._folder} was begun with another source, size or toolkit version: repeat "
                "that command, or remove the folder"
            )
        self._ours = True
        bar = progress("verifying what is there", sum(entry["images"] for entry in entries))
        blocks = [(entry["images"], entry["sha256"]) for entry in entries]
        whole = whole_blocks(self._folder / IMAGES, blocks, self._image_bytes, bar.update)
        bar.close()
        self._entries = entries[:whole]
        self._pixels.truncate(self.size)
        lines = [json.dumps(line) + "\n" for line in (self._header, *self._entries)]
        with writing(self._folder / JOURNAL) as journal:
            journal.write_text("".join(lines), encoding="utf-8")

    def append(self, pixels: Pixels, skipped: list[Skipped]) -> None:
        """Write images, uint8 (n, height, width, 3), to the block that is open."""
        self._pixels.write(pixels.data)
        self._digest.update(pixels.data)
        self._images += len(pixels)
        self._skipped += skipped

    def complete_block(self) -> None:
        """Put the open block on disk and into the journal, and open the next."""
        self._pixels.flush()
        os.fsync(self._pixels.fileno())
        entry = {
            "images": self._images,
            "sha256": self._digest.hexdigest(),
            "skipped": self._skipped,
        }
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._entries.append(entry)
        self._begin_block()

    def finish(self, source: Collection) -> None:
        """Write labels and manifest, and give the folder its name.

        Raises
        ------
        InputError
            If there is not one image; the folder is removed.
        """
        skipped = [one for entry in self._entries for one in entry["skipped"]]
        if len(skipped) == len(source):
            self._entries.clear()  # with which the folder goes
            raise InputError(
                f"none of the {len(source)} images of {source.name} could be decoded; the first, "
                f"{skipped[0]['name']}: {skipped[0]['reason']}"
            )
        labels = io.BytesIO()
        np.save(labels, np.delete(source.labels, [one["index"] for one in skipped]))
        manifest = {
            **self._header,
            "count": len(source) - len(skipped),
            "classes": source.classes,
            "labels_sha256": hashlib.sha256(labels.getvalue()).hexdigest(),
            "blocks": [
                {key: entry[key] for key in ("images", "sha256")} for entry in self._entries
            ],
            "skipped": skipped,
        }
        with writing(self._folder / LABELS) as file:
            file.write_bytes(labels.getvalue())
        with writing(self._folder / MANIFEST) as file:
            file.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        self._pixels.close()
        self._folder.rename(self._store)
        # Only now: without its journal a partial store cannot be resumed, without its lock it is
        # anybody's.
        for name in (JOURNAL, LOCK):
            (self._store / name).unlink()

    def _begin_block(self) -> None:
        self._digest = hashlib.sha256()
        self._images = 0
        self._skipped: list[Skipped] = []


def _read_journal(path: Path) -> list[dict[str, Any]]:
    """Header and complete lines; the last may have been cut off with the process that wrote it."""
    entries: list[dict[str, Any]] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entries and not _is_entry(entry):
                break
            entries.append(entry)
    except (FileNotFoundError, ValueError, RecursionError):
        pass
    return entries


def _is_entry(entry: Any) -> bool:
    """Whether a line tells of a block as :meth:`PartialStore.complete_block` does."""
    try:
        return (
            type(entry["images"]) is int
            and entry["images"] >= 0
            and isinstance(entry["sha256"], str)
            and all(
                isinstance(one["index"], int) and isinstance(one["name"] + one["reason"], str)
                for one in entry["skipped"]
            )
        )
    except (KeyError, TypeError):
        return False
