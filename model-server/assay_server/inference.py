"""Infer requests from bytes to bytes: parse, score and sign together, format. Knows no transport.

Nothing here keeps state between requests, so it may run in any thread; what must be counted is
returned and counted by the caller.
"""

import json
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from assay_server.ledger.bins import fine_bin_of, fine_bin_of_decision
from assay_server.models import ModelFailedError, ScoreKind, Scorer, Scores
from assay_server.models.contributions import Contributions
from assay_server.models.scores import Rows
from assay_server.protocol import (
    CONTRIBUTIONS,
    Answer,
    Formatter,
    Parser,
    ProtocolError,
    Query,
    Signature,
    gathered,
)
from assay_server.receipts import MAX_SCORED_CLASSES, Issuer, Stratum

# Ways of choosing outputs for which the answers of a whole batch are written at once.
_MOST_WISHES = 4


class Job(msgspec.Struct, frozen=True, gc=False):
    """A query to answer.

    Attributes
    ----------
    count
        Its number of rows.
    user
        The key of its user, if it has one.
    start
        When it came, by `time.perf_counter`.
    is_unit
        Whether the gateway splits users: then the ledger is told of each.
    """

    query: Query
    stratum: Stratum
    count: int
    user: str | None = None
    start: float = 0.0
    is_unit: bool = False

    @classmethod
    def of(cls, query: Query, stratum: Stratum, user: str | None = None) -> "Job":
        """Return the job of a query."""
        return cls(query, stratum, query.count(), user)


class Batch(msgspec.Struct):
    """Queries that were answered together.

    Attributes
    ----------
    rows, scores, receipts
        Of all of them, in their order.
    stratum
        Of all of them; None if they are of several strata, or not of one row each.
    counts
        Rows per predicted class.
    bodies
        Answers to queries of one row, as far as they are alike, by the outputs wanted.
    """

    rows: Rows
    scores: Scores
    receipts: list[str]
    stratum: Stratum | None
    counts: dict[str, int]
    bodies: dict[frozenset[str], list[bytes]]


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """An answered query.

    Attributes
    ----------
    receipts
        One per row.
    predicted
        Rows per predicted class.
    batch, start
        The query's rows are those of the batch from `start` on.
    """

    batch: Batch
    receipts: list[str]
    predicted: Mapping[str, int]
    start: int = 0

    @property
    def scores(self) -> Scores:
        """The query's own scores."""
        return self.batch.scores.part(self.start, self.start + len(self.receipts))


def receipt_classes(scorer: Scorer) -> tuple[str, ...]:
    """Return the model's classes in the order of receipts: a binary model's positive one last."""
    if scorer.positive is None:
        return scorer.classes
    return scorer.classes[1 - scorer.positive], scorer.classes[scorer.positive]


def signature_of(
    scorer: Scorer, name: str, version: str, remarks: Mapping[str, str] | None = None
) -> Signature:
    """Return what the protocol needs to know of a model; `remarks` join its properties."""
    values = scorer.values
    integers = None
    if np.issubdtype(values.dtype, np.floating) and np.all(values % 1 == 0):
        values = values.astype(np.int64)
    if np.issubdtype(values.dtype, np.integer):
        integers = tuple(values.tolist())
    names = scorer.feature_names
    properties = {
        "classes": json.dumps(scorer.classes),
        "engine": scorer.engine.value,
        "score": None if scorer.score_kind is None else scorer.score_kind.value,
        "feature_names": None if names is None else json.dumps(names),
        "positive_label": None if scorer.positive is None else scorer.classes[scorer.positive],
        "threshold": None if scorer.threshold is None else repr(scorer.threshold),
    }
    if scorer.parts is not None:
        properties |= _of_contributions(scorer.parts, scorer.positive)
    return Signature(
        model=name,
        version=version,
        classes=scorer.classes,
        integers=integers,
        features=scorer.features,
        feature_names=names,
        categorical=scorer.categorical,
        missing=scorer.missing,
        probabilities=scorer.has_probabilities,
        decisions=scorer.decision_width,
        contributions=0 if scorer.parts is None else scorer.parts.most_rows,
        platform=scorer.platform,
        properties=tuple(
            (key, text)
            for key, text in (properties | dict(remarks or {})).items()
            if text is not None
        ),
    )


def _of_contributions(parts: Contributions, positive: int | None) -> dict[str, str]:
    """Return what contributions are added to, and what they are against."""
    base = parts.base if positive is None else parts.base[0] * (1 if positive == 1 else -1)
    against = "the mean training row" if parts.is_centred else "prepared columns of 0"
    return {"contributions_base": json.dumps(base.tolist()), "contributions_against": against}


