"""Events counted against a plain reading of Ward, Lukowicz and Gellersen's definitions."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from img2imu.timeline.events import EventCounts, count_events


def codes(text: str) -> np.ndarray:
    return np.array([-1 if letter == "." else ord(letter) - ord("a") for letter in text])


@pytest.mark.parametrize(
    ("truth", "output", "expected"),
    [
        ("aaabbb", "aaabbb", EventCounts(correct=2, returned=2)),
        # Shifted and shortened, still one to one.
        ("aaabbb", "aabbbb", EventCounts(correct=2, returned=2)),
        ("aaaaaa", "aababa", EventCounts(fragmented=1, inserted=2, returned=5)),
        ("aabbaa", "aaaaaa", EventCounts(merged=2, deleted=1, returned=1)),
        ("aaaabbaa", "abaaaaaa", EventCounts(both=1, merged=1, deleted=1, inserted=1, returned=3)),
        ("aaa.aaa", "aaaaaaa", EventCounts(correct=2, returned=2)),
        ("...", "aba", EventCounts()),
        ("", "", EventCounts()),
    ],
)
def test_known_diagrams(truth, output, expected):
    found = count_events(codes(truth), codes(output))
    assert found == expected


def by_definition(truth, output) -> EventCounts:
    def events(values):
        found, first = [], 0
        for (label, known), group in groupby(zip(values, truth >= 0, strict=True)):
            length = len(list(group))
            if known and label >= 0:
                found.append((label, set(range(first, first + length))))
            first += length
        return found

    true, returned = events(truth), events(output)

    def partners(event, others):
        return [other for other in others if other[0] == event[0] and other[1] & event[1]]

    counts = dict.fromkeys(EventCounts.__dataclass_fields__, 0)
    for event in true:
        found = partners(event, returned)
        fragmented = len(found) > 1
        merged = any(len(partners(each, true)) > 1 for each in found)
        kinds = {(0, 0): "correct", (1, 0): "fragmented", (0, 1): "merged", (1, 1): "both"}
        counts[kinds[fragmented, merged] if found else "deleted"] += 1
    counts["inserted"] = sum(not partners(event, true) for event in returned)
    counts["returned"] = len(returned)
    return EventCounts(**counts)


def test_random_sequences():
    rng = np.random.default_rng(0)
    total = EventCounts()
    for _ in range(500):
        length = rng.integers(1, 40)
        truth, output = (np.repeat(rng.integers(-1, 3, 40), rng.integers(1, 5, 40)) for _ in "12")
        truth, output = truth[:length], np.maximum(output[:length], 0)
        found = count_events(truth, output)
        assert found == by_definition(truth, output)
        total += found
    assert min(total.correct, total.fragmented, total.merged, total.both, total.deleted) > 0
    assert (
        total.true == total.correct + total.fragmented + total.merged + total.both + total.deleted
    )
