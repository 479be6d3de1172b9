"""The sums that the ledger keeps: what is counted, by cell, kind and place.

A total is never made smaller and never deleted. Its key is a cell, a kind and a place; what a place
is depends on the kind. The store adds to totals in the transaction that changes the rows, and tells
the same additions to whoever exposes them.

Inverse-probability weights are whole numbers, so that their sums do not depend on any order. Sums of
floating-point numbers depend on the order in which labels arrive: two ledgers with the same labels,
or one before and after a restart, would differ in the last digits, and a judge that looks again
could decide differently. A weight is a whole number of 2**-32, its square a whole number of 2**-64,
and sums of these are exact however many there are. Only the exposed value is rounded, once, to the
nearest double. The rounding of the weight itself is 2e-10 of it at most.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from enum import IntEnum

import msgspec

from assay_server.ledger.bins import base_and_sub, grouped_base
from assay_server.ledger.predictions import Cell, unpacked
from assay_server.receipts import bucket_of

# Below it one label would outweigh all others together, and what it says would be noise.
LEAST_PROBABILITY = 1e-6
# Beyond so many classes a matrix for each of 128 buckets would be more series than it is worth.
BUCKETED_CLASSES = 10
# Base bins that make one bin of the histogram of a bucket.
BUCKET_BIN = 32
# Upper edges in seconds of the histogram of label lags, from clicks to chargebacks.
LAG_EDGES = (
    *(1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600),
    *(days * 86400 for days in (1, 3, 7, 14, 30, 60, 90)),
)
NO_BUCKET = -1
_CLASS_SHIFT = 15
_BUCKET_SHIFT = 5
_WEIGHT_BITS = 32
_SQUARE_BITS = 2 * _WEIGHT_BITS


class Kind(IntEnum):
    """What a total counts; the numbers are stored.

    Attributes
    ----------
    OUTCOME
        Labelled predictions by label and predicted class; place: the bucket of the user, or -1.
    SCORE
        Scores by label; place: the class's index and the bin (see `score_place`).
    BUCKET_SCORE
        Scores of the positive class by label; place: the bucket and the coarse bin.
    LAG
        Labels of a revision by lag; place: index of the histogram's bucket; `sum`: seconds.
    LATE, CORRECTED
        Labels that came after release: for predictions without one, and different ones.
    USERS
        Distinct users served.
    SERVED, SERVED_LATE
        Predictions that servers told of before and after their release.
    UNSHIPPED
        Labelled predictions that were not counted because no server told of them in time.
    """

    OUTCOME = 0
    SCORE = 1
    BUCKET_SCORE = 2
    LAG = 3
    LATE = 4
    CORRECTED = 5
    USERS = 6
    SERVED = 7
    SERVED_LATE = 8
    UNSHIPPED = 9


# Plain numbers for the writer's inmost loop.
_OUTCOME, _SCORE, _BUCKET_SCORE = int(Kind.OUTCOME), int(Kind.SCORE), int(Kind.BUCKET_SCORE)

# What a total counts: number of the cell, kind and place.
TotalKey = tuple[int, int, int]


# Nothing in it can refer to it: the collector need not know it.
class Sum(msgspec.Struct, gc=False):
    """How much was counted.

    Attributes
    ----------
    total
        Predictions or labels.
    weighted
        How many of them came with a probability.
    sum, squares
        Of the weights of these, in units of 2**-32 and 2**-64; seconds where lags count.
    served_at
        When the newest of the predictions was served.
    """

    total: int = 0
    weighted: int = 0
    sum: int = 0
    squares: int = 0
    served_at: int = 0


Totals = Mapping[TotalKey, Sum]


class Additions(defaultdict[TotalKey, Sum]):
    """What one transaction adds to the totals."""

    def __init__(self) -> None:
        super().__init__(Sum)

    def one(self, key: TotalKey, served_at: int, weight: int = 0, extra: int = 0) -> None:
        """Count one prediction or label; `weight` of it if it has one, `extra` to the sum."""
        found = self[key]
        found.total += 1
        if served_at > found.served_at:  # noqa: PLR1730 - done several times for each label
            found.served_at = served_at
        if weight:
            found.weighted += 1
            found.sum += weight
            found.squares += weight * weight
        elif extra:
            found.sum += extra


class Places:
    """Where the labelled predictions of one cell count.

    Parameters
    ----------
    number
        Of the cell.
    scores
        Number of the cell of its scores.
    """

    def __init__(self, cell: Cell, number: int, scores: int) -> None:
        self._number = number
        self._outcome: TotalKey = (number, _OUTCOME, NO_BUCKET)
        self._scores = scores
        self._binary = cell.positive is not None
        self._bucketed = cell.classes is None or len(cell.classes) <= BUCKETED_CLASSES

    def of(self, bins: bytes | None, user: bytes | None) -> list[TotalKey]:
        """Return the keys of the totals to which a prediction adds one."""
        bucket = NO_BUCKET
        keys = [self._outcome]
        if user is not None and self._bucketed:
            bucket = bucket_of(user)
            keys = [(self._number, _OUTCOME, bucket)]
        if bins is None:
            return keys
        places = unpacked(bins)
        if not self._binary:
            count = len(places)
            for index, place in enumerate(places):
                keys.append((self._scores, _SCORE, score_place(index, grouped_base(place, count))))
            return keys
        keys.append((self._scores, _SCORE, score_place(1, places[0])))
        if bucket != NO_BUCKET:
            coarse = base_and_sub(places[0])[0] // BUCKET_BIN
            keys.append((self._scores, _BUCKET_SCORE, bucket << _BUCKET_SHIFT | coarse))
        return keys


def score_place(index: int, score_bin: int) -> int:
    """Return the place of a score of the class with this index.

    Binary models count by fine bin, others by the first base bin of a group (`grouped_base`).
    """
    return index << _CLASS_SHIFT | score_bin


def class_and_bin(place: int) -> tuple[int, int]:
    """Return the index of the class and the bin of a place of `Kind.SCORE`."""
    return place >> _CLASS_SHIFT, place & (1 << _CLASS_SHIFT) - 1


def bucket_and_bin(place: int) -> tuple[int, int]:
    """Return the bucket and the coarse bin of a place of `Kind.BUCKET_SCORE`."""
    return place >> _BUCKET_SHIFT, place & (1 << _BUCKET_SHIFT) - 1


def lag_place(seconds: int) -> int:
    """Return the place of a lag: the first edge that is not below it."""
    return bisect_left(LAG_EDGES, seconds)


def weight_of(probability: float | None) -> int:
    """Return 1/probability in units of 2**-32; 0 where nobody gave a probability."""
    return 0 if probability is None else round((1 << _WEIGHT_BITS) / probability)


def exposed_weight(rows: int, weights: int) -> float:
    """Return the sum of the weights of `rows` that weigh one, and of others in units of 2**-32."""
    return ((rows << _WEIGHT_BITS) + weights) / (1 << _WEIGHT_BITS)


def exposed_squares(rows: int, squares: int) -> float:
    """Return the sum of the squares of the same weights, the others' in units of 2**-64."""
    return ((rows << _SQUARE_BITS) + squares) / (1 << _SQUARE_BITS)
