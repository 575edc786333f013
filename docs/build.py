"""Keeps README, CONTRIBUTING and docs true: runs their commands, checks what is not run.

    make docs                        run what is marked, and write its output below the command
    make docs ARGS=docs/data.md      of these pages only
    make docs ARGS=--check           write nothing; exit code 1 where an output has changed

A fenced block of a page is marked by the HTML comment in the line above it:

``<!-- run -->``
    Its commands (lines that begin with ``$``) are run, and what they print takes the place of what
    the block shows; a block of Python is run, too. All blocks of a page run in one new folder, in
    their order. ``<!-- run: needs NAME -->`` runs only where the folder that ``IMG2IMU_DATA``
    names has NAME, which is then linked into the new one.
``<!-- report: results/bench-NAME-HARDWARE.json -->``
    It shows a kept report as ``img2imu bench NAME`` prints it.
``<!-- kept -->``
    It shows what was printed once, on hardware or for a time that nobody has at hand; its commands
    are only checked.

A block without a mark shows commands alone. ``<!-- setup``, lines of shell, ``-->`` runs what a
page takes for granted. A printed line that differs from the one shown only in what was measured
(seconds, milliseconds, images per second, rounding) stays as it was, so that a repeated run
changes nothing.

Checked of every Markdown file, run or not: command lines are read by the real parser, with options
in full; options, policies, methods, rows, paths, Python names and ``make`` targets in
the text exist; so do the targets of links; Python compiles and what it imports is there.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PARTS = ("android_demo", "augment", "convert", "docs", "export", "img2imu", "results", "tests")
"""Folders of the repository in which there are pages, and paths that a page may name."""

PAST = ("CHANGELOG.md",)
"""Pages that speak of what is no more: of these, only commands and links are checked."""

FOREIGN_OPTIONS = ("--check", "--durations", "--nproc-per-node")
"""Options that pages name in their text and that are not ours."""

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run|report|kept)(?:: (?P<what>[^>]*?))? -->\n)?"
    r"^```(?P<language>\w*)\n(?P<body>.*?)^```$|"
    r"^<!-- setup\n(?P<setup>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ (?:.*\\\n)*.*\n", re.MULTILINE)
_MEASURED = (
    re.compile(r"\d[\d,]*(?:\.\d+)? (?:images|windows)/s"),
    re.compile(r"(?<=within )[\d.e+-]+"),
    re.compile(r"(?<=^milliseconds for one window, ).*"),
    re.compile(r"(?<=\d)(?: +\d+\.\d\d){5}$"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block, or a setup: where its text lies in the page, and what is to be done."""

    mark: str
    what: str
    language: str
    body: str
    start: int
    end: int

    def commands(self) -> list[tuple[str, str]]:
        """Each command and the output that is shown below it."""
        found = list(_COMMAND.finditer(self.body))
        ends = [match.start() for match in found[1:]] + [len(self.body)]
        return [
            (match[0], self.body[match.end() : end]) for match, end in zip(found, ends, strict=True)
        ]


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in their order."""
    return [
        Block("setup", "", "bash", match["setup"], *match.span("setup"))
        if match["setup"] is not None
        else Block(
            match["mark"] or "",
            (match["what"] or "").removeprefix("needs ").strip(),
            match["language"],
            match["body"],
            *match.span("body"),
        )
        for match in _BLOCK.finditer(text)
    ]


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    found = [*ROOT.glob("*.md"), *(path for part in PARTS for path in ROOT.glob(f"{part}/**/*.md"))]
    return sorted(path for path in found if "build" not in path.relative_to(ROOT).parts)


# --- running


def rebuilt(page: Path, folder: Path) -> str:
    """The page with the outputs that its commands have now, run in `folder`."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {}
    done, written = 0, []
    for block in blocks(text):
        body = _redone(block, folder, namespace, page)
        written += [text[done : block.start], body]
        done = block.end
    return "".join([*written, text[done:]])


def _redone(block: Block, folder: Path, namespace: dict[str, object], page: Path) -> str:
    if block.mark == "setup":
        _run(block.body, folder, page)
    elif block.mark == "report":
        [(command, _)] = block.commands()
        return command + shown_report(ROOT / block.what)
    elif block.mark == "run" and _linked(block.what.split(), folder):
        if block.language != "python":
            return "".join(
                command + as_before(_run(command.removeprefix("$ "), folder, page), shown)
                for command, shown in block.commands()
            )
        with contextlib.chdir(folder):
            exec(compile(block.body, page.name, "exec"), namespace)
    return block.body


