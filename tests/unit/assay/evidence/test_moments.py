"""Which earlier moments a look wants, and what becomes of their counts."""

from hypothesis import given
from hypothesis import strategies as st

from assay.evidence import MemberEvidence, RevisionCounts
from assay.evidence.moments import COARSENING, MOST, history, wanted

INTERVALS = st.integers(1, 3600)
ELAPSED = st.floats(0.0, 7776000.0)


@given(ELAPSED, INTERVALS)
def test_moments_are_ascending_multiples_of_a_step_that_is_the_interval_doubled(elapsed, interval):
    moments = wanted(elapsed, interval)
    assert len(moments) < MOST
    if not moments:
        assert elapsed < interval
        return
    step = moments[0]
    assert moments == tuple(range(step, step * len(moments) + 1, step))
    looks, rest = divmod(step, interval)
    assert rest == 0
    assert looks.bit_count() == 1
    assert moments[-1] <= elapsed < moments[-1] + step


@given(ELAPSED, INTERVALS)
def test_there_are_enough_once_there_can_be(elapsed, interval):
    moments = wanted(elapsed, interval)
    if elapsed >= MOST // 2 * interval:
        assert len(moments) >= MOST // 2
    else:
        assert moments == tuple(range(interval, int(elapsed) + 1, interval))


@given(ELAPSED, st.floats(0.0, 86400.0), INTERVALS)
def test_later_looks_want_no_earlier_moment_that_was_not_wanted_before(elapsed, more, interval):
    """So nothing is read twice, and what is dropped never comes back."""
    before = wanted(elapsed, interval)
    after = wanted(elapsed + more, interval)
    latest = max(before, default=0)
    assert {moment for moment in after if moment <= latest} <= set(before)


@given(st.integers(1, 200), st.integers(1, 60))
def test_an_octave_of_time_never_sees_more_than_32_moments(interval, looks):
    """The judge gives each moment that may ever be used its share of the chance of error."""
    end = interval * looks * 7
    used = {each for now in range(end // 2, end, interval) for each in wanted(float(now), interval)}
    assert len([each for each in used if end / 2 < each <= end]) <= 33


def test_before_the_first_interval_there_is_none():
    assert wanted(-5.0, 10) == ()
    assert wanted(9.9, 10) == ()
    assert wanted(10.0, 10) == (10,)


def counts(rows):
    return RevisionCounts(
        outcomes={("1", "1"): rows, ("0", "1"): 1},
        scores={("1", "1", 1000): rows, ("1", "0", 1001): 1},
        served=9 * rows,
        labelled=rows + 1,
        served_as={"1": 9 * rows},
    )


def member(rows, *, steps=(0,), store="s"):
    arms = {(name, step): counts(rows) for name in ("old", "new") for step in steps}
    return MemberEvidence(arms, store, 0.0, "1")


def past(*members):
    return {
        10 * (index + 1): {name: each.coarser(COARSENING) for name, each in then.items()}
        for index, then in enumerate(members)
    }


def test_moments_have_the_strata_and_classes_of_now():
    now = {"east": member(30, steps=(0, 1)), "west": member(5)}
    first = MemberEvidence({("new", 0): RevisionCounts(served=1)}, "s", 0.0)
    found = history(
        past({"east": first}, {"east": member(10)}, {"east": member(20), "west": member(5)}),
        now, "old", "new", weights={0: 0.05},
    )  # fmt: skip
    assert [each.seconds for each in found] == [10.0, 20.0, 30.0]
    assert [[s.name for s in each.strata] for each in found] == [
        ["east/0"], ["east/0"], ["east/0", "west/0"],
    ]  # fmt: skip
    stratum = found[1].strata[0]
    assert stratum.weight == 0.05
    assert stratum.canary.labels == found[0].strata[0].canary.labels == ("0", "1")
    assert stratum.canary.scores["1"].bins == 1024 // COARSENING
    assert stratum.canary.scores["1"].positive[250] == 10
    assert stratum.canary.scores["1"].negative[250] == 1


def test_a_moment_with_more_than_there_is_now_is_no_moment_of_this_trial():
    now = {"east": member(15)}
    found = history(
        past({"east": member(10)}, {"east": member(20)}, {"west": member(1)}),
        now, "old", "new",
    )  # fmt: skip
    assert [each.seconds for each in found] == [10.0]


def test_other_revisions_do_not_matter():
    then = MemberEvidence({("older", 0): counts(99), ("new", 0): counts(1)}, "s", 0.0)
    found = history(past({"east": then}), {"east": member(5)}, "old", "new")
    assert [each.seconds for each in found] == [10.0]


def test_what_was_made_once_is_not_made_again():
    then, now = past({"east": member(10)}, {"east": member(20)}), {"east": member(30)}
    built = {}
    first = history(then, now, "old", "new", built=built)
    again = history(then | past({"east": member(10)}), now, "old", "new", built=built)
    assert all(one is other for one, other in zip(first, again, strict=True))

    more = MemberEvidence({("new", 0): RevisionCounts({("2", "2"): 1})}, "s", 0.0)
    other = history(then, {**now, "west": more}, "old", "new", built=built)
    assert other[0].strata[0].canary.labels == ("0", "1", "2")
