"""What was said about stretches, and the file that ``convert --labels`` reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from img2imu.errors import InputError
from img2imu.label.marks import (
    BY_HAND,
    PROPOSED,
    UNSURE,
    Mark,
    Marks,
    alone,
    read_marks,
    require_class,
    write_marks,
)
from img2imu.recordings import WindowConfig, make_windows
from img2imu.recordings.interval_labels import Labelled

from .samples import Made, library_of, people

stretch = st.tuples(st.integers(0, 80), st.integers(1, 20), st.sampled_from(["a", "b", "", None]))


@settings(max_examples=60, deadline=None)
@given(st.lists(stretch, max_size=12))
def test_the_last_word_counts_as_on_paper(said):
    """Against an array with a cell for each second."""
    marks, paper = Marks(), np.full(101, None, object)
    for begin, length, label in said:
        if label is None:
            marks = marks.erased(0, [(begin, begin + length)])
        else:
            marks = marks.and_mark(0, [(begin, begin + length)], label, BY_HAND)
        paper[begin : begin + length] = label
    found = np.full(101, None, object)
    for mark in marks.marks:
        cells = slice(round(mark.start), round(mark.end))
        assert all(cell is None for cell in found[cells])
        found[cells] = mark.label
    assert found.tolist() == paper.tolist()


def library():
    return library_of(people(3))


def some_marks():
    marks = Marks().and_mark(0, [(0.0, 5.0)], "up, and down", PROPOSED)
    marks = marks.and_mark(1, [(12.3, 40.02)], 'a "quoted" one', BY_HAND)
    marks = marks.and_mark(2, [(85.0, 90.0)], "7", PROPOSED)
    return marks.and_mark(0, [(10.0, 15.0)], "", UNSURE)


def test_convert_gives_windows_the_labels_they_have_here(tmp_path):
    """The same file through `Labelled` and `make_windows`, which know nothing of this package."""
    path, marks = tmp_path / "labels.csv", some_marks()
    write_marks(path, marks, library())
    labels, spoken = marks.of_windows(library())
    source = Labelled(Made(people(3)), path)
    windows = make_windows(source, WindowConfig(overlap=0.0), keep_unlabelled=True)
    assert windows.y.tolist() == labels.astype(str).tolist()
    assert set(labels.tolist()) == {"", "up, and down", 'a "quoted" one', "7"}
    assert spoken.sum() == (labels != "").sum() + 1
    assert not source.report.warnings


def test_a_file_is_read_back(tmp_path):
    path = tmp_path / "labels.csv"
    write_marks(path, some_marks(), library())
    assert read_marks(path, library()) == some_marks()
    assert read_marks(tmp_path / "none.csv", library()) == Marks()


def test_recordings_that_are_not_there_keep_their_labels(tmp_path):
    path = tmp_path / "labels.csv"
    write_marks(path, some_marks(), library())
    alone_now = library_of(people(3)[1:2])
    marks = read_marks(path, alone_now)
    assert [mark.label for mark in marks.marks] == ['a "quoted" one']
    write_marks(path, marks.and_mark(0, [(50.0, 55.0)], "b", BY_HAND), alone_now)
    found = read_marks(path, library())
    assert set(found.marks) == {*some_marks().marks, Mark(1, 50.0, 55.0, "b", BY_HAND)}


def test_runs_of_one_person_in_a_file_are_told_apart_by_time(tmp_path):
    """As tables with a column of subjects give them: the same file, later times."""
    [(subject, _, time, values)] = people(1)
    half = len(time) // 2
    parts = [
        (subject, "day.csv#1", time[:half], values[:half]),
        ("other", "day.csv#2", time[:half] + 1000, values[:half]),
        (subject, "day.csv#3", time[half:] + 2000, values[half:]),
    ]
    both = library_of(parts)
    marks = Marks().and_mark(2, [(float(both.recordings[2].start[1]), 2060.0)], "late", BY_HAND)
    write_marks(tmp_path / "labels.csv", marks, both)
    assert read_marks(tmp_path / "labels.csv", both) == marks
    source = Labelled(Made(parts), tmp_path / "labels.csv")
    windows = make_windows(source, WindowConfig(overlap=0.0), keep_unlabelled=True)
    assert windows.y.tolist() == marks.of_windows(both)[0].astype(str).tolist()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("start,end,label\n0,5,a\n", "not written by img2imu label"),
        ("", "not written by img2imu label"),
        ("subject,file,start,end,label,how\np0,day/0.csv,5,0,a,proposed\n", "no mark"),
        ("subject,file,start,end,label,how\np0,day/0.csv,x,9,a,proposed\n", "no mark"),
        ("subject,file,start,end,label,how\np0,day/0.csv\n", "no mark"),
    ],
)
def test_other_files_are_refused(tmp_path, text, told):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_marks(path, library())
    assert path.read_text() == text


@pytest.mark.parametrize("name", ["", "  ", "NaN", "null", "x" * 61, "a\x00b"])
def test_names_that_no_class_can_have(name):
    with pytest.raises(InputError):
        require_class(name)


def test_names_are_kept_as_files_keep_them():
    assert require_class("  walking \t fast ") == "walking fast"


def test_nobody_else_writes_meanwhile(tmp_path):
    path = tmp_path / "labels.csv"
    with alone(path), pytest.raises(InputError, match="go on in its page"), alone(path):
        pass
    with alone(path):
        pass
    assert list(tmp_path.iterdir()) == []
