"""Labels smoothed over time: a hidden Markov model on the probabilities of single windows.

The hidden state is the class, a Markov chain in continuous time, so that gaps, overlaps and the
length of windows need no settings of their own: over `t` seconds the transition is ``expm(Q t)``,
which after a long gap is the stationary distribution. What is observed is a window, whose
likelihood by class is, but for a factor, the classifier's posterior over its prior (the scaled
likelihood of hybrid networks; H. Bourlard and N. Morgan, *Connectionist Speech Recognition*, 1994).
Windows that overlap are not independent; a power below 1 of their likelihood, which would say so,
was worse on validation subjects. The algorithms are those of L. Rabiner, *A Tutorial on Hidden
Markov Models*, Proc. IEEE 77 (1989), in logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ..fewshot import Img2ImuClassifier
from ..recordings import WindowConfig
from ..settings import require

Array = NDArray[np.float64]

DWELL = 30.0
"""Seconds between changes of the class, before anything of a recording is known."""

DWELL_WEIGHT = 10.0
"""How many changes that knowledge counts for."""

LONGEST = 1000
"""Steps after which a gap is as good as endless."""

ROUNDS = 50
"""Of expectation and maximisation at most."""

_compiled = njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True)
class Chain:
    """A Markov chain of classes in continuous time.

    Parameters
    ----------
    rates
        Shape (k, k): changes a second from the class of the row to that of the column; the diagonal
        makes each row sum to 0.

    Raises
    ------
    InputError
        If it is no such matrix.
    """

    rates: Array
    _moves: dict[float, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rates = np.array(self.rates, np.float64)
        object.__setattr__(self, "rates", rates)
        valid = rates.ndim == 2 and rates.shape[0] == rates.shape[1] > 0
        if valid and np.isfinite(rates).all():
            others = rates[~np.eye(len(rates), dtype=bool)]
            even = np.allclose(rates.sum(1), 0, atol=1e-6 * np.abs(rates).max())
            valid = bool((others >= 0).all() and even)
        else:
            valid = False
        require(
            valid,
            "rates of a chain must be a square matrix, its rows sum to 0 and only its diagonal is "
            "below 0",
        )

    @classmethod
    def sticky(cls, dwell: float, shares: ArrayLike) -> Chain:
        """One that is redrawn from `shares` every `dwell` seconds in the mean."""
        drawn = np.asarray(shares, np.float64)
        return cls((np.tile(drawn, (len(drawn), 1)) - np.eye(len(drawn))) / dwell)

    @cached_property
    def stationary(self) -> Array:
        """How often each class is met in the long run, shape (k,)."""
        system = np.vstack([self.rates.T, np.ones(len(self.rates))])
        wanted = np.append(np.zeros(len(self.rates)), 1.0)
        found = np.linalg.lstsq(system, wanted, rcond=None)[0].clip(0)
        return np.asarray(found / found.sum())

    def over(self, seconds: float) -> Array:
        """Transition probabilities over some time, shape (k, k)."""
        from scipy.linalg import expm

        if seconds not in self._moves:
            moved = expm(self.rates * seconds).clip(0)
            self._moves[seconds] = moved / moved.sum(1, keepdims=True)
        return self._moves[seconds]


@dataclass(frozen=True)
class Evidence:
    """What the windows of a recording tell, in their order.

    Attributes
    ----------
    log_likelihood
        Shape (n, k): of each window by class, but for a factor of each window.
    steps
        Shape (n - 1,): how many strides of the recording each window begins after the one before;
        0 where that is not known, because the clock stepped back.
    stride
        Seconds.
    """

    log_likelihood: Array
    steps: NDArray[np.intp]
    stride: float


def evidence(
    probability: ArrayLike, start: ArrayLike, stride: float, prior: ArrayLike | None = None
) -> Evidence:
    """The evidence in a classifier's answers.

    Parameters
    ----------
    probability
        Shape (n, k); zeros count as the smallest number there is.
    start
        Shape (n,), in seconds.
    stride
        Seconds from a window to the next where there is no gap.
    prior
        Shape (k,): shares of the classes among the windows that the classifier was fitted on; None
        if all are alike.
    """
    told = np.log(np.maximum(np.asarray(probability, np.float64), np.finfo(np.float64).tiny))
    if prior is not None:
        told -= np.log(np.asarray(prior, np.float64))
    return Evidence(told, _steps(np.diff(start), stride), stride)


def posterior(given: Evidence, chain: Chain) -> Array:
    """Probability of each class in each window given all windows (forward–backward), (n, k)."""
    return _posterior(given, chain)[0]


def most_likely_path(given: Evidence, chain: Chain) -> NDArray[np.intp]:
    """The classes (n,) that are likeliest as a whole sequence (Viterbi)."""
    return np.asarray(_viterbi(*_arguments(given, chain)))


def learn_dwell(given: Evidence) -> Chain:
    """The sticky chain, all classes alike, under which the windows are likeliest.

    Baum and Welch's expectation and maximisation of one number: how often the class is redrawn.
    :data:`DWELL` is worth :data:`DWELL_WEIGHT` changes, so that a short recording is smoothed as
    recordings usually are.
    """
    classes = given.log_likelihood.shape[1]
    shares = np.full(classes, 1 / classes)
    steps = int((given.steps == 1).sum())
    prior_steps = DWELL_WEIGHT * DWELL / given.stride
    dwell = DWELL
    for _ in range(ROUNDS):
        kept = np.exp(-given.stride / dwell)
        stays = _posterior(given, Chain.sticky(dwell, shares))[1]
        # A class may be redrawn and stay the same by chance.
        drawn = steps - float((stays * kept / (kept + (1 - kept) * shares)).sum())
        rate = (drawn + DWELL_WEIGHT) / (steps + prior_steps)
        before, dwell = dwell, -given.stride / np.log1p(-min(rate, 1 - 1e-9))
        if abs(np.log(dwell / before)) < 0.01:
            break
    return Chain.sticky(dwell, shares)


@dataclass(frozen=True)
class Smoother:
    """How the answers of a classifier are smoothed.

    Attributes
    ----------
    stride
        Seconds from a window to the next where there is no gap.
    rates
        Shape (k, k): those of the chain that labelled recordings showed; None if each recording is
        to tell how long its classes last.
    prior
        As in :func:`evidence`.
    """

    stride: float
    rates: Array | None
    prior: Array

    @classmethod
    def of(cls, classifier: Img2ImuClassifier, overlap: float) -> Smoother:
        """That of a fitted classifier, for windows that overlap so."""
        samples, rate = classifier.n_samples_, classifier.sampling_rate
        stride = WindowConfig(rate, samples / rate, overlap).stride / rate
        # The head counts classes alike, however many windows each had.
        alike = np.full(len(classifier.classes_), 1 / len(classifier.classes_))
        return cls(stride, classifier.transitions_, alike)

    def smoothed(self, start: ArrayLike, probability: ArrayLike) -> Array:
        """Posterior (n, k) of a whole recording."""
        given = evidence(probability, start, self.stride, self.prior)
        return posterior(given, learn_dwell(given) if self.rates is None else Chain(self.rates))

    def strange(self, start: ArrayLike, flags: NDArray[np.bool_], keep: float) -> NDArray[np.bool_]:
        """Which windows lie in stretches of the unknown, (n,).

        Parameters
        ----------
        start
            Shape (n,), in seconds.
        flags
            Shape (n,): windows stranger than a share `keep` of those of known classes. Of an
            unknown class every other one is.
        """
        given = evidence(chances(flags, keep), start, self.stride)
        return np.asarray(most_likely_path(given, unknown_chain()) == 1)

    def online(self, lag: int) -> FixedLagSmoother:
        """The same while windows come; a chain that nobody showed changes as is usual."""
        alike = np.full(len(self.prior), 1 / len(self.prior))
        chain = Chain.sticky(DWELL, alike) if self.rates is None else Chain(self.rates)
        return FixedLagSmoother(chain, lag, self.stride, self.prior)

    def online_strange(self, lag: int) -> FixedLagSmoother:
        """:meth:`strange` while windows come: it takes :func:`chances`."""
        return FixedLagSmoother(unknown_chain(), lag, self.stride)


def unknown_chain() -> Chain:
    """That of the known and the unknown, in this order."""
    return Chain.sticky(DWELL, [0.5, 0.5])


def chances(flags: NDArray[np.bool_], keep: float) -> Array:
    """How likely each window's flag is where classes are known and where not, (n, 2).

    Parameters
    ----------
    flags, keep
        As of :meth:`Smoother.strange`.
    """
    return np.array([[keep, 0.5], [1 - keep, 0.5]])[flags.astype(np.intp)]


class FixedLagSmoother:
    """Forward–backward while windows come: each is answered for `lag` windows later.

    Neither memory nor the time for a window grows: of what lies behind the windows that wait the
    filtered probabilities remain.

    Parameters
    ----------
    chain
        Of the classes.
    lag
        Windows that are waited for; 0 answers at once, which is the filter.
    stride, prior
        As in :func:`evidence`.

    Raises
    ------
    InputError
        If `lag` is negative.
    """

    def __init__(
        self, chain: Chain, lag: int, stride: float, prior: ArrayLike | None = None
    ) -> None:
        require(lag >= 0, f"lag must be at least 0, not {lag}")
        self.chain, self.lag, self.stride, self.prior = chain, lag, stride, prior
        self._waiting: list[tuple[float, Array]] = []
        # Start of the window answered last, and its filtered probabilities.
        self._answered: tuple[float, Array] | None = None

    def push(self, start: float, probability: ArrayLike) -> list[Array]:
        """Take the next window's start and probabilities (k,); return what is due, each (k,).

        That is one answer once `lag` windows wait, and all that wait where the clock steps back.
        """
        due = []
        if self._waiting and start <= self._waiting[-1][0]:
            due = self.finish()
        self._waiting.append((start, np.asarray(probability, np.float64)))
        if len(self._waiting) > self.lag:
            given, initial = self._evidence()
            due.append(_posterior(given, self.chain, initial)[0][0])
            filtered = np.exp(initial + given.log_likelihood[0] - given.log_likelihood[0].max())
            self._answered = self._waiting.pop(0)[0], filtered / filtered.sum()
        return due

    def finish(self) -> list[Array]:
        """What still waits; the next window begins another recording."""
        due = []
        if self._waiting:
            given, initial = self._evidence()
            due = list(_posterior(given, self.chain, initial)[0])
        self._waiting, self._answered = [], None
        return due

    def _evidence(self) -> tuple[Evidence, Array]:
        """Of the windows that wait, and the logarithm of what is known of the first without it."""
        start, probability = (list(part) for part in zip(*self._waiting, strict=True))
        expected = self.chain.stationary
        if self._answered is not None and start[0] > self._answered[0]:
            steps = _steps(start[0] - self._answered[0], self.stride)
            expected = self._answered[1] @ self.chain.over(float(steps) * self.stride)
        return evidence(np.stack(probability), start, self.stride, self.prior), _log(expected)


def _steps(seconds: ArrayLike, stride: float) -> NDArray[np.intp]:
    """How many strides some time is; 0 where it is none that passed."""
    passed = np.asarray(seconds, np.float64)
    return np.where(passed > 0, np.clip(np.rint(passed / stride), 1, LONGEST), 0).astype(np.intp)


def _log(values: Array) -> Array:
    """The logarithm, of 0 too."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _arguments(given: Evidence, chain: Chain, initial: Array | None = None) -> tuple[Any, ...]:
    """What the compiled passes take; each transition matrix is computed once."""
    different, which = np.unique(given.steps, return_inverse=True)
    restart = np.tile(chain.stationary, (len(chain.rates), 1))
    each = [chain.over(given.stride * int(count)) if count else restart for count in different]
    moves = np.reshape(each, (-1, *chain.rates.shape))
    first = _log(chain.stationary) if initial is None else initial
    return given.log_likelihood, _log(moves), which, first


