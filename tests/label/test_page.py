"""The page in a real browser: keys, mouse, two tabs, eight hours of data."""

import math
import struct
import threading
import wave

import numpy as np
import pytest

from img2imu.fewshot import ProbeConfig
from img2imu.label import LabelServer, Media, Session, serve
from img2imu.label import session as module
from img2imu.label.marks import read_marks

from .browser import Browser, find_browser, polled
from .samples import RATE, library_of, movement, people, truth_of
from .test_session import KINDS, quick_features


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium or Chrome here: install one, or name it by IMG2IMU_BROWSER")
    with Browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(browser, tmp_path, monkeypatch):
    """Opens tabs on a session that is served from this process."""
    monkeypatch.setattr(module, "compute_features", quick_features)
    ending = []

    def open_page(library=None, **settings):
        library = library or library_of(people())
        session = Session(library, tmp_path / "labels.csv", ProbeConfig("fast"), **settings)
        session.start()
        server = LabelServer(session)
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        ending.append((session, server, thread))
        polled(lambda: session._ready)
        return session, lambda: ready(browser.open(server.url))

    browser.problems.clear()
    yield open_page
    for session, server, thread in ending:
        server.shutdown()
        session.close()
        thread.join()


def ready(tab):
    tab.until("state && timeline.data && detail.data && !timeline.drawing")
    return tab


def answered(tab, count):
    return tab.until(f"!busy && state.answers === {count}")


def test_keys_and_clicks_label(page, browser):
    session, tab = page(classes=KINDS)
    tab, truth = tab(), truth_of(session.library)
    for count in range(1, 15):
        number = tab.value("state.current.window")
        name = KINDS[truth[number]]
        if count % 3:
            tab.key(str(KINDS.index(name) + 1))
        else:
            tab.click(f'#classes button[data-name="{name}"]')
        answered(tab, count)
        assert session._labels[number] == name
    assert tab.value("document.querySelector('#answers').textContent") == "14"
    tab.until("state.estimate && document.querySelector('#estimate').textContent.startsWith('.')"
              " || state.estimate?.f1 === 1")  # fmt: skip
    # The predicted timeline is painted: its band shows more than paper.
    tab.until("predictions.get(shown) && !timeline.drawing")
    shown = tab.value("predictions.get(shown).codes.length")
    assert shown == len(session.library.recordings[tab.value("shown")].start)
    tab.key("u")
    answered(tab, 13)
    tab.key("s")
    tab.until("!busy && state.revision >= 16")
    tab.key("?")
    polled(lambda: any(not mark.label for mark in session._marks.marks))
    tab.until("!busy && state.revision >= 17")
    tab.click("#undo")
    polled(lambda: all(mark.label for mark in session._marks.marks))
    assert len(read_marks(session.path, session.library).marks) == 13
    assert browser.problems == []


def test_a_new_class_by_keyboard(page, browser):
    session, tab = page()
    tab = tab()
    assert "press n" in tab.value("document.querySelector('#classes').textContent")
    number = tab.value("state.current.window")
    tab.key("n")
    tab.until("document.querySelector('#naming').open")
    tab.type("suns & nuts")  # letters that are keys elsewhere
    tab.key("Enter")
    answered(tab, 1)
    assert session._labels[number] == "suns & nuts"
    assert tab.value("document.querySelector('#classes .title').textContent") == "suns & nuts"
    assert browser.problems == []


def test_a_stretch_is_dragged_labelled_and_removed(page, browser):
    session, tab = page(classes=KINDS)
    tab = tab()
    shown = tab.value("shown")
    seconds = session.library.recordings[shown].seconds
    left, top, width, height = tab.place("#timeline")
    margin = tab.value("MARGIN")

    def point(part):
        return left + margin + part * (width - margin), top + height / 3

    tab.drag(point(0.25), point(0.4), point(0.5))
    tab.until("selection")
    assert tab.value("document.querySelector('#asked').textContent") == "What is this stretch?"
    tab.key("2")
    answered(tab, 1)
    [mark] = session._marks.marks
    assert (mark.recording, mark.label, mark.how) == (shown, "sit", "by hand")
    assert (mark.start, mark.end) == pytest.approx((seconds / 4, seconds / 2), abs=seconds / 200)
    tab.drag(point(0.3), point(0.6))
    tab.until("selection")
    tab.key("Escape")
    tab.until("!selection")
    tab.drag(point(0.2), point(0.6))
    tab.until("selection")
    tab.key("Delete")
    answered(tab, 0)
    assert session._marks.marks == ()
    assert browser.problems == []


