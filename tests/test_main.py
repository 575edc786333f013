"""``img2imu`` as a process: what is said of errors that nobody could have asked to be avoided."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest

from img2imu import cli
from img2imu.augment import AugmentationError
from img2imu.convert import SignalError
from img2imu.errors import InputError


class OutOfMemoryError(RuntimeError):
    """As PyTorch's."""


def raises(error: BaseException, cause: BaseException | None = None) -> Callable[[object], None]:
    """A command that fails."""

    def run(_: object) -> None:
        raise error from cause

    return run


def refused(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, cause: BaseException | None = None
) -> int:
    """The exit code of a command that fails."""
    args = SimpleNamespace(run=raises(error, cause))
    parser = SimpleNamespace(parse_args=lambda words: args)
    monkeypatch.setattr(cli, "build_parser", lambda command: parser)
    return cli.main(["anything"])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("the file\nis no file"), "the file is no file"),
        (SignalError("too short"), "too short"),
        (AugmentationError("p must lie in [0, 1]"), "p must lie in [0, 1]"),
        (OSError(28, "No space left on device", "/full/x"), "/full/x: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(), "OSError"),
        (MemoryError(), "not enough memory"),
        (
            MemoryError("Unable to allocate 7 GiB for an array"),
            "not enough memory: Unable to allocate 7 GiB for an array",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has"),
            "not enough memory: CUDA out of memory",
        ),
        (
            RuntimeError("[enforce fail at alloc.cpp] DefaultCPUAllocator: can't allocate memory"),
            "not enough memory",
        ),
        (BrokenProcessPool("A process\nwas"), "a worker process was ended from outside, perhaps"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates"), r"'a\udcff' cannot be"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "start"), r"not utf-8: b'\xff'"),
    ],
)
def test_what_can_be_foreseen_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
) -> None:
    assert refused(monkeypatch, error) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith("img2imu: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        refused(monkeypatch, ZeroDivisionError("division by zero"))


@pytest.mark.parametrize(
    ("error", "cause"),
    [(KeyboardInterrupt(), None), (SystemError("returned a result"), KeyboardInterrupt())],
)
def test_an_interruption_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    cause: BaseException | None,
) -> None:
    assert refused(monkeypatch, error, cause) == 130
    assert capsys.readouterr() == ("", "")


def started(shell: str, *words: bytes | str, **environment: str) -> tuple[int, str]:
    """Exit code and complaints of the command, which is ``"$@"`` in a line of shell."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "img2imu", *words]
    done = subprocess.run(command, capture_output=True, env=variables)
    return done.returncode, done.stderr.decode()


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    full = started(f'ulimit -f 0; exec "$@" >{tmp_path}/full', "data", "list")
    assert full == (2, "img2imu: File too large\n")
    assert started('exec "$@" >&-', "data", "list") == (0, "")
    assert started('"$@" | true', "data", "list") == (0, "")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    code, said = started('exec "$@"', "data", "check", b"no\xff.csv", PYTHONIOENCODING="ascii")
    assert code == 2
    assert said.count("\n") == 1
    assert "no" in said


def test_output_that_knows_only_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    args = SimpleNamespace(run=lambda _: print("0.8 ± 0.1"))
    parser = SimpleNamespace(parse_args=lambda words: args)
    monkeypatch.setattr(cli, "build_parser", lambda command: parser)
    assert cli.main(["anything"]) == 0
    assert written.getvalue() == rb"0.8 \xb1 0.1" + b"\n"


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    """The libraries that take longest to import; help of all commands in one process each."""
    heavy = ("torch", "timm", "sklearn", "scipy", "pandas", "matplotlib", "onnx", "cv2", "kornia")
    code = (
        "import contextlib, io, sys\n"
        "from img2imu.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({[command, '--help'] if command else ['--help']!r})\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
