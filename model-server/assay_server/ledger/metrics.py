"""The counts as text for Prometheus."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from assay_server import exposition
from assay_server.ledger.counts import Counts
from assay_server.ledger.entries import Arrival, Status, result_name
from assay_server.ledger.predictions import StratumKey
from assay_server.ledger.totals import LAG_EDGES, Kind

# A stratum and the values of further labels.
_Key = TypeVar("_Key", bound=tuple[Any, ...])
# Name, help and kind of what concerns whole strata.
_OF_STRATA = (
    (
        "assay_users_total",
        "Distinct users served, as servers told.",
        Kind.USERS,
    ),
    (
        "assay_shipped_total",
        "Predictions that servers told of before their evidence was released.",
        Kind.SERVED,
    ),
    (
        "assay_shipped_late_total",
        "Predictions that servers told of after their evidence was released; not evidence.",
        Kind.SERVED_LATE,
    ),
    (
        "assay_unshipped_total",
        "Labelled predictions that are no evidence because no server told of them in time.",
        Kind.UNSHIPPED,
    ),
    (
        "assay_late_total",
        "Labels that came after release, for predictions without one; not evidence.",
        Kind.LATE,
    ),
    (
        "assay_corrections_total",
        "Labels that came after release and differ from the one known; not evidence.",
        Kind.CORRECTED,
    ),
)


class Exposition:
    """Writes the metrics of a ledger. The text of a series is made once, when it is born."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._exposed: set[StratumKey] = set()
        self._texts: defaultdict[str, dict[Any, str]] = defaultdict(dict)

    def text(
        self, counts: Counts, store: str, results: Mapping[str, int], gauges: Mapping[str, int]
    ) -> str:
        """Return all metrics of the counts.

        Parameters
        ----------
        store
            The store's own random id.
        results
            Results of labels and shipments by their names in the store.
        gauges
            `pending` and `waiting`: predictions that wait for release, entries for the disk.
        """
        counts.forget()
        exposed = counts.exposed()
        if exposed != self._exposed:
            self._exposed = exposed
            self._prune()
        return "".join(
            [
                self._state(counts, store, gauges),
                self._results(results),
                self._lags(counts),
                *self._strata(counts, exposed),
                *self._outcomes(counts, exposed),
                *self._scores(counts, exposed),
            ]
        )

    def _prune(self) -> None:
        """Forget the text of series that are not exposed any more."""
        for texts in self._texts.values():
            for key in [key for key in texts if key[0] not in self._exposed]:
                del texts[key]

    def _state(self, counts: Counts, store: str, gauges: Mapping[str, int]) -> str:
        own = {"deployment": self._deployment}
        info = {**own, "store": store, "positive": counts.positive[1]}
        return "".join(
            exposition.family(
                name, "gauge", help_text, [f"{exposition.series(name, labels)}{value}"]
            )
            for name, help_text, labels, value in (
                ("assay_ledger_info", "Identity of the ledger's store.", info, 1),
                (
                    "assay_pending_predictions",
                    "Predictions that wait for the age at which they are evidence.",
                    own,
                    gauges["pending"],
                ),
                (
                    "assay_ledger_queue",
                    "Labels and shipments that wait for the disk.",
                    own,
                    gauges["waiting"],
                ),
            )
        )

    def _results(self, results: Mapping[str, int]) -> str:
        texts = []
        for name, help_text, kinds in (
            ("assay_labels_total", "Labels received, by result.", Status),
            ("assay_shipments_total", "Predictions that servers told of, by result.", Arrival),
        ):
            values = {
                exposition.series(name, {"deployment": self._deployment, "result": kind}): (
                    results.get(result_name(kind), 0)
                )
                for kind in kinds
            }
            texts.append(exposition.counters(name, help_text, values))
        return "".join(texts)

    def _lags(self, counts: Counts) -> str:
        name = "assay_label_lag_seconds"
        samples = []
        for revision, by_bucket in counts.lags.items():
            own = {"deployment": self._deployment, "revision": revision}
            total = 0
            for edge, count in zip((*LAG_EDGES, None), by_bucket, strict=True):
                total += count
                le = "+Inf" if edge is None else repr(float(edge))
                samples.append(f"{exposition.series(f'{name}_bucket', {**own, 'le': le})}{total}")
            samples += [
                f"{exposition.series(f'{name}_sum', own)}{counts.lag_seconds[revision]}",
                f"{exposition.series(f'{name}_count', own)}{total}",
            ]
        return exposition.family(
            name, "histogram", "Time from a prediction to its first label.", samples
        )

    def _strata(self, counts: Counts, exposed: set[StratumKey]) -> Iterable[str]:
        yield self._family(
            "assay_labelled_total",
            "Predictions whose true label was counted.",
            [((key,), count) for key, count in counts.labelled.items() if key in exposed],
            (),
        )
        for name, help_text, kind in _OF_STRATA:
            found = counts.strata.get(kind)
            if found:
                values = [((key,), count) for key, count in found.items() if key in exposed]
                yield self._family(name, help_text, values, ())

    def _outcomes(self, counts: Counts, exposed: set[StratumKey]) -> Iterable[str]:
        outcomes = [(key, rows) for key, rows in counts.outcomes.items() if key[0] in exposed]
        labels = ("label", "predicted")
        yield self._family(
            "assay_outcomes_total",
            "Labelled predictions by true label and predicted class.",
            outcomes,
            labels,
        )
        buckets = [(key, rows) for key, rows in counts.buckets.items() if key[0] in exposed]
        if buckets:
            yield self._family(
                "assay_bucket_outcomes_total",
                "Labelled predictions of users by bucket of users, true label and predicted class.",
                buckets,
                ("bucket", *labels),
            )
        weights = [
            (key, counts.outcome_weights.of(key, rows))
            for key, rows in outcomes
            if key[0].rollout in counts.weighted
        ]
        yield from self._weights("assay_outcome", "labelled predictions", weights, labels)

    def _scores(self, counts: Counts, exposed: set[StratumKey]) -> Iterable[str]:
        labels = ("class", "label", "bin")
        yield self._family(
            "assay_scores_total",
            "Labelled predictions by true label and bin of the class's score: 1024 bins"
            " uniform in log-odds on [-12, 12]; of one that holds much, sub-bins b.k.",
            counts.exposed_scores(exposed),
            labels,
        )
        buckets = [(key, rows) for key, rows in counts.bucket_scores.items() if key[0] in exposed]
        if buckets:
            yield self._family(
                "assay_bucket_scores_total",
                "Labelled predictions of users by bucket of users, true label and bin of the"
                " class's score: 32 bins uniform in log-odds on [-12, 12].",
                buckets,
                ("bucket", *labels),
            )
        weights = [
            (key, counts.score_weights.of(key, found.rows))
            for key, found in counts.scores.items()
            if key.stratum in exposed and key.stratum.rollout in counts.weighted
        ]
        yield from self._weights("assay_score", "scores, by base bin", weights, labels)

    def _weights(
        self,
        name: str,
        of_what: str,
        weights: Collection[tuple[_Key, tuple[float, float]]],
        labels: tuple[str, ...],
    ) -> Iterable[str]:
        """Yield the sums of weights and of their squares, where labels had probabilities."""
        if not weights:
            return
        for place, suffix, help_text in (
            (0, "weights", "Sum of the inverse-probability weights of"),
            (1, "weight_squares", "Sum of the squared inverse-probability weights of"),
        ):
            values = ((key, sums[place]) for key, sums in weights)
            yield self._family(f"{name}_{suffix}_total", f"{help_text} {of_what}.", values, labels)

    def _family(
        self,
        name: str,
        help_text: str,
        values: Iterable[tuple[_Key, float]],
        labels: tuple[str, ...],
    ) -> str:
        texts = self._texts[name]
        samples = []
        for key, count in values:
            text = texts.get(key)
            if text is None:
                stratum = {"deployment": self._deployment, **key[0]._asdict()}
                own = dict(zip(labels, key[1:], strict=True))
                text = texts[key] = exposition.series(name, {**stratum, **own})
            samples.append(f"{text}{count}")
        return exposition.family(name, "counter", help_text, samples)