def test_the_wheel_zooms_around_the_mouse(page, browser):
    _, tab = page(classes=KINDS)
    tab = tab()
    left, top, width, height = tab.place("#timeline")
    x = left + 0.7 * width
    at = f"timeline.at({x - left})"
    before, span = tab.value(at), tab.value("timeline.to - timeline.from")
    for _ in range(4):
        tab.wheel(x, top + height / 2, -120)
    tab.until(f"timeline.to - timeline.from < {span} / 2")
    assert tab.value(at) == pytest.approx(before, abs=0.5)
    tab.key("0")
    tab.until("timeline.from === 0 && timeline.to === library.recordings[shown].seconds")
    assert browser.problems == []


def test_two_tabs_see_the_same(page, browser):
    session, tab = page(classes=KINDS)
    one, other = tab(), tab()
    number = one.value("state.current.window")
    assert other.value("state.current.window") == number
    one.key("1")
    answered(one, 1)
    # The other tab has not looked yet, or has: the same window cannot become something else.
    other.value(f"post('answer', {{window: {number}, answer: 'class', label: 'walk'}})")
    assert "another tab" in other.until("document.querySelector('#told').textContent")
    assert session._labels[number] == "lie"
    answered(other, 1)
    other.until("state.current.window === " + str(one.value("state.current.window")))
    other.key("2")
    answered(one, 2)
    assert len(session._marks.marks) == 2
    assert all("400" in problem for problem in browser.problems)


def test_a_closed_tab_loses_nothing(page, browser):
    _, tab = page(classes=KINDS)
    first = tab()
    first.key("1")
    answered(first, 1)
    first.command("Page.navigate", url="about:blank")
    again = tab()
    assert again.value("state.answers") == 1
    assert again.value("document.querySelector('#classes .count').textContent") == "1"


def test_it_says_when_the_command_has_ended(page, browser):
    _, tab = page(classes=KINDS)
    tab = tab()
    tab.value("fetch = () => Promise.reject(new TypeError('gone'))")
    tab.key("1")
    assert "has ended" in tab.until("document.querySelector('#told.bad')?.textContent")


def test_sound_plays_in_step(page, browser, tmp_path):
    path = tmp_path / "step.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = [int(8000 * math.sin(place / 9)) for place in range(8000 * 60)]
        file.writeframes(struct.pack(f"<{len(tone)}h", *tone))
    _, tab = page(library_of(people(1)), classes=KINDS, media=Media(path, 2.0))
    tab = tab()
    tab.until("media && media.readyState > 0")
    start = tab.value("state.current.at")
    tab.until(f"Math.abs(media.currentTime - Math.max(0, {start} - 2)) < 0.1")
    left, top, width, height = tab.place("#timeline")
    tab.drag((left + 0.5 * width, top + height / 3))
    wanted = tab.value(f"timeline.at({0.5 * width})")
    tab.until(f"Math.abs(media.currentTime - ({wanted} - 2)) < 0.2")
    tab.key(" ")
    tab.until("!media.paused && playhead() > 0")
    assert browser.problems == []


def test_eight_hours_are_drawn(page, browser):
    """At 50 Hz: whole and near, with as many numbers as the screen has columns."""
    rng = np.random.default_rng(0)
    samples = round(8 * 3600 * RATE)
    minutes = [movement(kind, round(60 * RATE), rng) for kind in (0, 1, 2)]
    values = np.concatenate([minutes[k] for k in rng.integers(3, size=480)])[:samples]
    day = [("ann", "day.csv", np.arange(samples) / RATE, values)]
    _, tab = page(library_of(day), classes=KINDS)
    tab = tab()
    tab.key("0")
    tab.until("timeline.to === library.recordings[0].seconds && timeline.data?.to === timeline.to")
    width = tab.value("Math.round(timeline.width)")
    assert tab.value("timeline.data.trace.length") == 2 * 3 * width
    shown = np.array(tab.value("[...timeline.data.trace]")).reshape(2, 3, width)
    cut = np.array_split(values, width)
    # Edges are as fine as a quarter of a column.
    middle = [part[len(part) // 4 : -(len(part) // 4)] for part in cut]
    lowest = np.stack([part.min(0) for part in middle], axis=1)
    assert (shown[0] <= lowest + 1e-4).all()
    tab.key("1")
    answered(tab, 1)
    assert browser.problems == []


def painted(tab):
    """How many colours the whole page shows, as a screenshot has them."""
    return tab.value(
        "(c => new Set(new Uint32Array(c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data.buffer)).size)(timeline.canvas)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_drawn_in_both_schemes(page, browser, scheme):
    _, tab = page(classes=KINDS)
    tab = tab()
    tab.scheme(scheme)
    tab.until("!timeline.drawing")
    paper = tab.value("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, paper.removeprefix("rgb(").removesuffix(")").split(","))) > 384
    assert light == (scheme == "light")
    assert painted(tab) > 200
    # Nothing is wider than the window, and no words are cut at its usual height.
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