class Predictor:
    """Answers queries for one loaded model, and knows how they and their answers are written."""

    def __init__(
        self,
        scorer: Scorer,
        issuer: Issuer,
        name: str,
        version: str,
        reference: bytes | None = None,
        remarks: Mapping[str, str] | None = None,
    ) -> None:
        self.reference = reference
        """The artifact's drift reference, unread."""
        self.is_slow = False
        """Whether the model takes so long that it must not hold up the event loop."""
        self._scorer = scorer
        self._issuer = issuer
        self.signature = signature_of(scorer, name, version, remarks)
        self.parser = Parser(self.signature)
        self.formatter = Formatter(self.signature)
        order = receipt_classes(scorer)
        # Nobody would look at the bins of more classes.
        self._many = len(scorer.classes) > MAX_SCORED_CLASSES
        places = [order.index(name) for name in scorer.classes]
        # Where a class of the model is among those of receipts; None if the order is the same.
        self._places = None if places == sorted(places) else np.array(places)
        self._one_row = [{name: 1} for name in scorer.classes]

    def predict(
        self, query: Query, stratum: Stratum, now: float, user: str | None = None
    ) -> Prediction:
        """Score and sign one query; `now` is in Unix seconds. Raises ProtocolError."""
        return self.answer([Job.of(query, stratum, user)], now)[0]

    def answer(self, jobs: Sequence[Job], now: float) -> list[Prediction]:
        """Score and sign queries together; `now` is in Unix seconds.

        Raises ProtocolError if the model fails, for whichever of them that is.
        """
        rows = gathered([job.query for job in jobs])
        scores = self._scores(rows)
        indexes = scores.predicted.tolist()
        stratum, receipts = self._receipts(jobs, scores, indexes, int(now))
        classes = self._scorer.classes
        counts = _counted(classes, indexes)
        if len(receipts) == len(jobs):
            batch = Batch(rows, scores, receipts, stratum, counts, {})
            ones = self._one_row
            return [
                Prediction(batch, [receipt], ones[index], row)
                for row, (receipt, index) in enumerate(zip(receipts, indexes, strict=True))
            ]
        batch = Batch(rows, scores, receipts, None, counts, {})
        predictions = []
        start = 0
        for job in jobs:
            stop = start + job.count
            predicted = _counted(classes, indexes[start:stop])
            predictions.append(Prediction(batch, receipts[start:stop], predicted, start))
            start = stop
        return predictions

    def format(self, query: Query, prediction: Prediction) -> Answer:
        """Return the body of the answer to a query."""
        outputs = query.outputs
        if len(prediction.receipts) > 1 or outputs.binary:
            return self._formatted(query, prediction)
        batch = prediction.batch
        bodies = batch.bodies.get(outputs.names)
        if bodies is None:
            if CONTRIBUTIONS in outputs.names or len(batch.bodies) == _MOST_WISHES:
                return self._formatted(query, prediction)
            bodies = self.formatter.one_by_one(outputs.names, batch.scores, batch.receipts)
            batch.bodies[outputs.names] = bodies
        return self.formatter.ended(bodies[prediction.start], query)

    def scores_of(self, query: Query, prediction: Prediction) -> Scores:
        """Return the scores of a query, with contributions if it wants them."""
        scores = prediction.scores
        if CONTRIBUTIONS not in query.outputs.names:
            return scores
        return scores._replace(contributions=self._scorer.contributions(query.rows))

    def _formatted(self, query: Query, prediction: Prediction) -> Answer:
        return self.formatter.format(query, self.scores_of(query, prediction), prediction.receipts)

    def _scores(self, rows: Rows) -> Scores:
        try:
            return self._scorer.score(rows)
        except ModelFailedError as error:
            if error.refused_input:
                raise ProtocolError(f"inputs[0].data: {error}") from error
            raise ProtocolError(str(error), 500) from error

    def _receipts(
        self, jobs: Sequence[Job], scores: Scores, indexes: list[int], now: int
    ) -> tuple[Stratum | None, list[str]]:
        """Return the one stratum of all jobs, if there is one, and a receipt for each row."""
        if self._places is not None:
            indexes = self._places[scores.predicted].tolist()
        found = self._bins(scores)
        bins = None if found is None else found.tolist()
        stratum: Stratum | None = jobs[0].stratum
        if not all([job.stratum is stratum for job in jobs]):  # noqa: C419 - a list is faster
            stratum = None
        user = jobs[0].user
        if stratum is not None and not any([job.user != user for job in jobs]):  # noqa: C419
            return stratum, self._issuer.issue(stratum, indexes, bins, now, user)
        receipts: list[str] = []
        start = 0
        for job in jobs:
            rows = slice(start, start + job.count)
            part = None if bins is None else bins[rows]
            receipts += self._issuer.issue(job.stratum, indexes[rows], part, now, job.user)
            start += job.count
        return stratum, receipts

    def _bins(self, scores: Scores) -> NDArray[np.intp] | None:
        """Return the fine bin of the positive class, shape (n,), or of each class, (n, K)."""
        positive = self._scorer.positive
        if self._scorer.score_kind is ScoreKind.DECISION:
            decisions = scores.decisions
            if decisions is None or (positive is None) == (decisions.ndim == 1):
                return None
            if positive is None:
                # One for each duel of two classes is no score of a class.
                every = decisions.shape[1] == len(self._scorer.classes) and not self._many
                return fine_bin_of_decision(decisions) if every else None
            # It is one for the second class.
            return fine_bin_of_decision(decisions if positive == 1 else -decisions)
        probabilities = scores.probabilities
        if probabilities is None or self._many:
            return None
        return fine_bin_of(probabilities if positive is None else probabilities[:, positive])


def _counted(classes: Sequence[str], indexes: Sequence[int]) -> dict[str, int]:
    """Return how many of the indexes each class has; `Counter` is slow to make for a few."""
    counts: dict[str, int] = {}
    for index in indexes:
        name = classes[index]
        counts[name] = counts.get(name, 0) + 1
    return counts
