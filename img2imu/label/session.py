"""The labelling itself: who answered what, what is asked next, and what was learnt of it."""

from __future__ import annotations

import math
import mimetypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fewshot import ProbeConfig, fit_classifier
from ..recordings import UNLABELLED, Windows
from .learning import Estimate, Learning, compute_features
from .marks import BY_HAND, PROPOSED, UNSURE, Marks, read_marks, require_class, write_marks
from .proposals import Proposer, spread
from .recordings import Library

AHEAD = 4
"""Windows proposed at a time: the next one is there before the head is fitted again."""

WIDEST = 8192
"""Columns of a picture of a recording."""

MOST_CLASSES = 60
"""A page has keys and colours for so many at most."""

BACKGROUND = 1000
"""Unlabelled windows that a finished classifier learns from beside the labelled ones."""


@dataclass(frozen=True)
class Media:
    """A video or sound of what was recorded.

    Attributes
    ----------
    path
        The file.
    offset
        Seconds of the recording's clock at which it begins.

    Raises
    ------
    InputError
        If there is no such file, or its name does not say that it is a video or sound.
    """

    path: Path
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise InputError(f"there is no video {self.path}")
        if self.kind not in ("video", "audio"):
            raise InputError(f"{self.path} is neither a video nor sound, by its name")
        if not math.isfinite(self.offset):
            raise InputError(f"the video's offset must be seconds, not {self.offset}")

    @property
    def kind(self) -> str:
        """``video`` or ``audio``."""
        return str(mimetypes.guess_type(self.path.name)[0]).partition("/")[0]


class _Closed(Exception):  # noqa: N818
    """The work in the background is to end."""


@dataclass(frozen=True)
class _Answered:
    """What can be undone to."""

    marks: Marks
    skipped: tuple[int, ...]
    current: int | None


@dataclass(frozen=True)
class _Learnt:
    """What a head says of all windows: class number and confidence, and everything as it is."""

    classes: list[str]
    probability: NDArray[np.float32]

    def of(self, windows: slice) -> bytes:
        """A byte each: all class numbers, then all confidences from 0 to 255."""
        shown = self.probability[windows]
        confidence = np.round(shown.max(1) * 255).astype(np.uint8)
        return shown.argmax(1).astype(np.uint8).tobytes() + confidence.tobytes()


