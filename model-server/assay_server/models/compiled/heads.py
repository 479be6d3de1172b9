"""From weighted sums to classes and probabilities, as scikit-learn's linear classifiers do it."""

from typing import Protocol

import numpy as np
from scipy.special import expit

from assay_server.models.scores import Floats, Indexes, Scores

_ONE_ROW = np.array([[0], [1]], dtype=np.intp)
_ONE_ROW.setflags(write=False)


class Head(Protocol):
    """Makes scores of sums, shape (n,) for one sum per row, else (n, K)."""

    @property
    def has_probabilities(self) -> bool: ...  # noqa: D102

    def __call__(self, sums: Floats) -> Scores:
        """Return scores with `decisions`; `sums` may be overwritten."""
        ...


class Binary:
    """The second class iff the sum is positive; its logistic function is the probability."""

    def __init__(self, *, probabilities: bool) -> None:
        self.has_probabilities = probabilities

    def __call__(self, sums: Floats) -> Scores:
        """Return scores."""
        if self.has_probabilities and len(sums) == 1:
            # Of one row numpy takes four times as long as plain numbers do, with the same digits.
            total = sums.item()
            second = float(expit(total))
            return Scores(_ONE_ROW[int(total > 0)], np.array([[1.0 - second, second]]), sums)
        predicted = (sums > 0).astype(np.intp)
        if not self.has_probabilities:
            return Scores(predicted, None, sums)
        probabilities = np.empty((len(sums), 2))
        expit(sums, out=probabilities[:, 1])
        np.subtract(1.0, probabilities[:, 1], out=probabilities[:, 0])
        return Scores(predicted, probabilities, sums)


class Largest:
    """The class of the largest sum, no probabilities."""

    has_probabilities = False

    def __call__(self, sums: Floats) -> Scores:
        """Return scores."""
        return Scores(sums.argmax(axis=1), None, sums)


class Softmax:
    """The class of the largest sum; the softmax of the sums are the probabilities."""

    has_probabilities = True

    def __call__(self, sums: Floats) -> Scores:
        """Return scores."""
        shifted = sums - sums.max(axis=1, keepdims=True)
        np.exp(shifted, out=shifted)
        shifted /= shifted.sum(axis=1, keepdims=True)
        return Scores(sums.argmax(axis=1), shifted, sums)


class Sigmoids:
    """The class of the largest sum; logistic functions of all sums, scaled to add up to 1.

    Far out all of them round to 0. Then `uniform` makes them alike; else they stay 0.
    """

    has_probabilities = True

    def __init__(self, *, uniform: bool = False) -> None:
        self._uniform = uniform

    def __call__(self, sums: Floats) -> Scores:
        """Return scores."""
        probabilities = expit(sums)
        totals = probabilities.sum(axis=1, keepdims=True)
        if self._uniform:
            nothing = totals[:, 0] == 0
            probabilities[nothing] = 1.0
            totals[nothing] = sums.shape[1]
        np.divide(probabilities, totals, out=probabilities, where=totals != 0)
        return Scores(sums.argmax(axis=1), probabilities, sums)


class OneVsOne:
    """Each sum is a duel of two classes: votes, then how clearly they were won."""

    has_probabilities = False

    def __init__(self, classes: int) -> None:
        self._binary = classes == 2
        duels = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
        self._first = np.zeros((classes, len(duels)))
        self._second = np.zeros((classes, len(duels)))
        for duel, (i, j) in enumerate(duels):
            self._first[i, duel] = 1.0
            self._second[j, duel] = 1.0

    def __call__(self, sums: Floats) -> Scores:
        """Return scores."""
        decisions = self.decisions(sums)
        if self._binary:
            return Scores((decisions > 0).astype(np.intp), None, decisions)
        return Scores(decisions.argmax(axis=1), None, decisions)

    def decisions(self, sums: Floats) -> Floats:
        """Return each class's number of votes and less than a third, (n, K); of two the second's."""
        duels = sums.reshape(len(sums), -1)[:, np.newaxis, :]
        won = (duels > 0).astype(np.float64)
        votes = np.vecdot(won, self._second) + np.vecdot(1.0 - won, self._first)
        clear = np.vecdot(duels, self._second - self._first)
        decisions: Floats = votes + clear / (3.0 * (np.abs(clear) + 1.0))
        return decisions[:, 1] if self._binary else decisions


class Calibrated:
    """Means of sigmoids: what `CalibratedClassifierCV(method="sigmoid")` makes of its members.

    Sums have shape (n, members) for two classes, else (n, members, K).
    """

    has_probabilities = True

    def __init__(self, slopes: Floats, offsets: Floats) -> None:
        # Both of the shape of one row of sums.
        self._slopes = slopes
        self._offsets = offsets

    def __call__(self, sums: Floats) -> Scores:
        """Return scores; the decisions are the sums and mean nothing."""
        found = expit(-(self._slopes * sums + self._offsets))
        if found.ndim == 2:
            second = found.mean(axis=1)
            probabilities = np.stack([1.0 - second, second], axis=1)
        else:
            totals = found.sum(axis=2, keepdims=True)
            uniform = np.full_like(found, 1.0 / found.shape[2])
            np.divide(found, totals, out=uniform, where=totals != 0)
            probabilities = uniform.mean(axis=1)
        predicted: Indexes = probabilities.argmax(axis=1)
        return Scores(predicted, probabilities, sums)
