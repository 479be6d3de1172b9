"""Watches what one model is given, at a cost that has a limit.

A row is copied into a buffer and counted with some hundred others. Beyond a number of rows per
second every k-th row is looked at, from a random one on; it is counted as k rows in the counters,
which are estimates of all rows then, and as one in the window.
"""

import math
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from assay_server import exposition
from assay_server.drift.binning import MAX_FEATURES, Batch, Binning, Rows, Window, trained
from assay_server.drift.divergence import Floats
from assay_server.drift.estimate import Estimate, Indexes, Shown
from assay_server.drift.exposed import Exposed
from assay_server.logs import event, failure
from assay_server.quality import Quality
from assay_server.reference import MAX_BINS, Numeric, Reference, ReferenceFormatError, Scores

BATCH_ROWS = 256
"""Rows that are counted at once; so many wait at most."""
LEAST_ROWS = 500
"""With fewer rows PSI, KS and estimates are mostly chance, and are not exposed."""
ROWS_PER_SECOND = 5_000
"""Rows that are looked at where more come; fewer of models with many columns of names."""

_VALUES_PER_SECOND = 500_000
# Of one request, so that it does not hold up others for longer than a millisecond or two.
_VALUES_AT_ONCE = 100_000
_ROWS_AT_ONCE = 1024
_BURST_SECONDS = 0.1


class State(StrEnum):
    """What became of the artifact's reference."""

    WATCHED = "Watched"
    MISSING = "Missing"
    REFUSED = "Refused"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a reference must fit to: the model's columns and its positive class.

    Attributes
    ----------
    features
        How many columns the model takes; None if it does not say.
    names
        Their names; None if it knows none.
    categorical
        Places of the columns that come as objects.
    positive
        Column of the probabilities and name of the class whose scores are watched; None if the
        model has no such class, or no probabilities.
    classes
        Names of the classes in the order of the probabilities; None if there are none.
    """

    features: int | None
    names: Sequence[str] | None = None
    categorical: Collection[int] = ()
    positive: tuple[int, str] | None = None
    classes: Sequence[str] | None = None


class Drift:
    """The drift of one model's inputs and scores, and its estimated quality. Belongs to one thread.

    Parameters
    ----------
    content
        The reference as it was in the artifact; None if there was none. One that cannot be used is
        logged and shows as a state: a model serves without it.
    inputs
        What the model takes.
    labels
        Labels of all metrics.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        content: bytes | None,
        inputs: Inputs,
        labels: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = labels
        self.state = State.MISSING
        self._watch: _Watch | None = None
        if content is None:
            return
        try:
            reference = Reference.parse(content)
            check_fits(reference, inputs)
        except ReferenceFormatError as error:
            self.state = State.REFUSED
            event("drift_reference_refused", level=40, cause=str(error))
            return
        self.state = State.WATCHED
        self._watch = _Watch(
            reference,
            _fitting_scores(reference, inputs),
            _fitting_quality(reference, inputs),
            labels,
            clock,
        )

    def note(
        self,
        rows: Rows,
        probabilities: Floats | None = None,
        predicted: Indexes | None = None,
    ) -> None:
        """Take in rows that were served, shape (n, d), and what was said of them. Never raises.

        Parameters
        ----------
        probabilities, predicted
            Of each class, shape (n, K), and the index of the predicted one, shape (n,).
        """
        if self._watch is None:
            return
        try:
            self._watch.note(rows, probabilities, predicted)
        except Exception as error:  # noqa: BLE001 - whatever it is, the model serves on
            self._failed(error)

    def text(self) -> str:
        """Return the metrics, of all rows noted so far, in the Prometheus text format."""
        text = ""
        if self._watch is not None:
            try:
                text = self._watch.text()
            except Exception as error:  # noqa: BLE001
                self._failed(error)
        name = "assay_drift_reference"
        states = {
            exposition.series(name, {**self._labels, "state": state}): int(state is self.state)
            for state in State
        }
        help_text = "1 for what became of the artifact's drift reference."
        return exposition.gauges(name, help_text, states) + text

    def _failed(self, error: Exception) -> None:
        self.state = State.FAILED
        self._watch = None
        event("drift_failed", level=40, **failure(error))


