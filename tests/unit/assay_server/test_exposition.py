"""The text format, read back by Prometheus' own parser for Python."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from assay_server.exposition import (
    CONTENT_TYPE,
    LATENCY_BUCKETS,
    OPENMETRICS_TYPE,
    Histogram,
    counters,
    gauges,
    negotiated,
    series,
)

# What Prometheus 3 asks for, with and without protobuf.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    "q=0.7," + PROMETHEUS
)

printable = st.text(st.characters(exclude_categories=["C"]), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), printable, min_size=1))
def test_any_label_value_survives(labels):
    text = counters("assay_x_total", "Some help.", {series("assay_x_total", labels): 3})
    (family,) = text_string_to_metric_families(text)
    assert (family.name, family.type, family.documentation) == ("assay_x", "counter", "Some help.")
    assert family.samples[0].labels == labels
    assert family.samples[0].value == 3


def test_histogram_buckets_are_cumulative_and_inclusive():
    histogram = Histogram("assay_t_seconds", "Time.", {"revision": "r1"})
    for seconds in (0.0005, 0.0006, 3.0, 99.0):
        histogram.observe(seconds)
    (family,) = text_string_to_metric_families(histogram.text())
    buckets = {
        sample.labels["le"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_bucket")
    }
    assert buckets["0.0005"] == 1
    assert buckets["0.001"] == buckets["2.0"] == 2
    assert buckets["5.0"] == buckets["10.0"] == 3
    assert buckets["+Inf"] == 4
    plain = {sample.name: sample.value for sample in family.samples if "le" not in sample.labels}
    assert plain["assay_t_seconds_count"] == 4
    assert abs(plain["assay_t_seconds_sum"] - 102.0011) < 1e-9


def families() -> str:
    histogram = Histogram("assay_t_seconds", "Time.", {"revision": "r1"})
    histogram.observe(0.07)
    return (
        counters("assay_x_total", "Counts.", {series("assay_x_total", {"a": "b\\\n# HELP c"}): 3})
        + counters("assay_none_total", "Nothing yet.", {})
        + counters("assay_y_seconds_total", "Time.", {series("assay_y_seconds_total", {}): 0.5})
        + histogram.text()
        + gauges("assay_size_bytes", "Size.", {series("assay_size_bytes", {}): 7})
        + gauges("assay_share_ratio", "Share.", {series("assay_share_ratio", {}): 1e-05})
        + gauges("assay_build_info", "Versions.", {series("assay_build_info", {"v": "1"}): 1})
    )


@pytest.mark.parametrize(
    "accept",
    [
        PROMETHEUS,
        PROTOBUF,
        "application/openmetrics-text",
        "text/plain;q=0.5, Application/OpenMetrics-Text; version=1.0.0",
    ],
)
def test_openmetrics_is_what_its_parser_reads(accept):
    body, content_type = negotiated(families(), accept)
    assert content_type == OPENMETRICS_TYPE
    assert body.endswith(b"# EOF\n")
    found = {family.name: family for family in openmetrics_families(body.decode())}
    assert {name: family.type for name, family in found.items()} == {
        "assay_x": "counter",
        "assay_none": "counter",
        "assay_y_seconds": "counter",
        "assay_t_seconds": "histogram",
        "assay_size_bytes": "gauge",
        "assay_share_ratio": "gauge",
        "assay_build": "info",
    }
    assert all(family.documentation for family in found.values())
    units = {name: family.unit for name, family in found.items() if family.unit}
    assert units == {
        "assay_y_seconds": "seconds",
        "assay_t_seconds": "seconds",
        "assay_size_bytes": "bytes",
        "assay_share_ratio": "ratio",
    }
    assert found["assay_x"].samples[0].name == "assay_x_total"
    assert found["assay_x"].samples[0].labels == {"a": "b\\\n# HELP c"}
    assert found["assay_build"].samples[0].name == "assay_build_info"


@pytest.mark.parametrize(
    "accept",
    [
        *(None, "", "*/*", "text/plain", "application/json", ";;,q="),
        "application/openmetrics-text;q=0, text/plain",
        "application/openmetrics-text;q=0.3, text/plain;q=0.4",
        "application/openmetrics-text;q=x",
    ],
)
def test_everybody_else_gets_the_older_text(accept):
    body, content_type = negotiated(families(), accept)
    assert content_type == CONTENT_TYPE
    assert body.decode() == families()


def test_both_formats_hold_the_same_samples():
    def of(found) -> dict:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in found
            for sample in family.samples
        }

    text, _ = negotiated(families(), None)
    openmetrics, _ = negotiated(families(), PROMETHEUS)
    assert of(text_string_to_metric_families(text.decode())) == of(
        openmetrics_families(openmetrics.decode())
    )


def test_latency_is_told_apart_from_50_microseconds_to_10_seconds():
    assert (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1]) == (0.00005, 10.0)
    ratios = [b / a for a, b in pairwise(LATENCY_BUCKETS)]
    assert max(ratios) <= 2.5 + 1e-9
    rows = Histogram("assay_rows", "Rows.", {}, edges=(1, 2, 4))
    rows.observe(2)
    (family,) = text_string_to_metric_families(rows.text())
    assert [s.value for s in family.samples if "le" in s.labels] == [0, 1, 1, 1]
