"""The exposition: every count under its name, with a help text, and nothing that does not apply."""

from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from assay_server.exposition import negotiated
from assay_server.ledger.bins import fine_from_base
from assay_server.ledger.counts import EXPOSED_STRATA, Counts
from assay_server.ledger.entries import Arrival, Status
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import Cell
from assay_server.ledger.totals import Kind, Sum, score_place, weight_of

WHERE = {"deployment": "fraud", "revision": "r1", "rollout": "x", "step": "2"}
GAUGES = {"pending": 3, "waiting": 4}
CELL = Cell("r1", "x", 2, "1", "0", ("0", "1"), "1")
SCORES = CELL._replace(predicted=None)
STRATUM = Cell("r1", "x", 2)
LAGS = Cell("r1", "", 0)


def counts_of(*totals) -> Counts:
    """Return counts of (cell, kind, place, sum)."""
    counts = Counts()
    for number, (cell, kind, place, added) in enumerate(totals):
        counts.learn({number: cell})
        counts.add({(number, int(kind), place): added})
    return counts


def samples(counts, results=None, accept=None) -> dict[str, list[tuple[dict, float]]]:
    text = Exposition("fraud").text(counts, "abc", results or {}, GAUGES)
    body, content_type = negotiated(text, accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    assert openmetrics == bool(accept)
    read = openmetrics_families if openmetrics else text_string_to_metric_families
    found: dict[str, list[tuple[dict, float]]] = {}
    names = Counter()
    for family in read(body.decode()):
        names[family.name] += 1
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    assert set(names.values()) == {1}
    return found


@pytest.mark.parametrize(
    "accept", [None, "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"]
)
def test_labels_of_each_series(accept):
    score = score_place(1, fine_from_base(700))
    heavy = Sum(3, 2, 2 * weight_of(0.5), 2 * weight_of(0.5) ** 2, 9)
    counts = counts_of(
        (CELL, Kind.OUTCOME, -1, Sum(2, served_at=9)),
        (CELL, Kind.OUTCOME, 5, heavy),
        (SCORES, Kind.SCORE, score, Sum(5, 2, 2 * weight_of(0.5), 2 * weight_of(0.5) ** 2, 9)),
        (SCORES, Kind.BUCKET_SCORE, 5 << 5 | 21, Sum(3)),
        (LAGS, Kind.LAG, 2, Sum(5, sum=170)),
        *((STRATUM, kind, 0, Sum(int(kind))) for kind in list(Kind)[4:]),
    )
    found = samples(counts, accept=accept)
    own = {**WHERE, "label": "0"}
    assert found["assay_ledger_info"] == [
        ({"deployment": "fraud", "store": "abc", "positive": "1"}, 1)
    ]
    assert found["assay_labelled_total"] == [(WHERE, 5)]
    assert found["assay_outcomes_total"] == [({**own, "predicted": "1"}, 5)]
    assert found["assay_outcome_weights_total"] == [({**own, "predicted": "1"}, 7)]
    assert found["assay_outcome_weight_squares_total"] == [({**own, "predicted": "1"}, 11)]
    assert found["assay_bucket_outcomes_total"] == [({**own, "bucket": "5", "predicted": "1"}, 3)]
    assert found["assay_scores_total"] == [({**own, "class": "1", "bin": "700"}, 5)]
    assert found["assay_score_weights_total"] == [({**own, "class": "1", "bin": "700"}, 7)]
    assert found["assay_score_weight_squares_total"] == [({**own, "class": "1", "bin": "700"}, 11)]
    assert found["assay_bucket_scores_total"] == [
        ({**own, "class": "1", "bin": "21", "bucket": "5"}, 3)
    ]
    for name, kind in (
        ("assay_late_total", Kind.LATE),
        ("assay_corrections_total", Kind.CORRECTED),
        ("assay_users_total", Kind.USERS),
        ("assay_shipped_total", Kind.SERVED),
        ("assay_shipped_late_total", Kind.SERVED_LATE),
        ("assay_unshipped_total", Kind.UNSHIPPED),
    ):
        assert found[name] == [(WHERE, int(kind))]
    of_revision = {"deployment": "fraud", "revision": "r1"}
    assert found["assay_label_lag_seconds_sum"] == [(of_revision, 170)]
    assert found["assay_label_lag_seconds_count"] == [(of_revision, 5)]
    buckets = {labels["le"]: value for labels, value in found["assay_label_lag_seconds_bucket"]}
    assert [buckets[edge] for edge in ("1.0", "10.0", "60.0", "300.0", "+Inf")] == [0, 0, 5, 5, 5]
    assert found["assay_pending_predictions"] == [({"deployment": "fraud"}, 3)]
    assert found["assay_ledger_queue"] == [({"deployment": "fraud"}, 4)]


def test_what_does_not_apply_is_not_exposed():
    found = samples(counts_of((CELL, Kind.OUTCOME, -1, Sum(2, served_at=9))))
    assert set(found) == {
        *("assay_ledger_info", "assay_pending_predictions", "assay_ledger_queue"),
        *("assay_labels_total", "assay_shipments_total", "assay_labelled_total"),
        "assay_outcomes_total",
    }


def test_every_result_has_a_series_from_the_start():
    found = samples(Counts(), {"counted": 7, "served/taken": 8})
    labels = {labels["result"]: value for labels, value in found["assay_labels_total"]}
    assert labels == {str(status): 7 * (status == "counted") for status in Status}
    shipments = {labels["result"]: value for labels, value in found["assay_shipments_total"]}
    assert shipments == {str(arrival): 8 * (arrival == "taken") for arrival in Arrival}


def test_one_label_with_a_probability_makes_its_whole_rollout_weighted():
    other = CELL._replace(revision="r2", step=1)
    elsewhere = CELL._replace(rollout="y")
    counts = counts_of(
        (CELL, Kind.OUTCOME, -1, Sum(1, 1, weight_of(1.0), weight_of(1.0) ** 2)),
        (other, Kind.OUTCOME, -1, Sum(4)),
        (elsewhere, Kind.OUTCOME, -1, Sum(4)),
    )
    weights = samples(counts)["assay_outcome_weights_total"]
    assert {(labels["revision"], labels["rollout"]): value for labels, value in weights} == {
        ("r1", "x"): 1,
        ("r2", "x"): 4,
    }


def test_strata_beyond_the_newest_are_left_out_of_every_family():
    counts = counts_of(
        *(
            entry
            for number in range(EXPOSED_STRATA + 1)
            for entry in (
                (CELL._replace(rollout=f"x{number}"), Kind.OUTCOME, 3, Sum(1, 1, 1, 1, number)),
                (SCORES._replace(rollout=f"x{number}"), Kind.SCORE, score_place(1, 9), Sum(1)),
                (STRATUM._replace(rollout=f"x{number}"), Kind.LATE, 0, Sum(1)),
            )
        )
    )
    for entries in samples(counts).values():
        strata = {labels["rollout"] for labels, _ in entries if "rollout" in labels}
        assert "x0" not in strata
        assert len(strata) in {0, EXPOSED_STRATA}
