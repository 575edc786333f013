"""How settings become options, options that several commands share, and their progress bars."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from ..errors import InputError
from ..progress import ProgressLines

if TYPE_CHECKING:
    from ..models import EncoderConfig
    from ..recordings import Subjects, Windows


def add_settings(
    parser: Any,
    kind: type,
    names: Sequence[str] | None = None,
    *,
    shown: object | None = None,
    helps: dict[str, str] | None = None,
) -> None:
    """One option for each field of a settings class; an option not given leaves no trace.

    Numbers, choices and several of either are told from the field's type. A field that may be None
    says by what word in its metadata: ``field(default=10, metadata={"none": "all"})``.

    Parameters
    ----------
    parser
        A parser or a group of one.
    kind
        A dataclass whose docstring describes its fields.
    names
        Of the fields wanted; None takes all that are plain.
    shown
        Settings whose values the help shows as defaults; None shows the class' own, and False
        shows none.
    helps
        What the help says instead of the docstring's first clause.
    """
    hints, described = get_type_hints(kind), _descriptions(kind) | (helps or {})
    known = {option for action in parser._actions for option in action.option_strings}
    for each in fields(kind):
        option = "--" + each.name.replace("_", "-")
        if (names is not None and each.name not in names) or option in known:
            continue
        arguments = _arguments(hints[each.name], each.metadata.get("none"))
        if arguments is None:
            continue
        text = described.get(each.name, "")
        if shown is not False:
            value = _default(each) if shown is None else getattr(shown, each.name)
            text = (
                f"{text} ({_spelled(value, each.metadata.get('none'))})" if _told(value) else text
            )
        parser.add_argument(
            option, default=argparse.SUPPRESS, help=text.replace("%", "%%").strip(), **arguments
        )


def given(
    args: argparse.Namespace, kind: type, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """The fields of a settings class that the command line gave, for ``kind(**given(...))``.

    `names` are those of :func:`add_settings`.
    """
    values = vars(args)
    wanted = [each.name for each in fields(kind)] if names is None else names
    return {
        name: tuple(values[name]) if isinstance(values[name], list) else values[name]
        for name in wanted
        if name in values
    }


def _arguments(hint: Any, none: str | None) -> dict[str, Any] | None:
    """What argparse is told of a field of this type; None where it cannot be an option."""
    if get_origin(hint) is tuple and get_args(hint)[1:] == (Ellipsis,):
        inner = _arguments(get_args(hint)[0], none)
        return inner and {**inner, "nargs": "+"}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    parts = [part for part in (get_args(hint) or (hint,)) if part is not NoneType]
    if len(parts) != 1 or parts[0] not in (int, float, str):
        return None
    [plain] = parts
    metavar = {int: "N", float: "X", str: "NAME"}[plain]
    if none is None:
        return {"type": plain, "metavar": metavar}
    return {"type": _or_word(plain, none), "metavar": f"{metavar}|{none}"}


def _or_word(plain: Callable[[str], Any], word: str) -> Callable[[str], Any]:
    """A value, or None where `word` is given."""

    def parse(text: str) -> Any:
        try:
            return None if text == word else plain(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {word}") from None

    return parse


def _default(each: Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _told(value: object) -> bool:
    """Whether a default says anything: a switch is off, and nothing is the word for nothing."""
    return value is not MISSING and value != () and not isinstance(value, bool)


def _spelled(value: object, none: str | None) -> str:
    if isinstance(value, tuple):
        return " ".join(_spelled(part, none) for part in value)
    if value is None:
        return none or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _descriptions(kind: type) -> dict[str, str]:
    """Of each field the first clause that the docstring says about it."""
    described: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(kind.__doc__ or "").splitlines():
        if line.startswith("    "):
            for name in names:
                described[name] = f"{described.get(name, '')} {line.strip()}".strip()
        else:
            names = [name.strip() for name in line.split(",")]
    clauses = {name: re.split(r"[.:;](?:\s|$)", text)[0] for name, text in described.items()}
    return {name: _lowered(text.replace("`", "")) for name, text in clauses.items()}


def _lowered(text: str) -> str:
    """As a help's other lines begin: small, unless a name stands first."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def add_output(parser: Any, what: str, default: str | None = None) -> None:
    """``-o DIR``: where a command writes."""
    text = f"{what} ({default})" if default else what
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=default, required=default is None, help=text
    )


def add_windows(parser: Any, names: str = "windows", **arguments: Any) -> None:
    """Windows files, and whose of their windows are taken."""
    what = "windows file (.npz) or folder with X.npy, Y.npy, pid.npy"
    parser.add_argument(names, metavar="windows", help=what, **arguments)
    parser.add_argument("--sampling-rate", type=float, metavar="HZ", help="of a folder of arrays")
    add_subjects(parser)


