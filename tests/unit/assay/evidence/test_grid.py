"""The common grid of scores: exact counts, nested refinements, the server's numbers."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from assay.evidence import grid
from assay.evidence.errors import EvidenceError
from assay.evidence.grid import UNIFORM, Cell, Grid, common, newest, parse_cell, sub_bins
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.member import MemberEvidence, RevisionCounts, combine
from assay.evidence.reply import PART, member_evidence
from assay_server.ledger import bins
from assay_server.ledger.counts import Counts
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import Cell as Labelled
from assay_server.ledger.predictions import packed
from assay_server.ledger.totals import Places, Sum

# Few base bins, so that some are whole in one reply and in parts in another.
bases = st.sampled_from([0, 1, 2, 700, 1022, 1023])
cells = bases.flatmap(
    lambda base: st.builds(Cell, st.just(base), st.none() | st.integers(0, sub_bins(base) - 1))
)
replies = st.lists(st.dictionaries(cells, st.integers(1, 9)), max_size=4)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("0", Cell(0)),
        ("1023", Cell(1023)),
        ("700.0", Cell(700, 0)),
        ("700.15", Cell(700, 15)),
        ("0.1023", Cell(0, 1023)),
        ("1023.16", Cell(1023, 16)),
    ],
)
def test_names_of_cells(name, cell):
    assert parse_cell(name) == cell


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1024", "not on the grid of 1024"),
        ("700.16", "has 16 sub-bins, but not 16"),
        ("0.1024", "has 1024 sub-bins, but not 1024"),
        *((name, "neither a whole number nor b.k") for name in ("", ".", "7.", ".7", "07", "7.01")),
        *((name, "neither a whole number nor b.k") for name in ("-1", "1.2.3", "1e3", " 1", "٣")),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse_cell(name)


def test_the_server_counts_on_the_same_grid():
    everything = Grid(tuple(range(grid.BINS)))
    assert everything.size == bins.FINE_BINS
    found = [bins.base_and_sub(fine) for fine in range(bins.FINE_BINS)]
    assert [tuple(cell) for cell in everything.cells] == found
    assert [everything.index(cell) for cell in everything.cells] == list(range(bins.FINE_BINS))
    # Probabilities end at 1 - 1e-16, so the upper cells beyond log-odds 36 cannot be hit.
    centres = everything.centres
    reached = (centres > -708.0) & (centres < 30.0)
    with np.errstate(over="ignore"):
        odds = np.exp(centres[reached])
    fine = bins.fine_bin_of(odds / (1.0 + odds))
    assert fine.tolist() == np.flatnonzero(reached).tolist()


@given(replies)
def test_a_base_bin_is_split_only_if_nobody_has_it_whole(found):
    made = common(found)
    whole = {cell.base for reply in found for cell in reply if cell.sub is None}
    parts = {cell.base for reply in found for cell in reply if cell.sub is not None}
    assert set(made.split) == parts - whole
    assert made.size == grid.BINS + sum(sub_bins(base) - 1 for base in made.split)
    assert list(made.cells) == sorted(made.cells, key=lambda cell: (cell.base, cell.sub or 0))


@given(replies)
def test_no_row_is_lost_or_moved_to_another_base_bin(found):
    made = common(found)
    counts = np.zeros(made.size, np.int64)
    expected: Counter = Counter()
    for reply in found:
        for cell, rows in reply.items():
            counts[made.index(cell)] += rows
            expected[cell.base] += rows
    by_base = made.on_base(counts)
    assert {base: rows for base, rows in enumerate(by_base.tolist()) if rows} == expected
    assert all(
        made.cells[made.index(cell)] in {cell, Cell(cell.base)} for reply in found for cell in reply
    )


@given(replies, st.randoms())
def test_the_order_of_replies_does_not_matter(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert common(shuffled) == common(found)


@given(replies, replies)
def test_more_replies_only_join_or_split_whole_base_bins(found, more):
    """What is split by both is split by the union, unless somebody has it whole."""
    one, both = common(found), common([*found, *more])
    known = {cell.base for reply in more for cell in reply}
    assert set(one.split) - known <= set(both.split)


def test_whole_rows_have_no_place_on_a_grid_that_splits_their_bin():
    with pytest.raises(KeyError):
        Grid((700,)).index(Cell(700))


def test_the_uniform_grid():
    assert UNIFORM.size == 1024
    assert common([]) == UNIFORM
    np.testing.assert_allclose(UNIFORM.edges[0], [-12.0, -12.0 + 24 / 1024])
    np.testing.assert_allclose(UNIFORM.edges[-1], [12.0 - 24 / 1024, 12.0])
    np.testing.assert_allclose(UNIFORM.centres, -12.0 + 24 / 1024 * (np.arange(1024) + 0.5))


def test_edges_of_a_split_grid_follow_each_other():
    made = Grid((0, 1, 700, 1023))
    edges = made.edges
    assert (edges[:, 0] < edges[:, 1]).all()
    np.testing.assert_allclose(edges[1:, 0], edges[:-1, 1], rtol=1e-12)
    assert math.isclose(edges[0, 0], -708.4)
    assert math.isclose(edges[-1, 1], 708.4)
    inner = edges[made.index(Cell(700, 0)) : made.index(Cell(700, 15)) + 1]
    np.testing.assert_allclose(inner[:, 1] - inner[:, 0], 24 / 1024 / 16)


@given(st.dictionaries(cells, st.integers(1, 9)))
def test_overlapping_pods_of_a_ledger_count_once(rows):
    """Each base bin counts with the larger of what its whole and its parts say, never with both."""
    kept = newest(rows)
    for base in {cell.base for cell in rows}:
        whole = rows.get(Cell(base), 0)
        parts = sum(
            count for cell, count in rows.items() if cell.base == base and cell.sub is not None
        )
        found = {cell for cell in kept if cell.base == base}
        assert sum(kept[cell] for cell in found) == max(whole, parts)
        assert found == {Cell(base)} or Cell(base) not in found
    assert all(rows[cell] == count for cell, count in kept.items())


def scores_of(cell: Labelled) -> Labelled:
    """Return the cell in which the scores of another count."""
    return cell._replace(predicted=None)


def ledger_reply(labelled) -> MemberEvidence:
    """Return what the operator reads from a real ledger that counted these (cell, bin, rows)."""
    counts = Counts()
    numbers: dict[Labelled, int] = {}
    for cell, score_bin, rows in labelled:
        known = [numbers.setdefault(key, len(numbers)) for key in (cell, scores_of(cell))]
        counts.learn({number: key for key, number in numbers.items()})
        keys = Places(cell, *known).of(packed([score_bin]), None)
        counts.add((key, Sum(total=rows, served_at=1)) for key in keys)
    text = Exposition("fraud").text(counts, "s", {}, {"pending": 0, "waiting": 0})
    rows = [{"metric": {PART: "age", "store": "s", "positive": "1"}, "value": [0, "1"]}]
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in {"assay_scores_total", "assay_labelled_total"}:
                labels = {PART: sample.name, **sample.labels}
                rows.append({"metric": labels, "value": [0, str(int(sample.value))]})
    return member_evidence(rows, "fraud")


labelled_rows = st.lists(
    st.tuples(
        st.builds(
            Labelled,
            revision=st.sampled_from(["stable", "canary"]),
            rollout=st.just("x"),
            step=st.integers(0, 1),
            predicted=st.just("1"),
            label=st.sampled_from("01"),
            classes=st.just(("0", "1")),
            positive=st.just("1"),
        ),
        st.integers(9000, 9060) | st.integers(0, bins.FINE_BINS - 1),
        st.sampled_from([1, 5, 40, 900]),
    ),
    max_size=20,
)


@given(st.lists(labelled_rows, min_size=1, max_size=3))
def test_all_arms_of_all_members_share_one_grid_that_adds_up_to_base_bins(labelled):
    members = {f"m{number}": ledger_reply(rows) for number, rows in enumerate(labelled)}
    evidence = combine(members, "stable", "canary")
    made = common(
        [cell for counts in member.counts.values() for _, _, cell, _ in counts.cells()]
        for member in members.values()
    )
    expected: Counter = Counter()
    for number, rows in enumerate(labelled):
        for cell, score_bin, count in rows:
            fine = bins.base_and_sub(score_bin)
            place = made.index(Cell(*fine))
            expected[f"m{number}/{cell.step}", cell.revision, cell.label, place] += count
    for stratum in evidence.strata:
        for revision in ("stable", "canary"):
            histogram = getattr(stratum, revision).scores["1"]
            assert (histogram.refined is not None) == bool(made.split)
            assert histogram.whole_ends == (0 not in made.split, 1023 not in made.split)
            if histogram.refined is not None:
                for label, name in (("1", "positive"), ("0", "negative")):
                    counts = getattr(histogram.refined, name)
                    base = getattr(histogram, name)
                    assert made.on_base(counts).tolist() == base.tolist()
                    for place in np.flatnonzero(counts).tolist():
                        key = (stratum.name, revision, label, place)
                        assert counts[place] == expected[key]


def test_a_member_that_knows_only_base_bins_keeps_the_others_from_splitting():
    cells = {("1", "1", Cell(700, 3)): 40, ("1", "0", Cell(700, 9)): 50}
    fine = RevisionCounts(scores={("1", "1", 700): 40, ("1", "0", 700): 50}, parts=cells)
    old = RevisionCounts(scores={("1", "1", 700): 7})
    new = MemberEvidence({("stable", 0): fine, ("canary", 0): fine}, "a", 1.0, "1")
    alone = combine({"a": new}, "stable", "canary").strata[0].canary.scores["1"]
    assert alone.refined is not None
    assert alone.refined.positive[703] == 40
    other = MemberEvidence({("stable", 0): old}, "b", 1.0, "1")
    both = combine({"a": new, "b": other}, "stable", "canary").strata[0].canary.scores["1"]
    assert both.refined is None


def test_refined_histograms_add_up_and_fall_back_to_base_bins():
    base = np.zeros(1024, np.int64)
    base[700] = 3
    parts = np.zeros(1024 + 15, np.int64)
    parts[702] = 3
    fine = ScoreHistogram(base, base, refined=ScoreHistogram(parts, parts))
    total = fine + fine
    assert total.refined is not None
    assert total.refined.positive[702] == 6
    assert (fine + ScoreHistogram(base, base)).refined is None
    assert fine.coarser(4).refined is None
    assert fine != ScoreHistogram(base, base)
    with pytest.raises(EvidenceError, match="refined"):
        ScoreHistogram(base, base, refined=ScoreHistogram(parts, parts + parts))
