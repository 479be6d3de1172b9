"""Counts: sums that do not depend on the order of labels, and their exposition."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server.ledger.counts import EXPOSED_STRATA, Cell, Counts

binary = st.builds(
    Cell,
    revision=st.sampled_from(["r1", "r2"]),
    rollout=st.sampled_from(["idle", "x"]),
    step=st.integers(0, 2),
    predicted=st.sampled_from("01"),
    label=st.sampled_from("01"),
    positive=st.just("1"),
    score_bin=st.integers(0, 3),
)
labels = st.lists(st.tuples(binary, st.integers(0, 9)), max_size=40)


def counted(entries) -> Counts:
    counts = Counts("fraud")
    for cell, served_at in entries:
        counts.add(cell, 1, served_at)
    return counts


def state(counts: Counts) -> tuple:
    return counts.outcomes, counts.scores, counts.labelled, counts.newest, counts.positive


@given(labels, st.randoms())
def test_one_by_one_in_any_order_is_the_same_as_grouped(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    grouped = Counts("fraud")
    totals = Counter(cell for cell, _ in entries)
    for cell, total in totals.items():
        grouped.add(cell, total, max(served for found, served in entries if found == cell))
    assert state(counted(shuffled)) == state(grouped)


@given(labels)
def test_the_exposition_says_what_was_counted(entries):
    text = counted(entries).text("abc", {"counted": len(entries)})
    samples = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    names = Counter(name for name, _, _ in samples)
    assert names["assay_scores_total"] == len({cell._replace(predicted="") for cell, _ in entries})
    for name in ("assay_outcomes_total", "assay_scores_total", "assay_labelled_total"):
        values = [value for found, _, value in samples if found == name]
        assert sum(values) == len(entries)
        assert all(value > 0 for value in values)
    for family in text_string_to_metric_families(text):
        assert family.documentation


def test_labels_of_each_series():
    counts = counted([(Cell("r1", "x", 2, "1", "0", "1", 700), 5)])
    samples = {
        sample.name: sample.labels
        for family in text_string_to_metric_families(counts.text("abc", {"counted": 1}))
        for sample in family.samples
    }
    where = {"deployment": "fraud", "revision": "r1", "rollout": "x", "step": "2"}
    assert samples == {
        "assay_ledger_info": {"deployment": "fraud", "store": "abc", "positive": "1"},
        "assay_labels_total": {"deployment": "fraud", "result": "counted"},
        "assay_labelled_total": where,
        "assay_outcomes_total": {**where, "label": "0", "predicted": "1"},
        "assay_scores_total": {**where, "class": "1", "label": "0", "bin": "700"},
    }


def test_multiclass_labels_have_no_scores():
    counts = counted([(Cell("r1", "x", 0, "ant", "bee", None, None), 5)])
    assert not counts.scores
    assert counts.positive == (0, "")


def test_only_the_strata_that_served_last_are_exposed():
    entries = [
        (Cell("r1", f"x{number}", 0, "1", "1", "1", 5), number)
        for number in range(EXPOSED_STRATA + 10)
    ]
    text = counted(entries).text("abc", {})
    assert text.count("\nassay_outcomes_total{") == EXPOSED_STRATA
    assert 'rollout="x9"' not in text
    assert 'rollout="x10"' in text
