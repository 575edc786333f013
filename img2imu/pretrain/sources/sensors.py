"""Windows as a source of pre-training, each sensor of which is read by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...convert import to_images
from ...convert.presets import recommended_views
from ...errors import InputError
from ...images import Batch
from ...recordings import Windows
from ..distributed import World
from .pictures import HEIGHT, WIDTH
from .sets import SetsLoader, WindowSets


class SensorSource(WindowSets):
    """Windows of sets that need not have the same sensors, as pictures or as they are.

    Parameters
    ----------
    sets, held, seed
        As in :class:`~.sets.WindowSets`; all of one rate and length.
    pictures
        Whether a sensor's window is drawn, in one of its views of the preset ``recommended``.
    pairs
        Share of the recordings of several sensors that are taken for simultaneous. Of each other
        one only one sensor is seen, in turn: what few pairs cost can be measured so.

    Attributes
    ----------
    sensors : tuple of str
        Those of all sets.
    partner : ndarray of shape (sensors, n)
        Window from which each sensor is taken: the same one, unless it was bound to another.
    trust : ndarray of shape (sensors, n), float32
        1 where the sensor was recorded with the window, 0 where there is none, and between these
        where it was bound.
    mean, deviation : ndarray of shape (3 * sensors,)
        Of each axis over all windows that have it.

    Raises
    ------
    InputError
        If there are no windows, sets differ in rate or length, or an axis never changes.
    """

    def __init__(
        self,
        sets: Mapping[str, Windows],
        pictures: bool,
        held: bool = True,
        seed: int = 0,
        pairs: float = 1.0,
    ) -> None:
        super().__init__(sets, held, seed)
        forms = {(each.sampling_rate, each.X.shape[2]) for each in self.sets}
        if len(forms) > 1:
            told = " and ".join(f"{samples} samples at {rate:g} Hz" for rate, samples in forms)
            raise InputError(f"windows of several sensors must be alike, not of {told}")
        [(self.sampling_rate, self.samples)] = forms
        self.pictures, self.pairs = pictures, pairs
        self.sensors = tuple(dict.fromkeys(name for each in self.sets for name in each.sensors))
        self.partner = np.tile(np.arange(len(self)), (len(self.sensors), 1))
        self.trust = np.zeros((len(self.sensors), len(self)), np.float32)
        for number, each in enumerate(self.sets):
            own = slice(self.first[number], self.first[number + 1])
            there = [self.sensors.index(name) for name in each.sensors]
            self.trust[there, own] = _seen(each, pairs, seed)
        self.mean, self.deviation = self._statistics()

    def describe(self) -> dict[str, Any]:
        """What tells these windows from others."""
        return {**super().describe(), "pictures": self.pictures, "pairs": self.pairs}

    def sequences(self, length: int) -> NDArray[np.int64]:
        """All runs of so many windows that follow each other in a recording.

        Returns
        -------
        ndarray of shape (runs, length)

        Raises
        ------
        InputError
            If no recording has as many.
        """
        runs = [np.arange(len(self))]
        for _ in range(length - 1):
            runs.append(self.after[runs[-1]])
        rows = np.stack(runs, axis=1)
        whole = rows[(np.diff(rows, axis=1) != 0).all(axis=1)]
        if not len(whole):
            raise InputError(f"no recording has {length} windows in a row")
        return whole

    def signals(self, sensor: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """One sensor of windows that have it, (n, 3, samples), unchanged."""
        drawn = np.empty((len(rows), 3, self.samples), np.float32)
        member = self.member(rows)
        for number in np.unique(member):
            windows, mine = self.sets[number], member == number
            axis = 3 * windows.sensors.index(self.sensors[sensor])
            drawn[mine] = windows.X[rows[mine] - self.first[number], axis : axis + 3]
        return drawn

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each sensor of each window, changed at random; sensors of one window together.

        Parameters
        ----------
        rows
            Of the windows.
        generator
            On the CPU.

        Returns
        -------
        inputs : Tensor
            Pictures (sensors, n, 3, height, width) uint8, each in a random view of its sensor's;
            or signals (sensors, n, 3, samples) float32 in the sensors' units. 0 where there is
            none.
        trust : Tensor of shape (sensors, n)
        """
        shape = (3, HEIGHT, WIDTH) if self.pictures else (3, self.samples)
        kind = torch.uint8 if self.pictures else torch.float32
        drawn = torch.zeros(len(self.sensors), len(rows), *shape, dtype=kind)
        trust = self.trust[:, rows]
        bound = self.partner[:, rows] != rows
        self._draw_into(drawn, rows, (trust > 0) & ~bound, generator)
        for sensor in np.flatnonzero(bound.any(axis=1)):
            wanted = np.zeros_like(bound)
            wanted[sensor] = bound[sensor] & (trust[sensor] > 0)
            self._draw_into(drawn, self.partner[sensor, rows], wanted, generator)
        return drawn, torch.from_numpy(trust)

    def _draw_into(
        self,
        drawn: Tensor,
        rows: NDArray[np.int64],
        wanted: NDArray[np.bool_],
        generator: torch.Generator,
    ) -> None:
        """Fill in the sensors that are `wanted`, (sensors, n), from the windows `rows`."""
        some_wanted = np.flatnonzero(wanted.any(axis=0))
        for number, mine, signals in self.changed(rows[some_wanted], generator):
            places = some_wanted[mine]
            for name, triad in zip(self.sets[number].sensors, signals.split(3, dim=1), strict=True):
                sensor = self.sensors.index(name)
                some = torch.from_numpy(wanted[sensor, places])
                at = torch.from_numpy(places)[some]
                drawn[sensor, at] = self._form(triad[some], name, generator)

    def _form(self, signals: Tensor, sensor: str, generator: torch.Generator) -> Tensor:
        """Signals (n, 3, samples) as they are, or a picture of each."""
        if not self.pictures:
            return signals
        views = recommended_views(self.sampling_rate, self.samples, WIDTH, HEIGHT, (sensor,))
        chosen = torch.randint(len(views), (len(signals),), generator=generator)
        images = torch.empty(len(signals), 3, HEIGHT, WIDTH, dtype=torch.uint8)
        for number, view in enumerate(views):
            some = chosen == number
            if some.any():
                pictures = to_images(signals[some].numpy(), (view,), sensors=(sensor,))[:, 0]
                images[some] = torch.from_numpy(pictures).mul(255).round().to(torch.uint8)
        return images

    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation of each axis over the windows that have it."""
        means, deviations = [], []
        for name in self.sensors:
            having = [
                each.X[:, 3 * each.sensors.index(name) :][:, :3]
                for each in self.sets
                if name in each.sensors
            ]
            for axis, letter in enumerate("xyz"):
                values = np.concatenate([each[:, axis].ravel() for each in having])
                if values.min() == values.max():
                    raise InputError(f"axis {letter} of {name} is constant in all windows")
                means.append(values.mean(dtype=np.float64))
                deviations.append(values.std(dtype=np.float64))
        return np.array(means, np.float32), np.array(deviations, np.float32)


def _seen(windows: Windows, pairs: float, seed: int) -> NDArray[np.float32]:
    """Which sensors of its windows are used, (sensors of the set, n): all of a share of them."""
    names = np.char.add(np.char.add(windows.subject, "\0"), windows.recording)
    recordings, number = np.unique(names, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(recordings))[number]
    alone = place >= round(pairs * len(recordings))
    turn = place % len(windows.sensors)
    sensors = np.arange(len(windows.sensors))[:, None]
    return (~alone | (turn == sensors)).astype(np.float32)


class SensorLoader(SetsLoader):
    """Batches of several views of each sensor of windows, each drawn anew.

    What a batch holds as images has the shape (views, sensors, n, ...) of
    :meth:`SensorSource.draw`, and as labels the trust in each sensor, (sensors, n).

    Parameters
    ----------
    source
        Draws the sensors.
    batch_size, seed, world
        As in :class:`~.sets.SetsLoader`.
    views
        Of each window.
    sequence
        Windows in a row of a batch that follow each other in their recording.
    paired
        Share of a batch that is drawn from the windows with several sensors, where there are so
        many; the rest is drawn from all.

    Raises
    ------
    InputError
        If a batch is no multiple of the sequences, there are too few of them, and as in
        :class:`~.sets.SetsLoader`.
    """

    def __init__(
        self,
        source: SensorSource,
        batch_size: int,
        seed: int,
        world: World,
        views: int = 2,
        sequence: int = 1,
        paired: float = 0.0,
    ) -> None:
        super().__init__(source, batch_size, seed, world, np.arange(len(source)))
        if self.share % sequence:
            raise InputError(
                f"a batch of {self.share} cannot be made of sequences of {sequence} windows"
            )
        self.views = views
        self._source = source
        self._sequences = source.sequences(sequence)
        self._weights = source.weights(self._sequences[:, 0])
        self._count = self.share // sequence
        if self._count > len(self._sequences):
            raise InputError(
                f"{self._count} sequences of {sequence} windows make a batch, and there are "
                f"{len(self._sequences)}: choose a smaller batch size"
            )
        several = ((source.trust > 0).sum(axis=0) >= 2)[self._sequences].all(axis=1)
        self._several = np.flatnonzero(several)
        self._paired = min(round(paired * self._count), len(self._several))

    def choose(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Windows of a batch, sequence after sequence, none of them twice."""
        # Of two that are the same window neither could be told from the other.
        several = self._chosen(rng, self._several, self._paired)
        others = np.setdiff1d(np.arange(len(self._sequences)), several)
        chosen = np.append(several, self._chosen(rng, others, self._count - self._paired))
        return self._sequences[chosen].ravel()

    def _chosen(
        self, rng: np.random.Generator, among: NDArray[np.int64], count: int
    ) -> NDArray[np.int64]:
        """So many of some sequences, none of them twice."""
        if not count:
            return among[:0]
        weights = self._weights[among]
        return among[rng.choice(len(among), count, replace=False, p=weights / weights.sum())]

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Batch:
        """Views of each sensor of theirs."""
        drawn = [self._source.draw(rows, generator) for _ in range(self.views)]
        return Batch(torch.stack([inputs for inputs, _ in drawn]), drawn[0][1])
