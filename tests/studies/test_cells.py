"""Cells: computed once, kept whole, in any number of processes."""

import json
import tempfile
from functools import partial

import pytest

from img2imu.errors import InputError
from img2imu.studies.cells import Cell, run_cells


def count(log, name, value):
    """A cell's work that leaves a trace."""
    with (log / name).open("a") as stream:
        stream.write("x")
    if value is None:
        raise InputError(f"no value for {name}")
    return {"value": value}


def calls(log):
    return {path.name: len(path.read_text()) for path in log.iterdir()}


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def cells_of(log, **values):
    return [
        Cell(name, {"value": value}, partial(count, log, name, value))
        for name, value in values.items()
    ]


def test_a_repeated_run_computes_nothing(tmp_path, log):
    cells = cells_of(log, a=1, b=2, c=3)
    first = run_cells(tmp_path / "cells", cells, 1)
    assert list(first) == ["a", "b", "c"]
    assert [outcome.result["value"] for outcome in first.values()] == [1, 2, 3]
    assert run_cells(tmp_path / "cells", cells, 1) == first
    assert calls(log) == {"a": 1, "b": 1, "c": 1}


def test_worker_processes_do_the_same(tmp_path, log):
    """Workers cannot import a test, so the trace here is a folder for each call."""
    cells = [Cell(name, {}, partial(tempfile.mkdtemp, dir=log)) for name in "abc"]
    first = run_cells(tmp_path / "cells", cells, 2)
    assert sorted(outcome.result for outcome in first.values()) == sorted(map(str, log.iterdir()))
    assert run_cells(tmp_path / "cells", cells, 2) == first
    assert len(list(log.iterdir())) == 3


def test_a_killed_run_goes_on(tmp_path, log):
    folder, cells = tmp_path / "cells", cells_of(log, a=1, b=2, c=3, d=4)
    run_cells(folder, cells, 1)
    (folder / "b.json").unlink()
    (folder / "c.json").write_text((folder / "c.json").read_text()[:40])
    (folder / "d.json.partial").write_text("{")
    outcomes = run_cells(folder, cells, 1)
    assert calls(log) == {"a": 1, "b": 2, "c": 2, "d": 1}
    assert outcomes["c"].result == {"value": 3}


def test_changed_settings_are_computed_anew(tmp_path, log, monkeypatch):
    folder = tmp_path / "cells"
    run_cells(folder, cells_of(log, a=1, b=2), 1)
    outcomes = run_cells(folder, cells_of(log, a=1, b=5), 1)
    assert calls(log) == {"a": 1, "b": 2}
    assert outcomes["b"].result == {"value": 5}
    monkeypatch.setattr("img2imu.studies.cells.code_hash", lambda *modules: "other code")
    run_cells(folder, cells_of(log, a=1, b=5), 1)
    assert calls(log) == {"a": 2, "b": 3}


def test_a_cell_that_cannot_be_computed_has_a_reason_and_is_tried_again(tmp_path, log):
    folder, cells = tmp_path / "cells", cells_of(log, a=None, b=2)
    for repetition in (1, 2):
        outcomes = run_cells(folder, cells, 1)
        assert outcomes["a"].reason == "no value for a" and outcomes["a"].result is None
        assert outcomes["b"].result == {"value": 2}
        assert calls(log) == {"a": repetition, "b": 1}
    assert sorted(path.name for path in folder.iterdir()) == ["b.json"]


def test_settings_stand_beside_the_result(tmp_path, log):
    run_cells(tmp_path, cells_of(log, a=1), 1)
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["settings"] == {"value": 1} and saved["result"] == {"value": 1}


class Bar:
    """A progress bar that remembers."""

    def __init__(self, description, total):
        self.total, self.done = total, 0

    def update(self, count=1):
        self.done += count

    def set_postfix_str(self, text):
        self.last = text

    def close(self):
        self.closed = True


def test_progress_counts_what_is_left(tmp_path, log):
    bars = []
    cells = cells_of(log, a=1, b=2, c=3)
    for part in (cells[:2], cells):
        run_cells(tmp_path, part, 1, lambda *a: bars.append(Bar(*a)) or bars[-1])
    assert [(bar.total, bar.done, bar.closed) for bar in bars] == [(2, 2, True), (1, 1, True)]


def test_jobs_must_be_positive(tmp_path):
    with pytest.raises(InputError, match="jobs"):
        run_cells(tmp_path, [], 0)
