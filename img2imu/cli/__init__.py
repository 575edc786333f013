"""The command line: ``img2imu COMMAND``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from importlib import import_module
from typing import NoReturn

from .. import __version__

COMMANDS = (
    "quickstart",
    "data",
    "label",
    "convert",
    "merge",
    "pack",
    "pretrain",
    "probe",
    "fit",
    "finetune",
    "study",
    "predict",
    "export",
    "bench",
    "cache",
)
"""In the order of the work; each is a module here with ``register(subparsers)``."""


SHOWN = 140
"""Letters of each end of a sentence that are printed at most."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command, or of no more than `command` if there is such a one."""
    parser = _Parser(
        prog="img2imu",
        description="Carries what vision models know over to inertial sensing.",
        add_help=False,
    )
    # Whoever reads the help has found it: so much fits a screen.
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("-V", "--version", action="version", version=f"img2imu {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (command,) if command in COMMANDS else COMMANDS:
        import_module(f".{name}", __name__).register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    words = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files need not be text, nor has every terminal a ±.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = build_parser(next(iter(words), None)).parse_args(words)
        args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; nothing more can be said to it.
        _close_output()
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if any(isinstance(each, KeyboardInterrupt) for each in _causes(error)):
            return 130
        sentence = _sentence(error)
        if sentence is None:
            raise
        print(f"img2imu: {_in_one_line(sentence)}", file=sys.stderr)
        _close_output()
        return 2


def _sentence(error: Exception) -> str | None:
    """What to say of an error that is no fault of the program; None of one that is."""
    from ..augment import AugmentationError
    from ..convert import SignalError
    from ..errors import InputError

    text = str(error)
    if isinstance(error, InputError | SignalError | AugmentationError):
        return text
    if isinstance(error, OSError):
        # A full disk, a missing permission: most name their file.
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}" if error.strerror else text or type(error).__name__
    # PyTorch's errors are RuntimeErrors, and it need not be imported to tell them.
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__:
        return f"not enough memory: {text.split('. ')[0]}" if text else "not enough memory"
    if isinstance(error, RuntimeError) and "can't allocate memory" in text:
        return "not enough memory"
    if isinstance(error, BrokenExecutor):
        return "a worker process was ended from outside, perhaps for want of memory"
    if isinstance(error, RecursionError):
        return "something in the input is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!r} cannot be written as {error.encoding}"
    if isinstance(error, UnicodeDecodeError):
        return f"text is wanted, but this is not {error.encoding}: {error.object[:40]!r}"
    return None


def _in_one_line(sentence: str) -> str:
    """The sentence without line ends, and without the middle of what nobody would read."""
    line = " ".join(sentence.split())
    return line if len(line) <= 2 * SHOWN else f"{line[:SHOWN]} … {line[-SHOWN:]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was raised from or while handling."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _close_output() -> None:
    """Let nothing be written at exit to where it could not be written before."""
    if sys.stdout is None:  # closed before we began
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
