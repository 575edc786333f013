"""``img2imu cache``: what is kept to be found again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..cache import Entry

_DESCRIPTION = """\
Tells where the cache lies and how large it is; sweeps what killed commands left there, and what was
not used for longest where it is larger than IMG2IMU_CACHE_LIMIT, in GB (20); nothing of the last
day, and no download. The same happens when something large is added. Everything can be made again,
downloads by 'img2imu data fetch'.
"""

_EXAMPLES = """\
examples:
  img2imu cache
  img2imu cache --clear features finetune
  IMG2IMU_CACHE_LIMIT=5 img2imu cache
"""


def register(subparsers: Any) -> None:
    """Add the command ``cache`` to the parser."""
    from ..cache import KINDS

    parser = subparsers.add_parser(
        "cache",
        help="where computed features and unpacked archives lie; clear them",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clear", nargs="+", choices=KINDS, default=[], help="remove all of these")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Clear, sweep, and print what is left."""
    from ..cache import KINDS, clear, entries, limit, tidy
    from ..files import cache_folder

    most = limit()
    for done, gone in (("cleared", clear(args.clear)), ("swept", tidy())):
        if gone:
            print(f"{done:<10} {_counted(gone)}")
    print(f"{'folder':<10} {cache_folder()}")
    for kind in KINDS:
        print(f"{kind:<10} {_counted(entries(kind))}")
    print(f"{'limit':<10} {most / 1e9:,.1f} GB")


def _counted(found: Sequence[Entry]) -> str:
    return f"{sum(entry.size for entry in found) / 1e9:,.3f} GB in {len(found):,} entries"
