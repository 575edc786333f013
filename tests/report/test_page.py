"""The page: whole, true to the results, and without anything from elsewhere."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from img2imu.convert import recommended_views
from img2imu.environment import environment
from img2imu.recordings import Windows
from img2imu.report import write_report
from img2imu.report.page import _power, duration, number
from img2imu.timeline.tracks import Envelope, Timeline, Track

CLASSES = ["<b>walk</b>", "sit"]
VIEWS = recommended_views(20.0, 40)


def record(method: str, shots: int, mean: float) -> dict:
    confusion = [[8, 2], [1, 9]]
    return {
        "method": method, "shots": shots, "f1_mean": mean, "f1_std": 0.04, "confusion": confusion
    }  # fmt: skip


def make_results(kind: str = "random") -> dict:
    fold = {"train": ["1", "2"], "validation": ["3"], "test": ["4"]}
    encoder = {"name": "resnet18", "stages": [2], "bands": 6}
    latency = {"threads": 1, "runtime": "onnxruntime 1", "p50_ms": 4.04, "p90_ms": 5,
               "p99_ms": 6, "max_ms": 7}  # fmt: skip
    return {
        "data": {"name": "exercise", "title": "a watch", "noun": "exercise", "citation": "Burns",
                 "licence": "BSD"},
        "shots": 10,
        "weights": {"encoder": "resnet18", "kind": kind, "title": "TITLE"},
        "settings": {
            "probe": {"encoder": encoder, "shots": [1, 10], "seeds": 3, "C": [0.01]},
            "splits": {"folds": [fold] * 5},
        },
        "results": [
            record("img2imu", 1, 0.513), record("img2imu", 10, 0.764),
            record("random-2d", 1, 0.40), record("random-2d", 10, 0.70),
            record("hand-forest", 1, 0.60), record("hand-forest", 10, 0.75),
        ],
        "held_out": {"subject": "4", "scores": {"accuracy": 0.5, "windows": 4, "macro_f1": 0.43}},
        "export": {
            "path": "model.onnx", "size": 3_300_000, "latency": [latency],
            "parity": {"windows": 14, "logits": 3.2e-6, "tolerance": 1e-4},
        },
        "environment": environment(),
        "steps": [{"name": "Cut", "seconds": 61.0}, {"name": "Fit", "seconds": 2.0}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    windows = Windows(
        rng.normal(size=(8, 3, 40)).astype(np.float32),
        np.array(CLASSES * 4),
        np.array(["1", "1", "2", "2", "3", "3", "4", "4"]),
        np.array(["r"] * 8),
        np.zeros(8),
        20.0,
    )
    envelope = Envelope(20.0)
    start = np.arange(4.0)
    envelope.add(start, windows.X[:4])
    confidence = np.array([0.9, 0.7, 0.5, 0.6], np.float32)
    code, truth = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
    none = np.full(4, np.nan)
    track = Track("4", "r", 2.0, start, code, confidence, truth, envelope, start, none)
    return windows, VIEWS, Timeline(CLASSES, [track], {}, {})


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, make_results(), *parts)
    return path.read_text(encoding="utf-8")


class Collector(HTMLParser):
    """Sections, what is fetched from where, and the cells of the tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[tuple[str, str]]] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        wanted = ("src", "href", "srcset", "data", "action", "poster", "background")
        self.fetched += [values[name] for name in wanted if name in values]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.in_cell = True
            self.rows[-1].append((values.get("class", ""), ""))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            style, text = self.rows[-1][-1]
            self.rows[-1][-1] = (style, " ".join([*text.split(), *data.split()]))


def test_has_every_section(page):
    assert Collector(page).ids == [
        "weights", "gallery", "curve", "confusion", "timeline", "latency", "settings",
    ]  # fmt: skip


def test_counts_the_pictures_that_are_shown(page):
    # Four kinds among five: the two detrended spectrograms are one kind.
    assert "Below it are 4 of the 5 pictures" in " ".join(page.split())


