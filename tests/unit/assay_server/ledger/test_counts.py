"""Counts: sums that do not depend on the order of labels."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from assay_server.ledger.bins import FINE_BINS, base_and_sub, fine_from_base
from assay_server.ledger.counts import EXPOSED_STRATA, HOT_ROWS, Counts, StratumKey
from assay_server.ledger.predictions import Cell, packed
from assay_server.ledger.totals import (
    BUCKETED_CLASSES,
    Additions,
    Kind,
    Places,
    Sum,
    exposed_squares,
    exposed_weight,
    lag_place,
    score_place,
    weight_of,
)

CLASSES = ("0", "1")


def cell(label="1", predicted="1", revision="r1", rollout="x", step=0, classes=CLASSES) -> Cell:
    positive = classes[1] if len(classes) == 2 else None
    return Cell(revision, rollout, step, predicted, label, classes, positive)


class Book:
    """Counts of single labels, through the same keys as in the store."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.additions = Additions()
        self._numbers: dict[Cell, int] = {}

    def number(self, cell: Cell) -> int:
        number = self._numbers.setdefault(cell, len(self._numbers))
        self.counts.learn({number: cell})
        return number

    def label(self, cell: Cell, *bins: int, user=None, probability=None, served_at=1) -> None:
        scores = self.number(cell._replace(predicted=None))
        places = Places(cell, self.number(cell), scores)
        for key in places.of(packed(bins), user):
            self.additions.one(key, served_at, weight_of(probability))

    def counted(self) -> Counts:
        self.counts.add(self.additions)
        self.additions = Additions()
        return self.counts


cells = st.builds(
    cell,
    revision=st.sampled_from(["r1", "r2"]),
    rollout=st.sampled_from(["idle", "x"]),
    step=st.integers(0, 2),
    predicted=st.sampled_from("01"),
    label=st.sampled_from("01"),
)
labels = st.lists(
    st.tuples(
        cells,
        st.integers(0, 3) | st.integers(1500, 1600),
        st.sampled_from([None, b"\x01aaaaa", b"\x81aaaaa", b"\x02aaaaa"]),
        st.sampled_from([None, 1.0, 0.1, 1 / 3, 1e-6]),
        st.integers(0, 9),
    ),
    max_size=40,
)


def counted(entries, *, at_once=True) -> Counts:
    book = Book()
    for where, score_bin, user, probability, served_at in entries:
        book.label(where, score_bin, user=user, probability=probability, served_at=served_at)
        if at_once:
            book.counted()
    return book.counted()


def state(counts: Counts) -> tuple:
    weights = [
        {key: table.of(key, 1000) for key in keys}
        for table, keys in (
            (counts.outcome_weights, counts.outcomes),
            (counts.score_weights, counts.scores),
        )
    ]
    return (
        *(counts.outcomes, dict(counts.scores), counts.buckets, counts.bucket_scores),
        *(counts.labelled, counts.newest, counts.positive, counts.weighted, weights),
    )


@given(labels, st.randoms())
def test_one_by_one_in_any_order_is_the_same_as_together(entries, random):
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert state(counted(shuffled)) == state(counted(entries, at_once=False))


@given(labels)
def test_buckets_and_scores_add_up_to_the_rows_they_are_of(entries):
    counts = counted(entries)
    of_users = Counter()
    for where, _, user, _, _ in entries:
        if user is not None:
            stratum = StratumKey(where.revision, where.rollout, where.step)
            of_users[stratum, where.label, where.predicted] += 1
    found = Counter()
    for (stratum, bucket, label, predicted), rows in counts.buckets.items():
        assert bucket in {1, 2}  # the tag's first byte without its first bit
        found[stratum, label, predicted] += rows
    assert found == of_users
    assert counts.bucket_scores.total() == of_users.total()
    assert sum(found.rows for found in counts.scores.values()) == len(entries)
    assert all(sum(found.parts.values()) == found.rows for found in counts.scores.values())


def test_the_coarse_bins_of_buckets_are_32_base_bins_wide():
    book = Book()
    for base in (0, 31, 32, 700, 1023):
        book.label(cell(), fine_from_base(base), user=b"\x07aaaaa")
    found = {key[1:]: rows for key, rows in book.counted().bucket_scores.items()}
    assert found == {(7, "1", "1", place): 1 + (place == 0) for place in (0, 1, 700 // 32, 31)}


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=50), st.integers(0, 50), st.randoms())
def test_sums_of_weights_are_exact_in_any_order(probabilities, plain, random):
    def sums(order) -> tuple[float, float]:
        book = Book()
        for probability in order:
            book.label(cell(), probability=probability)
        counts = book.counted()
        key = next(iter(counts.outcomes))
        return counts.outcome_weights.of(key, counts.outcomes[key])

    entries = [*probabilities, *[None] * plain]
    shuffled = list(entries)
    random.shuffle(shuffled)
    weight, squares = sums(entries)
    assert sums(shuffled) == (weight, squares)
    expected = plain + sum(1 / one for one in probabilities)
    assert abs(weight - expected) <= 1e-9 * expected
    expected = plain + sum(1 / one**2 for one in probabilities)
    assert abs(squares - expected) <= 1e-9 * expected


