"""Answers, tabs, undo, and what is learnt behind them."""

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.fewshot import Img2ImuClassifier, ProbeConfig
from img2imu.label import Media, Session
from img2imu.label import session as module
from img2imu.label.marks import read_marks
from img2imu.recordings import WindowConfig, make_windows
from img2imu.recordings.interval_labels import Labelled

from .browser import polled
from .samples import Made, library_of, people, truth_of

KINDS = ("lie", "sit", "walk")


def quick_features(library, config, device="cpu", on_batch=lambda count: None):
    """Mean, deviation and pace of each axis in place of an encoder's features."""
    X = library.windows(range(len(library)))
    pace = np.abs(np.fft.rfft(X - X.mean(2, keepdims=True)))[:, :, 1:30].argmax(2)
    on_batch(len(X))
    features = np.concatenate([X.mean(2), X.std(2), pace], axis=1)
    return [features.astype(np.float32)], [9]


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Sessions on one file of labels, ended after the test."""
    monkeypatch.setattr(module, "compute_features", quick_features)
    sessions = []

    def open_one(library=None, learning=False, **settings):
        library = library or library_of(people())
        session = Session(library, tmp_path / "labels.csv", ProbeConfig("fast"), **settings)
        sessions.append(session)
        if learning:
            session.start()
        return session

    yield open_one
    for session in sessions:
        if hasattr(session, "_worker"):
            session.close()


def state(session):
    return session.reads["state"]({})


def say(session, label, window=None):
    number = state(session)["current"]["window"] if window is None else window
    return session.writes["answer"]({"window": number, "answer": "class", "label": label})


def settled(session):
    """The state once everything that was said is learnt."""
    return polled(lambda: (found := state(session))["estimate"] and not found["progress"] and found)


def test_every_answer_is_on_disk_at_once(opened):
    session = opened(classes=["a", "b"])
    for count in range(1, 5):
        window = state(session)["current"]["window"]
        assert say(session, "ab"[count % 2])["answers"] == count
        marks = read_marks(session.path, session.library).marks
        assert len(marks) == count
        owner = session.library.owner[window]
        assert (marks[-1].recording, marks[-1].start) == (owner, session.library.start[window])


def test_whoever_comes_back_goes_on(opened):
    first = opened(classes=["a"])
    say(first, "a")
    first.writes["class"]({"name": "  new   one "})
    say(first, "new one")
    window = state(first)["current"]["window"]
    first.writes["answer"]({"window": window, "answer": "unsure"})
    second = opened(classes=["b"])
    found = state(second)
    assert found["answers"] == 2
    assert found["classes"] == ["b", "a", "new one"]
    said = {mark[0:3] and tuple(mark[:3]) for mark in state(first)["marks"]}
    assert {tuple(mark[:3]) for mark in found["marks"]} == said
    asked = set()
    while (current := state(second)["current"]) is not None:
        asked.add(current["window"])
        say(second, "b")
    # All but the three that were spoken of, the one somebody was unsure about among them.
    assert len(asked) == len(second.library) - 3
    assert window not in asked


def test_a_second_tab_loses_and_doubles_nothing(opened):
    session = opened(classes=["a", "b"])
    window = state(session)["current"]["window"]  # what both tabs show
    say(session, "a", window)
    version = state(session)["version"]
    assert say(session, "a", window)["version"] == version  # the same again is said once
    with pytest.raises(InputError, match="another tab"):
        say(session, "b", window)
    assert state(session)["counts"] == [1, 0]
    # A window that is not the one proposed, but unanswered, counts: no answer is lost.
    other = next(n for n in range(len(session.library)) if not session._spoken[n])
    assert say(session, "b", other)["counts"] == [1, 1]


def test_undo_goes_back_step_by_step(opened):
    session = opened(classes=["a", "b"])
    states = [state(session)]
    for number, (said, label) in enumerate(
        [("class", "a"), ("skip", None), ("unsure", None), ("class", "b")]
    ):
        window = states[-1]["current"]["window"]
        body = {"window": window, "answer": said, "label": label}
        states.append(session.writes["answer"](body))
        assert states[-1]["revision"] == number + 1
    segment = {"recording": 0, "from": 2.0, "to": 44.0, "label": "b"}
    states.append(session.writes["segment"](segment))
    with pytest.raises(InputError, match="meanwhile"):
        session.writes["undo"]({"revision": states[-2]["revision"]})
    for before in reversed(states[:-1]):
        found = session.writes["undo"]({"revision": state(session)["revision"]})
        for what in ("marks", "counts", "current", "answers"):
            assert found[what] == before[what]
    with pytest.raises(InputError, match="nothing to undo"):
        session.writes["undo"]({"revision": state(session)["revision"]})
    assert read_marks(session.path, session.library).marks == ()


def test_undo_reaches_what_an_earlier_session_said(opened):
    first = opened(classes=["a"])
    say(first, "a")
    say(first, "a")
    second = opened()
    assert second.writes["undo"]({"revision": 0})["answers"] == 1


def test_a_stretch_by_hand_replaces_and_removes(opened):
    session = opened(classes=["a", "b"])
    session.writes["segment"]({"recording": 1, "from": 10.0, "to": 30.0, "label": "a"})
    found = session.writes["segment"]({"recording": 1, "from": 15.0, "to": 20.0, "label": "b"})
    assert sorted(mark[1:] for mark in found["marks"]) == [[10, 15, 0], [15, 20, 1], [20, 30, 0]]
    found = session.writes["segment"]({"recording": 1, "from": 12.0, "to": 22.0, "label": None})
    assert sorted(mark[1:] for mark in found["marks"]) == [[10, 12, 0], [22, 30, 0]]
    with pytest.raises(InputError, match="nothing recorded"):
        session.writes["segment"]({"recording": 1, "from": 900.0, "to": 901.0, "label": "a"})


def test_a_window_that_was_labelled_by_hand_is_not_asked(opened):
    session = opened(classes=["a"])
    current = state(session)["current"]
    body = {"recording": current["recording"], "from": 0.0, "to": 1e4, "label": "a"}
    found = session.writes["segment"](body)
    assert found["current"]["recording"] != current["recording"]


def test_it_learns_proposes_and_estimates(opened):
    session = opened(learning=True, classes=KINDS)
    truth = truth_of(session.library)
    polled(lambda: state(session)["progress"] is None)
    for _ in range(18):
        number = state(session)["current"]["window"]
        found = say(session, KINDS[truth[number]])
    found = settled(session)
    assert min(found["counts"]) >= 4  # all kinds were asked about
    assert found["estimate"]["f1"] > 0.9
    assert found["estimate"]["by"] == "people"
    polled(lambda: state(session)["version"] and session._learnt)
    told = b"".join(
        session.reads["predictions"]({"recording": str(number)})[: len(recording.start)]
        for number, recording in enumerate(session.library.recordings)
    )
    assert (np.frombuffer(told, np.uint8) == truth).mean() > 0.95
    guess = state(session)["current"]["guess"]
    assert sum(guess) == pytest.approx(1, abs=1e-3)


def test_predictions_count_classes_as_the_page_does(opened):
    session = opened(learning=True, classes=["zebra", "never", "ant"])
    library = session.library
    for number in range(6):
        say(session, "zebra", number)
        say(session, "ant", len(library) - 1 - number)
    polled(lambda: session._learnt)
    told = session.reads["predictions"]({"recording": "0"})
    assert told[0] == 0  # zebra, though it comes last by the alphabet
    assert set(told[: len(library.recordings[0].start)]) <= {0, 2}


def test_finish_writes_a_classifier(opened, tmp_path):
    session = opened(classes=KINDS)
    with pytest.raises(InputError, match="two classes"):
        session.writes["finish"]({})
    truth = truth_of(session.library)
    for number in range(0, len(truth), 4):
        say(session, KINDS[truth[number]], number)
    session.writes["finish"]({})
    told = polled(lambda: state(session)["finish"])
    assert told == f"classifier in {tmp_path / 'labels-model'}"
    classifier = Img2ImuClassifier.load(tmp_path / "labels-model")
    assert classifier.classes_.tolist() == sorted(KINDS)
    numbers = np.arange(1, len(truth), 7)
    predicted = classifier.predict(session.library.windows(numbers))
    assert np.mean(predicted == np.array(KINDS)[truth[numbers]]) > 0.9
    windows = make_windows(Labelled(Made(people()), session.path), WindowConfig(overlap=0.0))
    assert len(windows) == len(range(0, len(truth), 4))


def test_what_cannot_be_kept_is_not_answered(opened, monkeypatch):
    session = opened(classes=["a"])
    say(session, "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_marks", full)
    before = state(session)
    with pytest.raises(InputError, match="No space left"):
        say(session, "a")
    assert state(session) == before


def test_a_failure_behind_is_told(opened, monkeypatch):
    def broken(*_, **__):
        raise MemoryError("no memory")

    session = opened(classes=["a"])
    monkeypatch.setattr(module, "compute_features", broken)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    session.start()
    assert "no memory" in polled(lambda: state(session)["failure"])
    assert say(session, "a")["answers"] == 1


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("answer", {"window": 10**6, "answer": "class", "label": "a"}),
        ("answer", {"window": -1, "answer": "class", "label": "a"}),
        ("answer", {"window": 0, "answer": "class", "label": "unknown"}),
        ("answer", {"window": 0, "answer": "maybe"}),
        ("segment", {"recording": 9, "from": 0, "to": 5, "label": "a"}),
        ("segment", {"recording": 0, "from": 5, "to": 5, "label": "a"}),
        ("segment", {"recording": 0, "from": float("nan"), "to": 5, "label": "a"}),
        ("class", {"name": "nan"}),
    ],
)
def test_what_makes_no_sense_changes_nothing(opened, name, body):
    session = opened(classes=["a"])
    before = state(session)
    with pytest.raises(InputError):
        session.writes[name](body)
    assert state(session) == before
    assert not session.path.exists()


def test_a_video_goes_with_one_recording(opened, tmp_path):
    (tmp_path / "walk.mp4").write_bytes(b"")
    media = Media(tmp_path / "walk.mp4", 3.0)
    assert media.kind == "video"
    with pytest.raises(InputError, match="one recording"):
        opened(media=media)
    opened(library_of(people(1)), media=media)
    (tmp_path / "notes.txt").write_bytes(b"")
    with pytest.raises(InputError, match="neither"):
        Media(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no video"):
        Media(tmp_path / "gone.mp4")