def shown_report(path: Path) -> str:
    """A kept report, as the benchmark that wrote it prints it."""
    report = json.loads(path.read_text(encoding="utf-8"))
    name = path.name.split("-")[1]
    return str(importlib.import_module(f"img2imu.bench.{name}").table(report)).strip("\n") + "\n"


def as_before(printed: str, shown: str) -> str:
    """What was printed; a line that differs only in what was measured is the one shown before."""
    before = {_masked(line): line for line in shown.splitlines()}
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    return "".join(before.get(_masked(line), line) + "\n" for line in lines)


def _masked(line: str) -> str:
    return functools.reduce(lambda text, pattern: pattern.sub("#", text), _MEASURED, line)


def _linked(names: Sequence[str], folder: Path) -> bool:
    """Whether all the data that a block needs are there, and now in `folder`."""
    data = Path(os.environ.get("IMG2IMU_DATA", ROOT.parent / "shared" / "data"))
    if not all((data / name).exists() for name in names):
        return False
    for name in names:
        if not (folder / name).exists():
            (folder / name).symlink_to((data / name).resolve())
    return True


def _run(command: str, folder: Path, page: Path) -> str:
    """What a command prints, warnings left out; on a failure the end of everything."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    print(f"{page.name}: {command.strip()}", flush=True)
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "IMG2IMU_CACHE": str(folder.parent / "cache")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{page}: {command.strip()}\nfailed with {done.returncode}:\n{done.stderr}")
    return done.stdout


# --- checking


def problems(page: Path, text: str) -> list[str]:
    """What is wrong with a page, in one sentence each.

    `page` is a path in the repository: links start from its folder.
    """
    found = [*_of_links(page, text)]
    prose = _BLOCK.sub("", text)
    past = page.name in PAST
    for block in blocks(text):
        if block.language == "console":
            outputs = [output for _, output in block.commands()]
            if not outputs:
                found.append(f"a console block without a command: {block.body[:40]!r}")
            if not block.mark and any(outputs):
                found.append(f"output that is neither run nor kept: {block.body[:40]!r}")
        if block.mark == "report" and not (ROOT / block.what).is_file():
            found.append(f"there is no {block.what}")
        if block.language == "python":
            found += _of_python(block.body)
        elif block.language == "console":
            found += _of_shell("".join(command for command, _ in block.commands()))
        else:
            found += _of_shell(block.body)
    found += _of_shell("\n".join(re.findall(r"(?m)^ {4,}(?:\$ )?(.*)$", prose)))
    if not past:
        for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose):
            found += _of_code(code)
    return found


def _of_links(page: Path, text: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?s)^```.*?^```$", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        if not there.exists():
            yield f"the link to {target} leads nowhere"
        elif anchor and anchor not in _anchors(text if not name else there.read_text("utf-8")):
            yield f"there is no heading for the link to {target}"


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in headings}


def _of_python(body: str) -> Iterator[str]:
    try:
        tree = ast.parse(body)
    except SyntaxError as error:
        yield f"Python that does not compile: {error}"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (f"there is no {name} to import" for name in names if not _importable(name))


@functools.cache
def _importable(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
        return True
    module, _, attribute = name.rpartition(".")
    return bool(module) and _importable(module) and hasattr(sys.modules.get(module), attribute)


def _of_shell(body: str) -> Iterator[str]:
    """Of every line that calls ``img2imu`` or ``make``."""
    for line in re.sub(r"\\\n", " ", body).splitlines():
        line = line.removeprefix("$ ")
        if target := re.match(r"\s*make ([a-z]\w*)", line):
            yield from _of_target(target[1])
        call = re.match(r"(?:.*?[\s/])?img2imu (?=[a-z-])(.*)", " " + line)
        if call and not re.search(r"import|usage", line):
            yield from _of_command(call[1])


def _of_target(name: str) -> Iterator[str]:
    if not re.search(rf"(?m)^{name}:", (ROOT / "Makefile").read_text(encoding="utf-8")):
        yield f"there is no target {name} in the Makefile"


def _of_command(line: str, whole: bool = True) -> Iterator[str]:
    """Of the arguments of ``img2imu``; unless they are `whole`, some may be missing."""
    arguments = shlex.split(re.split(r" [|>&]| 2>", line)[0], comments=True)
    parser, rest = _leaf(arguments)
    for argument in arguments:
        option = argument.split("=")[0]
        if option.startswith("--") and option not in parser._option_string_actions:
            yield f"img2imu {line}: there is no option {option}"
            return
    if whole:
        message = io.StringIO()
        try:
            with contextlib.redirect_stderr(message), contextlib.redirect_stdout(io.StringIO()):
                given = vars(_parser().parse_args(arguments))
        except SystemExit as stop:
            if stop.code:
                yield message.getvalue().strip()
            return
        yield from _of_names(given)
    elif rest and parser.prog == "img2imu":
        yield f"img2imu {line}: there is no command {rest[0]}"


def _of_names(given: dict[str, object]) -> Iterator[str]:
    """Of the values that are names of ours."""
    pretraining = given.get("study") in ("selfsup", "scale")
    for option, known in _known_names(pretraining).items():
        values = given.get(option)
        for value in [values] if isinstance(values, str) else values or []:
            rows = [str(each).split("=")[0] for each in given.get("encoders") or []]
            if value not in known and not (option in ("rows", "reference") and value in rows):
                yield f"there is no {value} for --{option}"


@functools.cache
def _known_names(pretraining: bool) -> dict[str, set[str]]:
    """By option; methods are those of pre-training, or of a probe."""
    from img2imu.augment import POLICIES
    from img2imu.fewshot import METHODS, VOTES
    from img2imu.pretrain import METHOD_CONFIGS
    from img2imu.studies.rows import TITLES

    return {
        "policy": {*POLICIES, "none"},
        "methods": set(METHOD_CONFIGS) if pretraining else {*METHODS, *VOTES},
        "rows": set(TITLES),
        "reference": set(TITLES),
    }


@functools.cache
def _parser() -> argparse.ArgumentParser:
    from img2imu.cli import build_parser

    return build_parser()


def _leaf(arguments: Sequence[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the sub-command that the arguments name, and what follows the name."""
    parser, rest = _parser(), list(arguments)
    while rest:
        choices: dict[str, argparse.ArgumentParser] = {}
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                choices = action.choices
        if rest[0] not in choices:
            break
        parser = choices[rest.pop(0)]
    return parser, rest


