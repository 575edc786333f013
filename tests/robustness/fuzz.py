"""Malformed inputs over all commands: none may end in a traceback or leave half of a result.

    python tests/robustness/fuzz.py --count 2000 --seed 0
    python tests/robustness/fuzz.py --seed 0 --only 1234     # one case again, with its output

Each case is a command that works on healthy inputs, of which one thing is malformed: an option, an
argument, or a file. It runs in a process of its own, with little memory and time, and passes if the
exit code is 0, or 2 with one sentence and nothing written.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import damage
import forked
from inputs import FEW, SMALL, SMALL_1D, STUDY, write_inputs

SENTENCE = 300
"""Characters of an error at most."""

SECONDS = 300
"""After which a process that waits for something is killed."""


@dataclass(frozen=True)
class Scenario:
    """A command that works.

    Attributes
    ----------
    argv
        The command line; the inputs lie in the folder where it runs.
    inputs
        Files and folders that it reads.
    sealed
        Patterns of files in which every change has to be refused.
    redone
        Patterns of files that are computed again if they are damaged: the output stays the same.
    costly
        Whether running it takes long: then only what is surely refused is tried.
    """

    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    sealed: tuple[str, ...] = ()
    redone: tuple[str, ...] = ()
    costly: bool = False


def _scenario(line: str, inputs: str = "", **settings: Any) -> Scenario:
    words = [
        part
        for word in line.split()
        for part in {"FEW": FEW, "SMALL": SMALL, "SMALL_1D": SMALL_1D, "STUDY": STUDY}.get(
            word, [word]
        )
    ]
    return Scenario(tuple(words), tuple(inputs.split()), **settings)


_CUT = "-o out --seconds 3.2 --sampling-rate 20 --nfft 32"
_RECORDINGS = (
    *(f"{name} --unit g" for name in ("walk.csv", "walk.tsv", "walk.csv.gz", "walk.parquet")),
    *(f"{name} --unit g" for name in ("walk.npz", "walks", "walks.zip", "walks.tar.gz")),
    *("WISDM_ar_v1.1_raw.txt", "data_1600_accel_phone.txt", "S01R01.txt", "pos_A.csv"),
    *("motion", "capture"),
)
_MODEL = ("model/*",)
_RUN = ("run*/checkpoint.pt",)
_STORE = ("store/images.bin", "store/labels.npy")
_PROBE = "probe {} --encoder conv1d FEW --methods img2imu --json out.json --splits s.json"
_TUNE = "finetune {} --encoder conv1d FEW --epochs 1 --json out.json --model out"
_STUDY = "-o out STUDY"

SCENARIOS = (
    _scenario("data list"),
    _scenario("data fetch daphnet"),
    *(_scenario(f"data check {given}", given.split()[0]) for given in _RECORDINGS),
    *(_scenario(f"convert {given} {_CUT}", given.split()[0]) for given in _RECORDINGS),
    _scenario(f"convert walk.csv --unit g {_CUT} --images --keep-unlabelled", "walk.csv"),
    _scenario("pack photos out --size 32x24", "photos"),
    _scenario("pack photos out --size 32x24 --json out.json", "photos"),
    _scenario("pack photos.zip out --size 32x24", "photos.zip"),
    _scenario("pack photos.tar out --size 32x24", "photos.tar"),
    _scenario("pack photos.parquet out --size 32x24", "photos.parquet"),
    _scenario("pack shard out --size 32x24", "shard"),
    _scenario("pack photos store --size 32x24", "photos store"),
    _scenario("pretrain --source store -o out SMALL", "store", sealed=_STORE),
    _scenario("pretrain --source store -o run SMALL", "store run", sealed=(*_STORE, *_RUN)),
    _scenario("pretrain --source windows.npz -o out SMALL_1D", "windows.npz"),
    _scenario(
        "pretrain --source windows.npz -o run-1d SMALL_1D", "windows.npz run-1d", sealed=_RUN
    ),
    _scenario("pretrain --source fractals --count 8 --size 32x24 -o out SMALL"),
    _scenario("pretrain --source store -o out SMALL --init run/encoder.safetensors", "store run"),
    _scenario(
        "pretrain --source store -o out SMALL --transfer windows.npz --json out.json",
        "store windows.npz",
    ),
    _scenario(
        "pretrain --source store -o out --method supervised --encoder test_resnet --stages 1 2 "
        "--batch-size 4 --epochs 1 --held 4 --device cpu", "store",
    ),
    _scenario(_PROBE.format("windows.npz"), "windows.npz"),
    _scenario(_PROBE.format("arrays --sampling-rate 20"), "arrays"),
    _scenario(_PROBE.format("windows.npz") + " --weights run-1d", "windows.npz run-1d"),
    _scenario("merge windows.npz -o out.npz", "windows.npz"),
    _scenario("fit windows.npz --encoder conv1d -o out", "windows.npz"),
    _scenario(
        "probe windows.npz --preset fast FEW --methods img2imu hand-forest --model out",
        "windows.npz",
    ),
    _scenario(
        "probe windows.npz --encoder conv1d --weights weights.pt FEW --methods img2imu",
        "windows.npz weights.pt",
    ),
    _scenario(
        "probe windows.npz --encoder test_resnet --stages 1 --weights run FEW --methods img2imu",
        "windows.npz run",
    ),
    _scenario(
        "probe windows.npz --preset fast FEW --methods img2imu", "windows.npz cache",
        redone=("cache/features/*",),
    ),
    _scenario(_TUNE.format("windows.npz"), "windows.npz"),
    _scenario(_TUNE.format("arrays --sampling-rate 20"), "arrays"),
    _scenario(_TUNE.format("windows.npz") + " --weights run-1d", "windows.npz run-1d"),
    _scenario(f"study table2 windows.npz {_STUDY}", "windows.npz"),
    _scenario(f"study shots windows.npz {_STUDY}", "windows.npz"),
    _scenario(f"study table1 windows.npz {_STUDY}", "windows.npz"),
    _scenario(
        f"study table2 windows.npz {_STUDY} --encoders encoders.json --rows mine own",
        "windows.npz encoders.json run-1d",
    ),
    _scenario("study table2 windows.npz -o study STUDY", "windows.npz study", redone=("study/*",)),
    _scenario(f"study grid windows.npz {_STUDY}", "windows.npz", costly=True),
    _scenario(f"study gradcam windows.npz {_STUDY}", "windows.npz", costly=True),
    *(
        _scenario(
            f"predict model {given} -o out --json out.json", f"model {given.split()[0]}",
            sealed=_MODEL,
        )
        for given in ("walk.csv --unit g", "walks.zip --unit g", "data_1600_accel_phone.txt")
    ),
    _scenario("export model", "model", sealed=_MODEL),
    _scenario(
        "export model -o out --to torchscript --golden g --json out.json", "model",
        sealed=_MODEL,
    ),
    _scenario(
        "export model -o out --quantize int8 --calibration windows.npz", "model windows.npz",
        sealed=_MODEL,
    ),
    _scenario("quickstart -o out", costly=True),
    *(
        _scenario(f"bench {name}", costly=True)
        for name in ("convert", "augment", "pack", "pretrain", "probe", "inference", "android")
    ),
)  # fmt: skip

COMMANDS = (
    *("probe", "convert", "pretrain", "predict", "pack", "data check", "finetune", "export"),
    *("study table2", "convert", "pretrain", "bench", "probe", "pack", "study shots", "predict"),
    *("data check", "pretrain", "study table1", "finetune", "probe", "quickstart", "convert"),
    *("study table2", "export", "pack", "data fetch", "study grid", "predict", "data list"),
    *("study gradcam", "merge", "fit"),
)
"""Cases take them in turn: those that read more kinds of files come more often."""

WORK = {"epochs", "count", "seeds", "rounds", "runs", "timeout", "windows", "steps"}
"""Options in which a huge number is a huge job, and no mistake."""

WORDS = ("", " ", "abc", "1.5x", "nan", "²", "0x10", "1,5", "None", "1e", "½")
WHOLE = ("-1", "0", "-99999999999999999999", "1.5", "1e3", "inf")
HUGE_WHOLE = ("2147483648", "4294967296", "99999999999999999999999")
REAL = ("0", "-1", "inf", "-inf", "1e400", "1e-320", "-0.0")
HUGE_REAL = ("1e9", "1e308")
PATHS = (
    *("", " ", ".", "..", "/", "missing", "missing/a/b", "/dev/null", "/dev/full", "-", "~", "%s"),
    *("walk.csv", "walk.csv/x", "model", "store", "photos", "windows.npz", "encoders.json"),
    *("x" * 300, "ünï ☃.npz", "\udcff\udcfe", "line\nbreak", "/proc/self/mem", "/etc", "*", "{}"),
)
TEXTS = (*PATHS, "(", "(?P<label>", "[", ",", ",,,", "a,b,c", "a,b,c,d,e", "=", "a=", "rate=abc")
TEXTS += ("rate=", "columns=", "position=9", "unit=stone", "path=x", "format=x", "label=time")


@dataclass
class Case:
    """One malformed input."""

    number: int
    scenario: Scenario
    argv: list[str]
    told: str = ""
    refused: bool = False
    same: bool = False
    extra: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """Under which it is counted."""
        words = self.scenario.argv
        return " ".join(words[:2]) if words[0] in ("data", "study") else words[0]


def make_case(
    seed: int, number: int, scenarios: Sequence[Scenario], work: Path, healthy: Path
) -> Case:
    """The case of this number, with its inputs in `work`; the same for the same seed."""
    rng = random.Random(f"{seed}-{number}")
    command = COMMANDS[number % len(COMMANDS)]
    scenario = rng.choice([s for s in scenarios if Case(0, s, []).command == command])
    case = Case(number, scenario, list(scenario.argv))
    for name in scenario.inputs:
        _copy(healthy / name, work.parent / name if name == "cache" else work / name)
    if scenario.inputs and not scenario.costly and rng.random() < 0.6:
        _damage_file(case, rng, work)
    else:
        _damage_line(case, rng, work, healthy)
    return case


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _damage_file(case: Case, rng: random.Random, work: Path) -> None:
    roots = [work.parent / n if n == "cache" else work / n for n in case.scenario.inputs]
    files = sorted(
        path
        for root in roots
        for path in (root.rglob("*") if root.is_dir() else [root])
        if path.is_file() and path.stat().st_size and not path.name.startswith(".")
    )
    path = rng.choice(files)
    name = str(path.relative_to(work.parent if "cache" in case.scenario.inputs else work))
    own = damage.damages_of(path)
    deed = rng.choice(own if own and rng.random() < 0.7 else damage.BYTES)
    before = path.read_bytes()
    try:
        case.told = f"{name}: {deed.__name__}, {deed(path, rng)}"
    except Exception:  # damaging what the format's own library reads no more
        path.write_bytes(before)
        case.told = f"{name}: {damage.flip.__name__}, {damage.flip(path, rng)}"
    name = name.removeprefix("work/")
    changed = not path.is_file() or _told(path, path.read_bytes()) != _told(path, before)
    case.refused = changed and any(fnmatch.fnmatch(name, p) for p in case.scenario.sealed)
    redone = any(fnmatch.fnmatch(name, pattern) for pattern in case.scenario.redone)
    # Where a folder or a link stands in the way, nothing can be done again.
    case.same = redone and not path.is_symlink() and not path.is_dir()


def _told(path: Path, data: bytes) -> object:
    """What a file says: of JSON the values, whose spaces and order say nothing."""
    try:
        return json.dumps(json.loads(data), sort_keys=True) if path.suffix == ".json" else data
    except (ValueError, RecursionError):
        return data


def _damage_line(case: Case, rng: random.Random, work: Path, healthy: Path) -> None:
    for name in ("walk.csv", "model", "store", "photos", "windows.npz", "encoders.json"):
        if not (work / name).exists() and rng.random() < 0.3:
            _copy(healthy / name, work / name)
    for _ in range(100):
        case.argv, case.refused = list(case.scenario.argv), False
        rng.choice((_odd_option,) * 8 + (_odd_argument,) * 4 + (_odd_line,))(case, rng)
        if case.refused or not case.scenario.costly:
            return


def _parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    from img2imu.cli import build_parser

    parser = build_parser()
    for word in words:
        chosen = next(
            (a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None
        )
        if chosen is None:
            break
        parser = chosen.choices[word]
    return parser


def _odd_option(case: Case, rng: random.Random) -> None:
    actions = [a for a in _parser_of(case.argv)._actions if a.option_strings and a.dest != "help"]
    if not actions:
        _odd_line(case, rng)
        return
    action = rng.choice(actions)
    option = action.option_strings[-1]
    if option.startswith("--no-"):
        option = action.option_strings[0]
    at = next((case.argv.index(o) for o in action.option_strings if o in case.argv), None)
    if at is not None:
        end = at + 1
        while end < len(case.argv) and not case.argv[end].startswith("-"):
            end += 1
        del case.argv[at:end]
    if action.nargs == 0:
        case.argv.append(f"{option}=x")
        case.refused, case.told = True, f"{option} with a value"
        return
    value, case.refused = _odd_value(action, rng)
    case.told = f"{option} {value!r:.40}"
    if action.nargs == "+" and rng.random() < 0.2:
        deed = rng.choice(("none", "twice"))
        case.argv += [option] if deed == "none" else [f"{option}={value}", f"{option}={value}"]
        case.refused = case.refused or deed == "none"
        return
    case.argv.append(f"{option}={value}")


def _odd_value(action: argparse.Action, rng: random.Random) -> tuple[str, bool]:
    """A value, and whether it can be no value of this option at all."""
    if action.choices is not None:
        return rng.choice((*WORDS, "ünï", "x" * 500, "\udcff")), True
    if action.type in (int, float) or getattr(action.type, "__name__", "") == "parse":
        if rng.random() < 0.4:
            word = rng.choice(WORDS)
            return word, True
        values = (*WHOLE, *REAL) if action.type is not int else WHOLE
        if action.dest not in WORK:
            values += HUGE_WHOLE if action.type is int else HUGE_REAL
        value = rng.choice(values)
        return value, action.type is int and not value.lstrip("-").isdecimal()
    return rng.choice(TEXTS), False


def _odd_argument(case: Case, rng: random.Random) -> None:
    """A positional argument that is something else, or what an option with a file names."""
    names = {*case.scenario.inputs, "out", "out.json", "daphnet", "run", "run-1d"}
    places = [i for i, word in enumerate(case.argv) if i and word in names]
    if not places:
        _odd_option(case, rng)
        return
    place = rng.choice(places)
    value = rng.choice(PATHS)
    case.told = f"{value!r:.40} for {case.argv[place]}"
    if case.argv[place - 1].startswith("-") and case.argv[place - 1] != "-o":
        case.argv[place - 1 : place + 1] = [f"{case.argv[place - 1]}={value}"]
    else:
        case.argv[place] = value


def _odd_line(case: Case, rng: random.Random) -> None:
    deed = rng.choice(("help", "unknown", "less", "more", "command", "output is a file"))
    case.told, case.refused = deed, deed not in ("help", "output is a file")
    if deed == "help":
        case.argv.append("--help")
        case.refused = case.scenario.costly  # it costs nothing: tried with every command
        case.same = False
        case.extra = ["help"]
    elif deed == "unknown":
        case.argv.append(rng.choice(("--foreign", "--foreign=1", "-Z", "--ünï")))
    elif deed == "less":
        words = 2 if case.scenario.argv[0] in ("data", "study", "bench") else 1
        required = [a for a in _parser_of(case.argv)._actions if a.required]
        case.argv = case.argv[:words]
        case.refused = bool(required)
    elif deed == "more":
        case.argv.append("surplus")
        case.refused = "WINDOWS" not in str([a.metavar for a in _parser_of(case.argv)._actions])
    elif deed == "command":
        case.argv[0] = rng.choice(("", "prob", "ünï", "-", "x" * 400))
    elif "out" in case.argv:
        case.argv[case.argv.index("out")] = (
            case.scenario.inputs[0] if case.scenario.inputs else "/dev/null"
        )


@dataclass
class Outcome:
    """What became of a case."""

    case: Case
    code: int | None
    failure: str = ""
    detail: str = ""
    memory: int = 0

    def to_dict(self, seed: int) -> dict[str, Any]:
        """As JSON."""
        return {
            "reproduce": f"python tests/robustness/fuzz.py --seed {seed} --only {self.case.number}",
            "command": self.case.argv,
            "malformed": self.case.told,
            "code": self.code,
            "failure": self.failure,
            "detail": self.detail,
        }


Tree = dict[str, str]


def snapshot(folder: Path) -> Tree:
    """Every file below `folder` by its hash, every folder and link by its kind."""
    found: Tree = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.name == ".lock":
            continue
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def left_over(tree: Tree) -> list[str]:
    """Names of what was written on the way to something else."""
    return sorted(
        name
        for name in tree
        if ".partial" in Path(name).name
        or (Path(name).name.startswith((".", "tmp")) and Path(name).name != ".hidden.jpg")
    )


def judge(
    case: Case, folder: Path, before: Tree, ended: forked.End, reference: str | None
) -> Outcome:
    """Whether the case went as it must."""
    out = (folder / "stdout").read_text(errors="replace")
    err = (folder / "stderr").read_text(errors="replace")
    raised = (folder / "raised").read_text() if (folder / "raised").is_file() else ""
    code = os.waitstatus_to_exitcode(ended.status)
    outcome = Outcome(case, code, memory=ended.memory)

    def fail(what: str, detail: str = "") -> Outcome:
        outcome.failure, outcome.detail = what, detail
        return outcome

    if raised:
        return fail("traceback", raised)
    if code < 0:
        name = signal.Signals(-code).name
        return fail(f"ended by {name}" + (" (time)" if name in ("SIGXCPU", "SIGKILL") else ""))
    if code not in (0, 2):
        return fail(f"exit code {code}", err[-500:])
    after = snapshot(folder / "work")
    if (folder / "work/code-was-run").exists():
        return fail("code of a file was run")
    scratch = left_over({n: k for n, k in after.items() if n not in before})
    scratch += left_over(snapshot(folder / "cache")) + left_over(snapshot(folder / "tmp"))
    if scratch:
        return fail("left on the way", ", ".join(scratch[:5]))
    if "Traceback" in err:
        return fail("traceback on stderr", err[-800:])
    if code == 2:
        lines = err.rstrip("\n").split("\n")
        if len(lines) != 1:
            return fail(f"{len(lines)} lines on stderr", err[:800])
        if not err.startswith("img2imu") or len(err) < 20:
            return fail("no clear sentence", err[:300])
        if len(_without_given(err, case.argv)) > SENTENCE:
            return fail("a sentence too long", err[:600])
        changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
        if changed and "No space left on device" not in err:  # known only once it is written to
            return fail("written though refused", f"{', '.join(changed[:8])}\n{err}")
        if case.same:
            return fail("refused instead of redone", err)
    if code == 0 and case.refused and "help" not in case.extra:
        return fail("accepted", out[-300:])
    if case.same and reference is not None and out != reference:
        return fail("another result", out[-600:])
    return outcome


def _without_given(sentence: str, argv: Sequence[str]) -> str:
    """The sentence without the long words that the command line has itself."""
    for word in argv:
        for given in (word, word.partition("=")[2]):
            if len(given) > SENTENCE / 2:
                sentence = sentence.replace(given, "...")
    return sentence


class Fuzzer:
    """Makes cases and runs them, some at a time."""

    def __init__(
        self, base: Path, seed: int, scenarios: Sequence[Scenario], limits: forked.Limits
    ) -> None:
        self._base, self._seed, self._scenarios, self._limits = base, seed, scenarios, limits
        self._healthy = base / "healthy" / "work"
        self._references: dict[tuple[str, ...], str] = {}

    def prepare(self) -> None:
        """Write the healthy inputs, and what is the same again of damaged caches."""
        self._healthy.mkdir(parents=True)
        write_inputs(self._healthy, lambda argv: forked.succeed(argv, self._healthy.parent))
        for scenario in self._scenarios:
            if "cache" in scenario.inputs:
                forked.succeed(scenario.argv, self._healthy.parent)
        shutil.copytree(self._healthy.parent / "cache", self._healthy / "cache")

    def check(self) -> None:
        """Run every command that costs little on healthy inputs: it must succeed."""
        for scenario in self._scenarios:
            if not scenario.costly and "fetch" not in scenario.argv:
                self.reference(scenario)

    def reference(self, scenario: Scenario) -> str:
        """What the command prints when nothing is damaged."""
        if scenario.argv not in self._references:
            folder = self._folder("reference")
            for name in scenario.inputs:
                _copy(
                    self._healthy / name,
                    folder / name if name == "cache" else folder / "work" / name,
                )
            forked.succeed(scenario.argv, folder)
            self._references[scenario.argv] = (folder / "stdout").read_text()
            shutil.rmtree(folder)
        return self._references[scenario.argv]

    def _folder(self, name: str) -> Path:
        folder = self._base / "cases" / name
        (folder / "work").mkdir(parents=True)
        return folder

    def run(self, numbers: Sequence[int], jobs: int, keep: bool = False) -> Iterator[Outcome]:
        """Outcomes of the cases, as they end."""
        waiting, running = list(reversed(numbers)), {}
        while waiting or running:
            while waiting and len(running) < jobs:
                number = waiting.pop()
                folder = self._folder(str(number))
                case = make_case(
                    self._seed, number, self._scenarios, folder / "work", self._healthy
                )
                reference = self.reference(case.scenario) if case.same else None
                before = snapshot(folder / "work")
                pid = forked.start(case.argv, folder, self._limits)
                running[pid] = (case, folder, before, reference, time.monotonic() + SECONDS)
            for pid, (case, folder, before, reference, end) in list(running.items()):
                if time.monotonic() > end:
                    os.kill(pid, signal.SIGKILL)
                if ended := forked.poll(pid):
                    del running[pid]
                    yield judge(case, folder, before, ended, reference)
                    if not keep:
                        shutil.rmtree(folder)
            time.sleep(0.005)


def table(outcomes: Sequence[Outcome]) -> str:
    """Cases, exit codes and failures by command."""
    lines = [f"{'command':<16}{'cases':>7}{'code 0':>8}{'code 2':>8}{'failures':>10}"]
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.case.command, []).append(outcome)
    for name, some in [*sorted(groups.items()), ("all", list(outcomes))]:
        codes = Counter(outcome.code for outcome in some)
        failures = sum(bool(outcome.failure) for outcome in some)
        lines.append(f"{name:<16}{len(some):>7}{codes[0]:>8}{codes[2]:>8}{failures:>10}")
    return "\n".join(lines)


def main() -> int:
    """Fuzz, tell, and return 1 if a case failed."""
    parser = argparse.ArgumentParser(description="malformed inputs over all commands")
    parser.add_argument("--count", type=int, default=2000, help="cases (2000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (0)")
    parser.add_argument("--seed", type=int, default=0, help="of all cases (0)")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="only these of the cases")
    parser.add_argument("--command", metavar="NAME", help="only commands that begin so")
    parser.add_argument(
        "--check", action="store_true", help="run all commands on healthy inputs first"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (cores)")
    parser.add_argument("--json", metavar="FILE", help="write the failures")
    parser.add_argument("--keep", metavar="DIR", help="keep the folders of the cases here")
    args = parser.parse_args()
    forked.import_everything()
    base = Path(args.keep or tempfile.mkdtemp(prefix="img2imu-fuzz-")).resolve()
    fuzzer = Fuzzer(base, args.seed, SCENARIOS, forked.Limits())
    try:
        fuzzer.prepare()
        if args.check:
            fuzzer.check()
        numbers = args.only or range(args.first, args.first + args.count)
        if args.command:
            names = [COMMANDS[n % len(COMMANDS)] for n in numbers]
            numbers = [
                n for n, name in zip(numbers, names, strict=True) if name.startswith(args.command)
            ]
        outcomes = []
        for outcome in fuzzer.run(numbers, args.jobs, keep=bool(args.keep)):
            outcomes.append(outcome)
            if outcome.failure or args.only:
                told = json.dumps(outcome.to_dict(args.seed), indent=1, ensure_ascii=True)
                print(told, file=sys.stderr, flush=True)
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    print(table(outcomes))
    print(f"largest memory {max((o.memory for o in outcomes), default=0) / 1e6:,.0f} MB")
    failures = [outcome.to_dict(args.seed) for outcome in outcomes if outcome.failure]
    if args.json:
        Path(args.json).write_text(json.dumps(failures, indent=1) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
