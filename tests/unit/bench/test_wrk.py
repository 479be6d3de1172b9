"""What wrk's report says of the latencies that were met."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.server.comparison import wrk

histograms = st.dictionaries(st.integers(1, 300), st.integers(1, 9), max_size=12)


def corrected(met: dict[int, int], expected: int) -> dict[int, int]:
    """Do what wrk 4.1.0 does in `stats_correct` (stats.c), in the same steps."""
    largest = max(met, default=0)
    data = [met.get(latency, 0) for latency in range(largest + 1)]
    n = expected * 2
    while n <= largest:
        count = data[n]
        m = n - expected
        while count and m > expected:
            data[m] += count
            m -= expected
        n += 1
    return {latency: count for latency, count in enumerate(data) if count}


def summary(histogram: dict[int, int], requests: int, microseconds: int) -> str:
    words = {"requests": requests, "microseconds": microseconds, "bad_status": 0, "broken": 0}
    return f"of wrk\nSUMMARY {json.dumps(words | {'histogram': list(histogram.items())})}\n"


def test_a_pause_is_one_latency_and_not_a_series_of_them():
    # Ten connections, of which one once waited for 95 us where 10 us are the mean.
    told = {10: 990, 95: 1, **dict.fromkeys(range(15, 95, 10), 1)}
    assert corrected({10: 990, 95: 1}, 10) == told
    assert wrk.uncorrected(told, 10) == {10: 990, 95: 1}


@given(histograms, st.integers(1, 150))
def test_what_was_met_is_found_whatever_it_was(met, expected):
    assert wrk.uncorrected(corrected(met, expected), expected) == met


@pytest.mark.parametrize("histogram", [{95: 1}, {95: 2, 85: 1}, {95: 1, 85: 1, 65: 1}])
def test_what_wrk_cannot_have_made_is_an_error(histogram):
    with pytest.raises(wrk.WrkError, match="95 us"):
        wrk.uncorrected(histogram, 10)


@pytest.mark.parametrize(
    ("histogram", "percent", "latency"),
    [({7: 1}, 50, 7), ({1: 50, 2: 50}, 50, 2), ({1: 51, 2: 49}, 50, 1), ({1: 98, 9: 2}, 99, 9)],
)
def test_percentiles_are_those_of_wrk(histogram, percent, latency):
    assert wrk.percentile(histogram, percent) == latency


def test_no_latencies_have_no_percentiles():
    assert wrk.percentile({}, 99) == 0


def test_a_report_has_what_was_met_and_what_wrk_says():
    # Each connection sends 402 // 4 = 100 requests, one every 40 099 // 100 = 400 us.
    met = {90: 396, 90_000: 6}
    load = wrk.parse(summary(corrected(met, 400), 402, 40_099), 4, 1.5)
    assert (load.p50, load.p99) == (0.09, 90.0)
    assert load.corrected_p99 > load.p50
    assert (load.answers, load.seconds, load.processor) == (402, 0.040099, 1.5)


def test_with_less_than_a_request_for_each_connection_wrk_corrects_nothing():
    load = wrk.parse(summary({5: 1, 70_000: 2}, 3, 1_000_000), 4, 0.0)
    assert load.p99 == load.corrected_p99 == 70.0