def add_subjects(parser: Any) -> None:
    """``--subjects`` and ``--exclude-subjects``: who takes part."""
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help="only these people")
    parser.add_argument(
        "--exclude-subjects", nargs="+", default=[], metavar="NAME", help="all but these people"
    )


def chosen_subjects(args: argparse.Namespace) -> Subjects:
    """The ``Subjects`` that :func:`add_subjects` describes."""
    from ..recordings import Subjects

    return Subjects(tuple(args.subjects) if args.subjects else None, tuple(args.exclude_subjects))


def chosen_windows(args: argparse.Namespace, incomplete: bool = False) -> Windows:
    """The windows that :func:`add_windows` describes, of one file."""
    from ..recordings import load_windows

    windows = load_windows(args.windows, args.sampling_rate, incomplete=incomplete)
    subjects = chosen_subjects(args)
    subjects.require_among(windows.subject.tolist(), args.windows)
    return subjects.of(windows)


def add_json(parser: Any, what: str = "write the report") -> None:
    """``--json FILE``: the same for machines."""
    parser.add_argument("--json", metavar="FILE", help=what)


def add_encoder_options(parser: argparse.ArgumentParser) -> None:
    """Which encoder reads the pictures: the preset, the fields of ``EncoderConfig``."""
    group = parser.add_argument_group("encoder")
    group.add_argument("--preset", choices=("recommended", "fast", "paper"), default="recommended")
    add_weights_options(group)
    group.add_argument("--stages", type=int, nargs="+", help="stages to read, side by side")


def encoder_config(args: argparse.Namespace) -> EncoderConfig:
    """The ``EncoderConfig`` that :func:`add_encoder_options` describes."""
    from ..fewshot.config import READINGS

    encoder = chosen_encoder(args)
    if encoder.reads_windows:
        if args.stages:
            raise InputError(f"{encoder.name} reads windows: it has no stages to read")
        return encoder
    if encoder.reads_tokens:
        return replace(encoder, stages=tuple(args.stages or encoder.stages))
    reading = {**READINGS[args.preset], **({"stages": tuple(args.stages)} if args.stages else {})}
    return replace(encoder, **reading)


def add_weights_options(parser: Any) -> None:
    """Which encoder with which weights; without any of them, the toolkit's own."""
    parser.add_argument("--encoder", metavar="NAME", help="timm name (resnet18.img2imu_in1k)")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights", metavar="PATH", help="safetensors, torch checkpoint, folder of a pre-training"
    )
    weights.add_argument(
        "--pretrained", action="store_true", help="weights by the encoder's name, downloaded"
    )


def chosen_encoder(args: argparse.Namespace) -> EncoderConfig:
    """The ``EncoderConfig`` that :func:`add_weights_options` describes."""
    from ..models import DEFAULT_ENCODER, EncoderConfig, find_weights, token_blocks
    from ..models.config import TOKENS

    if args.encoder in (None, DEFAULT_ENCODER.name) and not args.weights:
        return DEFAULT_ENCODER
    if not args.weights:
        # Not given, it leaves no trace among the arguments.
        return EncoderConfig(args.encoder, args.pretrained, seed=getattr(args, "seed", 0))
    path, architecture = find_weights(args.weights)
    name = args.encoder or architecture or "resnet18"
    blocks = token_blocks(path)
    if blocks:
        # It is read where it was trained to be.
        name = TOKENS + name.removeprefix(TOKENS)
        return EncoderConfig(name, checkpoint=str(path), stages=(blocks - 1,))
    return EncoderConfig(name, checkpoint=str(path))


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of an option such as ``--size 128x96``."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and text.isascii()):
        raise InputError(f"--size takes WIDTHxHEIGHT such as 128x96, not {text!r}")
    return int(width), int(height)


def progress_bar(description: str, total: int | None) -> Any:
    """A bar on standard error with time left; lines where that is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        return ProgressLines(description, total)
    from tqdm import tqdm

    return tqdm(total=total, desc=description, file=sys.stderr, leave=False, delay=0.5)


def add_device(parser: Any) -> None:
    """``--device``: where networks run."""
    parser.add_argument("--device", choices=("cpu", "cuda"), help="CUDA where there is one")


def chosen_device(args: argparse.Namespace) -> str:
    """The device of :func:`add_device`, which must be there."""
    import torch

    there = torch.cuda.is_available()
    if args.device == "cuda" and not there:
        raise InputError("there is no CUDA device here")
    return args.device or ("cuda" if there else "cpu")