def test_nothing_comes_from_elsewhere(page):
    collected = Collector(page)
    assert len(collected.fetched) == 4
    assert all(value.startswith("data:image/") for value in collected.fetched)
    assert not {"link", "script", "iframe", "object", "embed"} & set(collected.tags)
    without_data = re.sub(r'"data:[^"]*"', '""', page)
    assert not re.search(r"url\(|@import|https?:|//[a-z]", without_data)


def test_pictures_fetch_nothing_either(page):
    drawings = re.findall(r"data:image/svg\+xml;base64,([^\"]*)", page)
    assert len(drawings) == 3
    for drawing in drawings:
        text = base64.b64decode(drawing).decode()
        assert all(link.startswith(("#", "data:")) for link in re.findall(r'href="([^"]*)"', text))
        assert not re.search(r"url\((?!#)", text)


def test_the_main_number_is_the_headline(page):
    headline = " ".join(re.sub("<[^>]*>", "", page[page.index("<h1>") :].split("</h1>")[0]).split())
    assert headline == ("Macro-F1 .76 from 10 labelled windows per exercise, on people held out")


def test_the_table_marks_the_best_of_each_column(page):
    rows = {row[0][1]: row[1:] for row in Collector(page).rows if row and len(row) == 3}
    assert rows["img2imu"] == [("", ".51 ± .04"), ("best", ".76 ± .04")]
    assert rows["hand-made features + random forest"] == [
        ("best", ".60 ± .04"),
        ("", ".75 ± .04"),
    ]


def test_random_weights_are_owned_up_to(page):
    assert "Weights of the encoder: random." in page
    assert "has never seen an image" in page
    assert "--weights FILE" in page


def test_given_weights_are_named_and_measured(parts, tmp_path):
    write_report(tmp_path / "r.html", make_results("file"), *parts)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Weights of the encoder: TITLE." in page
    assert "worth +.06 macro-F1" in page
    assert "never seen an image" not in page


def test_of_several_random_networks_mean_and_range_are_told(parts, tmp_path):
    results = make_results("file")
    for random in (each for each in results["results"] if each["method"] == "random-2d"):
        random["f1_networks"] = [random["f1_mean"] + d for d in (-0.02, 0.03, -0.01)]
    write_report(tmp_path / "r.html", results, *parts)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "same network, untrained (mean of 3) .70." in page
    assert "worth +.06 macro-F1 here. That network is the mean of 3, of different seeds" in page
    assert "which have .680 to .730." in page
    rows = {row[0][1]: row[1:] for row in Collector(page).rows if row and len(row) == 3}
    assert [text[:3] for _, text in rows["same network, untrained (mean of 3)"]] == [".40", ".70"]


def test_says_who_is_ahead_even_if_it_is_another(parts, tmp_path, page):
    assert "img2imu is the best of them" in page
    results = make_results()
    results["results"][-1]["f1_mean"] = 0.80
    write_report(tmp_path / "r.html", results, *parts)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "The best is ahead of img2imu by .04" in text


def test_confidence_of_right_and_wrong_labels(page):
    assert "where they agree the mean confidence is .80, where they differ .55" in page


def test_labels_are_text_not_markup(page):
    assert "<b>walk</b>" not in page
    assert "&lt;b&gt;walk&lt;/b&gt;" in page


def test_a_failure_keeps_the_old_page(parts, tmp_path):
    (tmp_path / "r.html").write_text("old")
    results = make_results()
    del results["data"]["citation"]
    with pytest.raises(Exception, match="citation"):
        write_report(tmp_path / "r.html", results, *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.764, ".76"), (1.0, "1.00"), (0.0, ".00"), (-0.05, "−.05"), (0.999, "1.00")],
)
def test_number(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.84, "0.8 s"), (12.4, "12 s"), (59.7, "1 min 0 s"), (160, "2 min 40 s")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.2e-6, "3 · 10⁻⁶"), (1e-4, "10⁻⁴"), (9.6e-5, "10⁻⁴")]
)
def test_power(value, text):
    assert _power(value) == text
