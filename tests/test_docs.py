"""What README and docs show: commands that parse, names that exist, outputs with an origin."""

import csv
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
build = importlib.util.module_from_spec(_spec)
sys.modules["docs_build"] = build
_spec.loader.exec_module(build)

PAGES = {str(path.relative_to(ROOT)): path for path in build.pages()}


def test_the_pages_are_found():
    wanted = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/data.md", "docs/export.md"}
    assert wanted < PAGES.keys()
    assert "android_demo/README.md" in PAGES


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_names_exists(name):
    assert build.problems(PAGES[name], PAGES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```console\n$ img2imu probe w.npz --probe logistic\n```\n", "no option --probe"),
        ("```console\n$ img2imu probe\n```\n", "windows"),
        ("```console\n$ img2imu fly\n```\n", "fly"),
        ("```console\n$ img2imu probe w.npz --methods guess\n```\n", "no guess for --methods"),
        ("```console\n$ img2imu study grid w.npz -o o --windows few\n```\n", "few"),
        ("```bash\nsrun torchrun -m img2imu pretrain \\\n  --out x\n```\n", "no option --out"),
        ("    img2imu data check\n", "path"),
        ("See `img2imu study table2 --out DIR`.\n", "no option --out"),
        ("See `img2imu fly`.\n", "no command fly"),
        ("With `--no-such-option 3`.\n", "no --no-such-option"),
        ("Look at `img2imu/probe/evaluation.py`.\n", "no img2imu/probe/evaluation.py"),
        ("The class `img2imu.fewshot.Guess`.\n", "no img2imu.fewshot.Guess"),
        ("Run `make coffee`.\n", "no target coffee"),
        ("    make coffee\n", "no target coffee"),
        ("[here](nowhere.md)\n", "leads nowhere"),
        ("![here](docs/nowhere.png)\n", "leads nowhere"),
        ("[here](CONTRIBUTING.md#no-such-part)\n", "no heading"),
        ("```python\nfrom img2imu import Guess\n```\n", "no img2imu.Guess to import"),
        ("```python\nfor\n```\n", "does not compile"),
        ("```console\n$ img2imu data list\ngoat\n```\n", "neither run nor kept"),
        ("<!-- report: results/no.json -->\n```console\n$ img2imu bench pack\n```\n", "no results"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    problems = build.problems(ROOT / "README.md", text)
    assert any(told in problem for problem in problems), problems


def test_what_is_right_is_not_told():
    text = (
        "[here](#a-part) and [there](CONTRIBUTING.md#add-a-view)\n\n## A part\n\n"
        "`img2imu probe --shots`, `--windows all`, `make docs`, `img2imu/NAME.py`\n\n"
        "```console\n$ img2imu probe w.npz --methods img2imu random-2d --shots 1 all | tail\n```\n"
        "<!-- kept -->\n```console\n$ img2imu data list\ngoat\n```\n"
        "```python\nimport img2imu.convert\nfrom img2imu.convert import to_images\n```\n"
    )
    assert build.problems(ROOT / "README.md", text) == []


def test_examples_of_the_help_parse():
    parsers = [build._parser()]
    examples = 0
    while parsers:
        parser = parsers.pop()
        for action in parser._actions:
            if hasattr(action, "choices") and isinstance(action.choices, dict):
                parsers += action.choices.values()
        text = re.sub(r"\\\n", " ", parser.epilog or "")
        for line in re.findall(r"^  .*img2imu .*$", text, re.MULTILINE):
            assert list(build._of_shell(line)) == []
            examples += 1
    assert examples > 20


def test_reports_are_shown_as_they_are_kept():
    shown = [block for path in PAGES.values() for block in build.blocks(path.read_text("utf-8"))]
    reports = [block for block in shown if block.mark == "report"]
    assert len(reports) == 6
    for block in reports:
        [(_, output)] = block.commands()
        assert output == build.shown_report(ROOT / block.what)


def test_a_page_is_run_in_its_order(tmp_path):
    text = (
        "<!-- setup\necho 3 > number\n-->\n"
        "<!-- run -->\n```console\n$ cat number\n2\n$ echo a \\\n  b\n```\n"
        "<!-- run -->\n```python\nfrom pathlib import Path\nPath('number').write_text('4')\n```\n"
        "<!-- run -->\n```console\n$ cat number\n```\n"
        "<!-- run: needs no_such_data -->\n```console\n$ cat number\nas before\n```\n"
        "```console\n$ exit 1\n```\n"
    )
    written = tmp_path / "page.md"
    written.write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir()
    found = build.rebuilt(written, folder)
    assert found == text.replace("number\n2\n", "number\n3\n").replace(
        "  b\n", "  b\na b\n"
    ).replace("$ cat number\n```", "$ cat number\n4\n```")


def test_a_command_that_fails_ends_everything(tmp_path):
    (tmp_path / "page.md").write_text("<!-- run -->\n```console\n$ cat nothing\n```\n")
    with pytest.raises(SystemExit, match="cat nothing"):
        build.rebuilt(tmp_path / "page.md", tmp_path)


def test_only_what_was_measured_stays_as_it_was():
    row = "  model.onnx  {}   {}.00  2.00  3.00  4.00  5.00\n"
    shown = "3 images\n7,000 images/s; 9.2 MB\n" + row.format(1, 8) + row.format(2, 7) + "old\n"
    printed = "4 images\n6,000 images/s; 9.2 MB\n" + row.format(1, 9) + row.format(2, 9) + "new \n"
    wanted = "4 images\n7,000 images/s; 9.2 MB\n" + row.format(1, 8) + row.format(2, 7) + "new\n"
    assert build.as_before(printed, shown) == wanted
    assert build.as_before("4 images\n6,000 images/s; 9.3 MB\n", shown).endswith(
        "6,000 images/s; 9.3 MB\n"
    )


def test_the_readme_shows_the_kept_scores():
    """Of every data set and method of its table, mean and deviation to the third decimal."""
    columns = ["left-out", "imagenet", "random-2d", "hand-forest", "quant"]
    columns += ["multirocket", "minirocket"]
    sets = ["exercise", "exercise-2s", "wisdm-2019", "motionsense", "motionsense-2s", "daphnet"]
    sets += ["cow-collars", "road-surface", "mean"]
    with (ROOT / "results/default-encoder/table2-2x-amd-epyc.csv").open() as file:
        kept = {
            (row["dataset"], row["row"]): (row["f1_mean"], row["f1_std"])
            for row in csv.DictReader(file)
            if row["probe"] in ("logistic", "forest") and row["row"] in columns
        }
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\|.*\.\d\d\d", line)]
    assert len(lines) == len(sets)
    for name, line in zip(sets, lines, strict=True):
        cells = re.findall(r"(\.\d{3})(?: ± (\.\d{3}))?", line)
        for column, cell in zip(columns, cells, strict=True):
            for shown, exact in zip(cell, kept[name, column], strict=True):
                assert bool(shown) == bool(exact)
                assert not shown or abs(float(shown) - float(exact)) < 0.0006
