"""Counts: sums that do not depend on the order of labels, and their exposition."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay_server.ledger.bins import FINE_BINS, base_and_sub, fine_from_base
from assay_server.ledger.counts import EXPOSED_STRATA, HOT_ROWS, Cell, Counts

binary = st.builds(
    Cell,
    revision=st.sampled_from(["r1", "r2"]),
    rollout=st.sampled_from(["idle", "x"]),
    step=st.integers(0, 2),
    predicted=st.sampled_from("01"),
    label=st.sampled_from("01"),
    positive=st.just("1"),
    score_bin=st.integers(0, 3) | st.integers(1500, 1600),
)
labels = st.lists(st.tuples(binary, st.integers(0, 9)), max_size=40)


def counted(entries) -> Counts:
    counts = Counts("fraud")
    for cell, served_at in entries:
        counts.add(cell, 1, served_at)
    return counts


def base_of(cell: Cell) -> int:
    return base_and_sub(cell.score_bin)[0]


def scores(counts: Counts) -> dict[tuple, int]:
    """Return the exposed scores by (revision, rollout, step, label, bin)."""
    return {
        tuple(sample.labels[name] for name in ("revision", "rollout", "step", "label", "bin")): int(
            sample.value
        )
        for family in text_string_to_metric_families(counts.text("abc", {}))
        for sample in family.samples
        if sample.name == "assay_scores_total"
    }


def state(counts: Counts) -> tuple:
    return (
        counts.outcomes,
        counts.scores,
        counts.parts,
        counts.labelled,
        counts.newest,
        counts.positive,
    )


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
    assert names["assay_scores_total"] == len(
        {cell._replace(predicted="", score_bin=base_of(cell)) for cell, _ in entries}
    )
    for name in ("assay_outcomes_total", "assay_scores_total", "assay_labelled_total"):
        values = [value for found, _, value in samples if found == name]
        assert sum(values) == len(entries)
        assert all(value > 0 for value in values)
    for family in text_string_to_metric_families(text):
        assert family.documentation


def test_labels_of_each_series():
    counts = counted([(Cell("r1", "x", 2, "1", "0", "1", fine_from_base(700)), 5)])
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


# Crowded, so that some base bins are hot; several rollouts, steps and revisions.
crowded = st.lists(
    st.tuples(
        st.builds(
            Cell,
            revision=st.sampled_from(["r1", "r2"]),
            rollout=st.sampled_from(["x", "y"]),
            step=st.integers(0, 1),
            predicted=st.just("1"),
            label=st.sampled_from("01"),
            positive=st.just("1"),
            score_bin=st.integers(9000, 9060) | st.integers(0, FINE_BINS - 1),
        ),
        st.sampled_from([1, 5, 40, 900]),
    ),
    max_size=30,
)


@given(crowded)
def test_sub_bins_add_up_to_what_was_counted_and_a_rollout_has_one_grid(entries):
    counts = Counts("fraud")
    by_base: Counter = Counter()
    rows: Counter = Counter()
    for cell, count in entries:
        counts.add(cell, count, 1)
        where = (cell.revision, cell.rollout, str(cell.step), cell.label)
        by_base[*where, base_of(cell)] += count
        rows[cell.rollout, base_of(cell)] += count
    exposed = scores(counts)
    found: Counter = Counter()
    for (*where, name), count in exposed.items():
        base, dot, _ = name.partition(".")
        found[*where, int(base)] += count
        place = (where[1], int(base))
        total = sum(each for key, each in rows.items() if key[0] == place[0])
        assert bool(dot) == (rows[place] > max(HOT_ROWS, total / 100))
    assert found == by_base
    for rollout in ("x", "y"):
        hot = {
            name.partition(".")[0] for _, at, *_, name in exposed if at == rollout and "." in name
        }
        assert len(hot) < 100


@given(crowded, st.randoms())
def test_the_order_of_labels_and_restarts_do_not_change_the_grid(entries, random):
    first, second = Counts("fraud"), Counts("fraud")
    for cell, count in entries:
        first.add(cell, count, 1)
        first.text("abc", {})  # a scrape in between leaves nothing behind
    shuffled = list(entries)
    random.shuffle(shuffled)
    for cell, count in shuffled:
        second.add(cell, count, 1)
    assert scores(first) == scores(second)


def test_a_bin_is_hot_beyond_one_percent_of_its_rollout():
    counts = Counts("fraud")
    place = fine_from_base(700)

    def add(rows: int, fine: int, rollout: str = "x") -> None:
        counts.add(Cell("r1", rollout, 0, "1", "1", "1", fine), rows, 1)

    def names() -> set[str]:
        return {name for _, rollout, *_, name in scores(counts) if rollout == "x"}

    add(HOT_ROWS, place)
    assert names() == {"700"}
    add(1, place + 1)
    assert names() == {"700.8", "700.9"}
    for base in range(3267 // 32 + 1):
        add(32, fine_from_base(100 + base))
    assert "700" in names()  # 33 of 3297 rows
    add(10_000, fine_from_base(500), "y")
    add(1, place)
    assert {"700.8", "700.9"} <= names()  # 34 of 3298
