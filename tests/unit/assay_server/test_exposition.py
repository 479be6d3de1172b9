"""The text format, read back by Prometheus' own parser for Python."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server.exposition import Histogram, counters, series

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