@functools.cache
def _all_options() -> set[str]:
    options, parsers = set(FOREIGN_OPTIONS), [_parser()]
    while parsers:
        parser = parsers.pop()
        options |= parser._option_string_actions.keys()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return options


def _of_code(code: str) -> Iterator[str]:
    """Of a piece of code within a sentence."""
    there = True
    if match := re.match(r"make ([a-z]\w*)", code):
        yield from _of_target(match[1])
    elif match := re.match(r"img2imu (.*)", code):
        yield from _of_command(match[1], whole=False)
    elif re.match(r"--[a-z]", code):
        there = re.split(r"[ =]", code)[0] in _all_options()
    elif re.fullmatch(r"img2imu(\.\w+)+", code):
        there = _importable(code)
    elif re.fullmatch(rf"(?:{'|'.join(PARTS)})/[\w./-]*", code):
        # Some names stand for any, and some files are there only once they are built.
        there = (ROOT / code).exists() or bool(re.search("[A-Z]{4}|build", code))
    if not there:
        yield f"there is no {code}"


# --- the command


def main() -> int:
    """Check and rebuild the pages; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("pages", nargs="*", type=Path, help="all where none is given")
    args = parser.parse_args()
    changed = False
    wanted = [path.resolve() for path in args.pages] or pages()
    wrong = [
        f"{page.relative_to(ROOT)}: {problem}"
        for page in wanted
        for problem in problems(page, page.read_text(encoding="utf-8"))
    ]
    if wrong:
        sys.exit("\n".join(wrong))
    for page in wanted:
        with tempfile.TemporaryDirectory(prefix="img2imu-docs-") as scratch:
            folder = Path(scratch) / "folder"
            folder.mkdir()
            text = rebuilt(page, folder)
        if text != page.read_text(encoding="utf-8"):
            changed = True
            print(f"{page.relative_to(ROOT)}: output changed")
            if not args.check:
                page.write_text(text, encoding="utf-8")
    return int(changed and args.check)


if __name__ == "__main__":
    sys.exit(main())
