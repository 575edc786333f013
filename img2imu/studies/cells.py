"""The cells of a study: computed in parallel processes, each kept on disk once it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..convert import SignalError
from ..errors import InputError
from ..hashing import code_hash, content_hash
from ..progress import Progress, silent
from ..settings import read_sealed, write_sealed

FEW_SHOT = (
    "img2imu.augment",
    "img2imu.convert",
    "img2imu.fewshot",
    "img2imu.models",
    "img2imu.recordings.splits",
)
"""What computes a few-shot score."""


@dataclass(frozen=True)
class Cell:
    """One result of a study.

    Parameters
    ----------
    name
        Of its file, unique in a study, such as ``exercise--random-2d``.
    settings
        Everything the result depends on, as JSON values.
    compute
        Returns the result as JSON values. It is called in a worker process and must pickle: a
        ``functools.partial`` of a module's function.
    code
        Modules and packages that compute it.
    """

    name: str
    settings: Mapping[str, Any]
    compute: Callable[[], Any]
    code: tuple[str, ...] = FEW_SHOT

    @property
    def key(self) -> str:
        """SHA-256 over the settings and the code that computes."""
        return content_hash(code_hash(*self.code), dict(self.settings))


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its result, or in one sentence why there is none."""

    result: Any = None
    reason: str = ""


def run_cells(
    folder: Path, cells: Sequence[Cell], jobs: int | None = None, progress: Progress = silent
) -> dict[str, Outcome]:
    """Compute the cells that `folder` does not hold yet under the same settings.

    Parameters
    ----------
    folder
        Gets one JSON file for each cell, written whole by the process that computed it.
    cells
        In the order in which they start.
    jobs
        Worker processes of one thread each; None takes all cores, 1 stays in this process.
    progress
        Opens a progress bar over the cells.

    Returns
    -------
    dict
        By name, in the order of `cells`. A cell that raised :class:`InputError` has a reason
        instead of a result; it is not kept, and tried again next time.

    Raises
    ------
    InputError
        If `jobs` is below 1 or a worker was killed, as it is when the memory is full.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, not {jobs}")
    folder.mkdir(parents=True, exist_ok=True)
    done = {cell.name: kept for cell in cells if (kept := _kept(folder, cell))}
    waiting = [cell for cell in cells if cell.name not in done]
    bar = progress(f"cells ({len(done)} kept)" if done else "cells", len(waiting))
    for name, outcome in _computed(folder, waiting, jobs):
        done[name] = outcome
        bar.set_postfix_str(name)
        bar.update(1)
    bar.close()
    return {cell.name: done[cell.name] for cell in cells}


def _kept(folder: Path, cell: Cell) -> Outcome | None:
    """The result on disk; None where it is missing, damaged or of other settings."""
    try:
        saved = read_sealed(folder / f"{cell.name}.json")
        return Outcome(saved["result"]) if saved["key"] == cell.key else None
    except (InputError, OSError, KeyError):
        return None


def _computed(
    folder: Path, cells: Sequence[Cell], jobs: int | None
) -> Iterable[tuple[str, Outcome]]:
    """Compute the cells, each handed on as soon as it is done."""
    from joblib import Parallel, cpu_count, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    workers = min(jobs or cpu_count(), len(cells))
    if workers <= 1:
        yield from (_compute(folder, cell) for cell in cells)
        return
    try:
        with parallel_config("loky", inner_max_num_threads=1):
            yield from Parallel(workers, return_as="generator_unordered", batch_size=1)(
                delayed(_compute)(folder, cell) for cell in cells
            )
    except TerminatedWorkerError:
        raise InputError(
            "a worker process was killed, probably because the memory is full: what is done is "
            "kept, repeat the command with fewer --jobs"
        ) from None


def _compute(folder: Path, cell: Cell) -> tuple[str, Outcome]:
    began = time.perf_counter()
    try:
        result = cell.compute()
    except (InputError, SignalError) as error:
        return cell.name, Outcome(reason=str(error))
    saved = {
        "key": cell.key,
        "settings": cell.settings,
        "seconds": round(time.perf_counter() - began, 2),
        "result": result,
    }
    write_sealed(folder / f"{cell.name}.json", saved)
    return cell.name, Outcome(result)
