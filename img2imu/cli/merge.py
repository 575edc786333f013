"""``img2imu merge``: several windows files as one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import listing
from ..files import writable

if TYPE_CHECKING:
    from ..recordings import Windows

_EXAMPLES = """\
examples:
  img2imu merge out/monday/windows.npz out/tuesday/windows.npz -o out/both.npz --same-people

Windows must be of one length and rate. Where a subject's name is in several files it is told apart
by the file or its folder, as in monday/ann, unless --same-people says that it is one person.
"""


def register(subparsers: Any) -> None:
    """Add the command ``merge`` to the parser."""
    parser = subparsers.add_parser(
        "merge",
        help="several windows files as one",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "windows", nargs="+", metavar="WINDOWS", help="windows files (.npz), or folders of arrays"
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="file to write")
    parser.add_argument("--sampling-rate", type=float, metavar="HZ", help="of folders of arrays")
    parser.add_argument(
        "--same-people", action="store_true", help="subjects of one name are one person"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the file, and say who came from where."""
    from ..recordings import load_windows, merge_windows, save_windows
    from ..recordings.merging import set_names, shared_subjects

    writable(args.output)
    names = set_names(args.windows)
    sets = {
        name: load_windows(path, args.sampling_rate, incomplete=True)
        for name, path in zip(names, args.windows, strict=True)
    }
    merged = merge_windows(sets, same_people=args.same_people)
    save_windows(args.output, merged, {"merged": names, "same_people": args.same_people})
    for name, windows in sets.items():
        print(f"{name}: {describe(windows)}")
    shared = shared_subjects(sets)
    if shared and not args.same_people:
        print(
            f"of one name in several files, and told apart: {listing(shared)} "
            "(--same-people takes them for one person)"
        )
    print(f"{args.output}: {describe(merged)}")


def describe(windows: Windows) -> str:
    """How many windows, subjects and of what class, in a line."""
    from collections import Counter

    counts = Counter(windows.y.tolist())
    listed = listing(f"{name or 'no label'} {count:,}" for name, count in sorted(counts.items()))
    people = len(windows.subjects)
    return f"{len(windows):,} windows of {people} subject{'s' * (people != 1)}: {listed}"