def _posterior(given: Evidence, chain: Chain, initial: Array | None = None) -> tuple[Array, Array]:
    """Posterior (n, k), and how many of the steps of one stride each class is expected to stay."""
    told, moves, which, first = _arguments(given, chain, initial)
    result, stays = _forward_backward(told, moves, which, first, given.steps == 1)
    return result, stays


@_compiled
def _log_sum(one, other):  # type: ignore[no-untyped-def]
    """The logarithm of the sum of exp(one + other), without arrays in between."""
    most = -np.inf
    for i in range(len(one)):
        most = max(most, one[i] + other[i])
    if most == -np.inf:
        return most
    total = 0.0
    for i in range(len(one)):
        total += np.exp(one[i] + other[i] - most)
    return most + np.log(total)


@_compiled
def _forward_backward(told, moves, which, initial, plain):  # type: ignore[no-untyped-def]
    count, classes = told.shape
    result, stays, nothing = np.empty((count, classes)), np.zeros(classes), np.zeros(classes)
    result[0] = initial + told[0]
    result[0] -= _log_sum(result[0], nothing)
    for i in range(1, count):
        move = moves[which[i - 1]]
        for j in range(classes):
            result[i, j] = _log_sum(result[i - 1], move[:, j]) + told[i, j]
        result[i] -= _log_sum(result[i], nothing)
    ahead, later = np.zeros(classes), np.zeros(classes)
    result[count - 1] = np.exp(result[count - 1])
    for i in range(count - 2, -1, -1):
        move = moves[which[i]]
        ahead[:] = told[i + 1] + later - later.max()
        for j in range(classes):
            later[j] = _log_sum(move[j], ahead)
        total = _log_sum(result[i], later)
        if plain[i]:
            for j in range(classes):
                stays[j] += np.exp(result[i, j] + move[j, j] + ahead[j] - total)
        for j in range(classes):
            result[i, j] = np.exp(result[i, j] + later[j] - total)
    return result, stays


@_compiled
def _viterbi(told, moves, which, initial):  # type: ignore[no-untyped-def]
    count, classes = told.shape
    best, origin = initial + told[0], np.zeros((count, classes), np.int32)
    for i in range(1, count):
        reached = np.empty(classes)
        for j in range(classes):
            ways = best + moves[which[i - 1]][:, j]
            origin[i, j] = ways.argmax()
            reached[j] = ways[origin[i, j]] + told[i, j]
        best = reached - reached.max()
    path = np.empty(count, np.intp)
    path[count - 1] = best.argmax()
    for i in range(count - 1, 0, -1):
        path[i - 1] = origin[i, path[i]]
    return path