class Session:
    """Everything a page asks, and the thread that learns behind it; safe to use from threads.

    Every change is on disk before it is answered.

    Parameters
    ----------
    library
        What is labelled.
    path
        Of the file of labels; one that is there already is gone on with.
    config
        What is drawn of a window, and what reads it.
    classes
        To begin with; labels of the file and new ones come behind them.
    model
        Folder that a finished classifier is written to; beside the file of labels when None.
    media
        What plays beside the recording, which must be the only one.
    device
        Where the encoder runs.

    Attributes
    ----------
    reads, writes
        By name what a page may ask: functions from a query, or a JSON object, to JSON or bytes.
    """

    def __init__(
        self,
        library: Library,
        path: Path,
        config: ProbeConfig,
        classes: Sequence[str] = (),
        model: Path | None = None,
        media: Media | None = None,
        device: str = "cpu",
    ) -> None:
        self.library, self.path, self.config, self.device = library, path, config, device
        self.media = media
        self.model = model or path.with_name(f"{path.stem}-model")
        if media and len(library.recordings) > 1:
            raise InputError(
                f"a video goes with one recording, and there are {len(library.recordings)}: "
                "give the file it belongs to alone"
            )
        self._changed = threading.Condition(threading.RLock())
        self._version = self._revision = 0
        self._marks = read_marks(path, library)
        self._history: list[_Answered] = []
        self._skipped: tuple[int, ...] = ()
        self._classes: list[str] = []
        told = [mark.label for mark in self._marks.marks if mark.label]
        for name in [*classes, *told]:
            self._add_class(name)
        self._spread = spread(library.owner, self._persons(), np.random.default_rng(0))
        self._queue: list[int] = []
        self._current: int | None = None
        self._learnt: _Learnt | None = None
        self._estimate: Estimate | None = None
        self._estimated_by = ""
        self._done = 0
        self._ready = self._closed = False
        self._failure = self._finish = ""
        self._finishing = False
        self._finisher: threading.Thread | None = None
        self._labels, self._spoken = self._marks.of_windows(library)
        self._move_on()
        self.reads: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
            "library": self._read_library,
            "state": self._read_state,
            "trace": self._read_trace,
            "spectrogram": self._read_spectrogram,
            "predictions": self._read_predictions,
        }
        self.writes: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "answer": self._write_answer,
            "segment": self._write_segment,
            "undo": self._write_undo,
            "class": self._write_class,
            "finish": self._write_finish,
        }

    def start(self) -> None:
        """Compute features in the background, and then learn after each change."""
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def close(self) -> None:
        """End the work in the background; a classifier that is being written is finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._worker.join()
        if self._finisher:
            self._finisher.join()

    @property
    def answers(self) -> int:
        """How many stretches have a label."""
        return sum(mark.label != UNLABELLED for mark in self._marks.marks)

    # What is told

    def _read_library(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What does not change: recordings, their runs, and the windows' length."""
        library = self.library
        return {
            "name": library.name,
            "sensors": list(library.sensors),
            "rate": library.config.sampling_rate,
            "seconds": library.seconds,
            "windows": len(library),
            "labels": str(self.path),
            "model": str(self.model),
            "media": self.media and {"kind": self.media.kind, "offset": self.media.offset},
            "recordings": [
                {
                    "subject": recording.subject,
                    "name": recording.name,
                    "seconds": recording.seconds,
                    "began": recording.began and recording.began.timestamp(),
                    "first": recording.first,
                    "stride": library.config.stride / library.config.sampling_rate,
                    "runs": [
                        [run.at, run.start, run.seconds, run.first, run.windows]
                        for run in recording.runs
                    ],
                }
                for recording in library.recordings
            ],
        }

    def _read_state(self, query: Mapping[str, str]) -> dict[str, Any] | None:
        """What changes; nothing where it has not since the version that is named."""
        with self._changed:
            if query.get("version") == str(self._version):
                return None
            return self._state()

    def _state(self) -> dict[str, Any]:
        total = len(self.library)
        return {
            "version": self._version,
            "revision": self._revision,
            "classes": self._classes,
            "counts": [int((self._labels == name).sum()) for name in self._classes],
            "marks": self._shown_marks(),
            "answers": self.answers,
            "current": self._shown_window(),
            "undo": bool(self._history or self._marks.marks),
            "progress": None if self._ready else [self._done, total],
            "learnt": self._learnt is not None,
            "estimate": self._estimate and {
                **vars(self._estimate), "by": self._estimated_by
            },
            "failure": self._failure,
            "finish": self._finish,
            "finishing": self._finishing,
        }  # fmt: skip

    def _shown_marks(self) -> list[list[float]]:
        """Recording, begin and end on the timeline, class number or -1 where unsure."""
        numbers = {name: number for number, name in enumerate(self._classes)}
        return [
            [mark.recording, begin, end, numbers.get(mark.label, -1)]
            for mark in self._marks.marks
            for begin, end in self.library.recordings[mark.recording].shown_stretches(
                mark.start, mark.end
            )
        ]

    def _shown_window(self) -> dict[str, Any] | None:
        if self._current is None:
            return None
        number = self._current
        owner = int(self.library.owner[number])
        recording = self.library.recordings[owner]
        guess = None
        if self._learnt:
            known = dict(
                zip(self._learnt.classes, self._learnt.probability[number].tolist(), strict=True)
            )
            guess = [round(known.get(name, 0.0), 4) for name in self._classes]
        at = float(recording.shown[number - recording.first])
        return {"window": number, "recording": owner, "at": at, "guess": guess}

    def _read_trace(self, query: Mapping[str, str]) -> bytes:
        """Least and largest values, float32 of shape (2, axes, columns)."""
        recording, begin, end, width = self._stretch(query)
        return recording.envelope(begin, end, width).tobytes()

    def _read_spectrogram(self, query: Mapping[str, str]) -> bytes:
        """Grey levels of x, y and z from the top frequency down: (sensors, bins, columns, 3)."""
        recording, begin, end, width = self._stretch(query)
        low, high = (edge[:, None, None, None] for edge in recording.range)
        levels = (recording.spectrogram(begin, end, width) - low) / (high - low)
        grey = np.nan_to_num(np.clip(levels, 0, 1) * 255).astype(np.uint8)
        return np.ascontiguousarray(grey[:, :, ::-1].transpose(0, 2, 3, 1)).tobytes()

    def _read_predictions(self, query: Mapping[str, str]) -> bytes | None:
        recording = self._recording(query["recording"])
        with self._changed:
            learnt = self._learnt
            if learnt is None:
                return None
            order = np.array([self._classes.index(name) for name in learnt.classes], np.uint8)
        told = learnt.of(slice(recording.first, recording.first + len(recording.start)))
        codes = np.frombuffer(told, np.uint8)
        half = len(codes) // 2
        return order[codes[:half]].tobytes() + codes[half:].tobytes()

    def _stretch(self, query: Mapping[str, str]) -> tuple[Any, float, float, int]:
        begin, end, width = float(query["from"]), float(query["to"]), int(query["width"])
        if not (0 <= begin < end < 1e9 and 1 <= width <= WIDEST):
            raise InputError("there is no such stretch")
        return self._recording(query["recording"]), begin, end, width

    def _recording(self, number: Any) -> Any:
        place = int(number)
        if not 0 <= place < len(self.library.recordings):
            raise InputError(f"there is no recording {place}")
        return self.library.recordings[place]

    # What is said

    @contextmanager
    def _change(self) -> Iterator[None]:
        """A change of the marks, undone again where it cannot be kept on disk."""
        with self._changed:
            before = _Answered(self._marks, self._skipped, self._current)
            yield
            if self._marks is not before.marks:
                try:
                    write_marks(self.path, self._marks, self.library)
                except (InputError, OSError) as error:
                    self._marks, self._skipped = before.marks, before.skipped
                    raise InputError(f"the answer was not kept: {error}") from None
                self._labels, self._spoken = self._marks.of_windows(self.library)
            self._history.append(before)
            self._revision += 1
            self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _write_answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """An answer about a window: a class, ``unsure`` or ``skip``. Said twice it counts once."""
        number, said = int(body["window"]), str(body["answer"])
        if not 0 <= number < len(self.library):
            raise InputError(f"there is no window {number}")
        with self._changed:
            label = self._known_class(body["label"]) if said == "class" else UNLABELLED
            if self._spoken[number] or number in self._skipped:
                if not self._is_said(number, said, label):
                    raise InputError("this window was answered before, perhaps in another tab")
                return self._state()
            with self._change():
                if said == "skip":
                    self._skipped = (*self._skipped, number)
                elif said in ("class", "unsure"):
                    owner = int(self.library.owner[number])
                    start = float(self.library.start[number])
                    stretch = [(start, start + self.library.seconds)]
                    how = PROPOSED if said == "class" else UNSURE
                    self._marks = self._marks.and_mark(owner, stretch, label, how)
                else:
                    raise InputError(f"an answer is class, unsure or skip, not {said!r}")
            self._move_on()
            return self._state()

    def _is_said(self, number: int, said: str, label: str) -> bool:
        if number in self._skipped:
            return said == "skip"
        return said != "skip" and bool(self._labels[number] == label)

    def _write_segment(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A stretch of the timeline, labelled by hand; without a label what stood there goes."""
        owner, begin, end = int(body["recording"]), float(body["from"]), float(body["to"])
        stretches = self._recording(owner).stretches(begin, end)
        if not stretches:
            raise InputError("there is nothing recorded in this stretch")
        with self._changed:
            label = body.get("label")
            with self._change():
                if label is None:
                    self._marks = self._marks.erased(owner, stretches)
                else:
                    known = self._known_class(label)
                    self._marks = self._marks.and_mark(owner, stretches, known, BY_HAND)
            if self._current is not None and self._spoken[self._current]:
                self._move_on()
            return self._state()

    def _write_undo(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Take back what was said last, if it still is what the page takes it for."""
        with self._changed:
            if body["revision"] != self._revision:
                raise InputError("something else was said meanwhile, in another tab")
            if self._history:
                then = self._history[-1]
            elif self._marks.marks:
                then = _Answered(self._marks.without_last(), self._skipped, None)
            else:
                raise InputError("there is nothing to undo")
            kept = self._history[:-1]
            with self._change():
                self._marks, self._skipped = then.marks, then.skipped
            self._history = kept
            if then.current is not None:
                self._current = then.current
            return self._state()

    def _write_class(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A new class."""
        with self._changed:
            self._add_class(str(body["name"]))
            self._tell()
            return self._state()

    def _add_class(self, name: str) -> None:
        plain = require_class(name)
        if plain not in self._classes:
            if len(self._classes) >= MOST_CLASSES:
                raise InputError(f"there are {MOST_CLASSES} classes already")
            self._classes.append(plain)

    def _known_class(self, name: Any) -> str:
        if name not in self._classes:
            raise InputError(f"there is no class {str(name)[:60]!r}")
        return str(name)

    def _write_finish(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Fit a classifier on all labels and write its folder, in the background."""
        with self._changed:
            if len({label for label in self._labels if label}) < 2:
                raise InputError("a classifier learns two classes at least: label more")
            if not self._finishing:
                self._finishing, self._finish = True, ""
                self._finisher = threading.Thread(target=self._write_classifier, daemon=True)
                self._finisher.start()
                self._tell()
            return self._state()

    # What is asked next

    def _move_on(self) -> None:
        """Take the next window that nothing is known about."""
        waiting = iter([*self._queue, *self._spread.tolist()])
        self._current = next((each for each in waiting if not self._is_taken(each)), None)

    def _is_taken(self, number: int) -> bool:
        return bool(self._spoken[number]) or number in self._skipped

    # What is learnt behind

    def _work(self) -> None:
        from threadpoolctl import threadpool_limits

        try:
            parts, widths = self._features()
            # So small problems take several threads longer than one, by far on a busy machine.
            with threadpool_limits(1):
                self._keep_learning(Learning(parts, widths, self.config.C[0]))
        except _Closed:
            pass
        except Exception as error:
            with self._changed:
                self._failure = f"nothing more is learnt: {error}"
                self._tell()
            raise

    def _keep_learning(self, learning: Learning) -> None:
        """Learn after each change, until closed."""
        proposer = Proposer(learning, self.library.owner)
        seen = -1
        while True:
            with self._changed:
                self._ready = True
                self._tell()
                while not self._closed and self._revision == seen:
                    self._changed.wait()
                seen = self._revision
                said = self._labels.copy(), self._spoken.copy(), self._skipped, self._current
            self._learn(learning, proposer, seen, *said)

    def _features(self) -> tuple[list[NDArray[np.float32]], list[int]]:
        def advance(count: int) -> None:
            with self._changed:
                if self._closed:
                    raise _Closed
                self._done += count
                self._tell()

        return compute_features(self.library, self.config, self.device, advance)

    def _learn(
        self,
        learning: Learning,
        proposer: Proposer,
        revision: int,
        labels: NDArray[np.object_],
        spoken: NDArray[np.bool_],
        skipped: tuple[int, ...],
        current: int | None,
    ) -> None:
        """Fit, look at all windows, propose; estimate how good that is when nobody is waiting."""
        if self._closed:
            raise _Closed
        numbers = np.flatnonzero(labels != UNLABELLED)
        classes = sorted(set(labels[numbers].tolist()))
        learnt = None
        codes = np.searchsorted(classes, labels[numbers].astype(str)) if classes else numbers
        if len(classes) > 1:
            head = learning.fit(numbers, codes)
            learnt = _Learnt(classes, learning.probabilities(head))
        taken = spoken.copy()
        taken[list(skipped)] = True
        asked = spoken.copy()
        if current is not None:
            asked[current] = taken[current] = True
        told = learnt.probability if learnt else None
        queue = proposer.propose(AHEAD, asked, taken, told)
        with self._changed:
            self._learnt, self._queue = learnt, queue
            if self._current is None:
                self._move_on()
            self._tell()
            if self._revision != revision:
                return
        by, groups = self._groups(numbers)
        estimate = learning.estimate(numbers, codes, groups) if learnt else None
        with self._changed:
            self._estimate, self._estimated_by = estimate, by
            self._tell()

    def _groups(self, numbers: NDArray[np.intp]) -> tuple[str, NDArray[np.intp]]:
        """By what labelled windows are told apart: people, else recordings, else time."""
        persons, owners = self._persons()[numbers], self.library.owner[numbers]
        if len(np.unique(persons)) >= 3:
            return "people", persons
        if len(np.unique(owners)) >= 3:
            return "recordings", owners
        return "stretches of time", np.arange(len(numbers)) * 5 // max(1, len(numbers))

    def _persons(self) -> NDArray[np.intp]:
        return np.unique(self.library.subject, return_inverse=True)[1]

    def _write_classifier(self) -> None:
        try:
            with self._changed:
                labels = self._labels.astype(str)
            rng = np.random.default_rng(0)
            others = rng.permutation(np.flatnonzero(labels == UNLABELLED))[:BACKGROUND]
            numbers = np.sort(np.concatenate([np.flatnonzero(labels != UNLABELLED), others]))
            names = np.array([recording.name for recording in self.library.recordings])
            windows = Windows(
                self.library.windows(numbers),
                labels[numbers],
                self.library.subject[numbers],
                names[self.library.owner[numbers]],
                self.library.start[numbers],
                self.library.config.sampling_rate,
                sensors=self.library.sensors,
            )
            fit_classifier(windows, self.config, device=self.device).save(self.model)
            told = f"classifier in {self.model}"
        except Exception as error:
            told = f"no classifier was written: {error}"
        with self._changed:
            self._finishing, self._finish = False, told
            self._tell()
