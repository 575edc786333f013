"""``img2imu label``: labels for recordings that have none, in a page of one's own browser."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..recordings import WindowConfig
from ..settings import require
from .data import add_source_options, source_options
from .options import (
    add_device,
    add_encoder_options,
    add_settings,
    add_subjects,
    chosen_device,
    chosen_subjects,
    encoder_config,
    given,
    progress_bar,
)

if TYPE_CHECKING:
    from ..label import Library, Session

DEFAULTS = WindowConfig(overlap=0.0)
"""Windows that share nothing: what was labelled once is not asked about again."""

_DESCRIPTION = """\
Opens a page on this machine that asks what the most telling windows of your recordings are, one
after the other, shows at once what a classifier makes of the rest, and writes the labels down.

in    the recordings, as for 'convert'; labels they bring along are not looked at
out   -o FILE.csv     after every answer; 'convert RECORDINGS --labels FILE.csv' reads it, and the
                      same command goes on where it was
      FILE-model      on Finish: a classifier folder, for predict and export
"""

_EXAMPLES = """\
examples:
  img2imu label recordings -o labels.csv --classes walking,sitting,stairs
  img2imu label walk.csv -o labels.csv --video walk.mp4 --video-offset 12.5
  img2imu label week -o labels.csv --preset fast --path-pattern '{subject}/*'
"""


def register(subparsers: Any) -> None:
    """Add the command ``label`` to the parser."""
    parser = subparsers.add_parser(
        "label",
        usage="img2imu label RECORDINGS -o FILE.csv [options]",
        help="label recordings in your browser",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", help="file, folder, archive, or name of a data set")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE.csv", help="labels to write or go on with"
    )
    parser.add_argument("--classes", metavar="A,B,...", help="to begin with; more in the page")
    parser.add_argument("--model", metavar="DIR", help="classifier folder (FILE-model)")
    page = parser.add_argument_group("page")
    page.add_argument("--video", metavar="FILE", help="video or sound that plays in step")
    page.add_argument(
        "--video-offset", type=float, default=0.0, metavar="S",
        help="second of the recording at which the video begins (0)",
    )  # fmt: skip
    page.add_argument("--port", type=int, default=0, metavar="N", help="of the page (a free one)")
    page.add_argument("--no-browser", action="store_true", help="print the address alone")
    windows = parser.add_argument_group("windows")
    add_settings(windows, WindowConfig, ("seconds", "overlap", "sampling_rate"), shown=DEFAULTS)
    add_subjects(parser)
    add_encoder_options(parser)
    add_device(parser)
    add_source_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read the recordings, serve the page until interrupted, and say where the labels are."""
    from ..label import LabelServer, alone, serve

    path = Path(args.output)
    require(0 <= args.port < 2**16, f"port must lie in [0, 65535], not {args.port}")
    if path.suffix.lower() != ".csv":
        raise InputError(f"-o takes a file of labels such as labels.csv, not {path}")
    with alone(path):
        session = _session(args, path)
        server = LabelServer(session, args.port)
        session.start()
        try:
            serve(server, lambda url: _opened(url, not args.no_browser))
        finally:
            session.close()
    print(f"\n{_counted(session)} in {path}; the same command goes on" if path.exists()
          else "\nnothing was labelled")  # fmt: skip


def _session(args: argparse.Namespace, path: Path) -> Session:
    from ..fewshot import ProbeConfig
    from ..fewshot.classifier import require_replaceable
    from ..label import Media, Session, require_class

    if args.label or args.labels:
        raise InputError(
            "labels are made here, and none read: give -o a file that this command wrote to go on "
            "with it"
        )
    model = Path(args.model) if args.model else None
    if model:
        require_replaceable(model)
    if args.video_offset and not args.video:
        raise InputError("--video-offset goes with --video")
    media = Media(Path(args.video), args.video_offset) if args.video else None
    config = ProbeConfig(args.preset, encoder=encoder_config(args))
    device = chosen_device(args)
    classes = [require_class(name) for name in args.classes.split(",")] if args.classes else []
    library = _library(args)
    return Session(library, path, config, classes, model, media, device)


def _library(args: argparse.Namespace) -> Library:
    from dataclasses import replace

    from ..label import read_library
    from ..recordings import open_source
    from ..recordings.windows import ChosenSource

    cut = replace(DEFAULTS, **given(args, WindowConfig, ("seconds", "overlap", "sampling_rate")))
    source = open_source(args.recordings, **source_options(args))
    library = read_library(ChosenSource(source, chosen_subjects(args)), cut, progress_bar)
    hours = len(library) * cut.stride / cut.sampling_rate / 3600
    print(f"{len(library):,} windows, {hours:.2f} h, {len(library.recordings)} recordings")
    return replace(library, name=Path(args.recordings).name)


def _opened(url: str, browser: bool) -> None:
    print(f"open {url} in a browser on this machine; Ctrl-C ends", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(url)


def _counted(session: Session) -> str:
    return f"{session.answers} labelled stretch{'es' * (session.answers != 1)}"
