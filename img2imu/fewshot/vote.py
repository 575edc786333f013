"""Averages of several methods' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..progress import Progress
from .protocol import Answer, Method, Outcome, Probabilities, Task

VOTES = {
    "vote": {"img2imu": 0.6, "hand-forest": 0.2, "minirocket": 0.2},
    "vote-no-images": {"hand-forest": 0.5, "minirocket": 0.5},
}
"""Who votes with which weight; what the first has over the second is the images' share."""


@dataclass(frozen=True)
class Vote(Method):
    """The weighted mean of what methods that ran before answered to the same draws."""

    name: str
    members: Sequence[tuple[Outcome, float]]
    probe: str = "vote"

    def run(self, task: Task, progress: Progress, jobs: int | None = None) -> Outcome:
        """Average the probabilities, draw by draw."""
        answers = [
            self._average(task, parts)
            for parts in zip(*(outcome.answers for outcome, _ in self.members), strict=True)
        ]
        # A vote chooses nothing of its own.
        chosen: dict[int | None, list[dict[str, Any]]]
        chosen = {shots: [{} for _ in folds] for shots, folds in self.members[0][0].chosen.items()}
        return Outcome(answers, chosen)

    def _average(self, task: Task, parts: Sequence[Answer]) -> Answer:
        votes = self._weighted(parts, 0), self._weighted(parts, 1)
        return Answer.of_votes(task, parts[0].draw, votes)

    def _weighted(self, parts: Sequence[Answer], place: int) -> Probabilities:
        weighted = []
        for part, (_, weight) in zip(parts, self.members, strict=True):
            assert part.votes is not None, "only methods on features vote"
            weighted.append(part.votes[place] * weight)
        return np.sum(weighted, axis=0)
