"""Reading evidence over HTTP from a server that answers as Prometheus does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter

from assay.evidence import EvidenceUnavailable, combine, errors, prometheus
from assay.evidence.member import Weight
from assay.evidence.prometheus import Trial
from assay.judge.metrics.positive import positive_class


def sample(part, value, **labels):
    return {"metric": {"part": part, **labels}, "value": [1700000000.0, str(value)]}


def ledger(revision="new", step="0", tp=5, tn=7):
    arm = {"revision": revision, "step": step}
    return [
        sample("assay_outcomes_total", tp, label="1", predicted="1", **arm),
        sample("assay_outcomes_total", tn, label="0", predicted="0", **arm),
        sample("assay_scores_total", tp, label="1", bin="1000", **{"class": "1"}, **arm),
        sample("assay_scores_total", tn, label="0", bin="10", **{"class": "1"}, **arm),
        sample("assay_labelled_total", tp + tn, **arm),
        sample("assay_served_total", 3 * tp, predicted="1", **arm),
        sample("assay_served_total", 3 * tn, predicted="0", **arm),
    ]


AGE = sample("age", 0.4, store="s1", positive="1")


class Prometheus:
    """One reply for every query, and what was asked."""

    def __init__(self, url):
        self.url, self.asked, self.status = url, [], 200
        self.body = self.vector([AGE])

    @staticmethod
    def vector(rows, **extra):
        return {"status": "success", "data": {"resultType": "vector", "result": rows}, **extra}


@contextmanager
def serving() -> Iterator[Prometheus]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            fake.asked.append({k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()})
            body = fake.body if isinstance(fake.body, bytes) else json.dumps(fake.body).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = Prometheus(f"http://127.0.0.1:{server.server_port}/prometheus")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def fake():
    with serving() as prometheus_server:
        yield prometheus_server


def read(fake, label_age_seconds=0, **options):
    settings = {"scrape_interval_seconds": 1.0, "window_seconds": 60.0} | options
    connection = prometheus.Connection(fake.url, timeout_seconds=5.0)
    try:
        return prometheus.read(
            connection, Trial("ml", "fraud", "0123456789", label_age_seconds), **settings
        )
    finally:
        connection.close()


def test_one_request_gives_all_counts(fake):
    fake.body = Prometheus.vector(
        [
            sample("series", 12),
            AGE,
            *ledger(),
            *ledger("old", "0", 50, 70),
            *ledger("old", "1", 1, 2),
        ]
    )
    member = read(fake)
    assert len(fake.asked) == 1
    assert (member.store, member.positive, member.age_seconds) == ("s1", "1", 0.4)
    assert set(member.counts) == {("new", 0), ("old", 0), ("old", 1)}
    new = member.counts["new", 0]
    assert new.outcomes == {("1", "1"): 5, ("0", "0"): 7}
    assert new.scores == {("1", "1", 1000): 5, ("1", "0", 10): 7}
    assert (new.served, new.labelled) == (36, 12)
    assert new.served_as == {"1": 15, "0": 21}


def test_members_become_strata(fake):
    fake.body = Prometheus.vector([AGE, *ledger(), *ledger("old"), *ledger("older")])
    east = read(fake)
    fake.body = Prometheus.vector(
        [
            AGE,
            *ledger("old", "1"),
            sample("assay_outcomes_total", 2, revision="new", step="1", label="2", predicted="0"),
        ]
    )
    west = read(fake)
    found = combine({"east": east, "west": west}, "old", "new", weights={0: 0.05, 1: 0.2})
    assert [(s.name, s.weight) for s in found.strata] == [("east/0", 0.05), ("west/1", 0.2)]
    first, second = found.strata
    assert first.stable.labels == ("0", "1", "2")
    assert first.canary.confusion.tolist() == [[7, 0, 0], [0, 5, 0], [0, 0, 0]]
    assert first.canary.scores["1"].positive[1000] == 5
    assert first.canary.scores["1"].negative[10] == 7
    assert (first.stable.served, first.stable.labelled) == (36, 12)
    assert first.stable.served_as == {"0": 21, "1": 15}
    assert second.canary.confusion[2, 0] == 2
    assert second.canary.scores["1"].total == 0


def test_the_ledger_says_which_class_is_positive(fake):
    """Sorting would say "9": the scores that are counted say "10" before the first label came."""
    arm = {"revision": "new", "step": "0"}
    fake.body = Prometheus.vector(
        [
            sample("age", 0.1, store="s", positive="10"),
            sample("assay_outcomes_total", 3, label="9", predicted="9", **arm),
        ]
    )
    (stratum,) = combine({"east": read(fake)}, "old", "new", weights={0: 1.0}).strata
    assert stratum.canary.labels == ("10", "9")
    assert positive_class([stratum.canary], None) == "10"
    assert stratum.weight is None


def test_rows_of_other_classes_stay_apart_where_there_are_several(fake):
    arm = {"revision": "new", "step": "0", "class": "a"}
    scores = [
        sample("assay_scores_total", rows, label=label, bin="7", **arm)
        for label, rows in (("a", 1), ("b", 2), ("c", 4))
    ]
    fake.body = Prometheus.vector([sample("age", 0.1, store="s", positive="a"), *scores])
    (stratum,) = combine({"east": read(fake)}, "old", "new").strata
    histogram = stratum.canary.scores["a"]
    assert (histogram.positive[7], histogram.negative[7]) == (1, 6)
    assert {name: rows[7] for name, rows in histogram.others.items()} == {"b": 2, "c": 4}

    fake.body = Prometheus.vector([sample("age", 0.1, store="s", positive="a"), *scores[:2]])
    (stratum,) = combine({"east": read(fake)}, "old", "new").strata
    assert stratum.canary.scores["a"].others == {}


def test_a_moment_of_the_past_is_asked_for_by_its_time(fake):
    read(fake, at=1700000000.25)
    read(fake)
    assert fake.asked[0]["time"] == "1700000000.250"
    assert "time" not in fake.asked[1]
    assert fake.asked[0]["query"] == fake.asked[1]["query"]


def test_a_trial_without_labels_yet_is_evidence_of_nothing(fake):
    member = read(fake)
    assert member.counts == {}
    assert combine({"east": member}, "old", "new").strata == ()


def test_label_values_are_escaped(fake):
    connection = prometheus.Connection(fake.url)
    prometheus.read(
        connection,
        Trial('a"} or up{x="', "b\\", "c\nd"),
        scrape_interval_seconds=1,
        window_seconds=1,
    )
    (asked,) = fake.asked
    assert 'namespace="a\\"} or up{x=\\""' in asked["query"]
    assert 'deployment="b\\\\"' in asked["query"]
    assert 'rollout="c\\nd"' in asked["query"]


def test_the_query_counts_pods_that_died_and_never_extrapolates(fake):
    read(fake, window_seconds=61.2)
    query = fake.asked[0]["query"]
    assert "sum by (revision, step, predicted) (max by (boot, revision, step, predicted)" in query
    assert "max_over_time(assay_served_total{" in query
    assert "[62s]" in query
    assert "rate(" not in query
    assert "increase(" not in query


def test_what_was_served_is_read_at_the_age_at_which_labels_count(fake):
    read(fake, label_age_seconds=3600)
    query = fake.asked[0]["query"]
    assert query.count("[60s] offset 3600s") == 2
    assert "offset" not in query.partition("assay_served_total{")[0]


def test_weights_buckets_and_users_are_counted(fake):
    arm = {"revision": "new", "step": "0"}
    outcome = {"label": "1", "predicted": "1"}
    score = {"class": "1", "label": "1", "bin": "1000"}
    fake.body = Prometheus.vector(
        [
            AGE,
            *ledger(),
            sample("assay_outcome_weights_total", 7.5, **outcome, **arm),
            sample("assay_outcome_weight_squares_total", 14.25, **outcome, **arm),
            sample("assay_score_weights_total", 3.5, **{**score, "bin": "1000.3"}, **arm),
            sample("assay_score_weights_total", 4, **{**score, "bin": "1000.4"}, **arm),
            sample("assay_score_weight_squares_total", 6.25, **{**score, "bin": "1000.3"}, **arm),
            sample("assay_score_weight_squares_total", 8, **{**score, "bin": "1000.4"}, **arm),
            sample("assay_bucket_outcomes_total", 5, bucket="127", **outcome, **arm),
            sample("assay_bucket_scores_total", 5, bucket="127", **{**score, "bin": "31"}, **arm),
            sample("assay_users_total", 9, **arm),
        ]
    )
    new = read(fake).counts["new", 0]
    assert new.weights == {("1", "1"): Weight(7.5, 14.25)}
    assert new.score_weights == {("1", "1", 1000): Weight(7.5, 14.25)}
    assert new.buckets == {(127, "1", "1"): 5}
    assert new.bucket_scores == {(127, "1", "1", 31): 5}
    assert new.users == 9


@pytest.mark.parametrize(
    ("body", "reason", "says"),
    [
        pytest.param(
            Prometheus.vector([sample("age", 3.2, store="s1")]), errors.DATA_STALE,
            "3.2 s old, at most 3 s", id="old",
        ),
        pytest.param(Prometheus.vector([]), errors.DATA_STALE, "no current sample of the ledger", id="no ledger"),
        pytest.param(
            Prometheus.vector([AGE, *ledger()], warnings=["remote read: timeout"]),
            errors.WARNINGS_IN_REPLY, "remote read: timeout", id="warnings",
        ),
        pytest.param(
            Prometheus.vector([AGE, sample("age", 9, store="s2")]), errors.LEDGER_AMBIGUOUS,
            "2 stores at once (s1, s2)", id="two stores",
        ),
        pytest.param(
            Prometheus.vector([AGE, sample("assay_labelled_total", "NaN", revision="new", step="0")]),
            errors.MALFORMED_REPLY, "nan is not a number of rows", id="NaN",
        ),
        pytest.param(
            Prometheus.vector([AGE, sample("assay_labelled_total", 1, revision="new")]),
            errors.MALFORMED_REPLY, "label step is missing", id="no step",
        ),
        pytest.param(
            Prometheus.vector(
                [AGE, sample("assay_scores_total", 1, revision="n", step="0", label="1", bin="1024", **{"class": "1"})]
            ),
            errors.MALFORMED_REPLY, "bin 1024 is not on the grid of 1024 bins", id="another grid",
        ),
        pytest.param(
            Prometheus.vector(
                [AGE, sample("assay_outcome_weights_total", 1.5, revision="n", step="0", label="1", predicted="0")]
            ),
            errors.MALFORMED_REPLY, "the weights of ('1', '0') have a sum or a sum of squares only",
            id="half of the weights",
        ),
        pytest.param(
            Prometheus.vector(
                [AGE, sample("assay_bucket_outcomes_total", 1, revision="n", step="0", label="1", predicted="0", bucket="128")]
            ),
            errors.MALFORMED_REPLY, "label bucket is 128, beyond 127", id="no such bucket",
        ),
        pytest.param(
            Prometheus.vector([AGE, sample("up", 1)]), errors.MALFORMED_REPLY, "nobody asked",
            id="foreign series",
        ),
        pytest.param({"status": "success"}, errors.PROMETHEUS_UNREACHABLE, "not one of Prometheus", id="no data"),
        pytest.param(b"<html>login</html>", errors.PROMETHEUS_UNREACHABLE, "did not answer", id="no JSON"),
        pytest.param(
            {"status": "success", "data": {"resultType": "scalar", "result": "NaN"}},
            errors.PROMETHEUS_UNREACHABLE, "no vector", id="scalar",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_trusted_has_a_reason(fake, body, reason, says):
    fake.body = body
    with pytest.raises(EvidenceUnavailable) as caught:
        read(fake)
    assert caught.value.reason == reason
    assert says in caught.value.message


@pytest.mark.parametrize("status", [400, 401, 422, 503])
def test_refusals_are_reported_at_once(fake, status):
    fake.status, fake.body = status, b"no such tenant"
    with pytest.raises(EvidenceUnavailable) as caught:
        read(fake)
    assert caught.value.reason == errors.PROMETHEUS_UNREACHABLE
    assert str(status) in caught.value.message
    assert len(fake.asked) == 1


def test_nobody_listens():
    with serving() as gone:
        pass
    with pytest.raises(EvidenceUnavailable) as caught:
        read(gone)
    assert caught.value.reason == errors.PROMETHEUS_UNREACHABLE


@pytest.mark.parametrize("counted", [True, False], ids=["with the number", "cut short"])
def test_the_series_budget_is_refused_with_the_numbers(fake, counted):
    total = [sample("series", 4321)] if counted else []
    fake.body = Prometheus.vector(
        [*total, AGE, *ledger()], warnings=["results truncated due to limit"]
    )
    with pytest.raises(EvidenceUnavailable) as caught:
        read(fake, series_budget=5)
    assert caught.value.reason == errors.SERIES_BUDGET_EXCEEDED
    assert ("4321" if counted else "more than 5") in caught.value.message
    assert fake.asked[0]["limit"] == "6"


def test_the_session_of_the_caller_is_used_as_it_is(fake):
    session = requests.Session()
    session.headers["Authorization"] = "Bearer secret"
    adapter = HTTPAdapter(pool_maxsize=3)
    session.mount("http://", adapter)
    connection = prometheus.Connection(fake.url + "/", session=session)
    prometheus.read(
        connection, Trial("ml", "fraud", "r"), scrape_interval_seconds=1, window_seconds=9
    )
    assert session.get_adapter(fake.url) is adapter
    assert fake.asked


def test_warnings_of_one_reply_do_not_stick_to_the_next(fake):
    connection = prometheus.Connection(fake.url)
    fake.body = Prometheus.vector([AGE], warnings=["partial"])
    assert list(connection.query("x").warnings) == ["partial"]
    fake.body = Prometheus.vector([AGE])
    assert list(connection.query("x").warnings) == []


@pytest.mark.parametrize(
    "url", ["http://user:p%40ss@127.0.0.1:1", "http://user:pass@127.0.0.1:nonsense"]
)
def test_a_password_in_the_url_is_in_no_message(url):
    connection = prometheus.Connection(url)
    with pytest.raises(EvidenceUnavailable) as caught:
        connection.query("x")
    assert "http://127.0.0.1" in caught.value.message
    assert "ss@" not in caught.value.message
    assert "user" not in connection.url


def test_a_retry_reads_the_counts_of_the_trials_that_it_continues() -> None:
    alone = prometheus.query_text(Trial("ml", "fraud", "0123456789"), 60)
    both = prometheus.query_text(Trial("ml", "fraud", "0123456789", 0, ("a.c", "beef")), 60)

    assert both == alone.replace('rollout="0123456789"', 'rollout=~"a\\\\.c|beef|0123456789"')


def number(fake, promql="up"):
    connection = prometheus.Connection(fake.url, timeout_seconds=5.0)
    try:
        return prometheus.read_number(connection, promql)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["0.25"], 0.25), (["NaN"], None), (["+Inf"], None), (["-Inf"], None), ([], None)],
)
def test_one_series_is_a_number_and_no_data_is_none(fake, values, expected):
    fake.body = Prometheus.vector([sample("x", value) for value in values])
    assert number(fake) == expected
    assert fake.asked == [{"query": "up", "limit": "100"}]


@pytest.mark.parametrize(
    ("body", "reason", "message"),
    [
        (
            Prometheus.vector([sample("x", 1), sample("y", 1), sample("z", 1)]),
            errors.GUARD_AMBIGUOUS,
            "gave 3 series, one is needed",
        ),
        (
            Prometheus.vector([sample("x", 1)] * 100, warnings=["results truncated"]),
            errors.GUARD_AMBIGUOUS,
            "gave 100 or more series",
        ),
        (
            Prometheus.vector([sample("x", 1)], warnings=["one store is away"]),
            errors.WARNINGS_IN_REPLY,
            "one store is away",
        ),
        (
            Prometheus.vector([{"metric": {}, "histogram": [1700000000.0, {"count": "3"}]}]),
            errors.MALFORMED_REPLY,
            "gave no number",
        ),
    ],
    ids=["several", "very many", "warnings", "a histogram"],
)
def test_anything_else_than_one_number_is_unavailable(fake, body, reason, message):
    fake.body = body
    with pytest.raises(EvidenceUnavailable) as caught:
        number(fake)
    assert caught.value.reason == reason
    assert message in caught.value.message


def test_the_requests_of_the_canary_are_those_that_failed_too():
    assert prometheus.requests_text(Trial("ml", "fraud", "0123456789", 3600), "new", 59.5) == (
        'sum(max by (boot, step) (max_over_time(assay_requests_total{namespace="ml",'
        'deployment="fraud",revision="new",rollout="0123456789"}[60s])) or '
        'label_replace(max_over_time(assay_request_errors_total{namespace="ml",'
        'deployment="fraud",revision="new"}[60s]), "part", "failed", "", ""))'
    )
