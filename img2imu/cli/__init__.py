"""The command line: ``img2imu COMMAND``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from .. import __version__
from ..augment import AugmentationError
from ..convert import SignalError
from ..errors import InputError

COMMANDS = (
    "quickstart",
    "data",
    "convert",
    "pack",
    "pretrain",
    "probe",
    "finetune",
    "study",
    "predict",
    "export",
    "bench",
)
"""In the order of the work; each is a module here with ``register(subparsers)``."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = _Parser(
        prog="img2imu",
        description="Carries what vision models know over to inertial sensing.",
    )
    parser.add_argument("--version", action="version", version=f"img2imu {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f".{name}", __name__).register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 2 for bad input, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    try:
        args.run(args)
        return 0
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (AugmentationError, InputError, SignalError, OSError) as error:
        # An OSError names its file: no permission, no space, no such folder.
        print(f"img2imu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
