"""What tells whether pre-training goes well: nearest neighbours, collapse, and the logs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..models import AnyBackbone

NEIGHBOURS = 20
TEMPERATURE = 0.07
COLLAPSED = 0.1
"""Spread of the embeddings, 1 when even, below which they are called collapsed."""

Number = float | int


def knn_accuracy(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    labels: Tensor,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> float:
    """Share of queries whose label wins the vote of their nearest neighbours.

    Each neighbour votes with exp(cosine / temperature) (Wu et al. 2018, arXiv 1805.01978).

    Parameters
    ----------
    bank, queries
        Features (n, dim); they are compared by cosine.
    bank_labels, labels
        (n,) from 0.
    neighbours
        That vote.
    temperature
        Of the votes.
    """
    similarity = F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T
    nearest, rows = similarity.topk(min(neighbours, len(bank)), dim=1)
    votes = torch.zeros(len(queries), int(bank_labels.max()) + 1).to(nearest)
    votes.scatter_add_(1, bank_labels[rows], (nearest / temperature).exp())
    return float((votes.argmax(1) == labels).float().mean())


@torch.inference_mode()
def encode(
    encoder: AnyBackbone,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    normalise: nn.Module,
    device: torch.device,
    batch: int = 512,
) -> Tensor:
    """Features (rows, dim) of the last stage, without augmentation and in evaluation mode."""
    training = encoder.training
    encoder.eval()
    parts = []
    for chosen in np.array_split(rows, max(1, -(-len(rows) // batch))):
        pixels = torch.from_numpy(images[chosen]).to(device).permute(0, 3, 1, 2)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(encoder(normalise(pixels))[-1].float())
    encoder.train(training)
    return torch.cat(parts)


def collapse_warning(measures: Mapping[str, Number]) -> str | None:
    """A sentence if the embeddings of different images have become nearly one."""
    spread = measures.get("spread")
    if spread is None or spread > COLLAPSED:
        return None
    return (
        f"the embeddings collapse: their spread is {spread:.3f} of an even distribution's 1; "
        "lower lr, or use a policy with stronger augmentations"
    )


class CsvLog:
    """Rows of numbers in a CSV file that survives an interrupted run.

    Parameters
    ----------
    path
        Of the file; rows in it after `step` are of work that was lost, and are dropped.
    step
        At which the run goes on.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if step and path.is_file():
            with path.open(newline="", encoding="utf-8") as stream:
                rows = [row for row in csv.DictReader(stream) if None not in row.values()]
            self.rows = [row for row in rows if int(row["step"]) <= step]
        if self.rows:
            # A kill between truncating and writing would take the whole log.
            partial = path.with_name(path.name + ".partial")
            _write(partial, "w", self.rows, header=True)
            partial.replace(path)
        else:
            path.unlink(missing_ok=True)

    def append(self, row: Mapping[str, Number]) -> None:
        """Add one row; `row` has ``step`` and always the same names."""
        _write(self.path, "a", [row], header=not self.path.exists())


def _write(path: Path, mode: str, rows: Sequence[Mapping[str, Any]], header: bool) -> None:
    with path.open(mode, newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        if header:
            writer.writeheader()
        writer.writerows({k: _short(v) for k, v in row.items()} for row in rows)


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a log, by name."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


class TensorBoardLog:
    """The same rows as event files, where the package ``tensorboard`` is installed."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(folder, purge_step=step)

    def append(self, row: Mapping[str, Number]) -> None:
        """Add one row; each name but ``step`` becomes a curve."""
        if self._writer is not None:
            for name, value in row.items():
                if name != "step" and math.isfinite(value):
                    self._writer.add_scalar(name, value, int(row["step"]))
            self._writer.flush()


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