def test_a_weight_of_a_power_of_two_is_exact():
    assert exposed_weight(3, weight_of(0.25)) == 7.0
    assert exposed_squares(3, weight_of(0.25) ** 2) == 19.0


def test_multiclass_scores_count_by_class_in_groups_of_base_bins():
    for count, group in ((3, 1), (4, 1), (10, 8), (16, 16)):
        names = tuple(f"c{number}" for number in range(count))
        book = Book()
        where = cell(label="c1", predicted="c2", classes=names)
        book.label(where, *(fine_from_base(500 + index) for index in range(count)))
        counts = book.counted()
        assert {key[1:]: found.rows for key, found in counts.scores.items()} == {
            (name, "c1", (500 + index) // group * group): 1 for index, name in enumerate(names)
        }
        assert not any(found.parts for found in counts.scores.values())
        assert counts.positive == (0, "")


def test_models_of_very_many_classes_are_not_counted_by_bucket():
    for count in (BUCKETED_CLASSES, BUCKETED_CLASSES + 1):
        names = tuple(f"c{number}" for number in range(count))
        book = Book()
        book.label(cell(label="c1", predicted="c2", classes=names), user=b"\x05aaaaa")
        assert book.counted().buckets.total() == (count == BUCKETED_CLASSES)
        assert book.counts.outcomes.total() == 1


def test_what_concerns_strata_and_revisions_has_its_own_counts():
    counts = Counts()
    counts.learn({1: Cell("r1", "x", 2), 2: Cell("r1", "", 0)})
    counts.add(
        {
            (1, int(Kind.LATE), 0): Sum(3, served_at=7),
            (1, int(Kind.USERS), 0): Sum(5, served_at=6),
            (2, int(Kind.LAG), lag_place(61)): Sum(2, sum=122),
        }
    )
    stratum = StratumKey("r1", "x", 2)
    assert counts.strata == {Kind.LATE: {stratum: 3}, Kind.USERS: {stratum: 5}}
    assert counts.newest == {stratum: 7}
    assert (counts.lags["r1"][3], counts.lag_seconds["r1"]) == (2, 122)


def test_lags_fall_into_the_first_bucket_that_holds_them():
    assert [lag_place(lag) for lag in (0, 1, 2, 60, 61, 10**9)] == [0, 0, 1, 2, 3, 15]


def test_only_the_strata_that_served_last_are_exposed():
    book = Book()
    for number in range(EXPOSED_STRATA + 10):
        book.label(cell(rollout=f"x{number}"), 5, served_at=number)
    exposed = {key.rollout for key in book.counted().exposed()}
    assert len(exposed) == EXPOSED_STRATA
    assert "x9" not in exposed
    assert "x10" in exposed


def scores(counts: Counts) -> dict[tuple, int]:
    """Return the exposed scores by (revision, rollout, step, label, bin)."""
    return {
        (*key[0], key[2], str(key[3])): rows
        for key, rows in counts.exposed_scores(counts.exposed())
    }


# Crowded, so that some base bins are hot; several rollouts, steps and revisions.
crowded = st.lists(
    st.tuples(
        st.builds(
            cell,
            revision=st.sampled_from(["r1", "r2"]),
            rollout=st.sampled_from(["x", "y"]),
            step=st.integers(0, 1),
            label=st.sampled_from("01"),
        ),
        st.integers(9000, 9060) | st.integers(0, FINE_BINS - 1),
        st.sampled_from([1, 5, 40, 900]),
    ),
    max_size=30,
)


def crowd(entries, *, look=False) -> Counts:
    book = Book()
    for where, score_bin, rows in entries:
        number = book.number(where._replace(predicted=None))
        book.counts.add(
            {(number, int(Kind.SCORE), score_place(1, score_bin)): Sum(rows, served_at=1)}
        )
        if look:
            scores(book.counts)  # leaves nothing behind
    return book.counts


@given(crowded)
def test_sub_bins_add_up_to_what_was_counted_and_a_rollout_has_one_grid(entries):
    by_base: Counter = Counter()
    rows: Counter = Counter()
    for where, score_bin, count in entries:
        base, _ = base_and_sub(score_bin)
        by_base[where.revision, where.rollout, where.step, where.label, base] += count
        rows[where.rollout, base] += count
    exposed = scores(crowd(entries))
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
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert scores(crowd(entries, look=True)) == scores(crowd(shuffled))


def test_a_bin_is_hot_beyond_one_percent_of_its_rollout():
    book = Book()
    place = fine_from_base(700)

    def add(rows: int, fine: int, rollout: str = "x") -> None:
        number = book.number(cell(rollout=rollout)._replace(predicted=None))
        book.counts.add({(number, int(Kind.SCORE), score_place(1, fine)): Sum(rows, served_at=1)})

    def names() -> set[str]:
        return {name for _, rollout, *_, name in scores(book.counts) if rollout == "x"}

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