class _Watch:
    """The counts behind `Drift`, and which rows go into them."""

    def __init__(
        self,
        reference: Reference,
        scores: tuple[Scores, int] | None,
        quality: tuple[Quality, list[int]] | None,
        labels: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        watched = reference.features[:MAX_FEATURES]
        self._left_out = len(reference.features) - len(watched)
        self._trained_rows = reference.rows
        self._labels = labels
        self._boot = secrets.token_hex(4)
        self._clock = clock
        self._binning = Binning(watched, scores)
        self._estimated = None if quality is None else _Estimated(*quality, labels, self._boot)
        self._classes = 0 if self._estimated is None else self._estimated.classes
        cost = self._binning.cost + self._classes
        self._rate = min(ROWS_PER_SECOND, _VALUES_PER_SECOND // cost)
        self._at_once = min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // cost)
        self._totals = np.zeros((self._binning.size, MAX_BINS), dtype=np.int64)
        self._window = Window((self._binning.size, MAX_BINS))
        known = trained(self._binning.watched)
        self._exposed = Exposed(self._binning.watched, known, labels, self._boot)
        self._waiting = Batch(self._binning, BATCH_ROWS, self._classes)
        # One row of `stride` is looked at. Before the next one `phase` are passed over.
        self._stride = 1
        self._phase = 0
        # Rows that came, and that were looked at, since the stride was last thought over.
        self._since = clock()
        self._came = 0
        self._seen = 0
        self._seen_total = 0
        event("drift_watched", features=len(watched), left_out=self._left_out)

    def note(self, rows: Rows, probabilities: Floats | None, predicted: Indexes | None) -> None:
        """Take in rows and what was said of them."""
        count = len(rows)
        self._came += count
        stride, first = self._stride, 0
        if count > self._at_once:
            stride = max(stride, -(-count // self._at_once))
            first = secrets.randbelow(stride)
        elif stride > 1:
            first = self._phase
            self._phase = (first - count) % stride
            if first >= count:
                self._phase = first - count
                return
        if stride > 1:
            rows = rows[first::stride]
            probabilities = None if probabilities is None else probabilities[first::stride]
            predicted = None if predicted is None else predicted[first::stride]
            count = len(rows)
        if count > BATCH_ROWS - self._waiting.rows:
            self._flush()
        if count <= BATCH_ROWS and stride == self._stride:
            self._waiting.add(rows, probabilities, predicted)
            return
        batch = Batch(self._binning, count, self._classes)
        batch.add(rows, probabilities, predicted)
        self._count(batch, stride)

    def text(self) -> str:
        """Count what waits, and return the metrics."""
        self._flush()
        rows = self._window.rows
        enough = rows >= LEAST_ROWS
        text = self._exposed.totals(self._totals)
        if enough:
            text += self._exposed.distances(self._window.counts())
        if self._estimated is not None:
            text += self._estimated.text(enough=enough)
        return text + self._rows_text(rows)

    def _flush(self) -> None:
        if self._waiting.rows:
            self._count(self._waiting, self._stride)

    def _count(self, batch: Batch, stride: int) -> None:
        counts = self._binning.count(batch)
        self._totals += counts * stride
        self._window.add(counts, batch.rows)
        if self._estimated is not None:
            self._estimated.count(batch, stride)
        self._seen += batch.rows
        self._seen_total += batch.rows
        batch.clear()
        if not self._waiting.rows:  # what waits was taken with the stride of now
            self._pace()

    def _pace(self) -> None:
        """Look at fewer rows when many come, at more when few come."""
        elapsed = self._clock() - self._since
        if elapsed < 1.0 and self._seen < 2 * self._rate:
            return
        # A burst says little about the second to come.
        seconds = max(elapsed, _BURST_SECONDS)
        self._stride = max(1, math.ceil(self._came / (seconds * self._rate)))
        self._since += elapsed
        self._came = self._seen = 0
        self._phase = secrets.randbelow(self._stride)

    def _rows_text(self, window: int) -> str:
        own = self._labels
        return exposition.counters(
            "assay_feature_rows_total",
            "Rows whose features were looked at.",
            {
                exposition.series(
                    "assay_feature_rows_total", {**own, "boot": self._boot}
                ): self._seen_total
            },
        ) + "".join(
            exposition.gauges(name, help_text, {exposition.series(name, own): value})
            for name, help_text, value in (
                (
                    "assay_feature_sampling",
                    "Rows served for each one that is looked at; it is counted as so many.",
                    self._stride,
                ),
                ("assay_feature_window_rows", "Rows of which PSI, KS and estimates are.", window),
                (
                    "assay_feature_reference_rows",
                    "Training rows of the reference; never changes.",
                    self._trained_rows,
                ),
                (
                    "assay_features_left_out",
                    "Features of the reference beyond the number that is watched.",
                    self._left_out,
                ),
            )
        )


class _Estimated:
    """The counts by which quality is estimated, of the same rows as those of the features."""

    def __init__(
        self, quality: Quality, columns: list[int], labels: Mapping[str, str], boot: str
    ) -> None:
        self._estimate = Estimate(quality, columns)
        # Of a binary model only one class is watched.
        self.classes = max(2, len(columns))
        self._shown = Shown(quality, labels, boot)
        self._totals = np.zeros(self._estimate.shape, dtype=np.int64)
        self._window = Window(self._estimate.shape)

    def count(self, batch: Batch, stride: int) -> None:
        """Take in a batch of which each row stands for `stride` rows."""
        counts = self._estimate.count(*batch.answers())
        self._totals += counts * stride
        self._window.add(counts, batch.rows)

    def text(self, *, enough: bool) -> str:
        """Return the metrics; estimates only of enough rows."""
        text = self._shown.outcomes(self._estimate.outcomes(self._totals))
        if enough:
            text += self._shown.figures(self._estimate.figures(self._window.counts()))
        return text


def check_fits(reference: Reference, inputs: Inputs) -> None:
    """Raise ReferenceFormatError if a reference is about other columns than the model's."""
    if inputs.features is None:
        raise ReferenceFormatError("the model does not say how many features it takes")
    for place, feature in enumerate(reference.features):
        where = f"features[{place}]"
        if feature.column >= inputs.features:
            raise ReferenceFormatError(f"{where}.column: the model takes {inputs.features} columns")
        if inputs.names is not None and inputs.names[feature.column] != feature.name:
            raise ReferenceFormatError(f"{where}.name: the model names this column otherwise")
        if isinstance(feature, Numeric) and feature.column in inputs.categorical:
            raise ReferenceFormatError(f"{where}: is Numeric, but the model takes names there")


def _fitting_scores(reference: Reference, inputs: Inputs) -> tuple[Scores, int] | None:
    scores = reference.scores
    if scores is None:
        return None
    if inputs.positive is None or inputs.positive[1] != scores.of_class:
        event("drift_scores_left_out", level=30, cause="the model gives no such scores")
        return None
    return scores, inputs.positive[0]


def _fitting_quality(reference: Reference, inputs: Inputs) -> tuple[Quality, list[int]] | None:
    quality = reference.quality
    if not isinstance(quality, Quality):
        return None
    positive = None if inputs.positive is None else inputs.positive[0]
    columns = None if inputs.classes is None else quality.columns(inputs.classes, positive)
    if columns is None:
        cause = "the model gives no probabilities of these classes"
        event("drift_quality_left_out", level=30, cause=cause)
        return None
    return quality, columns
